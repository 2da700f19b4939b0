//! Training, from the first step to the last.

pub(crate) mod attempts;
pub(crate) mod diagnosis;
pub(crate) mod epochs;
pub(crate) mod memory;
pub(crate) mod observer;
