//! A product of blocks, launched under a tile.

use super::binding::{Access, Binding};
use super::composition::{Composition, each_once};
use super::input::Input;
use super::launch::{Cost, Launch, Partials};
use super::shape::Shape;
use super::tile::{Blocks, Tile};
use crate::constants::Constants;

/// A product to be launched under a tile.
pub(super) struct Product {
    pub kernel: &'static str,
    /// Where A comes from, where tiles are picked for it.
    pub input: Option<Input>,
    pub mounts: Vec<(&'static str, &'static str)>,
    pub constants: Constants,
    pub other_constants: Vec<(&'static str, String)>,
    pub flags: Vec<&'static str>,
    pub blocks: Blocks,
    pub composition: Composition,
    pub cost: Cost,
}

impl Product {
    /// The product as one launch; or as two, where its reduction is cut into slices under the tile.
    pub(super) fn launch(mut self, tile: Tile) -> Launch {
        self.constants = self.constants.u32("ROWS_AT_ONCE", tile.rows_at_once());
        let (mut operands, epilogue) = (self.composition.operand_bindings(), self.composition.epilogue_bindings());
        let slices = tile.slices_of(self.blocks);
        if slices == 1 {
            return self.under(tile, each_once([&operands, &epilogue]));
        }
        // As large as the products' beside it, where these are a CPU's vectors: they are merged into one launch.
        let workgroup = if tile.shared_quads().is_none() { tile.workgroup() } else { 64 };
        let Blocks { m, n, k } = self.blocks;
        let shape = [slices, 4 * m, 4 * n];
        let sums = u64::from(slices) * 16 * u64::from(m) * u64::from(n);
        let sum_constants = self.constants.clone().u32("SLICES", slices).u32("WORKGROUP", workgroup).text();
        operands.push((Binding::Partials, Access::Write));
        let mut first = self.under(tile, operands);
        let mut last = first.clone();
        first.flags.push("splits");
        if tile.slices() == 1 {
            first = sliced(first, tile, slices, k.div_ceil(slices));
        }
        first.cost.bytes += 4 * sums;
        first.partials = Some(Partials { shape, written_by: None });

        last.root = "tile/sum_of_slices";
        last.bindings = [vec![(Binding::Partials, Access::Read)], epilogue].concat();
        last.constants.retain(|(name, _)| *name != "memory");
        for (_, text) in last.constants.iter_mut().filter(|(name, _)| *name == "constants") {
            text.clone_from(&sum_constants);
        }
        last.workgroup = workgroup;
        last.workgroups = (m * n).div_ceil(workgroup);
        last.cost = Cost { flops: sums, bytes: 4 * sums };
        last.partials = Some(Partials { shape, written_by: Some(Box::new(first)) });
        last
    }

    /// The launch of a tile's own shader.
    fn under(self, tile: Tile, bindings: Vec<(Binding, Access)>) -> Launch {
        let mut flags = self.flags;
        let (root, constants) = match tile {
            Tile::Naive => ("tile/naive", self.constants.u32("WORKGROUP", 8)),
            Tile::Register { m: tile_m, n: tile_n } => {
                ("tile/register", self.constants.u32("WORKGROUP", 8).u32("TILE_M", tile_m).u32("TILE_N", tile_n))
            }
            Tile::Subgroup { lanes, m: tile_m, n: tile_n, words_64 } => {
                flags.extend(match lanes {
                    8 => Some("lanes_8"),
                    16 => Some("lanes_16"),
                    _ => None,
                });
                flags.extend(words_64.then_some("words_64"));
                ("tile/subgroup", self.constants.u32("LANES", lanes).u32("TILE_M", tile_m).u32("TILE_N", tile_n))
            }
            Tile::Workgroup { side } => ("tile/workgroup", self.constants.u32("SIDE", side)),
            Tile::Buffered { rows, columns, m: tile_m, n: tile_n, teams, slices } => {
                let threads = self.constants.u32("ROWS", rows).u32("COLUMNS", columns).u32("TEAMS", teams);
                let own = threads.u32("TILE_M", tile_m).u32("TILE_N", tile_n).u32("DEPTH", tile.depth());
                ("tile/buffered", own.u32("PADDING", tile.padding()).u32("SLICES", slices))
            }
        };
        let joined = self.composition.join(self.blocks);
        let mounts = [self.mounts, joined.mounts].concat();
        let mut modules = [self.other_constants, joined.texts].concat();
        modules.push(("constants", constants.text()));
        modules.extend(tile.shared_quads().map(|quads| ("memory", Constants::new().u32("QUADS", quads).text())));
        Launch {
            kernel: self.kernel,
            variant: tile.to_string(),
            root,
            mounts,
            constants: modules,
            flags,
            bindings,
            shape: self.input.map(|input| Shape::of(self.kernel, input, self.blocks)),
            parts: vec![],
            partials: None,
            workgroup: tile.workgroup(),
            workgroups: tile.slices() * tile.workgroups(self.blocks),
            cost: self.cost,
        }
    }
}

/// A launch under a tile without shared memory, cut into slices of this many blocks of the reduction each: `shaders/tile/slice`.
fn sliced(whole: Launch, tile: Tile, slices: u32, blocks: u32) -> Launch {
    let mut launch = Launch { root: "tile/sliced", workgroups: slices * whole.workgroups, ..whole };
    launch.mounts.extend([("product", "tile/slice"), ("whole_tile", whole.root)]);
    let mut own =
        Constants::new().u32("SLICES", slices).u32("SLICE_K", blocks).u32("SLICE_WORKGROUPS", whole.workgroups);
    if let Tile::Subgroup { lanes, .. } = tile {
        own = own.u32("WORKGROUP", lanes);
        launch.flags.push("subgroups");
    }
    let own = own.text();
    for (name, text) in &mut launch.constants {
        match *name {
            "product" => *name = "whole",
            "constants" => text.push_str(&own),
            _ => (),
        }
    }
    launch
}
