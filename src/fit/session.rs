//! What a trainer has from one call to the next.

use std::borrow::Cow;
use std::sync::Arc;

use crate::checkpoint::packing::interleaved;
use crate::checkpoint::{Checkpoint, RestorePoint, Resumed, Run, Saved};
use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::gpu::Gpu;
use crate::kernel::tile::Family;
use crate::kernel::tiling::Picks;
use crate::network::Network;
use crate::options::TrainOptions;
use crate::plan::Role;
use crate::preprocessing::Origin;
use crate::processes::Processes;
use crate::run::device_model::{DeviceModel, check_layers};
use crate::run::order::{Order, Position};
use crate::run::probe;
use crate::run::rows::{self, Rows};
use crate::run::state::{SKIPPED_WORD, State};
use crate::weights::Weights;

/// A network in device memory, how it is trained and how far it has come.
#[derive(Debug)]
pub(crate) struct Session {
    pub model: DeviceModel,
    pub options: TrainOptions,
    /// Of the tiling's picks, those that were pinned, or measured now or before.
    pub measured: Picks,
    pub position: Position,
    /// The fit that the next one goes on with, from a checkpoint.
    pub resumed: Option<Resumed>,
    /// Of the set that it was trained on last, here or in the file that it comes from.
    pub origin: Origin,
    /// Whether that was here, so that rows which it says no scaling of had none.
    pub is_fitted: bool,
    /// Whether parameters are reported after every epoch.
    pub reports_parameters: bool,
    /// The processes that train it together, where there are several.
    pub processes: Option<Arc<dyn Processes>>,
}

impl Session {
    /// Begins with these weights, which are made once it is known that they fit.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network or option that cannot be used on the device, [`Error::Wgsl`] for a function of the user's own whose
    /// derivative is not one, [`Error::Device`].
    pub async fn new(
        gpu: Arc<Gpu>,
        network: Network,
        options: TrainOptions,
        weights: impl FnOnce(&Network, &TrainOptions) -> Weights,
    ) -> Result<Self, Error> {
        let own = gpu.adapter().family();
        // With another number of lanes they would compute something else.
        if let Some(asked @ Family::Subgroups { .. }) = options.family
            && asked != own
        {
            return Err(Error::Option(format!(
                "{asked:?} is not the family of {}: that is {own:?}",
                gpu.adapter().name
            )));
        }
        let tiling = options.tiled(gpu.adapter().tiling(), gpu.adapter().mesa_version(), &Picks::default());
        options.picks.check(tiling.family)?;
        check_layers(&gpu, &network, &options.slots_of(&network))?;
        probe::check(&gpu, &network, &options.loss, &options.optimizer).await?;
        let weights = weights(&network, &options);
        let mut session = Session {
            model: DeviceModel::new(gpu, tiling, network, options.checks),
            options,
            measured: Picks::default(),
            position: Position::default(),
            resumed: None,
            origin: Origin::default(),
            is_fitted: false,
            reports_parameters: false,
            processes: None,
        };
        session.set_weights(&weights).await?;
        Ok(session)
    }

    /// Where a checkpoint was.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for a file that is damaged or lacks functions of the user's own; else as [`new`](Self::new).
    pub async fn resume(gpu: Arc<Gpu>, checkpoint: &Checkpoint) -> Result<Self, Error> {
        let Saved { run, step, fit, weights, averages, slots, best, state, sums } = checkpoint.saved()?;
        let Run { network, mut options, order, train, validation, adapter, picks, origin, .. } = run;
        follow_adapter(&gpu, &mut options, adapter, picks);
        let session = Session::new(gpu, network, options, |_, _| weights).await?;
        let model = &session.model;
        for (number, parameter) in model.network.named_parameters().iter().enumerate() {
            if let Some(buffer) = model.buffers.get(&Role::OptimizerSlots(number)) {
                let planes: Vec<Vec<f32>> = slots.iter().map(|slot| slot.layers[number].to_device(parameter)).collect();
                model.gpu.write(buffer, &interleaved(&planes));
            }
        }
        for (number, parameter) in model.network.named_parameters().iter().enumerate() {
            if let (Some(buffer), Some(averages)) = (model.buffers.get(&Role::Averages(number)), &averages) {
                model.gpu.write(buffer, &averages.layers[number].to_device(parameter));
            }
        }
        model.gpu.write(&model.buffers[&Role::State], &state);
        let position = Position { steps_done: step, skipped: state[SKIPPED_WORD], order };
        let path = checkpoint.path().to_path_buf();
        let resumed = Some(Resumed { fit, best, state, sums, sets: Some((train, validation)), path });
        Ok(Session { position, resumed, origin, is_fitted: true, ..session })
    }

    /// Replaces the weights and begins anew: the optimizer's values at 0, no steps done.
    pub async fn set_weights(&mut self, weights: &Weights) -> Result<(), Error> {
        let network = &self.model.network;
        let (slots, averaged) = (self.options.slots_of(network), self.options.averaged(network));
        self.model.set_weights(weights, &slots, &averaged).await?;
        (self.position, self.resumed) = (Position::default(), None);
        Ok(())
    }

    /// The step in which the next fit begins, or began before the checkpoint.
    pub fn fit_began(&self) -> u64 {
        self.resumed.as_ref().map_or(self.position.steps_done, |resumed| resumed.fit.began)
    }

    /// The order that the next step over a set of `rows` rows belongs to.
    pub fn order_over(&self, rows: usize) -> Order {
        self.position.order.over(rows, self.position.steps_done, self.options.step_rows())
    }

    /// The step state that a run to `last_step` begins with.
    pub fn state(&self, rows: usize, batch: u32, last_step: u64) -> State {
        let Position { steps_done, skipped, order } = self.position;
        let fresh = self.options.first_state(order, rows, batch, last_step);
        State { step: steps_done as u32, skipped, ..fresh }
    }

    /// The first row of a set that is read in windows.
    pub fn first_of_windows(&self, train: &dyn Source) -> Result<Option<Dataset>, Error> {
        rows::first_of_windows(train, &self.model.network, self.options.memory_budget)
    }

    /// All rows of a set, or windows of them.
    pub fn rows_of<'a>(&self, train: &'a dyn Source, first: Option<&'a Dataset>) -> Result<Rows<'a>, Error> {
        let sizing = self.options.window_sizing(self.model.network.outputs(), self.model.tiling.most_bytes);
        Rows::of(train, first, sizing)
    }

    /// The rows of a set as the network sees them.
    pub fn seen<'a>(&self, set: &'a Dataset) -> Result<Cow<'a, Dataset>, Error> {
        set.seen_as(&self.origin, self.is_fitted)
    }

    /// The moment before a fit begins, read from the device.
    pub async fn beginning(&mut self) -> Result<RestorePoint, Error> {
        RestorePoint::between_fits(&mut self.model, self.position, self.resumed.clone()).await
    }

    /// Goes back to a restore point, on the device that it has now.
    pub async fn go_back(&mut self, point: &RestorePoint) -> Result<(), Error> {
        self.go_back_on(Arc::clone(&self.model.gpu), point).await
    }

    /// The same on a device that may be another, which is the model's once all of the restore point is there.
    pub async fn go_back_on(&mut self, gpu: Arc<Gpu>, point: &RestorePoint) -> Result<(), Error> {
        (self.position, self.resumed) = point.restore(&mut self.model, gpu).await?;
        Ok(())
    }
}

/// The family of kernels and the tiles of a run whose adapter's name, driver and family were these, where this adapter can follow them.
fn follow_adapter(gpu: &Gpu, options: &mut TrainOptions, [name, driver, family]: [String; 3], picks: Picks) {
    let here = gpu.adapter();
    if (&name, &driver) != (&here.name, &here.driver) {
        tracing::warn!(
            was = format!("{name} ({driver})"),
            is = format!("{} ({})", here.name, here.driver),
            "another adapter or driver than the checkpoint's: the run goes on, with other bits"
        );
    }
    // On its own adapter a run may have asked for another family of tiles.
    let families = [here.family(), Family::Software, Family::Hardware, Family::Reference];
    let known = if name == here.name { &families[..] } else { &families[..1] };
    match known.iter().find(|known| known.to_string() == family) {
        Some(&known) => {
            options.family = Some(known).filter(|&known| known != here.family());
            options.picks = picks;
        }
        None => tracing::warn!(was = family, is = %here.family(), "the tiles are chosen anew"),
    }
}
