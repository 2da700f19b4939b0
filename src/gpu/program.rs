//! A plan's dispatches, compiled and bound: ready to be encoded any number of times.

use std::fmt::Write;
use std::sync::{Arc, PoisonError};

use super::{Buffer, Gpu};
use crate::Error;
use crate::kernel::link::link;
use crate::kernel::{Access, Launch};

/// Whether kernels check every index and loop at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Checks {
    /// They do not: the plan knows every extent. Two to five times faster.
    #[default]
    Off,
    /// They do, as every WebGPU implementation must for shaders it does not trust.
    On,
}

/// Compiled kernels with their buffers, in the order of a step.
pub(crate) struct Program {
    calls: Vec<Call>,
}

struct Call {
    pipeline: Arc<Pipeline>,
    buffers: wgpu::BindGroup,
    grid: [u32; 2],
}

/// A compiled kernel.
pub(crate) struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

impl Program {
    /// Compiles the launches, all at once, and binds each one's buffers in the order of its bindings.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with the compiler's words.
    pub(crate) fn new(gpu: &Gpu, bindings: &[(&Launch, Vec<&Buffer>)], checks: Checks) -> Result<Self, Error> {
        let compiled: Vec<Result<Arc<Pipeline>, Error>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                bindings.iter().map(|(launch, _)| scope.spawn(|| gpu.pipeline(launch, checks))).collect();
            let crashed = |_| Err(Error::Device("the driver's shader compiler crashed".into()));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(crashed)).collect()
        });
        let calls = compiled
            .into_iter()
            .zip(bindings)
            .map(|(pipeline, (launch, buffers))| {
                let pipeline = pipeline?;
                let entries: Vec<_> = launch
                    .bindings
                    .iter()
                    .zip(buffers)
                    .map(|(&(slot, _), buffer)| wgpu::BindGroupEntry {
                        binding: slot as u32,
                        resource: buffer.as_entire_binding(),
                    })
                    .collect();
                let buffers = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(launch.kernel),
                    layout: &pipeline.layout,
                    entries: &entries,
                });
                Ok(Call { pipeline, buffers, grid: launch.grid(gpu.adapter().max_workgroups) })
            })
            .collect::<Result<_, Error>>()?;
        gpu.check()?;
        Ok(Program { calls })
    }

    /// Dispatches of one step.
    pub(crate) fn dispatches(&self) -> usize {
        self.calls.len()
    }

    /// Records a number of steps, one after another.
    pub(crate) fn record(&self, encoder: &mut wgpu::CommandEncoder, steps: u64) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _ in 0..steps {
            for call in &self.calls {
                pass.set_pipeline(&call.pipeline.pipeline);
                pass.set_bind_group(0, &call.buffers, &[]);
                pass.dispatch_workgroups(call.grid[0], call.grid[1], 1);
            }
        }
    }
}

impl Gpu {
    /// Runs one launch by itself: `contents` has the bytes for each of its bindings, in their order, and holds what the
    /// device left there afterwards. For checking a kernel against a reference.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] where it does not compile, [`Error::Option`] where a buffer does not fit, [`Error::Device`]
    /// where the device failed.
    pub fn run_once(&self, launch: &Launch, contents: &mut [Vec<u8>], checks: Checks) -> Result<(), Error> {
        let buffers = contents.iter().map(|bytes| self.upload(launch.kernel, bytes)).collect::<Result<Vec<_>, _>>()?;
        let program = Program::new(self, &[(launch, buffers.iter().collect())], checks)?;
        self.submit(|encoder| program.record(encoder, 1));
        for (bytes, buffer) in contents.iter_mut().zip(&buffers) {
            *bytes = self.read(buffer, bytes.len())?;
        }
        Ok(())
    }

    /// The launch's kernel, compiled once for the life of the device.
    fn pipeline(&self, launch: &Launch, checks: Checks) -> Result<Arc<Pipeline>, Error> {
        let wgsl = link(launch)?;
        let mut key = wgsl.clone();
        // Writing to a string cannot fail.
        let _ = write!(key, "{:?} {checks:?}", launch.bindings);
        if let Some(known) = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let pipeline = Arc::new(self.compile(launch, wgsl, checks)?);
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&pipeline));
        Ok(pipeline)
    }

    fn compile(&self, launch: &Launch, wgsl: String, checks: Checks) -> Result<Pipeline, Error> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label: Some(launch.kernel), source: wgpu::ShaderSource::Wgsl(wgsl.into()) };
        let module = match checks {
            // SAFETY: the text is this crate's own, no index in it depends on data that was not checked on the host,
            // and the plan sizes every buffer for the constants that the text was linked with. The tests run every
            // kernel with checks too, and compare.
            Checks::Off => unsafe {
                self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
            },
            Checks::On => self.device.create_shader_module(descriptor),
        };
        let entries: Vec<_> = launch
            .bindings
            .iter()
            .map(|&(slot, access)| wgpu::BindGroupLayoutEntry {
                binding: slot as u32,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty: wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some(launch.kernel),
            entries: &entries,
        });
        let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(launch.kernel),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(launch.kernel),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            // wgpu would zero shared memory before every workgroup; the kernels write before they read.
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        match pollster::block_on(validation.pop()) {
            Some(error) => Err(Error::Kernel { kernel: launch.kernel.into(), reason: error.to_string() }),
            None => Ok(Pipeline { pipeline, layout }),
        }
    }
}
