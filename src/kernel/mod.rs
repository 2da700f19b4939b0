//! The kernels: one file here and one shader of the same name in `shaders/`.
//!
//! A kernel's function takes the sizes and choices it is compiled for and gives a [`Launch`]: the modules to link, the
//! constants, the bindings in order, the workgroups and the cost. Nothing here knows a device.

pub mod class_metrics;
pub mod close_step;
pub mod dense_backward;
pub mod dense_forward;
pub mod dense_update;
mod fuses;
pub mod gather;
pub mod gradient_norm;
pub mod head;
pub mod kept_update;
pub mod link;
pub mod merged;
pub mod muon;
pub mod probe;
pub mod regression_metrics;
pub mod row_loss;
pub mod team_head;
pub mod textbook;
pub mod tile;
pub mod tiling;

use std::fmt;

use self::tiling::Shape;
use crate::{Optimizer, Schedule};

/// The slots, listed once.
macro_rules! slots {
    ($($(#[$about:meta])* $slot:ident = $number:literal,)*) => {
        /// What a kernel binds, by role. A role has the same binding number in every shader.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Slot {
            $($(#[$about])* $slot = $number,)*
        }

        impl Slot {
            /// All of them.
            pub const ALL: &'static [Slot] = &[$(Slot::$slot),*];
        }
    };
}

slots! {
    /// A layer's input: the set, or the activations below.
    Input = 0,
    /// Targets of the whole set.
    Targets = 1,
    /// The set's row for each place in the minibatch.
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
    /// The same for the layer below.
    InputGradient = 8,
    /// Running sums of loss and correct predictions.
    Stats = 9,
    /// A weight for each output, in the loss.
    OutputWeights = 10,
    /// Gradient of the loss by a layer's weights, where it is kept.
    WeightGradient = 11,
    /// The sum of the squares of every layer's gradient, and how much of it is not finite.
    Norms = 12,
    /// Derivatives of a layer's activation, where its output alone does not tell them.
    Derivatives = 13,
    /// Muon's direction of a layer.
    Direction = 14,
    /// The same after one iteration more.
    NextDirection = 15,
    /// The direction's Gram matrix.
    Gram = 16,
    /// The polynomial of it that the direction is multiplied by.
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

/// Whether a kernel changes what it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    Write,
}

/// Work and traffic of one launch, counted from the method, not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
    /// The fewest bytes of storage that have to be read or written once.
    pub bytes: u64,
}

impl Cost {
    /// Floating-point operations for each byte, which says what bounds it.
    pub fn intensity(self) -> f64 {
        self.flops as f64 / self.bytes.max(1) as f64
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

/// One kernel made for given sizes: all that a device needs to run it, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel's name: its file here and in `shaders/`.
    pub kernel: &'static str,
    /// The variant, for people: the tile of a product, empty where there is one way only.
    pub variant: String,
    /// The module that holds the entry point `main`.
    pub root: &'static str,
    /// Fixed module names and the module of `shaders/` mounted there.
    pub mounts: Vec<(&'static str, &'static str)>,
    /// Modules that are text by name: `constants` and its like, and `user_…` for what a user wrote.
    pub constants: Vec<(&'static str, String)>,
    /// Flags for `@if(...)` that are on.
    pub flags: Vec<&'static str>,
    /// What is bound, and whether it is written.
    pub bindings: Vec<(Slot, Access)>,
    /// The kind of product that it is, where it is one that tiles are picked for.
    pub shape: Option<Shape>,
    /// The launches that this one is made of, where it is [`merged`].
    pub parts: Vec<Launch>,
    /// The sums of slices that it adds up or writes, where a product's reduction is cut.
    pub partials: Option<Partials>,
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// Workgroups of the whole launch.
    pub workgroups: u32,
    /// What it takes.
    pub cost: Cost,
}

/// Sums of the slices of a product's reduction.
#[derive(Clone, Debug, PartialEq)]
pub struct Partials {
    /// How many slices, and the product's rows and columns, padding included.
    pub shape: [u32; 3],
    /// The launch that has to write them first, in the launch that adds them up.
    pub written_by: Option<Box<Launch>>,
}

impl Launch {
    /// What the compiled kernel is made of: launches that agree in it run the same one.
    pub(crate) fn identity(&self) -> String {
        let own = format!("{:?}", (self.root, &self.mounts, &self.constants, &self.flags, &self.bindings));
        self.parts.iter().fold(own, |text, part| text + &part.identity())
    }

    /// What is bound, with the binding's number in the shader.
    pub(crate) fn numbered_bindings(&self) -> Vec<(u32, Slot, Access)> {
        if self.parts.is_empty() {
            self.bindings.iter().map(|&(slot, access)| (slot as u32, slot, access)).collect()
        } else {
            merged::numbered(&self.parts).collect()
        }
    }

    /// Whether nothing in it was written by a user, so that it may run unchecked.
    pub(crate) fn is_our_own(&self) -> bool {
        !self.constants.iter().any(|(name, _)| name.starts_with("user_")) && self.parts.iter().all(Launch::is_our_own)
    }

    /// The workgroups as a grid whose sides stay under `limit` (65,535 in WebGPU). The kernels number workgroups row by
    /// row and those past the last do nothing.
    pub fn grid(&self, limit: u32) -> [u32; 2] {
        grid(self.workgroups, limit)
    }
}

/// See [`Launch::grid`].
pub(crate) fn grid(workgroups: u32, limit: u32) -> [u32; 2] {
    let rows = workgroups.div_ceil(limit).max(1);
    [workgroups.div_ceil(rows), rows]
}

/// Where a layer's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Rows of a set of u8 features.
    SetU8,
    /// Rows of a set of f16 features.
    SetF16,
    /// Rows of a set of f32 features.
    SetF32,
    /// What the layer below wrote.
    Activations,
}

impl Input {
    fn module(self) -> &'static str {
        match self {
            Input::SetU8 => "input/set_u8",
            Input::SetF16 => "input/set_f16",
            Input::SetF32 => "input/set_f32",
            Input::Activations => "input/activations",
        }
    }

    /// Bytes of four features in device memory.
    pub fn quad_bytes(self) -> u64 {
        match self {
            Input::SetU8 => 4,
            Input::SetF16 => 8,
            Input::SetF32 | Input::Activations => 16,
        }
    }

    /// The bindings of a kernel that computes which row it visits.
    fn visiting(self) -> Vec<(Slot, Access)> {
        match self {
            Input::Activations => vec![(Slot::Input, Access::Read)],
            _ => vec![(Slot::Input, Access::Read), (Slot::State, Access::Write)],
        }
    }
}

/// What a row should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A class index a row.
    Classes,
    /// A value for every output of a row.
    Values,
}

/// The form that a set's targets have on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Targets {
    /// What a row should be.
    pub kind: TargetKind,
    /// Whether every row has a weight of its own.
    pub sample_weights: bool,
    /// Bits of a class index: 8, 16 or 32, and 32 beside a weight. All of them set in 8 or 16 is a row that the loss ignores.
    pub label_bits: u32,
}

impl Targets {
    /// Class indices of 32 bits, all rows alike.
    pub const CLASSES: Targets = Targets { kind: TargetKind::Classes, sample_weights: false, label_bits: 32 };

    /// Class indices of as few bits as so many classes ask for, where no weight lies beside them.
    pub fn for_classes(self, classes: usize) -> Self {
        let label_bits = match classes {
            _ if self.kind == TargetKind::Values || self.sample_weights => 32,
            0..=0xff => 8,
            0x100..=0xffff => 16,
            _ => 32,
        };
        Targets { label_bits, ..self }
    }

    fn module(self) -> &'static str {
        match self.kind {
            TargetKind::Classes => "target/classes",
            TargetKind::Values => "target/values",
        }
    }

    /// Bits of one row's targets, for so many outputs, its weight included.
    pub fn row_bits(self, outputs: u32) -> u64 {
        match self.kind {
            TargetKind::Classes => u64::from(self.label_bits) + 32 * u64::from(self.sample_weights),
            TargetKind::Values => 32 * u64::from(outputs.next_multiple_of(4) + 4 * u32::from(self.sample_weights)),
        }
    }

    /// Words of a set's targets.
    pub fn words(self, rows: u64, outputs: u32) -> u64 {
        (rows * self.row_bits(outputs)).div_ceil(32)
    }
}

/// What a training step is besides the network and the loss.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// How weights follow their gradients.
    pub optimizer: &'a Optimizer,
    /// How the learning rate changes.
    pub schedule: &'a Schedule,
    /// How gradients are clipped.
    pub clip: Option<Clip>,
    /// Whether a step changes nothing where any gradient is not finite.
    pub skips_non_finite: bool,
}

impl Training<'_> {
    /// Whether every gradient has to be known before the first weight is updated.
    pub fn keeps_gradient(self) -> bool {
        self.skips_non_finite || matches!(self.clip, Some(Clip::Norm(_)))
    }

    /// How gradients are clipped, and whether steps are skipped: flags, and the constants of module `clipped`.
    fn clip_parts(self) -> (Vec<&'static str>, (&'static str, String)) {
        let (mut flags, constants) = match self.clip {
            Some(Clip::Norm(norm)) => (vec!["clips_norm"], Constants::new().f32("MAX_NORM", norm)),
            Some(Clip::Value(value)) => (vec!["clips_value"], Constants::new().f32("MAX_VALUE", value)),
            None => (vec![], Constants::new()),
        };
        if self.skips_non_finite {
            flags.push("skips");
        }
        (flags, ("clip_constants", constants.text()))
    }

    /// The modules, constants and flags of a kernel that updates weights.
    fn update_parts(self) -> UpdateParts {
        let (clip_flags, clip_constants) = self.clip_parts();
        let own = [("optimizer_constants", self.optimizer.constants().text()), clip_constants];
        UpdateParts {
            mount: ("optimizer", self.optimizer.module()),
            constants: own.into_iter().chain(self.optimizer.own_text()).collect(),
            flags: [self.optimizer.flags(), clip_flags].concat(),
        }
    }
}

/// See [`Training::update_parts`].
struct UpdateParts {
    mount: (&'static str, &'static str),
    constants: Vec<(&'static str, String)>,
    flags: Vec<&'static str>,
}

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// All together are scaled down to this norm: `torch.nn.utils.clip_grad_norm_`.
    Norm(f64),
    /// Each is cut off at this value and its negative: `torch.nn.utils.clip_grad_value_`.
    Value(f64),
}

/// The sizes of one dense layer in one minibatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Rows of a minibatch.
    pub batch: u32,
    /// Features that come in.
    pub inputs: u32,
    /// Units that go out.
    pub outputs: u32,
}

impl Dense {
    /// Quads (groups of four) in a row of the input: its features and the 1 that the bias is multiplied by.
    pub fn x_quads(self) -> u32 {
        quads_with_one(self.inputs)
    }

    /// Quads in a row of the weights.
    pub fn out_quads(self) -> u32 {
        self.outputs.div_ceil(4)
    }

    /// Quads in a row of the output as the next layer reads it.
    pub fn y_quads(self) -> u32 {
        quads_with_one(self.outputs)
    }

    /// Groups of four rows in a minibatch.
    pub fn batch_blocks(self) -> u32 {
        self.batch.div_ceil(4)
    }

    /// Shape of the weights in device memory: `[inputs and bias, outputs]`, both rounded up to multiples of four.
    pub fn weights_shape(self) -> [u32; 2] {
        [4 * self.x_quads(), 4 * self.out_quads()]
    }

    /// Multiply-adds of one product of this layer, as floating-point operations.
    fn flops(self) -> u64 {
        2 * u64::from(self.batch) * u64::from(self.inputs + 1) * u64::from(self.outputs)
    }

    /// Quads of the weights, padding included.
    pub fn weight_quads(self) -> u32 {
        4 * self.x_quads() * self.out_quads()
    }

    fn weights_bytes(self) -> u64 {
        let [rows, columns] = self.weights_shape();
        4 * u64::from(rows) * u64::from(columns)
    }

    fn input_bytes(self, input: Input) -> u64 {
        u64::from(self.batch) * u64::from(self.x_quads()) * input.quad_bytes()
    }

    fn output_bytes(self) -> u64 {
        16 * u64::from(self.batch) * u64::from(self.out_quads())
    }
}

/// Quads in a row of `features` values followed by a 1.
pub fn quads_with_one(features: u32) -> u32 {
    features / 4 + 1
}

/// The text of a module of `const`s.
pub(crate) struct Constants(String);

impl Constants {
    pub(crate) fn new() -> Self {
        Constants(String::new())
    }

    pub(crate) fn u32(mut self, name: &str, value: u32) -> Self {
        self.line(name, format_args!("{value}u"));
        self
    }

    /// The nearest f32, written so that it is read back to the bit.
    pub(crate) fn f32(mut self, name: &str, value: f64) -> Self {
        self.line(name, format_args!("{:e}f", value as f32));
        self
    }

    fn line(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.0.push_str(&format!("const {name} = {value};\n"));
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}
