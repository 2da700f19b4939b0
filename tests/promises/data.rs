//! The data: MNIST as it was published, every MNIST-style directory, safetensors files.

use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use wgrad::{Activation, Dataset, ImageShape, Loss, Network, Optimizer, TrainOptions, Trainer};

use crate::support::{assert_close, gpu};

/// An IDX file of images or labels, as its description says.
pub fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let magic = [0, 0, 8, sizes.len() as u8];
    magic.into_iter().chain(sizes.iter().flat_map(|size| size.to_be_bytes())).chain(bytes.iter().copied()).collect()
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A directory with four training rows of 2 × 3 pixels and two test rows.
fn write_directory(folder: &Path, rename: impl Fn(&str) -> String, gzip: bool) {
    for (name, content) in [
        ("train-images-idx3-ubyte", idx(&[4, 2, 3], &(0..24).collect::<Vec<u8>>())),
        ("train-labels-idx1-ubyte", idx(&[4], &[3, 1, 0, 2])),
        ("t10k-images-idx3-ubyte", idx(&[2, 2, 3], &[255; 12])),
        ("t10k-labels-idx1-ubyte", idx(&[2], &[1, 1])),
    ] {
        let content = if gzip { gzipped(&content) } else { content };
        std::fs::write(folder.join(rename(name)), content).unwrap();
    }
}

/// Finds a file that was swapped, cut or recompressed from something else.
#[test]
fn bundled_mnist_is_the_published_one() {
    for (name, expected) in [
        ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist").join(format!("{name}.gz"));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, expected, "{name}");
    }
    let (train, test) = Dataset::mnist().unwrap();
    assert_eq!((train.rows(), test.rows(), train.width(), train.classes()), (60_000, 10_000, 784, 10));
    assert_eq!(train.labels()[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    assert!(Dataset::from_idx_dir(directory).unwrap() == (train, Some(test)), "the directory is what is inside");
}

/// Finds a reader that knows MNIST's own file names only. Files may be gzipped or not, have EMNIST's names, and lack test files.
#[test]
fn any_mnist_style_directory_is_read() {
    let shape = ImageShape { height: 2, width: 3, channels: 1 };
    let expected = Dataset::from_u8((0..24).collect(), 6, vec![3, 1, 0, 2]).unwrap().with_image_shape(shape).unwrap();
    let names: [fn(&str) -> String; 3] = [
        |name| name.into(),
        |name| format!("{name}.gz"),
        |name| format!("emnist-letters-{name}.gz").replace("t10k", "test"),
    ];
    for (rename, gzip) in names.into_iter().zip([false, true, true]) {
        let folder = tempfile::tempdir().unwrap();
        write_directory(folder.path(), rename, gzip);
        let (train, test) = Dataset::from_idx_dir(folder.path()).unwrap();
        assert_eq!(train, expected);
        assert_eq!(test.unwrap().labels(), [1, 1]);
        std::fs::remove_file(folder.path().join(rename("t10k-images-idx3-ubyte"))).unwrap();
        std::fs::remove_file(folder.path().join(rename("t10k-labels-idx1-ubyte"))).unwrap();
        assert_eq!(Dataset::from_idx_dir(folder.path()).unwrap(), (train, None));
    }
}

/// Finds u8 features that are scaled by anything but 1/255, in any product: the same rows, once as u8 and once divided, train alike, by tiles, by a
/// head, with gradients that are divided by the rows' weights, and with gradients that are kept.
#[test]
fn u8_features_are_divided_by_255() {
    let bytes: Vec<u8> = (0..=255).collect();
    let labels: Vec<u32> = (0..64).map(|row| row % 3).collect();
    let divided: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let weighted = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.0,
        class_weights: Some(vec![0.5, 2.0, 3.0]),
        ignore_index: None,
        gamma: 0.0,
    };
    let clip_grad_norm = Some(0.5);
    let cases = [
        (vec![5], 3, TrainOptions::default()),
        (vec![5], 3, TrainOptions { loss: weighted.clone(), ..TrainOptions::default() }),
        (vec![5], 3, TrainOptions { clip_grad_norm, ..TrainOptions::default() }),
        (vec![], 3, TrainOptions::default()),
        (vec![], 3, TrainOptions { loss: weighted, clip_grad_norm, ..TrainOptions::default() }),
        (vec![], 70, TrainOptions::default()),
    ];
    for (hidden, classes, options) in cases {
        // SGD, because Adam's step does not depend on a factor of the gradient.
        let options = TrainOptions { epochs: 2, batch_size: 24, optimizer: Optimizer::sgd(0.1), ..options };
        let logits = |set: Dataset| -> Vec<f64> {
            let network = Network::classifier(4, &hidden, Activation::Relu, classes);
            let mut trainer = Trainer::on(gpu(), network, options.clone()).unwrap();
            trainer.fit(&set, None).unwrap();
            trainer.predict(&set).unwrap().into_iter().map(f64::from).collect()
        };
        let as_bytes = logits(Dataset::from_u8(bytes.clone(), 4, labels.clone()).unwrap());
        let as_floats = logits(Dataset::from_f32(divided.clone(), 4, labels.clone()).unwrap());
        assert_close(&format!("u8 against f32, {hidden:?} {classes}, {options:?}"), &as_bytes, &as_floats, 1e-6);
    }
}

/// Finds a split that loses rows, shares them, or is another one every time.
#[test]
fn a_split_keeps_every_row_once() {
    let set = Dataset::from_u8((0..100).collect(), 1, (0..100).collect()).unwrap();
    let (train, validation) = set.split(0.25, 3).unwrap();
    assert_eq!((train.rows(), validation.rows()), (75, 25));
    let mut labels: Vec<u32> = train.labels().iter().chain(validation.labels()).copied().collect();
    labels.sort_unstable();
    assert!(labels.into_iter().eq(0..100));
    assert_eq!(set.split(0.25, 3).unwrap(), (train, validation.clone()));
    assert_ne!(set.split(0.25, 4).unwrap().1, validation);
}

/// Finds a folder of IDX files that is refused because hidden files or folders are beside them.
#[test]
fn idx_files_may_have_folders_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/mnist");
    for entry in std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_name().to_string_lossy().starts_with("t10k") {
            let name = entry.file_name().to_string_lossy().replace("t10k", "train");
            std::fs::copy(entry.path(), folder.path().join(name)).unwrap();
        }
    }
    std::fs::create_dir(folder.path().join(".cache")).unwrap();
    std::fs::create_dir(folder.path().join("notes")).unwrap();
    let (set, test) = wgrad::Dataset::read(folder.path(), &wgrad::ReadOptions::default()).unwrap();
    assert_eq!((set.rows(), test), (10_000, None));
}
