//! Kinds of files that are not read, recognized by how they begin, with what to do instead. A kind is an entry of the table. Crates that recognize
//! files by their first bytes know media files, and few formats of data.

use std::borrow::Cow;
use std::io::Cursor;

use zip::ZipArchive;

/// The formats that can be read, for messages.
pub(crate) const READ: &str = "wgrad reads CSV and TSV, gzipped or not, Parquet, .npz, .npy, safetensors, CIFAR's binary files (.bin), and images (PNG, \
                               JPEG, WebP, BMP, GIF, TIFF, PNM)";

/// A kind of file that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// The kind with an article: "a spreadsheet".
    pub what: Cow<'static, str>,
    instead: Cow<'static, str>,
}

impl Kind {
    /// The message that a data set is needed in place of such a file.
    pub fn not_read(&self) -> String {
        format!("it is {}, which is not read: {}; {READ}", self.what, self.instead)
    }
}

/// How a kind is recognized.
enum Sign {
    /// These bytes at this offset.
    At(usize, &'static [u8]),
    /// A property of the beginning of a text, without leading white space.
    Text(fn(&str) -> bool),
    Bytes(fn(&[u8]) -> bool),
}

use Sign::{At, Bytes, Text};

const AS_CSV: &str = "save the table as CSV";
const AS_ARRAYS: &str = "save its arrays by numpy.savez(\"set.npz\", x=…, y=…)";
const AS_TENSORS: &str = "save its tensors by safetensors.torch.save_file({\"x\": …, \"y\": …}, \"set.safetensors\")";
const AS_PARQUET: &str = "save the table as Parquet or CSV";
const AS_PNG: &str = "save it as PNG or JPEG";
const FRAMES: &str = "save its frames as PNG or JPEG, in a folder for each class";
const UNPACK: &str = "unpack it";
const IN_FOLDER: &str = "name the folder that has it and its companions";
const NUMBERS: &str = "make rows of numbers of it, as CSV or .npz";

/// The first entry whose sign matches gives a file's kind.
const KINDS: &[(Sign, &str, &str)] = &[
    // Tables.
    (
        Text(is_json_lines),
        "lines of JSON",
        "save them as CSV, as pandas.read_json(file, lines=True).to_csv(\"set.csv\", index=False)",
    ),
    (Text(is_json), "JSON", "save it as CSV, as pandas.read_json(file).to_csv(\"set.csv\", index=False)"),
    (
        Text(is_libsvm),
        "LIBSVM's sparse text",
        "save it by sklearn.datasets.load_svmlight_file(file) and numpy.savez(\"set.npz\", x=x.toarray(), y=y)",
    ),
    (Text(is_arff), "an ARFF table", "save it as CSV, by Weka or by scipy.io.arff"),
    (
        At(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "an old Office file, as XLS spreadsheets are",
        "save the sheet as CSV",
    ),
    (Bytes(is_onnx), "an ONNX model", "wgrad import converts it to a model; name a set"),
    (At(0, b"ARROW1\0\0"), "an Arrow (Feather) file", AS_PARQUET),
    (At(0, b"FEA1"), "a Feather file", AS_PARQUET),
    (Bytes(is_arrow_stream), "an Arrow stream", AS_PARQUET),
    (At(0, b"ORC"), "an ORC file", AS_PARQUET),
    (At(0, b"Obj\x01"), "an Avro file", AS_PARQUET),
    (At(0, b"SQLite format 3\0"), "an SQLite database", AS_CSV),
    (At(16, b"\xde\xc0\xef\xbe"), "an LMDB database", AS_ARRAYS),
    (At(0, b"<stata_dta>"), "a Stata file", AS_CSV),
    (At(0, b"$FL2"), "an SPSS file", AS_CSV),
    (At(12, b"\xc2\xea\x81\x60\xb3\x14\x11\xcf\xbd\x92"), "a SAS file", AS_CSV),
    (At(0, b"RDX"), "R's data", "save it by write.csv"),
    (At(0, b"X\n\0\0\0"), "R's data (RDS)", "save it by write.csv"),
    (At(0, b"\xff\xfe\0\0"), "text in UTF-32", "save it in UTF-8"),
    (At(0, b"\xff\xfe"), "text in UTF-16", "save it in UTF-8"),
    (At(0, b"\xfe\xff"), "text in UTF-16", "save it in UTF-8"),
    (Bytes(is_utf_16), "text in UTF-16", "save it in UTF-8"),
    // Arrays and models.
    (
        At(0, b"MATLAB 7.3 MAT-file"),
        "a MATLAB 7.3 file, which is HDF5",
        "save its arrays by h5py and numpy.savez(\"set.npz\", x=…, y=…)",
    ),
    (
        At(0, b"MATLAB 5.0 MAT-file"),
        "a MATLAB file",
        "save its arrays by scipy.io.loadmat and numpy.savez(\"set.npz\", x=…, y=…)",
    ),
    (At(0, b"\x89HDF\r\n\x1a\n"), "an HDF5 file", AS_ARRAYS),
    (At(512, b"\x89HDF\r\n\x1a\n"), "an HDF5 file", AS_ARRAYS),
    (At(0, b"CDF\x01"), "a NetCDF file", AS_ARRAYS),
    (At(0, b"CDF\x02"), "a NetCDF file", AS_ARRAYS),
    (At(0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"), "a PyTorch file", AS_TENSORS),
    (Bytes(is_pickle), "a pickle of Python, which could run code", AS_ARRAYS),
    (
        Text(|text| begins(text, &["(dp0\n", "(lp0\n", "ccopy_reg\n", "cnumpy"])),
        "a pickle of Python, which could run code",
        AS_ARRAYS,
    ),
    (Bytes(is_tf_record), "a TFRecord file", AS_ARRAYS),
    (At(0, b"\0\0\x08\x03"), "one file of IDX images", IN_FOLDER),
    (At(0, b"\0\0\x08\x01"), "one file of IDX labels", IN_FOLDER),
    (At(0, b"GGUF"), "a GGUF model", "name a set"),
    (At(4, b"TFL3"), "a TensorFlow Lite model", "name a set"),
    (Text(|text| text.starts_with("SIMPLE  =")), "a FITS file", AS_ARRAYS),
    (At(344, b"n+1\0"), "a NIfTI image", AS_ARRAYS),
    (At(128, b"DICM"), "a DICOM image", AS_PNG),
    // Packed files.
    (At(0, b"\x1f\x8b"), "a gzip file", UNPACK),
    (At(4, b"1AY&SY"), "a bzip2 file", UNPACK),
    (At(0, b"\xfd7zXZ\0"), "an xz file", UNPACK),
    (At(0, b"\x28\xb5\x2f\xfd"), "a Zstandard file", UNPACK),
    (At(0, b"\x04\x22\x4d\x18"), "an LZ4 file", UNPACK),
    (At(0, b"\x1f\x9d"), "a file packed by compress (.Z)", UNPACK),
    (At(0, b"7z\xbc\xaf\x27\x1c"), "a 7z archive", UNPACK),
    (At(0, b"Rar!\x1a\x07"), "a RAR archive", UNPACK),
    (At(257, b"ustar"), "a tar archive", UNPACK),
    // Images without a decoder here, sound and video.
    (Bytes(|bytes| is_brand(bytes, &[b"avif", b"avis"])), "an AVIF image", AS_PNG),
    (
        Bytes(|bytes| is_brand(bytes, &[b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"])),
        "a HEIC image",
        AS_PNG,
    ),
    (At(4, b"ftyp"), "a video (MP4)", FRAMES),
    (At(0, b"\0\0\0\x0cJXL \r\n\x87\n"), "a JPEG XL image", AS_PNG),
    (At(0, b"\xff\x0a"), "a JPEG XL image", AS_PNG),
    (At(0, b"\0\0\0\x0cjP  \r\n\x87\n"), "a JPEG 2000 image", AS_PNG),
    (At(0, b"\0\0\x01\0"), "an icon (ICO)", AS_PNG),
    (At(0, b"8BPS\0"), "a Photoshop image", AS_PNG),
    (At(0, b"v/1\x01"), "an OpenEXR image", AS_PNG),
    (At(0, b"DDS \x7c"), "a DDS image", AS_PNG),
    (At(0, b"gimp xcf"), "a GIMP image", AS_PNG),
    (Text(is_svg), "an SVG drawing", AS_PNG),
    (At(8, b"WAVE"), "sound (WAV)", NUMBERS),
    (At(0, b"fLaC"), "sound (FLAC)", NUMBERS),
    (At(0, b"OggS"), "sound or video (Ogg)", NUMBERS),
    (At(0, b"ID3"), "sound (MP3)", NUMBERS),
    (At(8, b"AVI LIST"), "a video (AVI)", FRAMES),
    (At(0, b"\x1a\x45\xdf\xa3"), "a video (Matroska, WebM)", FRAMES),
    // Pages, and other files that a failed download leaves in place of the data.
    (
        Text(|text| begins(text, &["version https://git-lfs"])),
        "a pointer of Git LFS, in place of the file",
        "fetch it by git lfs pull",
    ),
    (
        Text(|text| begins(text, &["<!doctype html", "<html"])),
        "a page of HTML",
        "a failed download often leaves one in place of the file: download it again",
    ),
    (Text(|text| begins(text, &["<?xml"])), "XML", AS_CSV),
    (Text(|text| begins(text, &["{\\rtf"])), "a document (RTF)", AS_CSV),
    (At(0, b"%PDF-1."), "a PDF document", AS_CSV),
];

/// The unreadable kind of a file with these first bytes, if it is one.
pub(crate) fn of(bytes: &[u8]) -> Option<Kind> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return of_archive(bytes);
    }
    if is_safetensors(bytes) {
        return None;
    }
    let text = text_of(bytes);
    let is_there = |(sign, ..): &&(Sign, &str, &str)| match sign {
        // A table may begin with the same letters: in a text, only a long sign counts.
        At(at, sign) => {
            bytes.get(*at..).is_some_and(|rest| rest.starts_with(sign)) && (text.is_none() || is_long(sign))
        }
        Text(is) => text.as_deref().is_some_and(is),
        Bytes(is) => text.is_none() && is(bytes),
    };
    let (_, what, instead) = KINDS.iter().find(is_there)?;
    Some(Kind { what: (*what).into(), instead: (*instead).into() })
}

/// Whether a sign is too long to be the beginning of a table by chance, although it consists of letters.
fn is_long(sign: &[u8]) -> bool {
    sign.len() > 5
}

/// Whether a file has the header of safetensors: a length, which may be any bytes, and JSON.
pub(crate) fn is_safetensors(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map_or(0, |&length| u64::from_le_bytes(length));
    let begin = bytes.get(8..10);
    (2..1 << 27).contains(&length)
        && begin.is_some_and(|begin| begin[0] == b'{' && matches!(begin[1], b'"' | b'}' | b' ' | b'\n'))
}

/// Whether the first bytes look like text: they have no control characters other than white space.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < b' ' && !b"\t\n\x0b\x0c\r\x1b".contains(byte);
    !bytes[..bytes.len().min(512)].iter().any(is_control)
}

/// The beginning of a text, without a byte order mark and white space.
fn text_of(bytes: &[u8]) -> Option<Cow<'_, str>> {
    let begin = &bytes[..bytes.len().min(1 << 16)];
    let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
    // These two bytes never occur in UTF-8.
    let is_other = begin.starts_with(b"\xff") || begin.starts_with(b"\xfe");
    (is_text(begin) && !is_other).then(|| String::from_utf8_lossy(begin.trim_ascii_start()))
}

fn begins(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word)))
}

fn is_json(text: &str) -> bool {
    let mut letters = text.chars().filter(|letter| !letter.is_whitespace());
    match (letters.next(), letters.next()) {
        (Some('{'), next) => matches!(next, Some('"' | '}') | None),
        (Some('['), next) => matches!(next, Some('{' | '[' | ']' | '"' | '-' | '0'..='9') | None),
        _ => false,
    }
}

fn is_json_lines(text: &str) -> bool {
    let is_value = |line: &str| is_json(line) && serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok();
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.next().is_some_and(is_value) && lines.next().is_some_and(is_json)
}

/// Whether a text is in LIBSVM's format: lines such as `1 1:0.5 7:2`.
fn is_libsvm(text: &str) -> bool {
    let is_pair = |word: &str| {
        word.split_once(':').is_some_and(|(index, value)| {
            (index == "qid" || index.parse::<u64>().is_ok()) && value.parse::<f64>().is_ok()
        })
    };
    let is_row = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let is_target = words.next().is_some_and(|word| word.split(',').all(|number| number.parse::<f64>().is_ok()));
        is_target && words.next().is_some_and(is_pair) && words.all(is_pair)
    };
    let whole = text.rfind('\n').map_or(text, |end| &text[..end]);
    let mut lines = whole.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).take(5).peekable();
    lines.peek().is_some() && lines.all(is_row)
}

fn is_arff(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('%'));
    lines.next().is_some_and(|line| begins(line, &["@relation "]))
}

fn is_svg(text: &str) -> bool {
    begins(text, &["<svg"]) || begins(text, &["<?xml"]) && text.contains("<svg")
}

/// Whether a file begins as an ONNX model: with its version of the format, and then another of the first fields of a model.
pub(crate) fn is_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=64, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..])
}

/// Whether a file begins as an Arrow stream: with a marker and a plausible length of metadata.
fn is_arrow_stream(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes);
    bytes.starts_with(b"\xff\xff\xff\xff") && length.is_some_and(|length| length > 0 && u64::from(length) < 1 << 24)
}

/// Whether a file begins as UTF-16 text: with letters of one byte, and a 0 after each or before each.
fn is_utf_16(bytes: &[u8]) -> bool {
    let (pairs, _) = bytes[..bytes.len().min(128)].as_chunks();
    let is_letter = |byte: u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    pairs.len() >= 4
        && (pairs.iter().all(|&[low, high]| is_letter(low) && high == 0)
            || pairs.iter().all(|&[high, low]| is_letter(low) && high == 0))
}

/// Whether a file begins as a Python pickle: with a protocol from 2 to 5 and an instruction, or with a dictionary or a list of protocol 1.
fn is_pickle(bytes: &[u8]) -> bool {
    bytes.starts_with(b"}q\0")
        || bytes.starts_with(b"]q\0")
        || matches!(bytes, [0x80, 2..=5, first, ..] if *first == 0x95 || first.is_ascii_graphic() || *first > 0x80)
}

/// Whether a file begins as a TFRecord: with a length and its checksum.
fn is_tf_record(bytes: &[u8]) -> bool {
    let (Some(length), Some(sum)) = (bytes.first_chunk::<8>(), bytes.get(8..12)) else { return false };
    crate::tensorboard::record::checksum(length) == sum
}

/// Whether a file is an ISO media file of one of these brands.
fn is_brand(bytes: &[u8], brands: &[&[u8; 4]]) -> bool {
    bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..12).is_some_and(|brand| brands.iter().any(|known| brand == *known))
}

/// The kind of a zip archive that holds no array.
fn of_archive(bytes: &[u8]) -> Option<Kind> {
    // A damaged archive is reported by its reader.
    let archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let names: Vec<String> = archive.file_names().filter_map(Result::ok).map(Into::into).collect();
    let has = |end: &str| names.iter().any(|name| name.ends_with(end));
    if has(".npy") {
        return None;
    }
    let known = [
        ("xl/workbook.xml", "a spreadsheet (XLSX)", "save the sheet as CSV"),
        ("xl/workbook.bin", "a spreadsheet (XLSB)", "save the sheet as CSV"),
        ("word/document.xml", "a document (DOCX)", AS_CSV),
        ("content.xml", "a spreadsheet or document (OpenDocument)", "save the sheet as CSV"),
        ("data.pkl", "a PyTorch file", AS_TENSORS),
        ("model.weights.h5", "a Keras model", "name a set"),
    ];
    if let Some((_, what, instead)) = known.into_iter().find(|(end, ..)| has(end)) {
        return Some(Kind { what: what.into(), instead: instead.into() });
    }
    let is_file = |name: &&String| !name.ends_with('/') && !name.split('/').any(super::folder::is_left_out);
    let mut files = names.iter().filter(is_file);
    let first = files.next();
    let what = match (first, files.count()) {
        (None, _) => "a zip archive with no file in it".to_string(),
        (Some(first), 0) => format!("a zip archive that has {first} and no array"),
        (Some(first), others) => format!("a zip archive that has {first}, {others} more and no array"),
    };
    Some(Kind { what: what.into(), instead: "unpack it, and name what was in it".into() })
}
