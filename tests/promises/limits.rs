//! Limits of a device: what does not fit is refused with the numbers that would, before anything is made; and all that is made is known.
//!
//! Numbers are worked out by hand for WebGPU's default limits, which any adapter here has: 128 MiB a binding, that is 134,217,728 bytes.

use std::ops::ControlFlow;
use std::sync::Arc;

use wgrad::gpu::{AdapterKind, Limits, OpenOptions};
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::{
    Activation, Dataset, Error, Event, Gpu, Initializer, Loss, Network, Optimizer, Scaling, TrainOptions, Trainer,
};

use crate::problem::plain;
use crate::support::{Random, assert_close, flat, gpu, learnable};

const MOST: u64 = 134_217_728;

/// A device of its own, so that all its buffers are this test's.
fn webgpu() -> Arc<Gpu> {
    Gpu::open_with(&OpenOptions { limits: Limits::WebGpu, ..OpenOptions::default() }).unwrap()
}

/// Checks that an error has these words, and that nothing was allocated on the device meanwhile.
#[track_caller]
fn refused<T>(gpu: &Gpu, words: &[&str], what: impl FnOnce() -> Result<T, Error>) {
    let before = gpu.memory();
    let error = what().err().expect("a refusal");
    for word in words {
        assert!(error.to_string().contains(word), "no \"{word}\" in: {error}");
    }
    assert_eq!(error.exit_code(), 2, "{error}");
    let after = gpu.memory();
    assert_eq!((after.buffers_made, after.bytes), (before.buffers_made, before.bytes), "{error}");
}

/// Finds a device that is opened with more than the given limits, or a summary that shows what the adapter has and not what may be used.
#[test]
fn a_device_of_webgpus_limits_has_no_more_than_those() {
    let gpu = webgpu();
    let adapter = gpu.adapter();
    assert_eq!((adapter.max_binding_bytes, adapter.max_buffer_bytes), (MOST, 2 * MOST));
    assert_eq!((adapter.max_workgroup_bytes, adapter.max_workgroups, adapter.max_bindings), (16_384, 65_535, 8));
    assert!(adapter.features.is_empty(), "{:?}", adapter.features);
    let software = adapter.kind == AdapterKind::Software;
    assert_eq!(adapter.family(), if software { Family::Software } else { Family::Hardware });
    assert_eq!("webgpu".parse::<Limits>().unwrap(), Limits::WebGpu);
    let error = "webgp".parse::<Limits>().unwrap_err().to_string();
    assert!(error.contains("did you mean webgpu?") && error.contains("adapter"), "{error}");
}

/// Finds a batch that a driver refuses in the middle of a run. A row of 4,092 units and the 1 after them, rounded up to whole quads, is 16 KiB: 8,192
/// of them are 128 MiB.
#[test]
fn a_batch_that_does_not_fit_is_refused_with_the_largest_that_does() {
    let gpu = webgpu();
    let network = Network::classifier(8, &[4092], Activation::Relu, 2);
    let trainer = |batch_size| {
        let options = TrainOptions { batch_size, optimizer: Optimizer::sgd(0.1), ..TrainOptions::default() };
        Trainer::on(Arc::clone(&gpu), network.clone(), options).unwrap()
    };
    let (set, validation) = (learnable(9000, 8, 2, 1), learnable(50, 8, 2, 2));
    let needed = (8196 * 16_384).to_string();
    let words = ["activations", &needed, "134217728", "of a batch of 8193 rows, at most 8192 fit"];
    let mut beyond = trainer(8193);
    refused(&gpu, &words, || beyond.fit(&set, Some(&validation)));
    refused(&gpu, &words, || beyond.plan(&set));
    refused(&gpu, &words, || beyond.tune(&set, |_| ()));
    assert_eq!(trainer(8192).plan(&set).unwrap().batch(), 8192);
    // After all refusals, the trainer works as before.
    assert_eq!(beyond.evaluate(&validation).unwrap().rows, 50);
}

/// Finds a layer or targets beyond what is bound, refused with a number that does not fit either. Adam keeps two values of each weight: with 65,536
/// inputs and the bias, in quads 65,540, four units take 2,097,280 bytes, and 63 times that fit.
#[test]
fn layers_and_targets_are_refused_with_the_number_that_fits() {
    let gpu = webgpu();
    let options = || TrainOptions { batch_size: 4, ..TrainOptions::default() };
    let on = |units: usize| {
        Trainer::on(Arc::clone(&gpu), Network::classifier(1 << 16, &[units], Activation::Relu, 2), options())
    };
    refused(&gpu, &["layer 1 of 253 units", "134217728", "65536 inputs, at most 252 units fit"], || on(253).map(drop));
    on(252).unwrap();
    let network = Network::classifier(1 << 24, &[1], Activation::Relu, 2);
    let conv = || {
        let network =
            Network::image(1, 1, 1 << 16).conv(600, 1, Activation::Relu).flatten().dense(2, Activation::Identity);
        Trainer::on(Arc::clone(&gpu), network, TrainOptions::default()).map(drop)
    };
    refused(&gpu, &["layer 1 of 600 channels", "65536 values in a window", "channels fit"], conv);
    refused(&gpu, &["layer 1 of 1 units", "not one unit with 16777216 inputs fits"], || {
        Trainer::on(Arc::clone(&gpu), network, options()).map(drop)
    });

    // A row of 2,000 values is 8,000 bytes: 16,777 rows.
    let rows = 16_778;
    let set = Dataset::from_u8(vec![1; rows], 1, vec![0; rows]).unwrap();
    let set = set.with_targets(vec![0.5; 2000 * rows], 2000).unwrap();
    let options = TrainOptions { loss: Loss::MeanSquaredError, ..options() };
    let network = Network::classifier(1, &[], Activation::Relu, 2000);
    let mut trainer = Trainer::on(Arc::clone(&gpu), network, options).unwrap();
    refused(&gpu, &["targets", "134224000", "at most 16777 rows", "memory budget"], || trainer.fit(&set, None));
}

/// Finds metrics that need a score for each row, where the error blames the layers. A score is 4 bytes: 33,554,432 rows.
#[test]
fn metrics_are_refused_with_what_helps() {
    let gpu = webgpu();
    let rows = (1 << 25) + 1;
    let set = Dataset::from_u8(vec![1; rows], 1, vec![0; rows]).unwrap();
    let network = Network::classifier(1, &[], Activation::Relu, 2);
    let mut trainer = Trainer::on(Arc::clone(&gpu), network, TrainOptions::default()).unwrap();
    refused(&gpu, &["scores", "134217732", "metrics of 33554432 rows at most", "loss and the accuracy alone"], || {
        trainer.metrics(&set)
    });
}

/// Finds a search that ends beside the largest batch, or that blames the batch for what it does not change.
#[test]
fn the_largest_batch_is_found_by_planning() {
    let optimizer = Optimizer::sgd(0.1);
    let network = Network::classifier(8, &[60], Activation::Relu, 2);
    let tiling = Tiling::of(Family::Software);
    let request = Request {
        network: &network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: Some(plain(&optimizer)),
        batch: 1000,
        set: SetLayout::whole(Element::U8, 1000),
        tiling: &tiling,
        metrics: false,
    };
    // A set of 12,000 bytes; 256 bytes a row of activations.
    assert_eq!(Plan::largest_batch(request, 12_000), Some(44));
    assert_eq!(Plan::largest_batch(request, 12_288), Some(48));
    assert_eq!(Plan::largest_batch(request, 1 << 20), Some(999));
    assert_eq!(Plan::largest_batch(request, 11_999), None);
    let plan = Plan::new(Request { batch: 48, ..request }).unwrap();
    assert_eq!((plan.larger_than(12_288), plan.larger_than(12_287).unwrap().bytes), (None, 12_288));
}

/// Finds a buffer that is not counted, or that a run leaves behind: the bytes alive on the device after an epoch are what was said before, to the
/// byte, and none of them when the trainer is dropped.
#[test]
fn all_that_a_fit_makes_is_known_before() {
    let network = Network::classifier(9, &[12, 7], Activation::Gelu, 3);
    let set = learnable(203, 9, 3, 1);
    let scaling = Scaling { shift: vec![0.5; 9], scale: vec![2.0; 9] };
    let scaled = set.clone().with_scaling(scaling).unwrap();
    let plain = || TrainOptions { batch_size: 16, epochs: 3, ..TrainOptions::default() };
    let weighted = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.0,
        class_weights: Some(vec![1.0, 2.0, 0.5]),
        ignore_index: None,
        gamma: 0.0,
    };
    let muon = Optimizer::from_name("muon").unwrap();
    for (what, set, options, validates, reports) in [
        ("plain", &set, plain(), false, false),
        ("validation", &set, plain(), true, false),
        ("scaled, best kept", &scaled, TrainOptions { keep_best: true, ..plain() }, true, false),
        ("validation by f1", &set, TrainOptions { monitor: wgrad::Monitor::F1, ..plain() }, true, false),
        ("told", &set, plain(), false, true),
        ("weighted, clipped", &set, TrainOptions { loss: weighted, clip_grad_norm: Some(1.0), ..plain() }, true, true),
        ("muon", &set, TrainOptions { optimizer: muon, keep_best: true, ..plain() }, true, true),
    ] {
        let gpu = crate::support::own_gpu();
        let mut trainer = Trainer::on(Arc::clone(&gpu), network.clone(), options).unwrap();
        trainer.report_parameters(reports);
        let validation = validates.then_some(set);
        let said = trainer.device_bytes(set, validation).unwrap();
        let mut alive = Vec::new();
        let told = |event: Event| {
            if matches!(event, Event::Epoch(_)) {
                alive.push(gpu.memory().bytes);
            }
            ControlFlow::Continue(())
        };
        trainer.fit_with(set, validation, told).unwrap();
        assert_eq!(alive, [said; 3], "{what}");
        drop(trainer);
        assert_eq!(gpu.memory().bytes, 0, "{what}");
    }
}

/// Finds a workgroup past 65,535 of one dimension that is refused, skipped, or does another's work: the plain kernels, 8 blocks of 4 × 4 a workgroup,
/// take 65,664 of them for 4,104 rows of 2,048 units, and tiles of many blocks one dimension.
#[test]
fn more_workgroups_than_a_dimension_takes_compute_the_same() {
    let (rows, units) = (4104, 2048);
    let network = Network::classifier(3, &[units], Activation::Relu, 2);
    let x = Random(4).values(3 * rows);
    let labels = x.chunks_exact(3).map(|row| u32::from(row[0] > row[1])).collect();
    let set = Dataset::from_f32(x.iter().map(|&value| value as f32).collect(), 3, labels).unwrap();
    let initial = Initializer::Torch.weights(&network, 3);
    let trained = |family| {
        let options = TrainOptions {
            optimizer: Optimizer::sgd(1e4),
            batch_size: rows,
            steps: Some(1),
            family: Some(family),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        let plan = trainer.plan(&set).unwrap();
        let most = plan.dispatches().iter().map(|dispatch| dispatch.launch.workgroups).max().unwrap();
        trainer.fit(&set, None).unwrap();
        (most, flat(&trainer.weights().unwrap()))
    };
    let ((many, by_many), (few, by_few)) = (trained(Family::Reference), trained(Family::Hardware));
    assert_eq!(many, 1026 * 512 / 8);
    assert!(many > gpu().adapter().max_workgroups && few <= 65_535, "{many} {few}");
    assert_close("weights", &by_many, &by_few, 1e-5);
}
