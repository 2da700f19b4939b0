//! Helpers of several promises: the device, random numbers, comparison.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use safetensors::SafeTensors;
use wgrad::gpu::{Limits, OpenOptions};
use wgrad::kernel::tile::Family;
pub use wgrad::selftest::compared::{Random, relative_error};
use wgrad::{Activation, Dataset, Error, Gpu, Weights};

/// Every activation of the crate: all but those of a user.
pub const ACTIVATIONS: [Activation; 10] = [
    Activation::Identity,
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Elu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Softplus,
];

/// The one device of the suite. No adapter is a failure, with the package to install.
pub fn gpu() -> Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    Arc::clone(GPU.get_or_init(own_gpu))
}

/// Another device of the same kind. `WGRAD_LIMITS` says what both may use, as it does to the program.
pub fn own_gpu() -> Arc<Gpu> {
    let options = OpenOptions { limits: limits(), ..OpenOptions::default() };
    Gpu::open_with(&options).unwrap_or_else(|error| panic!("{error}"))
}

/// The limits of the suite's devices.
pub fn limits() -> Limits {
    std::env::var("WGRAD_LIMITS").map_or(Limits::Adapter, |words| words.parse().unwrap())
}

/// Every family of tiles: the device's own, and those that run anywhere.
pub fn families() -> [Family; 4] {
    [Family::Reference, Family::Software, gpu().adapter().family(), Family::Hardware]
}

#[track_caller]
pub fn assert_close(what: &str, out: &[f64], reference: &[f64], tolerance: f64) {
    let error = relative_error(out, reference);
    // Written so that NaN fails.
    assert!(error < tolerance, "{what}: relative error {error:e}, allowed {tolerance:e}");
}

/// Checks that bad input was refused: by its exit code, and by a reason that has these words.
#[track_caller]
pub fn refused<T>(words: &[&str], result: Result<T, Error>) {
    assert!(!words.is_empty(), "any error would do");
    let error = result.err().unwrap_or_else(|| panic!("nothing was refused, and {words:?} expected"));
    assert_eq!(error.exit_code(), 2, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "no \"{word}\" in: {error}");
    }
}

/// Checks that a check of the selftest passes.
#[track_caller]
pub fn agrees(agreed: Result<f64, String>) {
    if let Err(wrong) = agreed {
        panic!("{wrong}");
    }
}

/// All weights and biases in one row, for comparing.
pub fn flat(weights: &Weights) -> Vec<f64> {
    weights.layers.iter().flat_map(|layer| layer.weight.iter().chain(&layer.bias)).map(|&value| value.into()).collect()
}

/// The bits of all weights and biases.
pub fn bits(weights: &Weights) -> Vec<u32> {
    weights
        .layers
        .iter()
        .flat_map(|layer| layer.weight.iter().chain(&layer.bias))
        .map(|value| value.to_bits())
        .collect()
}

/// A set of u8 rows whose label can be learned: the largest of the first features.
pub fn learnable(rows: usize, width: usize, classes: usize, seed: u64) -> Dataset {
    let mut random = Random(seed);
    let features: Vec<u8> = (0..rows * width).map(|_| random.bits() as u8).collect();
    let label = |row: &[u8]| (0..classes.min(width)).max_by_key(|&at| row[at]).unwrap_or(0) as u32;
    let labels = features.chunks_exact(width).map(label).collect();
    Dataset::from_u8(features, width, labels).unwrap()
}

/// The program with these arguments, run in a folder.
pub fn wgrad(folder: &std::path::Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgrad")).current_dir(folder).args(arguments).output().unwrap()
}

/// Its stdout, when it succeeded.
#[track_caller]
pub fn succeed(folder: &std::path::Path, arguments: &[&str]) -> String {
    let output = wgrad(folder, arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "wgrad {}: {}\n{err}", arguments.join(" "), output.status);
    out.into_owned()
}

/// The names of a folder's files, in order; but the one that keeps a folder of checkpoints for one run.
pub fn files_in(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name != ".lock");
    names.sort();
    names
}

/// docs/run.toml, in a folder: as it is, or with a tile that this adapter has where that is one of its subgroups.
pub fn documented_config(folder: &std::path::Path) -> String {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/run.toml")).unwrap();
    let tile = "\"subgroup 16×32\"";
    assert!(text.contains(tile));
    let has_it = matches!(gpu().adapter().family(), Family::Subgroups { .. });
    let path = folder.join("run.toml");
    std::fs::write(&path, if has_it { text } else { text.replace(tile, "\"naive\"") }).unwrap();
    path.to_str().unwrap().into()
}

/// A file of the test data.
pub fn golden_file(case: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{case}.safetensors"))
}

/// Every text between two others.
pub fn all_between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split(after).next().unwrap()).collect()
}

/// Width, height and bytes of a picture in a page.
pub fn picture(address: &str) -> (usize, usize, Vec<u8>) {
    let base64 = address.strip_prefix("data:image/png;base64,").unwrap();
    let file = base64::engine::general_purpose::STANDARD.decode(base64).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    (info.width as usize, info.height as usize, bytes)
}

/// The numbers of a tensor of f32.
pub fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Vec<f64> {
    let data = tensors.tensor(name).unwrap().data();
    data.chunks_exact(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect()
}

/// Calls `read` with a file that is damaged, wherever that is: with one of three bits of each byte flipped, or all of them.
pub fn each_damaged(mut bytes: Vec<u8>, read: impl Fn(&[u8])) {
    for at in 0..bytes.len() {
        for flip in [0x01, 0x10, 0x80, 0xff] {
            bytes[at] ^= flip;
            read(&bytes);
            bytes[at] ^= flip;
        }
    }
}
