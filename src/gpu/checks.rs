//! Whether kernels check what they do.

/// Whether kernels check every index and loop at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Checks {
    /// They do not: the plan knows every extent. Two to five times faster.
    #[default]
    Off,
    /// They do, as every WebGPU implementation must for shaders it does not trust.
    On,
}
