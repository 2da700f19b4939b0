//! One kernel made for given sizes, and what it costs.

use super::binding::{Access, Binding};
use super::shape::Shape;

/// Work and traffic of one launch, counted from the method, not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add is two.
    pub flops: u64,
    /// The fewest bytes of storage that have to be read or written once.
    pub bytes: u64,
}

impl Cost {
    /// Floating-point operations for each byte, which says what bounds it.
    pub fn intensity(self) -> f64 {
        self.flops as f64 / self.bytes.max(1) as f64
    }
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

/// One kernel made for given sizes: all that a device needs to run it, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel's name: its file here and in `shaders/`.
    pub kernel: &'static str,
    /// The variant, for people: the tile of a product, empty where there is one way only.
    pub variant: String,
    /// The module that holds the entry point `main`.
    pub root: &'static str,
    /// Fixed module names and the module of `shaders/` mounted there.
    pub mounts: Vec<(&'static str, &'static str)>,
    /// Modules that are text by name: `constants` and its like, and `user_…` for what a user wrote.
    pub constants: Vec<(&'static str, String)>,
    /// Flags for `@if(...)` that are on.
    pub flags: Vec<&'static str>,
    /// What is bound, and whether it is written.
    pub bindings: Vec<(Binding, Access)>,
    /// The kind of product that it is, where it is one that tiles are picked for.
    pub shape: Option<Shape>,
    /// The launches that this one is made of, where it is [merged](super::merged).
    pub parts: Vec<Launch>,
    /// The sums of slices that it adds up or writes, where a product's reduction is cut.
    pub partials: Option<Partials>,
    /// Invocations of a workgroup.
    pub workgroup: u32,
    /// Workgroups of the whole launch.
    pub workgroups: u32,
    /// Its work and traffic.
    pub cost: Cost,
}

/// Sums of the slices of a product's reduction.
#[derive(Clone, Debug, PartialEq)]
pub struct Partials {
    /// How many slices, and the product's rows and columns, padding included.
    pub shape: [u32; 3],
    /// The launch that has to write them first, in the launch that adds them up.
    pub written_by: Option<Box<Launch>>,
}

impl Launch {
    /// A kernel of one invocation, which moves on what others count by.
    pub(super) fn single(
        kernel: &'static str,
        constants: (&'static str, String),
        bindings: Vec<(Binding, Access)>,
    ) -> Launch {
        Launch {
            kernel,
            variant: String::new(),
            root: kernel,
            mounts: vec![],
            constants: vec![constants],
            flags: vec![],
            bindings,
            shape: None,
            parts: vec![],
            partials: None,
            workgroup: 1,
            workgroups: 1,
            cost: Cost::default(),
        }
    }

    /// A text of all that the compiled kernel is made of: launches with the same identity run the same kernel.
    pub(crate) fn identity(&self) -> String {
        let own = format!("{:?}", (self.root, &self.mounts, &self.constants, &self.flags, &self.bindings));
        self.parts.iter().fold(own, |text, part| text + &part.identity())
    }

    /// Whether nothing in it was written by a user, so that it may run unchecked.
    pub(crate) fn is_our_own(&self) -> bool {
        !self.constants.iter().any(|(name, _)| name.starts_with("user_")) && self.parts.iter().all(Launch::is_our_own)
    }

    /// The workgroups as a grid whose sides stay under `limit` (65,535 in WebGPU). The kernels number workgroups row by
    /// row and those past the last do nothing.
    pub fn grid(&self, limit: u32) -> [u32; 2] {
        grid(self.workgroups, limit)
    }
}

/// See [`Launch::grid`].
pub(crate) fn grid(workgroups: u32, limit: u32) -> [u32; 2] {
    let rows = workgroups.div_ceil(limit).max(1);
    [workgroups.div_ceil(rows), rows]
}
