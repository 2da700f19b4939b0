//! Targets that are scaled: learned near 0, and predicted, exported and kept in their own units.

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Every, Loss, Model, Network, Optimizer, Predictor, ScaleBy,
    Scaling, TrainOptions, Trainer,
};

use crate::serving::{as_bits, by_hand};
use crate::support::{Random, bits, gpu, refused, relative_error, succeed, wgrad};

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
