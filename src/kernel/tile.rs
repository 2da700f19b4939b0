//! How a matrix product is cut up for the device: the shader in `shaders/tile/` and its sizes.
//!
//! Every product here is C = A·B over blocks of 4 × 4; a *product* (dense_forward, dense_backward, dense_update) says
//! where blocks come from and go to, a *tile* which invocation computes which. Any product runs under any tile.

use std::fmt;

use super::input::Input;

/// Blocks of 4 × 4 in a product's rows, columns and reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blocks {
    /// Of the output's rows.
    pub m: u32,
    /// Of the output's columns.
    pub n: u32,
    /// Of the sum.
    pub k: u32,
}

/// One way to cut a product up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// One block an invocation, written plainly: the reference that the others are checked against.
    Naive,
    /// `m × n` blocks an invocation in registers, no barrier.
    Register {
        /// Blocks down.
        m: u32,
        /// Blocks across.
        n: u32,
    },
    /// `m × n` blocks an invocation, the rows shared by a subgroup whose `lanes` cover columns.
    Subgroup {
        /// Invocations in a subgroup; 4, 8 or 16.
        lanes: u32,
        /// Blocks down.
        m: u32,
        /// Blocks across, of each lane.
        n: u32,
        /// Whether four values are loaded as two words of 64 bits.
        words_64: bool,
    },
    /// A workgroup of `side × side` invocations, one block each, fed through shared memory.
    Workgroup {
        /// Invocations and blocks along each side; even.
        side: u32,
    },
    /// Teams of `rows × columns` invocations, `m × n` blocks each, fed through two buffers of shared memory that alternate. The teams of a workgroup share
    /// the reduction.
    Buffered {
        /// Invocations down.
        rows: u32,
        /// Invocations across.
        columns: u32,
        /// Blocks down, of each invocation.
        m: u32,
        /// Blocks across, of each invocation.
        n: u32,
        /// Teams in a workgroup, each with a part of the reduction.
        teams: u32,
        /// Slices that the reduction is cut into, each a workgroup's; more than one takes a second launch, which adds them up.
        slices: u32,
    },
}

/// The register tiles. Adapters with subgroups may have them picked too, though no driver that was measured is faster with them (benches/REJECTED.md).
const REGISTER: [Tile; 5] = [register(1, 1), register(2, 1), register(2, 2), register(4, 1), register(4, 2)];

const fn register(m: u32, n: u32) -> Tile {
    Tile::Register { m, n }
}

/// The buffered tiles, the largest first. Each has a name of its own.
const BUFFERED: [Tile; 8] = [
    buffered((16, 16), (2, 2)),
    buffered((16, 8), (2, 2)),
    buffered((8, 8), (2, 2)),
    buffered((8, 8), (2, 1)),
    buffered((8, 8), (1, 2)),
    buffered((8, 8), (1, 1)),
    buffered((16, 4), (1, 1)),
    buffered((4, 16), (1, 1)),
];

/// The buffered tiles of several teams, the larger first.
const OF_TEAMS: [Tile; 2] = [of_teams((8, 8), 4), of_teams((4, 4), 16)];

const fn buffered((rows, columns): (u32, u32), (m, n): (u32, u32)) -> Tile {
    Tile::Buffered { rows, columns, m, n, teams: 1, slices: 1 }
}

const fn of_teams((rows, columns): (u32, u32), teams: u32) -> Tile {
    Tile::Buffered { rows, columns, m: 1, n: 1, teams, slices: 1 }
}

/// Shared memory that every WebGPU adapter has for a workgroup, in quads: 16 KiB.
const SHARED_QUADS: u32 = 1024;

/// Workgroups that fill a chip: a large GPU has some 100 to 150 cores.
const FULL: u32 = 128;

/// Blocks of a reduction that is worth a second launch to cut: 2,048 values, or 128 to 256 iterations. As rules are for kinds of
/// products, whose blocks are powers of two, that is more than 1,024 values.
const LONG: u32 = 512;

/// Workgroups that keep the cores of a CPU busy, each of which runs one at a time.
const BUSY: u32 = 64;

/// The most blocks of a reduction that an invocation goes over. llvmpipe, Mesa's software driver, ends an invocation's loops without a word after 65,535
/// iterations of all of them together, and a product that divides by the sum of the rows' weights goes over these too.
const LONGEST: u32 = 7_500;

/// Blocks of a reduction that is worth sharing between teams: 256 values, or four iterations for each of sixteen teams.
const SHARED: u32 = 64;

/// The slices that a reduction may be cut into.
const SLICES: [u32; 3] = [16, 8, 4];

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tile::Naive => write!(f, "naive"),
            Tile::Register { m, n } => write!(f, "register {}×{}", 4 * m, 4 * n),
            Tile::Subgroup { lanes, m, n, .. } => write!(f, "subgroup {}×{}", 4 * m, 4 * lanes * n),
            Tile::Workgroup { side } => write!(f, "workgroup {0}×{0}", 4 * side),
            Tile::Buffered { rows, columns, m, n, teams, slices } => {
                write!(f, "buffered {}×{}", 4 * rows * m, 4 * columns * n)?;
                if *teams > 1 {
                    write!(f, " of {teams} teams")?;
                }
                if *slices > 1 { write!(f, " in {slices}") } else { Ok(()) }
            }
        }
    }
}

impl Tile {
    /// Blocks in it.
    pub fn area(self) -> u32 {
        match self {
            Tile::Naive => 1,
            Tile::Register { m, n } => m * n,
            Tile::Subgroup { lanes, m, n, .. } => m * n * lanes,
            Tile::Workgroup { side } => side * side,
            Tile::Buffered { rows, columns, m, n, .. } => rows * m * columns * n,
        }
    }

    /// Blocks of the reduction in one iteration of a buffered tile: an invocation brings about four vectors, and all buffers fit.
    pub(super) fn depth(self) -> u32 {
        let Tile::Buffered { rows, columns, m, n, teams, .. } = self else { return 1 };
        let edges = rows * m + columns * n;
        let fits = |depth: &u32| depth * edges <= rows * columns && 8 * depth * edges * teams <= SHARED_QUADS;
        [4, 2].into_iter().find(fits).unwrap_or(1)
    }

    /// Vectors of shared memory that a buffered tile leaves free after each step's of A, so that those written together are in different banks: where they fit.
    pub(super) fn padding(self) -> u32 {
        let Tile::Buffered { rows, columns, m, n, teams, .. } = self else { return 0 };
        u32::from(8 * self.depth() * (rows * m + columns * n + 1) * teams <= SHARED_QUADS)
    }

    /// Quads of shared memory.
    pub(super) fn shared_quads(self) -> Option<u32> {
        match self {
            Tile::Workgroup { side } => Some(4 * side * side),
            Tile::Buffered { rows, columns, m, n, teams, .. } => {
                Some(8 * self.depth() * (rows * m + columns * n + self.padding()) * teams)
            }
            _ => None,
        }
    }

    /// Bytes of shared memory that a workgroup takes.
    pub fn shared_bytes(self) -> u32 {
        16 * self.shared_quads().unwrap_or(0)
    }

    /// Slices that it cuts the reduction into, where it says so itself: a buffered one does.
    pub fn slices(self) -> u32 {
        if let Tile::Buffered { slices, .. } = self { slices } else { 1 }
    }

    /// Slices that the reduction of a product of these blocks is cut into under it: as many as a tile with shared memory says. Without shared memory that follows
    /// from the blocks. A reduction of more than four times `LONG` blocks is cut into as many as make `BUSY` workgroups and have `LONG` blocks each; and
    /// every one so that none has more than `LONGEST`.
    pub fn slices_of(self, blocks: Blocks) -> u32 {
        match self {
            Tile::Naive | Tile::Register { .. } | Tile::Subgroup { .. } => {
                let useful = (BUSY / self.workgroups(blocks)).min(blocks.k / LONG);
                let useful = if blocks.k > 4 * LONG { useful } else { 1 };
                useful.max(blocks.k.div_ceil(LONGEST))
            }
            Tile::Workgroup { .. } | Tile::Buffered { .. } => self.slices(),
        }
    }

    /// Workgroups that cover a product under a tile without shared memory; each slice takes as many.
    pub(super) fn workgroups(self, Blocks { m, n, .. }: Blocks) -> u32 {
        match self {
            Tile::Naive => (m * n).div_ceil(self.workgroup()),
            Tile::Register { m: tile_m, n: tile_n } => {
                (m.div_ceil(tile_m) * n.div_ceil(tile_n)).div_ceil(self.workgroup())
            }
            Tile::Subgroup { lanes, m: tile_m, n: tile_n, .. } => m.div_ceil(tile_m) * n.div_ceil(lanes * tile_n),
            Tile::Workgroup { side } => m.div_ceil(side) * n.div_ceil(side),
            Tile::Buffered { .. } => self.tiles(Blocks { m, n, k: 1 }),
        }
    }

    /// The tile with its reduction cut into `slices`; unchanged where it is not a buffered one.
    #[must_use]
    pub fn sliced(self, slices: u32) -> Tile {
        match self {
            Tile::Buffered { rows, columns, m, n, teams, .. } => Tile::Buffered { rows, columns, m, n, teams, slices },
            other => other,
        }
    }

    /// How many buffered tiles cover a product, each slice of which takes as many.
    pub(super) fn tiles(self, blocks: Blocks) -> u32 {
        let Tile::Buffered { rows, columns, m, n, .. } = self else { return 1 };
        blocks.m.div_ceil(rows * m) * blocks.n.div_ceil(columns * n)
    }

    /// Whether a product of these blocks may be cut into slices: its reduction is long, and its tiles fill less than a quarter of a chip.
    fn may_slice(self, blocks: Blocks) -> bool {
        blocks.k >= LONG && self.tiles(blocks) < FULL / 4
    }

    /// Whether the teams of a workgroup may share the reduction of a product of these blocks: each has some iterations, a chip has room for all, and it is not so long that
    /// slices share it.
    fn may_share(self, blocks: Blocks) -> bool {
        (SHARED..LONG).contains(&blocks.k) && self.tiles(blocks) <= FULL
    }

    /// Whether most of the tile lies inside a product of these blocks.
    pub fn suits(self, blocks: Blocks) -> bool {
        match self {
            Tile::Naive => true,
            Tile::Register { m, n } => m <= blocks.m && n <= blocks.n,
            Tile::Subgroup { m, n, lanes, .. } => m <= blocks.m && (n == 1 || n * lanes <= blocks.n),
            Tile::Workgroup { side } => side <= 2 * blocks.m.max(blocks.n),
            Tile::Buffered { teams, slices, .. } => {
                let fills = slices == 1 || self.may_slice(blocks) && slices * self.tiles(blocks) <= FULL;
                fills && self.is_tight(blocks) && (teams == 1 || self.may_share(blocks))
            }
        }
    }

    /// Whether an invocation holds at most this number of blocks of sums, where it shares what it multiplies with others. Patches lie by rows in shared memory, four steps
    /// of the reduction each, which takes registers too: for more than two blocks Mesa's compiler for AMD took 168 registers instead of 128, and where the compiler has
    /// few, half as many blocks are left.
    pub(crate) fn holds_at_most(self, blocks: u32, input: Input) -> bool {
        match self {
            Tile::Subgroup { m, n, .. } => m * n <= blocks,
            Tile::Buffered { m, n, .. } if input == Input::Patches => m * n <= (blocks / 2).clamp(1, 2),
            Tile::Buffered { m, n, .. } => m * n <= blocks,
            Tile::Naive | Tile::Register { .. } | Tile::Workgroup { .. } => true,
        }
    }

    /// Whether launches under both can be merged: the same entry point, and workgroups of the same size.
    pub fn is_like(self, other: Tile) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other) && self.workgroup() == other.workgroup()
    }

    /// Invocations in a workgroup.
    pub fn workgroup(self) -> u32 {
        match self {
            Tile::Naive | Tile::Register { .. } => 8,
            Tile::Subgroup { lanes, .. } => lanes,
            Tile::Workgroup { side } => side * side,
            Tile::Buffered { rows, columns, teams, .. } => rows * columns * teams,
        }
    }

    /// Rows of a block that an update has on their way at once: a GPU waits long for memory, but has fewer registers to spare under a larger tile:
    /// four rows took Mesa's compiler for NVIDIA 160 of them under 64 × 32, and two 104.
    pub(super) fn rows_at_once(self) -> u32 {
        match self {
            Tile::Buffered { m, n, .. } if m * n > 1 => 2,
            Tile::Buffered { .. } | Tile::Workgroup { .. } => 4,
            Tile::Naive | Tile::Register { .. } | Tile::Subgroup { .. } => 1,
        }
    }

    /// Whether a buffered tile covers at most a quarter more blocks than the buffered tile that covers the fewest.
    fn is_tight(self, blocks: Blocks) -> bool {
        let covered = |tile: Tile| u64::from(tile.tiles(blocks)) * u64::from(tile.area());
        let least = BUFFERED.map(covered).into_iter().min().unwrap_or(0);
        4 * covered(self) <= 5 * least
    }
}

/// The kind of adapter that tiles are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A CPU that interprets a subgroup as one SIMD vector (lavapipe, SwiftShader, WARP).
    Software,
    /// A CPU whose subgroups all have the same number of lanes (4, 8 or 16), which can pass values between them.
    Subgroups {
        /// Invocations in a subgroup.
        lanes: u32,
        /// Whether the adapter has words of 64 bits.
        words_64: bool,
    },
    /// A GPU with shared memory and thousands of invocations in flight.
    Hardware,
    /// No adapter in particular: the plain reference kernels.
    Reference,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Family::Software => write!(f, "software"),
            Family::Subgroups { lanes, words_64: false } => write!(f, "software, {lanes} lanes"),
            Family::Subgroups { lanes, words_64: true } => write!(f, "software, {lanes} lanes, words of 64 bits"),
            Family::Hardware => write!(f, "hardware"),
            Family::Reference => write!(f, "reference"),
        }
    }
}

impl Family {
    /// The tile for a product.
    ///
    /// Software: the largest tile that still makes 64 invocations, or eight subgroups, slices of a long reduction included.
    ///
    /// Hardware: a larger tile reads memory less often (128 × 128 half as often as 64 × 64), as long as there is one for every core,
    /// and little of it lies outside the product. So it is the largest of the tight ones that makes more than half of `FULL`
    /// workgroups, slices included; else, where the reduction is worth sharing, the one of teams
    /// that fills a chip so or makes most; else the tight one that makes most. A long reduction over a small result is cut into
    /// as many slices as that leaves room for: a product of 32 × 256 over 8,192 values is eight tiles of 32 × 32, with a core each and
    /// 512 iterations; in sixteen slices it is 128 workgroups with 32 iterations. That costs a dispatch, some
    /// microseconds, and the partial sums' way to memory and back, of at most 128 tiles. So a step takes a dispatch more than it
    /// otherwise would for each such product, and one for the updates together; none up to 1,024 values.
    /// All this is reasoned, not measured: the tuner measures.
    pub fn tile(self, blocks: Blocks) -> Tile {
        self.tile_among(blocks, |_| true)
    }

    /// The tile by the same rule, among those that may be. One that holds a single block always may.
    pub(super) fn tile_among(self, blocks: Blocks, may_be: impl Fn(Tile) -> bool) -> Tile {
        // Where the reduction will be cut, small results take tiles as large as they are.
        let slices = if blocks.k > 4 * LONG { blocks.k / LONG } else { 1 };
        let is_inside = |m: u32| slices == 1 || m <= blocks.m;
        match self {
            Family::Reference => Tile::Naive,
            Family::Software => {
                let invocations = |&(m, n): &(u32, u32)| slices * blocks.m.div_ceil(m) * blocks.n.div_ceil(n);
                let fits = |tile: &(u32, u32)| is_inside(tile.0) && invocations(tile) >= 64;
                let (m, n) = [(4, 2), (2, 2), (2, 1)].into_iter().find(fits).unwrap_or((1, 1));
                register(m, n)
            }
            Family::Subgroups { lanes, words_64 } => {
                let subgroups = |m: &u32| slices * blocks.m.div_ceil(*m) * blocks.n.div_ceil(lanes);
                // Where most lanes have no column, the work is all loads: many small tiles, quickly compiled, unless there is so much of it that fewer loads
                // are worth more, as over the pixels of images.
                const MUCH: u32 = 4096;
                let idle = 2 * blocks.n <= lanes && slices == 1 && blocks.m < MUCH;
                let of = |m| Tile::Subgroup { lanes, m, n: 1, words_64 };
                let fits = |m: &u32| !idle && is_inside(*m) && subgroups(m) >= 8 && may_be(of(*m));
                of([8, 4, 2].into_iter().find(fits).unwrap_or(1))
            }
            Family::Hardware => {
                let sliced = |tile: Tile| {
                    let fits = |slices: &u32| slices * tile.tiles(blocks) <= FULL;
                    let slices = SLICES.into_iter().find(fits).filter(|_| tile.may_slice(blocks));
                    tile.sliced(slices.unwrap_or(1))
                };
                let tight = || BUFFERED.into_iter().filter(|&tile| tile.is_tight(blocks) && may_be(tile)).map(sliced);
                let workgroups = |tile: &Tile| tile.tiles(blocks) * tile.slices();
                // `rev`, because of equals the last is the largest: the first is wanted.
                let most = |tiles: Vec<Tile>| tiles.into_iter().rev().max_by_key(workgroups);
                // Of teams, equals are no better for being larger: more teams have less to do each.
                let most_of_teams = |tiles: Vec<Tile>| tiles.into_iter().max_by_key(workgroups);
                let fills = |tile: &Tile| 2 * workgroups(tile) > FULL;
                let shared = || OF_TEAMS.into_iter().filter(|tile| tile.suits(blocks));
                let of_teams = || shared().find(fills).or_else(|| most_of_teams(shared().collect()));
                tight().find(fills).or_else(of_teams).or_else(|| most(tight().collect())).unwrap_or(BUFFERED[5])
            }
        }
    }

    /// Every tile that may be picked on such an adapter: a new one is a row here, and its shader.
    pub fn variants(self) -> Vec<Tile> {
        let mut variants = match self {
            Family::Reference => vec![],
            Family::Software => REGISTER.to_vec(),
            Family::Subgroups { lanes, words_64 } => [(1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (2, 2), (4, 2)]
                .map(|(m, n)| Tile::Subgroup { lanes, m, n, words_64 })
                .into_iter()
                .chain(REGISTER)
                .collect(),
            Family::Hardware => {
                let sliced = |tile: Tile| std::iter::once(1).chain(SLICES).map(move |slices| tile.sliced(slices));
                let simple = [4, 8, 16].map(|side| Tile::Workgroup { side });
                BUFFERED.into_iter().flat_map(sliced).chain(OF_TEAMS).chain(simple).collect()
            }
        };
        variants.push(Tile::Naive);
        variants
    }

    /// The family whose products pass no blocks between lanes. Muon's products take its tiles: lavapipe compiles those of a network of
    /// 70-66-81-3 in 1.4 s so, and in 4.3 s under tiles of subgroups.
    pub fn without_subgroups(self) -> Family {
        if let Family::Subgroups { .. } = self { Family::Software } else { self }
    }

    /// Invocations in a workgroup of the kernels that go over weights: on a CPU one of its vectors, as lavapipe takes twice as long for one of 64.
    pub fn weights_workgroup(self) -> u32 {
        if self == Family::Hardware { 64 } else { 8 }
    }

    /// Invocations in a workgroup of the kernels that give each row one.
    pub fn row_workgroup(self) -> u32 {
        if self == Family::Hardware { 32 } else { 8 }
    }
}
