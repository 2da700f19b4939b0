//! Launches that have nothing to do with each other, as one: a dispatch costs some 10 µs on a software adapter and a barrier on
//! every other, and what one leaves idle another can use.
//!
//! Each part is linked under a name of its own (`part0`, `part1`, …), and its bindings are numbered after those of the parts before it, so that no
//! shader has to know. What they share (`link::SHARED`) is there once: the step state, and what reads it. A part is its root
//! module's function `work(group, invocation, opaque_one)`, and each may have a root of its own: one product, and the sums of another's slices.
//!
//! Each part has workgroups of its own. Which part a workgroup belongs to is asked by loops of one iteration or none: where a workgroup is a SIMD vector of a CPU, a
//! branch that is not taken is not skipped. lavapipe goes through it with every lane masked, which for a tile of 32 × 32 takes 1.7 µs of the 9 µs that its
//! work takes; but it leaves a loop that has no iteration for any lane.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};

/// Parts of one launch: past it a compiler's time for the whole is more than what a dispatch costs.
pub const MOST_PARTS: usize = 8;

/// Floating-point operations of the largest product that is merged on a CPU. A merged launch runs its parts inside loops, where lavapipe masks every store. This makes the
/// first layer's update of 784-256-10 at batches of 32 (13 million operations) slower by a tenth on Mesa 26.2 and by a third on 22.3. For a product of a million operations
/// the loss is about what one more dispatch costs.
const MUCH: u64 = 1 << 20;

/// Whether a launch is faster alone than as a part of another: a large product on a CPU.
pub fn is_better_alone(launch: &Launch) -> bool {
    matches!(launch.root, "tile/register" | "tile/subgroup" | "tile/sliced") && launch.cost.flops > MUCH
}

/// Whether these can be parts of one launch, and neither is better alone: the same flags, as those are the whole text's, and workgroups of the same size. Tiles of
/// different shapes share memory: it is as large as the largest needs.
pub fn fit(a: &Launch, b: &Launch) -> bool {
    a.flags == b.flags && a.workgroup == b.workgroup && !is_better_alone(a) && !is_better_alone(b)
}

/// The parts as one launch. They must [`fit`], and write nothing that another binds. Where
/// it `closes` the step, none of them does.
pub fn launch(parts: Vec<Launch>, closes: bool) -> Launch {
    let first = &parts[0];
    let mut merged = Launch {
        kernel: first.kernel,
        variant: if parts.iter().all(|part| part.variant == first.variant) {
            first.variant.clone()
        } else {
            parts.iter().map(|part| part.variant.as_str()).collect::<Vec<_>>().join(" + ")
        },
        root: "merged",
        mounts: vec![],
        constants: vec![("merged", entry(&parts, closes))],
        flags: first.flags.clone(),
        bindings: vec![],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup: first.workgroup,
        workgroups: parts.iter().map(|part| part.workgroups).sum(),
        cost: parts.iter().fold(Cost::default(), |sum, part| sum + part.cost),
    };
    // What the shared modules import of it, the minibatch's rows, is the same in every part.
    merged.constants.extend(first.constants.iter().filter(|(name, _)| *name == "constants").cloned());
    merged.constants.extend(memory(&parts).map(|text| ("memory", text)));
    merged.bindings = bindings(&parts);
    merged.parts = parts;
    merged
}

/// What the parts bind, part after part; the step state once for all, at the end.
fn bindings(parts: &[Launch]) -> Vec<(Binding, Access)> {
    let all = || parts.iter().flat_map(|part| part.bindings.iter().copied());
    let is_state = |(binding, _): &(Binding, Access)| *binding == Binding::State;
    let state = all().any(|bound| is_state(&bound)).then_some((Binding::State, Access::Write));
    all().filter(|bound| !is_state(bound)).chain(state).collect()
}

/// The number of each binding of a part, by its name: its position among those of the merged launch. The step state is bound once for all parts.
pub(super) fn numbers_of_part(merged: &Launch, part: usize) -> Vec<(&'static str, usize)> {
    let is_own = |(binding, _): &&(Binding, Access)| *binding != Binding::State;
    let own = |part: &Launch| part.bindings.iter().filter(is_own).count();
    let first: usize = merged.parts[..part].iter().map(own).sum();
    let bound = merged.parts[part].bindings.iter().filter(is_own);
    bound.enumerate().map(|(at, (binding, _))| (binding.name(), first + at)).collect()
}

/// The shared memory of a workgroup, which works for one part at a time: the largest that a part needs, where any needs some.
fn memory(parts: &[Launch]) -> Option<String> {
    let has_memory = |part: &Launch| part.constants.iter().any(|(name, _)| *name == "memory");
    let having: Vec<usize> = (0..parts.len()).filter(|&at| has_memory(&parts[at])).collect();
    let import = |at: &usize| format!("import package::part{at}::memory::QUADS as quads_{at};\n");
    let imports: String = having.iter().map(import).collect();
    let most = having.iter().map(|at| format!("quads_{at}")).reduce(|most, own| format!("max({most}, {own})"))?;
    Some(format!("{imports}const QUADS = {most};\n"))
}

/// The entry point: which part a workgroup belongs to.
fn entry(parts: &[Launch], closes: bool) -> String {
    let first = &parts[0];
    let is_of_subgroups = parts.iter().any(|part| part.root == "tile/subgroup" || part.flags.contains(&"subgroups"));
    let lane = if is_of_subgroups { "subgroup_invocation_id" } else { "local_invocation_index" };
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        text.push_str(&format!("import package::part{at}::{}::work as work_{at};\n", part.root.replace('/', "::")));
    }
    if closes {
        text.push_str("import package::step::close_step;\n");
    }
    text.push_str(&format!(
        "\n@compute @workgroup_size({})\nfn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, \
         @builtin({lane}) lane: u32) {{\n    let at = group.y * groups.x + group.x;\n",
        first.workgroup
    ));
    if closes {
        text.push_str("    if at == 0u && lane == 0u { close_step(); }\n");
    }
    let mut before = 0;
    for (at, part) in parts.iter().enumerate() {
        let end = before + part.workgroups;
        let is_own = format!("at >= {before}u && at < {end}u");
        text.push_str(&format!(
            "    for (var i = 0u; i < select(0u, groups.z, {is_own}); i++) {{ work_{at}(at - {before}u, lane, groups.z); }}\n"
        ));
        before = end;
    }
    text.push_str("}\n");
    text
}
