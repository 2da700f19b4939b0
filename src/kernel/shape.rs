//! Kinds of products: what tiles are picked for.

use std::fmt;

use super::input::Input;
use super::tile::Blocks;
use crate::error::Error;

/// A kind of product as tiles are picked for it: its kernel, where A comes from, and its blocks rounded up to powers of two, so that one
/// pick serves the sizes beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shape {
    /// The product's name.
    pub kernel: &'static str,
    /// Where its first operand comes from.
    pub input: Input,
    /// Blocks of 4 × 4 down, across and in the sum.
    pub blocks: Blocks,
}

impl Shape {
    /// The kind of a product of these blocks.
    pub fn of(kernel: &'static str, input: Input, blocks: Blocks) -> Self {
        let Blocks { m, n, k } = blocks;
        let [m, n, k] = [m, n, k].map(u32::next_power_of_two);
        Shape { kernel, input, blocks: Blocks { m, n, k } }
    }
}

impl fmt::Display for Shape {
    /// As "dense_update set_u8 256×64×8": the key of tables and caches.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { kernel, input, blocks: Blocks { m, n, k } } = self;
        write!(f, "{kernel} {} {m}×{n}×{k}", input_word(*input))
    }
}

/// The products that tiles are picked for.
const PRODUCTS: [&str; 6] =
    ["dense_forward", "dense_backward", "dense_update", "conv_forward", "conv_backward", "conv_update"];

/// Where their first operand can come from.
const INPUTS: [Input; 6] =
    [Input::SetU8, Input::SetF16, Input::SetF32, Input::Activations, Input::Flattened, Input::Patches];

/// Checks that the words are those of a [`Shape`].
///
/// # Errors
///
/// [`Error::Option`] with the words that are wrong, and the right ones.
pub(super) fn check(words: &str) -> Result<(), Error> {
    let inputs = INPUTS.map(input_word);
    let is_side = |side: &str| side.parse().is_ok_and(u32::is_power_of_two);
    let is_shape = match words.split(' ').collect::<Vec<_>>()[..] {
        [kernel, input, blocks] => {
            let sides: Vec<&str> = blocks.split('×').collect();
            PRODUCTS.contains(&kernel) && inputs.contains(&input) && sides.len() == 3 && sides.into_iter().all(is_side)
        }
        _ => false,
    };
    if is_shape {
        return Ok(());
    }
    Err(Error::Option(format!(
        "\"{words}\" is not a kind of product: write one of {}, then its input, one of {}, then its blocks as powers of two with × \
         between them, as in \"{}\"",
        PRODUCTS.join(", "),
        inputs.join(", "),
        Shape::of(PRODUCTS[0], Input::SetU8, Blocks { m: 8, n: 64, k: 256 })
    )))
}

fn input_word(input: Input) -> &'static str {
    input.module().trim_start_matches("input/")
}
