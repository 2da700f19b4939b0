//! From shader modules to one WGSL text: mounts, constants and `@if` flags resolved by the WESL linker.

use std::borrow::Cow;
use std::collections::HashMap;

use wesl::{CompileOptions, EscapeMangler, Feature, Features, ModulePath, VirtualResolver, syntax::PathOrigin};

use super::launch::Launch;
use super::merged::numbers_of_part;
use crate::error::Error;

/// Every shader module by its path in `shaders/`. A new one is one line here.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("activation/custom", include_str!("../../shaders/activation/custom.wesl")),
    ("activation/elu", include_str!("../../shaders/activation/elu.wesl")),
    ("activation/gelu", include_str!("../../shaders/activation/gelu.wesl")),
    ("activation/gelu_tanh", include_str!("../../shaders/activation/gelu_tanh.wesl")),
    ("activation/identity", include_str!("../../shaders/activation/identity.wesl")),
    ("activation/leaky_relu", include_str!("../../shaders/activation/leaky_relu.wesl")),
    ("activation/relu", include_str!("../../shaders/activation/relu.wesl")),
    ("activation/sigmoid", include_str!("../../shaders/activation/sigmoid.wesl")),
    ("activation/silu", include_str!("../../shaders/activation/silu.wesl")),
    ("activation/softplus", include_str!("../../shaders/activation/softplus.wesl")),
    ("activation/tanh", include_str!("../../shaders/activation/tanh.wesl")),
    ("block", include_str!("../../shaders/block.wesl")),
    ("class_metrics", include_str!("../../shaders/class_metrics.wesl")),
    ("clipped", include_str!("../../shaders/clipped.wesl")),
    ("close_step", include_str!("../../shaders/close_step.wesl")),
    ("dropout", include_str!("../../shaders/dropout.wesl")),
    ("element/custom", include_str!("../../shaders/element/custom.wesl")),
    ("element/huber", include_str!("../../shaders/element/huber.wesl")),
    ("element/mean_absolute_error", include_str!("../../shaders/element/mean_absolute_error.wesl")),
    ("element/mean_squared_error", include_str!("../../shaders/element/mean_squared_error.wesl")),
    ("element/sigmoid_cross_entropy", include_str!("../../shaders/element/sigmoid_cross_entropy.wesl")),
    ("exact", include_str!("../../shaders/exact.wesl")),
    ("finish", include_str!("../../shaders/finish.wesl")),
    ("finite", include_str!("../../shaders/finite.wesl")),
    ("gather", include_str!("../../shaders/gather.wesl")),
    ("gradient_norm", include_str!("../../shaders/gradient_norm.wesl")),
    ("head", include_str!("../../shaders/head.wesl")),
    ("input/activations", include_str!("../../shaders/input/activations.wesl")),
    ("input/set_f16", include_str!("../../shaders/input/set_f16.wesl")),
    ("input/set_f32", include_str!("../../shaders/input/set_f32.wesl")),
    ("input/set_u8", include_str!("../../shaders/input/set_u8.wesl")),
    ("kept_update", include_str!("../../shaders/kept_update.wesl")),
    ("loss/elementwise", include_str!("../../shaders/loss/elementwise.wesl")),
    ("loss/smoothed", include_str!("../../shaders/loss/smoothed.wesl")),
    ("loss/softmax", include_str!("../../shaders/loss/softmax.wesl")),
    ("loss/softmax_cross_entropy", include_str!("../../shaders/loss/softmax_cross_entropy.wesl")),
    ("loss/softmax_cross_entropy_soft", include_str!("../../shaders/loss/softmax_cross_entropy_soft.wesl")),
    ("loss/softmax_focal", include_str!("../../shaders/loss/softmax_focal.wesl")),
    ("map", include_str!("../../shaders/map.wesl")),
    ("matrix/direction", include_str!("../../shaders/matrix/direction.wesl")),
    ("matrix/gradient", include_str!("../../shaders/matrix/gradient.wesl")),
    ("matrix/square", include_str!("../../shaders/matrix/square.wesl")),
    ("matrix/weights", include_str!("../../shaders/matrix/weights.wesl")),
    ("muon_momentum", include_str!("../../shaders/muon_momentum.wesl")),
    ("newton_schulz", include_str!("../../shaders/newton_schulz.wesl")),
    ("operand/blocks", include_str!("../../shaders/operand/blocks.wesl")),
    ("operand/blocks_transposed", include_str!("../../shaders/operand/blocks_transposed.wesl")),
    ("operand/columns", include_str!("../../shaders/operand/columns.wesl")),
    ("operand/rows", include_str!("../../shaders/operand/rows.wesl")),
    ("optimizer/adadelta", include_str!("../../shaders/optimizer/adadelta.wesl")),
    ("optimizer/adagrad", include_str!("../../shaders/optimizer/adagrad.wesl")),
    ("optimizer/adam", include_str!("../../shaders/optimizer/adam.wesl")),
    ("optimizer/custom", include_str!("../../shaders/optimizer/custom.wesl")),
    ("optimizer/lion", include_str!("../../shaders/optimizer/lion.wesl")),
    ("optimizer/nadam", include_str!("../../shaders/optimizer/nadam.wesl")),
    ("optimizer/rmsprop", include_str!("../../shaders/optimizer/rmsprop.wesl")),
    ("optimizer/sgd", include_str!("../../shaders/optimizer/sgd.wesl")),
    ("order", include_str!("../../shaders/order.wesl")),
    ("packing", include_str!("../../shaders/packing.wesl")),
    ("probe/activation", include_str!("../../shaders/probe/activation.wesl")),
    ("probe/loss", include_str!("../../shaders/probe/loss.wesl")),
    ("probe/optimizer", include_str!("../../shaders/probe/optimizer.wesl")),
    ("rate", include_str!("../../shaders/rate.wesl")),
    ("rates", include_str!("../../shaders/rates.wesl")),
    ("regression_metrics", include_str!("../../shaders/regression_metrics.wesl")),
    ("row", include_str!("../../shaders/row.wesl")),
    ("row_loss", include_str!("../../shaders/row_loss.wesl")),
    ("scale/direction", include_str!("../../shaders/scale/direction.wesl")),
    ("scale/input", include_str!("../../shaders/scale/input.wesl")),
    ("scale/mean", include_str!("../../shaders/scale/mean.wesl")),
    ("scale/none", include_str!("../../shaders/scale/none.wesl")),
    ("scale/polynomial", include_str!("../../shaders/scale/polynomial.wesl")),
    ("schedule/constant", include_str!("../../shaders/schedule/constant.wesl")),
    ("schedule/cosine", include_str!("../../shaders/schedule/cosine.wesl")),
    ("schedule/exponential", include_str!("../../shaders/schedule/exponential.wesl")),
    ("schedule/half_cosine", include_str!("../../shaders/schedule/half_cosine.wesl")),
    ("schedule/one_cycle", include_str!("../../shaders/schedule/one_cycle.wesl")),
    ("schedule/polynomial", include_str!("../../shaders/schedule/polynomial.wesl")),
    ("schedule/step", include_str!("../../shaders/schedule/step.wesl")),
    ("sink/activations", include_str!("../../shaders/sink/activations.wesl")),
    ("sink/input_gradient", include_str!("../../shaders/sink/input_gradient.wesl")),
    ("sink/matrix", include_str!("../../shaders/sink/matrix.wesl")),
    ("sink/muon", include_str!("../../shaders/sink/muon.wesl")),
    ("sink/optimizer", include_str!("../../shaders/sink/optimizer.wesl")),
    ("sink/weight_gradient", include_str!("../../shaders/sink/weight_gradient.wesl")),
    ("stage/activate", include_str!("../../shaders/stage/activate.wesl")),
    ("stage/add_direction", include_str!("../../shaders/stage/add_direction.wesl")),
    ("stage/add_gradient", include_str!("../../shaders/stage/add_gradient.wesl")),
    ("stage/add_gram", include_str!("../../shaders/stage/add_gram.wesl")),
    ("stage/add_residual", include_str!("../../shaders/stage/add_residual.wesl")),
    ("stage/derivative", include_str!("../../shaders/stage/derivative.wesl")),
    ("stats", include_str!("../../shaders/stats.wesl")),
    ("step", include_str!("../../shaders/step.wesl")),
    ("target/classes", include_str!("../../shaders/target/classes.wesl")),
    ("target/values", include_str!("../../shaders/target/values.wesl")),
    ("team/subgroup", include_str!("../../shaders/team/subgroup.wesl")),
    ("team/workgroup", include_str!("../../shaders/team/workgroup.wesl")),
    ("team_head", include_str!("../../shaders/team_head.wesl")),
    ("textbook", include_str!("../../shaders/textbook.wesl")),
    ("tile/buffered", include_str!("../../shaders/tile/buffered.wesl")),
    ("tile/naive", include_str!("../../shaders/tile/naive.wesl")),
    ("tile/register", include_str!("../../shaders/tile/register.wesl")),
    ("tile/subgroup", include_str!("../../shaders/tile/subgroup.wesl")),
    ("tile/sum_of_slices", include_str!("../../shaders/tile/sum_of_slices.wesl")),
    ("tile/workgroup", include_str!("../../shaders/tile/workgroup.wesl")),
    ("tile/workgroup_memory", include_str!("../../shaders/tile/workgroup_memory.wesl")),
];

/// [`MODULES`], for this crate's tests.
#[doc(hidden)]
pub const MODULE_NAMES: &[(&str, &str)] = MODULES;

/// Modules that the parts of a merged launch have in common: the step state and what reads it, and the shared memory of a
/// workgroup, which has one part's work to do at a time.
const SHARED: &[&str] = &["rates", "step", "tile::workgroup_memory"];

/// The WGSL of a launch, with its entry point named `main`.
///
/// # Errors
///
/// [`Error::Kernel`] with the linker's words when the modules do not fit together: a mistake in this crate, or in a
/// module that a user wrote.
pub fn link(launch: &Launch) -> Result<String, Error> {
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
    wesl::compile(&module_path(launch.root), &resolver, &EscapeMangler, &options)
        .map(|linked| linked.to_string())
        .map_err(|error| Error::Kernel { kernel: launch.kernel.into(), reason: error.to_string() })
}

/// The WGSL of a launch for a browser, whose compiler wants a line that enables each optional feature.
///
/// # Errors
///
/// As [`link`].
pub fn link_for_browsers(launch: &Launch) -> Result<String, Error> {
    let text = link(launch)?;
    // What the linker leaves has no comments, and no name of ours is one of these.
    let has_subgroups = text.contains("subgroup_invocation_id") || text.contains("subgroupAdd");
    Ok(if has_subgroups { format!("enable subgroups;\n{text}") } else { text })
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
