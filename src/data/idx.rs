//! MNIST's file format, IDX: a magic number, sizes in big-endian words, then bytes.
//!
//! The format's description: <http://yann.lecun.com/exdb/mnist>.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::sets::{Part, Sets};
use super::{Dataset, MOST_BYTES};
use crate::error::Error;
use crate::files::folder;
use crate::preprocessing::ImageShape;

/// Magic numbers: unsigned bytes in three dimensions (rows, height, width) or one (rows).
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

/// Whether a folder has an IDX file of training images.
pub(super) fn is_folder(folder: &Path) -> bool {
    let is_train = |entry: std::fs::DirEntry| is_kind(&entry.path(), "train-images") && entry.path().is_file();
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(|entry| entry.is_ok_and(is_train)))
}

/// Reads the sets in `train-images-idx3-ubyte` and its three companions, each with or without `.gz`. EMNIST puts its own name before
/// these, and writes dots where others write hyphens.
pub(super) fn read_directory(directory: &Path) -> Result<Sets, Error> {
    let names =
        std::fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(Error::io(directory))?;
    let find = |kind: &str| -> Option<PathBuf> {
        let mut found: Vec<PathBuf> =
            names.iter().map(|entry| entry.path()).filter(|path| is_kind(path, kind)).collect();
        found.sort();
        found.into_iter().next()
    };
    let pair = |split: &str| match (find(&format!("{split}-images")), find(&format!("{split}-labels"))) {
        (Some(images), Some(labels)) => read_pair(&images, &labels).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Error::format(directory, format!("there is no {split}-labels-idx1-ubyte file"))),
        (None, Some(_)) => Err(Error::format(directory, format!("there is no {split}-images-idx3-ubyte file"))),
    };
    let of_part = |part: Part| {
        let mut words = part.words().iter().map(|word| pair(word));
        words.find(|found| !matches!(found, Ok(None))).unwrap_or(Ok(None))
    };
    let test = match pair("t10k")? {
        Some(test) => Some(test),
        None => of_part(Part::Test)?,
    };
    match of_part(Part::Train)? {
        Some(train) => Ok(Sets { train, validation: of_part(Part::Validation)?, test }),
        None => Err(Error::format(
            directory,
            format!(
                "there are no train-images-idx3-ubyte and train-labels-idx1-ubyte files (or the same with .gz), no data_batch_1.bin or train.bin of CIFAR, \
                 no x.npy, and no folders of images, one for each class: a folder must have one of these; {}",
                folder::listed(directory)
            ),
        )),
    }
}

fn is_kind(path: &Path, kind: &str) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(&name).replace('.', "-");
    name.ends_with("-ubyte") && name.contains(kind)
}

fn read_pair(images: &Path, labels: &Path) -> Result<Dataset, Error> {
    let open = |path: &Path| File::open(path).map(BufReader::new).map_err(Error::io(path));
    pair_from(images, open(images)?, labels, open(labels)?)
}

/// A set from the streams of an images and a labels file; the paths are for messages.
pub(super) fn pair_from(
    images_path: &Path,
    images: impl Read,
    labels_path: &Path,
    labels: impl Read,
) -> Result<Dataset, Error> {
    let (sizes, pixels) = read(images_path, images, IMAGES)?;
    let (_, labels) = read(labels_path, labels, LABELS)?;
    if sizes[0] as usize != labels.len() {
        return Err(Error::format(
            labels_path,
            format!("it has {} labels, and {} has {} images", labels.len(), images_path.display(), sizes[0]),
        ));
    }
    if labels.is_empty() {
        return Err(Error::format(images_path, "it has no images: at least one is needed"));
    }
    let width = sizes[1..].iter().map(|&size| size as usize).product();
    let shape = ImageShape { height: sizes[1] as usize, width: sizes[2] as usize, channels: 1 };
    Dataset::from_u8(pixels, width, labels.into_iter().map(u32::from).collect())
        .and_then(|set| set.with_image_shape(shape))
        .map_err(|error| Error::format(images_path, error.to_string()))
}

/// The sizes of the dimensions and the bytes of one file.
fn read(path: &Path, stream: impl Read, magic: u32) -> Result<(Vec<u32>, Vec<u8>), Error> {
    let mut stream = inflated(stream).map_err(Error::io(path))?;
    let short = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::format(path, "it ends inside its header: the file is cut short"),
        _ => Error::format(path, format!("it cannot be read: {error}")),
    };
    let mut word = || {
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).map(|()| u32::from_be_bytes(bytes)).map_err(short)
    };
    let found = word()?;
    if found != magic {
        let kind = if magic == IMAGES { "images" } else { "labels" };
        return Err(Error::format(
            path,
            format!("its magic number is 0x{found:08x}: an IDX file of {kind} begins with 0x{magic:08x}"),
        ));
    }
    let sizes = (0..magic & 0xff).map(|_| word()).collect::<Result<Vec<_>, _>>()?;
    let count = sizes
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)))
        .filter(|&count| count <= MOST_BYTES)
        .ok_or_else(|| Error::format(path, format!("its header asks for {sizes:?} bytes: at most 4 GiB fit")))?;

    // The bytes are not allocated at once, as a header may promise more than the file has.
    let mut bytes = Vec::new();
    stream
        .by_ref()
        .take(count + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::format(path, format!("it cannot be read: {error}")))?;
    let disagrees = |what: &str| {
        Error::format(path, format!("its header says {sizes:?}, that is {count} bytes, and the file has {what}"))
    };
    match bytes.len() as u64 {
        length if length < count => Err(disagrees(&format!("only {length}: it is cut short"))),
        length if length > count => Err(disagrees("more")),
        _ => Ok((sizes, bytes)),
    }
}

/// The stream itself, or its decompressed contents if it is gzipped.
fn inflated<'a>(stream: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let mut stream = stream;
    let mut begin = Vec::new();
    stream.by_ref().take(2).read_to_end(&mut begin)?;
    let gzipped = begin == [0x1f, 0x8b];
    let whole = std::io::Cursor::new(begin).chain(stream);
    Ok(if gzipped { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) })
}
