//! Helpers of several promises: the device, random numbers, comparison.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use safetensors::SafeTensors;
use wgrad::gpu::{Limits, OpenOptions};
use wgrad::kernel::tile::Family;
pub use wgrad::selftest::compared::{Random, relative_error};
use wgrad::{Activation, Checkpoint, Dataset, Error, Gpu, Model, Weights};

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

/// The device of this test's thread. Each thread at work has one, so that no test waits for what the driver compiles for another's; the next test takes it over
/// with its kernels. No adapter is a failure, with the package to install.
pub fn gpu() -> Arc<Gpu> {
    thread_local!(static OWN: Lent = Lent::new());
    OWN.with(|own| Arc::clone(&own.0))
}

/// A device that is free again when its thread ends.
struct Lent(Arc<Gpu>);

static FREE: Mutex<Vec<Arc<Gpu>>> = Mutex::new(vec![]);

impl Lent {
    fn new() -> Self {
        // A device keeps all kernels, of which lavapipe's take megabytes each. It is dropped here, as the end of a thread is too late for its own thread-locals.
        const MOST_KERNELS: usize = 500;
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent(free.filter(|device| device.kernels_compiled() < MOST_KERNELS).unwrap_or_else(own_gpu))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&self.0));
    }
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

/// Every family of tiles: the device's own, and those that run anywhere. Under `WGRAD_FAMILIES=own`, the device's own alone: SwiftShader takes 20 GB to compile the others'.
/// Under `WGRAD_FAMILIES=gpu`, the device's own and that of GPUs.
pub fn families() -> [Family; 4] {
    let own = gpu().adapter().family();
    match std::env::var("WGRAD_FAMILIES") {
        Ok(word) if word == "own" => [own; 4],
        Ok(word) if word == "gpu" => [own, own, Family::Hardware, Family::Hardware],
        _ => [Family::Reference, Family::Software, own, Family::Hardware],
    }
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

/// Fails where `begin`, a command that trains with `--json`, is killed at any moment, resumed, and has other bits in the end than a run that was left alone.
#[track_caller]
pub fn assert_survives_kills(folder: &std::path::Path, begin: &str) {
    let mut random = Random(8);
    let run = |line: &str| succeed(folder, &line.split(' ').collect::<Vec<_>>());
    for kill in 0..6 {
        let line = match Checkpoint::open(folder.join("cks")) {
            Ok(_) => "train --resume cks --json".into(),
            Err(_) => format!("{begin} --steps 1000000000 --checkpoint cks --checkpoint-every 2 --save killed"),
        };
        let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
        let program = program.current_dir(folder).args(line.split(' ')).stdout(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let epoch = |line: std::io::Result<String>| line.unwrap().contains("\"event\":\"epoch\"");
        assert!(kill % 2 == 0 || lines.by_ref().any(epoch), "no epoch");
        // It must not wait for us to read.
        let reader = std::thread::spawn(move || lines.count());
        std::thread::sleep(std::time::Duration::from_millis(random.below(400) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
    }
    let last = Checkpoint::open(folder.join("cks")).unwrap().step() + 5;
    run(&format!("train --resume cks --json --steps {last}"));
    run(&format!("{begin} --steps {last} --save undisturbed"));
    let of = |file: &str| bits(&Model::read(folder.join(file)).unwrap().weights);
    assert!(of("killed") == of("undisturbed"), "after {last} steps");
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
