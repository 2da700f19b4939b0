//! A representative set of the shaders of all plans on all adapters, made without a device, to be translated for every kind of driver.
//!
//! Tiles: each under each product, and each kind of tile with each kind of input. All other shaders come from plans for training: for every
//! two choices of different kinds (kinds of adapter, networks, sets, activations, losses, optimizers, clippings, schedules, purposes) there is a plan
//! that has both. It seldom takes three choices to make a shader wrong.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::choices::Choices;
use super::choices::FAMILIES;
use super::problem::{Adam1, plain};
use crate::activation::{Activation, Epilogue};
use crate::error::Error;
use crate::kernel::batch_norm::{self, BatchNorm, Statistics};
use crate::kernel::link::link_for_browsers;
use crate::kernel::tile::{Family, Tile};
use crate::kernel::{Input, Launch, dense_backward, dense_forward, dense_update, probe, textbook};
use crate::layout::Dense;
use crate::loss::Loss;
use crate::optimizer::Rule;

/// Networks with residual sums whose launches are among them.
const SUMS: usize = 8;

/// The launches, each once, with the kind of adapter that has them.
///
/// # Errors
///
/// None, unless a choice is no longer valid.
pub fn every_launch() -> Result<Vec<(Family, Launch)>, Error> {
    let mut every = Every::default();
    tiles(&mut every);
    batch_norms(&mut every);
    let choices = Choices::new()?;
    for case in choices.in_pairs().into_iter().chain(choices.with_sums(SUMS)).chain(choices.with_bare_sums(SUMS)) {
        let family = case.tiling.family;
        case.plan()?.dispatches.into_iter().for_each(|dispatch| every.add(family, dispatch.launch));
    }
    every.add(Family::Reference, textbook::launch(5, 19, 7));
    // Probes check functions that a user wrote.
    let own_activations =
        choices.activations.iter().filter(|(activation, _)| matches!(activation, Activation::Custom(_)));
    let own_losses = choices.losses.iter().filter(|(loss, _)| matches!(loss, Loss::Custom(_)));
    let own_optimizers = choices.optimizers.iter().filter(|optimizer| matches!(optimizer.rule, Rule::Custom(_)));
    own_activations.for_each(|&(own, _)| every.add(Family::Reference, probe::activation(own, 64)));
    own_losses.for_each(|(own, _)| every.add(Family::Reference, probe::loss(own, 64)));
    own_optimizers.for_each(|own| every.add(Family::Reference, probe::optimizer(own)));
    Ok(every.launches)
}

/// Writes these shaders, as a browser would be given them, to files in a folder, and returns their number. Those that need words of 64 bits,
/// which browsers do not have, are left out.
///
/// # Errors
///
/// [`Error::Io`] where they cannot be written.
pub fn write_for_browsers(folder: &Path) -> Result<usize, Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let launches = every_launch()?;
    let browsers = launches.iter().filter(|(family, _)| !matches!(family, Family::Subgroups { words_64: true, .. }));
    let mut count = 0;
    for (at, (_, launch)) in browsers.enumerate() {
        let variant: String = launch.variant.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let kernel = launch.kernel.replace('/', "_");
        let file: PathBuf = folder.join(format!("{at:04}_{kernel}_{variant}.wgsl"));
        std::fs::write(&file, link_for_browsers(launch)?).map_err(Error::io(&file))?;
        count = at + 1;
    }
    Ok(count)
}

/// Different launches.
#[derive(Default)]
struct Every {
    launches: Vec<(Family, Launch)>,
    known: HashSet<String>,
}

impl Every {
    /// Adds a launch, and the one that its slices need, if it has slices.
    fn add(&mut self, family: Family, mut launch: Launch) {
        if let Some(first) = launch.partials.as_mut().and_then(|partials| partials.written_by.take()) {
            self.add(family, *first);
        }
        if self.known.insert(launch.identity()) {
            self.launches.push((family, launch));
        }
    }
}

/// Every tile under every product, and every kind of tile with every input.
fn tiles(every: &mut Every) {
    const INPUTS: [Input; 4] = [Input::SetU8, Input::Activations, Input::SetF16, Input::SetF32];
    let dense = Dense { batch: 33, inputs: 45, outputs: 70 };
    let optimizer = Adam1::optimizer();
    let closes = dense_update::Step { closes: true, ..Default::default() };
    for family in FAMILIES {
        for (at, tile) in family.variants().into_iter().enumerate() {
            every.add(family, dense_backward::launch(dense, Epilogue::of(Activation::Relu), tile));
            every.add(
                family,
                dense_backward::launch_with(dense, Input::Activations, Epilogue::of(Activation::Relu), true, tile),
            );
            // The first two of a family, whole and in slices, with every input.
            let inputs = if at < 2 || tile == Tile::Naive { &INPUTS[..] } else { &INPUTS[at % 4..][..1] };
            for &input in inputs {
                every.add(family, dense_forward::launch(dense, input, Epilogue::of(Activation::Relu), None, tile));
                every.add(
                    family,
                    dense_forward::launch_with(dense, input, Epilogue::of(Activation::Relu), None, true, tile),
                );
                every.add(family, dense_update::launch(dense, input, plain(&optimizer), tile, closes));
            }
        }
    }
}

/// The launches of batch norms, of images and of rows, with every stage that may follow them.
fn batch_norms(every: &mut Every) {
    let image = BatchNorm { batch: 33, pixels: 35, channels: 6, is_image: true, eps: 1e-5, momentum: 0.1 };
    let belows = [None, Some(Activation::Relu), Some(Activation::Gelu)].map(|below| below.map(Epilogue::of));
    for (family, norm) in FAMILIES
        .into_iter()
        .flat_map(|family| [image, BatchNorm { pixels: 1, is_image: false, ..image }].map(|norm| (family, norm)))
    {
        let workgroup = family.row_workgroup();
        every.add(family, batch_norm::statistics(norm, workgroup));
        every.add(family, batch_norm::merge(norm, workgroup));
        every.add(family, batch_norm::sums(norm, workgroup));
        let epilogue = Epilogue::of(Activation::Relu).with_dropout(0.5);
        for (by, trains) in [(Statistics::Minibatch, Some(0)), (Statistics::Running, None)] {
            every.add(family, batch_norm::apply(norm, by, epilogue, trains.is_some(), trains, workgroup));
        }
        for (below, weighted_mean) in belows.into_iter().zip([false, true, false]) {
            every.add(family, batch_norm::merge_backward(norm, weighted_mean, workgroup));
            every.add(family, batch_norm::apply_backward(norm, below, weighted_mean, workgroup));
        }
    }
}
