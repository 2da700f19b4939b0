//! A small GPT that learns to write as Shakespeare does, 0.8 M weights: the run of examples/gpt.toml, in Rust, and what it writes then.
//!
//!     cargo run --release --example gpt -- [STEPS] [SEED]

use std::io::Write;
use std::ops::ControlFlow;

use wgrad::{
    Activation, AttentionLayer, Dataset, Decay, Error, Event, Initializer, Network, Optimizer, Predictor, Rule,
    Sampling, Schedule, TrainOptions, Trainer, Vocabulary,
};

const CONTEXT: usize = 64;
const WIDTH: usize = 128;

fn main() -> Result<(), Error> {
    let number = |at: usize, usual: u64| match std::env::args().nth(at) {
        Some(word) => word.parse().map_err(|_| Error::Option(format!("{word} is not a number"))),
        None => Ok(usual),
    };
    let (train, validation) = Dataset::shakespeare(CONTEXT)?;
    let tokens = train.vocabulary().unwrap_or_default();
    let network = Network::tokens(CONTEXT)
        .embedding(WIDTH, tokens)
        .positions(CONTEXT)
        .repeat(4, |block| {
            let units = |body: Network| body.dense(4 * WIDTH, Activation::Gelu).dense(WIDTH, Activation::Identity);
            block
                .residual(|body| body.layer_norm().with(AttentionLayer::new(4).causal().into()))
                .residual(|body| units(body.layer_norm()))
        })
        .layer_norm()
        .dense(tokens, Activation::Identity);
    println!("{} weights, {} places to begin at", network.parameters(), train.rows());
    let options = TrainOptions {
        optimizer: Optimizer {
            lr: 1e-3,
            weight_decay: 0.1,
            rule: Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, amsgrad: false },
        },
        schedule: Schedule {
            warmup: 100,
            start_factor: 0.0,
            ..Schedule::new(Decay::Cosine { t_max: None, eta_min: 1e-4 })
        },
        clip_grad_norm: Some(1.0),
        initializer: Initializer::Normal(0.02),
        batch_size: 12,
        steps: Some(number(1, 2000)?),
        seed: number(2, 1)?,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(network, options)?;
    trainer.fit_with(&train, Some(&validation), |event| {
        if let Event::Epoch(epoch) = event
            && let Some(validation) = epoch.validation
        {
            println!(
                "loss {:.4}   validation loss {:.4}   {:.1} s",
                epoch.training.loss, validation.loss, epoch.seconds
            );
        }
        ControlFlow::Continue(())
    })?;
    trainer.save("gpt.safetensors")?;

    let model = Predictor::open("gpt.safetensors")?;
    let vocabulary = train.text_vocabulary().unwrap_or(&Vocabulary::Bytes);
    let (prompt, mut decoder) = ("ROMEO.\n", vocabulary.decoder());
    print!("{prompt}");
    let sampling = Sampling { temperature: 0.8, top_k: Some(40), seed: 0 };
    model.generate(&vocabulary.encode(prompt)?, 300, sampling, |token| {
        print!("{}", decoder.push(token));
        std::io::stdout().flush().map_err(Error::Output)
    })?;
    println!();
    Ok(())
}
