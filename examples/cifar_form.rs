//! Writes 10,000 of MNIST's rows as files in CIFAR-10's binary form: in three channels, with two pixels of black around them, which makes 32×32. 1,600
//! rows in each of five batches are for training, and 2,000 for testing.
//!
//! `cargo run --release --example cifar_form -- FOLDER`, then `wgrad train --data FOLDER`.

use std::path::Path;

use wgrad::{Dataset, Error};

const SIDE: usize = 32;
const BATCH: usize = 1600;

fn main() -> Result<(), Error> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::Option("name the folder to write into".into()))?;
    let folder = Path::new(&folder);
    let (digits, _) = Dataset::mnist()?;
    let in_folder = |path: &Path| {
        let path = path.to_path_buf();
        |source| Error::Io { path, source }
    };
    let write =
        |name: &str, bytes: Vec<u8>| std::fs::write(folder.join(name), bytes).map_err(in_folder(&folder.join(name)));
    std::fs::create_dir_all(folder).map_err(in_folder(folder))?;
    for batch in 0..5 {
        write(&format!("data_batch_{}.bin", batch + 1), records(&digits, batch * BATCH..(batch + 1) * BATCH)?)?;
    }
    write("test_batch.bin", records(&digits, 5 * BATCH..10_000)?)?;
    let names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    write("batches.meta.txt", names.join("\n").into_bytes())
}

/// Some rows in CIFAR's form: a label, then a plane for each channel.
fn records(digits: &Dataset, rows: std::ops::Range<usize>) -> Result<Vec<u8>, Error> {
    let mut records = Vec::new();
    for row in rows {
        let mut plane = [0; SIDE * SIDE];
        for (at, value) in digits.row(row)?.into_iter().enumerate() {
            plane[(at / 28 + 2) * SIDE + at % 28 + 2] = (255.0 * value).round() as u8;
        }
        records.push(digits.labels()[row] as u8);
        (0..3).for_each(|_| records.extend_from_slice(&plane));
    }
    Ok(records)
}
