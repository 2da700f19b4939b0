//! The network a user describes: a list of layers, each a file of this room.
//!
//! A kind of layer knows how wide it is, its words in a list of layers, and which ops it writes into a graph. A new one is a file, and a line in
//! `kind.rs`. What all layers share is written once: activation, dropout and initializer, locations, names of weights, words, checks.

mod attention;
mod bare;
mod builder;
mod conv;
mod dense;
mod embed;
mod embedding;
mod flatten;
mod form;
mod forward;
mod kind;
mod layer;
mod norm;
mod parameter;
mod pool;
mod repeat;
mod residual;
#[cfg(feature = "cli")]
mod summary;
mod treated;
mod window;
mod words;

pub use self::attention::AttentionLayer;
pub use self::bare::{ActivationLayer, DropoutLayer};
pub use self::conv::ConvLayer;
pub use self::dense::DenseLayer;
pub use self::embed::{EmbedLayer, EmbeddedFeature};
pub use self::embedding::{EmbeddingLayer, PositionsLayer};
pub use self::flatten::FlattenLayer;
pub use self::form::Form;
pub use self::kind::LayerKind;
pub use self::layer::Layer;
use self::layer::List;
pub(crate) use self::layer::Located;
pub use self::norm::{BatchNormLayer, GroupNormLayer, LayerNormLayer, RmsNormLayer};
pub use self::parameter::{Parameter, ParameterKind};
pub use self::pool::{AvgPoolLayer, GlobalAvgPoolLayer, MaxPoolLayer};
pub use self::repeat::RepeatLayer;
pub use self::residual::ResidualLayer;
#[cfg(feature = "cli")]
pub(crate) use self::summary::Summary;
pub use self::window::{Padding, Pair};
pub(crate) use self::words::{activation_words, from_json};
use crate::activation::Activation;
use crate::error::Error;
use crate::graph::{Graph, Value};
use crate::layout::{Dense, Image};
use crate::loss::{Loss, Task};

/// A feed-forward network: a number of input features or the form of an image, then layers. The last one is dense, and its outputs are logits.
///
/// ```
/// use wgrad::{Activation, Network};
///
/// let network = Network::new(784).dense(256, Activation::Relu).dense(10, Activation::Identity);
/// assert_eq!(network.parameters(), 784 * 256 + 256 + 256 * 10 + 10);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    input: Form,
    layers: Vec<Layer>,
    /// What was asked for where it cannot be. It is kept so that [`check`](Self::check) can refuse it.
    refused: Option<Refused>,
}

/// What a builder method was asked for, and cannot do.
#[derive(Clone, Debug, PartialEq)]
struct Refused {
    /// The location of the list of layers.
    within: String,
    /// What it has that it cannot have, and why: continues "it has …".
    reason: String,
}

impl Network {
    /// A network for rows of `inputs` features, with no layers yet.
    pub fn new(inputs: usize) -> Self {
        Network::of_layers(inputs, Vec::new())
    }

    /// A network for images of this many pixels down and across and this many values a pixel, with no layers yet.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    ///
    /// let network = Network::image(28, 28, 1)
    ///     .conv(32, 3, Activation::Relu)
    ///     .max_pool(2)
    ///     .conv(64, 3, Activation::Relu)
    ///     .max_pool(2)
    ///     .flatten()
    ///     .dropout(0.5)
    ///     .dense(10, Activation::Identity);
    /// assert_eq!(network.shape(), "28×28×1-26×26×32-13×13×32-11×11×64-5×5×64-1600-10");
    /// assert_eq!(network.parameters(), 34_826);
    /// ```
    pub fn image(height: usize, width: usize, channels: usize) -> Self {
        let sides = [height, width, channels];
        let [rows, columns, planes] = sides.map(window::narrow);
        let network =
            Network::of_form(Form::Image(Image { height: rows, width: columns, channels: planes }), Vec::new());
        // A side that no form can have is named as it was asked for.
        let refused = sides.into_iter().find(|&side| side > layer::WIDEST).map(|side| Refused {
            within: "the input".into(),
            reason: format!(
                "a side of {side}, in an image of {height}×{width}×{channels}: at most {} are allowed",
                layer::WIDEST
            ),
        });
        Network { refused, ..network }
    }

    /// A network for sequences of this many tokens, with no layers yet. An embedding comes first.
    ///
    /// ```
    /// use wgrad::{Activation, AttentionLayer, Network};
    ///
    /// let network = Network::tokens(64)
    ///     .embedding(128, 65)
    ///     .positions(64)
    ///     .repeat(4, |block| {
    ///         block
    ///             .residual(|body| body.layer_norm().with(AttentionLayer::new(4).causal().into()))
    ///             .residual(|body| body.layer_norm().dense(512, Activation::Gelu).dense(128, Activation::Identity))
    ///     })
    ///     .layer_norm()
    ///     .dense(65, Activation::Identity);
    /// assert!(network.check().is_ok());
    /// ```
    pub fn tokens(length: usize) -> Self {
        Network::of_form(Form::Tokens(length), Vec::new())
    }

    /// A network of these layers.
    pub fn of_layers(inputs: usize, layers: Vec<Layer>) -> Self {
        Network::of_form(Form::Features(inputs), layers)
    }

    /// A network of these layers, for samples of this form.
    pub fn of_form(input: Form, layers: Vec<Layer>) -> Self {
        Network { input, layers, refused: None }
    }

    /// A network of listed layers for rows that a file describes by their width, or for images: what an embedding takes is tokens.
    pub(crate) fn of_listed(input: Form, layers: Vec<Layer>) -> Self {
        let mut network = Network::of_form(input, layers);
        if let (Form::Features(width), Some(_)) = (input, network.vocabulary()) {
            network.input = Form::Tokens(width);
        }
        network
    }

    /// A network of hidden layers of the given widths, all with one activation, and a last layer of `outputs` logits.
    pub fn classifier(inputs: usize, hidden: &[usize], activation: Activation, outputs: usize) -> Self {
        let network = hidden.iter().fold(Network::new(inputs), |network, &width| network.dense(width, activation));
        network.dense(outputs, Activation::Identity)
    }

    /// The number of features, or of tokens, in a row.
    pub fn inputs(&self) -> usize {
        self.input.values()
    }

    /// The form of a sample.
    pub fn input(&self) -> Form {
        self.input
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The number of logits in a row, or of each place of a sequence: the last layer's units.
    pub fn outputs(&self) -> usize {
        self.list().output().features()
    }

    /// Whether its last layer has the embedding's table as its weights.
    pub(crate) fn is_tied(&self) -> bool {
        self.layers.last().is_some_and(|last| matches!(last.kind(), LayerKind::Dense(dense) if dense.tied))
    }

    /// The number of tokens that its embedding knows, where it takes tokens.
    pub fn vocabulary(&self) -> Option<usize> {
        let mut found = None;
        self.walk(&mut |located| {
            if let LayerKind::Embedding(embedding) = located.layer.kind() {
                found = found.or(Some(embedding.vocabulary));
            }
        });
        found
    }

    /// The number of places of a row that have logits each, where it makes sequences.
    pub fn places(&self) -> Option<u32> {
        match self.list().output() {
            Form::Sequence(sequence) => Some(sequence.length),
            _ => None,
        }
    }

    fn list(&self) -> List<'_> {
        List { layers: &self.layers, input: self.input }
    }

    /// The number of weights and biases.
    pub fn parameters(&self) -> usize {
        let trained = self.named_parameters().into_iter().filter(Parameter::is_trained);
        trained.map(|parameter| parameter.count()).fold(0, usize::saturating_add)
    }

    /// The weights of every layer that has any, by the names that they have in files, in the order of [`Weights::layers`](crate::Weights): depth first, a residual's
    /// body before its shortcut.
    ///
    /// Names are those of a `torch.nn.Sequential`: a layer takes a number, and so do its activation and its dropout; within a residual they are
    /// `<n>.body.<k>` and `<n>.shortcut.<k>`, and the layers of a repeat's copies follow each other in the list that it is in. Identity takes a number where
    /// every layer is dense, has a bias and has no initializer of its own.
    pub fn named_parameters(&self) -> Vec<Parameter> {
        let mut found = Vec::new();
        self.walk(&mut |located| found.extend(located.parameters()));
        found
    }

    /// As [`named_parameters`](Self::named_parameters), with no number for an identity in any network: as a list of layers counts them.
    #[cfg(feature = "selftest")]
    pub(crate) fn parameters_as_listed(&self) -> Vec<Parameter> {
        let mut found = Vec::new();
        self.list().walk("", "", false, &mut |located| found.extend(located.parameters()));
        found
    }

    /// Calls `each` for all layers, each before those within it: a repeat, then its layers for each copy.
    pub(crate) fn walk<'a>(&'a self, each: &mut dyn FnMut(Located<'a>)) {
        self.list().walk("", "", self.is_chain(), each);
    }

    /// How many values each output is made from, and the number of outputs, of every parameter, in the order of [`named_parameters`](Self::named_parameters).
    pub fn widths(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        self.named_parameters().into_iter().map(|parameter| (parameter.inputs, parameter.outputs))
    }

    /// Whether every layer is dense, with a bias and the network's initializer: widths and activations describe it.
    pub(crate) fn is_chain(&self) -> bool {
        let is_usual = |layer: &Layer| match layer.kind() {
            LayerKind::Dense(dense) => dense.bias && !dense.tied && layer.initializer().is_none(),
            _ => false,
        };
        self.layers.iter().all(is_usual)
    }

    /// The activations of all layers, those within residuals included.
    pub(crate) fn activations(&self) -> Vec<Activation> {
        let mut found = Vec::new();
        self.walk(&mut |located| found.push(located.layer.activation()));
        found
    }

    /// Its widths, as `784-256-10`, and its images, as `28×28×1-26×26×32-21632-10`; of a residual's body and its shortcut in parentheses, as
    /// `784-128-(64-128)-10` and `784-(64-128|128)-10`. Layers that change no form and are no product, such as norms and dropout, are left out.
    pub fn shape(&self) -> String {
        format!("{}-{}", self.input, self.list().shape()).trim_end_matches('-').to_string()
    }

    /// The parameters' sizes, as those of dense layers for minibatches of `batch` rows, once [`check`](Self::check) has passed.
    pub(crate) fn dense_sizes(&self, batch: u32) -> Vec<Dense> {
        self.named_parameters().iter().map(|parameter| parameter.dense(batch)).collect()
    }

    /// The ops for a minibatch of `batch` rows, from the set's features to the logits, which come back. Units drop out where it is `training`.
    pub fn forward(&self, batch: u32, training: bool) -> (Graph, Value) {
        forward::forward(self, batch, training, None)
    }

    /// The ops for `batch` more places of one sequence of at most `places` tokens, of which earlier steps were given those before: from the tokens to the logits of
    /// each. The network is that [of one place](Self::of_one_place).
    pub(crate) fn continuation(&self, batch: u32, places: u32) -> (Graph, Value) {
        forward::forward(self, batch, false, Some(places))
    }

    /// The same layers for rows of one token.
    pub(crate) fn of_one_place(&self) -> Network {
        Network { input: Form::Tokens(1), ..self.clone() }
    }

    /// Checks that the network can be trained. Layers are named by their location, counted from 1: `layer 3`, and within a residual
    /// `layer 3's body, layer 1`.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the layer, for
    ///
    /// - no features, or more than 16,777,216, and no layers;
    /// - a layer of no units, or of more than 16,777,216;
    /// - a dropout below 0, of 1 or above, or that is no number;
    /// - a residual whose body has no layers, or whose body and shortcut have other numbers of outputs than each other;
    /// - residuals nested more than 32 deep;
    /// - a last layer that is not dense, or has a dropout;
    /// - a convolution, a pool or a group norm that does not fit its image, or whose numbers are out of range; images of more than 16,777,216 values;
    /// - features where a layer takes an image, and the other way round;
    /// - an embed layer that comes after another one, or that looks up a feature which rows do not have, or one twice;
    /// - a norm's eps or momentum that is out of range;
    /// - an initializer for a layer without weights;
    /// - more than 100,000 layers, with all copies of those that are repeated;
    /// - a residual's or a repeat's function whose network takes another number of inputs than it was given, with layers added.
    pub fn check(&self) -> Result<(), Error> {
        self.reason().map_err(Error::Option)
    }

    /// Why the network cannot be trained, if it cannot.
    fn reason(&self) -> Result<(), String> {
        if let Some(Refused { within, reason }) = &self.refused {
            return Err(format!("{within} has {reason}"));
        }
        match self.input {
            Form::Image(image) if image.height == 0 || image.width == 0 || image.channels == 0 => {
                return Err(format!("the input is an image of {}: all three numbers must be at least 1", self.input));
            }
            Form::Image(_) => window::check_values(self.input),
            _ => layer::check_width(self.inputs()),
        }
        .map_err(|reason| format!("the input has {reason}"))?;
        let (nested, most) = (layer::nested(&self.layers), ResidualLayer::MOST_NESTED);
        if nested > most {
            return Err(format!("the network's residuals are nested {nested} deep: at most {most} are allowed"));
        }
        let count = layer::count(&self.layers);
        if count > layer::MOST_LAYERS {
            return Err(words::too_many(count));
        }
        self.list().check("")?;
        let Some(last) = self.layers.last() else {
            return Err("the network has no layers: add a dense layer, whose outputs are the logits".into());
        };
        let the_last = format!("the last layer, {} ({}),", layer::location("", self.layers.len() - 1), last.word());
        if !matches!(last.kind(), LayerKind::Dense(_)) {
            return Err(format!(
                "{the_last} is not dense: add a dense layer after it, with a unit for each class or number to predict; its outputs are the logits"
            ));
        }
        self.check_embeddings()?;
        self.check_ties(&the_last)?;
        self.check_embeds()?;
        if last.dropout() > 0.0 {
            return Err(format!(
                "{the_last} has a dropout of {}: leave it out, as the layer's outputs are the logits, which must all be there",
                last.dropout()
            ));
        }
        Ok(())
    }

    /// Why layers cannot have the embedding's table, if they cannot.
    /// Tokens are looked up in one table, whose vocabulary they are checked by.
    fn check_embeddings(&self) -> Result<(), String> {
        let mut embeddings = vec![];
        self.walk(&mut |located| {
            if matches!(located.layer.kind(), LayerKind::Embedding(_)) {
                embeddings.push(located.location);
            }
        });
        match &embeddings[..] {
            [first, second, ..] => Err(format!(
                "{second} is an embedding, as {first} is: a network has one, which looks up all its tokens"
            )),
            _ => Ok(()),
        }
    }

    fn check_ties(&self, the_last: &str) -> Result<(), String> {
        let (mut table, mut tied) = (None, vec![]);
        self.walk(&mut |located| match located.layer.kind() {
            LayerKind::Embedding(embedding) => table = table.or(Some((embedding.vocabulary, embedding.width))),
            LayerKind::Dense(dense) if dense.tied => {
                tied.push((located.location, dense.outputs, located.input.features()))
            }
            _ => {}
        });
        let Some((location, outputs, width)) = tied.pop() else { return Ok(()) };
        if !self.is_tied() || !tied.is_empty() {
            return Err(format!(
                "{location} is tied: only the last layer can have the embedding's table as its weights"
            ));
        }
        match table {
            Some(table) if table == (outputs, width) => Ok(()),
            Some((vocabulary, own)) => Err(format!(
                "{the_last} is tied, has {outputs} units and takes {width} values: the embedding has a vocabulary of {vocabulary} and a width of {own}, and both must agree"
            )),
            None => Err(format!("{the_last} is tied, and there is no embedding whose table it could have")),
        }
    }

    /// Why a layer cannot look up categories, if one cannot: it takes numbers that are no quantities, and only the rows of a set have these.
    fn check_embeds(&self) -> Result<(), String> {
        let mut late = None;
        self.walk(&mut |located| {
            let is_embed = matches!(located.layer.kind(), LayerKind::Embed(_));
            late = late.take().or((is_embed && located.location != layer::location("", 0)).then_some(located.location));
        });
        late.map_or(Ok(()), |location| {
            Err(format!(
                "{location} (embed) comes after other layers: only a network's first layer can look up the categories that a row's features are; list all of them there"
            ))
        })
    }

    /// The features that are categories, which its first layer looks up: none where it does not.
    pub(crate) fn embedded(&self) -> &[EmbeddedFeature] {
        match self.layers.first().map(Layer::kind) {
            Some(LayerKind::Embed(embed)) => &embed.features,
            _ => &[],
        }
    }

    /// Checks that the network's outputs are what a loss takes, once [`check`](Self::check) has passed: logits, or numbers of any activation.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a last layer with an activation, where the loss takes logits.
    pub(crate) fn check_outputs(&self, loss: &Loss) -> Result<(), Error> {
        let activation = self.layers.last().map_or(Activation::Identity, Layer::activation);
        if activation == Activation::Identity || loss.task() == Task::Numbers {
            return Ok(());
        }
        let location = layer::location("", self.layers.len().saturating_sub(1));
        Err(Error::Option(format!(
            "the last layer, {location} (dense), has the activation {activation}: it must be identity, which is that of a layer without one, as the loss \
             {} takes logits",
            loss.name()
        )))
    }
}
