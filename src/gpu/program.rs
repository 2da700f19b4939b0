//! A plan's dispatches, compiled and bound: ready to be encoded any number of times.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::checks::Checks;
use super::pipelines::{Pipeline, PipelineCache};
use super::trusted::shader_module;
use super::{Buffer, Encoder, Gpu, Traffic};
use crate::error::Error;
use crate::host::Task;
use crate::kernel::link::{Form, link};
use crate::kernel::{Access, Launch, grid};

/// Compiled kernels with their buffers, in the order of a step.
pub(crate) struct Program {
    calls: Vec<Call>,
}

/// A compiled kernel with its buffers.
pub(super) struct Call {
    pipeline: Arc<Pipeline>,
    buffers: wgpu::BindGroup,
    /// Workgroups.
    pub grid: [u32; 2],
}

impl Program {
    /// Compiles the launches, all at once, and binds each one's buffers in the order of its bindings.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with the compiler's words.
    pub(crate) async fn new(gpu: &Gpu, bindings: &[(&Launch, Vec<&Buffer>)], checks: Checks) -> Result<Self, Error> {
        gpu.compile_all(bindings.iter().map(|(launch, _)| *launch), checks).await?;
        let mut calls = Vec::with_capacity(bindings.len());
        for (launch, buffers) in bindings {
            calls.push(gpu.call(launch, buffers, checks).await?);
        }
        gpu.check()?;
        Ok(Program { calls })
    }

    /// Dispatches of one step.
    pub(crate) fn dispatches(&self) -> usize {
        self.calls.len()
    }

    /// Records one of the dispatches, a number of times.
    pub(crate) fn repeat(&self, encoder: &mut Encoder, at: usize, times: u64) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _ in 0..times {
            self.calls[at].record(&mut pass);
        }
    }

    /// Records one of the dispatches in a pass of its own, whose times are written.
    pub(super) fn record_timed(&self, encoder: &mut Encoder, at: usize, times: wgpu::ComputePassTimestampWrites<'_>) {
        let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(times) };
        self.calls[at].record(&mut encoder.begin_compute_pass(&descriptor));
    }

    /// Records a number of steps, one after another.
    pub(crate) fn record(&self, encoder: &mut Encoder, steps: u64) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _ in 0..steps {
            for call in &self.calls {
                call.record(&mut pass);
            }
        }
    }

    /// Records steps of which the first `repeated` dispatches are run once for each part of its minibatch: `parts` has how many each step has.
    pub(crate) fn record_in_parts(&self, encoder: &mut Encoder, repeated: usize, parts: impl Iterator<Item = u64>) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        let (of_part, of_step) = self.calls.split_at(repeated);
        for parts in parts {
            (0..parts).for_each(|_| of_part.iter().for_each(|call| call.record(&mut pass)));
            of_step.iter().for_each(|call| call.record(&mut pass));
        }
    }

    /// Records some of the dispatches, a number of times.
    pub(crate) fn record_range(&self, encoder: &mut Encoder, range: Range<usize>, times: u64) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        (0..times).for_each(|_| self.calls[range.clone()].iter().for_each(|call| call.record(&mut pass)));
    }

    /// Records one step that starts only the first `workgroups` workgroups of each dispatch.
    pub(crate) fn record_some(&self, encoder: &mut Encoder, workgroups: &[u32], max_workgroups: u32) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for (call, &workgroups) in self.calls.iter().zip(workgroups) {
            call.record_over(&mut pass, grid(workgroups, max_workgroups));
        }
    }
}

impl Call {
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.record_over(pass, self.grid);
    }

    fn record_over(&self, pass: &mut wgpu::ComputePass<'_>, [columns, rows]: [u32; 2]) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.buffers, &[]);
        pass.dispatch_workgroups(columns, rows, 1);
    }
}

impl Gpu {
    /// What [`run_once`](Self::run_once) does.
    ///
    /// # Errors
    ///
    /// As [`run_once`](Self::run_once).
    pub(crate) async fn run_launch(
        &self,
        launch: &Launch,
        contents: &mut [Vec<u8>],
        checks: Checks,
    ) -> Result<(), Error> {
        if contents.len() != launch.bindings.len() || contents.iter().any(|bytes| bytes.len() % 4 != 0) {
            return Err(Error::Option(format!(
                "{} binds {} buffers of whole words",
                launch.kernel,
                launch.bindings.len()
            )));
        }
        let mut buffers = Vec::new();
        for bytes in &*contents {
            buffers.push(self.upload(launch.kernel, bytes).await?);
        }
        let program = Program::new(self, &[(launch, buffers.iter().collect())], checks).await?;
        let traffic = &mut Traffic::default();
        self.submit(traffic, |encoder| program.record(encoder, 1));
        for (bytes, buffer) in contents.iter_mut().zip(&buffers) {
            *bytes = self.read(buffer, bytes.len(), traffic).await?;
        }
        Ok(())
    }

    /// Compiles each different kernel among the launches, on as many threads as there are cores.
    async fn compile_all<'a>(&self, launches: impl Iterator<Item = &'a Launch>, checks: Checks) -> Result<(), Error> {
        let mut different: Vec<&Launch> = Vec::new();
        for launch in launches {
            if !different.iter().any(|known| known.identity() == launch.identity()) {
                different.push(launch);
            }
        }
        different.retain(|launch| !self.knows(launch, checks));
        // The longest first: with the others beside it, all are done soonest.
        different.sort_by_key(|launch| Reverse(launch.identity().len()));
        let (next, first_error) = (AtomicUsize::new(0), Mutex::new(None));
        let work = || -> Task<'_, ()> {
            Box::pin(async {
                while let Some(launch) = different.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = self.pipeline(launch, checks).await {
                        first_error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        return;
                    }
                }
            })
        };
        let is_done = self.host.help(different.len(), &work, work()).await;
        if let Some(error) = first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        if !is_done {
            return Err(Error::Device("the driver's shader compiler crashed".into()));
        }
        self.rehearse(&different, checks).await
    }

    /// A kernel with the buffers for its bindings, in their order.
    pub(super) async fn call(&self, launch: &Launch, buffers: &[&Buffer], checks: Checks) -> Result<Call, Error> {
        let pipeline = self.pipeline(launch, checks).await?;
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let buffers = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(launch.kernel),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok(Call { pipeline, buffers, grid: launch.grid(self.adapter().max_workgroups) })
    }

    /// Kernels that were compiled since it was opened. One that is known is not compiled again.
    pub fn kernels_compiled(&self) -> usize {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Writes what the driver compiled to the pipeline cache, where there is one and something is new.
    pub(crate) fn keep_pipelines(&self) {
        if let Some(cache) = &self.pipeline_cache {
            cache.keep(self.kernels_compiled());
        }
    }

    /// Whether the launch's kernel was compiled on this device.
    fn knows(&self, launch: &Launch, checks: Checks) -> bool {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key(launch, checks).0)
    }

    /// The launch's kernel, compiled once for the life of the device.
    async fn pipeline(&self, launch: &Launch, checks: Checks) -> Result<Arc<Pipeline>, Error> {
        let (key, checks) = key(launch, checks);
        if let Some(known) = self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let started = self.host.now();
        let form = Form { enables: cfg!(target_family = "wasm"), unrolled: !self.adapter().unrolls_loops() };
        let wgsl = link(launch, form)?;
        let pipeline = Arc::new(self.compile(launch, wgsl, checks).await?);
        tracing::debug!(kernel = launch.kernel, variant = launch.variant, took = ?self.host.since(started), "compiled");
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&pipeline));
        Ok(pipeline)
    }

    async fn compile(&self, launch: &Launch, wgsl: String, checks: Checks) -> Result<Pipeline, Error> {
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = shader_module(&self.device, launch, wgsl, checks);
        let entries: Vec<_> = (0..)
            .zip(&launch.bindings)
            .map(|(binding, &(_, access))| wgpu::BindGroupLayoutEntry {
                binding,
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
            cache: self.pipeline_cache.as_ref().map(PipelineCache::inner),
        });
        match validation.pop().await {
            Some(error) => Err(Error::Kernel { kernel: launch.kernel.into(), reason: error.to_string() }),
            None => Ok(Pipeline { pipeline, layout }),
        }
    }
}

/// The key of a launch's compiled kernel, and whether it is compiled with checks: a kernel that a user wrote part of always is.
fn key(launch: &Launch, checks: Checks) -> (String, Checks) {
    let checks = if launch.is_our_own() { checks } else { Checks::On };
    (format!("{:?} {checks:?}", launch.identity()), checks)
}
