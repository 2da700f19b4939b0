//! A set that stays in its safetensors file: rows are read as they are needed.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use safetensors::tensor::{Metadata, TensorInfo};

use super::array::{Array, Element};
use super::arrays::{self, Arrays};
use super::channels::Form;
use super::sets::Part;
use super::{Dataset, ReadOptions, Source, labels, tensors};
use crate::error::Error;
use crate::preprocessing::{ChannelOrder, ImageShape};

/// The most bytes of a header that the safetensors format allows.
const MOST_OF_HEADER: u64 = 100_000_000;
/// The number of rows whose labels are read at once, to find the largest label.
const LABELS_AT_ONCE: usize = 1 << 20;

/// A safetensors set that is larger than memory: `x`, `y` or `t`, and `w`, as [`Dataset::read`] takes them, read a range of rows at a time.
pub struct Stored {
    path: PathBuf,
    file: Mutex<File>,
    tensors: Vec<Tensor>,
    rows: usize,
    classes: usize,
    /// The place of the channels in images, where it is known, and the images' shape.
    channels: Option<ChannelOrder>,
    image: Option<ImageShape>,
    note: Option<String>,
}

/// The most bytes of a row of any tensor.
const MOST_OF_ROW: u64 = 1 << 30;

/// A tensor in the file; its first dimension is the rows.
struct Tensor {
    name: String,
    /// The tensor's role: `x`, `y`, `t` or `w`.
    letter: char,
    part: Part,
    element: Element,
    shape: Vec<usize>,
    begins: u64,
}

impl Tensor {
    /// A tensor of a file of `size` bytes, whose header says this of it and whose data begin at `data`.
    fn of(
        path: &Path,
        size: u64,
        data: u64,
        name: String,
        about: &TensorInfo,
        (letter, part): (char, Part),
    ) -> Result<Self, Error> {
        let element = tensors::element(path, &name, about.dtype)?;
        let (from, to) = about.data_offsets;
        let count = about.shape.iter().try_fold(element.bytes(), |product, &side| product.checked_mul(side));
        let fits = (to as u64).checked_add(data).is_some_and(|end| end <= size);
        if about.shape.is_empty() || from > to || count != Some(to - from) || !fits {
            let reason = format!("{name} of the shape {:?} does not lie whole in the file", about.shape);
            return Err(Error::format(path, reason));
        }
        Ok(Tensor { name, letter, part, element, shape: about.shape.clone(), begins: data + from as u64 })
    }

    fn row_bytes(&self) -> u64 {
        // Without rows, the other dimensions may have any size.
        self.shape[1..].iter().fold(self.element.bytes() as u64, |bytes, &side| bytes.saturating_mul(side as u64))
    }
}

/// The tensors of a set, sorted by name, as the file's header lists them.
fn tensors_of(path: &Path, file: &mut File) -> Result<Vec<Tensor>, Error> {
    let wrong = |reason: String| Error::format(path, reason);
    let size = file.metadata().map_err(Error::io(path))?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| wrong("it is not a whole safetensors file: no header".into()))?;
    let length = u64::from_le_bytes(length);
    if length > MOST_OF_HEADER || length + 8 > size {
        return Err(wrong(format!("it is not a whole safetensors file: a header of {length} bytes in {size}")));
    }
    let header = crate::files::read_to_end(path, file.take(length), length)?;
    let about: Metadata = serde_json::from_slice(&header).map_err(|error| wrong(format!("its header: {error}")))?;
    let known = about.tensors().into_iter().filter_map(|(name, info)| Some((info, arrays::meaning(&name)?, name)));
    let tensors = known.map(|(info, role, name)| Tensor::of(path, size, 8 + length, name, info, role));
    let mut tensors: Vec<Tensor> = tensors.collect::<Result<_, _>>()?;
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// Checks that the tensors fit together, and returns the number of rows to train on.
fn check(path: &Path, tensors: &[Tensor]) -> Result<usize, Error> {
    let wrong = |reason: String| Err(Error::format(path, reason));
    if let Some(large) = tensors.iter().find(|tensor| tensor.row_bytes() > MOST_OF_ROW) {
        let bytes = large.row_bytes();
        return wrong(format!("a row of {} takes {bytes} bytes: at most {MOST_OF_ROW} are read", large.name));
    }
    let is_matrix = |tensor: &&Tensor| tensor.letter == 'y' && tensor.shape[1..].iter().any(|&side| side != 1);
    if let Some(y) = tensors.iter().find(is_matrix) {
        return wrong(format!("{} has the shape {:?}: it must be [rows]", y.name, y.shape));
    }
    let twice = |at: usize| {
        tensors[..at].iter().find(|other| (other.letter, other.part) == (tensors[at].letter, tensors[at].part))
    };
    if let Some((at, other)) = (0..tensors.len()).find_map(|at| Some((at, twice(at)?))) {
        return wrong(format!(
            "it has {} and {}, which are the same here: leave one of them out",
            other.name, tensors[at].name
        ));
    }
    let x = tensors.iter().find(|tensor| (tensor.letter, tensor.part) == ('x', Part::Train));
    let Some(rows) = x.map(|x| x.shape[0]).filter(|&rows| rows > 0) else {
        return wrong("it has no tensor x with rows".into());
    };
    if let Some(other) = tensors.iter().find(|tensor| tensor.part == Part::Train && tensor.shape[0] != rows) {
        return wrong(format!("x has {rows} rows and {} has {}: they must agree", other.name, other.shape[0]));
    }
    Ok(rows)
}

impl Stored {
    /// Opens a file, and reads all its labels once to find the largest.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`] naming the file and what is wrong with it.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Stored::open_with(path, &ReadOptions::default())
    }

    /// Opens a file whose rows are read with these options: where the channels of images are, and their shape.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, Error> {
        let path = path.as_ref().to_path_buf();
        let mut file = crate::files::open(&path)?;
        let tensors = tensors_of(&path, &mut file)?;
        let rows = check(&path, &tensors)?;
        let (mut channels, image) = (options.channels, options.image);
        let mut note = None;
        if let Some(x) = tensors.iter().find(|tensor| (tensor.letter, tensor.part) == ('x', Part::Train)) {
            let form =
                Form::of(&x.shape, options).map_err(|reason| Error::format(&path, format!("{} {reason}", x.name)))?;
            if let Some(said) = form.note {
                // It is noted once, and not with every range of rows.
                (channels, note) = (Some(form.order), Some(format!("{} {said}", x.name)));
            }
        }
        let mut stored = Stored { path, file: Mutex::new(file), tensors, rows, classes: 0, channels, image, note };
        stored.classes = stored.largest()?;
        Ok(stored)
    }

    /// What was decided where the file is ambiguous: a sentence on the place of the channels, if that is a guess.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The rows to test on, where the file has some: `x_test` and the rest.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    pub fn test(&self) -> Result<Option<Dataset>, Error> {
        self.part(Part::Test)
    }

    /// The rows to validate on, where the file has some: `x_val` and the rest.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    pub fn validation(&self) -> Result<Option<Dataset>, Error> {
        self.part(Part::Validation)
    }

    fn part(&self, part: Part) -> Result<Option<Dataset>, Error> {
        let Some(x) = self.tensor('x', part) else { return Ok(None) };
        let all = RowRange { stored: self, rows: 0..x.shape[0], part };
        arrays::sets(&all, &self.options()).map(|sets| Some(sets.train))
    }

    fn tensor(&self, letter: char, part: Part) -> Option<&Tensor> {
        self.tensors.iter().find(|tensor| (tensor.letter, tensor.part) == (letter, part))
    }

    fn options(&self) -> ReadOptions {
        ReadOptions { channels: self.channels, image: self.image, ..ReadOptions::default() }
    }

    fn train(&self, rows: Range<usize>) -> RowRange<'_> {
        RowRange { stored: self, rows, part: Part::Train }
    }

    /// The number of outputs that a network needs for the targets.
    fn largest(&self) -> Result<usize, Error> {
        let has = |letter| self.tensor(letter, Part::Train).is_some();
        if !has('y') || has('t') {
            return Ok(self.read(0..1)?.classes());
        }
        let ranges = (0..self.rows).step_by(LABELS_AT_ONCE);
        ranges.map(|first| first..(first + LABELS_AT_ONCE).min(self.rows)).try_fold(0, |most, rows| {
            let y = self.train(rows).array('y')?;
            let labels = y
                .map(|y| labels::labels(&y))
                .transpose()
                .map_err(|reason| Error::format(&self.path, format!("y {reason}")))?;
            let largest = labels.into_iter().flatten().filter(|&label| label <= i32::MAX as u32).max();
            Ok(most.max(largest.map_or(0, |label| label as usize + 1)))
        })
    }
}

impl Source for Stored {
    fn rows(&self) -> usize {
        self.rows
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error> {
        arrays::sets(&self.train(rows), &self.options()).map(|sets| sets.train)
    }
}

/// Some rows of the file's tensors.
struct RowRange<'a> {
    stored: &'a Stored,
    rows: Range<usize>,
    part: Part,
}

impl RowRange<'_> {
    fn array(&self, letter: char) -> Result<Option<Array<'static>>, Error> {
        let Some(tensor) = self.stored.tensor(letter, self.part) else { return Ok(None) };
        let name = &tensor.name;
        let path = &self.stored.path;
        let row_bytes = tensor.row_bytes();
        if self.rows.start > self.rows.end || self.rows.end > tensor.shape[0] {
            return Err(Error::Data(format!(
                "rows {} to {} are not in {name}, which has {}",
                self.rows.start, self.rows.end, tensor.shape[0]
            )));
        }
        if row_bytes.saturating_mul(self.rows.len() as u64) > super::MOST_BYTES {
            return Err(Error::format(
                path,
                format!(
                    "{} rows of {name} take more than {} bytes at once: read fewer",
                    self.rows.len(),
                    super::MOST_BYTES
                ),
            ));
        }
        let mut bytes = vec![0; row_bytes as usize * self.rows.len()];
        {
            let mut file = self.stored.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(tensor.begins + row_bytes * self.rows.start as u64)).map_err(Error::io(path))?;
            file.read_exact(&mut bytes).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => Error::format(
                    path,
                    format!(
                        "it was cut short after it was opened: rows {} to {} of {name} are gone; do not change a file while it is \
                         trained on",
                        self.rows.start, self.rows.end
                    ),
                ),
                _ => Error::io(path)(error),
            })?;
        }
        let shape = [&[self.rows.len()], &tensor.shape[1..]].concat();
        Ok(Some(Array { element: tensor.element, shape, bytes: Cow::Owned(bytes) }))
    }
}

impl Arrays for RowRange<'_> {
    fn path(&self) -> &Path {
        &self.stored.path
    }

    fn noun(&self) -> &'static str {
        "tensor"
    }

    fn names(&self) -> Vec<String> {
        let of_these = self.stored.tensors.iter().filter(|tensor| tensor.part == self.part);
        of_these.map(|tensor| tensor.letter.to_string()).collect()
    }

    fn get(&self, name: &str) -> Result<Option<Array<'_>>, Error> {
        name.parse().map_or(Ok(None), |letter| self.array(letter))
    }
}
