//! Data sets, and the files they come from.

mod array;
mod arrays;
mod builders;
mod categories;
mod channels;
mod check;
mod cifar;
mod dataset;
mod device;
mod fingerprint;
mod format;
mod gzip;
mod idx;
mod images;
mod labels;
#[cfg(feature = "mnist")]
mod mnist;
mod npy;
mod options;
mod own_rows;
#[cfg(feature = "parquet")]
mod parquet;
mod read;
mod scaling;
mod sets;
mod source;
mod split;
mod stored;
mod table;
mod targets;
mod tensors;
mod texts;
mod token_rows;
mod tokens;

pub use dataset::Dataset;
use dataset::{Features, MOST_BYTES, Values};
pub(crate) use fingerprint::Fingerprint;
#[doc(hidden)]
pub use format::{FORMATS, Format};
#[cfg(feature = "cli")]
pub(crate) use format::{begins_as_arrays, is_of_arrays, is_text_table};
pub use options::ReadOptions;
pub use own_rows::{Feature, Numbers};
pub use sets::Sets;
pub use source::{Generated, Source};
pub use stored::Stored;
pub use table::{ColumnRole, TableColumn};
#[cfg(feature = "cli")]
pub(crate) use table::{Line, Lines};
