//! Runs of networks of images, with batch norm, dropout and augmentation on: the same seed gives the same bits, in one run, in two, and in one that was
//! killed; the program takes a set's images for lists of layers that are for images; the examples are the networks that they say they are.

use std::path::Path;

use wgrad::kernel::tile::Family;
use wgrad::{
    Activation, Augmentation, Checkpoint, Checkpointing, Dataset, Every, Form, Generated, ImageShape, Model, Network,
    Optimizer, ParameterKind, Predictor, TrainOptions, Trainer, Weights,
};

use crate::support::{Random, assert_survives_kills, bits, families, gpu, refused, succeed, wgrad};

const SHAPE: ImageShape = ImageShape { height: 6, width: 7, channels: 3 };
const ROWS: usize = 38;

/// Images whose class is the quarter with the brightest pixel.
fn images(seed: u64, rows: usize) -> Dataset {
    let (mut random, width) = (Random(seed), SHAPE.height * SHAPE.width * SHAPE.channels);
    let features: Vec<u8> = (0..rows * width).map(|_| random.bits() as u8).collect();
    let class = |row: &[u8]| {
        let brightest = (0..row.len()).max_by_key(|&at| row[at]).unwrap_or(0) / SHAPE.channels;
        (2 * u32::from(brightest / SHAPE.width > 2)) + u32::from(brightest % SHAPE.width > 3)
    };
    let labels = features.chunks_exact(width).map(class).collect();
    Dataset::from_u8(features, width, labels).and_then(|set| set.with_image_shape(SHAPE)).unwrap()
}

/// A first layer whose taps are packed, batch norms, a residual with a shortcut, a pool whose windows overlap, dropout in the middle.
fn network() -> Network {
    let body = |body: Network| {
        body.with(conv(8, 3, 1)).batch_norm().activation(Activation::Relu).with(conv(8, 3, 1)).batch_norm()
    };
    Network::image(6, 7, 3)
        .with(conv(5, 3, 1))
        .batch_norm()
        .activation(Activation::Relu)
        .residual_with_shortcut(body, |shortcut| shortcut.with(conv(8, 1, 0)).batch_norm())
        .activation(Activation::Relu)
        .with(wgrad::MaxPoolLayer::new(3).stride(2).padding(1).into())
        .dropout(0.2)
        .flatten()
        .dense(4, Activation::Identity)
}

fn conv(channels: usize, kernel: usize, padding: usize) -> wgrad::Layer {
    wgrad::ConvLayer::new(channels, kernel).padding([padding; 2]).without_bias().into()
}

/// 6 steps an epoch, the last of them of three rows.
fn options(seed: u64, family: Family) -> TrainOptions {
    TrainOptions {
        batch_size: 7,
        steps: Some(14),
        seed,
        optimizer: Optimizer::adam(0.01),
        augmentation: Some(Augmentation { crop_padding: 2, flip: true, cutout: 3 }),
        family: Some(family),
        ..TrainOptions::default()
    }
}

fn trained(options: TrainOptions) -> Weights {
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    trainer.fit(&images(1, ROWS), Some(&images(2, 9))).unwrap();
    trainer.weights().unwrap()
}

/// Finds a reduction of a convolution or a norm whose order depends on timing, a mask or an augmentation that is drawn from anything but the seed, and one that
/// the seed does not move.
#[test]
fn the_same_seed_gives_the_same_bits() {
    for family in families() {
        let reference = bits(&trained(options(3, family)));
        assert_eq!(bits(&trained(options(3, family))), reference, "{family}: a second run");
        let chunks = TrainOptions { steps_per_submission: Some(3), ..options(3, family) };
        assert_eq!(bits(&trained(chunks)), reference, "{family}: in submissions of three steps");
        assert_ne!(bits(&trained(options(4, family))), reference, "{family}: another seed");
        let without = TrainOptions { augmentation: None, ..options(3, family) };
        assert_ne!(bits(&trained(without)), reference, "{family}: without augmentation");
    }
}

/// Finds a step for the gradients that are reported which moves the running statistics, as a step that trains does.
#[test]
fn reported_parameters_change_no_bit() {
    for family in families() {
        let mut trainer = Trainer::on(gpu(), network(), options(3, family)).unwrap();
        trainer.report_parameters(true);
        trainer.fit(&images(1, ROWS), Some(&images(2, 9))).unwrap();
        assert_eq!(bits(&trainer.weights().unwrap()), bits(&trained(options(3, family))), "{family}");
    }
}

/// Finds running statistics, slots or a position that a checkpoint leaves out, and augmentation that begins anew.
#[test]
fn a_run_goes_on_from_any_step() {
    for family in families() {
        let reference = bits(&trained(options(3, family)));
        // Within an epoch, before its short last step, after it, at the next one's first, and so on.
        for step in [1, 5, 6, 7, 13] {
            let folder = tempfile::tempdir().unwrap();
            let every = Checkpointing { every: Every::Steps(step), keep: 1000, ..Checkpointing::new(folder.path()) };
            let with = TrainOptions { checkpoint: Some(every), ..options(3, family) };
            assert_eq!(bits(&trained(with)), reference, "{family}: with checkpoints");
            let checkpoint = Checkpoint::open(crate::checkpoints::file(folder.path(), step)).unwrap();
            let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
            trainer.set_checkpointing(None);
            trainer.fit(&images(1, ROWS), Some(&images(2, 9))).unwrap();
            assert_eq!(bits(&trainer.weights().unwrap()), reference, "{family}: from step {step}");
        }
    }
}

/// Finds statistics that stay as they began, that a model's file loses, or that a model from a file does not predict by; and a form of the input that it loses.
#[test]
fn running_statistics_come_back_from_models() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let set = images(2, 9);
    let mut trainer = Trainer::on(gpu(), network(), options(3, families()[1])).unwrap();
    trainer.fit(&images(1, ROWS), None).unwrap();
    trainer.save(&path).unwrap();
    let model = Model::read(&path).unwrap();
    assert_eq!((&model.network, model.image), (&network(), Some(SHAPE)));
    assert!(matches!(model.network.input(), Form::Image(_)));
    assert_eq!(bits(&model.weights), bits(&trainer.weights().unwrap()));
    let named = network().named_parameters();
    let statistics = named.iter().zip(&model.weights.layers).filter(|(of, _)| of.kind == ParameterKind::Statistics);
    let (mut norms, predicted) = (0, Predictor::from_model(gpu(), model.clone()).unwrap().predict(&set).unwrap());
    for (parameter, values) in statistics {
        norms += 1;
        assert!(values.weight.iter().all(|&mean| mean != 0.0), "{}", parameter.location);
        assert!(values.bias.iter().all(|&variance| variance != 1.0 && variance > 0.0), "{}", parameter.location);
    }
    assert_eq!(norms, 4);
    let asked = trainer.predict(&set).unwrap();
    assert_eq!(
        predicted.iter().map(|value| value.to_bits()).collect::<Vec<_>>(),
        asked.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    );
    let mut others = model;
    for (parameter, values) in named.iter().zip(&mut others.weights.layers) {
        if parameter.kind == ParameterKind::Statistics {
            values.weight.fill(0.0);
        }
    }
    assert_ne!(Predictor::from_model(gpu(), others).unwrap().predict(&set).unwrap(), predicted, "by other statistics");
}

/// A set of another form is taken for the network's: of as many values or of others, to train, validate, evaluate, predict on, in windows, and by a checkpoint.
#[test]
fn sets_of_another_form_are_refused_by_both_forms() {
    let other = |height, width, channels| {
        let shape = ImageShape { height, width, channels };
        let set = Dataset::from_u8(vec![7; 8 * height * width * channels], height * width * channels, vec![1; 8]);
        set.and_then(|set| set.with_image_shape(shape)).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let with = TrainOptions { checkpoint: Some(Checkpointing::new(folder.path())), ..options(3, families()[1]) };
    let mut trainer = Trainer::on(gpu(), network(), with).unwrap();
    trainer.fit(&images(1, ROWS), None).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let weights = trainer.weights().unwrap();
    let predictor = Predictor::from_model(gpu(), Model::new(network(), weights, Default::default())).unwrap();
    for (set, form) in [(other(7, 6, 3), "7×6×3"), (other(2, 7, 9), "2×7×9"), (other(8, 8, 1), "8×8×1")] {
        let words = [&format!("images of {form}")[..], "images of 6×7×3"];
        refused(&words, trainer.fit(&set, None));
        refused(&words, trainer.fit(&images(1, ROWS), Some(&set)));
        refused(&words, trainer.evaluate(&set));
        refused(&words, trainer.predict(&set));
        refused(&words, predictor.predict(&set));
        let windows = Generated::new(8, 4, |rows: std::ops::Range<usize>| wgrad::Source::read(&set, rows));
        refused(&words, trainer.fit_from(&windows, None, |_| std::ops::ControlFlow::Continue(())));
    }
    // The same bytes as a run trained on, in another form.
    let shape = ImageShape { height: 7, width: 6, channels: 3 };
    let turned = images(1, ROWS).with_image_shape(shape).unwrap();
    refused(&["images of 7×6×3", "images of 6×7×3"], Trainer::resume(gpu(), &checkpoint).unwrap().fit(&turned, None));
    let rows = Dataset::from_u8(vec![7; 60], 30, vec![1; 2]).unwrap();
    refused(&["30 features", "images of 6×7×3", "126 values"], predictor.predict(&rows));
    // Rows that are not said to be images are taken as such, and a network of features takes images' values.
    let plain = Dataset::from_u8(vec![7; 126], 126, vec![1]).unwrap();
    assert!(predictor.predict(&plain).is_ok());
    let network = Network::classifier(126, &[5], Activation::Relu, 4);
    assert!(Trainer::on(gpu(), network, TrainOptions::default()).unwrap().evaluate(&images(1, 4)).is_ok());
}

/// The program's list of layers for the same kind of network.
const LAYERS: &str = "[model]\nlayers = [{ conv = 4, kernel = 3, padding = 'same', bias = false }, { batch_norm = true, activation = 'relu' },
    { max_pool = 2 }, { flatten = true }, { dropout = 0.2 }, { dense = 4 }]
[augmentation]\ncrop_padding = 1\nflip = true\ncutout = 2
[train]\nbatch_size = 7\n";

/// A folder with run.toml, with rows of images as an array, and the same rows with no form.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), LAYERS).unwrap();
    let set = images(1, ROWS);
    let rows: Vec<u8> =
        (0..ROWS).flat_map(|row| set.row(row).unwrap()).map(|value| (255.0 * value).round() as u8).collect();
    let labels: Vec<i64> = set.labels().iter().map(|&label| label.into()).collect();
    let write = |name: &str, shape: &[usize]| {
        use safetensors::{Dtype, tensor::TensorView};
        let y = bytemuck::cast_slice(&labels);
        let tensors = [
            ("x", TensorView::new(Dtype::U8, shape.to_vec(), &rows).unwrap()),
            ("y", TensorView::new(Dtype::I64, vec![ROWS], y).unwrap()),
        ];
        std::fs::write(folder.path().join(name), safetensors::serialize(tensors, None).unwrap()).unwrap();
    };
    write("images.safetensors", &[ROWS, 6, 7, 3]);
    write("others.safetensors", &[ROWS, 7, 6, 3]);
    write("rows.safetensors", &[ROWS, 126]);
    folder
}

/// What the program says when it refuses, with its exit code.
fn said(folder: &Path, line: &str) -> (Option<i32>, String) {
    let output = wgrad(folder, &line.split(' ').collect::<Vec<_>>());
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(folder: &Path, line: &str) -> String {
    succeed(folder, &line.split(' ').collect::<Vec<_>>())
}

/// A command that does not take the set's images for the network, or that takes rows of features, a table, or images of another form for them.
#[test]
fn the_program_takes_the_sets_images() {
    let folder = folder();
    let folder = folder.path();
    let of_set = "--config run.toml --data images.safetensors";
    run(folder, &format!("train {of_set} --steps 8 --save m.safetensors --checkpoint cks --seed 5"));
    assert_eq!(Model::read(folder.join("m.safetensors")).unwrap().network.shape(), "6×7×3-6×7×4-3×3×4-36-4");
    for command in [
        format!("explain {of_set}"),
        format!("bench {of_set}"),
        format!("profile {of_set}"),
        "evaluate --model m.safetensors --data images.safetensors".into(),
        "evaluate --model m.safetensors --data rows.safetensors".into(),
        "predict --model m.safetensors --input images.safetensors".into(),
        "train --resume cks --steps 10".into(),
        format!("train {of_set} --steps 2 --init m.safetensors --save n.safetensors"),
        "train --config run.toml --steps 2 --data images.safetensors --validation rows.safetensors --save n.safetensors".into(),
    ] {
        run(folder, &command);
    }
    std::fs::write(folder.join("table.csv"), format!("a,b,y\n{}", "1,2,0\n3,4,1\n5,6,2\n7,8,3\n".repeat(3))).unwrap();
    for (line, words) in [
        (
            "train --config run.toml --data table.csv",
            &["layer 1 (conv)", "2 features", "table.csv", "image = [height, width, channels]"][..],
        ),
        (
            "explain --config run.toml --data rows.safetensors",
            &["126 features", "rows.safetensors", "whose product is 126"],
        ),
        (
            "train --config run.toml --data images.safetensors --validation others.safetensors",
            &["others.safetensors", "7×6×3", "6×7×3"],
        ),
        ("evaluate --model m.safetensors --data others.safetensors", &["others.safetensors", "7×6×3", "6×7×3"]),
        ("predict --model m.safetensors --input others.safetensors", &["others.safetensors", "7×6×3", "6×7×3"]),
        (
            "train --config run.toml --data others.safetensors --init m.safetensors",
            &["m.safetensors", "7×6×3", "6×7×3"],
        ),
    ] {
        let (code, said) = said(folder, line);
        assert_eq!(code, Some(2), "{line}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{line}: no \"{word}\" in {said}"));
    }
    // A form that the file does not have is one to say; the same bits follow.
    std::fs::write(folder.join("said.toml"), format!("{LAYERS}[data]\nimage = [6, 7, 3]\n")).unwrap();
    run(folder, "train --config said.toml --data rows.safetensors --steps 8 --save said.safetensors --seed 5");
    run(folder, &format!("train {of_set} --steps 8 --save again.safetensors --seed 5"));
    let of = |file: &str| bits(&Model::read(folder.join(file)).unwrap().weights);
    assert_eq!(of("said.safetensors"), of("again.safetensors"));
    std::fs::rename(folder.join("others.safetensors"), folder.join("images.safetensors")).unwrap();
    let (code, said) = said(folder, "train --resume cks --steps 12");
    assert!(code == Some(2) && said.contains("images of 7×6×3") && said.contains("images.safetensors"), "{said}");
}

/// Finds a step done twice, or statistics or draws of a step that are lost, where the program is killed at any moment.
#[test]
fn killed_the_program_ends_in_the_same_bits() {
    assert_survives_kills(folder().path(), "train --config run.toml --data images.safetensors --seed 5 --json");
}

/// The example is not Keras' network, or it does not learn.
#[test]
fn the_convnet_of_the_examples_learns() {
    let folder = tempfile::tempdir().unwrap();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/convnet.toml");
    let run = |steps: &str, file: &str| {
        let line = ["train", "--config", config, "--steps", steps, "--validation", "none", "--json", "--save", file];
        let out = succeed(folder.path(), &line);
        let lines =
            out.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect::<Vec<_>>();
        assert_eq!(lines[0]["parameters"], 34_826);
        lines.last().unwrap()["loss"].as_f64().unwrap()
    };
    let (first, later) = (run("1", "first.safetensors"), run("16", "later.safetensors"));
    assert!(first > 2.0 && later < 0.9 * first, "{first} and {later}");
    let network = Network::image(28, 28, 1)
        .conv(32, 3, Activation::Relu)
        .max_pool(2)
        .conv(64, 3, Activation::Relu)
        .max_pool(2)
        .flatten()
        .dropout(0.5)
        .dense(10, Activation::Identity);
    let read = Model::read(folder.path().join("later.safetensors")).unwrap().network;
    assert_eq!((read.shape(), read.named_parameters().len()), (network.shape(), 3));
    let names = |network: &Network| network.named_parameters().into_iter().map(|of| of.name).collect::<Vec<_>>();
    assert_eq!(names(&read), names(&network));
    let dropped = |network: &Network| network.layers().iter().map(wgrad::Layer::dropout).sum::<f64>();
    assert_eq!((dropped(&read), dropped(&network)), (0.5, 0.5));
}

/// The example is not He et al.'s network: another depth, width or shortcut.
#[test]
fn the_resnet_of_the_examples_is_resnet_20() {
    let folder = tempfile::tempdir().unwrap();
    let record = |label: u8| std::iter::once(label).chain((0..3072).map(move |at| (at % 251) as u8 ^ label));
    let records = |labels: std::ops::Range<u8>| labels.flat_map(record).collect::<Vec<u8>>();
    std::fs::write(folder.path().join("data_batch_1.bin"), records(0..10)).unwrap();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/resnet20.toml");
    let out = succeed(
        folder.path(),
        &[
            "train",
            "--config",
            config,
            "--data",
            ".",
            "--steps",
            "1",
            "--batch-size",
            "2",
            "--validation",
            "none",
            "--json",
        ],
    );
    // 21 convolutions' and the dense layer's weights, and γ and β of 21 norms: the 270k of the paper's table, and the shortcuts'.
    assert!(out.contains("\"parameters\":272474"), "{out}");
    let network = Model::read(folder.path().join("model.safetensors")).unwrap().network;
    let kernels = network
        .named_parameters()
        .into_iter()
        .filter(|parameter| matches!(parameter.kind, ParameterKind::Kernel { .. }));
    assert_eq!(kernels.count(), 19 + 2);
    assert_eq!(network.input().to_string(), "32×32×3");
}
