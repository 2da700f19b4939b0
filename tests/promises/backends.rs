//! All backends, without their devices: every shader is valid for the kinds of device that use it, and is translated for Vulkan, Metal and
//! DX12 by wgpu's translators. Only a browser's compiler can say what a browser refuses: docs/adapters.md has the command.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ShaderStages, SubgroupOperationSet, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use wgrad::kernel::link::{Form, MODULE_NAMES, link};
use wgrad::kernel::tile::Family;
use wgrad::kernel::{Binding, Launch};
use wgrad::selftest::choices::FAMILIES;
use wgrad::selftest::shaders::every_launch;

/// All launches, made once.
fn launches() -> &'static [(Family, Launch)] {
    static LAUNCHES: OnceLock<Vec<(Family, Launch)>> = OnceLock::new();
    LAUNCHES.get_or_init(|| every_launch().unwrap())
}

/// The capabilities of this kind of device: a shader that needs subgroups is not valid on one without them.
fn capabilities(family: Family) -> Capabilities {
    // Two f16 of a word as f32 is part of WebGPU; f16 itself is not, and is not asked for.
    let all = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    match family {
        Family::Subgroups { words_64: true, .. } => all | Capabilities::SUBGROUP | Capabilities::SHADER_INT64,
        Family::Subgroups { words_64: false, .. } => all | Capabilities::SUBGROUP,
        _ => all,
    }
}

/// Validates a shader, and translates it as wgpu does on each system.
fn translate(family: Family, wgsl: &str) -> Result<(), String> {
    let module: Module = naga::front::wgsl::parse_str(wgsl).map_err(|error| error.emit_to_string(wgsl))?;
    let info = Validator::new(ValidationFlags::all(), capabilities(family))
        .subgroup_stages(ShaderStages::COMPUTE)
        .subgroup_operations(SubgroupOperationSet::all())
        .validate(&module)
        .map_err(|error| error.emit_to_string(wgsl))?;
    let entry = || Some((ShaderStage::Compute, "main".to_string()));

    let options = spv::Options { lang_version: (1, 3), ..Default::default() };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: "main".into() };
    spv::write_vec(&module, &info, &options, Some(&pipeline)).map_err(|error| format!("SPIR-V: {error}"))?;

    // Subgroups take 2.1, words of 64 bits 2.3.
    let options = msl::Options { lang_version: (2, 3), ..Default::default() };
    let pipeline = msl::PipelineOptions { entry_point: entry(), ..Default::default() };
    msl::write_string(&module, &info, &options, &pipeline).map_err(|error| format!("Metal: {error}"))?;

    // Subgroups and words of 64 bits take 6.0.
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..Default::default() };
    let (mut text, pipeline) = (String::new(), hlsl::PipelineOptions { entry_point: entry() });
    let mut writer = hlsl::Writer::new(&mut text, &options, &pipeline);
    writer.write(&module, &info, None).map_err(|error| format!("HLSL: {error}"))?;
    Ok(())
}

/// Finds a kernel that wgpu cannot translate for Metal or DX12, one that needs what its adapter lacks, and a merged launch whose parts do not link
/// together: all without such a device.
#[test]
fn every_shader_is_translated_for_every_backend() {
    let launches = launches();
    assert!(launches.len() > 500, "{}", launches.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut refused = vec![];
        while let Some((family, launch)) = launches.get(next.fetch_add(1, Ordering::Relaxed)) {
            // On a CPU loops may have been written out.
            for unrolled in [false, true].into_iter().take(if *family == Family::Software { 2 } else { 1 }) {
                let linked = link(launch, Form { enables: false, unrolled }).map_err(|error| error.to_string());
                let Err(reason) = linked.and_then(|wgsl| translate(*family, &wgsl)) else { continue };
                refused.push(format!("{} {} ({family}), {:?}: {reason}", launch.kernel, launch.variant, launch.flags));
            }
        }
        refused
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let refused: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(refused.is_empty(), "{} of {} refused, as {}", refused.len(), launches.len(), refused[0]);
}

/// Finds shaders that seem translated only because no test made them: every module in `shaders/`, every kind of merged launch and every binding has
/// to be in one of them.
#[test]
fn no_module_is_left_out() {
    let launches = launches();
    let parts = |launch: &Launch| if launch.parts.is_empty() { vec![launch.clone()] } else { launch.parts.clone() };
    let all: Vec<Launch> = launches.iter().flat_map(|(_, launch)| parts(launch)).collect();
    let mut seen: BTreeSet<&str> = all.iter().map(|launch| launch.root).collect();
    seen.extend(all.iter().flat_map(|launch| launch.mounts.iter().map(|(_, path)| *path)));
    // And what those import by name, and so on: modules that only import each other are in no shader.
    loop {
        let texts: Vec<&str> =
            MODULE_NAMES.iter().filter(|(name, _)| seen.contains(name)).map(|(_, text)| *text).collect();
        let imported = |name: &str| {
            let import = format!("import package::{}::", name.replace('/', "::"));
            let says = |line: &str| line.contains(&import) && !line.trim_start().starts_with("//");
            let joins = all.iter().flat_map(|launch| &launch.constants).map(|(_, text)| text.as_str());
            texts.iter().copied().chain(joins).any(|text| text.lines().any(says))
        };
        let more: Vec<&str> =
            MODULE_NAMES.iter().map(|(name, _)| *name).filter(|name| !seen.contains(name) && imported(name)).collect();
        if more.is_empty() {
            break;
        }
        seen.extend(more);
    }
    let missing: Vec<&str> = MODULE_NAMES.iter().map(|(name, _)| *name).filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let bound: BTreeSet<Binding> =
        all.iter().flat_map(|launch| launch.bindings.iter().map(|(slot, _)| *slot)).collect();
    assert_eq!(bound, Binding::ALL.iter().copied().collect());
    for family in FAMILIES {
        let merged = |(other, launch): &&(Family, Launch)| *other == family && launch.parts.len() > 1;
        assert!(launches.iter().filter(merged).count() > 1, "{family}: merged launches");
    }
}

/// Finds a line that browsers need and naga does not know, in the wrong one of the two texts.
#[test]
fn subgroups_are_enabled_for_browsers_alone() {
    let launches = launches();
    let of = |lanes| launches.iter().filter(move |(family, _)| matches!(family, Family::Subgroups { .. }) == lanes);
    let enabled = |launch: &Launch| link(launch, Form::BROWSERS).unwrap().starts_with("enable subgroups;\n");
    let tile = |launch: &Launch| launch.root == "tile/subgroup";
    let (_, with) = of(true).find(|(_, launch)| tile(launch)).unwrap();
    assert!(enabled(with) && !link(with, Form::default()).unwrap().contains("enable "));
    let (_, team) = of(true).find(|(_, launch)| launch.kernel == "team_head").unwrap();
    assert!(enabled(team));
    let (_, without) = of(false).find(|(_, launch)| launch.kernel == "team_head").unwrap();
    assert!(!enabled(without));
}
