//! Every format is read with the values that another program wrote. The files and the program are in tests/formats.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use wgrad::{Dataset, ImageShape, ReadOptions, ScaleBy, Scaling};

use crate::data::idx;
use crate::support::{Random, refused};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats").join(name)
}

fn read(name: &str) -> Dataset {
    Dataset::read(fixture(name), &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}")).0
}

/// What most of the files hold.
fn twelve() -> Dataset {
    Dataset::from_f32((0u8..12).map(f32::from).collect(), 3, vec![0, 1, 2, 1]).unwrap()
}

fn twelve_halves() -> Dataset {
    let halves = (0u8..12).map(half::f16::from).collect();
    Dataset::from_f16(halves, 3, vec![0, 1, 2, 1]).unwrap()
}

fn twelve_bytes() -> Dataset {
    Dataset::from_u8((0..12).collect(), 3, vec![0, 1, 2, 1]).unwrap()
}

/// Finds an element type that is read as another one of its size, or in the wrong byte order; bytes that become f32.
#[test]
fn numpy_archives_of_every_element_type() {
    for name in ["i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "big_f4", "big_i2", "fortran"] {
        let expected = if name == "f2" { twelve_halves() } else { twelve() };
        assert_eq!(read(&format!("{name}.npz")), expected, "{name}");
    }
    assert_eq!(read("u1.npz"), twelve_bytes(), "u8 features stay bytes");
    let weighted = twelve().with_sample_weights(vec![1.0, 2.0, 0.5, 1.0]).unwrap();
    assert_eq!(read("compressed.npz"), weighted);
}

/// Finds images whose values are in another order than their shape says; a second set that is lost.
#[test]
fn numpy_archives_of_images_and_of_two_sets() {
    let shape = ImageShape { height: 2, width: 3, channels: 3 };
    let images = Dataset::from_u8((0..72).collect(), 18, vec![0, 1, 2, 1]).unwrap().with_image_shape(shape).unwrap();
    assert_eq!(read("fortran_images.npz"), images);
    let (train, test) = Dataset::read(fixture("train_and_test.npz"), &ReadOptions::default()).unwrap();
    assert_eq!(train, twelve_bytes());
    assert_eq!(test.unwrap(), Dataset::from_u8((0..6).collect(), 3, vec![0, 1]).unwrap());
}

/// A folder of arrays is a set; an array alone has features and no targets.
#[test]
fn numpy_arrays() {
    let targets = [0, 1, 3, 4, 6, 7, 9, 10].map(|value| value as f32 / 4.0).to_vec();
    assert_eq!(read("pair"), twelve().with_targets(targets, 2).unwrap());
    let inputs = ReadOptions { inputs_only: true, ..ReadOptions::default() };
    let expected = Dataset::inputs((0u8..12).map(f32::from).collect::<Vec<_>>().chunks(3)).unwrap();
    for name in ["pair/x.npy", "pair/version_2.npy"] {
        assert_eq!(Dataset::read(fixture(name), &inputs).unwrap().0, expected, "{name}");
        assert_eq!(Dataset::from_bytes(&std::fs::read(fixture(name)).unwrap(), &inputs).unwrap(), expected, "{name}");
    }
    let error = Dataset::read(fixture("pair/x.npy"), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("numpy.savez"), "{error}");
}

/// Finds bytes that become f32, and half floats that become something else.
#[test]
fn safetensors_of_bytes_and_halves() {
    assert_eq!(read("u8.safetensors"), twelve_bytes());
    assert_eq!(read("f16.safetensors"), twelve_halves());
}

/// Finds classes in another order than their folders' names; and colors, grey and sizes that are mixed up.
#[cfg(feature = "images")]
#[test]
fn folders_of_images() {
    let set = read("animals");
    assert_eq!(set.class_names(), ["cat", "dog"]);
    assert_eq!(set.labels(), [0, 1, 1]);
    assert_eq!(set.image_shape(), Some(ImageShape { height: 6, width: 8, channels: 3 }));
    let rows = features(&set);
    for (row, (color, slack)) in [([200, 30, 90], 0), ([10, 120, 250], 3), ([1, 2, 3], 0)].into_iter().enumerate() {
        for (at, value) in rows[row * 144..(row + 1) * 144].iter().enumerate() {
            assert!((value - f64::from(color[at % 3])).abs() <= f64::from(slack), "row {row}, value {at}: {value}");
        }
    }

    let like = |names: &[&str]| ReadOptions {
        class_names: names.iter().map(|name| name.to_string()).collect(),
        image: Some(ImageShape { height: 2, width: 2, channels: 1 }),
        ..ReadOptions::default()
    };
    let (set, _) = Dataset::read(fixture("animals"), &like(&["dog", "bird", "cat"])).unwrap();
    assert_eq!((set.labels(), set.width(), set.classes()), (&[2, 0, 0][..], 4, 3));
    let error = Dataset::read(fixture("animals"), &like(&["cat"])).unwrap_err();
    assert!(error.to_string().contains("\"dog\" is none of the model's classes"), "{error}");
}

/// Finds a resize that only picks pixels, or swaps the sides: the result is within 2 of Pillow's.
#[cfg(feature = "images")]
#[test]
fn an_image_is_resized_as_pillow_does() {
    let shape = ImageShape { height: 10, width: 12, channels: 1 };
    let options = ReadOptions { image: Some(shape), ..ReadOptions::inputs() };
    let (image, _) = Dataset::read(fixture("grey.png"), &options).unwrap();
    let expected: Vec<f64> = serde_json::from_slice(&std::fs::read(fixture("grey_12x10.json")).unwrap()).unwrap();
    let found = features(&image);
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 2.0, "pixel {at} is {found}, Pillow's {expected}");
    }
}

/// A set's bytes, from what shows them: the least and the largest of every feature of one row.
#[cfg(feature = "images")]
fn features(set: &Dataset) -> Vec<f64> {
    let row = |row| Scaling::min_max(&set.select([row]).unwrap()).shift;
    (0..set.rows()).flat_map(row).map(|value| (255.0 * value).round()).collect()
}

/// Parquet tables are read with columns of every type, two compressions, several row groups, and nulls.
#[cfg(feature = "parquet")]
#[test]
fn parquet_tables() {
    let rows = [
        [1.0, 10.0, 0.1, 0.1, 0.0, 0.0, 1.0, 1.0],
        [2.0, 20.0, 0.25, 0.5, 0.0, 1.0, 0.0, 0.0],
        [3.0, 30.0, -3.5, 2.0, 0.0, 0.0, 1.0, 1.0],
        [4.0, (1u64 << 40) as f32, 1e-7, 3.0, 1.0, 0.0, 0.0, 1.0],
    ];
    let expected = Dataset::from_rows(rows.into_iter().zip([1, 0, 1, 2])).unwrap();
    for name in ["table.parquet", "table_zstd.parquet"] {
        let set = read(name);
        assert_eq!(set.class_names(), ["a", "b", "c"]);
        assert_eq!(set.labels(), expected.labels());
        let scale = |set: &Dataset| Scaling::min_max(set).scale;
        assert_eq!(scale(&set), scale(&expected), "{name}");
        for (row, features) in rows.iter().enumerate() {
            assert_eq!(set.row(row).unwrap(), features, "{name}");
        }
    }
    let error = Dataset::read(fixture("missing.parquet"), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("row 1, column \"small\""), "{error}");
}

/// Finds a build that leaves a reader out and does not say which feature brings it.
#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_names_the_feature() {
    let error = Dataset::read(fixture("table.parquet"), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("--features parquet"), "{error}");
}

/// Finds rows of different widths that are taken for one long row.
#[test]
fn rows_of_an_iterator() {
    let rows = (0u8..4).map(|row| ([3 * row, 3 * row + 1, 3 * row + 2].map(f32::from), [0, 1, 2, 1][usize::from(row)]));
    assert_eq!(Dataset::from_rows(rows).unwrap(), twelve());
    let error = Dataset::from_rows([(vec![1.0, 2.0], 0), (vec![1.0], 0)]).unwrap_err();
    assert!(error.to_string().contains("row 1 has 1 feature,"), "{error}");
    refused(&["the set is empty"], Dataset::from_rows(std::iter::empty::<([f32; 2], u32)>()));
}

/// Finds a statistic over n − 1 or over another axis, one that loses its digits far from 0, and a division by the 0 of a constant.
#[test]
fn scalings_are_numpys_statistics() {
    let bytes = std::fs::read(fixture("scaling.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let of = |name: &str| -> Vec<f64> {
        file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect()
    };
    let set = read("scaling.safetensors");
    let (standard, ranged) = (Scaling::standardize(&set), Scaling::min_max(&set));
    let (mean, deviation, least, most) = (of("mean"), of("deviation"), of("least"), of("most"));
    for at in [0, 2] {
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-6, "{found}, {expected}");
        near(standard.shift[at], mean[at]);
        near(standard.scale[at].into(), 1.0 / deviation[at]);
        near(ranged.shift[at], least[at]);
        near(ranged.scale[at].into(), 1.0 / (most[at] - least[at]));
    }
    for scaling in [standard, ranged] {
        assert_eq!((scaling.shift[1], scaling.scale[1]), (0.1f32.into(), 1.0), "a constant feature");
        let scaled = set.clone().with_scaling(scaling).unwrap();
        // Every feature of what was scaled: 0 where it was constant.
        assert_eq!(Scaling::min_max(&scaled).shift[1], 0.0);
        assert_eq!(scaled.clone().with_scaling(Scaling::min_max(&scaled)).unwrap_err().exit_code(), 2, "twice");
    }
    // Differences that f32 cannot divide by, and ones that it has no number for.
    for (least, most) in [(0.0, f32::from_bits(1)), (f32::MIN, f32::MAX)] {
        let set = Dataset::from_f32(vec![least, most], 1, vec![0, 0]).unwrap();
        for by in [ScaleBy::Standardize, ScaleBy::MinMax] {
            by.of(&set).unwrap().unwrap().check(1).unwrap();
        }
    }
}

/// Bytes are seen as [0, 1], and so are their statistics.
#[test]
fn the_scaling_of_bytes() {
    let set = Dataset::from_u8(vec![0, 255, 51, 255], 2, vec![0, 1]).unwrap();
    assert_eq!(Scaling::min_max(&set), Scaling { shift: vec![0.0, 1.0], scale: vec![5.0, 1.0] });
}

/// Finds a stratified split that loses rows, leaves a class out of proportion, or is another one every time.
#[test]
fn a_stratified_split_has_every_class_in_proportion() {
    let mut random = Random(5);
    // 700 rows of class 0, 250 of class 1, 50 of class 2.
    let mut labels: Vec<u32> = (0..1000).map(|row| u32::from(row >= 700) + u32::from(row >= 950)).collect();
    for at in (1..labels.len()).rev() {
        labels.swap(at, random.below(at + 1));
    }
    let set = Dataset::from_f32((0..1000u16).map(f32::from).collect(), 1, labels).unwrap();
    let (train, held_out) = set.split_stratified(0.2, 3).unwrap();
    let counts = |set: &Dataset| [0, 1, 2].map(|class| set.labels().iter().filter(|&&label| label == class).count());
    assert_eq!((counts(&train), counts(&held_out)), ([560, 200, 40], [140, 50, 10]));
    assert_eq!(set.split_stratified(0.2, 3).unwrap(), (train, held_out.clone()));
    assert_ne!(set.split_stratified(0.2, 4).unwrap().1, held_out);

    // Shares that are no whole numbers: each within a row, and as many together as a plain split has.
    let (train, held_out) = set.split_stratified(0.123, 1).unwrap();
    assert_eq!((train.rows(), held_out.rows()), (877, 123));
    for (found, whole) in counts(&held_out).into_iter().zip([700.0, 250.0, 50.0]) {
        assert!((found as f64 - 0.123 * whole).abs() < 1.0, "{found} of {whole}");
    }
    // Every row is there once: features are numbers of rows.
    let rows = |set: &Dataset| {
        (0..set.rows()).map(|row| Scaling::min_max(&set.select([row]).unwrap()).shift[0] as usize).collect::<Vec<_>>()
    };
    let mut all = [rows(&train), rows(&held_out)].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..1000));
}

/// Finds names that are fewer than the classes, or the same twice: a report would give two classes one name.
#[test]
fn class_names_are_checked() {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let set = twelve().with_class_names(names(&["a", "b", "c", "d"])).unwrap();
    assert_eq!(set.classes(), 4, "a class that no row has");
    assert_eq!(set.select([0]).unwrap().class_names(), ["a", "b", "c", "d"]);
    refused(&["2 names for 3 classes"], twelve().with_class_names(names(&["a", "b"])));
    refused(&["two classes are named \"a\""], twelve().with_class_names(names(&["a", "b", "a"])));
}

/// IDX files keep their images' shape, which a model needs to read a digit from a picture.
#[test]
fn idx_images_keep_their_form() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train-images-idx3-ubyte"), idx(&[2, 2, 3], &[0; 12])).unwrap();
    std::fs::write(folder.path().join("train-labels-idx1-ubyte"), idx(&[2], &[0, 1])).unwrap();
    let (set, _) = Dataset::read(folder.path(), &ReadOptions::default()).unwrap();
    assert_eq!(set.image_shape(), Some(ImageShape { height: 2, width: 3, channels: 1 }));
}

/// Finds transparent pixels that are read in the color beneath them: a drawing on nothing would be black all over.
#[cfg(feature = "images")]
#[test]
fn what_is_transparent_is_white() {
    let png = |color: png::ColorType, pixels: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
        encoder.set_color(color);
        encoder.write_header().unwrap().write_image_data(pixels).unwrap();
        bytes
    };
    let read = |bytes: &[u8], channels: usize| {
        let image = Some(ImageShape { height: 2, width: 2, channels });
        Dataset::from_bytes(bytes, &ReadOptions { image, ..ReadOptions::inputs() }).unwrap().row(0).unwrap()
    };
    let bytes = |values: &[u8]| values.iter().map(|&value| f32::from(value) / 255.0).collect::<Vec<f32>>();
    // Opaque, transparent with black and with red beneath, half transparent: 255 - 128 of white, and 128 of what is there.
    let colors = [10, 20, 30, 255, 0, 0, 0, 0, 255, 0, 0, 0, 0, 100, 255, 128];
    let rgba = png(png::ColorType::Rgba, &colors);
    assert_eq!(read(&rgba, 3), bytes(&[10, 20, 30, 255, 255, 255, 255, 255, 255, 127, 177, 255]));
    let grey = png(png::ColorType::GrayscaleAlpha, &[10, 255, 0, 0, 255, 0, 100, 128]);
    assert_eq!(read(&grey, 1), bytes(&[10, 255, 255, 177]));
    // As they are where nothing is.
    let plain = png(png::ColorType::Grayscale, &[0, 10, 100, 255]);
    assert_eq!(read(&plain, 1), bytes(&[0, 10, 100, 255]));
}

/// Finds a message about a model where there is none, and a value that is learned from a table for a model, or left out in silence.
#[test]
fn tables_without_columns_are_refused_for_what_is_true_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(&path, "a,b\n1,red\n2,blue\n").unwrap();
    let error = Dataset::read(&path, &ReadOptions::inputs()).unwrap_err().to_string();
    assert!(error.contains("\"red\" is not a number; where only inputs are read"), "{error}");
    assert!(!error.contains("keeps no columns"), "{error}");
    let for_model = ReadOptions { model_widths: Some((2, 2)), ..ReadOptions::inputs() };
    refused(&["\"red\" is not a number; the model keeps no columns"], Dataset::read(&path, &for_model));
    std::fs::write(&path, "a,b,y\n1,2,0\n,4,1\n").unwrap();
    for inputs_only in [false, true] {
        let fill = ReadOptions { fill: Some(wgrad::Fill::Mean), inputs_only, ..for_model.clone() };
        refused(&["fill", "nothing is learned", "x.csv"], Dataset::read(&path, &fill));
    }
}
