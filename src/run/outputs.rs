//! A network's outputs of rows, a window of them at a time, in buffers that are kept from one to the next.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use super::buffers::{Buffers, beside, make_buffers, program};
use super::evaluator::EVALUATION_BATCH;
use super::state::State;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Buffer, Checks, Gpu, Program, Readback, Traffic, buffer_bytes};
use crate::kernel::tiling::Tiling;
use crate::layout::quads_with_one;
use crate::loss::Loss;
use crate::network::Network;
use crate::plan::{self, Element, Plan, Request, Role, SetLayout};
use crate::targets::Targets;

/// Device memory that the rows of one window, and what is in between, are kept below where that leaves room for some rows.
const MOST_BYTES: u64 = 64 << 20;
/// Rows of a window that are not given up for it.
const FEWEST_ROWS: u32 = 16;

/// What a window's number takes: no buffer is smaller.
pub(super) const NUMBER_BYTES: u64 = 16;
/// Bits that no kernel writes: a NaN of its own.
pub(super) const UNWRITTEN: u32 = 0x7fed_cba9;

/// A device's ways to a network's outputs, for sets of one kind.
pub(crate) struct Outputs {
    kind: Kind,
    network: Network,
    tiling: Tiling,
    layout: SetLayout,
    buffers: Buffers,
    /// Of the buffers, those that are not the weights'.
    own_bytes: u64,
    program: Program,
    /// The window's number, which is read back with its outputs: what comes back with another was not executed.
    number: Buffer,
    /// How many windows were handed over.
    handed_over: u32,
    read: Readback,
    /// Workgroups of each dispatch, by the number of blocks of four rows.
    workgroups: HashMap<u32, Vec<u32>>,
}

/// What sets have in common that the same kernels read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    element: Element,
    /// Whether features are scaled as they are read.
    is_scaled: bool,
}

impl Kind {
    pub fn of(set: &Dataset) -> Self {
        let SetLayout { element, is_scaled, .. } = set.layout(u64::MAX);
        Kind { element, is_scaled }
    }
}

impl Outputs {
    /// For rows like those of a set; `weights` has the buffers of the network's layers.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for rows of another width or form; [`Error::Option`] where not one row has room on the device; [`Error::Kernel`],
    /// [`Error::OutOfMemory`], [`Error::Device`].
    pub async fn new(
        gpu: &Gpu,
        network: &Network,
        tiling: &Tiling,
        weights: &Buffers,
        set: &Dataset,
        checks: Checks,
    ) -> Result<Self, Error> {
        set.check_form(network)?;
        let kind = Kind::of(set);
        let (plan, layout) = plan(network, tiling, kind, &gpu.adapter().name)?;
        // Beside rows that the device scales.
        let scaling = beside(gpu, set, &Loss::default(), network.outputs()).await?;
        let buffers = make_buffers(gpu, &plan, &[weights, &scaling]).await?;
        // Every window begins at the first row of its buffer, in order.
        gpu.write(&buffers[&Role::State], &[State::new(plan.batch as usize, plan.batch)]);
        let program = program(gpu, &plan, &[&buffers], checks).await?;
        let own = plan.bytes_of(|role| !matches!(role, Role::Weights(_)));
        let own_bytes = own.into_iter().map(buffer_bytes).sum();
        let number = gpu.zeros("a window's number", NUMBER_BYTES).await?;
        let read = Readback::new(gpu, NUMBER_BYTES + buffers[&Role::last_activations(network)].size()).await?;
        let (network, tiling, workgroups) = (network.clone(), tiling.clone(), HashMap::new());
        Ok(Outputs {
            kind,
            network,
            tiling,
            layout,
            buffers,
            own_bytes,
            program,
            number,
            handed_over: 0,
            read,
            workgroups,
        })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Device memory, but for the weights.
    pub fn bytes(&self) -> u64 {
        let read = NUMBER_BYTES + self.buffers[&Role::last_activations(&self.network)].size();
        self.own_bytes + self.number.size() + buffer_bytes(read)
    }

    /// The outputs of all rows of a set of the kind: `[rows, outputs]`, row-major, or those of sequences `[rows, places, outputs]`.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteResult`] naming the first row with an output that is not finite; [`Error::Device`].
    pub async fn of(
        &mut self,
        gpu: &Gpu,
        set: &Dataset,
        traffic: &mut Traffic,
        dispatches: &mut u64,
    ) -> Result<Vec<f32>, Error> {
        let outputs = self.network.outputs();
        // Rows of logits that a row of the set has.
        let places = self.network.places().map_or(1, |places| places as usize);
        let mut results = Vec::with_capacity(set.rows() * places * outputs);
        for first in (0..set.rows()).step_by(self.layout.rows as usize) {
            let rows = first..(first + self.layout.rows as usize).min(set.rows());
            *dispatches += self.program.dispatches() as u64;
            let (values, stride) = self.window(gpu, set, rows.clone(), traffic).await?;
            let rows = rows.flat_map(|row| std::iter::repeat_n(row, places));
            for (row, values) in rows.zip(values.chunks_exact(stride)) {
                if let Some(value) = values[..outputs].iter().find(|value| !value.is_finite()) {
                    return Err(Error::NonFiniteResult(format!(
                        "a logit of row {row} is {value}: the weights are too large"
                    )));
                }
                results.extend_from_slice(&values[..outputs]);
            }
        }
        Ok(results)
    }

    /// The outputs of a window of rows, and how many values a row of them, or a place, has with what pads it.
    async fn window(
        &mut self,
        gpu: &Gpu,
        set: &Dataset,
        rows: Range<usize>,
        traffic: &mut Traffic,
    ) -> Result<(Vec<f32>, usize), Error> {
        let blocks = rows.len().div_ceil(4) as u32;
        let (network, tiling, layout) = (&self.network, &self.tiling, self.layout);
        let workgroups = match self.workgroups.entry(blocks) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let loss = Loss::default();
                new.insert(Plan::workgroups_of_rows(request(network, tiling, layout, &loss), None, 4 * blocks)?)
            }
        };
        let outputs = self.network.outputs() as u32;
        // Of a sequence, no 1 follows a place's values.
        let (places, quads) = match self.network.places() {
            Some(places) => (places as usize, outputs.div_ceil(4)),
            None => (1, quads_with_one(outputs)),
        };
        let stride = 4 * quads as usize;
        let count = rows.len();
        set.with_device_rows(rows, quads_with_one(set.width() as u32) as usize, |bytes| {
            gpu.write(&self.buffers[&Role::Set(0)], bytes);
        });
        // A driver that executes nothing leaves the number of the window before, or what no output may be.
        self.handed_over = self.handed_over.wrapping_add(1);
        let outputs = &self.buffers[&Role::last_activations(&self.network)];
        gpu.write(&self.number, &[self.handed_over]);
        gpu.write(outputs, &[UNWRITTEN]);
        self.read.ready(gpu).await?;
        self.read.limit(NUMBER_BYTES + (4 * count * places * stride) as u64);
        gpu.submit(traffic, |encoder| {
            self.program.record_some(encoder, workgroups, gpu.adapter().max_workgroups);
            self.read.copy(encoder, &[&self.number, outputs]);
        });
        self.read.request()?;
        let read: Vec<u32> = self.read.wait(gpu, traffic).await?;
        let header = NUMBER_BYTES as usize / 4;
        if read[0] != self.handed_over || read[header] == UNWRITTEN {
            return Err(gpu.unexecuted(&format!("it was handed {count} rows, and none has an output")));
        }
        Ok((read[header..].iter().map(|&bits| f32::from_bits(bits)).collect(), stride))
    }
}

/// What is asked of a plan that answers for a window of rows.
pub(super) fn request<'a>(network: &'a Network, tiling: &'a Tiling, set: SetLayout, loss: &'a Loss) -> Request<'a> {
    let batch = set.rows as u32;
    Request { network, loss, targets: Targets::CLASSES, training: None, batch, set, tiling, metrics: false }
}

/// The plan of the largest window that has room. It follows from the network and the adapter alone, so that a row's bits do.
fn plan(network: &Network, tiling: &Tiling, kind: Kind, adapter: &str) -> Result<(Plan, SetLayout), Error> {
    let mut rows = EVALUATION_BATCH as u32;
    loop {
        let layout = SetLayout { is_scaled: kind.is_scaled, ..SetLayout::whole(kind.element, u64::from(rows)) };
        let plan = Plan::outputs(request(network, tiling, layout, &Loss::default()))?;
        let weights = |role| matches!(role, Role::Weights(_));
        let own: u64 = plan.bytes_of(|role| !weights(role)).iter().sum();
        match plan.larger_than(tiling.most_bytes) {
            Some(buffer) if rows == 1 || weights(buffer.role) => return Err(too_large(buffer, tiling, adapter)),
            None if own <= MOST_BYTES || rows <= FEWEST_ROWS => return Ok((plan, layout)),
            _ => rows /= 2,
        }
    }
}

/// What a buffer that the adapter cannot bind ends a plan with.
pub(super) fn too_large(buffer: &plan::Buffer, tiling: &Tiling, adapter: &str) -> Error {
    Error::Option(format!(
        "{} takes {} bytes in one buffer, and {adapter} can bind at most {}: make the layers smaller",
        buffer.role, buffer.bytes, tiling.most_bytes
    ))
}
