//! The methods that add a layer to a network, one a kind.

use super::layer::{self, Layer};
use super::{
    ActivationLayer, AttentionLayer, AvgPoolLayer, BatchNormLayer, ConvLayer, DenseLayer, DropoutLayer, EmbedLayer,
    EmbeddedFeature, EmbeddingLayer, FlattenLayer, Form, GlobalAvgPoolLayer, GroupNormLayer, LayerKind, LayerNormLayer,
    MaxPoolLayer, Network, Pair, PositionsLayer, Refused, RepeatLayer, ResidualLayer, RmsNormLayer,
};
use crate::activation::Activation;

impl Network {
    /// Adds a dense layer of `outputs` units.
    #[must_use]
    pub fn dense(self, outputs: usize, activation: Activation) -> Self {
        self.with(Layer::new(DenseLayer::new(outputs)).with_activation(activation))
    }

    /// Adds a convolution to this many channels with a kernel of this many pixels down and across: [`ConvLayer`], which has options besides.
    #[must_use]
    pub fn conv(self, channels: usize, kernel: impl Into<Pair>, activation: Activation) -> Self {
        self.with(Layer::new(ConvLayer::new(channels, kernel)).with_activation(activation))
    }

    /// Adds the largest values of windows that lie side by side: [`MaxPoolLayer`], which has options besides.
    #[must_use]
    pub fn max_pool(self, window: impl Into<Pair>) -> Self {
        self.with(MaxPoolLayer::new(window).into())
    }

    /// Adds the means of windows that lie side by side: [`AvgPoolLayer`], which has options besides.
    #[must_use]
    pub fn avg_pool(self, window: impl Into<Pair>) -> Self {
        self.with(AvgPoolLayer::new(window).into())
    }

    /// Adds the mean of each channel over the whole image, which makes features of it: [`GlobalAvgPoolLayer`].
    #[must_use]
    pub fn global_avg_pool(self) -> Self {
        self.with(GlobalAvgPoolLayer::new().into())
    }

    /// Makes features of an image: [`FlattenLayer`].
    #[must_use]
    pub fn flatten(self) -> Self {
        self.with(FlattenLayer::new().into())
    }

    /// Adds vectors for features that are categories, which follow the features that are numbers: [`EmbedLayer`]. It is the network's first layer.
    ///
    /// ```
    /// use wgrad::{Activation, EmbeddedFeature, Network};
    ///
    /// // Five features: the fourth is one of 12 cities.
    /// let network = Network::new(5).embed([EmbeddedFeature::new(3, 12, 8)]).dense(2, Activation::Identity);
    /// assert_eq!(network.shape(), "5-12-2");
    /// assert_eq!(network.parameters(), 12 * 8 + 12 * 2 + 2);
    /// ```
    #[must_use]
    pub fn embed(self, features: impl IntoIterator<Item = EmbeddedFeature>) -> Self {
        self.with(EmbedLayer::new(features).into())
    }

    /// Adds vectors of `width` values for a vocabulary of this many tokens: [`EmbeddingLayer`].
    #[must_use]
    pub fn embedding(self, width: usize, vocabulary: usize) -> Self {
        self.with(EmbeddingLayer::new(width, vocabulary).into())
    }

    /// Adds a vector for each of at most `length` places of a sequence: [`PositionsLayer`].
    #[must_use]
    pub fn positions(self, length: usize) -> Self {
        self.with(PositionsLayer::new(length).into())
    }

    /// Adds attention of this many heads: [`AttentionLayer`], which has options besides.
    #[must_use]
    pub fn attention(self, heads: usize) -> Self {
        self.with(AttentionLayer::new(heads).into())
    }

    /// Adds batch norm: [`BatchNormLayer`], which has options besides.
    #[must_use]
    pub fn batch_norm(self) -> Self {
        self.with(BatchNormLayer::new().into())
    }

    /// Adds layer norm, of an image over the channels of each pixel: [`LayerNormLayer`].
    #[must_use]
    pub fn layer_norm(self) -> Self {
        self.with(LayerNormLayer::new().into())
    }

    /// Adds RMS norm, of an image over the channels of each pixel: [`RmsNormLayer`].
    #[must_use]
    pub fn rms_norm(self) -> Self {
        self.with(RmsNormLayer::new().into())
    }

    /// Adds the norm of this many groups of channels: [`GroupNormLayer`].
    #[must_use]
    pub fn group_norm(self, groups: usize) -> Self {
        self.with(GroupNormLayer::new(groups).into())
    }

    /// Adds layers that follow each other this many times, each time with weights of their own: [`RepeatLayer`].
    #[must_use]
    pub fn repeat(mut self, times: usize, layers: impl FnOnce(Network) -> Network) -> Self {
        let (input, location) = (self.list().output(), layer::location("", self.layers.len()));
        let copied = layers(Network::of_form(input, vec![]));
        let layers = self.part(&location, RepeatLayer::LAYERS, input, copied);
        self.with(RepeatLayer::new(times, layers).into())
    }

    /// Adds a residual sum: the output of a body of layers plus the body's input, `y = x + body(x)`. The body's last layer is as wide as its input. He et
    /// al., "Deep residual learning for image recognition", CVPR 2016.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    ///
    /// let network = Network::new(784)
    ///     .dense(128, Activation::Relu)
    ///     .residual(|body| body.dense(64, Activation::Relu).dense(128, Activation::Identity))
    ///     .activation(Activation::Relu)
    ///     .dense(10, Activation::Identity);
    /// assert!(network.check().is_ok());
    /// ```
    #[must_use]
    pub fn residual(self, body: impl FnOnce(Network) -> Network) -> Self {
        self.residual_with_shortcut(body, |input| input)
    }

    /// As [`residual`](Self::residual), with layers that the input goes through before it is added: `y = shortcut(x) + body(x)`. Both are as wide as each
    /// other.
    #[must_use]
    pub fn residual_with_shortcut(
        mut self,
        body: impl FnOnce(Network) -> Network,
        shortcut: impl FnOnce(Network) -> Network,
    ) -> Self {
        let (input, location) = (self.list().output().within(), layer::location("", self.layers.len()));
        let [body, shortcut] = [body(Network::of_form(input, vec![])), shortcut(Network::of_form(input, vec![]))];
        let [of_body, of_shortcut] = ResidualLayer::PARTS;
        let body = self.part(&location, of_body, input, body);
        let shortcut = self.part(&location, of_shortcut, input, shortcut);
        self.with(ResidualLayer::new(body).with_shortcut(shortcut).into())
    }

    /// The layers that a function added to a network with this input, for a list within the layer at a location. What is refused of them is refused of this
    /// network.
    fn part(&mut self, location: &str, name: &str, input: Form, part: Network) -> Vec<Layer> {
        let within = layer::within(location, name);
        self.refused = self.refused.take().or_else(|| match part.refused {
            _ if part.input != input => {
                let reason = format!(
                    "{}, and comes after {}: add its layers to the network that the function is given",
                    part.input.named("input"),
                    input.named("output")
                );
                Some(Refused { within, reason })
            }
            Some(refused) => Some(Refused { within: format!("{within}, {}", refused.within), ..refused }),
            None => None,
        });
        part.layers
    }

    /// Adds a layer.
    #[must_use]
    pub fn with(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets the activation of the layer added last: of a residual, the one after the sum. Before any layer, and after an activation or a dropout alone, it is a
    /// layer of its own.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        match self.layers.last_mut() {
            Some(layer) if !matches!(layer.kind(), LayerKind::Activation(_) | LayerKind::Dropout(_)) => {
                layer.epilogue.activation = activation;
                self
            }
            None if activation == Activation::Identity => self,
            _ => self.with(ActivationLayer::new(activation).into()),
        }
    }

    /// Lets units of the layer added last drop out with this probability in training: `torch.nn.Dropout` after it. Before any layer it is a layer of its own,
    /// and what comes in drops out. Evaluation and prediction use every unit.
    ///
    /// ```
    /// use wgrad::{Activation, Network};
    ///
    /// let network = Network::new(784).dense(256, Activation::Relu).dropout(0.2).dense(10, Activation::Identity);
    /// assert_eq!(network.layers()[0].dropout(), 0.2);
    /// ```
    #[must_use]
    pub fn dropout(mut self, probability: f64) -> Self {
        match self.layers.last_mut() {
            Some(layer) if matches!(layer.kind(), LayerKind::Dropout(_)) => {
                *layer = DropoutLayer::new(probability).into()
            }
            Some(layer) => layer.epilogue.dropout = probability,
            None if probability == 0.0 => {}
            None => return self.with(DropoutLayer::new(probability).into()),
        }
        self
    }
}
