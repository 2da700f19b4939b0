//! CIFAR's binary files: images of 32×32 in three planes (red, green, blue), each after its label in CIFAR-10, and after two labels, coarse and fine, in
//! CIFAR-100. The labels are CIFAR-100's fine ones, or, for a model with as many outputs as it has coarse ones, these.
//!
//! The format's description: <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::path::{Path, PathBuf};

use super::channels::channels_last;
use super::sets::Sets;
use super::{Dataset, MOST_BYTES, ReadOptions, gzip};
use crate::error::Error;
use crate::files::folder::{entries, name};
use crate::files::kinds;
use crate::preprocessing::ImageShape;

/// The form of all images.
const IMAGE: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };
/// Bytes of an image.
const PIXELS: usize = 32 * 32 * 3;

/// One of the two sets.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    /// For each label before an image: what it is, the number of its classes, and the file with their names.
    labels: &'static [(&'static str, u8, &'static str)],
    /// What the files of training rows are called, as their first one, and the file of test rows.
    train: &'static str,
    test: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "CIFAR-10",
        labels: &[("label", 10, "batches.meta.txt")],
        train: "data_batch_1.bin",
        test: "test_batch.bin",
    },
    Kind {
        name: "CIFAR-100",
        labels: &[("coarse label", 20, "coarse_label_names.txt"), ("fine label", 100, "fine_label_names.txt")],
        train: "train.bin",
        test: "test.bin",
    },
];

impl Kind {
    /// Bytes of an image with its labels.
    fn record(&self) -> usize {
        self.labels.len() + PIXELS
    }

    /// The first image whose labels the set does not have, with what is wrong.
    fn wrong_label(&self, bytes: &[u8]) -> Option<String> {
        bytes.chunks_exact(self.record()).enumerate().find_map(|(image, record)| {
            let (&(what, classes, _), label) =
                self.labels.iter().zip(record).find(|((_, classes, _), label)| *label >= classes)?;
            Some(format!(
                "the {what} of image {image} is {label}, and those of {} go from 0 to {}",
                self.name,
                classes - 1
            ))
        })
    }

    /// Whether a file of this name, without `.gz`, has rows of this set to train on, or to test on.
    fn has(&self, name: &str) -> Option<bool> {
        let is_train = match self.train.strip_suffix("1.bin") {
            Some(batch) => {
                name.strip_prefix(batch).and_then(|rest| rest.strip_suffix(".bin")?.parse::<u32>().ok()).is_some()
            }
            None => name == self.train,
        };
        if is_train { Some(true) } else { (name == self.test).then_some(false) }
    }
}

/// A file's name in small letters, without `.gz`.
fn plain_name(path: &Path) -> String {
    let name = name(path).to_lowercase();
    name.strip_suffix(".gz").map_or(name.clone(), String::from)
}

/// The set to which a file of this name belongs.
fn kind_of_name(path: &Path) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.has(&plain_name(path)).is_some())
}

/// Whether a file that begins with these bytes has images of either set, as far as its labels show. Its pixels may begin as other files do.
pub(super) fn begins(name: &Path, bytes: &[u8]) -> bool {
    let is_named = name.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("bin"));
    is_named && KINDS.iter().any(|kind| bytes.len() >= kind.record() && kind.wrong_label(bytes).is_none())
}

/// The kind of a whole file's images.
fn kind_of(path: &Path, bytes: &[u8]) -> Result<&'static Kind, Error> {
    let named = kind_of_name(path);
    let fits: Vec<&Kind> =
        KINDS.iter().filter(|kind| !bytes.is_empty() && bytes.len().is_multiple_of(kind.record())).collect();
    let has_labels: Vec<&Kind> = fits.iter().copied().filter(|kind| kind.wrong_label(bytes).is_none()).collect();
    match (&has_labels[..], &fits[..]) {
        ([kind], _) => Ok(kind),
        ([_, ..], _) => named.ok_or_else(|| {
            Error::format(path, "its bytes may be images of CIFAR-10 and of CIFAR-100: name it data_batch_1.bin or train.bin, as these sets do")
        }),
        ([], [kind, ..]) => {
            let kind = named.filter(|named| fits.contains(named)).unwrap_or(kind);
            let reason = kind.wrong_label(bytes).unwrap_or_default();
            Err(Error::format(path, format!("{reason}: the file is damaged, or no file of CIFAR")))
        }
        ([], []) => {
            let sizes = KINDS.iter().map(|kind| {
                let (whole, rest) = (bytes.len() / kind.record(), bytes.len() % kind.record());
                format!(
                    "a file of {} has {} bytes an image ({} and 3 × 1,024 pixels), and this would be {whole} images and {rest} bytes more",
                    kind.name,
                    kind.record(),
                    if kind.labels.len() == 1 { "a label" } else { "two labels" },
                )
            });
            Err(Error::format(path, format!("it has {} bytes: {}", bytes.len(), sizes.collect::<Vec<_>>().join("; "))))
        }
    }
}

/// Reads one file; the names of its classes come from the text beside it, if it is there.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    let kind = kind_of(path, bytes)?;
    of_records(path, kind, bytes, options, path.parent().filter(|_| path.is_file()))
}

/// A set of the images in some bytes, of files in `folder`, where they are in one.
fn of_records(
    path: &Path,
    kind: &Kind,
    bytes: &[u8],
    options: &ReadOptions,
    folder: Option<&Path>,
) -> Result<Dataset, Error> {
    let outputs = options.model_widths.map(|(_, outputs)| outputs);
    // The finest labels are the last, unless the model is for others.
    let of_model = kind.labels.iter().position(|&(_, classes, _)| outputs == Some(usize::from(classes)));
    let at = of_model.unwrap_or(kind.labels.len() - 1);
    let records = || bytes.chunks_exact(kind.record());
    let labels: Vec<u32> = records().map(|record| record[at].into()).collect();
    let planes: Vec<u8> = records().flat_map(|record| &record[kind.labels.len()..]).copied().collect();
    let set =
        Dataset::from_u8(channels_last(&planes, 1, IMAGE), PIXELS, labels).and_then(|set| set.with_image_shape(IMAGE));
    let set = set.map_err(|error| Error::format(path, error.to_string()))?;
    let names = match folder {
        Some(folder) => class_names(&folder.join(kind.labels[at].2))?,
        None => Vec::new(),
    };
    let set = match names.is_empty() {
        true => set,
        false => set
            .with_class_names(names)
            .map_err(|error| Error::format(path, format!("{} beside it: {error}", kind.labels[at].2)))?,
    };
    Ok(Dataset { fixed_classes: kind.labels[at].1.into(), ..set })
}

/// The lines of a text with the names of classes; none where there is no such file.
fn class_names(path: &Path) -> Result<Vec<String>, Error> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = crate::files::read_text(path)?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect())
}

/// The folder with CIFAR's files: this one, or the only folder in it, as its archives have one.
fn folder_of(folder: &Path) -> Option<PathBuf> {
    let has = |folder: &Path| {
        entries(folder).is_ok_and(|paths| paths.iter().any(|path| path.is_file() && kind_of_name(path).is_some()))
    };
    if has(folder) {
        return Some(folder.to_path_buf());
    }
    match &entries(folder).ok()?[..] {
        [only] if only.is_dir() && has(only) => Some(only.clone()),
        _ => None,
    }
}

/// Whether a folder has files of either set.
pub(super) fn is_folder(folder: &Path) -> bool {
    folder_of(folder).is_some()
}

/// Reads the files of a folder: `data_batch_1.bin` and so on with `test_batch.bin`, or `train.bin` with `test.bin`.
pub(super) fn read_folder(folder: &Path, options: &ReadOptions) -> Result<Sets, Error> {
    let inner = folder_of(folder).unwrap_or_else(|| folder.to_path_buf());
    let files: Vec<(PathBuf, &Kind)> = entries(&inner)?
        .into_iter()
        .filter(|path| path.is_file())
        .filter_map(|path| kind_of_name(&path).map(|kind| (path, kind)))
        .collect();
    let mut kinds = KINDS.iter().filter(|kind| files.iter().any(|(_, own)| own == kind));
    let kind = match (kinds.next(), kinds.next()) {
        (Some(kind), None) => kind,
        _ => {
            let named = KINDS.iter().map(|kind| {
                let own: Vec<String> =
                    files.iter().filter(|(_, other)| *other == kind).map(|(path, _)| name(path)).collect();
                format!("of {} ({})", kind.name, own.join(", "))
            });
            let named = named.collect::<Vec<_>>().join(" and ");
            return Err(Error::format(&inner, format!("it has files {named}: a folder must have those of one set")));
        }
    };
    let of_part = |is_train: bool| -> Result<Vec<PathBuf>, Error> {
        let mut paths: Vec<(u32, PathBuf)> = Vec::new();
        for (path, _) in files.iter().filter(|(path, _)| kind.has(&plain_name(path)) == Some(is_train)) {
            let number = plain_name(path).chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
            if let Some((_, other)) = paths.iter().find(|(taken, _)| *taken == number) {
                let both = format!(
                    "it has {} and {}, which are the same here: leave one of them out",
                    name(other),
                    name(path)
                );
                return Err(Error::format(&inner, both));
            }
            paths.push((number, path.clone()));
        }
        paths.sort();
        Ok(paths.into_iter().map(|(_, path)| path).collect())
    };
    let (train, test) = (of_part(true)?, of_part(false)?);
    if train.is_empty() {
        let reason = format!(
            "it has no {}, to train on, beside {}: name the file itself to read only it",
            kind.train, kind.test
        );
        return Err(Error::format(&inner, reason));
    }
    let missing = missing_batches(&train).into_iter().chain(missing_test(kind, &test));
    let train = read_files(&inner, kind, &train, options)?;
    let test = if test.is_empty() { None } else { Some(read_files(&inner, kind, &test, options)?) };
    Ok(Sets { train: train.noted_all(folder, missing), validation: None, test })
}

/// The batches of CIFAR-10's training rows.
const BATCHES: u32 = 5;

/// A note on test rows that are missing.
fn missing_test(kind: &Kind, test: &[PathBuf]) -> Option<String> {
    test.is_empty().then(|| {
        format!(
            "it has no {}: without it there are no rows beside the training rows, to validate on, test on or predict on; --validation 0.1 holds some of \
             them out",
            kind.test
        )
    })
}

/// A note on the batches that are missing, of those that the set has as it is published, or below the last one.
fn missing_batches(train: &[PathBuf]) -> Option<String> {
    let names: Vec<String> = train.iter().map(|path| plain_name(path)).collect();
    let last = names.last()?.strip_prefix("data_batch_")?.strip_suffix(".bin")?.parse::<u32>().ok()?;
    // A number far from the others names no batch.
    let missing = (1..=last.clamp(BATCHES, 100))
        .map(|at| format!("data_batch_{at}.bin"))
        .filter(|name| !names.contains(name))
        .collect::<Vec<_>>();
    (!missing.is_empty()).then(|| format!("it has no {}: the set is trained on without these rows", missing.join(", ")))
}

/// Reads files of one kind as one set.
fn read_files(folder: &Path, kind: &Kind, paths: &[PathBuf], options: &ReadOptions) -> Result<Dataset, Error> {
    let mut all = Vec::new();
    for path in paths {
        let bytes = crate::files::read_whole(path)?;
        let bytes = if gzip::is_packed(&bytes) { gzip::unpacked(path, &bytes)? } else { bytes };
        let own = match kinds::of(&bytes).filter(|_| !begins(Path::new("cifar.bin"), &bytes)) {
            Some(other) => return Err(Error::format(path, other.not_read())),
            None => kind_of(path, &bytes)?,
        };
        if own != kind {
            return Err(Error::format(
                path,
                format!("its images are those of {}, and its name is one of {}'s files", own.name, kind.name),
            ));
        }
        all.extend(bytes);
        if all.len() as u64 > MOST_BYTES {
            return Err(Error::format(folder, "its files take more than 4 GiB: that is the most that is read"));
        }
    }
    of_records(folder, kind, &all, options, Some(folder))
}
