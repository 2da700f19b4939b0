//! The adapters of this machine, and the choice of one.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, INSTALL_HINT};
use crate::kernel::tile::Family;
use crate::kernel::tiling::Tiling;
use crate::named::{Elsewhere, Named, by_word};

/// Which adapter to train on.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum AdapterChoice {
    /// The best there is: a discrete GPU, an integrated one, then a software adapter.
    #[default]
    Auto,
    /// A software adapter.
    Cpu,
    /// The best that all of these words fit, which are separated by spaces, in any case: a backend (`vulkan`, `metal`, `dx12`, `gl`), a kind
    /// (`discrete`, `integrated`, `virtual`, `software`, `cpu`, or `gpu` for any but software), or a part of its name or its driver's. A whole number is that of an adapter in
    /// the order of [`adapters`](super::adapters), from 0, where there are as many.
    Named(String),
}

impl FromStr for AdapterChoice {
    type Err = Error;

    /// `auto`, `cpu`, or words as [`AdapterChoice::Named`] has them.
    fn from_str(words: &str) -> Result<Self, Error> {
        let words = words.to_lowercase();
        match words.trim() {
            "" => Err(Error::Option(
                "the adapter's name is empty: use auto, a backend as vulkan, a kind as cpu or discrete, or part of a name".into(),
            )),
            "auto" => Ok(AdapterChoice::Auto),
            "cpu" => Ok(AdapterChoice::Cpu),
            name => Ok(AdapterChoice::Named(name.into())),
        }
    }
}

/// What a word says of an adapter.
#[derive(Clone, Copy)]
enum Fits {
    Backend(wgpu::Backend),
    Kind(AdapterKind),
    /// Any kind but software.
    Gpu,
}

/// The words that do not stand for a part of a name.
const WORDS: &[(&str, Fits)] = &[
    ("vulkan", Fits::Backend(wgpu::Backend::Vulkan)),
    ("metal", Fits::Backend(wgpu::Backend::Metal)),
    ("dx12", Fits::Backend(wgpu::Backend::Dx12)),
    ("d3d12", Fits::Backend(wgpu::Backend::Dx12)),
    ("gl", Fits::Backend(wgpu::Backend::Gl)),
    ("opengl", Fits::Backend(wgpu::Backend::Gl)),
    ("discrete", Fits::Kind(AdapterKind::Discrete)),
    ("integrated", Fits::Kind(AdapterKind::Integrated)),
    ("virtual", Fits::Kind(AdapterKind::Virtual)),
    ("software", Fits::Kind(AdapterKind::Software)),
    ("cpu", Fits::Kind(AdapterKind::Software)),
    ("gpu", Fits::Gpu),
];

/// What other programs call them.
const ELSEWHERE: Elsewhere = &[
    (&["cuda", "nvidia-gpu", "rocm", "hip", "mps"], "gpu, or the backend (vulkan, metal or dx12) that reaches it"),
    (&["directx", "directx12", "dx"], "dx12"),
    (&["gles", "opengles"], "gl"),
    (&["vk"], "vulkan"),
    (&["dgpu", "dedicated"], "discrete"),
    (&["igpu", "onboard"], "integrated"),
    (&["default", "best", "any"], "auto"),
];

/// Whether a word fits an adapter.
fn fits(word: &str, info: &wgpu::AdapterInfo) -> bool {
    let kind = kind(info.device_type);
    match WORDS.iter().find(|(known, _)| *known == word) {
        Some((_, Fits::Backend(backend))) => info.backend == *backend,
        Some((_, Fits::Kind(wanted))) => kind == *wanted,
        Some((_, Fits::Gpu)) => kind != AdapterKind::Software,
        None => format!("{} {} {}", info.name, info.driver, info.driver_info).to_lowercase().contains(word),
    }
}

/// Why none of the adapters that were found fits.
fn refused(name: &str, found: &[wgpu::AdapterInfo]) -> String {
    let stranger = name.split_whitespace().find(|word| !found.iter().any(|info| fits(word, info)));
    match stranger {
        None => format!("no adapter is all of \"{name}\""),
        Some(word) if WORDS.iter().any(|(known, _)| *known == word) => format!("no adapter is {word}"),
        Some(word) => format!(
            "no adapter's name or driver contains \"{word}\", {}",
            crate::named::unknown(word, "a backend or a kind", WORDS.iter().map(|&(known, _)| known), ELSEWHERE)
        ),
    }
}

/// What a device may use of its adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Limits {
    /// All that it offers.
    #[default]
    Adapter,
    /// What WebGPU promises everywhere: its default limits and no optional feature. To know what a browser would take.
    WebGpu,
}

impl Named for Limits {
    const WHAT: &'static str = "a choice of limits";
    const WORDS: &'static [(&'static str, Self)] = &[("adapter", Limits::Adapter), ("webgpu", Limits::WebGpu)];
}
by_word!(Limits);

impl Limits {
    /// The adapter's limits that may be used.
    pub(super) fn of(self, adapter: &wgpu::Adapter) -> wgpu::Limits {
        match self {
            Limits::Adapter => adapter.limits(),
            Limits::WebGpu => wgpu::Limits::default().or_worse_values_from(&adapter.limits()),
        }
    }

    /// The optional features of [`FEATURES`] that the adapter has and that may be used.
    pub(super) fn features(self, adapter: &wgpu::Adapter) -> wgpu::Features {
        match self {
            Limits::Adapter => {
                FEATURES.iter().fold(wgpu::Features::empty(), |all, &(_, flag)| all | flag) & adapter.features()
            }
            Limits::WebGpu => wgpu::Features::empty(),
        }
    }
}

/// What stands behind an adapter, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU behind a hypervisor.
    Virtual,
    /// The driver does not say.
    Other,
    /// The CPU.
    Software,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdapterKind::Discrete => "discrete GPU",
            AdapterKind::Integrated => "integrated GPU",
            AdapterKind::Virtual => "virtual GPU",
            AdapterKind::Other => "other",
            AdapterKind::Software => "software",
        })
    }
}

/// What is known of an adapter before it is used. Its limits and features are those that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    /// The adapter's name.
    pub name: String,
    /// The number that PCI has for its vendor; 0 where the backend does not say.
    pub vendor: u32,
    /// Vulkan, Metal, Dx12 or Gl.
    pub backend: String,
    /// The driver's name and version.
    pub driver: String,
    /// What stands behind it.
    pub kind: AdapterKind,
    /// The largest buffer that a kernel can bind, in bytes.
    pub max_binding_bytes: u64,
    /// The largest buffer, in bytes.
    pub max_buffer_bytes: u64,
    /// Shared memory of a workgroup, in bytes.
    pub max_workgroup_bytes: u32,
    /// Invocations of a workgroup.
    pub max_workgroup_invocations: u32,
    /// Workgroups in one dimension of a dispatch.
    pub max_workgroups: u32,
    /// Storage buffers that a kernel can bind.
    pub max_bindings: u32,
    /// Fewest and most invocations in a subgroup.
    pub subgroup_sizes: (u32, u32),
    /// The optional features that it has, of those that are used here.
    pub features: Vec<&'static str>,
    /// Whether this one would be used.
    pub chosen: bool,
}

/// Intel's number among PCI's vendors.
const INTEL: u32 = 0x8086;

/// The optional features that matter, by name.
const FEATURES: &[(&str, wgpu::Features)] = &[
    ("subgroups", wgpu::Features::SUBGROUP),
    ("f16", wgpu::Features::SHADER_F16),
    ("timestamps", wgpu::Features::TIMESTAMP_QUERY),
    ("immediates", wgpu::Features::IMMEDIATES),
    ("int64", wgpu::Features::SHADER_INT64),
    ("pipeline-cache", wgpu::Features::PIPELINE_CACHE),
];

impl AdapterSummary {
    pub(super) fn of(adapter: &wgpu::Adapter, usable: Limits, chosen: bool) -> Self {
        let (info, limits, features) = (adapter.get_info(), usable.of(adapter), usable.features(adapter));
        AdapterSummary {
            // A browser does not say the name.
            name: Some(info.name).filter(|name| !name.is_empty()).unwrap_or_else(|| "the browser's adapter".into()),
            vendor: info.vendor,
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            kind: kind(info.device_type),
            max_binding_bytes: limits.max_storage_buffer_binding_size,
            max_buffer_bytes: limits.max_buffer_size,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            max_bindings: limits.max_storage_buffers_per_shader_stage,
            subgroup_sizes: (info.subgroup_min_size, info.subgroup_max_size),
            features: FEATURES.iter().filter(|(_, flag)| features.contains(*flag)).map(|&(name, _)| name).collect(),
            chosen,
        }
    }

    /// What planning has to know of the adapter.
    pub fn tiling(&self) -> Tiling {
        let most_bytes = self.max_binding_bytes.min(self.max_buffer_bytes);
        let rules = Tiling::of(self.family());
        let most_blocks = match self.family() {
            // With four blocks, Mesa's compiler for Intel spills at least 55 registers: docs/gpus.md.
            Family::Hardware if self.vendor == INTEL => 2,
            // Mesa 25's code for tiles of eight blocks down takes twice as long as for two of four: benches/RESULTS.md.
            Family::Subgroups { .. } if self.mesa_version() == Some(25) => 4,
            _ => rules.most_blocks,
        };
        Tiling { most_bindings: self.max_bindings, most_bytes, most_blocks, ..rules }
    }

    /// The version of Mesa, where it is the driver: 25 of "llvmpipe Mesa 25.0.7-2 (LLVM 19.1.7)".
    pub(crate) fn mesa_version(&self) -> Option<u32> {
        let (_, version) = self.driver.split_once("Mesa ")?;
        version.split(|digit: char| !digit.is_ascii_digit()).next()?.parse().ok()
    }

    /// Whether the driver's compiler unrolls loops. Not in a browser without a GPU, which has SwiftShader.
    pub(crate) fn unrolls_loops(&self) -> bool {
        self.kind != AdapterKind::Software || cfg!(not(target_family = "wasm"))
    }

    /// The family of tiles that suits the adapter.
    pub fn family(&self) -> Family {
        match self.subgroup_sizes {
            _ if self.kind != AdapterKind::Software => Family::Hardware,
            (lanes @ (4 | 8 | 16), most) if most == lanes && self.features.contains(&"subgroups") => {
                Family::Subgroups { lanes, words_64: self.features.contains(&"int64") }
            }
            _ => Family::Software,
        }
    }
}

fn kind(device_type: wgpu::DeviceType) -> AdapterKind {
    match device_type {
        wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
        wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
        wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
        wgpu::DeviceType::Cpu => AdapterKind::Software,
        wgpu::DeviceType::Other => AdapterKind::Other,
    }
}

/// What [`adapters`](super::adapters) returns.
pub(super) async fn summaries(choice: &AdapterChoice, limits: Limits) -> Vec<AdapterSummary> {
    let found = all().await;
    let chosen = fitting(&found, choice).first().copied();
    found.iter().enumerate().map(|(at, adapter)| AdapterSummary::of(adapter, limits, chosen == Some(at))).collect()
}

/// The adapter of the choice, or the one with this number among those that fit and are like it.
pub(super) async fn pick(choice: &AdapterChoice, number: usize) -> Result<wgpu::Adapter, Error> {
    let mut found = all().await;
    let like = |at: usize| {
        let info = found[at].get_info();
        (kind(info.device_type), info.backend)
    };
    let fitting = fitting(&found, choice);
    let alike: Vec<usize> = fitting.iter().copied().filter(|&at| like(at) == like(fitting[0])).collect();
    match alike.get(number % alike.len().max(1)) {
        Some(&at) => Ok(found.swap_remove(at)),
        None => {
            let infos: Vec<wgpu::AdapterInfo> = found.iter().map(wgpu::Adapter::get_info).collect();
            let names: Vec<String> = infos
                .iter()
                .map(|info| format!("{} ({}, {})", info.name, kind(info.device_type), info.backend))
                .collect();
            Err(Error::NoAdapter(match (choice, names.is_empty()) {
                (_, true) => format!("no adapter was found\n{INSTALL_HINT}"),
                (AdapterChoice::Named(name), false) => {
                    format!("{}; there is: {}", refused(name, &infos), names.join(", "))
                }
                (_, false) => format!("no software adapter; there is: {}\n{INSTALL_HINT}", names.join(", ")),
            }))
        }
    }
}

/// An adapter that was found before, of the same name and backend.
pub(super) async fn again(known: &wgpu::AdapterInfo) -> Option<wgpu::Adapter> {
    all().await.into_iter().find(|adapter| {
        let info = adapter.get_info();
        (info.name, info.backend) == (known.name.clone(), known.backend)
    })
}

/// Keeps drivers from writing to stderr. Where there is no desktop, a layer that Mesa puts before every Vulkan driver on Linux writes "error: XDG_RUNTIME_DIR is
/// invalid" to stderr whenever adapters are looked for. All it does is reorder them, and that is done here by ourselves: so the layer is left out, by a
/// variable of the environment, `NODEVICE_SELECT`, unless one of those that it goes by is set.
///
/// A process can safely set one only while it has a single thread. [`Gpu::open`](crate::Gpu::open) does so by itself where it is called then; a program that
/// opens a device once it has threads calls this first in its `main`.
pub fn quiet_drivers() {
    #[cfg(target_os = "linux")]
    if ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT", "NODEVICE_SELECT"]
        .iter()
        .all(|name| std::env::var_os(name).is_none())
    {
        // Where it cannot be set, two lines are written to stderr: no reason to fail.
        let _ = super::trusted::set_variable("NODEVICE_SELECT", "1");
    }
}

/// Every adapter that runs compute shaders, best first: by kind, then by backend.
async fn all() -> Vec<wgpu::Adapter> {
    quiet_drivers();
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let mut found = instance.enumerate_adapters(wgpu::Backends::all()).await;
    found.retain(|adapter| {
        adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
            && adapter.limits().max_storage_buffers_per_shader_stage >= 8
    });
    found.sort_by_key(|adapter| {
        let info = adapter.get_info();
        // OpenGL last: compute shaders are maintained least in its drivers.
        (kind(info.device_type), info.backend == wgpu::Backend::Gl)
    });
    found
}

/// The places of the adapters that the choice is of, best first.
fn fitting(found: &[wgpu::Adapter], choice: &AdapterChoice) -> Vec<usize> {
    if let AdapterChoice::Named(words) = choice
        && let Some(number) = words.parse().ok().filter(|number| (0..found.len()).contains(number))
    {
        return vec![number];
    }
    let fits = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        match choice {
            AdapterChoice::Auto => true,
            AdapterChoice::Cpu => info.device_type == wgpu::DeviceType::Cpu,
            AdapterChoice::Named(words) => words.to_lowercase().split_whitespace().all(|word| fits(word, &info)),
        }
    };
    (0..found.len()).filter(|&at| fits(&found[at])).collect()
}
