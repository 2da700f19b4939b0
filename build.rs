//! Says whether MNIST is there to be put inside the program: it is in the repository, and not in a published package.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(mnist_embedded)");
    println!("cargo::rerun-if-changed=data/mnist");
    if std::path::Path::new("data/mnist/train-images-idx3-ubyte.gz").exists() {
        println!("cargo::rustc-cfg=mnist_embedded");
    }
}
