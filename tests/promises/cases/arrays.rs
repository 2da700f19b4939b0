//! Arrays, and files of other kinds.

use wgrad::{Dataset, ReadOptions, Sets, Stored};
use zip::CompressionMethod;

use super::{case, train, wgrad};
use crate::data::gzipped;
use crate::hostile::{npy, npz};

/// `x` of eight rows of two values, their numbers.
fn x() -> Vec<u8> {
    npy("<f4", "(8, 2)", bytemuck::cast_slice(&(0u8..16).map(f32::from).collect::<Vec<f32>>()))
}

fn set_of(y: Vec<u8>) -> Vec<u8> {
    npz(&[("x.npy", &x()), ("y.npy", &y)], CompressionMethod::Stored)
}

fn words(descr: &str, words: [&str; 8]) -> Vec<u8> {
    let letters = descr[2..].parse::<usize>().unwrap();
    let of = |word: &str| -> Vec<u8> {
        let padded = word.chars().chain(std::iter::repeat('\0')).take(letters).map(u32::from);
        match &descr[..2] {
            "|S" => padded.map(|letter| letter as u8).collect(),
            "<U" => padded.flat_map(u32::to_le_bytes).collect(),
            _ => padded.flat_map(u32::to_be_bytes).collect(),
        }
    };
    npy(descr, "(8,)", &words.map(of).concat())
}

fn read(bytes: &[u8]) -> Result<Dataset, wgrad::Error> {
    Dataset::from_bytes(bytes, &ReadOptions::default())
}

#[track_caller]
fn refused(bytes: &[u8], words: &[&str]) {
    let error = read(bytes).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let error = error.to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "no \"{word}\" in: {error}"));
}

const LABELS: [i64; 8] = [0, 1, 2, 1, 0, 0, 2, 1];

#[test]
fn arrays_minus_one_and_one() {
    let (ran, _folder) = train("arrays_minus_one_and_one", &["--data", "set.npz", "--epochs", "1"]);
    ran.refused(&["set.npz: the label of row 0 is -1", "labels go from 0 to 1", "labels count from 0", "ignore_index"]);
    // Beside a set that is whole; and as what is left out.
    let folder = tempfile::tempdir().unwrap();
    let minus: Vec<i64> = LABELS.iter().map(|&label| if label == 2 { -7 } else { label }).collect();
    let file = |labels: &[i64]| set_of(npy("<i8", "(8,)", bytemuck::cast_slice(labels)));
    std::fs::write(folder.path().join("whole.npz"), file(&LABELS)).unwrap();
    std::fs::write(folder.path().join("minus.npz"), file(&minus)).unwrap();
    let arguments = ["train", "--epochs", "1", "--batch-size", "4", "--data"];
    let ran = wgrad(folder.path(), &[&arguments[..], &["whole.npz", "--validation", "minus.npz"]].concat());
    ran.refused(&["minus.npz: the label of row 2 is -7", "labels go from 0 to 2"]);
    std::fs::write(folder.path().join("run.toml"), "[loss]\nkind = \"softmax-cross-entropy\"\nignore_index = -7\n")
        .unwrap();
    let ran = wgrad(folder.path(), &[&arguments[..], &["minus.npz", "--config", "run.toml"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.said);
    // Labels counted from 1: no row has class 0, and a note says so.
    std::fs::write(folder.path().join("one.npz"), file(&LABELS.map(|label| label + 1))).unwrap();
    let ran = wgrad(folder.path(), &[&arguments[..], &["one.npz"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.said);
    ran.says(&["one.npz: its labels go from 1 to 3, and labels count from 0"]);
    assert_eq!(ran.event("start")["notes"].as_array().unwrap().len(), 1);
}

#[test]
fn arrays_one_hot_y() {
    let (ran, _folder) = train("arrays_one_hot_y", &["--data", "set.npz", "--epochs", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    ran.says(&["set.npz: y is one-hot, [64, 3]", "name them t"]);
    let hot =
        |value: fn(bool) -> u8| LABELS.iter().flat_map(|&label| (0..3).map(move |at| value(at == label))).collect();
    let bytes: Vec<u8> = hot(u8::from);
    for (descr, values) in [
        ("|b1", bytes.clone()),
        ("|u1", bytes.clone()),
        ("<i8", bytes.iter().flat_map(|&value| i64::from(value).to_le_bytes()).collect()),
        ("<f8", bytes.iter().flat_map(|&value| f64::from(value).to_le_bytes()).collect()),
    ] {
        let set = read(&set_of(npy(descr, "(8, 3)", &values))).unwrap();
        assert_eq!((set.labels(), set.classes(), set.notes().len()), (&LABELS.map(|label| label as u32)[..], 3, 1));
    }
    // Two of a row, none of a row, halves.
    for (at, value) in [(1, 1), (0, 0), (0, 2)] {
        let mut other = bytes.clone();
        other[at] = value;
        refused(&set_of(npy("|u1", "(8, 3)", &other)), &["y has the shape [8, 3]", "which row 0 is not", "named t"]);
    }
    // For a loss of numbers they are values.
    let regression = ReadOptions { regression: true, ..ReadOptions::default() };
    let set = Dataset::from_bytes(&set_of(npy("|u1", "(8, 3)", &bytes)), &regression).unwrap();
    assert_eq!(set.values().unwrap(), bytes.iter().map(|&value| f32::from(value)).collect::<Vec<f32>>());
}

/// Finds an element type that is read as another one in silence, and a message that does not help.
#[test]
fn labels_of_other_types() {
    let labels = LABELS.map(|label| label as u32);
    let floats = LABELS.map(|label| label as f64);
    let of = |descr: &str, shape: &str, values: &[u8]| set_of(npy(descr, shape, values));
    let set = read(&of("<f8", "(8,)", bytemuck::cast_slice(&floats))).unwrap();
    assert_eq!((set.labels(), set.notes().len()), (&labels[..], 1), "{:?}", set.notes());
    assert_eq!(read(&of("<i8", "(8, 1)", bytemuck::cast_slice(&LABELS))).unwrap().labels(), labels);
    let regression = ReadOptions { regression: true, ..ReadOptions::default() };
    let set = Dataset::from_bytes(&of("<f8", "(8,)", bytemuck::cast_slice(&floats)), &regression).unwrap();
    assert_eq!(set.values().unwrap(), LABELS.map(|label| label as f32));
    let halves = floats.map(|label| label + 0.5);
    refused(&of("<f8", "(8,)", bytemuck::cast_slice(&halves)), &["y is F64, and row 0 is 0.5", "named t"]);

    // Words are the classes' names, in any of NumPy's three ways to write them.
    let names = ["b", "a", "ü", "a", "b", "b", "ü", "a"];
    for descr in ["<U3", ">U1"] {
        let set = read(&set_of(words(descr, names))).unwrap();
        assert_eq!(
            (set.class_names(), set.labels()),
            (&["a", "b", "ü"].map(String::from)[..], &[1, 0, 2, 0, 1, 1, 2, 0][..])
        );
    }
    let set = read(&set_of(words("|S4", names.map(|name| if name == "ü" { "down" } else { name })))).unwrap();
    assert_eq!(set.class_names(), ["a", "b", "down"]);
    let model = ReadOptions { class_names: ["ü", "b", "a"].map(String::from).to_vec(), ..ReadOptions::default() };
    assert_eq!(Dataset::from_bytes(&set_of(words("<U1", names)), &model).unwrap().labels(), [1, 2, 0, 2, 1, 1, 0, 2]);
    refused(&set_of(words("<U1", ["", "a", "a", "a", "a", "a", "a", "a"])), &["y of row 0 is an empty text"]);
    refused(
        &npz(&[("x.npy", &words("<U1", names)), ("y.npy", &words("<U1", names))], CompressionMethod::Stored),
        &["x: it holds text"],
    );

    for (descr, way_out) in [("|O", "astype"), ("<M8[s]", "int64"), ("<c8", "a.real"), ("<f16", "float64")] {
        refused(&of(descr, "(8,)", &[0; 128]), &["y: its header", way_out]);
    }
    let structured = npy("<f4", "(8,)", &[]).iter().map(|&byte| byte as char).collect::<String>();
    let structured = structured.replace("'<f4'", "[('a', '<f4'), ('b', '<f4')]");
    let length = (structured.chars().count() - 10) as u8;
    let mut bytes: Vec<u8> = structured.chars().map(|letter| letter as u8).collect();
    bytes[8] = length;
    refused(&set_of(bytes), &["structured array", "structured_to_unstructured"]);
}

/// Headers that Python 2 wrote are read.
#[test]
fn python_2_headers() {
    let python_3 = npy("<f4", "(8, 2)", &x()[x().len() - 64..]);
    let set = read(&set_of(npy("<i8", "(8,)", bytemuck::cast_slice(&LABELS)))).unwrap();
    for text in [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (8L, 2L), }\n",
        "{u'descr': u'<f4', u'fortran_order': False, u'shape': (8L, 2L), }\n",
        "{'shape': (8L, 2L), 'fortran_order': False, 'descr': u'<f4'}\n",
    ] {
        let header = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
        let x = [&header[..], &python_3[python_3.len() - 64..]].concat();
        let y = npy("<i8", "(8L,)", bytemuck::cast_slice(&LABELS));
        assert_eq!(read(&npz(&[("x.npy", &x), ("y.npy", &y)], CompressionMethod::Stored)).unwrap(), set, "{text}");
    }
}

/// Finds names of parts that are lost in silence, in any case of letters; and two names of the same part.
#[test]
fn arrays_of_three_parts() {
    let y = npy("<i8", "(8,)", bytemuck::cast_slice(&LABELS));
    let (x2, y2) = (npy("<f4", "(2, 2)", &[0; 16]), npy("<i8", "(2,)", &[0; 16]));
    let (x1, y1) = (npy("<f4", "(1, 2)", &[0; 8]), npy("<i8", "(1,)", &[0; 8]));
    let folder = tempfile::tempdir().unwrap();
    for (train, validation, test) in [
        ("", "_val", "_test"),
        ("_train", "_valid", "_test"),
        ("_Train", "_VALIDATION", "_Testing"),
        ("_training", "_dev", "_TEST"),
    ] {
        for upper in [false, true] {
            let arrays = [
                ("x", train, &x()),
                ("y", train, &y),
                ("x", validation, &x2),
                ("y", validation, &y2),
                ("x", test, &x1),
                ("y", test, &y1),
            ];
            let name = |letter: &str, part: &str| {
                format!("{}{part}.npy", if upper { letter.to_uppercase() } else { letter.to_string() })
            };
            let named: Vec<(String, &[u8])> =
                arrays.iter().map(|(letter, part, bytes)| (name(letter, part), &bytes[..])).collect();
            let entries: Vec<(&str, &[u8])> = named.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
            let file = folder.path().join("set.npz");
            std::fs::write(&file, npz(&entries, CompressionMethod::Stored)).unwrap();
            let arrays = folder.path().join(format!("arrays{train}{upper}"));
            std::fs::create_dir(&arrays).unwrap();
            entries.iter().for_each(|(name, bytes)| std::fs::write(arrays.join(name), bytes).unwrap());
            for path in [&file, &arrays] {
                let sets = Sets::read(path, &ReadOptions::default()).unwrap();
                let rows = |set: &Option<Dataset>| set.as_ref().map(Dataset::rows);
                assert_eq!(
                    (sets.train.rows(), rows(&sets.validation), rows(&sets.test)),
                    (8, Some(2), Some(1)),
                    "{path:?}"
                );
                let (set, beside) = Dataset::read(path, &ReadOptions::default()).unwrap();
                assert_eq!((rows(&beside), set.notes().len()), (Some(2), 1));
            }
        }
    }
    let twice = [("x.npy", &x()[..]), ("y.npy", &y), ("X_train.npy", &x()), ("y_train.npy", &y)];
    refused(&npz(&twice, CompressionMethod::Stored), &["X_train and x", "leave one of them out"]);
    let bare = [("x.npy", &x()[..]), ("y.npy", &y), ("x_test.npy", &x2)];
    let set = read(&npz(&bare, CompressionMethod::Stored)).unwrap();
    assert!(set.notes().concat().contains("x_test is left out, as it has no y_test"), "{:?}", set.notes());
}

/// A file that is read in windows knows the same words.
#[test]
fn stored_sets_of_three_parts() {
    let bytes = crate::bad_input::tensors(
        &[
            ("X_train", &[4, 2], &[0.5; 8]),
            ("t_train", &[4, 1], &[1.0; 4]),
            ("x_Val", &[2, 2], &[0.25; 4]),
            ("t_Val", &[2, 1], &[2.0; 2]),
        ],
        None,
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let stored = Stored::open(file.path()).unwrap();
    let sets = Sets::read(file.path(), &ReadOptions::default()).unwrap();
    assert_eq!((wgrad::Source::rows(&stored), stored.test().unwrap()), (4, None));
    assert_eq!(stored.validation().unwrap(), sets.validation);
    assert_eq!(sets.validation.unwrap().values().unwrap(), [2.0, 2.0]);
}

#[test]
fn csv_gz() {
    let (ran, _folder) = train("csv_gz", &["--data", "set.csv.gz", "--epochs", "1"]);
    assert_eq!((ran.code, &ran.event("start")["rows"]), (0, &60.into()), "{}", ran.said);
    let set = Dataset::read(case("csv_gz").join("set.csv.gz"), &ReadOptions::default()).unwrap().0;
    assert_eq!((set.rows(), set.classes()), (60, 3));

    let folder = tempfile::tempdir().unwrap();
    let text = "a,b\n1,u\n2,v\n3,u\n";
    let tabs = text.replace(',', "\t");
    let whole = read(text.as_bytes()).unwrap();
    let mut named = flate2::GzBuilder::new().filename("inner.tsv").write(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut named, tabs.as_bytes()).unwrap();
    let parts = [gzipped(&text.as_bytes()[..7]), gzipped(&text.as_bytes()[7..])].concat();
    for (name, bytes) in [
        ("a.csv.gz", gzipped(text.as_bytes())),
        ("A.TSV.GZ", gzipped(tabs.as_bytes())),
        ("data.gz", named.finish().unwrap()),
        ("packed.csv", gzipped(text.as_bytes())),
        ("parts.csv.gz", parts),
    ] {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let set =
            Dataset::read(folder.path().join(name), &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((set.0.row(2).unwrap(), set.0.labels()), (whole.row(2).unwrap(), whole.labels()), "{name}");
        assert_eq!(set.0.table(), whole.table(), "{name}");
    }
    let cut = gzipped(text.as_bytes());
    refused(&cut[..cut.len() - 9], &["it is not a whole gzip file"]);
    refused(&gzipped(&cut), &["it is a gzip file", "unpack it"]);
    refused(&gzipped(b"[{\"a\": 1}]"), &["it is JSON, which is not read"]);
}

#[test]
fn csv_in_zip() {
    let (ran, _folder) = train("csv_in_zip", &["--data", "set.zip", "--epochs", "1"]);
    ran.refused(&["a zip archive that has set.csv and no array", "unpack it"]);
    let of = |names: &[&str]| {
        npz(&names.iter().map(|name| (*name, &b"x"[..])).collect::<Vec<_>>(), CompressionMethod::Stored)
    };
    refused(&of(&["__MACOSX/._a.tsv", "a.tsv"]), &["has a.tsv and no array"]);
    refused(&of(&["cat/1.png", "dog/1.png", "dog/2.png"]), &["has cat/1.png, 2 more and no array"]);
    refused(&of(&["[Content_Types].xml", "xl/workbook.xml"]), &["a spreadsheet (XLSX)", "save the sheet as CSV"]);
    refused(&of(&["mimetype", "content.xml"]), &["OpenDocument"]);
    refused(&of(&["archive/data.pkl", "archive/data/0"]), &["a PyTorch file", "safetensors"]);
    refused(&of(&[]), &["no file in it"]);
}

#[test]
fn lines_of_json() {
    for name in ["set.jsonl", "set.json"] {
        let (ran, _folder) = train("lines_of_json", &["--data", name, "--epochs", "1"]);
        ran.refused(&[&format!("{name}: it is"), "JSON, which is not read", "wgrad reads CSV and TSV"]);
    }
    for text in ["[[1, 2, 3],\n[4, 5, 6]]", "{\n  \"a\": [1, 2]\n}", "\u{feff} [ ]", "[\"a\", 1]\n[\"b\", 2]\n", "[-1]"]
    {
        refused(text.as_bytes(), &["JSON, which is not read"]);
    }
}

/// Finds a file that is taken for a table or for arrays, and is neither; and a message that does not name its kind.
#[test]
fn other_kinds_of_files_are_named() {
    let at = |place: usize, sign: &[u8]| [&vec![0; place], sign, &[0; 600]].concat();
    let utf_16: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    // What TensorFlow's writer makes of "123456789".
    let record = b"\x09\0\0\0\0\0\0\0\x37\xf9\x71\x39123456789\xe5\xb0\x8a\xc7";
    for (bytes, kind) in [
        (at(0, b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
        (at(512, b"\x89HDF\r\n\x1a\n"), "an HDF5 file"),
        (at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "XLS"),
        (at(0, b"ARROW1\0\0"), "an Arrow (Feather) file"),
        (at(0, b"\xff\xff\xff\xff\x10\x01\0\0"), "an Arrow stream"),
        (at(0, b"ORC\x0a"), "an ORC file"),
        (at(0, b"Obj\x01"), "an Avro file"),
        (at(0, b"SQLite format 3\0"), "an SQLite database"),
        (at(0, b"\x80\x04\x95"), "a pickle"),
        (b"(dp0\nS'x'\np1\n".to_vec(), "a pickle"),
        (at(0, b"MATLAB 5.0 MAT-file, Platform"), "a MATLAB file"),
        (at(0, b"MATLAB 7.3 MAT-file, Platform"), "which is HDF5"),
        (record.to_vec(), "a TFRecord file"),
        (at(0, b"BZh91AY&SY"), "a bzip2 file"),
        (at(0, b"\xfd7zXZ\0"), "an xz file"),
        (at(0, b"\x28\xb5\x2f\xfd"), "a Zstandard file"),
        (at(0, b"7z\xbc\xaf\x27\x1c"), "a 7z archive"),
        (at(0, b"Rar!\x1a\x07\x01"), "a RAR archive"),
        (at(257, b"ustar\x0000"), "a tar archive"),
        (at(0, b"\0\0\0\x18ftypheic"), "a HEIC image"),
        (at(0, b"\0\0\0\x18ftypavif"), "an AVIF image"),
        (at(0, b"8BPS\0\x01"), "a Photoshop image"),
        (at(0, b"RIFF\x10\0\0\0WAVEfmt "), "sound (WAV)"),
        (at(0, b"\0\0\x08\x03\0\0\0\x01"), "IDX images"),
        (b"%PDF-1.7\n1 0 obj\n".to_vec(), "a PDF document"),
        (b"\n<!doctype HTML>\n<html>".to_vec(), "a page of HTML"),
        (b"<?xml version=\"1.0\"?><a/>".to_vec(), "XML"),
        (b"<?xml version=\"1.0\"?><svg/>".to_vec(), "an SVG drawing"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "git lfs pull"),
        (b"+1 1:0.5 12:3e-2\n-1 2:1 # a comment\n".to_vec(), "LIBSVM"),
        (b"% made by Weka\n@RELATION iris\n".to_vec(), "an ARFF table"),
        ([b"\xff\xfe", &utf_16[..]].concat(), "text in UTF-16, which is not read: save it in UTF-8"),
        (utf_16.clone(), "text in UTF-16"),
        (
            [b"\xfe\xff".to_vec(), utf_16.chunks(2).flat_map(|pair| [pair[1], pair[0]]).collect()].concat(),
            "text in UTF-16",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        // The name does not matter.
        for name in ["set", "set.csv", "set.npz", "set.png", "set.data"] {
            std::fs::write(folder.path().join(name), &bytes).unwrap();
            let error =
                Dataset::read(folder.path().join(name), &ReadOptions::default()).map(drop).unwrap_err().to_string();
            assert!(error.contains(kind) && error.contains("wgrad reads CSV"), "{name}: no \"{kind}\" in: {error}");
        }
        refused(&bytes, &[kind]);
    }
    refused(&[0x9d; 100], &["it is not UTF-8"]);
    refused(&[3, 0, 7, 9, 1], &["its format is not known", "wgrad reads CSV"]);
    // Where a model is needed.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.pt"), at(0, b"\x89HDF\r\n\x1a\n")).unwrap();
    wgrad(folder.path(), &["inspect", "model.pt"])
        .refused(&["model.pt: it is an HDF5 file: it is not a whole safetensors file"]);
}

/// Finds tables that are lost because they begin with the magic bytes of another format, or with what could be the length of a safetensors header.
#[test]
fn letters_that_begin_other_formats() {
    for first in [
        "BMI", "P5", "P6", "PAR1", "ORC", "ID3", "GIF89a", "RIFF", "II*", "OggS", "$FL2", "GGUF", "FEA1", "RDX2", "BM",
        "CDF",
    ] {
        let text = format!("{first},b\n1,u\n2,v\n");
        let set = read(text.as_bytes()).unwrap_or_else(|error| panic!("{first}: {error}"));
        assert_eq!((set.rows(), set.width()), (2, 1), "{first}");
    }
    let plain = crate::bad_input::tensors(&[("x", &[1, 2], &[1.0, 2.0]), ("t", &[1, 1], &[1.0])], None);
    let expected = read(&plain).unwrap();
    let header = u64::from_le_bytes(plain[..8].try_into().unwrap()) as usize;
    for length in [*b"BM", *b"\xff\xfe", *b"\xff\x0a", *b"\x1f\x8b", *b"P5"] {
        let longer = usize::from(u16::from_le_bytes(length));
        let padded = [&plain[8..8 + header], &vec![b' '; longer - header]].concat();
        let file = [&(longer as u64).to_le_bytes()[..], &padded, &plain[8 + header..]].concat();
        assert_eq!(read(&file).unwrap_or_else(|error| panic!("{length:?}: {error}")), expected);
    }
}
