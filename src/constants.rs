//! The text of a WGSL module of constants.

use std::fmt;

/// The text of a module of `const`s.
#[derive(Clone)]
pub(crate) struct Constants(String);

impl Constants {
    pub(crate) fn new() -> Self {
        Constants(String::new())
    }

    pub(crate) fn u32(mut self, name: &str, value: u32) -> Self {
        self.line(name, format_args!("{value}u"));
        self
    }

    /// A list, which a shader copies into a variable where it reads it at an index that is no constant.
    pub(crate) fn u32s(mut self, name: &str, values: &[u32]) -> Self {
        let list: Vec<String> = values.iter().map(|value| format!("{value}u")).collect();
        self.line(name, format_args!("array<u32, {}>({})", values.len(), list.join(", ")));
        self
    }

    pub(crate) fn bool(mut self, name: &str, value: bool) -> Self {
        self.line(name, format_args!("{value}"));
        self
    }

    /// The nearest f32, written so that it is read back to the bit.
    pub(crate) fn f32(mut self, name: &str, value: f64) -> Self {
        self.line(name, format_args!("{:e}f", value as f32));
        self
    }

    /// A value that a shader sets for itself, in each invocation.
    pub(crate) fn variable_f32(mut self, name: &str) -> Self {
        self.0.push_str(&format!("var<private> {name}: f32;\n"));
        self
    }

    fn line(&mut self, name: &str, value: fmt::Arguments<'_>) {
        self.0.push_str(&format!("const {name} = {value};\n"));
    }

    pub(crate) fn text(self) -> String {
        self.0
    }
}
