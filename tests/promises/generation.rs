//! Sequences that a model goes on with, whose keys and values are kept: beside the f64 interpreter of whole rows, and the program with a text.

use std::path::Path;

use wgrad::{
    Activation, AttentionLayer, Dataset, DenseLayer, EmbeddingLayer, Initializer, Layer, Loss, Model, Network,
    Predictor, Sampling, Vocabulary,
};

use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::support::{Random, assert_close, gpu, refused, wgrad};

/// A model of this network whose weights and biases are random, with no γ of 1 and no bias of 0.
fn model(network: &Network) -> Model {
    let mut weights = Initializer::Torch.weights(network, 3);
    let random = &mut Random(5);
    for value in weights.layers.iter_mut().flat_map(|layer| layer.weight.iter_mut().chain(&mut layer.bias)) {
        *value += 0.2 * random.value() as f32;
    }
    Model::new(network.clone(), weights, Loss::default())
}

fn predictor(network: &Network) -> Predictor {
    Predictor::from_model(gpu(), model(network)).unwrap()
}

fn causal(heads: usize) -> AttentionLayer {
    AttentionLayer::new(heads).causal()
}

/// Networks of up to this many tokens: in one step and in several, with heads of whole quads and of others, tied and not, with positions and without.
fn networks() -> Vec<Network> {
    use Activation::{Gelu, Identity, Tanh};
    let units = |body: Network, width: usize| body.layer_norm().dense(2 * width, Gelu).dense(width, Identity);
    vec![
        Network::tokens(7)
            .embedding(18, 11)
            .positions(7)
            .repeat(3, |block| {
                block.residual(|body| body.layer_norm().with(causal(3).into())).residual(|body| units(body, 18))
            })
            .layer_norm()
            .dense(11, Identity),
        Network::tokens(12)
            .embedding(16, 9)
            .repeat(2, |block| {
                let layer = causal(2).without_bias().weights_dropout(0.2);
                block.residual(|body| body.rms_norm().with(layer.into())).activation(Tanh)
            })
            .rms_norm()
            .with(DenseLayer::tied(9).into()),
        Network::tokens(70)
            .with(Layer::new(EmbeddingLayer::new(6, 70)).with_activation(Tanh))
            .positions(73)
            .residual(|body| body.with(Layer::from(causal(1)).with_activation(Gelu)))
            .residual(|body| body.layer_norm().with(causal(3).into()))
            .dense(70, Identity),
    ]
}

fn tokens(count: usize, vocabulary: usize, seed: u64) -> Vec<u32> {
    let random = &mut Random(seed);
    (0..count).map(|_| random.below(vocabulary) as u32).collect()
}

/// The logits that follow each of a row's tokens, in f64.
fn twin(network: &Network, row: &[u32]) -> Vec<Vec<f64>> {
    let length = network.inputs();
    // What comes after a place is seen by none before it.
    let x: Vec<f64> = (0..length).map(|at| row.get(at).copied().unwrap_or(0).into()).collect();
    let logits = Interpreter::evaluating(network).logits(&layers(&model(network).weights), &x);
    logits.chunks_exact(network.outputs()).take(row.len()).map(<[f64]>::to_vec).collect()
}

/// Finds keys and values of other places, heads or layers, of tokens that are there no longer, or that were never kept; vectors of other places; a window that slides
/// without the places after it.
#[test]
fn logits_of_a_sequence_are_those_of_whole_rows() {
    for network in networks() {
        network.check().unwrap();
        let (length, vocabulary, what) = (network.inputs(), network.outputs(), network.shape());
        let (row, other) = (tokens(length, vocabulary, 1), tokens(length, vocabulary, 2));
        let predictor = predictor(&network);
        let assert_next = |seen: &[u32], expected: &[f64]| {
            let own = predictor.next_logits(seen).unwrap();
            let compared: Vec<f64> = own.iter().map(|&logit| logit.into()).collect();
            assert_close(&format!("{what}: after {} tokens", seen.len()), &compared, expected, 1e-5);
            own
        };
        // One token after the other; all at once; a shorter row again; the same up to some place, and then others.
        let expected = twin(&network, &row);
        let in_turn: Vec<Vec<f32>> = (0..length).map(|at| assert_next(&row[..=at], &expected[at])).collect();
        let half = length / 2;
        let branched = [&row[..half], &other[half..]].concat();
        let of_branch = twin(&network, &branched);
        for at in [length - 1, half - 2] {
            assert_next(&branched[..=at], &of_branch[at]);
        }
        // Other ways to the same places, to the same bits.
        assert_next(&other[..2], &twin(&network, &other)[1]);
        for at in [half, length - 1, 3] {
            assert_eq!(assert_next(&row[..=at], &expected[at]), in_turn[at], "{what}: after {} tokens", at + 1);
        }
        // Past the last place, the tokens move up.
        let long = [&row[..], &other].concat();
        for end in length + 1..length + 4 {
            assert_next(&long[..end], &twin(&network, &long[end - length..end])[length - 1]);
        }
        assert_eq!(
            predictor.next_logits(&long[3..length + 3]).unwrap(),
            predictor.next_logits(&long[..length + 3]).unwrap()
        );
    }
}

/// The likeliest tokens that follow, each found by a row of its own without anything kept.
fn likeliest(predictor: &Predictor, prompt: &[u32], count: usize) -> Vec<u32> {
    let (network, mut all) = (&predictor.model().network, prompt.to_vec());
    let (length, vocabulary) = (network.inputs(), network.outputs());
    for _ in 0..count {
        let mut row = all[all.len().saturating_sub(length)..].to_vec();
        let last = row.len() - 1;
        row.resize(length, 0);
        let logits = predictor.logits(&Dataset::from_tokens(row, length, vec![0]).unwrap()).unwrap();
        let of = &logits[last * vocabulary..][..vocabulary];
        all.push((0..vocabulary).fold(0, |best, at| if of[at] > of[best] { at } else { best }) as u32);
    }
    all.split_off(prompt.len())
}

/// Finds a text that depends on what was written before, on where its prompt ends, or on what is kept; and a seed that changes nothing.
#[test]
fn the_same_seed_writes_the_same_with_anything_kept() {
    let network = &networks()[0];
    let predictor = predictor(network);
    let written = |predictor: &Predictor, prompt: &[u32], count, sampling| {
        let mut all = vec![];
        let mut push = |token| {
            all.push(token);
            Ok(())
        };
        predictor.generate(prompt, count, sampling, &mut push).unwrap();
        all
    };
    let cold = Sampling { temperature: 0.0, ..Sampling::default() };
    for prompt in [&[3][..], &[1, 9, 0, 4, 10, 2, 7], &[5, 5, 8, 1, 0, 3, 3, 6, 2]] {
        let text = written(&predictor, prompt, 12, cold);
        assert_eq!(text, likeliest(&predictor, prompt, 12), "after {prompt:?}");
        for cut in [1, 5, 11] {
            let longer = [prompt, &text[..cut]].concat();
            assert_eq!(written(&predictor, &longer, 12 - cut, cold), text[cut..], "after {longer:?}");
        }
    }
    let warm = |seed| Sampling { temperature: 1.5, top_k: Some(7), seed };
    let text = written(&predictor, &[3, 1], 40, warm(1));
    assert_eq!(written(&predictor, &[3, 1], 40, warm(1)), text);
    assert_eq!(written(&self::predictor(network), &[3, 1], 40, warm(1)), text);
    assert_ne!(written(&predictor, &[3, 1], 40, warm(2)), text);
    assert!(written(&predictor, &[3], 0, warm(1)).is_empty());
    // An end by the taker, from which another text is not told.
    let mut taken = 0;
    let ended = predictor.generate(&[3, 1], 40, warm(1), |_| {
        taken += 1;
        if taken < 5 { Ok(()) } else { Err(wgrad::Error::Option("enough".into())) }
    });
    refused(&["enough"], ended);
    assert_eq!((taken, written(&predictor, &[3, 1], 40, warm(1))), (5, text));
}

/// Finds a model that cannot continue a text and does, and kernels that are compiled, or memory that is taken, by each call anew.
#[test]
fn what_cannot_be_continued_is_refused() {
    let network = |layer: AttentionLayer| {
        Network::tokens(5).embedding(8, 6).residual(|body| body.with(layer.into())).dense(6, Activation::Identity)
    };
    let looking_ahead = predictor(&network(AttentionLayer::new(2)));
    refused(&["cannot continue a text", "not causal"], looking_ahead.next_logits(&[1, 2]));
    refused(&["not causal"], looking_ahead.generate(&[1], 3, Sampling::default(), |_| Ok(())));
    let pooled = Network::tokens(5).embedding(8, 6).global_avg_pool().dense(6, Activation::Identity);
    refused(&["for each place"], predictor(&pooled).next_logits(&[1]));
    let of_features = Network::new(5).dense(6, Activation::Identity);
    refused(&["takes no tokens"], predictor(&of_features).next_logits(&[1]));
    let own = predictor(&network(causal(2)));
    refused(&["token 2 of the prompt is 6", "0 to 5"], own.next_logits(&[0, 5, 6]));
    refused(&["empty prompt"], own.next_logits(&[]));
    let of_numbers = Model { loss: Loss::MeanSquaredError, ..model(&network(causal(2))) };
    let of_numbers = Predictor::from_model(gpu(), of_numbers).unwrap();
    refused(
        &["trained with mse", "softmax-cross-entropy"],
        of_numbers.generate(&[1], 3, Sampling::default(), |_| Ok(())),
    );
    let bytes = || (own.next_logits(&[1, 2, 3]).unwrap(), own.device_bytes(), own.gpu().kernels_compiled());
    assert_eq!(bytes(), bytes());
}

/// A model of a text, in a file.
fn written(path: &Path, network: &Network, vocabulary: Option<Vocabulary>) {
    Model { vocabulary, ..model(network) }.write(path).unwrap();
}

/// Finds a prompt that is not written or is taken for something else, a text that is not what a program gets, an error without its reason or behind half a text.
#[test]
fn the_program_writes_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let network = networks().swap_remove(0);
    let vocabulary = Vocabulary::of("\n abcdefghü");
    written(&folder.path().join("m.safetensors"), &network, Some(vocabulary.clone()));
    written(&folder.path().join("none.safetensors"), &network, None);
    let features = Network::new(4).dense(3, Activation::Identity);
    written(&folder.path().join("features.safetensors"), &features, None);
    let run = |arguments: &[&str]| {
        let output = wgrad(folder.path(), &[&["generate"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let sampling = Sampling { temperature: 0.7, top_k: Some(4), seed: 8 };
    let mut expected = "bü a".to_string();
    let predictor = Predictor::open(folder.path().join("m.safetensors")).unwrap();
    let push = |token| {
        expected += &vocabulary.decode(&[token]);
        Ok(())
    };
    predictor.generate(&vocabulary.encode("bü a").unwrap(), 20, sampling, push).unwrap();
    let drawn = ["--temperature", "0.7", "--top-k", "4", "--seed", "8"];
    let of =
        |more: &[&'static str]| run(&[&["--model", "m.safetensors", "--prompt", "bü a"], &drawn[..], more].concat());
    assert_eq!(of(&["--tokens", "20"]), (Some(0), format!("{expected}\n"), String::new()));
    assert_eq!(of(&["--tokens", "0"]), (Some(0), "bü a\n".into(), String::new()));
    let (code, out, _) = of(&["--tokens", "20", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, line["event"].as_str(), line["text"].as_str()), (Some(0), Some("text"), Some(&expected[..])));
    for (arguments, words) in [
        (&["--model", "m.safetensors", "--prompt", "ab\nax"][..], "--prompt: line 2, character 2 has 'x'"),
        (&["--model", "m.safetensors", "--prompt", ""], "empty prompt"),
        (&["--model", "m.safetensors", "--temperature", "-1"], "a temperature of -1: it must be at least 0"),
        (&["--model", "m.safetensors", "--top-k", "0"], "a top-k of 0"),
        (&["--model", "none.safetensors"], "none.safetensors has no vocabulary of a text"),
        (&["--model", "features.safetensors"], "features.safetensors has no vocabulary of a text"),
    ] {
        let (code, out, reason) = run(arguments);
        assert!(code == Some(2) && out.is_empty() && reason.contains(words), "{arguments:?}: {out}{reason}");
    }
    // A file has a text's own characters, and bytes that are no characters; without a prompt, the text begins with what there is.
    written(&folder.path().join("crlf.safetensors"), &network, Some(Vocabulary::of("\r\nabcdefghü")));
    let (_, out, _) = run(&["--model", "crlf.safetensors", "--prompt", "a\r\nb", "--tokens", "1"]);
    assert!(out.starts_with("a\r\nb"), "{out:?}");
    written(&folder.path().join("no_lines.safetensors"), &network, Some(Vocabulary::of("abcdefghijü")));
    let (code, out, reason) = run(&["--model", "no_lines.safetensors", "--tokens", "2"]);
    assert!(code == Some(0) && out.starts_with('a') && out.chars().count() == 4, "{out:?}{reason}");
    let of_bytes = Network::tokens(5).embedding(8, 256).dense(256, Activation::Identity);
    written(&folder.path().join("bytes.safetensors"), &of_bytes, Some(Vocabulary::Bytes));
    let drawn = wgrad(folder.path(), &["generate", "--model", "bytes.safetensors", "--tokens", "40", "--seed", "2"]);
    let predictor = Predictor::open(folder.path().join("bytes.safetensors")).unwrap();
    let mut expected = vec![b'\n'];
    let sampling = Sampling { seed: 2, ..Sampling::default() };
    predictor.generate(&[10], 40, sampling, |token| (expected.push(token as u8), Ok(())).1).unwrap();
    expected.push(b'\n');
    assert!(std::str::from_utf8(&expected).is_err() && drawn.stdout == expected, "{:?}", drawn.stdout);
}
