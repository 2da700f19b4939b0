//! What the peers' programs share: options, random numbers, and how steps are timed and reported.

use std::time::{Instant, UNIX_EPOCH};

use burn::prelude::*;

/// The value of an option of the command line.
pub fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|word| word != name).nth(1)
}

fn now() -> f64 {
    UNIX_EPOCH.elapsed().expect("a clock past 1970").as_secs_f64()
}

/// SplitMix64.
#[derive(Default)]
pub struct Random(u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// Steps of `batch` rows. Kernels are tuned in the first `warm_up` of them; `probe` steps choose how many are timed, and are as many as the last ones, whose mean
/// loss is reported.
pub struct Timing {
    pub batch: usize,
    pub warm_up: usize,
    pub probe: usize,
}

impl Timing {
    /// Takes steps for `--seconds S`, and prints a line of JSON. A step returns its loss.
    pub fn report(self, mut step: impl FnMut() -> Tensor<1>) {
        let Timing { batch, warm_up, probe } = self;
        let started = std::env::var("PEER_STARTED").map_or_else(|_| now(), |word| word.parse().expect("PEER_STARTED"));
        let seconds = option("--seconds").map_or(5.0, |word| word.parse::<f64>().expect("--seconds S"));
        // Runs some steps, and returns the seconds they took and the last one's loss.
        let mut train = |steps: usize| {
            let begun = Instant::now();
            let last = (0..steps).map(|_| step()).last();
            let loss = last.expect("a step at least").into_scalar::<f32>();
            (begun.elapsed().as_secs_f64(), loss)
        };
        let (first, _) = train(1);
        let start = now() - started;
        train(warm_up);
        let steps = ((seconds * probe as f64 / train(probe).0) as usize).max(probe);
        let (took, _) = train(steps);
        let loss = (0..probe).map(|_| train(1).1).sum::<f32>() / probe as f32;
        println!(
            "{{\"engine\": \"burn 0.22.1, wgpu\", \"rows_per_second\": {}, \"loss\": {loss}, \
             \"first_step_seconds\": {first}, \"start_seconds\": {start}, \"steps\": {}}}",
            (steps * batch) as f64 / took,
            1 + warm_up + probe + steps + probe,
        );
    }
}
