//! Files that were made to do harm, or cut short: an error each, and never more memory than the file can hold.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use wgrad::{Dataset, FORMATS, Format, ReadOptions};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::formats::fixture;
use crate::support::{Random, wgrad};

// By its path, as tests/parquet.rs has this file too.
#[cfg(feature = "parquet")]
#[path = "hostile/parquet.rs"]
mod parquet;

fn format(word: &str) -> &'static Format {
    FORMATS.iter().find(|format| format.word == word).unwrap()
}

/// Both ways of reading: with targets, and features alone.
fn both() -> [ReadOptions; 2] {
    [ReadOptions::default(), ReadOptions::inputs()]
}

#[track_caller]
fn refused(word: &str, bytes: &[u8], words: &str) {
    for options in both() {
        let error = (format(word).read)(Path::new("hostile"), bytes, &options).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        // An array or an image alone is refused before it is looked at.
        let words = match (word, options.inputs_only) {
            ("npy", false) => "an array alone has no targets",
            ("image", false) => "one image is not a set to train on",
            _ => words,
        };
        assert!(error.to_string().contains(words), "{word}: no \"{words}\" in: {error}");
    }
}

/// `.npy` with any header.
pub fn npy(descr: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), values].concat()
}

pub fn npz(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Finds a count in a header that is believed before it is compared with the file.
#[test]
fn headers_that_lie() {
    for shape in [
        "(1152921504606846976, 2)",
        "(4294967295, 4294967295)",
        "(99999999999999999999, 1)",
        "(2, 18446744073709551615)",
    ] {
        let lying = npy("<f4", shape, &[0; 16]);
        let entries = [("x.npy", &lying[..]), ("y.npy", &npy("<i8", "(2,)", &[0; 16])[..])];
        refused("npy", &lying, "its header");
        refused("npz", &npz(&entries, CompressionMethod::Stored), "its header");
    }
    refused("npy", &npy("<f4", "(1000000, 1000)", &[0; 16]), "only 16: it is cut short");
    refused("npy", &npy("<f4", "(2, 1)", &[0; 16]), "more");
    refused("npy", &npy("<f4", "(0, 1)", &[]), "empty");
    refused("npy", &npy("|O", "(2, 2)", &[0; 16]), "its header");
    refused("npy", &npy("<f4", "(2, -2)", &[0; 16]), "its header");
    refused("npy", &npy("<f4", &format!("({})", "1,".repeat(1000)), &[0; 4]), "its header");
    // Four gigabytes of header, and a header that nests.
    refused("npy", &[b"\x93NUMPY\x02\x00", &u32::MAX.to_le_bytes()[..], &[b' '; 64]].concat(), "4294967295 bytes");
    refused("npy", &npy(&"(".repeat(30_000), "(2, 2)", &[0; 16]), "its header");

    let tensors = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    for header in [
        r#"{"x":{"dtype":"F32","shape":[1152921504606846976,2],"data_offsets":[0,16]}}"#,
        r#"{"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,18446744073709551615]}}"#,
        r#"{"x":{"dtype":"F32","shape":[18446744073709551615,18446744073709551615],"data_offsets":[0,4]}}"#,
    ] {
        refused("safetensors", &tensors(header), "not a whole safetensors file");
    }
    refused("safetensors", &tensors(&"[".repeat(1 << 20)), "not a whole safetensors file");
    for length in [1u64 << 60, 100_000_000, 100_000_001] {
        refused("safetensors", &[&length.to_le_bytes()[..], b"{}"].concat(), "not a whole safetensors file");
    }
}

/// Finds a set with no test rows, whose other sizes overflow while the number of bytes is right.
#[test]
fn ranges_without_rows() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let header = r#"{"x_train":{"dtype":"U8","shape":[1,2],"data_offsets":[0,2]},"y_train":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},"x_test":{"dtype":"F32","shape":[0,1099511627776,1099511627776],"data_offsets":[3,3]}}"#;
    std::fs::write(&file, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 3]].concat()).unwrap();
    let error = wgrad::Stored::open(file.path()).map(drop).unwrap_err();
    assert!(error.to_string().contains("a row of x_test takes"), "{error}");
}

/// A safetensors header that really has 100 MB is parsed.
#[test]
fn a_header_of_100_mb() {
    let header = vec![b' '; 100_000_001];
    refused(
        "safetensors",
        &[&(header.len() as u64).to_le_bytes()[..], &header].concat(),
        "not a whole safetensors file",
    );
}

/// Finds an archive that inflates to more than its arrays' headers say, or than memory has.
#[test]
fn zip_bombs() {
    let y = npy("<i8", "(2,)", &[0; 16]);
    // A thousandfold: 64 MB of zeros after an array of 16 bytes.
    let bomb = [npy("<f4", "(2, 2)", &[0; 16]), vec![0; 64 << 20]].concat();
    let archive = npz(&[("x.npy", &bomb), ("y.npy", &y)], CompressionMethod::Deflated);
    assert!(archive.len() < 1 << 18, "{}", archive.len());
    refused("npz", &archive, "more");
    // One that says so, beyond what fits.
    let honest =
        npz(&[("x.npy", &npy("|u1", "(1048576, 1048576)", &[0; 1 << 20])), ("y.npy", &y)], CompressionMethod::Deflated);
    refused("npz", &honest, "at most 4 GiB");
    // Arrays that are not needed are not inflated.
    let x = npy("|u1", "(2, 2)", &[1, 2, 3, 4]);
    let other = npz(&[("x.npy", &x), ("y.npy", &y), ("z.npy", &bomb)], CompressionMethod::Deflated);
    assert_eq!((format("npz").read)(Path::new("z"), &other, &ReadOptions::default()).unwrap().train.rows(), 2);
    refused("npz", &npz(&[("y.npy", &y)], CompressionMethod::Stored), "no array x");
    refused("npz", b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0", "npz");
}

/// Finds images that ask for terabytes of pixels.
#[cfg(feature = "images")]
#[test]
fn images_of_absurd_size() {
    let chunk = |kind: &[u8; 4], content: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(&[&kind[..], content].concat());
        [&(content.len() as u32).to_be_bytes()[..], kind, content, &crc.sum().to_be_bytes()].concat()
    };
    let png = |width: u32, height: u32| {
        let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &[0; 8]), &chunk(b"IEND", &[])].concat()
    };
    for (width, height) in [(u32::MAX, u32::MAX), (1 << 31, 1), (60_000, 60_000), (16_000, 16_000), (0, 0)] {
        refused("image", &png(width, height), "not a whole PNG image");
    }
    refused("image", b"\xff\xd8\xff\xe0\x00\x10JFIF", "not a whole JPEG image");
    refused("image", b"GIF89a", "not a whole GIF image");
    // The same in the other kinds, whose headers have sizes of 16, 32 and 14 bits, and any number of letters.
    let four = |name: &str| std::fs::read(fixture("kinds").join(name)).unwrap();
    let with = |name: &str, at: usize, sizes: &[u8]| {
        let mut bytes = four(name);
        bytes[at..at + sizes.len()].copy_from_slice(sizes);
        bytes
    };
    for side in [60_000u32, 0x7fff_ffff, 16_384] {
        refused(
            "image",
            &with("four.bmp", 18, &[side.to_le_bytes(), side.to_le_bytes()].concat()),
            "not a whole BMP image",
        );
        refused("image", format!("P5\n{side} {side}\n255\n").as_bytes(), "not a whole PNM image");
        // Its first two entries are the sides.
        let entries = four("four.tif");
        let place = u32::from_le_bytes(entries[4..8].try_into().unwrap()) as usize + 2;
        let tags: Vec<u16> =
            [0, 12].map(|at| u16::from_le_bytes([entries[place + at], entries[place + at + 1]])).to_vec();
        assert_eq!(tags, [256, 257]);
        let side = side.to_le_bytes();
        let long = [&[4, 0, 1, 0, 0, 0][..], &side].concat();
        let sides = [&256u16.to_le_bytes()[..], &long, &257u16.to_le_bytes(), &long].concat();
        refused("image", &with("four.tif", place, &sides), "not a whole TIFF image");
    }
    refused("image", &with("four.gif", 6, &[0xff; 4]), "not a whole GIF image");
    refused("image", &with("frames.webp", 24, &[0xff; 6]), "not a whole WEBP image");
    refused("image", format!("P6\n{} 1\n255\n", "9".repeat(1 << 20)).as_bytes(), "not a whole PNM image");
    let named = ReadOptions {
        image: Some(wgrad::ImageShape { height: 1 << 40, width: 1 << 40, channels: 3 }),
        ..both()[0].clone()
    };
    crate::support::refused(
        &["animals: no images are 1099511627776×1099511627776×3"],
        Dataset::read(fixture("animals"), &named),
    );
}

/// Every file that is cut short at any length, or has other bytes, gives an error or another set, and no panic.
#[test]
fn files_cut_short_or_damaged() {
    let mut random = Random(7);
    for (word, name) in [
        ("npz", "compressed.npz"),
        ("npz", "fortran.npz"),
        ("npy", "pair/x.npy"),
        ("safetensors", "f16.safetensors"),
        ("image", "animals/cat/1.png"),
        ("image", "animals/dog/1.jpg"),
        ("image", "kinds/four.bmp"),
        ("image", "kinds/four.gif"),
        ("image", "kinds/four_lzw.tif"),
        ("image", "kinds/four.webp"),
        ("image", "kinds/four.pgm"),
        ("image", "kinds/frames.gif"),
        ("image", "kinds/frames.webp"),
        ("parquet", "table.parquet"),
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        let read = |bytes: &[u8], what: &str| {
            for options in both() {
                let outcome =
                    catch_unwind(AssertUnwindSafe(|| (format(word).read)(Path::new(name), bytes, &options).map(drop)));
                assert!(outcome.is_ok(), "{name}, {what}: a panic");
            }
        };
        for length in 0..whole.len() {
            read(&whole[..length], &format!("{length} bytes"));
            // An image may have lost no more than its end.
            if word != "image" {
                for options in both() {
                    let cut = (format(word).read)(Path::new(name), &whole[..length], &options);
                    assert!(cut.is_err(), "{name}: {length} bytes are read as a whole file");
                }
            }
        }
        for _ in 0..500 {
            let mut damaged = whole.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(damaged.len());
                damaged[at] = random.bits() as u8;
            }
            read(&damaged, "damaged");
        }
    }
}

/// Paths that are no files of data give errors: an empty folder, a file without the permission to read it, a pipe without a writer.
#[test]
fn paths_that_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder.csv")).unwrap();
    let mut cases: Vec<(&str, &str)> = vec![("folder.csv", "no train-images"), ("missing.csv", "there is no")];
    #[cfg(unix)]
    {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let secret = folder.path().join("secret.csv");
        std::fs::write(&secret, "1,2\n").unwrap();
        std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o000)).unwrap();
        // A user who may read everything can read this, too, and gives that right up first.
        let may_all = std::fs::File::open(&secret).is_ok();
        let without = if may_all { "setpriv --bounding-set=-dac_override,-dac_read_search " } else { "" };
        let shell = |script: &str| {
            std::process::Command::new("sh").current_dir(folder.path()).args(["-c", script]).output().unwrap()
        };
        if shell(&format!("exec {without}sh -c 'cat secret.csv || exit 77'")).status.code() == Some(77) {
            let output = shell(&format!("exec {without}'{}' train --data secret.csv", env!("CARGO_BIN_EXE_wgrad")));
            let message = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{message}");
            assert!(message.contains("secret.csv: Permission denied"), "{message}");
        } else {
            println!("not checked: a file of others; the right to read everything cannot be given up here");
        }
        let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.csv")).status().unwrap();
        assert!(made.success());
        cases.push(("pipe.csv", "pipe.csv: it is a named pipe"));
        for arguments in [&["train", "--config", "pipe.csv"][..], &["inspect", "pipe.csv"]] {
            let output = wgrad(folder.path(), arguments);
            let message = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(2) && message.contains("named pipe"), "{arguments:?}: {message}");
        }
        symlink("loop.csv", folder.path().join("loop.csv")).unwrap();
        cases.push(("loop.csv", "there is no"));
    }
    for (path, words) in cases {
        let output = wgrad(folder.path(), &["train", "--data", path]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{path}: {message}");
        assert!(message.contains(words), "{path}: {message}");
    }
}

/// The program under a memory limit refuses files that ask for more, and is not ended by the system.
#[cfg(target_os = "linux")]
#[test]
fn hostile_files_take_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let y = npy("<i8", "(2,)", &[0; 16]);
    let bomb = [npy("<f4", "(1024, 1048576)", &[0; 16]), vec![0; 16 << 20]].concat();
    std::fs::write(
        folder.path().join("bomb.npz"),
        npz(&[("x.npy", &bomb), ("y.npy", &y)], CompressionMethod::Deflated),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("lying.npz"),
        npz(&[("x.npy", &npy("<f4", "(1024, 1048576)", &[])), ("y.npy", &y)], CompressionMethod::Stored),
    )
    .unwrap();
    std::fs::write(folder.path().join("lying.safetensors"), (1u64 << 60).to_le_bytes()).unwrap();
    std::fs::write(folder.path().join("wide.csv"), ",".repeat(1 << 22)).unwrap();
    // Sparse: 100 GB that are nowhere.
    std::fs::File::create(folder.path().join("sparse.csv")).unwrap().set_len(100 << 30).unwrap();
    // A text of 4 GB and more, of parts that are 64 MB each.
    let part = crate::data::gzipped("1,2\n".repeat(1 << 24).as_bytes());
    std::fs::write(folder.path().join("bomb.csv.gz"), part.repeat(80)).unwrap();
    for name in ["bomb.npz", "lying.npz", "lying.safetensors", "wide.csv", "sparse.csv", "bomb.csv.gz"] {
        explained_in_little_memory(folder.path(), name);
    }
}

/// Checks that the program says what is wrong with a file, with no more address space than it has without the file.
#[cfg(target_os = "linux")]
#[track_caller]
fn explained_in_little_memory(folder: &Path, name: &str) {
    // explain opens no device; 1.5 GB are the program, its drivers and the stacks of its threads.
    let script = format!("ulimit -v 1500000; exec {} explain --data {name}", env!("CARGO_BIN_EXE_wgrad"));
    let output = std::process::Command::new("sh").current_dir(folder).args(["-c", &script]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name}: {} {message}", output.status);
    assert!(message.contains(name), "{message}");
}
