//! What kernels bind, by role, and whether they write it.

/// The bindings, listed once.
macro_rules! bindings {
    ($($(#[$about:meta])* $binding:ident = $name:literal,)*) => {
        /// What a kernel binds, by role. Shaders declare it by its name, as `@binding(weights)`; linking gives it its number, which is its
        /// position among the launch's bindings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Binding {
            $($(#[$about])* $binding,)*
        }

        impl Binding {
            /// All of them.
            pub const ALL: &'static [Binding] = &[$(Binding::$binding),*];

            /// Its name in shaders.
            pub fn name(self) -> &'static str {
                match self {
                    $(Binding::$binding => $name,)*
                }
            }
        }
    };
}

bindings! {
    /// A layer's input: the set, or the activations below.
    Input = "input",
    /// Targets of the whole set.
    Targets = "targets",
    /// The set's row of each sample in the minibatch.
    Visited = "visited",
    /// A layer's weights, with the bias as their last row.
    Weights = "weights",
    /// The optimizer's values beside each weight.
    OptimizerSlots = "optimizer_slots",
    /// The step state.
    State = "state",
    /// A layer's output.
    Output = "output",
    /// Gradient of the loss by a layer's output, before its activation.
    Gradient = "gradient",
    /// Gradient of the loss by the output of the layer below, before its activation.
    InputGradient = "input_gradient",
    /// Running sums of loss and correct predictions.
    Stats = "stats",
    /// A weight for each output, in the loss.
    OutputWeights = "output_weights",
    /// Gradient of the loss by a layer's weights, where it is kept.
    WeightGradient = "weight_gradient",
    /// The sum of the squares of every layer's gradient, and how much of it is not finite.
    Norms = "norms",
    /// Derivatives of a layer's activation, where they do not follow from its output.
    Derivatives = "derivatives",
    /// Muon's direction of a layer.
    Direction = "direction",
    /// The Gram matrix of Muon's direction, or its polynomial: what a product of Muon's reads.
    Square = "square",
    /// The matrix that a product of Muon's stores: a Gram matrix, its polynomial, or the direction one iteration later.
    Product = "product",
    /// What evaluations count or sum besides the loss.
    Metrics = "metrics",
    /// A score for every row of the set.
    Scores = "scores",
    /// Sums of a product's slices, where its reduction is cut.
    Partials = "partials",
    /// A shift and a scale for each feature.
    Scaling = "scaling",
    /// The output of an earlier layer, which a residual connection adds.
    Residual = "residual",
    /// A gradient that is added to the one of the layer below: what another reader of its output contributes.
    OtherGradient = "other_gradient",
    /// The mean and 1/σ of each channel or row that a norm has a statistic of.
    Moments = "moments",
    /// Running mean and variance of a batch norm's channels, by which it norms them in an evaluation.
    Running = "running",
    /// What the input gradient of a batch norm is made with, for each channel: γ/σ, shift, slope, mean.
    Coefficients = "coefficients",
    /// The tokens of the minibatch, where a kernel has another input.
    Tokens = "tokens",
    /// Which slots of the minibatch have the same token.
    Links = "links",
    /// A vector for each place of a sequence.
    Positions = "positions",
    /// The keys and values of the places of a sequence that steps continue.
    Kept = "kept",
    /// Which tap of its window each output of a max pool is from: what its gradient goes back to.
    Winners = "winners",
    /// The sum of the gradients by a layer's weights over the parts of a minibatch.
    GradientSum = "gradient_sum",
    /// The sum of the weights of the rows in the parts of a minibatch that were done, and the share of the last one in it.
    Shares = "shares",
    /// Which strip of a step's rows a kernel goes over.
    Strip = "strip",
    /// The moving average of a layer's weights.
    Average = "average",
}

/// How a kernel uses what it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}
