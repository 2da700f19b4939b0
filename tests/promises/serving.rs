//! Models in use: answers of a `Predictor`.

use std::process::{Command, ExitCode, Termination};
use std::sync::Arc;

use wgrad::{Activation, Dataset, Gpu, Loss, Model, Network, Predictor, ScaleBy, Scaling, TrainOptions, Trainer};

use crate::support::{Random, gpu, learnable, own_gpu, refused, relative_error, succeed};

/// Rows of f32 values whose class is that of the largest of the first.
pub fn floats(rows: usize, width: usize, seed: u64) -> Dataset {
    let mut random = Random(seed);
    let row = |_| -> (Vec<f32>, u32) {
        let row: Vec<f32> = (0..width).map(|at| 50.0 * at as f32 + 4.0 * random.value() as f32).collect();
        let label = (0..3).max_by(|&a, &b| (row[a] - 50.0 * a as f32).total_cmp(&(row[b] - 50.0 * b as f32))).unwrap();
        (row, label as u32)
    };
    Dataset::from_rows((0..rows).map(row).collect::<Vec<_>>()).unwrap()
}

/// A model of three named classes that keeps a scaling, trained for an epoch.
pub fn classifier(set: &Dataset) -> Trainer {
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let set = set.clone().with_class_names(names).unwrap().with_scaling(Scaling::standardize(set)).unwrap();
    let network = Network::new(set.width()).dense(33, Activation::Gelu).dense(3, Activation::Identity);
    let options = TrainOptions { epochs: 1, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    trainer.fit(&set, None).unwrap();
    trainer
}

/// The model that a trainer saves.
pub fn saved(trainer: &mut Trainer) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    trainer.save(&path).unwrap();
    Model::read(&path).unwrap()
}

pub fn row_of(set: &Dataset, row: usize) -> Vec<f32> {
    set.row(row).unwrap()
}

pub fn as_bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The outputs of a network for a row, computed by hand in f64.
pub fn by_hand(model: &Model, row: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> = row.iter().map(|&value| value.into()).collect();
    if let Some(scaling) = &model.scaling {
        let scaled = values.iter().zip(&scaling.shift).zip(&scaling.scale);
        values = scaled.map(|((value, shift), &scale)| (value - shift) * f64::from(scale)).collect();
    }
    for (layer, described) in model.weights.layers.iter().zip(model.network.layers()) {
        let z = layer.weight.chunks_exact(layer.inputs).zip(&layer.bias).map(|(weights, &bias)| {
            f64::from(bias) + weights.iter().zip(&values).map(|(&w, x)| f64::from(w) * x).sum::<f64>()
        });
        values = match described.activation() {
            Activation::Identity => z.collect(),
            Activation::Relu => z.map(|z| z.max(0.0)).collect(),
            Activation::Gelu => z.map(|z| 0.5 * z * (1.0 + libm_erf(z / 2f64.sqrt()))).collect(),
            other => panic!("{other}"),
        };
    }
    values
}

/// The error function by its series, for the values that the tests have.
fn libm_erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
    logits.iter().map(|z| (z - largest).exp() / sum).collect()
}

/// Finds a scaling that is forgotten or applied twice, another class, and a probability that is not the network's.
#[test]
fn a_class_is_what_the_network_by_hand_says() {
    let set = floats(200, 7, 1);
    let model = saved(&mut classifier(&set));
    let predictor = Predictor::from_model(gpu(), model.clone()).unwrap();
    let by_rows = predictor.classify_rows((0..200).map(|row| row_of(&set, row))).unwrap();
    for (row, answer) in by_rows.iter().enumerate() {
        let expected = softmax(&by_hand(&model, &row_of(&set, row)));
        let given: Vec<f64> = answer.probabilities.iter().map(|&p| p.into()).collect();
        assert!(relative_error(&given, &expected) < 1e-5, "row {row}: {given:?}, {expected:?}");
        assert_eq!(answer.name, ["a", "b", "c"][answer.index]);
        assert_eq!(answer.probability, answer.probabilities[answer.index]);
        assert!(answer.probabilities.iter().all(|&p| p <= answer.probability));
        assert_eq!(*answer, predictor.classify(&row_of(&set, row)).unwrap());
    }
    // Rows that are scaled, and rows that are not, are the same to it; f64 values as they were too.
    let scaled = set.clone().with_scaling(model.scaling.clone().unwrap()).unwrap();
    assert_eq!(as_bits(&predictor.predict(&scaled).unwrap()), as_bits(&predictor.predict(&set).unwrap()));
    let wide: Vec<f64> = row_of(&set, 3).into_iter().map(f64::from).collect();
    assert_eq!(predictor.classify(&wide).unwrap(), by_rows[3]);
    // One output is the second class' probability.
    let one = Network::new(7).dense(1, Activation::Identity);
    let options = TrainOptions { loss: Loss::sigmoid_cross_entropy(), ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), one, options).unwrap();
    let two = Predictor::from_model(gpu(), Model { classes: vec!["no".into(), "yes".into()], ..saved(&mut trainer) });
    let two = two.unwrap();
    let row = row_of(&scaled, 0);
    let (answer, p) = (two.classify(&row).unwrap(), two.predict_rows([&row]).unwrap()[0]);
    assert_eq!(answer.probabilities, [1.0 - p, p]);
    assert_eq!(answer.name, if p > 0.5 { "yes" } else { "no" });
}

/// Finds bytes that are not seen as [0, 1], and a model that answers otherwise than the trainer that made it.
#[test]
fn bytes_are_seen_as_in_training() {
    let set = learnable(300, 20, 4, 2);
    let network = Network::new(20).dense(16, Activation::Relu).dense(4, Activation::Identity);
    for scaling in [ScaleBy::None, ScaleBy::Standardize] {
        let set = match scaling.of(&set).unwrap() {
            Some(scaling) => set.clone().with_scaling(scaling).unwrap(),
            None => set.clone(),
        };
        let options = TrainOptions { epochs: 2, ..TrainOptions::default() };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.fit(&set, None).unwrap();
        let predictor = Predictor::from_model(gpu(), saved(&mut trainer)).unwrap();
        let by_trainer = trainer.predict(&set).unwrap();
        assert_eq!(as_bits(&predictor.predict(&set).unwrap()), as_bits(&by_trainer));
        let bytes = |row: usize| -> Vec<u8> {
            let unit = |&value: &f32| (255.0 * value).round() as u8;
            row_of(&set, row).iter().map(unit).collect()
        };
        let answers = predictor.predict_rows((0..300).map(bytes)).unwrap();
        assert_eq!(as_bits(&answers), as_bits(&by_trainer), "{scaling}");
        // Values in [0, 1] are the same pixels, to f32's digits.
        let units: Vec<f64> = predictor.predict_rows([row_of(&set, 5)]).unwrap().iter().map(|&p| p.into()).collect();
        let expected: Vec<f64> = by_trainer[20..24].iter().map(|&p| p.into()).collect();
        assert!(relative_error(&units, &expected) < 1e-5, "{units:?}, {expected:?}");
    }
}

/// Finds a kernel that is compiled for each number of rows, and a row whose answer depends on the rows beside it.
#[test]
fn another_number_of_rows_compiles_nothing_and_changes_no_bit() {
    let gpu = own_gpu();
    let (bytes, numbers) = (learnable(1100, 21, 3, 3), floats(1100, 21, 4));
    for (set, scaling) in [(bytes.clone(), false), (bytes, true), (numbers, true)] {
        for outputs in [3, 70] {
            let network = Network::new(21).dense(37, Activation::Relu).dense(outputs, Activation::Identity);
            let weights = wgrad::Initializer::default().weights(&network, 7);
            let scaling = scaling.then(|| Scaling::standardize(&set));
            let model = Model { scaling, ..Model::new(network, weights, Loss::default()) };
            let predictor = Predictor::from_model(Arc::clone(&gpu), model).unwrap();
            let all = as_bits(&predictor.predict(&set).unwrap());
            let compiled = gpu.kernels_compiled();
            let buffers = gpu.memory().buffers_made;
            let mut random = Random(9);
            for count in (1..=512).rev().step_by(7).chain([1, 2, 511, 512, 3, 4, 5, 8, 9, 513, 1025, 1100]) {
                let first = random.below(1100 - count + 1);
                let some = predictor.predict(&set.select(first..first + count).unwrap()).unwrap();
                assert_eq!(
                    as_bits(&some),
                    all[first * outputs..(first + count) * outputs],
                    "{count} rows from {first}"
                );
            }
            assert_eq!(gpu.kernels_compiled(), compiled, "compiled for another number of rows");
            assert_eq!(gpu.memory().buffers_made, buffers, "buffers that were there are made anew");
        }
    }
    // A trainer's predictions take the same kernels, and its evaluations those of a few sizes.
    let set = floats(600, 21, 5);
    let mut trainer =
        Trainer::on(Arc::clone(&gpu), Network::classifier(21, &[16], Activation::Relu, 3), Default::default()).unwrap();
    trainer.predict(&set).unwrap();
    let sizes: Vec<usize> = (0..10).map(|power| 1 << power).collect();
    for size in sizes {
        trainer.evaluate(&set.select(0..size).unwrap()).unwrap();
    }
    let compiled = gpu.kernels_compiled();
    for count in [600, 3, 77, 150, 411, 513] {
        let some = set.select(0..count).unwrap();
        trainer.predict(&some).unwrap();
        trainer.evaluate(&some).unwrap();
    }
    assert_eq!(gpu.kernels_compiled(), compiled);
}

/// Finds threads that read each other's answers, or wait for each other forever.
#[test]
fn threads_predict_at_once() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    let set = floats(150, 9, 6);
    let predictor = Predictor::from_model(gpu(), saved(&mut classifier(&set))).unwrap();
    is_shared(&predictor);
    let expected: Vec<wgrad::Class> = predictor.classify_set(&set).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (predictor, set, expected) = (&predictor, &set, &expected);
            scope.spawn(move || {
                for turn in 0..40 {
                    let (row, count) = ((31 * turn + 7 * thread) % 100, 1 + (turn + thread) % 50);
                    let some = predictor.classify_rows((row..row + count).map(|row| row_of(set, row))).unwrap();
                    assert_eq!(some, expected[row..row + count], "thread {thread}, turn {turn}");
                }
            });
        }
    });
}

/// Finds a predictor that takes memory for an optimizer or for labels, or memory that is not counted.
#[test]
fn a_predictor_takes_memory_for_its_weights_and_some_rows() {
    let gpu = own_gpu();
    let network = Network::new(784).dense(256, Activation::Relu).dense(10, Activation::Identity);
    let weights = wgrad::Initializer::default().weights(&network, 1);
    let before = gpu.memory().bytes;
    let predictor = Predictor::from_model(Arc::clone(&gpu), Model::new(network, weights, Loss::default())).unwrap();
    let padded = |inputs: u64, outputs: u64| 4 * (4 * (inputs / 4 + 1)) * outputs.next_multiple_of(4);
    let of_weights = padded(784, 256) + padded(256, 10);
    assert_eq!(gpu.memory().bytes - before, of_weights);
    assert_eq!(predictor.device_bytes(), of_weights);
    predictor.classify(&[0u8; 784]).unwrap();
    let held = gpu.memory().bytes - before;
    assert_eq!(predictor.device_bytes(), held);
    // The features, the activations of both layers, what is read, and the state; and the number of a range of rows, which is read with its outputs.
    let rows = 512 * (788 + 4 * 260 + 2 * 4 * 12);
    assert_eq!(held - of_weights, rows + 128 + 2 * 16);
    drop(predictor);
    assert_eq!(gpu.memory().bytes, before);
}

/// Requests for what a model does not have, and rows of another model, are refused with the reason.
#[test]
fn requests_that_cannot_be_answered_are_refused() {
    let set = floats(60, 5, 8);
    let predictor = Predictor::from_model(gpu(), saved(&mut classifier(&set))).unwrap();
    let said = |error: wgrad::Error| (error.exit_code(), error.to_string());
    let narrow = said(predictor.classify(&[1.0f32, 2.0]).unwrap_err());
    assert_eq!((narrow.0, narrow.1.contains("2 features, the network takes 5")), (2, true), "{narrow:?}");
    refused(&["feature 0 of row 0 is NaN"], predictor.classify(&[f32::NAN; 5]));
    let none: [[f32; 5]; 0] = [];
    refused(&["the set is empty"], predictor.predict_rows(none));
    let other = set.clone().with_scaling(Scaling::min_max(&set)).unwrap();
    let other = said(predictor.predict(&other).unwrap_err());
    assert!(other.1.contains("scaled differently"), "{other:?}");
    let network = Network::new(5).dense(3, Activation::Identity);
    for (loss, words) in [(Loss::MeanSquaredError, "no classes"), (Loss::sigmoid_cross_entropy(), "yes or no")] {
        let weights = wgrad::Initializer::default().weights(&network, 0);
        let model = Model::new(network.clone(), weights, loss);
        let refused = said(Predictor::from_model(gpu(), model).unwrap().classify(&[0.0f32; 5]).unwrap_err());
        assert!(refused.0 == 2 && refused.1.contains(words), "{refused:?}");
    }
}

/// Finds a table's row that becomes other features than in training.
#[test]
fn a_row_of_a_table_is_answered_as_the_program_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = String::from("rooms,town,price\n");
    let towns = [("Lisbon", 90_000.0), ("Porto", 40_000.0), ("Faro", 0.0)];
    for row in 0..90 {
        let (rooms, (town, more)) = (1 + row % 7, towns[row % 3]);
        table += &format!("{rooms},{town},{}\n", 30_000.0 * rooms as f64 + more + (row * 37 % 100) as f64);
    }
    std::fs::write(folder.path().join("flats.csv"), &table).unwrap();
    let options = [
        "train",
        "--data",
        "flats.csv",
        "--loss",
        "mse",
        "--scaling",
        "standardize",
        "--scale-targets",
        "standardize",
        "--hidden",
        "16",
        "--lr",
        "0.01",
        "--epochs",
        "40",
        "--validation",
        "0.2",
    ];
    let start = succeed(folder.path(), &[&options[..], &["--json"]].concat());
    let start: serde_json::Value = serde_json::from_str(start.lines().next().unwrap()).unwrap();
    assert_eq!(start["notes"], serde_json::json!([]));
    let path = folder.path().join("model.safetensors");
    let predictor = Predictor::open_with(gpu(), &path, &[], &[]).unwrap();
    std::fs::write(folder.path().join("new.csv"), "rooms,town\n2,Porto\n6,Lisbon\n").unwrap();
    let told = succeed(folder.path(), &["predict", "--model", "model.safetensors", "--input", "new.csv", "--json"]);
    let told: Vec<f64> = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["outputs"][0].as_f64().unwrap())
        .collect();
    let asked = predictor.predict_csv("rooms,town\n2,Porto\n6,Lisbon\n").unwrap();
    assert_eq!(asked.iter().map(|&price| f64::from(price)).collect::<Vec<_>>(), told);
    // Near what the prices are made of, in their own units.
    assert!((told[0] - 100_050.0).abs() < 6_000.0 && (told[1] - 270_050.0).abs() < 6_000.0, "{told:?}");
    let set = predictor.read(folder.path().join("new.csv")).unwrap();
    assert_eq!((predictor.predict(&set).unwrap(), set.has_targets()), (asked, false));
    let refused = predictor.predict_rows([[2.0f32, 1.0]]).unwrap_err().to_string();
    assert!(refused.contains("predict_csv"), "{refused}");

    // Everything that the program prints is in the table's units.
    let line = succeed(folder.path(), &["evaluate", "--model", "model.safetensors", "--data", "flats.csv", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let off: Vec<f64> = table
        .lines()
        .skip(1)
        .map(|line| {
            let (row, price) = line.rsplit_once(',').unwrap();
            let given = predictor.predict_csv(&format!("rooms,town\n{row}\n")).unwrap()[0];
            f64::from(given) - price.parse::<f64>().unwrap()
        })
        .collect();
    let mean = off.iter().map(|off| off.abs()).sum::<f64>() / 90.0;
    let root = (off.iter().map(|off| off * off).sum::<f64>() / 90.0).sqrt();
    let figures = [&line["mean_absolute_error"], &line["root_mean_squared_error"]].map(|v| v.as_f64().unwrap());
    assert!(relative_error(&figures, &[mean, root]) < 1e-4, "{figures:?}, {mean}, {root}");
    // The loss is the one that is trained: the mean of the squares in deviations.
    let scale = f64::from(predictor.model().target_scaling.as_ref().unwrap().scale[0]);
    assert!((line["loss"].as_f64().unwrap() / (root * scale).powi(2) - 1.0).abs() < 1e-3);
}

/// Finds `Error: Io { path: "…", source: Os { code: 2, …` where a program's `main` returns an error.
#[test]
fn a_program_that_ends_in_an_error_ends_in_a_sentence() {
    const CHILD: &str = "WGRAD_TEST_MAIN_ENDS_IN_AN_ERROR";
    fn main() -> Result<(), wgrad::Error> {
        Predictor::open("no-such-model.safetensors").map(drop)
    }
    if std::env::var_os(CHILD).is_some() {
        // What the language does with what `main` returns.
        let code = main().report();
        std::process::exit(if code == ExitCode::SUCCESS { 0 } else { 1 });
    }
    let name = "serving::a_program_that_ends_in_an_error_ends_in_a_sentence";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr).into_owned();
    assert_eq!(child.status.code(), Some(1), "{said}");
    assert!(said.contains("Error: no-such-model.safetensors: No such file or directory"), "{said}");
    for error in [wgrad::Error::Option("a reason".into()), Gpu::open(&"no such".parse().unwrap()).unwrap_err()] {
        assert_eq!(format!("{error:?}"), error.to_string());
    }
}
