//! Vectors for the tokens of a minibatch and for their places, and their gradients.

use super::binding::{Access, Binding};
use super::composition::Part;
use super::dense_forward::activate;
use super::gather::Part as Rows;
use super::launch::{Cost, Launch};
use super::lists;
use super::map::Map;
use crate::activation::Epilogue;
use crate::constants::Constants;
use crate::layout::{Dense, TokenLayout, quads_with_one};

/// The most tokens of a minibatch, with what pads each row: an invocation may go over all of them, one an iteration, and llvmpipe, Mesa's software driver,
/// ends an invocation's loops without a word after 65,535 iterations of all of them together.
const MOST_SLOTS: u32 = 60_000;

/// The most tokens of a minibatch that is trained on. Under a `weighted_mean` half as many: an invocation goes over the weights of all places besides.
pub fn most_slots(weighted_mean: bool) -> u32 {
    if weighted_mean { MOST_SLOTS / 2 } else { MOST_SLOTS }
}

/// The tokens of a minibatch, and the vectors that they become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Rows of the minibatch.
    pub batch: u32,
    /// Tokens of a row.
    pub places: u32,
    /// Values of a vector.
    pub width: u32,
}

impl Tokens {
    /// Words of a row: its tokens, and what pads them.
    fn slots(self) -> u32 {
        4 * quads_with_one(self.places)
    }

    /// Rows that kernels go over.
    fn samples(self) -> u32 {
        self.batch.next_multiple_of(4)
    }

    /// Words of the whole minibatch.
    pub fn slots_in_all(self) -> u32 {
        self.samples() * self.slots()
    }

    fn quads(self) -> u32 {
        self.width.div_ceil(4)
    }

    /// Values of all vectors, without padding.
    fn values(self) -> u64 {
        u64::from(self.batch) * u64::from(self.places) * u64::from(self.width)
    }

    fn constants(self) -> Constants {
        Constants::new()
            .u32("BATCH", self.batch)
            .u32("PLACES", self.places)
            .u32("SLOTS", self.slots())
            .u32("SLOTS_IN_ALL", self.slots_in_all())
            .u32("OUT", self.width)
            .u32("OUT_QUADS", self.quads())
            .u32("Y_QUADS", self.quads())
    }

    /// A launch of an invocation for each of `count`.
    fn launch(self, root: &'static str, constants: Constants, count: u32, cost: Cost, workgroup: u32) -> Launch {
        Launch {
            kernel: root,
            variant: String::new(),
            root,
            mounts: vec![],
            constants: vec![("constants", constants.u32("WORKGROUP", workgroup).text())],
            flags: vec![],
            bindings: vec![],
            shape: None,
            parts: vec![],
            partials: None,
            workgroup,
            workgroups: count.div_ceil(workgroup),
            cost,
        }
    }
}

/// Reads one part of the set, writes those rows of the minibatch that are in it: [`Tokens::slots_in_all`] words.
pub fn gather(tokens: Tokens, layout: TokenLayout, part: Rows, workgroup: u32) -> Launch {
    let constants = tokens
        .constants()
        .u32("FIRST_ROW", part.first_row)
        .u32("ROWS", part.rows)
        .u32("SAMPLES", tokens.samples())
        .u32("STRIDE", layout.stride(tokens.places));
    let cost = Cost { flops: 0, bytes: (4 + u64::from(layout.bytes)) * u64::from(tokens.slots_in_all()) };
    let mut launch = tokens.launch("gather_tokens", constants, tokens.samples() * workgroup, cost, workgroup);
    launch.flags.extend(match layout.bytes {
        1 => Some("tokens_8"),
        2 => Some("tokens_16"),
        _ => None,
    });
    launch.bindings =
        vec![(Binding::Input, Access::Read), (Binding::State, Access::Write), (Binding::Output, Access::Write)];
    launch
}

/// What vectors are looked up by, or what they are added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// The vectors of tokens, of a vocabulary of this size: [`Binding::Input`] are tokens, [`Binding::Weights`] their vectors.
    Tokens(u32),
    /// A sequence that is there.
    Sequence,
}

/// Which place of a sequence a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Sequences follow each other, each from its first place on.
    Sequences,
    /// Rows are places of one sequence, from the one on that [`Binding::State`] has the number of. This many places have vectors.
    Continued(u32),
}

/// `y = activate(x)`, x the vectors of the tokens or a sequence; with the vectors of places added where it has `positions` ([`Binding::Positions`]), and as a map
/// does what follows.
pub fn forward(
    tokens: Tokens,
    begins: Begins,
    positions: Option<Positions>,
    (epilogue, adds, trains): (Epilogue, bool, Option<usize>),
    workgroup: u32,
) -> Launch {
    let (activate, flags, texts) = activate(epilogue, trains);
    let read = |binding| (binding, Access::Read);
    let places = positions.map(|positions| match positions {
        Positions::Sequences => Part::new("stage/add_positions", vec![read(Binding::Positions)]),
        Positions::Continued(_) => {
            let bindings = vec![read(Binding::Positions), (Binding::State, Access::Write)];
            Part::new("stage/add_continued_positions", bindings)
        }
    });
    let residual = adds.then(|| Part::new("stage/add_residual", vec![read(Binding::Residual)]));
    let bindings =
        |more: &[Binding]| [&[Binding::Input], more].concat().into_iter().map(|b| (b, Access::Read)).collect();
    let (source, vocabulary) = match begins {
        Begins::Tokens(vocabulary) => (Part::new("tokens/table", bindings(&[Binding::Weights])), vocabulary),
        Begins::Sequence => (Part::new("input/activations", bindings(&[])), 0),
    };
    let rows = tokens.samples() * tokens.places;
    let added = u64::from(positions.is_some()) + u64::from(adds);
    let mut constants = tokens.constants().u32("X_QUADS", tokens.quads()).u32("VOCABULARY", vocabulary);
    if let Some(Positions::Continued(length)) = positions {
        constants = constants.u32("LENGTH", length);
    }
    let cost = Cost { flops: added * tokens.values(), bytes: 4 * (2 + added) * tokens.values() };
    Map {
        kernel: if vocabulary > 0 { "embedding" } else { "positions" },
        source,
        stages: places.into_iter().chain(residual).chain([activate]).collect(),
        sink: Part::new("sink/image", vec![(Binding::Output, Access::Write)]),
        activation: epilogue,
        flags,
        texts,
        constants,
    }
    .launch(rows / 4, tokens.quads(), cost, workgroup)
}

/// Reads the tokens of the minibatch, [`Binding::Input`]; writes which of them are the same, [`Binding::Links`].
pub fn links(tokens: Tokens, vocabulary: u32, workgroup: u32) -> Launch {
    let constants = tokens.constants().u32("VOCABULARY", vocabulary);
    let slots = tokens.slots_in_all();
    let cost = Cost { flops: 0, bytes: 12 * u64::from(slots) };
    let mut launch = tokens.launch("tokens/links", constants, slots, cost, workgroup);
    launch.kernel = "token_links";
    launch.bindings = vec![(Binding::Input, Access::Read), (Binding::Links, Access::Write)];
    launch
}

/// Reads the gradient by the vectors of all places, [`Binding::Tokens`] and [`Binding::Links`]; writes [`Binding::WeightGradient`]. Where it `adds`, with what comes
/// by another layer that has the table, [`Binding::OtherGradient`]. A `weighted_mean` has the sum divided by the sum of the rows' weights, from [`Binding::Stats`].
pub fn gradient(tokens: Tokens, vocabulary: u32, adds: bool, weighted_mean: bool, workgroup: u32) -> Launch {
    let other = adds.then_some(Binding::OtherGradient);
    let of: Vec<Binding> = [Binding::Tokens, Binding::Links].into_iter().chain(other).collect();
    let mut launch = of_table("lists/gradient", tokens, vocabulary, &of, weighted_mean, workgroup);
    launch.mounts.push(("slots", "tokens/slots"));
    launch.flags.extend(adds.then_some("adds"));
    launch.kernel = "embedding_gradient";
    launch
}

/// The same by the vectors of places.
pub fn positions_gradient(tokens: Tokens, length: u32, weighted_mean: bool, workgroup: u32) -> Launch {
    let mut launch = of_table("tokens/positions_gradient", tokens, length, &[], weighted_mean, workgroup);
    launch.kernel = "positions_gradient";
    launch
}

/// The gradient by a table with a vector for each of `rows`.
fn of_table(
    root: &'static str,
    tokens: Tokens,
    rows: u32,
    reads: &[Binding],
    weighted_mean: bool,
    workgroup: u32,
) -> Launch {
    let m = Dense { batch: 1, inputs: rows, outputs: tokens.width }.x_quads();
    let constants = tokens.constants().u32("VOCABULARY", rows).u32("M", m);
    let bytes = 4 * tokens.values() + 16 * 4 * u64::from(m) * u64::from(tokens.quads());
    let launch = tokens.launch(root, constants, m * tokens.quads(), Cost { flops: tokens.values(), bytes }, workgroup);
    lists::summed(launch, reads, weighted_mean)
}
