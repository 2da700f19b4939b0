//! The part that all loss and metrics kernels share.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use super::strips::Strips;
use crate::constants::Constants;
use crate::layout::Dense;
use crate::loss::Loss;
use crate::optimizer::Optimizer;
use crate::schedule::Schedule;
use crate::targets::{TargetKind, Targets};
use crate::training::Training;

/// What a loss kernel is made for.
#[derive(Clone, Copy)]
pub struct LossKernel<'a> {
    /// The last layer; its rows are those of a minibatch.
    pub dense: Dense,
    /// Where each place of a sequence has logits.
    pub places: Option<Places>,
    /// Where those of a strip of rows only are in memory.
    pub strips: Option<Strips>,
    /// The loss.
    pub loss: &'a Loss,
    /// The form that its targets have on the device.
    pub targets: Targets,
    /// None where nothing is trained.
    pub training: Option<Training<'a>>,
}

/// The places of a row that have logits and a label each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// How many.
    pub count: u32,
    /// Labels from the first of a row to that of the next.
    pub stride: u32,
}

impl LossKernel<'_> {
    /// Rows of logits, those included that round a minibatch up to a multiple of four rows.
    fn rows(self) -> u32 {
        let all = 4 * self.dense.batch_blocks() * self.places.map_or(1, |places| places.count);
        self.strips.map_or(all, |strips| strips.rows)
    }

    /// Rows of logits of the minibatch, or of a strip of it.
    pub(super) fn judged(self) -> u32 {
        let all = self.dense.batch * self.places.map_or(1, |places| places.count);
        self.strips.map_or(all, |strips| strips.rows)
    }

    /// A launch of `kernel` with a workgroup for every `rows_a_workgroup` rows: the modules, constants, flags and bindings of every loss
    /// kernel, to which the caller adds its own.
    pub(super) fn launch(self, kernel: &'static str, workgroup: u32, rows_a_workgroup: u32) -> Launch {
        let LossKernel { places, loss, targets, training, .. } = self;
        let parts = loss.parts(targets);
        // Where nothing is trained the modules still have to link.
        let optimizer = training.map_or(Optimizer::sgd(0.0), |training| *training.optimizer);
        let schedule = training.map_or(Schedule::default(), |training| *training.schedule);
        let mut mounts = vec![
            ("loss", parts.module),
            ("target", targets.module()),
            ("optimizer", optimizer.module()),
            ("schedule", schedule.module()),
        ];
        mounts.extend(parts.element.map(|element| ("element", element)));
        let mut flags = [parts.flags, optimizer.flags()].concat();
        let mut bindings =
            vec![(Binding::Targets, Access::Read), (Binding::State, Access::Write), (Binding::Stats, Access::Write)];
        if training.is_some() {
            flags.push("trains");
            // No product reads the set itself where its rows are tokens.
            bindings.extend(places.is_none().then_some((Binding::Visited, Access::Write)));
            bindings.push((Binding::Gradient, Access::Write));
        }
        if parts.output_weights.is_some() {
            flags.push("output_weights");
            bindings.push((Binding::OutputWeights, Access::Read));
        }
        flags.extend(self.target_flags());
        let own_texts = loss.own_text().into_iter().chain(optimizer.own_text());
        flags.extend(places.map(|_| "places"));
        let sizes = self.sizes().u32("IGNORED", parts.ignored).u32("WORKGROUP", workgroup);
        Launch {
            kernel,
            variant: loss.name().into(),
            root: kernel,
            mounts,
            constants: [
                ("optimizer_constants", optimizer.constants().text()),
                ("loss_constants", parts.constants.text()),
                ("constants", sizes.text()),
            ]
            .into_iter()
            .chain(own_texts)
            .collect(),
            flags,
            bindings,
            shape: None,
            parts: vec![],
            partials: None,
            workgroup,
            workgroups: self.rows().div_ceil(rows_a_workgroup),
            cost: self.cost(),
        }
    }

    /// The sizes of the logits.
    fn sizes(self) -> Constants {
        let LossKernel { dense, places, .. } = self;
        let sizes = Constants::new()
            .u32("BATCH", dense.batch)
            .u32("X_QUADS", dense.x_quads())
            .u32("CLASSES", dense.outputs)
            .u32("CLASS_QUADS", dense.out_quads())
            .u32("LOGIT_QUADS", if places.is_some() { dense.out_quads() } else { dense.y_quads() });
        match places {
            Some(places) => sizes.u32("PLACES", places.count).u32("STRIDE", places.stride),
            None => sizes,
        }
    }

    /// What it costs to judge the logits: targets are read, gradients and the samples' sums written.
    fn cost(&self) -> Cost {
        let (batch, outputs) = (u64::from(self.judged()), self.dense.outputs);
        let moved = self.targets.row_bits(outputs) * batch / 8 + self.logit_bytes() + (4 + 56) * batch;
        Cost { flops: 6 * batch * u64::from(outputs), bytes: moved }
    }

    /// Bytes of the logits.
    fn logit_bytes(self) -> u64 {
        16 * u64::from(self.judged()) * u64::from(self.dense.out_quads())
    }

    /// The flags that follow from the form of the targets, and from what weighs rows.
    fn target_flags(&self) -> Vec<&'static str> {
        let mut flags = vec![];
        flags.extend(match (self.targets.kind, self.targets.label_bits) {
            (TargetKind::Classes, 8) => Some("labels_8"),
            (TargetKind::Classes, 16) => Some("labels_16"),
            _ => None,
        });
        flags.extend(self.targets.sample_weights.then_some("sample_weights"));
        flags.extend(self.loss.has_weighted_mean(self.targets).then_some("weighted_mean"));
        flags
    }

    /// A metrics kernel's launch, which reads logits from memory and computes no loss. The caller sets its number of workgroups.
    pub(super) fn on_logits(self, kernel: &'static str, workgroup: u32) -> Launch {
        let mut launch = self.in_memory(kernel, workgroup, workgroup);
        launch.bindings = vec![
            (Binding::Targets, Access::Read),
            (Binding::State, Access::Write),
            (Binding::Output, Access::Read),
            (Binding::Metrics, Access::Write),
        ];
        launch
    }

    /// The launch for logits in memory.
    pub(super) fn in_memory(self, kernel: &'static str, workgroup: u32, rows_a_workgroup: u32) -> Launch {
        let mut launch = self.launch(kernel, workgroup, rows_a_workgroup);
        launch.flags.push("in_memory");
        launch.bindings.push((Binding::Output, Access::Read));
        launch.cost.bytes += self.logit_bytes();
        launch
    }
}
