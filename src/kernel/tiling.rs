//! Which tile cuts which product on one adapter.

use std::collections::BTreeMap;

use super::input::Input;
use super::shape::{self, Shape};
use super::tile::{Blocks, Family, Tile};
use crate::error::Error;

/// Tiles picked for kinds of products, by measuring or by hand. A run that is given the picks of another has its bits, on an adapter of the same family and, under Muon, whose own
/// products are not picked, of the same vendor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picks(BTreeMap<String, String>);

impl Picks {
    /// The tile's name for a kind of product, if one was picked.
    pub fn get(&self, shape: Shape) -> Option<&str> {
        self.by_name(&shape.to_string())
    }

    /// The tile's name for a kind of product that is given by its own name.
    pub(crate) fn by_name(&self, shape: &str) -> Option<&str> {
        self.0.get(shape).map(String::as_str)
    }

    /// Picks a tile.
    pub fn set(&mut self, shape: Shape, tile: Tile) {
        self.0.insert(shape.to_string(), tile.to_string());
    }

    /// Every pick, by the kind of product: its name and the tile's.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(shape, tile)| (shape.as_str(), tile.as_str()))
    }

    /// The tile's name for each kind of product.
    pub(crate) fn by_product(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The picks that plans of this family can follow.
    pub(crate) fn valid(mut self, family: Family) -> Picks {
        self.0.retain(|shape, tile| Picks::from_iter([(shape.as_str(), tile.as_str())]).check(family).is_ok());
        self
    }

    /// Checks that plans of this family can follow every pick. Picks for sizes that no plan has are allowed.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the words that are wrong, and the right ones.
    pub(crate) fn check(&self, family: Family) -> Result<(), Error> {
        let variants: Vec<String> = family.variants().iter().map(Tile::to_string).collect();
        for (shape, tile) in self.iter() {
            if !variants.iter().any(|variant| variant == tile) {
                return Err(Error::Option(format!(
                    "\"{tile}\" is not a tile of an adapter of the kind \"{family}\": use one of {}",
                    variants.join(", ")
                )));
            }
            shape::check(shape)?;
        }
        Ok(())
    }

    /// These picks, and from `others` the picks for kinds of products that have none here.
    #[must_use]
    pub fn or(mut self, others: &Picks) -> Picks {
        for (shape, tile) in &others.0 {
            self.0.entry(shape.clone()).or_insert_with(|| tile.clone());
        }
        self
    }
}

impl<A: Into<String>, B: Into<String>> FromIterator<(A, B)> for Picks {
    fn from_iter<I: IntoIterator<Item = (A, B)>>(picks: I) -> Self {
        Picks(picks.into_iter().map(|(shape, tile)| (shape.into(), tile.into())).collect())
    }
}

/// What planning has to know of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// The kind of adapter.
    pub family: Family,
    /// Storage buffers that one kernel can bind.
    pub most_bindings: u32,
    /// Bytes of a buffer that one kernel can bind.
    pub most_bytes: u64,
    /// Tiles that were picked; for any other product it is the family's rule.
    pub picks: Picks,
    /// Blocks of sums that an invocation holds at most under a rule's tile, where it shares what it multiplies with others: a driver's compiler may have too few
    /// registers for more.
    pub most_blocks: u32,
    /// Whether independent dispatches are merged, and cut alike for it.
    pub merges: bool,
}

impl Tiling {
    /// The family's rules alone, for an adapter that binds no more than WebGPU promises.
    pub fn of(family: Family) -> Self {
        Tiling {
            family,
            most_bindings: 8,
            most_bytes: 128 << 20,
            picks: Picks::default(),
            most_blocks: 8,
            merges: true,
        }
    }

    /// The tile for a product: the same for every product of its kind, so that a pick says which it was.
    pub fn tile(&self, kernel: &'static str, input: Input, blocks: Blocks) -> Tile {
        let shape = Shape::of(kernel, input, blocks);
        let picked = self.picks.get(shape);
        let variant = |name: &str| self.family.variants().into_iter().find(|tile| tile.to_string() == name);
        picked.and_then(variant).unwrap_or_else(|| self.rule(input, shape.blocks))
    }

    /// The tile for one of Muon's products, which are not picked.
    pub(crate) fn muons_tile(&self, blocks: Blocks) -> Tile {
        self.family
            .without_subgroups()
            .tile_among(blocks, |tile| tile.holds_at_most(self.most_blocks, Input::Activations))
    }

    /// The tile by the rules alone, for a product over such an input.
    pub(crate) fn rule(&self, input: Input, blocks: Blocks) -> Tile {
        self.family.tile_among(blocks, |tile| tile.holds_at_most(self.most_blocks, input))
    }
}
