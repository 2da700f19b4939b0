//! Networks of tokens: embeddings, positions, attention and tied layers mid-graph, beside the f64 interpreter; what they refuse.

use wgrad::kernel::tile::Family;
use wgrad::{
    Activation, AttentionLayer, Dataset, DenseLayer, Initializer, Layer, Loss, Network, Optimizer, Sampling,
    TrainOptions, Trainer, Weights,
};

use crate::reference::dropout_mask;
use crate::reference::interpreter::Interpreter;
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::layers;
use crate::support::{Random, assert_close, families, gpu, refused};

const SEED: u64 = 0x1234_5678_9abc_def0;
/// With so large a rate, the step dwarfs the weight, and the difference keeps its digits.
const RATE: f64 = 1e4;
/// A gradient's difference costs two forward passes.
const ELEMENTS: usize = 16;

/// A network of tokens and its rows.
struct Case {
    what: &'static str,
    network: Network,
    tokens: Vec<u32>,
    labels: Vec<i64>,
    loss: Loss,
    /// What initial weights are multiplied by.
    scale: f32,
}

impl Case {
    /// Random rows, with labels from the network's outputs: one a row, or one a place.
    fn new(what: &'static str, rows: usize, network: Network) -> Self {
        let random = &mut Random(7 + rows as u64);
        let (vocabulary, outputs) = (network.vocabulary().unwrap(), network.outputs());
        let tokens = (0..rows * network.inputs()).map(|_| random.below(vocabulary) as u32).collect();
        let places = network.places().map_or(1, |places| places as usize);
        let labels = (0..rows * places).map(|_| random.below(outputs) as i64).collect();
        Case { what, network, tokens, labels, loss: Loss::default(), scale: 1.0 }
    }

    fn set(&self) -> Dataset {
        let labels = self.labels.iter().map(|&label| label as u32).collect();
        Dataset::from_tokens(self.tokens.clone(), self.network.inputs(), labels).unwrap()
    }

    /// Trains one step on a device, and compares the loss, the gradients that it shows and the outputs with those of the twin, by central differences.
    fn assert_gradients(&self, family: Family) {
        let Case { network, loss, .. } = self;
        let what = format!("{}, {}, {family:?}", self.what, network.shape());
        let mut initial = Initializer::Torch.weights(network, 3);
        // No γ is 1 and no bias 0, so that none of them can be forgotten.
        let random = &mut Random(5);
        for value in initial.layers.iter_mut().flat_map(|layer| layer.weight.iter_mut().chain(&mut layer.bias)) {
            *value = self.scale * (*value + 0.1 * random.value() as f32);
        }
        let mask = |layer, row, unit, units, rate| dropout_mask(SEED, 0, layer, row, unit, units, rate);
        let twin = Interpreter::training(network, &mask);
        let x: Vec<f64> = self.tokens.iter().map(|&token| token.into()).collect();
        let mean = |z: &[f64]| mean_loss(loss, z, &Targets::Classes(&self.labels), network.outputs());
        let before = layers(&initial);
        let expected = twin.some_of_gradient(&before, &x, &mean, ELEMENTS);
        let options = TrainOptions {
            optimizer: Optimizer::sgd(RATE),
            loss: loss.clone(),
            batch_size: self.set().rows(),
            steps: Some(1),
            shuffle: false,
            seed: SEED,
            family: Some(family),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        let outputs: Vec<f64> = trainer.logits(&self.set()).unwrap().into_iter().map(f64::from).collect();
        assert_close(
            &format!("{what}: outputs"),
            &outputs,
            &Interpreter::evaluating(network).logits(&before, &x),
            2e-5,
        );
        let reported = trainer.fit(&self.set(), None).unwrap().epochs[0].training.loss;
        assert_close(&format!("{what}: loss"), &[reported], &[mean(&twin.logits(&before, &x))], 1e-5);
        let after = layers(&trainer.weights().unwrap());
        for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected).enumerate() {
            for (before, after, expected) in
                [(&before.weights, &after.weights, &expected.weights), (&before.bias, &after.bias, &expected.bias)]
            {
                let all = before.iter().zip(after).zip(expected).filter(|(_, expected)| !expected.is_nan());
                let (own, expected): (Vec<f64>, Vec<f64>) = all
                    .map(|((before, after), &expected)| ((before - after) / RATE, expected))
                    .filter(|(own, expected)| own.abs().max(expected.abs()) > 1e-9)
                    .unzip();
                if !expected.is_empty() {
                    assert_close(&format!("{what}, parameter {at}"), &own, &expected, 2e-4);
                }
            }
        }
    }
}

/// A network that ends with logits for each place.
fn begun(length: usize, width: usize, vocabulary: usize) -> Network {
    Network::tokens(length).embedding(width, vocabulary).positions(length + 1)
}

fn attention(heads: usize) -> AttentionLayer {
    AttentionLayer::new(heads)
}

/// A block with an attention, and logits.
fn with_attention(begun: Network, layer: AttentionLayer, outputs: usize) -> Network {
    begun.residual(|body| body.layer_norm().with(layer.into())).layer_norm().dense(outputs, Activation::Identity)
}

fn cases() -> Vec<Case> {
    use Activation::{Gelu, Identity, Tanh};
    let of_heads = |heads: usize, causal: bool| {
        let layer = if causal { attention(heads).causal() } else { attention(heads) };
        Case::new("heads", 2, with_attention(begun(5, 24, 7), layer, 7))
    };
    let one_token = |network| {
        let case = Case::new("one token everywhere", 3, network);
        Case { tokens: vec![4; case.tokens.len()], ..case }
    };
    let mut ignoring = Case::new("ignored places", 3, with_attention(begun(5, 8, 6), attention(2).causal(), 6));
    ignoring.labels.iter_mut().step_by(3).for_each(|label| *label = -1);
    ignoring.loss =
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.1, class_weights: None, ignore_index: Some(-1), gamma: 0.0 };
    let large = Case::new("large scores and logits", 2, with_attention(begun(9, 8, 6), attention(2).causal(), 6));
    let plain_dropout = with_attention(begun(6, 8, 9), attention(2).causal().weights_dropout(0.4), 9);
    vec![
        of_heads(1, true),
        of_heads(2, false),
        of_heads(3, true),
        of_heads(4, false),
        of_heads(6, true),
        of_heads(8, false),
        Case::new("one place", 5, with_attention(begun(1, 8, 5), attention(2).causal(), 5)),
        Case::new("three places", 3, with_attention(begun(3, 6, 5), attention(1), 5)),
        Case::new("64 places", 2, with_attention(begun(64, 8, 65), attention(2).causal(), 65)),
        Case::new("257 places", 1, with_attention(begun(257, 4, 3), attention(1).causal(), 3)),
        Case::new("two words", 3, with_attention(begun(4, 5, 2), attention(1).causal(), 2)),
        Case::new("1,000 words, most of which do not occur", 3, begun(4, 6, 1000).dense(3, Identity)),
        one_token(begun(70, 5, 7).dense(7, Identity)),
        // Weights four times as large make scores of some hundreds, of which f32 rounds off 1e-5 and more.
        Case { scale: 4.0, ..large },
        ignoring,
        Case::new("dropout of weights", 3, plain_dropout),
        Case::new("dropout and activations everywhere", 3, {
            let layer = Layer::from(attention(2).weights_dropout(0.2)).with_activation(Gelu).with_dropout(0.3);
            let embedding = wgrad::EmbeddingLayer::new(8, 9);
            Network::tokens(5)
                .with(Layer::new(embedding).with_activation(Tanh).with_dropout(0.2))
                .positions(5)
                .dropout(0.3)
                .with(layer)
                .rms_norm()
                .dense(9, Identity)
        }),
        Case::new("a mean of places", 4, begun(6, 9, 8).dense(7, Gelu).global_avg_pool().dense(3, Identity)),
        Case::new("places side by side", 4, begun(3, 5, 8).flatten().dense(7, Tanh).dense(3, Identity)),
        Case::new("flattened, then a norm", 4, begun(3, 5, 8).flatten().layer_norm().dense(3, Identity)),
        Case::new("a tied layer", 3, {
            let body = |body: Network| body.layer_norm().dense(12, Gelu).dense(6, Identity);
            begun(4, 6, 11).residual(body).activation(Tanh).with(DenseLayer::tied(11).into())
        }),
        Case::new("a tied layer behind the embedding", 3, {
            Network::tokens(4).embedding(6, 70).with(DenseLayer::tied(70).into())
        }),
        Case::new("without biases", 3, {
            let layer = attention(2).causal().without_bias();
            begun(4, 8, 6).residual(|body| body.with(layer.into())).dense(6, Identity)
        }),
    ]
}

/// The networks of all cases.
pub fn networks() -> impl Iterator<Item = (&'static str, Network)> {
    cases().into_iter().map(|case| (case.what, case.network))
}

/// Finds heads that read each other's values, places that see what comes after them, masks of other elements, a token's gradient that is that of one place, and
/// one of a table's two uses that is forgotten.
#[test]
fn gradients_are_those_by_differences() {
    for (number, case) in cases().into_iter().enumerate() {
        case.network.check().unwrap_or_else(|error| panic!("{}: {error}", case.what));
        // Compiling takes the time: each on one family, all families in turn.
        case.assert_gradients(families()[number % 4]);
    }
}

/// Trains some steps, and gives what comes of it.
fn trained(network: &Network, set: &Dataset, seed: u64) -> Weights {
    let options = TrainOptions { batch_size: 3, steps: Some(9), seed, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.fit(set, None).unwrap();
    trainer.weights().unwrap()
}

/// Finds rows of a text that begin at other places than those of the same rows written out, and sums whose order is left to the device.
#[test]
fn a_text_trains_as_its_rows_do_to_the_same_bits() {
    let random = &mut Random(3);
    let text: Vec<u32> = (0..40).map(|_| random.below(300) as u32).collect();
    let (length, rows) = (6, 34);
    let of = |first: usize| (0..rows).flat_map(|row| text[row + first..][..length].to_vec()).collect::<Vec<u32>>();
    let written_out = Dataset::from_tokens(of(0), length, of(1)).unwrap();
    let text = Dataset::of_text(text.clone(), length).unwrap();
    assert_eq!((text.rows(), text.width(), text.vocabulary()), (rows, length, written_out.vocabulary()));
    let network = with_attention(begun(length, 8, 300), attention(2).causal(), 300);
    let bits = |set: &Dataset, seed| crate::support::bits(&trained(&network, set, seed));
    assert_eq!(bits(&text, 1), bits(&written_out, 1));
    assert_ne!(bits(&text, 1), bits(&text, 2));
}

/// Finds labels of places that become values of other places, or of none, under the losses that take values: each place is judged as a row of one token is.
#[test]
fn labels_of_places_are_values_too() {
    for (outputs, loss) in
        [(1, Loss::sigmoid_cross_entropy()), (3, Loss::sigmoid_cross_entropy()), (3, Loss::MeanSquaredError)]
    {
        let random = &mut Random(6);
        let tokens: Vec<u32> = (0..12).map(|_| random.below(5) as u32).collect();
        let labels: Vec<u32> = (0..12).map(|_| random.below(outputs.max(2)) as u32).collect();
        let judged = |length: usize| {
            let network = Network::tokens(length).embedding(4, 5).dense(outputs, Activation::Identity);
            let options =
                TrainOptions { loss: loss.clone(), seed: 3, batch_size: 12 / length, ..TrainOptions::default() };
            let mut trainer = Trainer::on(gpu(), network, options).unwrap();
            let set = Dataset::from_tokens(tokens.clone(), length, labels.clone()).unwrap();
            let before = trainer.evaluate(&set).unwrap();
            trainer.fit(&set, None).unwrap();
            [before.loss, trainer.evaluate(&set).unwrap().loss]
        };
        let of_sequences = judged(4);
        assert_close(&format!("{outputs} outputs under {}", loss.name()), &of_sequences, &judged(1), 1e-6);
        assert!(of_sequences[1] < of_sequences[0]);
    }
}

/// Tokens taken for features, a vocabulary that is too small, rows of another length, labels of other places than the network has outputs for, and layers in the
/// wrong place: refused by name.
#[test]
fn what_does_not_fit_is_refused() {
    let network = with_attention(begun(4, 8, 6), attention(2), 6);
    let fit = |network: &Network, set: &Dataset| {
        Trainer::on(gpu(), network.clone(), TrainOptions { batch_size: 2, steps: Some(1), ..TrainOptions::default() })
            .and_then(|mut trainer| trainer.fit(set, None).map(|_| ()))
    };
    let set = |tokens: Vec<u32>, length, labels: usize| Dataset::from_tokens(tokens, length, vec![1; labels]).unwrap();
    refused(&["token 1 of row 1 is 6", "from 0 to 5"], fit(&network, &set(vec![0, 1, 2, 3, 4, 6, 0, 1], 4, 8)));
    refused(&["3 tokens", "takes 4"], fit(&network, &set(vec![0; 6], 3, 6)));
    refused(&["one label", "4 places"], fit(&network, &set(vec![0; 8], 4, 2)));
    let pooled = begun(4, 8, 6).global_avg_pool().dense(3, Activation::Identity);
    refused(&["4 labels", "one output for each row"], fit(&pooled, &set(vec![0; 8], 4, 8)));
    let many = set(vec![0; 80_000], 4, 80_000);
    let options = TrainOptions { batch_size: 20_000, ..TrainOptions::default() };
    let trained = Trainer::on(gpu(), network.clone(), options).and_then(|mut trainer| trainer.fit(&many, None));
    refused(&["20000 rows of 4 tokens", "at most 7500 rows"], trained);
    // Where places may be left out, updates go over the weights of all places, too.
    let ignoring =
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.0, class_weights: None, ignore_index: Some(-1), gamma: 0.0 };
    let options = TrainOptions { batch_size: 5_000, loss: ignoring, ..TrainOptions::default() };
    let trained = Trainer::on(gpu(), network.clone(), options).and_then(|mut trainer| trainer.fit(&many, None));
    refused(&["5000 rows of 4 tokens", "at most 3748 rows"], trained);
    let alone = |length| {
        let options = TrainOptions { batch_size: 1, ..TrainOptions::default() };
        let text = Dataset::of_text(vec![0; length + 1], length).unwrap();
        let network = begun(length, 4, 6).dense(6, Activation::Identity);
        Trainer::on(gpu(), network, options).and_then(|mut trainer| trainer.fit(&text, None))
    };
    refused(&["a row of 15000 tokens", "at most 14999", "shorter context"], alone(15_000));
    refused(&["each row has 4 labels", "ignore_index"], set(vec![0; 8], 4, 8).with_sample_weights(vec![1.0; 2]));
    let labels = Dataset::from_tokens(vec![0; 8], 4, vec![1, 1, 1, 1, 1, 9, 1, 1]).unwrap();
    refused(&["the label of token 1 of row 1 is 9"], fit(&network, &labels));
    let text = Dataset::of_text(vec![0, 1, 2, 3, 4, 9, 0, 1], 4).unwrap();
    refused(&["the text has a vocabulary of 10", "one of 6"], fit(&network, &text));
    let features = Dataset::from_f32(vec![0.0; 8], 4, vec![0, 1]).unwrap();
    refused(&["features", "4 tokens"], fit(&network, &features));
    let dense = Network::new(4).dense(3, Activation::Identity);
    refused(&["tokens", "begins with an embedding"], fit(&dense, &set(vec![0; 8], 4, 2)));
    for (words, network) in [
        (
            &["layer 1 (dense)", "4 tokens", "begins with an embedding"][..],
            Network::tokens(4).dense(3, Activation::Identity),
        ),
        (&["layer 1 (embedding)", "takes tokens"], Network::new(4).embedding(8, 6).dense(3, Activation::Identity)),
        (&["layer 2 (attention)", "3 heads", "width of 8"], Network::tokens(4).embedding(8, 6).attention(3)),
        (&["layer 2 (positions)", "3 places"], Network::tokens(4).embedding(8, 6).positions(3)),
        (&["layer 2 (conv)", "no image"], Network::tokens(4).embedding(8, 6).conv(3, 1, Activation::Identity)),
        (
            &["tied", "vocabulary of 6", "width of 8"],
            Network::tokens(4).embedding(8, 6).with(DenseLayer::tied(7).into()),
        ),
        (&["layer 1's shortcut, layer 1", "layer 1's body, layer 1", "a network has one"], {
            let (body, shortcut) = (|b: Network| b.embedding(8, 6), |s: Network| s.embedding(8, 5));
            Network::tokens(4).residual_with_shortcut(body, shortcut).dense(6, Activation::Identity)
        }),
        (&["layer 2", "only the last"], {
            Network::tokens(4).embedding(6, 6).with(DenseLayer::tied(6).into()).dense(3, Activation::Identity)
        }),
    ] {
        refused(words, network.check());
    }
}

/// Finds a seed without effect, a network that is given more tokens than it takes, a draw that ignores the temperature or `top_k`; a model that cannot
/// continue a text and does.
#[test]
fn a_model_continues_a_prompt_by_what_it_predicts() {
    // After token t comes t + 1, always.
    let tokens: Vec<u32> = (0..400).map(|at| at % 5).collect();
    let set = Dataset::of_text(tokens, 4).unwrap();
    let network = with_attention(begun(4, 8, 5), attention(2).causal(), 5);
    let options = TrainOptions {
        optimizer: Optimizer::adam(0.02),
        batch_size: 16,
        steps: Some(150),
        initializer: Initializer::Torch,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    trainer.fit(&set, None).unwrap();
    let path = tempfile::tempdir().unwrap();
    let file = path.path().join("model.safetensors");
    trainer.save(&file).unwrap();
    let model = wgrad::Predictor::open(&file).unwrap();
    let continued = |prompt: &[u32], sampling: Sampling| {
        let mut all = vec![];
        let mut push = |token| {
            all.push(token);
            Ok(())
        };
        model.generate(prompt, 9, sampling, &mut push).unwrap();
        all
    };
    let likeliest = Sampling { temperature: 0.0, ..Sampling::default() };
    assert_eq!(continued(&[3], likeliest), [4, 0, 1, 2, 3, 4, 0, 1, 2]);
    // A prompt that is longer than what the network sees.
    assert_eq!(continued(&[0, 0, 2, 3, 4, 0, 1], likeliest), [2, 3, 4, 0, 1, 2, 3, 4, 0]);
    assert_eq!(continued(&[3], Sampling { temperature: 50.0, top_k: Some(1), seed: 4 }), continued(&[3], likeliest));
    let hot = |seed| continued(&[3], Sampling { temperature: 50.0, top_k: None, seed });
    assert_eq!(hot(1), hot(1));
    assert!((2..9).any(|seed| hot(seed) != hot(1)));
    refused(&["empty prompt"], model.generate(&[], 3, likeliest, |_| Ok(())));
    refused(&["token 1 of the prompt is 5", "0 to 4"], model.generate(&[1, 5], 3, likeliest, |_| Ok(())));
    let negative = Sampling { temperature: -1.0, ..likeliest };
    refused(&["temperature of -1"], model.generate(&[1], 3, negative, |_| Ok(())));
}
