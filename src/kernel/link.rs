//! From shader modules to one WGSL text: mounts, constants and `@if` flags resolved by the WESL linker.

use std::borrow::Cow;
use std::collections::HashMap;

use wesl::{CompileOptions, EscapeMangler, Feature, Features, ModulePath, VirtualResolver, syntax::PathOrigin};

use super::launch::Launch;
use super::merged::numbers_of_part;
use super::unroll::unroll;
use crate::error::Error;

/// Every shader module in `shaders/`, by its path there without the ending: `build.rs` lists them.
pub(crate) const MODULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shaders.rs"));

/// [`MODULES`], for this crate's tests.
#[doc(hidden)]
pub const MODULE_NAMES: &[(&str, &str)] = MODULES;

/// Modules that the parts of a merged launch have in common: the step state and what reads it, and the shared memory of a
/// workgroup, which has one part's work to do at a time.
const SHARED: &[&str] = &["rates", "step", "tile::workgroup_memory"];

/// The tile whose loops are worth writing out. With those of every kernel, SwiftShader's compiler took gigabytes for some random networks.
const UNROLLED: &str = "tile/register";

/// What the WGSL of a launch is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// A line enables each optional feature: browsers' compilers want one, and naga takes none.
    pub enables: bool,
    /// Loops of known counts are written out in dense layers' products under a register tile, for a compiler that unrolls none.
    pub unrolled: bool,
}

impl Form {
    /// What every browser takes.
    pub const BROWSERS: Form = Form { enables: true, unrolled: false };
}

/// The WGSL of a launch in a form, with its entry point named `main`.
///
/// # Errors
///
/// [`Error::Kernel`] with the linker's words when the modules do not fit together: a mistake in this crate, or in a
/// module that a user wrote.
pub fn link(launch: &Launch, form: Form) -> Result<String, Error> {
    let mut resolver = VirtualResolver::new();
    let own: Vec<_> = launch.bindings.iter().enumerate().map(|(at, (binding, _))| (binding.name(), at)).collect();
    add_modules(&mut resolver, launch, &own, None)?;
    for (number, part) in launch.parts.iter().enumerate() {
        add_modules(&mut resolver, part, &numbers_of_part(launch, number), Some(number))?;
    }

    let flags: HashMap<String, Feature> = launch.flags.iter().map(|flag| (flag.to_string(), Feature::Enable)).collect();
    // naga validates what comes out, and knows builtins that the linker's own validation does not.
    let options = CompileOptions {
        validate: false,
        features: Features { default: Feature::Disable, flags },
        ..CompileOptions::default()
    };
    let mut linked = wesl::compile(&module_path(launch.root), &resolver, &EscapeMangler, &options)
        .map_err(|error| Error::Kernel { kernel: launch.kernel.into(), reason: error.to_string() })?;
    if form.unrolled && launch.root == UNROLLED && launch.kernel.starts_with("dense_") {
        unroll(&mut linked.syntax);
    }
    let text = linked.to_string();
    // What the linker leaves has no comments, and no name of ours is one of these.
    let has_subgroups = text.contains("subgroup_invocation_id") || text.contains("subgroupAdd");
    Ok(if form.enables && has_subgroups { format!("enable subgroups;\n{text}") } else { text })
}

/// The modules of a launch, or of a part of one: the part's under its name. Bindings get their `numbers` in place of their names.
fn add_modules<'a>(
    resolver: &mut VirtualResolver<'a>,
    launch: &'a Launch,
    numbers: &[(&str, usize)],
    part: Option<usize>,
) -> Result<(), Error> {
    let mut add = |path: &str, source: &'a str| {
        let source = numbered(source, numbers);
        match part {
            None => resolver.add_module(module_path(path), source),
            Some(part) => {
                resolver.add_module(module_path(&format!("part{part}/{path}")), Cow::Owned(of_part(&source, part)))
            }
        }
    };
    for (path, source) in MODULES {
        add(path, source);
    }
    for (name, path) in &launch.mounts {
        let (_, source) = MODULES.iter().find(|(known, _)| known == path).ok_or_else(|| Error::Kernel {
            kernel: launch.kernel.into(),
            reason: format!("there is no module {path}"),
        })?;
        add(name, source);
    }
    for (name, text) in &launch.constants {
        add(name, text);
    }
    Ok(())
}

/// A module's text with the numbers of its bindings. A name without a number is of a buffer that the launch does not bind, which the linker leaves out.
fn numbered<'a>(source: &'a str, numbers: &[(&str, usize)]) -> Cow<'a, str> {
    let with = |text: Cow<'a, str>, (name, number): &(&str, usize)| match format!("@binding({name})") {
        named if text.contains(&named) => Cow::Owned(text.replace(&named, &format!("@binding({number})"))),
        _ => text,
    };
    numbers.iter().fold(Cow::Borrowed(source), with)
}

/// A module's text as a part of a merged launch has it: it imports the part's modules, but for those that all parts share.
fn of_part(source: &str, part: usize) -> String {
    let text = source.replace("import package::", &format!("import package::part{part}::"));
    SHARED.iter().fold(text, |text, shared| {
        text.replace(&format!("import package::part{part}::{shared}::"), &format!("import package::{shared}::"))
    })
}

fn module_path(path: &str) -> ModulePath {
    ModulePath::new(PathOrigin::Absolute, path.split('/').map(str::to_string).collect())
}
