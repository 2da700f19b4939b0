//! Sequences that a model of tokens continues: what comes next is drawn from its predictions, token after token.

use crate::error::Error;
#[cfg(not(target_family = "wasm"))]
use crate::host::block_on;
use crate::loss::Task;
use crate::model::Model;
use crate::network::{Form, LayerKind, Network};
use crate::predictor::Predictor;
use crate::weights::hash;

/// How the tokens that follow a prompt are drawn.
///
/// ```
/// use wgrad::Sampling;
///
/// let sampling = Sampling { temperature: 0.8, top_k: Some(40), seed: 7 };
/// assert_eq!(Sampling::default().temperature, 1.0);
/// # _ = sampling;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// What logits are divided by: below 1, likely tokens become likelier; at 0 the likeliest one is always taken.
    pub temperature: f64,
    /// How many of the likeliest tokens one is drawn from; `None` for all. Fan, Lewis & Dauphin, "Hierarchical neural story generation", ACL 2018.
    pub top_k: Option<usize>,
    /// Decides every draw: the same seed gives the same tokens.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 1.0, top_k: None, seed: 0 }
    }
}

impl Sampling {
    fn check(&self) -> Result<(), Error> {
        let temperature = self.temperature;
        if !temperature.is_finite() || temperature < 0.0 {
            return Err(Error::Option(format!("a temperature of {temperature}: it must be at least 0, as 0.8")));
        }
        match self.top_k {
            Some(0) => Err(Error::Option("a top-k of 0: at least one token must be left to draw from".into())),
            _ => Ok(()),
        }
    }

    /// The token that is drawn from these logits as the `number`th of a sequence.
    fn draw(&self, logits: &[f32], number: u64) -> u32 {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        // The likeliest first, and the first of equals.
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
        order.truncate(self.top_k.unwrap_or(usize::MAX));
        if self.temperature == 0.0 {
            return order[0] as u32;
        }
        let largest = f64::from(logits[order[0]]);
        let weight = |&token: &usize| ((f64::from(logits[token]) - largest) / self.temperature).exp();
        let total: f64 = order.iter().map(weight).sum();
        let uniform = (hash(self.seed, number) >> 11) as f64 / (1u64 << 53) as f64;
        let mut left = uniform * total;
        let drawn = order.iter().find(|&token| {
            left -= weight(token);
            left < 0.0
        });
        // Rounding may leave a last bit.
        drawn.copied().unwrap_or(order[order.len() - 1]) as u32
    }
}

/// That a network predicts the next token at each place, from those up to it. Gives the number of tokens that it takes.
///
/// # Errors
///
/// [`Error::Option`] with what it lacks.
fn check_network(network: &Network) -> Result<usize, Error> {
    let wrong = |reason: &str| Err(Error::Option(format!("the model cannot continue a text: {reason}")));
    let Form::Tokens(length) = network.input() else { return wrong("it takes no tokens") };
    if network.places().is_none() || network.vocabulary() != Some(network.outputs()) {
        return wrong("it has no prediction of the next token for each place");
    }
    let mut looks_ahead = false;
    network.walk(&mut |located| {
        looks_ahead |= matches!(located.layer.kind(), LayerKind::Attention(attention) if !attention.causal);
    });
    if looks_ahead { wrong("its attention is not causal, so that a place sees the tokens to come") } else { Ok(length) }
}

/// That a network can go on with these tokens, as [`check_network`] says. Gives the number of tokens that it takes.
///
/// # Errors
///
/// Those of [`check_network`]; [`Error::Option`] for no tokens, [`Error::Data`] for one that is not in the vocabulary.
fn check_prompt(network: &Network, prompt: &[u32]) -> Result<usize, Error> {
    let length = check_network(network)?;
    if prompt.is_empty() {
        return Err(Error::Option("an empty prompt: a text begins with at least one token".into()));
    }
    let vocabulary = network.outputs();
    match prompt.iter().position(|&token| token as usize >= vocabulary) {
        Some(at) => Err(Error::Data(format!(
            "token {at} of the prompt is {}: the model's vocabulary goes from 0 to {}",
            prompt[at],
            vocabulary - 1
        ))),
        None => Ok(length),
    }
}

/// The last of some tokens: as many as a network takes.
fn seen(tokens: &[u32], length: usize) -> &[u32] {
    &tokens[tokens.len().saturating_sub(length)..]
}

#[cfg(not(target_family = "wasm"))]
impl Predictor {
    /// The logits of the token that follows these, one for each of the vocabulary. The network sees as many of the last tokens as it takes.
    ///
    /// Keys and values of the tokens are kept, so that tokens which begin as those of an earlier call cost the network at the others alone. Longer ones than the network
    /// takes have every token in another place than those of the call before, and cost it at all places.
    ///
    /// ```no_run
    /// let model = wgrad::Predictor::open("gpt.safetensors")?;
    /// let mut tokens = vec![0, 1];
    /// while tokens.len() < 50 {
    ///     let logits = model.next_logits(&tokens)?;
    ///     let likeliest = (0..logits.len()).fold(0, |best, at| if logits[at] > logits[best] { at } else { best });
    ///     tokens.push(likeliest as u32);
    /// }
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that has no next token for each place, and for no tokens; [`Error::Data`] for a token that is not in the vocabulary;
    /// [`Error::NonFiniteResult`], [`Error::Device`]; [`Error::Kernel`] and [`Error::OutOfMemory`] where buffers are made.
    pub fn next_logits(&self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        block_on(self.next_logits_async(tokens))
    }

    /// Continues a prompt by `count` tokens, each of which is passed to `take` when it is drawn; an error of `take` ends it. The network sees as many of the last tokens as
    /// it takes, as [`next_logits`](Self::next_logits) says. The same seed gives the same tokens on the same adapter.
    ///
    /// ```no_run
    /// let model = wgrad::Predictor::open("gpt.safetensors")?;
    /// let mut tokens = vec![0, 1];
    /// model.generate(&[0, 1], 100, wgrad::Sampling::default(), |token| {
    ///     tokens.push(token);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a temperature below 0; those of [`next_logits`](Self::next_logits) and of `take`.
    pub fn generate(
        &self,
        prompt: &[u32],
        count: usize,
        sampling: Sampling,
        take: impl FnMut(u32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        block_on(self.generate_async(prompt, count, sampling, take))
    }
}

impl Predictor {
    /// As [`next_logits`](Self::next_logits), awaited.
    ///
    /// # Errors
    ///
    /// As [`next_logits`](Self::next_logits).
    pub async fn next_logits_async(&self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let length = check_prompt(&self.model().network, tokens)?;
        let seen = seen(tokens, length);
        let mut sequence = self.sequence(length, seen).await?;
        let logits = sequence.logits(seen).await?;
        sequence.keep();
        Ok(logits)
    }

    /// As [`generate`](Self::generate), awaited.
    ///
    /// # Errors
    ///
    /// As [`generate`](Self::generate).
    pub async fn generate_async(
        &self,
        prompt: &[u32],
        count: usize,
        sampling: Sampling,
        mut take: impl FnMut(u32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let length = self.check_generation(prompt, sampling)?;
        let mut tokens = prompt.to_vec();
        if count == 0 {
            return Ok(());
        }
        let mut sequence = self.sequence(length, seen(prompt, length)).await?;
        for number in 0..count {
            let token = sampling.draw(&sequence.logits(seen(&tokens, length)).await?, number as u64);
            take(token)?;
            tokens.push(token);
        }
        sequence.keep();
        Ok(())
    }

    /// What [`generate`](Self::generate) refuses before it draws a token. Gives the number of tokens that the network takes.
    pub(crate) fn check_generation(&self, prompt: &[u32], sampling: Sampling) -> Result<usize, Error> {
        sampling.check()?;
        let Model { network, loss, .. } = self.model();
        if loss.task() != Task::Classes {
            return Err(Error::Option(format!(
                "the model was trained with {}, under which its outputs are no logits of what comes next: a text is learned under softmax-cross-entropy",
                loss.name()
            )));
        }
        check_prompt(network, prompt)
    }
}
