//! Images.
#![cfg(feature = "images")]

use std::path::Path;

use wgrad::{Dataset, ImageShape, ReadOptions, Sets};

use super::{case, train, wgrad};
use crate::formats::fixture;

/// A grey image of 8 × 8, all of one value, at a path whose folders are made.
fn png(path: &Path, value: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), 8, 8);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[value; 64]).unwrap();
}

/// Two classes with `each` images: dark ones in `cat`, light ones in `dog`.
fn cats_and_dogs(folder: &Path, count: u8) {
    for at in 0..count {
        png(&folder.join(format!("cat/{at}.png")), 40 + at);
        png(&folder.join(format!("dog/{at}.png")), 200 + at);
    }
}

fn read(folder: &Path) -> Result<Sets, wgrad::Error> {
    Sets::read(folder, &ReadOptions::default())
}

#[track_caller]
fn refused(folder: &Path, words: &[&str]) {
    let error = read(folder).map(drop).unwrap_err().to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "no \"{word}\" in: {error}"));
}

/// The grey values of an image, as the program sees them.
fn grey(bytes: &[u8], side: usize) -> Vec<f32> {
    let image = Some(ImageShape { height: side, width: side, channels: 1 });
    let set = Dataset::from_bytes(bytes, &ReadOptions { image, ..ReadOptions::inputs() });
    set.unwrap_or_else(|error| panic!("{error}")).row(0).unwrap().iter().map(|value| 255.0 * value).collect()
}

#[test]
fn image_kinds_to_predict_on() {
    let (ran, folder) = train("images_that_are_not_read", &["--data", ".", "--epochs", "1", "--batch-size", "8"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let read = |name: &str| std::fs::read(case("image_kinds_to_predict_on").join(name)).unwrap();
    // The first line as Pillow 13.0 sees it. Decoders of lossy WebP differ in how they round.
    for (name, line, slack) in [
        ("one.bmp", [41, 26, 40, 30, 19, 39, 39, 49], 0.01),
        ("one.gif", [57, 45, 26, 64, 53, 50, 56, 22], 0.01),
        ("one.webp", [57, 45, 41, 55, 34, 45, 49, 43], 3.0),
    ] {
        for (at, (found, expected)) in grey(&read(name), 8).iter().zip(line).enumerate() {
            assert!((found - expected as f32).abs() <= slack, "{name}, pixel {at}: {found}, {expected}");
        }
        // Under its own name and another's.
        let mut answers = Vec::new();
        for called in [name, "one.png", "one"] {
            std::fs::write(folder.path().join(called), read(name)).unwrap();
            let ran = wgrad(folder.path(), &["predict", "--model", "model.safetensors", "--input", called]);
            assert_eq!(ran.code, 0, "{called}: {}", ran.said);
            answers.push(ran.events[0].clone());
        }
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
}

/// Each kind of image has the pixels that Pillow wrote into it: two different frames, black and white, four colors, floats.
#[test]
fn what_other_kinds_hold() {
    let four = [10.0, 90.0, 170.0, 250.0];
    for (name, expected) in [
        ("kinds/four.bmp", four),
        ("kinds/four.gif", four),
        ("kinds/four.tif", four),
        ("kinds/four_lzw.tif", four),
        ("kinds/four.webp", four),
        ("kinds/four.pgm", four),
        ("kinds/frames.gif", four),
        ("kinds/frames.webp", four),
        ("kinds/frames.tif", four),
        ("kinds/bits.pbm", [0.0, 255.0, 255.0, 0.0]),
    ] {
        let found = grey(&std::fs::read(fixture(name)).unwrap(), 2);
        assert_eq!(found.iter().map(|value| value.round()).collect::<Vec<_>>(), expected, "{name}");
    }
}

#[test]
fn images_class_without_any() {
    let (ran, _folder) = train("images_class_without_any", &["--data", ".", "--epochs", "1", "--batch-size", "8"]);
    let start = ran.event("start");
    assert_eq!((ran.code, &start["rows"], &start["notes"]), (0, &32.into(), &serde_json::json!([])), "{}", ran.said);
    let set = read(&case("images_class_without_any")).unwrap().train;
    assert_eq!(set.class_names(), ["cat", "dog"]);

    // One that is a class and has none; one whose images are of a kind that is not read, or deeper.
    let folder = tempfile::tempdir().unwrap();
    cats_and_dogs(folder.path(), 2);
    let bird = folder.path().join("bird");
    std::fs::create_dir(&bird).unwrap();
    std::fs::write(bird.join(".gitkeep"), "").unwrap();
    refused(folder.path(), &["bird: it has no image"]);
    std::fs::write(bird.join("1.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    refused(folder.path(), &["bird: it has no image", "1 .heic (a HEIC image)", "WebP"]);
    png(&bird.join("owl/1.png"), 3);
    refused(folder.path(), &["bird: it has no image, and its folder owl has", "cat/1.png"]);
    // Folders that systems make are no classes, in any spelling.
    std::fs::rename(&bird, folder.path().join("@eaDir")).unwrap();
    std::fs::create_dir(folder.path().join(".ipynb_checkpoints")).unwrap();
    for name in ["Thumbs.db", "DESKTOP.INI", "._1.png"] {
        std::fs::write(folder.path().join("cat").join(name), "x").unwrap();
    }
    let set = read(folder.path()).unwrap().train;
    assert_eq!((set.rows(), set.notes().len()), (4, 0), "{:?}", set.notes());
}

#[test]
fn images_that_are_not_read() {
    let (ran, _folder) = train("images_that_are_not_read", &["--data", ".", "--epochs", "1", "--batch-size", "8"]);
    assert_eq!((ran.code, &ran.event("start")["rows"]), (0, &40.into()), "{}", ran.said);

    // What is read under any name, and what is not read at all.
    let folder = tempfile::tempdir().unwrap();
    cats_and_dogs(folder.path(), 2);
    let dog = folder.path().join("dog");
    for (from, to) in [
        ("four.tif", "a.TIF"),
        ("four.gif", "b"),
        ("four.webp", "c.image"),
        ("four.bmp", "d.BMP"),
        ("four.pgm", "e.pgm"),
    ] {
        std::fs::copy(fixture("kinds").join(from), dog.join(to)).unwrap();
    }
    for name in ["x.jfif", "y.jpe"] {
        std::fs::copy(fixture("animals/dog/1.jpg"), dog.join(name)).unwrap();
    }
    for name in ["1.avif", "2.avif", "3.avif"] {
        std::fs::write(dog.join(name), b"\0\0\0\x20ftypavif\0\0\0\0avif").unwrap();
    }
    std::fs::write(folder.path().join("cat/names.txt"), "a cat").unwrap();
    png(&folder.path().join("lost.png"), 1);
    let set = read(folder.path()).unwrap().train;
    assert_eq!(set.rows(), 11);
    let notes = set.notes().concat();
    for words in
        ["3 files .avif (an AVIF image) in dog", "1 file .txt in cat", "1 image beside the folders", "PNG, JPEG"]
    {
        assert!(notes.contains(words), "no \"{words}\" in: {notes}");
    }
}

#[test]
fn images_train_and_val() {
    let (ran, _folder) = train("images_train_and_val", &["--data", ".", "--epochs", "1", "--batch-size", "8"]);
    assert_eq!((ran.code, &ran.event("start")["rows"]), (0, &24.into()), "{}", ran.said);
    assert!(ran.event("end")["val_loss"].is_number(), "{}", ran.said);

    let folder = tempfile::tempdir().unwrap();
    for (name, count) in [("set/Train", 4), ("set/VALIDATION", 3), ("set/Testing", 2)] {
        cats_and_dogs(&folder.path().join(name), count);
    }
    let sets = read(folder.path()).unwrap();
    let rows = |set: &Option<Dataset>| set.as_ref().map(Dataset::rows);
    assert_eq!((sets.train.rows(), rows(&sets.validation), rows(&sets.test)), (8, Some(6), Some(4)));
    assert!(sets.train.notes().concat().contains("the images are in"), "a folder around them");
    // The run validates on the validation rows, and evaluate takes the test rows.
    let (train, beside) = Dataset::read(folder.path(), &ReadOptions::default()).unwrap();
    assert_eq!(rows(&beside), Some(6));
    assert!(train.notes().concat().contains("6 validation rows and 4 test rows"), "{:?}", train.notes());
    let arguments = ["train", "--data", "set", "--epochs", "1", "--batch-size", "8"];
    let ran = wgrad(folder.path(), &arguments);
    ran.says(&["6 validation rows and 4 test rows"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    for (data, rows) in [("set", 4), ("set/VALIDATION", 6)] {
        let ran = wgrad(folder.path(), &["evaluate", "--model", "model.safetensors", "--data", data]);
        assert_eq!((ran.code, &ran.events[0]["rows"]), (0, &rows.into()), "{}", ran.said);
    }
    // What the user asked for needs no note.
    let ran = wgrad(folder.path(), &[&arguments[..], &["--validation", "none"]].concat());
    assert!(!ran.said.contains("validation rows"), "{}", ran.said);

    // Two of one part; no part to train on; images in no class; a class that is called as a part.
    cats_and_dogs(&folder.path().join("set/dev"), 1);
    refused(folder.path(), &["VALIDATION and dev"]);
    let other = tempfile::tempdir().unwrap();
    cats_and_dogs(&other.path().join("val"), 1);
    refused(other.path(), &["no folder train", "cat/1.png"]);
    png(&other.path().join("train/1.png"), 1);
    refused(other.path(), &["train: it has no folders with images", "it has 1.png"]);
    let vehicles = tempfile::tempdir().unwrap();
    for name in ["bus", "car", "train"] {
        png(&vehicles.path().join(name).join("1.png"), 1);
    }
    assert_eq!(read(vehicles.path()).unwrap().train.class_names(), ["bus", "car", "train"]);
    // Images to test on without classes have nothing to compare with.
    let contest = tempfile::tempdir().unwrap();
    cats_and_dogs(&contest.path().join("train"), 2);
    png(&contest.path().join("test/1.png"), 1);
    let sets = read(contest.path()).unwrap();
    assert!(
        sets.test.is_none() && sets.train.notes().concat().contains("test is left out"),
        "{:?}",
        sets.train.notes()
    );
    // They are predicted on.
    let set = Dataset::read(contest.path().join("test"), &ReadOptions::inputs()).unwrap().0;
    assert_eq!((set.rows(), set.row(0).unwrap()[0]), (1, 1.0 / 255.0));
}

#[test]
fn ok_cmyk_and_hidden_files() {
    let (ran, _folder) = train("ok_cmyk_and_hidden_files", &["--data", ".", "--epochs", "5"]);
    let start = ran.event("start");
    assert_eq!((ran.code, &start["rows"], &start["notes"]), (0, &32.into(), &serde_json::json!([])), "{}", ran.said);
    let set = read(&case("ok_cmyk_and_hidden_files")).unwrap().train;
    for row in 0..set.rows() {
        let values = set.row(row).unwrap();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert_eq!(mean > 0.5, set.labels()[row] == 1, "row {row}: dogs are light, cats dark, and this is {mean}");
    }
}

#[test]
fn ok_page_named_png() {
    let (ran, _folder) = train("ok_page_named_png", &["--data", ".", "--epochs", "1", "--batch-size", "8"]);
    ran.refused(&["dog/03.png: it is a page of HTML"]);
}
