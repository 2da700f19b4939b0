//! Models that are opened, trained further and saved again: nothing is lost, and rows are scaled as they were in training.

use wgrad::{Activation, Dataset, Loss, Model, Network, ReadOptions, Scaling, Source, TrainOptions, Trainer};

use crate::serving::{as_bits, classifier, floats, saved};
use crate::support::{bits, gpu, learnable};

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
