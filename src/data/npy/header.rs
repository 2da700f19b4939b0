//! Parses the header of a `.npy` file, a line of Python. The crates that do this depend on a parser generator.

use std::borrow::Cow;
use std::io::Read;

use crate::data::MOST_BYTES;
use crate::data::array::{Array, Element};

/// The longest header that is accepted: NumPy's own have 128 bytes.
const MOST_HEADER: usize = 1 << 16;
/// The most letters of a text in an array, the most texts, and the most bytes of all.
const MOST_LETTERS: usize = 1 << 12;
const MOST_TEXTS: usize = 1 << 24;
const MOST_OF_TEXT: u64 = 1 << 30;

/// A parsed header.
pub(super) struct Header {
    item: Item,
    big_endian: bool,
    /// Whether the first index changes fastest (Fortran order).
    fortran: bool,
    shape: Vec<usize>,
}

/// The type of an array's items.
#[derive(Clone, Copy)]
enum Item {
    Number(Element),
    /// Texts of a fixed number of letters, of one byte each, or of four bytes in Unicode arrays.
    Text {
        letters: usize,
        bytes: usize,
    },
}

impl Item {
    /// The type with this NumPy name, without its byte order.
    fn of(word: &str) -> Result<Item, String> {
        let element = match word {
            "b1" => Element::Bool,
            "u1" => Element::U8,
            "i1" => Element::I8,
            "u2" => Element::U16,
            "i2" => Element::I16,
            "u4" => Element::U32,
            "i4" => Element::I32,
            "u8" => Element::U64,
            "i8" => Element::I64,
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            _ => return Item::text(word),
        };
        Ok(Item::Number(element))
    }

    fn text(word: &str) -> Result<Item, String> {
        let (kind, count) = word.split_at_checked(1).unwrap_or_default();
        match (kind, count.parse::<usize>()) {
            ("S" | "U", Ok(letters)) if letters <= MOST_LETTERS => {
                Ok(Item::Text { letters, bytes: if kind == "U" { 4 } else { 1 } })
            }
            ("O", _) => {
                Err("it holds Python objects, which are pickled and could run code: save an array of numbers, as \
                             numpy.stack(list(a)).astype(\"float32\"), or of text as a.astype(str)"
                    .into())
            }
            ("M" | "m", _) => Err("it holds dates or times: save numbers, as a.astype(\"int64\")".into()),
            ("c", _) => Err("it holds complex numbers: save their parts, as numpy.stack([a.real, a.imag], -1)".into()),
            ("f", _) => Err("it holds floats of more than 64 bits: save a.astype(\"float64\")".into()),
            _ => Err(String::new()),
        }
    }

    fn bytes(self) -> usize {
        match self {
            Item::Number(element) => element.bytes(),
            Item::Text { letters, bytes } => letters * bytes,
        }
    }
}

impl Header {
    pub fn read(stream: &mut impl Read) -> Result<Header, String> {
        let ended = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "it ends inside its header: the file is cut short".to_string(),
            _ => format!("it cannot be read: {error}"),
        };
        let mut begin = [0; 8];
        stream.read_exact(&mut begin).map_err(ended)?;
        if !begin.starts_with(b"\x93NUMPY") {
            return Err("it does not begin as a .npy file does".into());
        }
        let mut length = [0; 4];
        let words = if begin[6] == 1 { 2 } else { 4 };
        stream.read_exact(&mut length[..words]).map_err(ended)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST_HEADER {
            return Err(format!("its header says that it has {length} bytes: at most {MOST_HEADER} are read"));
        }
        let mut text = vec![0; length];
        stream.read_exact(&mut text).map_err(ended)?;
        let text = String::from_utf8(text).map_err(|_| "its header is not text".to_string())?;
        Header::parse(&text).map_err(|reason| {
            let begin: String = text.trim().chars().take(200).collect();
            match reason.as_str() {
                "" => format!(
                    "its header is {begin:?}: it must describe an array of whole numbers, f2, f4 or f8, or of text"
                ),
                reason => format!("its header is {begin:?}: {reason}"),
            }
        })
    }

    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, or as Python 2 has it: `{u'descr': u'<f4', …, 'shape': (3L, 4L), }`. An
    /// empty reason means that it is neither.
    fn parse(text: &str) -> Result<Header, String> {
        let value = |key: &str| Some(text.split_once(&format!("'{key}':"))?.1.trim_start());
        let is_structured = value("descr").is_some_and(|descr| descr.starts_with('['));
        if is_structured {
            return Err("it is a structured array, with named fields: save its columns as one array of numbers, as \
                        numpy.lib.recfunctions.structured_to_unstructured(a)"
                .into());
        }
        let parts = || {
            let descr = value("descr")?.trim_start_matches('u').strip_prefix('\'')?.split_once('\'')?.0;
            let shape = value("shape")?.strip_prefix('(')?.split_once(')')?.0;
            let fortran = match value("fortran_order")? {
                word if word.starts_with("True") => true,
                word if word.starts_with("False") => false,
                _ => return None,
            };
            let sizes = shape.split(',').map(str::trim).filter(|size| !size.is_empty());
            let shape: Vec<usize> =
                sizes.map(|size| size.strip_suffix('L').unwrap_or(size).parse().ok()).collect::<Option<_>>()?;
            Some((descr, fortran, shape)).filter(|(.., shape)| shape.len() <= 32)
        };
        let (descr, fortran, shape) = parts().ok_or_else(String::new)?;
        let item = Item::of(descr.get(1..).unwrap_or_default())?;
        Ok(Header { item, big_endian: descr.starts_with('>'), fortran, shape })
    }

    /// The number of bytes of the array's values.
    pub fn bytes(&self) -> Result<u64, String> {
        let sizes =
            self.shape.iter().try_fold(self.item.bytes() as u64, |product, &size| product.checked_mul(size as u64));
        sizes
            .filter(|&bytes| bytes <= MOST_BYTES)
            .ok_or_else(|| format!("its header asks for {:?} values: at most 4 GiB fit", self.shape))
    }

    pub fn disagrees(&self, count: u64, found: u64) -> String {
        let found = if found < count { format!("only {found}: it is cut short") } else { "more".into() };
        format!("its header says {:?}, that is {count} bytes, and the file has {found}", self.shape)
    }

    /// The array with its values in our order: little-endian, row-major.
    pub fn array(self, bytes: Cow<'_, [u8]>) -> Result<Array<'_>, String> {
        let Item::Number(element) = self.item else { return Err("it holds text, where numbers are needed".into()) };
        let bytes = self.ordered(bytes, element.bytes());
        Ok(Array { element, shape: self.shape, bytes })
    }

    /// The texts, one for each row, if it is an array of texts.
    pub fn words(self, stream: &mut dyn Read) -> Result<Option<Vec<String>>, String> {
        let Item::Text { letters, bytes } = self.item else { return Ok(None) };
        let ([rows] | [rows, 1]) = self.shape[..] else {
            return Err(format!("it holds text and has the shape {:?}: it must be [rows]", self.shape));
        };
        let count = self.bytes()?;
        if rows > MOST_TEXTS || count > MOST_OF_TEXT {
            return Err(format!(
                "it holds {rows} texts of {letters} letters: at most {MOST_TEXTS} and 1 GiB are read; save class indices"
            ));
        }
        let mut all = Vec::new();
        stream.take(count + 1).read_to_end(&mut all).map_err(|error| format!("it cannot be read: {error}"))?;
        if all.len() as u64 != count {
            return Err(self.disagrees(count, all.len() as u64));
        }
        if letters == 0 {
            // NumPy's shortest texts have one letter.
            return if rows == 0 { Ok(Some(Vec::new())) } else { Err("its texts are empty".into()) };
        }
        let all = self.ordered(Cow::Owned(all), bytes);
        let word = |(row, text): (usize, &[u8])| {
            let word = match bytes {
                1 => String::from_utf8(text.to_vec()).ok(),
                _ => text
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&letter| char::from_u32(u32::from_le_bytes(letter)))
                    .collect::<Option<String>>(),
            };
            let word = word.ok_or_else(|| format!("the text of row {row} is neither ASCII nor Unicode"))?;
            Ok(word.trim_end_matches('\0').to_string())
        };
        all.chunks_exact(letters * bytes).enumerate().map(word).collect::<Result<_, String>>().map(Some)
    }

    /// The bytes in our order: words of `word` bytes little-endian, items row-major.
    fn ordered<'a>(&self, bytes: Cow<'a, [u8]>, word: usize) -> Cow<'a, [u8]> {
        let mut bytes = bytes;
        if self.big_endian && word > 1 {
            bytes.to_mut().chunks_exact_mut(word).for_each(<[u8]>::reverse);
        }
        if self.fortran && self.shape.len() > 1 {
            bytes = Cow::Owned(row_major(&bytes, &self.shape, self.item.bytes()));
        }
        bytes
    }
}

/// Reorders values from Fortran order, whose first index changes fastest, to row-major order.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..bytes.len() / size {
        let place = index.iter().zip(shape).rev().fold(0, |place, (at, size)| place * size + at);
        ordered.extend_from_slice(&bytes[place * size..(place + 1) * size]);
        for (at, &size) in index.iter_mut().zip(shape).rev() {
            *at += 1;
            if *at < size {
                break;
            }
            *at = 0;
        }
    }
    ordered
}
