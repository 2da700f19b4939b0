//! Models in use: answers of a `Predictor`, models that are opened and saved, sets without targets, targets in their own units.

use std::process::{Command, ExitCode, Termination};
use std::sync::Arc;

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Every, Gpu, Loss, Model, Network, Optimizer, Predictor,
    ReadOptions, ScaleBy, Scaling, Source, TrainOptions, Trainer,
};

use crate::support::{Random, bits, gpu, learnable, own_gpu, refused, relative_error, succeed, wgrad};

/// Rows of f32 values whose class is that of the largest of the first.
fn floats(rows: usize, width: usize, seed: u64) -> Dataset {
    let mut random = Random(seed);
    let row = |_| -> (Vec<f32>, u32) {
        let row: Vec<f32> = (0..width).map(|at| 50.0 * at as f32 + 4.0 * random.value() as f32).collect();
        let label = (0..3).max_by(|&a, &b| (row[a] - 50.0 * a as f32).total_cmp(&(row[b] - 50.0 * b as f32))).unwrap();
        (row, label as u32)
    };
    Dataset::from_rows((0..rows).map(row).collect::<Vec<_>>()).unwrap()
}

/// A model of three named classes that keeps a scaling, trained for an epoch.
fn classifier(set: &Dataset) -> Trainer {
    let names = ["a", "b", "c"].map(String::from).to_vec();
    let set = set.clone().with_class_names(names).unwrap().with_scaling(Scaling::standardize(set)).unwrap();
    let network = Network::new(set.width()).dense(33, Activation::Gelu).dense(3, Activation::Identity);
    let options = TrainOptions { epochs: 1, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    trainer.fit(&set, None).unwrap();
    trainer
}

/// The model that a trainer saves.
fn saved(trainer: &mut Trainer) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    trainer.save(&path).unwrap();
    Model::read(&path).unwrap()
}

fn row_of(set: &Dataset, row: usize) -> Vec<f32> {
    set.row(row).unwrap()
}

fn as_bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The outputs of a network for a row, computed by hand in f64.
fn by_hand(model: &Model, row: &[f32]) -> Vec<f64> {
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

fn softmax(logits: &[f64]) -> Vec<f64> {
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
        let set = match scaling.of(&set) {
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

/// Finds a part of a model that is lost on the way through a trainer: classes, columns, scalings, the image's shape, the loss.
#[test]
fn open_and_save_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(format!("{name}.safetensors")));
    let table = b"x,colour,kind\n1,red,a\n2,blue,b\n3,red,c\n4,blue,a\n";
    let columns = Dataset::from_bytes(table, &ReadOptions::default()).unwrap();
    let network = Network::new(3).dense(5, Activation::Silu).dropout(0.25).dense(3, Activation::Identity);
    let weights = |network: &Network| wgrad::Initializer::default().weights(network, 3);
    let scaling =
        |width: usize| Scaling { shift: (0..width).map(|at| at as f64 / 3.0).collect(), scale: vec![0.1; width] };
    let of_table = Model {
        classes: columns.class_names().to_vec(),
        columns: columns.columns().cloned(),
        scaling: Some(scaling(3)),
        ..Model::new(
            network.clone(),
            weights(&network),
            Loss::SoftmaxCrossEntropy {
                label_smoothing: 0.1,
                class_weights: Some(vec![1.0, 2.0, 0.5]),
                ignore_index: Some(-1),
                gamma: 0.0,
            },
        )
    };
    let network = Network::new(12).dense(2, Activation::Identity);
    let of_numbers = Model {
        target_scaling: Some(scaling(2)),
        image: Some(wgrad::ImageShape { height: 2, width: 2, channels: 3 }),
        ..Model::new(network.clone(), weights(&network), Loss::Huber { delta: 0.3 })
    };
    for model in [of_table, of_numbers] {
        model.write(&first).unwrap();
        assert_eq!(Model::read(&first).unwrap(), model);
        let mut trainer = Trainer::open(&first, TrainOptions::default()).unwrap();
        assert_eq!((&trainer.options().loss, trainer.network()), (&model.loss, &model.network));
        trainer.save(&second).unwrap();
        assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap());
        // Another loss than the default is taken where it is asked for.
        let asked = TrainOptions { loss: Loss::KlDivergence, ..TrainOptions::default() };
        assert_eq!(Trainer::from_model(gpu(), model, asked).unwrap().options().loss, Loss::KlDivergence);
    }
}

/// Finds a model that goes on with rows that are not scaled as those before, or forgets what they were.
#[test]
fn an_opened_model_goes_on_as_it_was_trained() {
    let set = floats(120, 6, 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut first = classifier(&set);
    first.save(&path).unwrap();
    let scaling = Model::read(&path).unwrap().scaling.unwrap();
    let scaled = set.clone().with_scaling(scaling.clone()).unwrap();
    let fits: Vec<(Model, f64)> = [&set, &scaled]
        .map(|set| {
            let options = TrainOptions { epochs: 2, ..TrainOptions::default() };
            let mut trainer = Trainer::from_model(gpu(), Model::read(&path).unwrap(), options).unwrap();
            trainer.fit(set, Some(set)).unwrap();
            (saved(&mut trainer), trainer.evaluate(set).unwrap().loss)
        })
        .into();
    assert_eq!(bits(&fits[0].0.weights), bits(&fits[1].0.weights));
    assert_eq!(fits[0].1, fits[1].1);
    for (model, _) in &fits {
        assert_eq!((model.scaling.as_ref(), model.classes.join("")), (Some(&scaling), "abc".into()));
    }
    // The same from a source that is read in windows.
    struct Rows(Dataset);
    impl Source for Rows {
        fn rows(&self) -> usize {
            self.0.rows()
        }
        fn classes(&self) -> usize {
            self.0.classes()
        }
        fn read(&self, rows: std::ops::Range<usize>) -> Result<Dataset, wgrad::Error> {
            self.0.select(rows)
        }
    }
    let [a, b] = [set, scaled].map(|set| {
        let mut trainer = Trainer::from_model(gpu(), Model::read(&path).unwrap(), TrainOptions::default()).unwrap();
        trainer.fit_from(&Rows(set), None, |_| std::ops::ControlFlow::Continue(())).unwrap();
        bits(&trainer.weights().unwrap())
    });
    assert_eq!(a, b);
}

/// Finds rows as they were read that are validated, evaluated or predicted on without the scaling of the training rows: a wrong number in silence.
#[test]
fn rows_as_they_were_read_are_scaled_as_the_training_rows() {
    let (raw, held_out) = floats(200, 6, 11).split(0.3, 0).unwrap();
    let scaling = Scaling::standardize(&raw);
    let [train, validation] = [&raw, &held_out].map(|set| set.clone().with_scaling(scaling.clone()).unwrap());
    let options = TrainOptions { epochs: 3, ..TrainOptions::default() };
    let trainer = || Trainer::on(gpu(), Network::classifier(6, &[16], Activation::Relu, 3), options.clone()).unwrap();
    let (mut by_hand, mut by_itself) = (trainer(), trainer());
    let expected = by_hand.fit(&train, Some(&validation)).unwrap();
    let given = by_itself.fit(&train, Some(&held_out)).unwrap();
    let losses = |history: &wgrad::History| -> Vec<f64> {
        history.epochs.iter().map(|epoch| epoch.validation.unwrap().loss).collect()
    };
    assert_eq!(losses(&given), losses(&expected));
    assert_eq!(by_itself.evaluate(&held_out).unwrap(), by_hand.evaluate(&validation).unwrap());
    assert_eq!(by_itself.metrics(&held_out).unwrap(), by_hand.metrics(&validation).unwrap());
    assert_eq!(by_itself.predict(&held_out).unwrap(), by_hand.predict(&validation).unwrap());
    // Bytes, whose scaling the device has.
    let bytes = learnable(100, 6, 3, 12);
    let scaled = bytes.clone().with_scaling(Scaling::standardize(&bytes)).unwrap();
    let mut of_bytes = trainer();
    of_bytes.fit(&scaled, None).unwrap();
    assert_eq!(of_bytes.predict(&bytes).unwrap(), of_bytes.predict(&scaled).unwrap());

    // Another scaling, and one where the training rows had none.
    let other = held_out.clone().with_scaling(Scaling::min_max(&raw)).unwrap();
    let refused = |result: Result<(), wgrad::Error>| {
        let error = result.unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("scaled"), "{error}");
    };
    refused(by_itself.fit(&train, Some(&other)).map(drop));
    refused(by_itself.evaluate(&other).map(drop));
    refused(by_itself.metrics(&other).map(drop));
    refused(by_itself.predict(&other).map(drop));
    let mut plain = trainer();
    refused(plain.fit(&raw, Some(&validation)).map(drop));
    plain.fit(&raw, Some(&held_out)).unwrap();
    refused(plain.evaluate(&validation).map(drop));
}

/// Finds a label that was never given, and is trained on or judged by in silence.
#[test]
fn inputs_alone_have_no_targets() {
    let inputs = Dataset::inputs([[0.5, 1.0], [0.25, 0.0], [0.0, 1.0]]).unwrap();
    assert_eq!((inputs.rows(), inputs.width(), inputs.classes()), (3, 2, 0));
    assert_eq!((inputs.labels().len(), inputs.values(), inputs.has_targets()), (0, None, false));
    let mut trainer =
        Trainer::on(gpu(), Network::classifier(2, &[4], Activation::Relu, 2), TrainOptions::default()).unwrap();
    let labelled = Dataset::from_rows([([0.5, 1.0], 0), ([0.25, 0.0], 1), ([0.0, 1.0], 1)]).unwrap();
    assert_eq!(as_bits(&trainer.predict(&inputs).unwrap()), as_bits(&trainer.predict(&labelled).unwrap()));
    let refused = |result: Result<(), wgrad::Error>| {
        let error = result.unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("inputs alone"), "{error}");
    };
    refused(trainer.fit(&inputs, None).map(drop));
    refused(trainer.fit(&labelled.select([0, 1, 2].repeat(11)).unwrap(), Some(&inputs)).map(drop));
    refused(trainer.evaluate(&inputs).map(drop));
    refused(trainer.metrics(&inputs).map(drop));
    crate::support::refused(&["needs a class index for every row"], inputs.split_stratified(0.5, 0));
    // In every way of reading them.
    let read = |bytes: &[u8]| Dataset::from_bytes(bytes, &ReadOptions::inputs()).unwrap();
    refused(trainer.evaluate(&read(b"a,b\n1,2\n3,4\n")).map(drop));
    // They stay so in parts, and become more with targets.
    assert!(!inputs.select([2, 0]).unwrap().has_targets());
    assert_eq!(inputs.with_targets(vec![1.0, 2.0, 3.0], 1).unwrap().values(), Some(&[1.0, 2.0, 3.0][..]));

    let set = Dataset::regression([(vec![1.0, 2.0], [3.0, 4.0]), (vec![5.0, 6.0], [7.0, 8.0])]).unwrap();
    assert_eq!((set.values(), set.classes()), (Some(&[3.0, 4.0, 7.0, 8.0][..]), 2));
    let ragged = Dataset::regression([([1.0f32], vec![1.0f32]), ([2.0], vec![1.0, 2.0])]).unwrap_err().to_string();
    assert!(ragged.contains("row 1 has 2 targets"), "{ragged}");
    let none: [[f32; 2]; 0] = [];
    for (bad, words) in [
        (Dataset::inputs(none), "the set is empty"),
        (Dataset::inputs([vec![1.0], vec![1.0, 2.0]]), "row 1 has 2 features, and those before it 1"),
        (Dataset::inputs([[0.0f32; 0]]), "the rows have a width of 0"),
        (Dataset::inputs([[f32::INFINITY]]), "feature 0 of row 0 is inf"),
        (Dataset::regression([([1.0f32], f32::NAN)]), "target 0 of row 0 is NaN"),
    ] {
        crate::support::refused(&[words], bad);
    }
}

/// Houses by size, rooms and age, around 300,000.
fn houses(rows: usize, seed: u64) -> Vec<([f64; 3], f64)> {
    let mut random = Random(seed);
    let house = |_| {
        let mut value = || random.value();
        let (size, rooms, age) = (120.0 + 40.0 * value(), 4.0 + 1.5 * value(), 30.0 + 20.0 * value());
        ([size, rooms, age], 60_000.0 + 1_900.0 * size + 9_000.0 * rooms - 600.0 * age + 12_000.0 * value())
    };
    (0..rows).map(house).collect()
}

/// Ordinary least squares with an intercept, by the normal equations: the mean absolute error on the rows themselves.
fn least_squares(rows: &[([f64; 3], f64)]) -> f64 {
    let mut a = [[0.0; 5]; 4];
    // Centred, so that the equations are well conditioned.
    let mean = |at: usize| rows.iter().map(|(x, _)| x[at]).sum::<f64>() / rows.len() as f64;
    let means = [mean(0), mean(1), mean(2)];
    let design = |x: &[f64; 3]| [1.0, x[0] - means[0], x[1] - means[1], x[2] - means[2]];
    for (x, y) in rows {
        let d = design(x);
        for i in 0..4 {
            (0..4).for_each(|j| a[i][j] += d[i] * d[j]);
            a[i][4] += d[i] * y;
        }
    }
    for i in 0..4 {
        let pivot = a[i];
        for row in (0..4).filter(|&row| row != i) {
            let factor = a[row][i] / pivot[i];
            (0..5).for_each(|j| a[row][j] -= factor * pivot[j]);
        }
    }
    let fitted = |x: &[f64; 3]| (0..4).map(|i| design(x)[i] * a[i][4] / a[i][i]).sum::<f64>();
    rows.iter().map(|(x, y)| (fitted(x) - y).abs()).sum::<f64>() / rows.len() as f64
}

/// Finds prices that Adam never reaches, as it begins at 0 and moves by its rate.
#[test]
fn house_prices_end_near_their_best() {
    let houses = houses(400, 13);
    let set = Dataset::regression(houses.iter().map(|(x, price)| (x.map(|x| x as f32), *price as f32))).unwrap();
    let set = set.clone().with_scaling(Scaling::standardize(&set)).unwrap();
    let best = least_squares(&houses);
    let options = TrainOptions {
        loss: Loss::MeanSquaredError,
        optimizer: Optimizer::adam(1e-2),
        epochs: 100,
        ..TrainOptions::default()
    };
    let error_of = |set: &Dataset| {
        let network = Network::new(3).dense(16, Activation::Relu).dense(1, Activation::Identity);
        let mut trainer = Trainer::on(gpu(), network, options.clone()).unwrap();
        trainer.fit(set, None).unwrap();
        let metrics = trainer.metrics(set).unwrap().regression.unwrap();
        let given = trainer.predict(set).unwrap();
        let off = given.iter().zip(&houses).map(|(&given, (_, price))| (f64::from(given) - price).abs());
        let by_hand = off.sum::<f64>() / houses.len() as f64;
        assert!((metrics.mean_absolute_error / by_hand - 1.0).abs() < 1e-3, "{metrics:?}, {by_hand}");
        by_hand
    };
    assert!(error_of(&set) > 50_000.0, "it is learned without, and this test shows nothing");
    for by in [ScaleBy::Standardize, ScaleBy::MinMax] {
        let scaling = by.of_targets(&set).unwrap().unwrap();
        let error = error_of(&set.clone().with_target_scaling(scaling).unwrap());
        assert!(error < 1.1 * best, "{by}: a mean error of {error}, and least squares has {best}");
    }
    assert!(set.note_on_targets(&Loss::MeanSquaredError).unwrap().contains("--scale-targets"));
    assert_eq!(set.note_on_targets(&Loss::default()), None);
}

/// Finds a run that goes on with targets in other units than it began.
#[test]
fn checkpoints_keep_the_targets_scaling() {
    let folder = tempfile::tempdir().unwrap();
    let rows = houses(64, 14).into_iter().map(|(x, price)| (x.map(|x| x as f32 / 100.0), [price as f32, 5.0]));
    let raw = Dataset::regression(rows).unwrap();
    let scaling = ScaleBy::MinMax.of_targets(&raw).unwrap().unwrap();
    let set = raw.clone().with_target_scaling(scaling.clone()).unwrap();
    let network = Network::new(3).dense(8, Activation::Tanh).dense(2, Activation::Identity);
    let options = |epochs| TrainOptions {
        loss: Loss::MeanAbsoluteError,
        epochs,
        checkpoint: Some(Checkpointing { every: Every::Steps(2), ..Checkpointing::new(folder.path()) }),
        ..TrainOptions::default()
    };
    let mut whole = Trainer::on(gpu(), network.clone(), TrainOptions { checkpoint: None, ..options(3) }).unwrap();
    whole.fit(&set, None).unwrap();
    Trainer::on(gpu(), network, options(1)).unwrap().fit(&set, None).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(Model::read(checkpoint.path()).unwrap().target_scaling.as_ref(), Some(&scaling));
    // On rows whose targets are as they were read, and on scaled ones, it is the same run.
    for rows in [&raw, &set] {
        let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
        trainer.set_checkpointing(None);
        trainer.set_epochs(3);
        trainer.fit(rows, None).unwrap();
        assert_eq!(bits(&trainer.weights().unwrap()), bits(&whole.weights().unwrap()));
        assert_eq!(as_bits(&trainer.predict(&raw).unwrap()), as_bits(&whole.predict(&set).unwrap()));
    }
    let other = Scaling { shift: vec![1.0, 1.0], scale: vec![1.0, 1.0] };
    let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
    refused(&["another training set", "64 rows"], trainer.fit(&raw.clone().with_target_scaling(other).unwrap(), None));
}

/// Finds scalings of targets that are accepted for classes, twice, by 0, or from wrong metadata.
#[test]
fn scalings_of_targets_that_cannot_be_are_refused() {
    let numbers = Dataset::regression([([1.0f32], 10.0), ([2.0], 30.0)]).unwrap();
    let classes = Dataset::from_rows([([1.0], 0), ([2.0], 1)]).unwrap();
    let one = |shift, scale| Scaling { shift: vec![shift], scale: vec![scale] };
    refused(&["the targets are classes"], ScaleBy::MinMax.of_targets(&classes));
    let inputs = Dataset::inputs([[1.0]]).unwrap();
    refused(&["the targets are not there"], ScaleBy::MinMax.of_targets(&inputs));
    refused(&["the targets are classes"], classes.with_target_scaling(one(0.0, 1.0)));
    let scaled = numbers.clone().with_target_scaling(one(0.0, 0.5)).unwrap();
    refused(&["the targets are scaled already"], scaled.clone().with_target_scaling(one(0.0, 0.5)));
    for (scaling, words) in [
        (one(0.0, 0.0), "the scale of target 0 is 0: it must not be 0"),
        (one(f64::NAN, 1.0), "the shift of feature 0 is NaN"),
        (one(0.0, f32::INFINITY), "the scale of feature 0 is inf"),
        (one(0.0, 1e-45), "the scale of target 0 is 0.0000"),
        (one(1e300, 1.0), "target 0 of row 0 is not finite after its scaling"),
        (Scaling { shift: vec![0.0; 2], scale: vec![1.0; 2] }, "2 values of shift for 1 features"),
    ] {
        refused(&[words], numbers.clone().with_target_scaling(scaling));
    }
    let network = Network::new(1).dense(1, Activation::Identity);
    let mut trainer =
        Trainer::on(gpu(), network.clone(), TrainOptions { loss: Loss::sigmoid_cross_entropy(), ..Default::default() });
    let error = trainer.as_mut().unwrap().evaluate(&scaled).unwrap_err().to_string();
    assert!(error.contains("sigmoid-cross-entropy"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let weights = wgrad::Initializer::default().weights(&network, 0);
    let model = Model { target_scaling: Some(one(2.5, 0.125)), ..Model::new(network, weights, Loss::MeanSquaredError) };
    model.write(&path).unwrap();
    assert_eq!(Model::read(&path).unwrap(), model);
    let bytes = std::fs::read(&path).unwrap();
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let text = from.as_bytes();
        let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
        [&bytes[..at], to.as_bytes(), &bytes[at + text.len()..]].concat()
    };
    for (from, to, words) in [
        (r#"\"scale\":[0.125]"#, r#"\"scale\":[0.000]"#, "the scale of target 0 is 0: it must not be 0"),
        (r#"\"scale\":[0.125]"#, r#"\"scale\":[9e999]"#, "its metadata: number out of range"),
        (r#"\"scale\":[0.125]"#, r#"\"scale\":[1,-1 ]"#, "2 values of scale for 1 features"),
        (r#"\"scale\":[0.125]"#, r#"\"scale\":[     ]"#, "0 values of scale for 1 features"),
        (r#"\"shift\":[2.5]"#, r#"\"shift\":12345"#, "two lists of numbers, shift and scale"),
        (r#"\"kind\":\"mse\""#, r#"\"kind\":\"xyz\""#, "the loss \"xyz\""),
    ] {
        refused(&[words, "model.safetensors: "], Model::from_bytes(&path, &replaced(from, to), &[], &[]));
    }
}

/// Finds an exported graph whose numbers are in other units than the model's.
#[test]
fn exported_numbers_are_in_their_own_units() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let network = Network::new(3).dense(6, Activation::Relu).dense(2, Activation::Identity);
    let weights = wgrad::Initializer::default().weights(&network, 5);
    let target_scaling = Some(Scaling { shift: vec![300_000.0, -2.0], scale: vec![1e-5, -4.0] });
    let scaling = Some(Scaling { shift: vec![1.0, 2.0, 3.0], scale: vec![0.5, 2.0, 1.0] });
    let model = Model { scaling, target_scaling, ..Model::new(network, weights, Loss::MeanSquaredError) };
    model.write_onnx(&path, false).unwrap();
    let back = Model::read_onnx(&path).unwrap();
    assert_eq!(back.target_scaling, None);
    let rows = [[0.5f32, 1.5, -2.0], [3.0, 0.0, 7.0]];
    let [given, expected] = [back, model.clone()].map(|model| {
        let answers = Predictor::from_model(gpu(), model).unwrap().predict_rows(rows).unwrap();
        answers.into_iter().map(f64::from).collect::<Vec<_>>()
    });
    assert!(relative_error(&given, &expected) < 1e-6, "{given:?}, {expected:?}");
    for output in 0..2 {
        assert!((given[output] / expected[output] - 1.0).abs() < 1e-5, "{given:?}, {expected:?}");
        let by_hand = by_hand(&model, &rows[0])[output];
        let by = model.target_scaling.as_ref().unwrap();
        let own = by_hand / f64::from(by.scale[output]) + by.shift[output];
        assert!((expected[output] / own - 1.0).abs() < 1e-5, "{expected:?}, {own}");
    }
}

/// Finds a target that a network hardly learns, without a note; and an option that is taken for another loss.
#[test]
fn the_program_scales_targets_and_says_where_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String =
        houses(80, 15).iter().map(|(x, price)| format!("{},{},{},{price}\n", x[0], x[1], x[2])).collect();
    std::fs::write(folder.path().join("houses.csv"), format!("size,rooms,age,price\n{lines}")).unwrap();
    let train = |more: &[&str]| {
        let own = ["train", "--data", "houses.csv", "--loss", "mse", "--epochs", "2", "--json", "--scaling", "min-max"];
        let lines = succeed(folder.path(), &[&own[..], more].concat());
        serde_json::from_str::<serde_json::Value>(lines.lines().next().unwrap()).unwrap()["notes"].clone()
    };
    let notes = train(&[]);
    assert!(notes[0].as_str().unwrap().contains("--scale-targets standardize"), "{notes}");
    assert_eq!(train(&["--scale-targets", "min-max"]), serde_json::json!([]));
    let kept = Model::read(folder.path().join("model.safetensors")).unwrap().target_scaling.unwrap();
    let prices: Vec<f64> = houses(80, 15).iter().map(|(_, price)| *price).collect();
    let least = prices.iter().copied().fold(f64::MAX, f64::min);
    assert!((kept.shift[0] - least).abs() < 1.0, "{kept:?}, {least}");
    std::fs::write(folder.path().join("run.toml"), "[data]\nscale_targets = 'standardize'\n[train]\nout = 'run'")
        .unwrap();
    assert_eq!(train(&["--config", "run.toml"]), serde_json::json!([]));
    let about = succeed(folder.path(), &["inspect", "run/model.safetensors", "--json"]);
    let about: serde_json::Value = serde_json::from_str(&about).unwrap();
    let mean = prices.iter().sum::<f64>() / 80.0;
    assert!((about["target_scaling"]["shift"][0].as_f64().unwrap() / mean - 1.0).abs() < 1e-6, "{about}");
    let page = std::fs::read_to_string(folder.path().join("run/report.html")).unwrap();
    // Predicted against true: both axes reach to the prices.
    assert_eq!(page.lines().filter(|line| *line == "300000").count(), 2, "a price on each axis");
    // Going on with a model takes its scalings, and says so.
    let notes =
        train(&["--config", "run.toml", "--init", "model.safetensors", "--out", "again", "--scale-targets", "none"]);
    let notes = notes.to_string();
    assert!(notes.contains("the targets are scaled as the model was"), "{notes}");
    let again = Model::read(folder.path().join("again/model.safetensors")).unwrap();
    assert_eq!(again.target_scaling.as_ref(), Some(&kept));
    let notes = train(&["--init", "model.safetensors", "--scale-targets", "standardize"]).to_string();
    assert!(notes.contains("the targets are scaled differently from the model"), "{notes}");

    let wrong = wgrad(folder.path(), &["train", "--data", "houses.csv", "--scale-targets", "standardize"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("mse, mae and huber"), "{said}");
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
