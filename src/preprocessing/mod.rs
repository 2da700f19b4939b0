//! Preprocessing, the same in training and in prediction: the encoding of columns and images as features, and the scaling of
//! numbers. A model keeps it, and data sets are read with it.

mod cell;
mod columns;
mod fill;
mod image;
mod origin;
mod scaling;
mod vocabulary;
mod written;

pub(crate) use cell::{Missing, distinct, index_of, is_number, short, six_digits, whole};
pub use columns::Columns;
pub(crate) use columns::{Cells, Column, MOST_COLUMNS, Target, twice};
pub use fill::Fill;
pub use image::{ChannelOrder, ImageShape};
pub(crate) use origin::Origin;
pub use scaling::{ScaleBy, Scaling};
pub(crate) use scaling::{check_target_scaling, in_own_units};
pub(crate) use vocabulary::place;
pub use vocabulary::{Decoder, Vocabulary};
pub(crate) use written::{Hints, Judge, Verdict, Written};
