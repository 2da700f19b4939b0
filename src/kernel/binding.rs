//! What kernels bind, by role, and whether they write it.

/// The bindings, listed once.
macro_rules! bindings {
    ($($(#[$about:meta])* $binding:ident = $number:literal,)*) => {
        /// What a kernel binds, by role. A role has the same binding number in every shader.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Binding {
            $($(#[$about])* $binding = $number,)*
        }

        impl Binding {
            /// All of them.
            pub const ALL: &'static [Binding] = &[$(Binding::$binding),*];
        }
    };
}

bindings! {
    /// A layer's input: the set, or the activations below.
    Input = 0,
    /// Targets of the whole set.
    Targets = 1,
    /// The set's row of each sample in the minibatch.
    Visited = 2,
    /// A layer's weights, with the bias as their last row.
    Weights = 3,
    /// The optimizer's values beside each weight.
    OptimizerSlots = 4,
    /// The step state.
    State = 5,
    /// A layer's output.
    Output = 6,
    /// Gradient of the loss by a layer's output, before its activation.
    Gradient = 7,
    /// Gradient of the loss by the output of the layer below, before its activation.
    InputGradient = 8,
    /// Running sums of loss and correct predictions.
    Stats = 9,
    /// A weight for each output, in the loss.
    OutputWeights = 10,
    /// Gradient of the loss by a layer's weights, where it is kept.
    WeightGradient = 11,
    /// The sum of the squares of every layer's gradient, and how much of it is not finite.
    Norms = 12,
    /// Derivatives of a layer's activation, where they do not follow from its output.
    Derivatives = 13,
    /// Muon's direction of a layer.
    Direction = 14,
    /// Muon's direction of a layer, one iteration later.
    NextDirection = 15,
    /// The direction's Gram matrix.
    Gram = 16,
    /// The polynomial of the Gram matrix that the direction is multiplied by.
    GramPolynomial = 17,
    /// What evaluations count or sum besides the loss.
    Metrics = 18,
    /// A score for every row of the set.
    Scores = 19,
    /// Sums of a product's slices, where its reduction is cut.
    Partials = 20,
    /// A shift and a scale for each feature.
    Scaling = 21,
}

/// How a kernel uses what it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}
