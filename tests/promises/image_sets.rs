//! Sets of images keep their form: arrays with their channels first or last, CIFAR's binary files, and the scaling of channels.

use std::path::Path;

use wgrad::{
    Activation, ChannelOrder, Dataset, ImageShape, Model, Network, ReadOptions, ScaleBy, Sets, Source, Stored,
    TrainOptions, Trainer,
};
use zip::CompressionMethod;

use crate::cases::wgrad;
use crate::data::{gzipped, idx};
use crate::hostile::{npy, npz};
use crate::serving::saved;
use crate::support::{Random, gpu, refused};

const RGB: ImageShape = ImageShape { height: 32, width: 32, channels: 3 };

/// An array of `u8` with labels of zeros.
fn archive(shape: [usize; 4], values: &[u8]) -> Vec<u8> {
    let [rows, a, b, c] = shape;
    let x = npy("|u1", &format!("({rows}, {a}, {b}, {c})"), values);
    npz(&[("x.npy", &x), ("y.npy", &npy("|u1", &format!("({rows},)"), &vec![0; rows]))], CompressionMethod::Stored)
}

fn bytes_of(set: &Dataset) -> Vec<u8> {
    let row = |row| set.row(row).unwrap();
    (0..set.rows()).flat_map(row).map(|value| (255.0 * value).round() as u8).collect()
}

/// The values of images whose channels come first, with their channels last: a sum of indices, written out.
fn moved([rows, channels, height, width]: [usize; 4], values: &[u8]) -> Vec<u8> {
    let mut last = Vec::new();
    for row in 0..rows {
        for y in 0..height {
            for x in 0..width {
                for channel in 0..channels {
                    last.push(values[row * channels * height * width + channel * height * width + y * width + x]);
                }
            }
        }
    }
    last
}

/// Finds an array of PyTorch's that is taken for one with its channels last, and one that is moved although its channels are last.
#[test]
fn arrays_have_their_channels_first_or_last() {
    let read = |shape: [usize; 4], channels: Option<ChannelOrder>| {
        let values: Vec<u8> = (0..shape.iter().product()).map(|at: usize| (at % 251) as u8).collect();
        let options = ReadOptions { channels, ..ReadOptions::default() };
        Dataset::from_bytes(&archive(shape, &values), &options).map(|set| (set, values))
    };
    let (first, last) = (Some(ChannelOrder::First), Some(ChannelOrder::Last));
    let cases = [
        ([2, 3, 5, 4], None, [5, 4, 3], true, true),
        ([2, 1, 5, 6], None, [5, 6, 1], true, true),
        ([2, 4, 7, 9], None, [7, 9, 4], true, true),
        ([2, 5, 4, 3], None, [5, 4, 3], false, false),
        ([2, 7, 9, 4], None, [7, 9, 4], false, false),
        ([2, 2, 4, 3], None, [2, 4, 3], false, false),
        ([2, 3, 4, 3], None, [3, 4, 3], false, true),
        ([2, 3, 4, 3], first, [4, 3, 3], true, false),
        ([2, 3, 4, 5], last, [3, 4, 5], false, false),
        ([2, 6, 4, 5], first, [4, 5, 6], true, false),
    ];
    for (shape, order, form, is_moved, is_noted) in cases {
        let (set, values) = read(shape, order).unwrap();
        let [height, width, channels] = form;
        assert_eq!(set.image_shape(), Some(ImageShape { height, width, channels }), "{shape:?}");
        assert_eq!(bytes_of(&set), if is_moved { moved(shape, &values) } else { values }, "{shape:?}");
        let notes = set.notes();
        assert_eq!(notes.len(), usize::from(is_noted), "{shape:?}: {notes:?}");
        // A reader who gave no option is not told what it says.
        assert!(notes.iter().all(|note| note.contains("which --channels did not say")), "{notes:?}");
    }
    refused(&["[2, 6, 4, 5]", "neither 6 nor 5", "--channels first"], read([2, 6, 4, 5], None));
    refused(&["[2, 3, 0, 4]", "at least 1"], read([2, 3, 0, 4], None));

    // Every element type is moved whole: f32 here.
    let values: Vec<f32> = (0u8..24).map(f32::from).collect();
    let x = npy("<f4", "(2, 3, 2, 2)", bytemuck::cast_slice(&values));
    let file = npz(&[("x.npy", &x), ("y.npy", &npy("|u1", "(2,)", &[0, 1]))], CompressionMethod::Stored);
    let options = ReadOptions { channels: first, ..ReadOptions::default() };
    let set = Dataset::from_bytes(&file, &options).unwrap();
    assert_eq!(set.row(1).unwrap(), [12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23].map(|value| value as f32));

    // What the model's images are decides without a note.
    let like = |height, width, channels| ReadOptions {
        image: Some(ImageShape { height, width, channels }),
        ..ReadOptions::inputs()
    };
    for (image, is_moved) in [(like(4, 5, 6), true), (like(6, 4, 5), false)] {
        let values: Vec<u8> = (0..240).collect();
        let set = Dataset::from_bytes(&archive([2, 6, 4, 5], &values), &image).unwrap();
        assert_eq!((set.image_shape(), set.notes().len()), (image.image, 0));
        assert_eq!(bytes_of(&set), if is_moved { moved([2, 6, 4, 5], &values) } else { values });
    }
    // Rows of as many features are such images, of arrays and of tables; rows of others are none.
    let rows = npy("|u1", "(2, 12)", &(0..24).collect::<Vec<u8>>());
    assert_eq!(Dataset::from_bytes(&rows, &like(2, 2, 3)).unwrap().image_shape(), like(2, 2, 3).image);
    assert_eq!(Dataset::from_bytes(&rows, &like(2, 2, 1)).unwrap().image_shape(), None);
    let options = ReadOptions { channels: first, ..like(2, 2, 3) };
    assert_eq!(bytes_of(&Dataset::from_bytes(&rows, &options).unwrap())[..6], [0, 4, 8, 1, 5, 9]);
    let table = ReadOptions { inputs_only: false, ..like(2, 2, 1) };
    assert_eq!(Dataset::from_csv("a,b,c,d,y\n1,2,3,4,p\n5,6,7,8,q\n", &table).unwrap().image_shape(), table.image);
}

/// A file that is read in ranges is moved in ranges, and its note comes once.
#[test]
fn stored_images_keep_their_form() {
    let values: Vec<u8> = (0..120).collect();
    let labels = [0u8, 1, 0, 1, 0];
    let view =
        |shape: Vec<usize>, bytes| safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape, bytes).unwrap();
    let file = tempfile::NamedTempFile::with_suffix(".safetensors").unwrap();
    let tensors = [("x", view(vec![5, 3, 2, 4], &values)), ("y", view(vec![5], &labels))];
    safetensors::serialize_to_file(tensors, None, file.path()).unwrap();
    let stored = Stored::open(file.path()).unwrap();
    assert!(stored.note().unwrap().contains("x has the shape [5, 3, 2, 4]"), "{:?}", stored.note());
    let some = stored.read(3..5).unwrap();
    assert_eq!((some.image_shape(), some.notes().len()), (Some(ImageShape { height: 2, width: 4, channels: 3 }), 0));
    assert_eq!(bytes_of(&some), moved([2, 3, 2, 4], &values[72..]));
    let last = ReadOptions { channels: Some(ChannelOrder::Last), ..ReadOptions::default() };
    assert_eq!(bytes_of(&Stored::open_with(file.path(), &last).unwrap().read(3..5).unwrap()), values[72..]);
}

/// A file in CIFAR's form of these labels, with random pixels, and the pixels with their channels last.
fn cifar(labels: &[&[u8]], random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let (mut file, mut pixels) = (Vec::new(), Vec::new());
    for labels in labels {
        let planes: Vec<u8> = (0..3072).map(|_| random.below(256) as u8).collect();
        file.extend_from_slice(labels);
        file.extend_from_slice(&planes);
        pixels.extend(moved([1, 3, 32, 32], &planes));
    }
    (file, pixels)
}

fn read(path: &Path) -> Result<Sets, wgrad::Error> {
    Sets::read(path, &ReadOptions::default())
}

/// The batches of CIFAR-10 are one set in the order of their numbers, with its test rows and its classes.
#[test]
fn cifar_10_is_read() {
    let mut random = Random(3);
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("cifar-10-batches-bin");
    std::fs::create_dir(&inner).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(inner.join(name), bytes).unwrap();
    let (second, of_second) = cifar(&[&[9], &[0]], &mut random);
    let (tenth, of_tenth) = cifar(&[&[3]], &mut random);
    let (test, of_test) = cifar(&[&[1], &[2], &[8]], &mut random);
    write("data_batch_10.bin", &tenth);
    write("data_batch_2.bin.gz", &gzipped(&second));
    write("test_batch.bin", &test);
    write("readme.html", b"<html>");
    let names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    write("batches.meta.txt", format!("{}\n\n", names.join("\n")).as_bytes());
    // The folder itself, and the one around it.
    for path in [folder.path(), &inner] {
        let Sets { train, validation, test } = read(path).unwrap();
        assert_eq!((train.labels(), train.classes(), train.image_shape()), (&[9, 0, 3][..], 10, Some(RGB)));
        assert_eq!(bytes_of(&train), [&of_second[..], &of_tenth].concat());
        assert_eq!(train.class_names(), names);
        let [missing] = train.notes() else { panic!("{:?}", train.notes()) };
        assert!(missing.contains("it has no data_batch_1.bin, data_batch_3.bin"), "{missing}");
        let test = test.unwrap();
        assert_eq!((test.labels(), test.class_names().len(), validation), (&[1, 2, 8][..], 10, None));
        assert_eq!(bytes_of(&test), of_test);
    }
    // One file, with the names beside it.
    let set = read(&inner.join("test_batch.bin")).unwrap().train;
    assert_eq!((set.labels(), set.class_names().len(), bytes_of(&set)), (&[1, 2, 8][..], 10, of_test));
    let set = read(&inner.join("data_batch_2.bin.gz")).unwrap().train;
    assert_eq!((set.labels(), bytes_of(&set)), (&[9, 0][..], of_second));
    // What is missing at the end is missing too: the batches behind the last, and the test rows.
    std::fs::remove_file(inner.join("data_batch_10.bin")).unwrap();
    std::fs::remove_file(inner.join("test_batch.bin")).unwrap();
    let sets = read(&inner).unwrap();
    let [batches, test] = sets.train.notes() else { panic!("{:?}", sets.train.notes()) };
    assert!(
        batches.contains("no data_batch_1.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin:"),
        "{batches}"
    );
    assert!(test.contains("no test_batch.bin") && test.contains("--validation 0.1") && sets.test.is_none(), "{test}");
    // Classes that are wanted in another order, as a model has them, and those that it does not have.
    let like = |names: &[&str]| {
        let class_names = names.iter().map(|name| name.to_string()).collect();
        Sets::read(&inner, &ReadOptions { class_names, ..ReadOptions::default() }).map(|sets| sets.train)
    };
    let mut others = names;
    others.reverse();
    let set = like(&others).unwrap();
    assert_eq!((set.labels(), set.class_names()), (&[0, 9][..], &others.map(String::from)[..]));
    assert_eq!(like(&["truck", "lorry", "airplane"]).unwrap().labels(), [0, 2]);
    refused(&["\"truck\" is none of the model's classes, which are airplane, lorry"], like(&["airplane", "lorry"]));
    // Fewer names than classes.
    write("batches.meta.txt", b"airplane\n");
    refused(&["batches.meta.txt", "1 name for 10 classes"], read(&inner));
}

/// CIFAR-100's labels are the fine ones, or the coarse ones for a model that has as many outputs.
#[test]
fn cifar_100_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (train, of_train) = cifar(&[&[19, 99], &[0, 5]], &mut Random(4));
    std::fs::write(folder.path().join("train.bin"), train).unwrap();
    std::fs::write(folder.path().join("test.bin"), cifar(&[&[7, 42]], &mut Random(5)).0).unwrap();
    let names = |word: &str, count: usize| (0..count).map(|at| format!("{word} {at}\n")).collect::<String>();
    std::fs::write(folder.path().join("fine_label_names.txt"), names("fine", 100)).unwrap();
    std::fs::write(folder.path().join("coarse_label_names.txt"), names("coarse", 20)).unwrap();
    let sets = read(folder.path()).unwrap();
    assert_eq!(sets.train.notes(), [""; 0]);
    assert_eq!((sets.train.labels(), sets.train.classes(), bytes_of(&sets.train)), (&[99, 5][..], 100, of_train));
    assert_eq!((sets.train.class_names()[99].as_str(), sets.test.unwrap().labels()), ("fine 99", &[42][..]));
    let coarse = ReadOptions { model_widths: Some((3072, 20)), ..ReadOptions::default() };
    let sets = Sets::read(folder.path(), &coarse).unwrap();
    assert_eq!((sets.train.labels(), sets.train.class_names()[19].as_str()), (&[19, 0][..], "coarse 19"));
}

/// Finds a file that is no file of CIFAR's, or one of the other set, and is read in silence.
#[test]
fn files_that_are_not_cifars_are_refused() {
    let mut random = Random(6);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let written = |name: &str, bytes: &[u8]| {
        std::fs::write(path(name), bytes).unwrap();
        read(&path(name))
    };
    let (ten, _) = cifar(&[&[9], &[0], &[4]], &mut random);
    let (hundred, _) = cifar(&[&[3, 90], &[0, 12]], &mut random);
    refused(
        &["a.bin", "9218 bytes", "3073 bytes an image", "2 images and 3072 bytes more", "3074"],
        written("a.bin", &ten[..9218]),
    );
    refused(&["a.bin", "0 bytes"], written("a.bin", &[]));
    refused(&["a.bin"], written("a.bin", &ten[..100]));
    let wrong = |at: usize, label: u8, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at] = label;
        bytes
    };
    refused(&["the label of image 2 is 10", "CIFAR-10 go from 0 to 9"], written("a.bin", &wrong(2 * 3073, 10, &ten)));
    refused(&["the coarse label of image 1 is 20", "0 to 19"], written("a.bin", &wrong(3074, 20, &hundred)));
    refused(&["the fine label of image 0 is 100", "0 to 99"], written("a.bin", &wrong(1, 100, &hundred)));
    // Black images of both sizes: the name decides.
    let both = vec![0; 3073 * 3074];
    refused(&["both.bin", "data_batch_1.bin or train.bin"], written("both.bin", &both));
    assert_eq!(written("train.bin", &both).unwrap().train.rows(), 3073);
    assert_eq!(written("data_batch_1.bin", &both).unwrap().train.rows(), 3074);
    refused(
        &["files of CIFAR-10 (", "data_batch_1.bin", "and of CIFAR-100 (", "train.bin", "of one set"],
        read(folder.path()),
    );
    std::fs::remove_file(path("train.bin")).unwrap();
    std::fs::write(path("data_batch_1.bin"), &hundred).unwrap();
    refused(&["data_batch_1.bin", "are those of CIFAR-100", "CIFAR-10's files"], read(folder.path()));
    std::fs::write(path("data_batch_1.bin"), &ten[..3000]).unwrap();
    refused(&["data_batch_1.bin", "3000 bytes"], read(folder.path()));
    std::fs::write(path("data_batch_1.bin"), b"\x80\x04\x95 a pickle").unwrap();
    refused(&["data_batch_1.bin", "pickle"], read(folder.path()));
    std::fs::write(path("data_batch_1.bin"), &ten).unwrap();
    std::fs::write(path("data_batch_01.bin"), &ten).unwrap();
    refused(&["data_batch_01.bin and data_batch_1.bin, which are the same"], read(folder.path()));
    std::fs::remove_file(path("data_batch_01.bin")).unwrap();
    std::fs::rename(path("data_batch_1.bin"), path("test_batch.bin")).unwrap();
    refused(&["no data_batch_1.bin", "beside test_batch.bin"], read(folder.path()));

    // Pixels that begin as another file does: IDX images, after the label 0. And a text that is called .bin.
    let idx_like = [&idx(&[1], &[]), &[0; 3073 * 2][8..]].concat();
    let idx_like = [&[0, 0, 8, 3][..], &idx_like[4..]].concat();
    assert_eq!(written("c.bin", &idx_like).unwrap().train.labels(), [0, 0]);
    assert_eq!(written("d.bin", b"a,y\n1,p\n2,q\n").unwrap().train.rows(), 2);
}

/// The mean and the deviation of each channel, against sums over the pixels in another order; a constant channel becomes 0.
#[test]
fn channels_are_standardized() {
    let mut random = Random(8);
    let shape = ImageShape { height: 3, width: 2, channels: 3 };
    let bytes: Vec<u8> = (0..18 * 40).map(|at| if at % 3 == 1 { 51 } else { random.below(256) as u8 }).collect();
    let labels: Vec<u32> = (0..40).map(|row| row % 2).collect();
    let flat = Dataset::from_u8(bytes.clone(), 18, labels).unwrap();
    refused(&["not images", "standardize"], ScaleBy::StandardizeChannels.of(&flat));
    refused(&["targets have no channels"], ScaleBy::StandardizeChannels.of_targets(&flat));
    let set = flat.with_image_shape(shape).unwrap();
    let scaling = ScaleBy::StandardizeChannels.of(&set).unwrap().unwrap();
    for channel in 0..3 {
        let own: Vec<f64> = bytes.iter().skip(channel).step_by(3).map(|&byte| f64::from(byte) / 255.0).collect();
        let mean = own.iter().sum::<f64>() / own.len() as f64;
        let square = own.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / own.len() as f64;
        let scale = if channel == 1 { 1.0 } else { 1.0 / square.sqrt() };
        for feature in (channel..18).step_by(3) {
            assert!((scaling.shift[feature] - mean).abs() < 1e-7, "{feature}: {} {mean}", scaling.shift[feature]);
            assert!((f64::from(scaling.scale[feature]) / scale - 1.0).abs() < 1e-6, "{feature}");
        }
    }
    // A set keeps its form where it is scaled, split and selected, and so does its model.
    let set = set.with_scaling(scaling.clone()).unwrap();
    let (train, held_out) = set.split(0.25, 1).unwrap();
    assert_eq!([&train, &held_out, &set.select([3]).unwrap()].map(Dataset::image_shape), [Some(shape); 3]);
    assert_eq!(Source::read(&set, 2..5).unwrap().image_shape(), Some(shape));
    let network = Network::new(18).dense(2, Activation::Identity);
    let mut trainer = Trainer::on(gpu(), network, TrainOptions { epochs: 1, ..TrainOptions::default() }).unwrap();
    trainer.fit(&set, None).unwrap();
    let model: Model = saved(&mut trainer);
    assert_eq!((model.image, model.scaling), (Some(shape), Some(scaling)));
}

/// Finds a form that a user gives and that is passed over: of a set that has its own, of a table whose columns are no such image, of rows to validate on.
#[test]
fn a_form_that_the_rows_do_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("data_batch_1.bin"), cifar(&[&[9], &[0], &[4]], &mut Random(6)).0).unwrap();
    let table = |name: &str, columns: usize| {
        let line = |row: usize| (0..columns).map(|at| format!("{},", (row + at) % 7)).collect::<String>();
        let rows: String = (0..12).map(|row| format!("{}{}\n", line(row), ["no", "yes"][row % 2])).collect();
        std::fs::write(at.join(name), rows).unwrap();
    };
    table("small.csv", 12);
    table("large.csv", 27);
    let array = |name: &str, side: usize| {
        let x = npy("|u1", &format!("(4, {side}, {side})"), &vec![7; 4 * side * side]);
        let y = npy("|u1", "(4,)", &[0, 1, 0, 1]);
        std::fs::write(at.join(name), npz(&[("x.npy", &x), ("y.npy", &y)], CompressionMethod::Stored)).unwrap();
    };
    array("four.npz", 4);
    array("five.npz", 5);
    let run = |image: &str, arguments: &[&str]| {
        let layers = "layers = [{ conv = 2, kernel = 2, activation = 'relu' }, { flatten = true }, { dense = 10 }]";
        let image = if image.is_empty() { String::new() } else { format!("[data]\nimage = {image}\n") };
        std::fs::write(at.join("run.toml"), format!("{image}[model]\n{layers}\n")).unwrap();
        wgrad(at, &[&["train", "--config", "run.toml", "--steps", "1", "--screen", "none"], arguments].concat())
    };
    run("[14, 14, 1]", &["--data", "mnist"]).refused(&[
        "image = [14, 14, 1] under [data]",
        "mnist",
        "[28, 28, 1]",
        "leave image out",
    ]);
    run("[16, 16, 3]", &["--data", "data_batch_1.bin"]).refused(&[
        "image = [16, 16, 3]",
        "data_batch_1.bin",
        "[32, 32, 3]",
    ]);
    run("[2, 8, 1]", &["--data", "four.npz"]).refused(&["image = [2, 8, 1]", "four.npz", "[4, 4, 1]"]);
    run("[2, 3, 3]", &["--data", "small.csv"]).refused(&[
        "image = [2, 3, 3]",
        "18 values",
        "small.csv has 12 features",
    ]);
    assert_eq!(run("[28, 28, 1]", &["--data", "mnist", "--memory-budget", "1MB"]).code, 0);
    assert_eq!(run("[2, 2, 3]", &["--data", "small.csv"]).code, 0);
    // Of a network of features, too.
    std::fs::write(at.join("dense.toml"), "[data]\nimage = [2, 3, 3]\n").unwrap();
    wgrad(at, &["train", "--config", "dense.toml", "--data", "small.csv"])
        .refused(&["image = [2, 3, 3]", "12 features"]);
    for scaling in ["none", "standardize", "standardize-channels"] {
        run("", &["--data", "four.npz", "--validation", "five.npz", "--scaling", scaling]).refused(&[
            "five.npz",
            "images of 5×5×1",
            "four.npz",
            "images of 4×4×1",
        ]);
    }
    run("", &["--data", "four.npz", "--validation", "four.npz", "--scaling", "standardize"]);
    // The set that is named is not said to be a default, and a mismatch says the layer and the form that is right.
    let ran = wgrad(at, &["evaluate", "--model", "model.safetensors", "--data", "mnist"]);
    ran.refused(&["MNIST", "images of 28×28×1", "layer 1 (conv)", "resize them to 4×4×1"]);
    assert!(!ran.said.contains("names no other"), "{}", ran.said);
}

/// Finds folders of classes whose numbers mean other classes to a model than to the folders.
#[test]
fn folders_of_classes_have_the_numbers_of_the_models_classes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let images = |folder: &str, class: &str, light: u8| {
        let own = at.join(folder).join(class);
        std::fs::create_dir_all(&own).unwrap();
        for image in 0..4u8 {
            let pixels = [light + image, light, light - image, light];
            std::fs::write(own.join(format!("{image}.pgm")), [&b"P5 2 2 255\n"[..], &pixels].concat()).unwrap();
        }
    };
    images("trained", "cat", 30);
    images("trained", "dog", 220);
    images("turned", "dog", 220);
    images("other", "cat", 30);
    images("other", "eagle", 220);
    let run = ["train", "--data", "trained", "--hidden", "8", "--epochs", "60", "--lr", "0.05", "--screen", "none"];
    assert_eq!(wgrad(at, &run).code, 0);
    let evaluated = |model: &str, data: &str| wgrad(at, &["evaluate", "--model", model, "--data", data]);
    let accuracy = |ran: &crate::cases::Ran| ran.event("evaluation")["accuracy"].as_f64().unwrap();
    // One folder alone would be class 0.
    for data in ["trained", "turned"] {
        let ran = evaluated("model.safetensors", data);
        assert_eq!((accuracy(&ran), &ran.said[..]), (1.0, ""), "{data}");
    }
    evaluated("model.safetensors", "other").refused(&["eagle", "none of the model's classes", "cat, dog"]);
    // A model without names: the numbers are the folders', which is said.
    let model = Model::read(at.join("model.safetensors")).unwrap();
    Model { classes: vec![], ..model }.write(at.join("nameless.safetensors")).unwrap();
    let ran = evaluated("nameless.safetensors", "turned");
    ran.says(&["turned: its classes have names", "dog is 0", "where training numbered them so"]);
    assert_eq!(accuracy(&ran), 0.0);
    evaluated("nameless.safetensors", "trained").says(&["cat is 0, dog is 1"]);
    // Names that are the numbers leave nothing open.
    images("digits", "0", 30);
    images("digits", "1", 220);
    let ran = evaluated("nameless.safetensors", "digits");
    assert_eq!((accuracy(&ran), &ran.said[..]), (1.0, ""));
}
