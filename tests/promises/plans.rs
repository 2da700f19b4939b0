//! The plans of today as a fixture: for every choice of the selftest's shaders, for 2,000 chains at random and for 550 networks with residual sums, a hash of the plan's dispatches, of
//! its buffers and of its shaders as a driver gets them. A change of how plans are made, which ought to change none of them, is measured by this.
//!
//! A shader's hash is that of its SPIR-V without names and without the linker's binding numbers: it stays where a word in a shader changes, and
//! differs where an instruction does. A change that
//! is meant to change plans writes them anew (`WGRAD_WRITE_PLANS=1`), and its commit says why. What differs is seen in the text beside the hashes, which
//! every run leaves in `target/tmp/plans.txt`.

use std::collections::HashMap;
use std::fmt::Write;

use naga::back::spv;
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use sha2::{Digest, Sha256};
use wgrad::kernel::Launch;
use wgrad::kernel::link::{Form, link};
use wgrad::plan::{Dispatch, Plan, Role};
use wgrad::selftest::choices::{Case, Choices};

/// Chains at random, and networks with residual sums, some of them with their shaders.
const RANDOM: usize = 2000;
const SUMS: usize = 500;
const SUMS_WITH_SHADERS: usize = 40;
/// Networks with residuals that are the whole body of others.
const BARE_SUMS: usize = 50;

/// The first 64 bits of a text's SHA-256.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A launch's shader, as Vulkan's drivers get it, but for its names.
fn shader(launch: &Launch, known: &mut HashMap<String, String>) -> String {
    let wgsl = link(launch, Form::default()).unwrap();
    let compiled = || {
        let mut module = naga::front::wgsl::parse_str(&wgsl).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&wgsl)));
        // Buffers numbered in the order of their declarations: the linker chooses the numbers.
        let bindings = module.global_variables.iter_mut().filter_map(|(_, variable)| variable.binding.as_mut());
        (0..).zip(bindings).for_each(|(number, binding)| binding.binding = number);
        let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
        validator.subgroup_stages(ShaderStages::COMPUTE).subgroup_operations(SubgroupOperationSet::all());
        let info = validator.validate(&module).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&wgsl)));
        let mut options = spv::Options { lang_version: (1, 3), ..Default::default() };
        options.flags.remove(spv::WriterFlags::DEBUG);
        let words = spv::write_vec(&module, &info, &options, None).unwrap();
        hash(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>())
    };
    known.entry(hash(wgsl.as_bytes())).or_insert_with(compiled).clone()
}

/// All of a dispatch but its shader.
fn dispatch(dispatch: &Dispatch) -> String {
    let Launch { kernel, variant, workgroup, workgroups, cost, .. } = &dispatch.launch;
    let mut roles: Vec<String> = (dispatch.roles.iter().zip(&dispatch.launch.bindings))
        .map(|(role, (_, access))| format!("{role} {access:?}"))
        .collect();
    // The linker chooses the order of a launch's bindings.
    roles.sort();
    format!("{kernel} ({variant}) {workgroups}×{workgroup} {cost:?} {}", roles.join(", "))
}

/// The plan's dispatches and buffers.
fn structure(plan: &Plan) -> String {
    let mut text = String::new();
    for each in plan.dispatches() {
        writeln!(text, "  {}", dispatch(each)).unwrap();
        each.parts().iter().for_each(|part| writeln!(text, "    {}", dispatch(part)).unwrap());
    }
    for buffer in plan.buffers() {
        writeln!(text, "  {} {:?} {}", buffer.role, buffer.shape, buffer.bytes).unwrap();
    }
    text
}

/// What a case's plan is: in one line, and in full.
fn lines(case: &Case, known: Option<&mut HashMap<String, String>>) -> (String, String) {
    let plan = case.plan().unwrap_or_else(|error| panic!("{}: {error}", case.label));
    let mut text = structure(&plan);
    let mut line = format!("{}: {}", case.label, hash(text.as_bytes()));
    if let Some(known) = known {
        let shaders: Vec<String> = plan.dispatches().iter().map(|each| shader(&each.launch, known)).collect();
        writeln!(text, "  shaders {}", shaders.join(" ")).unwrap();
        write!(line, " {}", hash(shaders.join(" ").as_bytes())).unwrap();
    }
    (line, text)
}

/// Finds a set that is as wide on the device as some layer's weights, and not as the network's input.
#[test]
fn a_set_is_as_wide_as_the_networks_input() {
    let choices = Choices::new().unwrap();
    let mut compared = 0;
    for case in choices.in_pairs().iter().chain(&choices.with_sums(100)) {
        let quads = case.request().network.inputs() as u64 / 4 + 1;
        for buffer in case.plan().unwrap().buffers() {
            if matches!(buffer.role, Role::Set(_) | Role::Scaling | Role::Minibatch) {
                assert_eq!(buffer.shape[1], 4 * quads, "{}: {}", case.label, buffer.role);
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

/// Finds a fusion, a tile, a binding, a buffer or an instruction that changed where nothing was meant to.
#[test]
fn plans_are_those_that_are_kept() {
    let choices = Choices::new().unwrap();
    let known = &mut HashMap::new();
    let pairs = choices.in_pairs();
    let sums = choices.with_sums(SUMS);
    let (with_shaders, without) = sums.split_at(SUMS_WITH_SHADERS);
    let with_shaders = pairs.iter().chain(with_shaders).map(|case| lines(case, Some(&mut *known)));
    let (at_random, bare) = (choices.at_random(RANDOM), choices.with_bare_sums(BARE_SUMS));
    let without = at_random.iter().chain(without).chain(&bare).map(|case| lines(case, None));
    let (now, full): (Vec<String>, Vec<String>) = with_shaders.chain(without).unzip();
    let full: String = now.iter().zip(full).map(|(line, text)| format!("{line}\n{text}")).collect();
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/plans.txt"), full).unwrap();

    let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans.txt");
    if std::env::var_os("WGRAD_WRITE_PLANS").is_some() {
        std::fs::write(kept, now.join("\n") + "\n").unwrap();
    }
    let text = std::fs::read_to_string(kept).unwrap();
    let then: Vec<&str> = text.lines().collect();
    assert_eq!(now.len(), then.len(), "the number of plans");
    let other: Vec<&String> = now.iter().zip(then).filter(|(now, then)| now != then).map(|(now, _)| now).collect();
    assert!(other.is_empty(), "{} of {} plans differ, the first: {}", other.len(), now.len(), other[0]);
}
