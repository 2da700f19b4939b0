//! What is awaited does what blocks. That nothing of it blocks where nothing may is for the core's own tests, on a host without threads.

use std::ops::ControlFlow;

use pollster::block_on;
use wgrad::{Activation, AttentionLayer, Dataset, Event, Network, Predictor, Sampling, TrainOptions, Trainer};

use crate::support::{bits, gpu, learnable};

/// Finds an awaited method that trains, judges or answers otherwise than the one that blocks, and bytes of a model that are not its file's.
#[test]
fn awaited_training_has_the_bits_of_training_that_blocks() {
    let (train, validation) = (learnable(70, 6, 3, 1), learnable(40, 6, 3, 2));
    let network = || Network::classifier(6, &[9], Activation::Relu, 3);
    let options = || TrainOptions { epochs: 3, batch_size: 16, ..TrainOptions::default() };
    let mut blocking = Trainer::on(gpu(), network(), options()).unwrap();
    let history = blocking.fit(&train, Some(&validation)).unwrap();

    let (mut awaited, own, epochs, model) = block_on(async {
        let mut awaited = Trainer::on_async(gpu(), network(), options()).await.unwrap();
        let mut epochs = 0;
        let observer = |event: Event| {
            epochs += u64::from(matches!(event, Event::Epoch(_)));
            ControlFlow::Continue(())
        };
        let own = awaited.fit_async(&train, Some(&validation), observer).await.unwrap();
        let model = awaited.model_async().await.unwrap();
        (awaited, own, epochs, model)
    });
    assert_eq!(bits(&awaited.weights().unwrap()), bits(&blocking.weights().unwrap()));
    let losses = |of: &wgrad::History| of.epochs.iter().map(|one| (one.training, one.validation)).collect::<Vec<_>>();
    assert_eq!((losses(&own), epochs), (losses(&history), 3));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    blocking.save(&path).unwrap();
    assert_eq!(model.to_bytes().unwrap(), std::fs::read(path).unwrap());
    block_on(async {
        assert_eq!(awaited.evaluate_async(&validation).await.unwrap(), blocking.evaluate(&validation).unwrap());
        assert_eq!(awaited.metrics_async(&validation).await.unwrap(), blocking.metrics(&validation).unwrap());
        assert_eq!(awaited.predict_async(&validation).await.unwrap(), blocking.predict(&validation).unwrap());
        let layers = awaited.activations_async(&validation, 7).await.unwrap();
        assert_eq!(format!("{layers:?}"), format!("{:?}", blocking.activations(&validation, 7).unwrap()));
    });
}

/// Finds an awaited predictor that answers or continues a text otherwise than the one that blocks.
#[test]
fn awaited_predictions_have_the_bits_of_predictions_that_block() {
    let set = learnable(40, 6, 3, 2);
    let mut trainer =
        Trainer::on(gpu(), Network::classifier(6, &[9], Activation::Relu, 3), TrainOptions::default()).unwrap();
    let model = block_on(trainer.model_async()).unwrap();
    let blocking = Predictor::from_model(gpu(), model.clone()).unwrap();
    block_on(async {
        let mut again = Trainer::from_model_async(gpu(), model.clone(), TrainOptions::default()).await.unwrap();
        assert_eq!(bits(&again.weights_async().await.unwrap()), bits(&model.weights));
        let awaited = Predictor::from_model_async(gpu(), model).await.unwrap();
        assert_eq!(awaited.predict_async(&set).await.unwrap(), blocking.predict(&set).unwrap());
        assert_eq!(awaited.classify_set_async(&set).await.unwrap(), blocking.classify_set(&set).unwrap());
        let row = set.row(3).unwrap();
        let layers = awaited.activations_async(&Dataset::inputs([&row]).unwrap()).await.unwrap();
        assert_eq!(format!("{layers:?}"), format!("{:?}", blocking.activations(&row).unwrap()));
    });

    let network = Network::tokens(8)
        .embedding(16, 12)
        .residual(|body| body.with(AttentionLayer::new(2).causal().into()))
        .dense(12, Activation::Identity);
    let mut trainer = Trainer::on(gpu(), network, TrainOptions::default()).unwrap();
    let predictor = Predictor::from_model(gpu(), block_on(trainer.model_async()).unwrap()).unwrap();
    let sampling = Sampling { seed: 3, ..Sampling::default() };
    let (mut first, mut second) = (vec![], vec![]);
    predictor
        .generate(&[1, 2], 11, sampling, |token| {
            first.push(token);
            Ok(())
        })
        .unwrap();
    block_on(predictor.generate_async(&[1, 2], 11, sampling, |token| {
        second.push(token);
        Ok(())
    }))
    .unwrap();
    assert_eq!((first.len(), &first), (11, &second));
    assert_eq!(block_on(predictor.next_logits_async(&first)).unwrap(), predictor.next_logits(&first).unwrap());
}
