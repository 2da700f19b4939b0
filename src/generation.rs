//! Sequences that a model of tokens continues: what comes next is drawn from its predictions, token after token.

use crate::data::Dataset;
use crate::error::Error;
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

/// That a network predicts the next token at each place, from those up to it.
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

impl Predictor {
    /// Continues a prompt by `count` tokens, each of which is passed to `take` when it is drawn; an error of `take` ends it. The network sees as many of the last tokens as
    /// it takes. The same seed gives the same tokens on the same adapter.
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
    /// [`Error::Option`] for a network that has no next token for each place, an empty prompt, and a temperature below 0; [`Error::Data`] for a token that is not in the
    /// vocabulary; those of [`logits`](Self::logits) and of `take`.
    pub fn generate(
        &self,
        prompt: &[u32],
        count: usize,
        sampling: Sampling,
        mut take: impl FnMut(u32) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let network = &self.model().network;
        let length = check_network(network)?;
        sampling.check()?;
        if prompt.is_empty() {
            return Err(Error::Option("an empty prompt: a text begins with at least one token".into()));
        }
        let vocabulary = network.outputs();
        if let Some(at) = prompt.iter().position(|&token| token as usize >= vocabulary) {
            return Err(Error::Data(format!(
                "token {at} of the prompt is {}: the model's vocabulary goes from 0 to {}",
                prompt[at],
                vocabulary - 1
            )));
        }
        let mut seen: Vec<u32> = prompt[prompt.len().saturating_sub(length)..].to_vec();
        for number in 0..count {
            let last = seen.len() - 1;
            // What comes after the last token is seen by no place before it.
            let row: Vec<u32> = seen.iter().copied().chain(std::iter::repeat(0)).take(length).collect();
            let logits = self.logits(&Dataset::from_tokens(row, length, vec![0])?)?;
            let token = sampling.draw(&logits[last * vocabulary..][..vocabulary], number as u64);
            take(token)?;
            if seen.len() == length {
                seen.remove(0);
            }
            seen.push(token);
        }
        Ok(())
    }
}
