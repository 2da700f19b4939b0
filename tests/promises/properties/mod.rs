//! Random networks, trained some steps beside a twin in f64 that knows its neighbour's rounding.
//!
//! After every step the twin begins anew from the device's weights, so that one step is judged and not the chaotic growth over many. It carries
//! the variance that f32's rounding gives each of its numbers through the network and back (first order, errors independent of each other), and
//! steps with each gradient as it is, and, for each step so far, with that one's at both ends of [`SIGMAS`](twin::SIGMAS) standard deviations around it. What
//! the device has must lie between these: where a rule goes by a gradient's sign, as Lion does and Adam in its first step, that is wide for gradients that are nothing but
//! rounding, and narrow for all others. Where a unit's sum is so near a kink of ReLU or of the absolute error that rounding decides the side,
//! the twin cannot know the gradient, and says so: the case ends there, and is counted. Muon multiplies what is wrong with its direction by
//! 3.4445 in each iteration at most, and is judged by the norm.
//!
//! The cases that are kept come first. `WGRAD_CASES` asks for more than the first 25 cases, as CI does for 40: what they take is the driver's compiler, for every kernel of every
//! network. docs/soundness.md says what was run.
//!
//! These networks are of dense layers. [`layers`] draws those of images and of every other layer.

mod case;
mod layers;
mod rows;
mod twin;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use wgrad::{Gpu, Optimizer, Rule, TrainOptions, Trainer};

use crate::reference::network::layers;
use crate::support::{bits, own_gpu};
use case::{Case, cases, kept};
use rows::Rows;
use twin::{Slots, clip, gradients, muon_stepped, stepped, whole, within};

/// Trains the case on the device and on the twin, and returns how many steps could be judged, or else what is wrong.
fn agrees(gpu: &Arc<Gpu>, case: &Case) -> Result<u64, String> {
    let wrong = |what: &str, error: wgrad::Error| format!("{what}: {error}");
    let (network, rows, optimizer) = (case.network(), Rows::of(case), case.optimizer());
    let one_step = TrainOptions { steps: Some(1), ..case.options() };
    let mut trainer = Trainer::on(Arc::clone(gpu), network.clone(), one_step).map_err(|error| wrong("new", error))?;
    let mut before = layers(&trainer.weights().map_err(|error| wrong("weights", error))?);
    let mut slots: Vec<Slots> = before
        .iter()
        .map(|layer| Slots {
            kept: vec![Default::default(); whole(layer).len()],
            momentum: vec![0.0; layer.weights.len()],
        })
        .collect();
    // Of Muon, the rule of the last layer and of every bias.
    let elementwise = match optimizer.rule {
        Rule::Muon { adamw_lr, beta1, beta2, adamw_eps, .. } => {
            Optimizer { lr: adamw_lr, rule: Rule::AdamW { beta1, beta2, eps: adamw_eps, amsgrad: false }, ..optimizer }
        }
        _ => optimizer,
    };
    let is_muon = matches!(optimizer.rule, Rule::Muon { .. });
    let mut judged = 0;
    for at in 0..case.steps {
        let (loss, gradients) = gradients(case, &rows, &before, at);
        let history = trainer.fit(&rows.set, None).map_err(|error| wrong("fit", error))?;
        let told = history.epochs[0].training.loss;
        if !within(told - loss, 1e-5 * loss.abs() + 4e-6) {
            return Err(format!("step {at}: a loss of {told}, and the twin's is {loss}"));
        }
        let after = layers(&trainer.weights().map_err(|error| wrong("weights", error))?);
        let Some(mut gradients) = gradients else { break };
        clip(case, &mut gradients);
        for (layer, before) in before.iter().enumerate() {
            let (has, was) = (whole(&after[layer]), whole(before));
            let (twin, reach) = stepped(&elementwise, &mut slots[layer], &was, &gradients[layer], at as i32 + 1);
            let by_norm = is_muon && layer + 1 < after.len();
            let count = if by_norm { before.weights.len() } else { 0 };
            if by_norm {
                let (twin, reach) = muon_stepped(&optimizer, &mut slots[layer], before, &gradients[layer]);
                let off = has.iter().zip(&twin).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                if !within(off, reach) {
                    return Err(format!("step {at}, layer {layer}: off by a norm of {off:e}, allowed {reach:e}"));
                }
            }
            for i in count..has.len() {
                if !within(has[i] - twin[i], reach[i]) {
                    let (g, deviation) = (gradients[layer].values[i], gradients[layer].variances[i].sqrt());
                    return Err(format!(
                        "step {at}, layer {layer}, weight {i} of {}: {} became {}, and the twin's {}; allowed {:e}; gradient {g:e} ± {deviation:e} \
                         among {:e}",
                        has.len(),
                        was[i],
                        has[i],
                        twin[i],
                        reach[i],
                        gradients[layer].rms()
                    ));
                }
            }
        }
        before = after;
        judged += 1;
    }
    // The same steps handed over at once.
    let steps = trainer.steps_done();
    let all = TrainOptions { steps: Some(steps), ..case.options() };
    let mut whole = Trainer::on(Arc::clone(gpu), network, all).map_err(|error| wrong("new", error))?;
    whole.fit(&rows.set, None).map_err(|error| wrong("fit", error))?;
    let [by_one, at_once] = [&mut trainer, &mut whole].map(|trainer| bits(&trainer.weights().unwrap()));
    if by_one != at_once {
        return Err(format!("{steps} steps at once have other bits than one by one"));
    }
    Ok(judged)
}

/// How many networks are asked for.
fn wanted() -> usize {
    std::env::var("WGRAD_CASES").map_or(25, |cases| cases.parse().unwrap())
}

/// Those before which are left out: so thousands of networks of every kind of layer can be run in portions.
fn first() -> usize {
    std::env::var("WGRAD_FIRST").map_or(0, |first| first.parse().unwrap())
}

/// A device keeps every kernel that it has compiled, so each serves some networks only: thousands of them would take all memory.
struct Devices {
    device: RefCell<Arc<Gpu>>,
    used: Cell<usize>,
}

impl Devices {
    fn new() -> Self {
        Devices { device: RefCell::new(own_gpu()), used: Cell::new(0) }
    }

    /// A device for one more network.
    fn next(&self) -> Arc<Gpu> {
        const NETWORKS: usize = 20;
        if self.used.replace(self.used.get() + 1) % NETWORKS == NETWORKS - 1 {
            self.device.replace(own_gpu());
        }
        Arc::clone(&self.device.borrow())
    }
}

/// Finds faults of the device's part, of a minibatch, a layer or a rule, in combinations that no other test has.
#[test]
fn random_networks_agree_with_their_twins() {
    const LOTS: usize = 10;
    let wanted = wanted();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(LOTS);
    let (next, asked, judged, failures) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(vec![]));
    let (kept, next_kept) = (kept(), AtomicUsize::new(0));
    let lots = || {
        let devices = Devices::new();
        while let Some(case) = kept.get(next_kept.fetch_add(1, Ordering::Relaxed)) {
            match agrees(&devices.next(), case) {
                Ok(steps) if steps == case.steps => {}
                Ok(steps) => failures.lock().unwrap().push(format!("{steps} steps could be judged\n{case:?}")),
                Err(reason) => failures.lock().unwrap().push(format!("{reason}\n{case:?}")),
            }
        }
        while let lot @ 0..LOTS = next.fetch_add(1, Ordering::Relaxed) {
            let cases_of_lot = (wanted * (lot + 1) / LOTS - wanted * lot / LOTS) as u32;
            let config =
                Config { cases: cases_of_lot, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
            // The same cases in every run.
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[lot as u8; 32]);
            let outcome = TestRunner::new_with_rng(config, rng).run(&cases(), |case| {
                let steps = agrees(&devices.next(), &case).map_err(TestCaseError::fail)?;
                asked.fetch_add(case.steps as usize, Ordering::Relaxed);
                judged.fetch_add(steps as usize, Ordering::Relaxed);
                Ok(())
            });
            match outcome {
                Ok(()) => {}
                Err(TestError::Fail(reason, case)) => failures.lock().unwrap().push(format!("{reason}\n{case:?}")),
                Err(error) => failures.lock().unwrap().push(error.to_string()),
            }
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(lots))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {LOTS} lots, or kept cases:\n{}", failures.len(), failures.join("\n\n"));
    let (asked, judged) = (asked.into_inner(), judged.into_inner());
    println!("{wanted} networks, {judged} of {asked} steps judged");
    assert!(10 * judged >= 8 * asked, "{judged} of {asked} steps could be judged");
}
