//! Attention between the places of a sequence, head by head, and its gradient.
//!
//! An invocation has four places of a head on a CPU, and one on a GPU ([`Invocations`]). It goes over the other places four at a time; scores are in no
//! memory. Where places have d values a head, a step moves each of a head's queries, keys and values once a tile of its own places: the work is
//! 4 · places² · d of a head forward, and 14 back, of which causal attention skips half.

use super::binding::{Access, Binding};
use super::dense_forward::dropout_constants;
use super::launch::{Cost, Launch};
use super::tile::Family;
use crate::constants::Constants;

/// The sizes of an attention in one minibatch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Rows of a minibatch.
    pub batch: u32,
    /// Places of a row.
    pub places: u32,
    /// Values of a place.
    pub width: u32,
    /// Heads, which divide the width.
    pub heads: u32,
    /// Whether a place attends to none that come after it.
    pub causal: bool,
    /// The probability that a weight is left out, and what tells its masks from those of others; where it trains.
    pub dropout: Option<(f64, usize)>,
}

/// How an attention's places are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocations {
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// Places of an invocation: one or four. With four, a value that is loaded serves four. A GPU has too few registers for that: for heads of 32 values, Mesa's compiler for AMD
    /// asked for 580 where there are 256.
    pub places: u32,
}

impl Invocations {
    /// For such an adapter.
    pub fn of(family: Family) -> Self {
        Invocations { workgroup: family.row_workgroup(), places: if family == Family::Hardware { 1 } else { 4 } }
    }
}

impl Attention {
    /// Values of a head.
    fn head(self) -> u32 {
        self.width / self.heads
    }

    /// Samples that kernels go over.
    fn samples(self) -> u32 {
        self.batch.next_multiple_of(4)
    }

    /// Products of a value with another, in one of the matrices of all heads.
    fn products(self) -> u64 {
        let all = u64::from(self.batch) * u64::from(self.places).pow(2) * u64::from(self.width);
        if self.causal { all.div_ceil(2) } else { all }
    }

    /// Bytes of some values of every place.
    fn bytes(self, values: u32) -> u64 {
        4 * u64::from(self.batch) * u64::from(self.places) * u64::from(values)
    }

    fn launch(
        self,
        kernel: &'static str,
        root: &'static str,
        bindings: &[(Binding, Access)],
        cost: Cost,
        Invocations { workgroup, places }: Invocations,
    ) -> Launch {
        let head = self.head();
        let constants = Constants::new()
            .u32("BATCH", self.batch)
            .u32("SAMPLES", self.samples())
            .u32("PLACES", self.places)
            .u32("WIDTH", self.width)
            .u32("HEADS", self.heads)
            .u32("HEAD", head)
            .u32("HEAD_QUADS", head.div_ceil(4))
            .u32("PROJECTED_QUADS", (3 * self.width).div_ceil(4))
            .u32("Y_QUADS", self.width.div_ceil(4))
            .u32("OWN", places)
            .u32("WORKGROUP", workgroup);
        let (mut flags, mut dropout) = (vec![], Constants::new());
        flags.extend(self.causal.then_some("causal"));
        flags.extend((places > 1).then_some("holds_own"));
        flags.extend(head.is_multiple_of(4).then_some("whole_quads"));
        let mut bindings = bindings.to_vec();
        if let Some((probability, number)) = self.dropout {
            flags.push("drops_out");
            bindings.push((Binding::State, Access::Write));
            dropout = dropout_constants(probability, number);
        }
        let tiles = self.places.div_ceil(places);
        Launch {
            kernel,
            variant: String::new(),
            root,
            mounts: vec![],
            constants: vec![("constants", constants.text()), ("dropout_constants", dropout.text())],
            flags,
            bindings,
            shape: None,
            parts: vec![],
            partials: None,
            workgroup,
            workgroups: (self.samples() * self.heads * tiles).div_ceil(workgroup),
            cost,
        }
    }
}

/// Reads [`Binding::Input`], the queries, keys and values of every place side by side; writes [`Binding::Output`] and, where it `trains`, the logarithms of the sums of
/// exponentials, [`Binding::Moments`].
pub fn forward(attention: Attention, trains: bool, invocations: Invocations) -> Launch {
    let kept = trains.then_some((Binding::Moments, Access::Write));
    let bindings: Vec<_> =
        [(Binding::Input, Access::Read), (Binding::Output, Access::Write)].into_iter().chain(kept).collect();
    let cost = Cost { flops: 4 * attention.products(), bytes: attention.bytes(4 * attention.width) };
    let mut launch = attention.launch("attention_forward", "attention/forward", &bindings, cost, invocations);
    launch.flags.extend(trains.then_some("trains"));
    launch
}

/// The same for more places of one sequence: the rows of the minibatch, from the place on that [`Binding::State`] has the number of, which is a multiple of four. There
/// are [`places`](Attention::places) at most, whose keys and values [`Binding::Kept`] has up to those rows; it adds theirs.
pub fn continued(attention: Attention, invocations: Invocations) -> Launch {
    let bindings = [
        (Binding::Input, Access::Read),
        (Binding::State, Access::Write),
        (Binding::Kept, Access::Write),
        (Binding::Output, Access::Write),
    ];
    let [rows, places, width] = [attention.batch, attention.places, attention.width].map(u64::from);
    // As if it were the sequence's end.
    let cost = Cost { flops: 4 * rows * places * width, bytes: 4 * (6 * rows + 2 * places) * width };
    let mut launch = attention.launch("attention_continued", "attention/forward", &bindings, cost, invocations);
    launch.flags.push("continues");
    launch.workgroups = (attention.samples() / invocations.places * attention.heads).div_ceil(invocations.workgroup);
    launch
}

/// The gradient by queries, keys and values: two launches, which write the queries' part and then the others' of [`Binding::InputGradient`]. They read
/// [`Binding::Gradient`], [`Binding::Input`], [`Binding::Output`] and [`Binding::Moments`], as [`forward`] left them; the first also writes
/// [`Binding::Coefficients`], which the second reads.
pub fn backward(attention: Attention, invocations: Invocations) -> [Launch; 2] {
    let read = [Binding::Gradient, Binding::Input, Binding::Moments].map(|binding| (binding, Access::Read));
    let written = (Binding::InputGradient, Access::Write);
    let of_queries = [(Binding::Output, Access::Read), (Binding::Coefficients, Access::Write), written];
    let of_keys = [(Binding::Coefficients, Access::Read), written];
    let launch = |root, own: &[(Binding, Access)], operations, values| {
        let cost = Cost { flops: operations * attention.products(), bytes: attention.bytes(values * attention.width) };
        attention.launch("attention_backward", root, &[&read, own].concat(), cost, invocations)
    };
    [launch("attention/queries", &of_queries, 6, 6), launch("attention/keys", &of_keys, 8, 6)]
}
