//! How a matrix product is cut up for the device: the shader in `shaders/tile/` and its sizes.
//!
//! Every product here is C = A·B over blocks of 4 × 4; a *product* (dense_forward, dense_backward, dense_update) says
//! where blocks come from and go to, a *tile* who computes which. Any product runs under any tile.

use std::fmt;

use super::tiling::Shape;
use super::{Access, Constants, Cost, Input, Launch, Slot};

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
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tile::Naive => write!(f, "naive"),
            Tile::Register { m, n } => write!(f, "register {}×{}", 4 * m, 4 * n),
            Tile::Subgroup { lanes, m, n, .. } => write!(f, "subgroup {}×{}", 4 * m, 4 * lanes * n),
            Tile::Workgroup { side } => write!(f, "workgroup {0}×{0}", 4 * side),
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
        }
    }

    /// Whether it is not mostly outside a product of these blocks.
    pub fn suits(self, blocks: Blocks) -> bool {
        match self {
            Tile::Naive => true,
            Tile::Register { m, n } => m <= blocks.m && n <= blocks.n,
            Tile::Subgroup { m, n, lanes, .. } => m <= blocks.m && (n == 1 || n * lanes <= blocks.n),
            Tile::Workgroup { side } => side <= 2 * blocks.m.max(blocks.n),
        }
    }

    /// Invocations in a workgroup.
    pub fn workgroup(self) -> u32 {
        match self {
            Tile::Naive | Tile::Register { .. } => 8,
            Tile::Subgroup { lanes, .. } => lanes,
            Tile::Workgroup { side } => side * side,
        }
    }
}

/// The kind of adapter that tiles are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A CPU that interprets a subgroup as one SIMD vector (lavapipe, SwiftShader, WARP).
    Software,
    /// Such a CPU whose subgroups all have so many lanes (4, 8 or 16) and can pass values between them.
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
    /// Software: the largest tile that still makes 64 invocations, or eight subgroups. Hardware: 64 × 64 where the product
    /// fills it, else 32 × 32.
    pub fn tile(self, blocks: Blocks) -> Tile {
        match self {
            Family::Reference => Tile::Naive,
            Family::Software => {
                let invocations = |&(m, n): &(u32, u32)| blocks.m.div_ceil(m) * blocks.n.div_ceil(n);
                let (m, n) =
                    [(4, 2), (2, 2), (2, 1)].into_iter().find(|tile| invocations(tile) >= 64).unwrap_or((1, 1));
                Tile::Register { m, n }
            }
            Family::Subgroups { lanes, words_64 } => {
                let subgroups = |m: &u32| blocks.m.div_ceil(*m) * blocks.n.div_ceil(lanes);
                // Where most lanes have no column, the work is all loads: many small tiles, quickly compiled.
                let idle = 2 * blocks.n <= lanes;
                let m = [8, 4, 2].into_iter().find(|m| !idle && subgroups(m) >= 8).unwrap_or(1);
                Tile::Subgroup { lanes, m, n: 1, words_64 }
            }
            Family::Hardware => Tile::Workgroup { side: if blocks.m >= 16 && blocks.n >= 16 { 16 } else { 8 } },
        }
    }

    /// Every tile that may be picked on such an adapter: a new one is a row here, and its shader.
    pub fn variants(self) -> Vec<Tile> {
        let mut variants = match self {
            Family::Reference => vec![],
            Family::Software => [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2)].map(|(m, n)| Tile::Register { m, n }).to_vec(),
            Family::Subgroups { lanes, words_64 } => [(1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (2, 2), (4, 2)]
                .map(|(m, n)| Tile::Subgroup { lanes, m, n, words_64 })
                .to_vec(),
            Family::Hardware => [4, 8, 16].map(|side| Tile::Workgroup { side }).to_vec(),
        };
        variants.push(Tile::Naive);
        variants
    }

    /// The family for products that cannot pass their blocks between lanes.
    pub fn without_subgroups(self) -> Family {
        if let Family::Subgroups { .. } = self { Family::Software } else { self }
    }

    /// Invocations in a workgroup of the kernels that give each row one.
    pub fn row_workgroup(self) -> u32 {
        if self == Family::Hardware { 32 } else { 8 }
    }
}

/// A product to be launched under a tile.
pub(super) struct Product {
    pub kernel: &'static str,
    /// Where A comes from, where tiles are picked for it.
    pub input: Option<Input>,
    pub mounts: Vec<(&'static str, &'static str)>,
    pub constants: Constants,
    pub other_constants: Vec<(&'static str, String)>,
    pub flags: Vec<&'static str>,
    pub bindings: Vec<(Slot, Access)>,
    pub blocks: Blocks,
    pub cost: Cost,
}

impl Product {
    pub(super) fn launch(self, tile: Tile) -> Launch {
        let Blocks { m, n, .. } = self.blocks;
        let mut flags = self.flags;
        let (root, constants, workgroups) = match tile {
            Tile::Naive => ("tile/naive", self.constants.u32("WORKGROUP", 8), (m * n).div_ceil(8)),
            Tile::Register { m: tile_m, n: tile_n } => (
                "tile/register",
                self.constants.u32("WORKGROUP", 8).u32("TILE_M", tile_m).u32("TILE_N", tile_n),
                (m.div_ceil(tile_m) * n.div_ceil(tile_n)).div_ceil(8),
            ),
            Tile::Subgroup { lanes, m: tile_m, n: tile_n, words_64 } => {
                flags.extend(match lanes {
                    8 => Some("lanes_8"),
                    16 => Some("lanes_16"),
                    _ => None,
                });
                flags.extend(words_64.then_some("words_64"));
                (
                    "tile/subgroup",
                    self.constants.u32("LANES", lanes).u32("TILE_M", tile_m).u32("TILE_N", tile_n),
                    m.div_ceil(tile_m) * n.div_ceil(lanes * tile_n),
                )
            }
            Tile::Workgroup { side } => {
                ("tile/workgroup", self.constants.u32("SIDE", side), m.div_ceil(side) * n.div_ceil(side))
            }
        };
        let mut mounts = self.mounts;
        mounts.push(("product", self.kernel));
        let mut modules = self.other_constants;
        modules.push(("constants", constants.text()));
        Launch {
            kernel: self.kernel,
            variant: tile.to_string(),
            root,
            mounts,
            constants: modules,
            flags,
            bindings: self.bindings,
            shape: self.input.map(|input| Shape::of(self.kernel, input, self.blocks)),
            parts: vec![],
            workgroup: tile.workgroup(),
            workgroups,
            cost: self.cost,
        }
    }
}
