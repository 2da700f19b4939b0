//! State dicts of GPTs, whose names are known: those of nanoGPT and minGPT, and GPT-2's of Hugging Face's transformers.

use std::path::Path;

use super::listed::{self, Source, Tensors, are_same};
use crate::activation::Activation;
use crate::error::Error;
use crate::loss::Loss;
use crate::model::{Model, about, parse};
use crate::network::{AttentionLayer, DenseLayer, Layer, Network};

/// The tensor by which a GPT is known, after the prefix of its names.
const MARK: &str = "h.0.attn.c_attn.weight";

impl Model {
    /// Reads the state dict of a GPT from a safetensors file, with a sentence for each decision that the file left open. Its names are those of nanoGPT's
    /// `model.py`, as `transformer.h.0.attn.c_attn.weight`, and may begin with more, as `_orig_mod.`. The shapes say how large it is, and the tensors
    /// whether it has biases; the number of `heads` is in none of them. Norms without biases get biases of 0. The last layer has the embedding's table,
    /// unless `lm_head.weight` has other values.
    ///
    /// GPT-2 of Hugging Face's transformers has the same names, and matrices `[in, out]`, which are transposed. The activation is taken as GELU for
    /// nanoGPT, and as its approximation by tanh for GPT-2, unless it is given. Masks of attentions are left out, the loss is softmax cross-entropy, and
    /// values of f16, bf16 and f64 become f32.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Format`] naming the first tensor that is missing or does not fit, and for a file that is no GPT's or says itself what
    /// its layers are.
    pub fn read_gpt(
        path: impl AsRef<Path>,
        heads: usize,
        activation: Option<Activation>,
    ) -> Result<(Self, Vec<String>), Error> {
        let path = path.as_ref();
        Model::from_gpt(path, &crate::files::read_whole(path)?, heads, activation)
    }

    /// As [`read_gpt`](Self::read_gpt), from a file's bytes, for fuzzing. The path is for messages.
    #[doc(hidden)]
    pub fn from_gpt(
        path: &Path,
        bytes: &[u8],
        heads: usize,
        activation: Option<Activation>,
    ) -> Result<(Self, Vec<String>), Error> {
        let file = parse(path, bytes)?;
        if about(path, bytes)?.is_some() {
            return Err(Error::format(path, "it says itself what its layers are: import it without --heads"));
        }
        let tensors: Tensors<'_> = file.tensors().into_iter().collect();
        read(&tensors, heads, activation).map_err(|reason| Error::format(path, reason))
    }
}

/// What a GPT's names begin with, if these are a GPT's.
pub(super) fn prefix<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names.find_map(|name| name.strip_suffix(MARK).filter(|prefix| prefix.is_empty() || prefix.ends_with('.')))
}

fn read(tensors: &Tensors<'_>, heads: usize, activation: Option<Activation>) -> Result<(Model, Vec<String>), String> {
    let prefix = prefix(tensors.keys().map(String::as_str)).ok_or_else(|| {
        format!("it has no tensor …{MARK}, as nanoGPT's and GPT-2's state dicts have: --heads is for these")
    })?;
    let gpt = Gpt::of(tensors, prefix)?;
    let (network, notes) = gpt.network(heads, activation)?;
    network.check().map_err(|error| error.to_string())?;
    let (weights, mut unread) = listed::read(tensors, &network.named_parameters(), &gpt.sources(), "")?;
    if gpt.is_tied {
        unread.remove(gpt.head.as_str());
    }
    // Older versions keep what an attention hides of later places.
    let is_mask = |name: &str| name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias");
    match unread.into_iter().find(|name| !is_mask(name)) {
        None => Ok((Model::new(network, weights, Loss::default()), notes)),
        Some(name) => Err(format!("it has a tensor {name}, which no layer of a GPT takes")),
    }
}

/// The sides of a matrix of a GPT.
fn sides(tensors: &Tensors<'_>, name: &str) -> Result<[usize; 2], String> {
    let tensor = tensors.get(name).ok_or_else(|| format!("it has no tensor {name}, which a GPT has"))?;
    let shape = tensor.shape();
    shape.try_into().map_err(|_| format!("{name} has the shape {shape:?}: it must be a matrix"))
}

/// What a file's tensors say of a GPT.
struct Gpt<'t> {
    tensors: &'t Tensors<'t>,
    prefix: &'t str,
    blocks: usize,
    width: usize,
    /// Whether matrices are `[in, out]`.
    is_turned: bool,
    /// Whether norms have biases.
    has_shifts: bool,
    /// The name of the embedding's table.
    table: String,
    /// The name that the last layer's weights have, or would have.
    head: String,
    is_tied: bool,
}

impl<'t> Gpt<'t> {
    fn of(tensors: &'t Tensors<'t>, prefix: &'t str) -> Result<Self, String> {
        let has = |name: &str| tensors.contains_key(name);
        let blocks = (0..).take_while(|block| has(&format!("{prefix}h.{block}.attn.c_attn.weight"))).count();
        let [wte, head] = [
            format!("{prefix}wte.weight"),
            format!("{}lm_head.weight", prefix.strip_suffix("transformer.").unwrap_or(prefix)),
        ];
        // Files that have a tensor once may have it under either name.
        let is_tied = !has(&wte) || !has(&head) || are_same(tensors, &wte, &head)?;
        let table = if has(&wte) || !has(&head) { wte } else { head.clone() };
        let has_shifts = has(&format!("{prefix}ln_f.bias"));
        let mark = format!("{prefix}{MARK}");
        let [rows, columns] = sides(tensors, &mark)?;
        let are_three = |one: usize, three: usize| one.checked_mul(3) == Some(three);
        let is_turned = match (are_three(columns, rows), are_three(rows, columns)) {
            (true, _) => false,
            (_, true) => true,
            _ => {
                return Err(format!(
                    "{mark} has the shape [{rows}, {columns}]: it must be [3 · width, width], or [width, 3 · width] as GPT-2's"
                ));
            }
        };
        Ok(Gpt { tensors, prefix, blocks, width: rows.min(columns), is_turned, has_shifts, table, head, is_tied })
    }

    fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }

    fn has(&self, part: &str) -> bool {
        self.tensors.contains_key(&self.name(part))
    }

    /// The layers, with notes.
    fn network(&self, heads: usize, activation: Option<Activation>) -> Result<(Network, Vec<String>), String> {
        let width = self.width;
        let [vocabulary, _] = sides(self.tensors, &self.table)?;
        let [length, _] = sides(self.tensors, &self.name("wpe.weight"))?;
        let [one, other] = sides(self.tensors, &self.name("h.0.mlp.c_fc.weight"))?;
        let hidden = if self.is_turned { other } else { one };
        let usual = if self.is_turned { Activation::GeluTanh } else { Activation::Gelu };
        let of_hidden = activation.unwrap_or(usual);
        let dense = |outputs: usize, part: &str| DenseLayer { bias: self.has(part), ..DenseLayer::new(outputs) };
        let attention =
            AttentionLayer { bias: self.has("h.0.attn.c_attn.bias"), ..AttentionLayer::new(heads).causal() };
        let last = match self.is_tied {
            true => DenseLayer::tied(vocabulary),
            false => DenseLayer::new(sides(self.tensors, &self.head)?[0]).without_bias(),
        };
        let inner = Layer::new(dense(hidden, "h.0.mlp.c_fc.bias")).with_activation(of_hidden);
        let outer = dense(width, "h.0.mlp.c_proj.bias");
        let network = Network::tokens(length)
            .embedding(width, vocabulary)
            .positions(length)
            .repeat(self.blocks, |block| {
                let block = block.residual(|body| body.layer_norm().with(attention.into()));
                block.residual(|body| body.layer_norm().with(inner).with(outer.into()))
            })
            .layer_norm()
            .with(last.into());
        Ok((network, self.notes(activation.is_none().then_some(usual))))
    }

    /// What was decided, `assumed` an activation, a sentence each.
    fn notes(&self, assumed: Option<Activation>) -> Vec<String> {
        let assumed = assumed.map(|activation| match activation {
            Activation::Gelu => {
                "its activation is taken as gelu, nanoGPT's: in minGPT and older versions of nanoGPT it is another, --activation gelu-tanh".into()
            }
            other => format!("its activation is taken as {other}, GPT-2's: --activation sets another"),
        });
        let turned = "its matrices are [in, out], and are transposed".to_string();
        let shifts = "its norms have no biases: they are 0, and training changes them".to_string();
        let untied = format!("{} has other values than {}: the last layer is not tied", self.head, self.table);
        let of = |is_so: bool, note: String| is_so.then_some(note);
        let more = [of(self.is_turned, turned), of(!self.has_shifts, shifts), of(!self.is_tied, untied)];
        assumed.into_iter().chain(more.into_iter().flatten()).collect()
    }

    /// Where its parameters are, in the order of the network's.
    fn sources(&self) -> Vec<Source> {
        let of = |part: &str, has_bias: bool, is_turned: bool| {
            let [weight, bias] = ["weight", "bias"].map(|tensor| self.name(&format!("{part}.{tensor}")));
            Source { weight, bias: has_bias.then_some(bias), is_turned }
        };
        let matrix = |part: &str| of(part, true, self.is_turned);
        let norm = |part: &str| of(part, self.has_shifts, false);
        let named = |weight: &String| Source { weight: weight.clone(), bias: None, is_turned: false };
        let block = |block: usize| {
            let part = |part: &str| format!("h.{block}.{part}");
            [
                norm(&part("ln_1")),
                matrix(&part("attn.c_attn")),
                matrix(&part("attn.c_proj")),
                norm(&part("ln_2")),
                matrix(&part("mlp.c_fc")),
                matrix(&part("mlp.c_proj")),
            ]
        };
        let mut sources = vec![named(&self.table), named(&self.name("wpe.weight"))];
        sources.extend((0..self.blocks).flat_map(block));
        sources.push(norm("ln_f"));
        sources.extend((!self.is_tied).then(|| named(&self.head)));
        sources
    }
}
