//! How much longer does an epoch take whose rows are read while it runs, compared with the same rows on the device?
//!
//! Measured: epochs of the seed network on 60,000 rows of 784 bytes, from a set in the host's memory, in windows of 8 MiB; in turns with the
//! whole set on the device, the first epoch of each turn left out, as it compiles. Control: the whole set on the device a second time,
//! which must read 1.0.
//! Not to be read as: the cost of a slow disk; where reading takes longer than training, an epoch takes as long as reading.
//! `-- --large` trains an epoch on 10 GB of rows that are made as they are needed, and prints the most memory that the process had.

use std::ops::{ControlFlow, Range};

use wgrad::{Activation, AdapterChoice, Dataset, Error, Event, Generated, Gpu, Network, TrainOptions, Trainer};

const WIDTH: usize = 784;
const CLASSES: u32 = 10;

/// Rows that can be learned, each from its number alone: noise, and a bright block whose position is the label.
fn rows(rows: Range<usize>) -> Result<Dataset, Error> {
    let mut features = Vec::with_capacity(rows.len() * WIDTH);
    let mut labels = Vec::with_capacity(rows.len());
    for row in rows {
        let mut state = row as u64 ^ 0x9e37_79b9_7f4a_7c15;
        for _ in 0..WIDTH / 8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            features.extend((state >> 2 & 0x3f3f_3f3f_3f3f_3f3f).to_le_bytes());
        }
        let label = (state >> 40) as u32 % CLASSES;
        let first = features.len() - WIDTH + 70 * label as usize;
        features[first..first + 40].fill(200);
        labels.push(label);
    }
    Dataset::from_u8(features, WIDTH, labels)
}

fn options(memory_budget: Option<u64>, batch_size: usize, epochs: u64) -> TrainOptions {
    TrainOptions { memory_budget, batch_size, epochs, ..TrainOptions::default() }
}

fn trainer(hidden: usize, options: TrainOptions) -> Trainer {
    let gpu = Gpu::open(&AdapterChoice::Auto).unwrap_or_else(|error| panic!("{error}"));
    Trainer::on(gpu, Network::classifier(WIDTH, &[hidden], Activation::Relu, CLASSES as usize), options).unwrap()
}

fn compare(batch: usize) {
    let set = rows(0..60_000).unwrap();
    let mut seconds = [const { Vec::new() }; 3];
    let mut trainers = [None, Some(16 << 20), None].map(|budget| trainer(256, options(budget, batch, 3)));
    for _ in 0..4 {
        for (trainer, seconds) in trainers.iter_mut().zip(&mut seconds) {
            let history = trainer.fit(&set, None).unwrap();
            seconds.extend(history.epochs[1..].iter().map(|epoch| epoch.seconds));
        }
    }
    let [whole, streamed, control] = seconds.map(|mut seconds| {
        seconds.sort_by(f64::total_cmp);
        (seconds[seconds.len() / 2], seconds[0])
    });
    println!(
        "batch {batch}: an epoch on the device {:.2} s, streamed {:.2} s: {:.3}× (least against least {:.3}×); control {:.3}× ({:.3}×)",
        whole.0,
        streamed.0,
        streamed.0 / whole.0,
        streamed.1 / whole.1,
        control.0 / whole.0,
        control.1 / whole.1,
    );
}

/// The most memory that the process had so far, in MB; `None` if the system does not report it.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? / 1000)
}

fn large() {
    let source = Generated::new(10_000_000_000 / WIDTH + 1, CLASSES as usize, rows);
    let mut trainer = trainer(32, options(Some(64 << 20), 1024, 1));
    let mut told = std::time::Instant::now();
    let history = trainer.fit_from(&source, None, |event| {
        if let Event::Progress(progress) = event
            && told.elapsed().as_secs() >= 20
        {
            told = std::time::Instant::now();
            println!("step {} of {}, most memory so far {:?} MB", progress.step, progress.steps, peak());
        }
        ControlFlow::Continue(())
    });
    let epoch = history.unwrap().epochs[0];
    println!(
        "10 GB: {} rows in {:.0} s, {:.0} samples/s, loss {:.4}, most memory {:?} MB",
        epoch.training.rows,
        epoch.seconds,
        epoch.samples_per_second,
        epoch.training.loss,
        peak()
    );
}

fn main() {
    if std::env::args().any(|argument| argument == "--large") {
        large();
    } else {
        [32, 1024].into_iter().for_each(compare);
    }
}
