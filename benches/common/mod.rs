//! Helpers of the benches: the device, and plans of the benchmark's networks.

#![allow(dead_code, reason = "each bench uses its part")]

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use wgrad::kernel::tiling::Tiling;
use wgrad::layout::TokenLayout;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::training::Training;
use wgrad::{Activation, AdapterChoice, Error, Form, Gpu, Loss, Network, Optimizer, Schedule};

/// The best adapter; no adapter is an error that says what to install.
pub fn gpu() -> Arc<Gpu> {
    Gpu::open(&AdapterChoice::Auto).unwrap_or_else(|error| panic!("{error}"))
}

/// A classifier of these widths, hidden layers under ReLU.
pub fn dense(widths: &[usize]) -> Network {
    let [inputs, hidden @ .., classes] = widths else { panic!("a classifier has two widths at least") };
    Network::classifier(*inputs, hidden, Activation::Relu, *classes)
}

/// A training step of such a classifier.
pub fn plan(tiling: &Tiling, widths: &[usize], batch: u32, rows: u64) -> Result<Plan, Error> {
    plan_of(tiling, &dense(widths), batch, rows)
}

/// A training step with Adam on u8 rows, or on a text.
pub fn plan_of(tiling: &Tiling, network: &Network, batch: u32, rows: u64) -> Result<Plan, Error> {
    let (optimizer, schedule) = (Optimizer::keras_adam(), Schedule::default());
    let training = Training::new(&optimizer, &schedule);
    let element = match network.input() {
        Form::Tokens(_) => Element::Tokens(TokenLayout { bytes: 4, overlaps: true }),
        _ => Element::U8,
    };
    Plan::new(Request {
        network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: Some(training),
        batch,
        set: SetLayout::whole(element, rows),
        tiling,
        metrics: false,
    })
}

/// Short measurements, as the machine is shared and the least of the samples counts.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}
