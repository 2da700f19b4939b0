//! Says whether the files that the feature `mnist` puts into the library are there: the repository has them, a published package does not.
//! Build an unpacked package in a target folder of its own, or as a member of another workspace: cargo would give the clone what this script found there.

use std::path::Path;

const FOLDER: &str = "data/mnist";
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(mnist_embedded)");
    println!("cargo::rerun-if-changed=build.rs");
    // A path that does not exist would have this script, and all that depends on it, built anew each time.
    if Path::new(FOLDER).exists() {
        println!("cargo::rerun-if-changed={FOLDER}");
    }
    if std::env::var_os("CARGO_FEATURE_MNIST").is_none() {
        return;
    }
    if FILES.iter().all(|file| Path::new(FOLDER).join(file).exists()) {
        println!("cargo::rustc-cfg=mnist_embedded");
    } else {
        println!(
            "cargo::warning=built without MNIST: its files are in the repository, and not in the published package"
        );
    }
}
