//! The kernels: one file here and one shader of the same name in `shaders/`.
//!
//! A kernel's function takes the sizes and choices it is compiled for and gives a [`Launch`]: the modules to link, the
//! constants, the bindings in order, the workgroups and the cost. Nothing here knows a device.

pub mod accumulate;
pub mod attention;
pub mod batch_norm;
mod binding;
pub mod class_metrics;
pub mod close_step;
mod composition;
pub mod conv;
pub mod dense_backward;
pub mod dense_forward;
pub mod dense_update;
pub mod embed;
pub mod flatten;
mod fuses;
pub mod gather;
pub mod gather_image;
pub mod gradient_norm;
pub mod head;
mod input;
pub mod kept_update;
mod launch;
pub mod link;
pub mod lists;
pub mod loss_kernel;
pub mod map;
pub mod merged;
pub mod muon;
pub mod norm_gradient;
pub mod pool;
pub mod probe;
mod product;
pub mod regression_metrics;
pub mod row_loss;
pub mod row_norm;
pub mod shape;
pub mod strips;
pub mod team_head;
pub mod textbook;
pub mod tied;
pub mod tile;
pub mod tiling;
pub mod tokens;
mod unroll;
pub mod weight_average;
mod window;

pub use self::binding::{Access, Binding};
pub use self::input::Input;
pub(crate) use self::launch::grid;
pub use self::launch::{Cost, Launch, Partials};
