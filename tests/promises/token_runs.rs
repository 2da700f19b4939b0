//! Runs of networks of tokens: the same seed gives the same bits, in one run, in two, in one that was killed, and in one whose rows come to the device in windows.

use std::ops::ControlFlow;

use wgrad::kernel::tile::Family;
use wgrad::{
    Activation, AttentionLayer, Checkpoint, Checkpointing, Dataset, DenseLayer, Every, Layer, Network, Optimizer,
    TrainOptions, Trainer,
};

use crate::support::{Random, assert_survives_kills, bits, families, gpu, refused};

const LENGTH: usize = 10;
const VOCABULARY: usize = 30;

/// A text of tokens of which some are far more frequent than others.
fn text(tokens: usize, vocabulary: usize) -> Vec<u32> {
    let random = &mut Random(4);
    (0..tokens).map(|_| (random.below(vocabulary) * random.below(vocabulary) / vocabulary) as u32).collect()
}

/// Of 40 rows.
fn set() -> Dataset {
    Dataset::of_text(text(50, VOCABULARY), LENGTH).unwrap()
}

/// A vocabulary and context that are no multiples of four; dropout of vectors, of attention's weights and in the units; weights that are tied.
fn network(vocabulary: usize, dropout: f64) -> Network {
    let attention = AttentionLayer::new(2).causal().weights_dropout(dropout);
    Network::tokens(LENGTH)
        .embedding(12, vocabulary)
        .positions(LENGTH)
        .dropout(dropout)
        .residual(|body| body.layer_norm().with(attention.into()))
        .residual(|body| {
            let units = Layer::new(DenseLayer::new(20)).with_activation(Activation::Gelu).with_dropout(dropout);
            body.rms_norm().with(units).dense(12, Activation::Identity)
        })
        .layer_norm()
        .with(DenseLayer::tied(vocabulary).into())
}

/// 8 steps an epoch.
fn options(seed: u64, family: Family) -> TrainOptions {
    TrainOptions {
        batch_size: 5,
        steps: Some(18),
        seed,
        optimizer: Optimizer::adam(0.01),
        family: Some(family),
        ..TrainOptions::default()
    }
}

fn trained(set: &Dataset, options: TrainOptions) -> Vec<u32> {
    let mut trainer = Trainer::on(gpu(), network(VOCABULARY, 0.2), options).unwrap();
    trainer.fit(set, None).unwrap();
    bits(&trainer.weights().unwrap())
}

/// Finds a sum over places, tokens or heads whose order depends on timing, a mask that is drawn from anything but the seed, and one that the seed does not move.
#[test]
fn the_same_seed_gives_the_same_bits() {
    let set = set();
    for family in families() {
        let reference = trained(&set, options(3, family));
        assert!(trained(&set, options(3, family)) == reference, "{family}: a second run");
        let chunks = TrainOptions { steps_per_submission: Some(3), ..options(3, family) };
        assert!(trained(&set, chunks) == reference, "{family}: in submissions of three steps");
        assert!(trained(&set, options(4, family)) != reference, "{family}: another seed");
    }
}

/// Finds slots, draws or a position that a checkpoint leaves out.
#[test]
fn a_run_goes_on_from_any_step() {
    let set = set();
    for family in families() {
        let reference = trained(&set, options(3, family));
        // Within an epoch, at its end, and in the last one.
        for step in [1, 7, 8, 17] {
            let folder = tempfile::tempdir().unwrap();
            let every = Checkpointing { every: Every::Steps(step), keep: 1000, ..Checkpointing::new(folder.path()) };
            let with = TrainOptions { checkpoint: Some(every), ..options(3, family) };
            assert!(trained(&set, with) == reference, "{family}: with checkpoints");
            let checkpoint = Checkpoint::open(crate::checkpoints::file(folder.path(), step)).unwrap();
            let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
            trainer.set_checkpointing(None);
            trainer.fit(&set, None).unwrap();
            assert!(bits(&trainer.weights().unwrap()) == reference, "{family}: from step {step}");
        }
    }
}

/// Finds tokens of a window that are another's or take as many bytes as the window's own largest needs, labels that do not come along, and windows that are not as
/// large as the memory budget.
#[test]
fn tokens_come_in_windows_to_the_same_bits() {
    // Most windows have tokens of one byte alone, and the vocabulary takes two.
    let (tokens, vocabulary) = (400, 300);
    let text = text(tokens, vocabulary);
    let rows = tokens - LENGTH;
    let of = |first: usize| (0..rows).flat_map(|row| text[row + first..][..LENGTH].to_vec()).collect::<Vec<u32>>();
    let written_out = Dataset::from_tokens(of(0), LENGTH, of(1)).unwrap();
    // In the set's order, windows have the rows that the whole has. No masks, which each window draws anew.
    let options =
        |memory_budget| TrainOptions { shuffle: false, steps: Some(90), memory_budget, ..options(3, families()[1]) };
    let weights = |fit: &dyn Fn(&mut Trainer), budget| {
        let mut trainer = Trainer::on(gpu(), network(vocabulary, 0.0), options(budget)).unwrap();
        fit(&mut trainer);
        bits(&trainer.weights().unwrap())
    };
    let of_set = |set: &Dataset, budget| weights(&|trainer| drop(trainer.fit(set, None).unwrap()), budget);
    let whole = of_set(&written_out, None);
    // Two windows of ten rows, each with ten tokens and ten labels.
    let budget = 2 * 10 * 2 * 2 * LENGTH as u64;
    assert!(of_set(&written_out, Some(budget)) == whole, "rows in memory");
    // Half the bytes of a text have no room for it. Its rows overlap, so a window has 40 of them.
    let of_text = Dataset::of_text(text.clone(), LENGTH).unwrap();
    assert!(of_set(&of_text, Some(tokens as u64)) == whole, "a text");
    // Rows that a program makes while it trains: their tokens say nothing of the vocabulary.
    let made = wgrad::Generated::new(rows, vocabulary, |range: std::ops::Range<usize>| {
        let part = |first: usize| -> Vec<u32> {
            range.clone().flat_map(|row| text[row + first..][..LENGTH].to_vec()).collect()
        };
        Dataset::from_tokens(part(0), LENGTH, part(1))
    });
    let fit = |trainer: &mut Trainer| drop(trainer.fit_from(&made, None, |_| ControlFlow::Continue(())).unwrap());
    assert!(weights(&fit, Some(budget)) == whole, "rows that are made");
    // One byte less than two windows of a minibatch.
    let least = 2 * 5 * 2 * 2 * LENGTH as u64;
    let mut trainer = Trainer::on(gpu(), network(vocabulary, 0.0), options(Some(least - 1))).unwrap();
    refused(&["two minibatches of 5 rows", "400 bytes"], trainer.fit(&written_out, None));
}

/// Finds a step done twice, or draws that are lost, where the program is killed at any moment.
#[test]
fn killed_the_program_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let words = text(50, VOCABULARY).iter().map(|&token| char::from(b'a' + (token % 26) as u8)).collect::<String>();
    std::fs::write(folder.path().join("text.txt"), words.repeat(3)).unwrap();
    let layers = "[model]\nlayers = [{ embedding = 8 }, { positions = 6, dropout = 0.1 },
        { residual = [{ attention = 2, causal = true, weights_dropout = 0.1 }] }, { layer_norm = true }, { dense = 'vocabulary' }]
        [data]\ntrain = 'text.txt'\ncontext = 6\n[optimizer]\nkind = 'adamw'\n[train]\nbatch_size = 7\nema = 0.9\n";
    std::fs::write(folder.path().join("run.toml"), layers).unwrap();
    assert_survives_kills(folder.path(), "train --config run.toml --seed 5 --json");
}
