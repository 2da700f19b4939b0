//! Lists the shaders, and says whether the files that the feature `mnist` puts into the library are there: the repository has them, a published package
//! does not.
//! Build an unpacked package in a target folder of its own, or as a member of another workspace: cargo would give the clone what this script found there.

use std::path::{Path, PathBuf};

const SHADERS: &str = "shaders";
const FOLDER: &str = "data";
const FILES: [&str; 5] = [
    "mnist/train-images-idx3-ubyte.gz",
    "mnist/train-labels-idx1-ubyte.gz",
    "mnist/t10k-images-idx3-ubyte.gz",
    "mnist/t10k-labels-idx1-ubyte.gz",
    "shakespeare/plays.txt.gz",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    list_shaders();
    find_mnist();
}

/// Writes the array of all shader modules, as pairs of a name and a text, to `shaders.rs`.
fn list_shaders() {
    println!("cargo::rerun-if-changed={SHADERS}");
    let mut files = vec![];
    shaders_in(Path::new(SHADERS), &mut files);
    files.sort();
    let entry = |file: &PathBuf| {
        let path = file.to_string_lossy().replace('\\', "/");
        let name = path.trim_start_matches("shaders/").trim_end_matches(".wesl").to_string();
        format!("({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {:?}))),\n", format!("/{path}"))
    };
    let list: String = files.iter().map(entry).collect();
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("shaders.rs"), format!("&[{list}]")).expect("OUT_DIR can be written to");
}

/// Adds the shaders of a folder and of those within it.
fn shaders_in(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() {
            shaders_in(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "wesl") {
            files.push(path);
        }
    }
}

fn find_mnist() {
    println!("cargo::rustc-check-cfg=cfg(mnist_embedded)");
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
            "cargo::warning=built without MNIST and Shakespeare: their files are in the repository, and not in the published package"
        );
    }
}
