//! Reads folders that hold one folder of images for each class.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::decode::{decode, pixels, shape_of};
use super::{is_named_image, is_pnm};
use crate::data::sets::{Part, Sets};
use crate::data::{Dataset, MOST_BYTES, ReadOptions};
use crate::error::Error;
use crate::files::folder::{entries, listed, name};
use crate::files::kinds;

/// The layout that a folder of images must have, for messages.
const LAYOUT: &str = "a folder of images has one folder for each class, as cat/1.png and dog/1.png, or folders train and val or test that have \
                      such folders";
/// The most nested folders, with one folder each, that may surround the folders of the classes.
const MOST_AROUND: usize = 8;
/// The most kinds of unread files that a note names.
const MOST_NAMED: usize = 8;

/// Reads a folder that holds one folder for each class, or folders of training, validation and test rows that do.
pub fn read_folder(folder: &Path, options: &ReadOptions) -> Result<Sets, Error> {
    let inner = unwrapped(folder)?;
    let mut notes = Notes::default();
    if inner != folder {
        notes.0.push(format!("the images are in {}", inner.display()));
    }
    let sets = match Parts::of(&inner)? {
        Some(parts) => parts.read(&inner, options, &mut notes)?,
        None => Sets::from(read_classes(&inner, options, &mut notes)?),
    };
    Ok(Sets { train: notes.0.into_iter().fold(sets.train, |set, note| set.noted(folder, note)), ..sets })
}

/// The findings about a folder, for its notes.
#[derive(Default)]
struct Notes(Vec<String>);

fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

/// The folder that holds the classes' or parts' folders: the given one, or one inside it, as archives often wrap their contents in a folder.
fn unwrapped(folder: &Path) -> Result<PathBuf, Error> {
    let mut inner = folder.to_path_buf();
    for _ in 0..MOST_AROUND {
        let inside = entries(&inner)?;
        let [only] = &inside.iter().filter(|path| path.is_dir()).collect::<Vec<_>>()[..] else { break };
        let has_images = inside.iter().any(|path| path.is_file() && is_named_image(path));
        if has_images || Parts::of(&inner)?.is_some() || folders(only)?.is_empty() || has_image(only)? {
            break;
        }
        inner = only.to_path_buf();
    }
    Ok(inner)
}

fn has_image(folder: &Path) -> Result<bool, Error> {
    Ok(entries(folder)?.iter().any(|path| !path.is_dir() && is_named_image(path)))
}

/// The folders of the training, validation and test rows.
struct Parts {
    train: PathBuf,
    validation: Option<PathBuf>,
    test: Option<PathBuf>,
    /// The names of other folders beside them.
    others: Vec<String>,
}

impl Parts {
    /// The parts' folders in a folder, if it has them: `train` with folders in it, or no folders other than parts'. A class may be named train.
    fn of(folder: &Path) -> Result<Option<Parts>, Error> {
        let mut found: [Option<PathBuf>; 3] = [None, None, None];
        let mut others = Vec::new();
        for path in folders(folder)? {
            let Some(part) = Part::of(&name(&path)) else {
                others.push(name(&path));
                continue;
            };
            let place = &mut found[part as usize];
            if let Some(other) = place {
                return Err(Error::format(
                    folder,
                    format!(
                        "it has {} and {}, which are the same here: leave one of them out",
                        name(other),
                        name(&path)
                    ),
                ));
            }
            *place = Some(path);
        }
        let [train, validation, test] = found;
        let is_split = match &train {
            Some(train) => others.is_empty() || !folders(train)?.is_empty(),
            None => others.is_empty() && (validation.is_some() || test.is_some()),
        };
        match train {
            _ if !is_split => Ok(None),
            Some(train) => Ok(Some(Parts { train, validation, test, others })),
            None => {
                Err(Error::format(folder, format!("{}, and no folder train to train on: {LAYOUT}", listed(folder))))
            }
        }
    }

    fn read(self, folder: &Path, options: &ReadOptions, notes: &mut Notes) -> Result<Sets, Error> {
        if !self.others.is_empty() {
            let others = self.others.join(", ");
            notes.0.push(format!("beside train, val and test, these folders are not read: {others}"));
        }
        let train = read_classes(&unwrapped(&self.train)?, options, notes)?;
        let like =
            ReadOptions { class_names: train.class_names().to_vec(), image: train.image_shape(), ..options.clone() };
        let mut beside = |part: Option<PathBuf>| -> Result<Option<Dataset>, Error> {
            let Some(part) = part else { return Ok(None) };
            let part = unwrapped(&part)?;
            if folders(&part)?.is_empty() {
                let inside = part.strip_prefix(folder).unwrap_or(&part).display();
                notes.0.push(format!("{inside} is left out, as it has no folder for each class ({})", listed(&part)));
                return Ok(None);
            }
            read_classes(&part, &like, notes).map(Some)
        };
        Ok(Sets { validation: beside(self.validation)?, test: beside(self.test)?, train })
    }
}

/// The contents of one class' folder.
#[derive(Default)]
struct Class {
    images: Vec<PathBuf>,
    /// The number of files of each kind that is not read.
    others: BTreeMap<String, usize>,
    /// Inner folders that have images.
    deeper: Vec<PathBuf>,
}

impl Class {
    fn of(folder: &Path) -> Result<Class, Error> {
        let mut class = Class::default();
        for path in entries(folder)? {
            if path.is_dir() {
                if has_image(&path)? {
                    class.deeper.push(path);
                }
            } else if is_named_image(&path) || path.is_file() && begins_as_image(&path)? {
                class.images.push(path);
            } else {
                *class.others.entry(kind(&path)?).or_default() += 1;
            }
        }
        Ok(class)
    }

    /// The files that are not read, in words: "10 files .heic (a HEIC image) in dog".
    fn left_out(&self, folder: &Path) -> Vec<String> {
        let files = self.others.iter().map(|(kind, &count)| {
            format!("{count} {} {kind} in {}", if count == 1 { "file" } else { "files" }, name(folder))
        });
        let deeper = self.deeper.iter().map(|deeper| format!("the folder {}/{}", name(folder), name(deeper)));
        files.chain(deeper).collect()
    }
}

/// The first bytes of a file.
fn begin(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    crate::files::open(path)?.take(1 << 10).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

fn begins_as_image(path: &Path) -> Result<bool, Error> {
    let bytes = begin(path)?;
    let is_image = image::guess_format(&bytes)
        .is_ok_and(|format| format.reading_enabled() && format != image::ImageFormat::Pnm && !kinds::is_text(&bytes));
    Ok(is_pnm(&bytes) || is_image && kinds::of(&bytes).is_none())
}

/// The kind of a file that is no image: its extension, and what its first bytes show.
fn kind(path: &Path) -> Result<String, Error> {
    let known = if path.is_file() { kinds::of(&begin(path)?) } else { None };
    let ends = match path.extension() {
        Some(extension) => format!(".{}", extension.to_string_lossy()),
        None => "without an extension".into(),
    };
    Ok(known.map_or(ends.clone(), |kind| format!("{ends} ({})", kind.what)))
}

fn read_classes(folder: &Path, options: &ReadOptions, notes: &mut Notes) -> Result<Dataset, Error> {
    let is_flat = options.inputs_only && has_image(folder)? && folders(folder)?.is_empty();
    let folders = if is_flat { vec![folder.to_path_buf()] } else { folders(folder)? };
    let classes: Vec<Class> = folders.iter().map(|path| Class::of(path)).collect::<Result<_, Error>>()?;
    if classes.iter().all(|class| class.images.is_empty() && class.deeper.is_empty() && class.others.is_empty())
        || folders.is_empty()
    {
        return Err(Error::format(
            folder,
            format!("it has no folders with images in them: {LAYOUT}; {}", listed(folder)),
        ));
    }
    let found: Vec<String> = folders.iter().map(|path| utf8_name(path)).collect::<Result<_, Error>>()?;
    let is_known = !options.class_names.is_empty();
    let names = if is_known { &options.class_names } else { &found };
    let mut files: Vec<(PathBuf, u32)> = Vec::new();
    let mut left_out = Vec::new();
    for ((path, name), class) in folders.iter().zip(&found).zip(classes) {
        left_out.extend(class.left_out(path));
        if class.images.is_empty() {
            if !is_known || !class.deeper.is_empty() {
                return Err(Error::format(path, no_image(&class)));
            }
            left_out.push(format!("{name}, which has no image"));
        }
        let index = names.iter().position(|known| known == name).or(is_flat.then_some(0)).ok_or_else(|| {
            Error::format(path, format!("\"{name}\" is none of the model's classes, which are {}", names.join(", ")))
        })?;
        files.extend(class.images.into_iter().map(|image| (image, index as u32)));
    }
    let beside = entries(folder)?.iter().filter(|path| !path.is_dir() && is_named_image(path)).count();
    if beside > 0 && !is_flat {
        let images = if beside == 1 { "image" } else { "images" };
        left_out.push(format!("{beside} {images} beside the folders of the classes"));
    }
    if !left_out.is_empty() {
        let more = left_out.len().saturating_sub(MOST_NAMED);
        left_out.truncate(MOST_NAMED);
        let more = if more == 0 { String::new() } else { format!(", and {more} kinds more") };
        let inside = self::name(folder);
        notes.0.push(format!("not read in {inside}: {}{more}; {}", left_out.join(", "), kinds::READ));
    }
    let set = read_images(folder, &files, options)?;
    if is_flat {
        return Ok(set);
    }
    set.with_class_names(names.clone()).map_err(|error| Error::format(folder, error.to_string()))
}

/// The reason why a folder without images is no class.
fn no_image(class: &Class) -> String {
    let what = match (&class.deeper[..], class.others.is_empty()) {
        ([first, ..], _) => {
            format!(
                "it has no image, and its folder {} has: {LAYOUT}; name the folder that has the classes",
                name(first)
            )
        }
        ([], true) => "it has no image: each class must have one".into(),
        ([], false) => {
            let others: Vec<String> = class.others.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            format!(
                "it has no image that is read, and each class must have one; its files are {}; {}",
                others.join(", "),
                kinds::READ
            )
        }
    };
    format!("{what}; if it is no class, move it elsewhere")
}

fn utf8_name(path: &Path) -> Result<String, Error> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(String::from).ok_or_else(|| Error::format(path, "the folder's name, which is the class', is not UTF-8"))
}

/// Reads all images as rows of one shape.
fn read_images(folder: &Path, files: &[(PathBuf, u32)], options: &ReadOptions) -> Result<Dataset, Error> {
    let Some((first, _)) = files.first() else {
        return Err(Error::format(folder, format!("it has no images: {LAYOUT}")));
    };
    let open = |path: &Path| decode(path, &crate::files::read_whole(path)?);
    let shape = match options.image {
        Some(shape) => shape,
        None => shape_of(&open(first)?),
    };
    let Some(width) = shape.features().filter(|_| shape.is_picture()) else {
        let reason = format!(
            "no images are {shape}: they must have one channel or three, and no more values than can be counted"
        );
        return Err(Error::format(folder, reason));
    };
    let bytes = (files.len() as u64).checked_mul(width as u64).filter(|&bytes| bytes <= MOST_BYTES);
    if bytes.is_none() {
        return Err(Error::format(
            folder,
            format!(
                "{} images of {shape} take more than 4 GiB: that is the most that fits; make them smaller (image)",
                files.len()
            ),
        ));
    }
    let mut features = Vec::new();
    for (path, _) in files {
        features.extend(pixels(&open(path)?, shape));
    }
    Dataset::from_u8(features, width, files.iter().map(|&(_, class)| class).collect())
        .and_then(|set| set.with_image_shape(shape))
        .map_err(|error| Error::format(folder, error.to_string()))
}
