//! A representative set of the shaders of all plans on all adapters, made without a device, to be translated for every kind of driver.
//!
//! Tiles: each under each product, and each kind of tile with each kind of input. Norms: of rows and of groups, in every way. Networks of images and of tokens: with
//! every kind of layer. Steps: with groups of weights, an average and minibatches in parts. All other shaders come from plans for training: for every
//! two choices of different kinds (kinds of adapter, networks, sets, activations, losses, optimizers, clippings, schedules, purposes) there is a plan
//! that has both. It seldom takes three choices to make a shader wrong.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::choices::Choices;
use super::choices::FAMILIES;
use super::problem::{Adam1, plain};
use crate::activation::{Activation, Epilogue};
use crate::augmentation::Augmentation;
use crate::error::Error;
use crate::kernel::batch_norm::{self, BatchNorm, Joins, Statistics, Team};
use crate::kernel::link::{Form, link};
use crate::kernel::row_norm::{self, Norm};
use crate::kernel::tile::{Family, Tile};
use crate::kernel::tiling::Tiling;
use crate::kernel::{Input, Launch, conv, dense_backward, dense_forward, dense_update, norm_gradient, probe, textbook};
use crate::layout::{Conv, Dense, Image, Sliding, TokenLayout, Window};
use crate::loss::{Loss, Setting};
use crate::network::{AttentionLayer, AvgPoolLayer, DenseLayer, EmbeddedFeature, Network};
use crate::optimizer::{Optimizer, ParameterGroup, Rule};
use crate::plan::{Element, Plan, Request, SetLayout};
use crate::schedule::Schedule;
use crate::targets::Targets;
use crate::training::{Groups, Shards, Training};

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
    norms(&mut every);
    images(&mut every)?;
    updates(&mut every)?;
    tokens(&mut every)?;
    embeds(&mut every)?;
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
        std::fs::write(&file, link(launch, Form::BROWSERS)?).map_err(Error::io(&file))?;
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

/// Convolutions whose pixels have whole quads, or fewer than four channels, or channels in groups.
fn convolutions(every: &mut Every, family: Family, tile: Tile) {
    let optimizer = Adam1::optimizer();
    let closes = dense_update::Step { closes: true, ..Default::default() };
    let relu = Epilogue::of(Activation::Relu);
    for (channels, groups) in [(6, 1), (3, 1), (6, 3)] {
        let [input, output] = [channels, 9].map(|channels| Image { height: 5, width: 7, channels });
        let window = Window { size: [3, 3], stride: [1, 1], padding: [1, 1], dilation: [1, 1] };
        let conv = Conv { sliding: Sliding { batch: 3, input, output, window }, groups, bias: true };
        every.add(family, conv::forward::launch(conv, relu, None, false, tile));
        if conv.groups == 1 {
            every.add(family, conv::forward::launch_with(conv, true, relu, Some(0), true, tile));
        }
        every.add(family, conv::backward::launch(conv, relu, false, tile));
        every.add(family, conv::update::launch(conv, plain(&optimizer), tile, closes));
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
            if at < 2 || tile == Tile::Naive {
                convolutions(every, family, tile);
                // A reduction that is too long for one invocation.
                let long = Dense { batch: 40_000, inputs: 5, outputs: 3 };
                every.add(family, dense_update::launch(long, Input::Activations, plain(&optimizer), tile, closes));
            }
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

/// The launches of networks of images that have every kind of layer, in training and in evaluation, of all elements of a set.
fn images(every: &mut Every) -> Result<(), Error> {
    use Activation::{Gelu, Identity, Relu};
    let rows = Network::image(9, 7, 3)
        .conv(6, 3, Gelu)
        .max_pool(2)
        .with(AvgPoolLayer::new(2).stride(1).into())
        .flatten()
        .layer_norm()
        .with(DenseLayer::new(5).without_bias().into());
    let means = Network::image(9, 7, 3).conv(6, 3, Relu).max_pool(2).global_avg_pool();
    let flat = Network::image(9, 7, 3).conv(6, 3, Relu).flatten().with(DenseLayer::new(70).without_bias().into());
    let augmentation = Some(Augmentation { crop_padding: 2, flip: true, cutout: 3 });
    let (loss, optimizer, schedule) = (Loss::default(), Adam1::optimizer(), Schedule::default());
    let elements = [Element::U8, Element::F16, Element::F32].into_iter().cycle();
    let all = [rows, means, flat].map(|network| network.dense(4, Identity));
    for (family, element) in FAMILIES.into_iter().zip(elements) {
        let tiling = Tiling::of(family);
        for (network, skips_non_finite) in all.iter().zip([true, false, false]) {
            let training = Training { skips_non_finite, augmentation, ..Training::new(&optimizer, &schedule) };
            for training in [Some(training), None] {
                let request = Request {
                    network,
                    loss: &loss,
                    targets: Targets::CLASSES,
                    training,
                    batch: 5,
                    set: SetLayout::whole(element, 40),
                    tiling: &tiling,
                    metrics: false,
                };
                Plan::new(request)?.dispatches.into_iter().for_each(|dispatch| every.add(family, dispatch.launch));
            }
        }
    }
    Ok(())
}

/// The launches of steps with groups of weights, a moving average and minibatches in parts and in shards: under the optimizers that have modules of their own for them, of
/// losses whose mean is weighted and of others.
fn updates(every: &mut Every) -> Result<(), Error> {
    let network = Network::new(9).dense(12, Activation::Gelu).dropout(0.2).dense(8, Activation::Relu).layer_norm();
    let network = network.dense(4, Activation::Identity);
    let schedule = Schedule::default();
    let groups = [
        ParameterGroup::new(["norms"]).weight_decay(0.0),
        ParameterGroup::new(["0.bias", "3.weight"]).frozen(),
        ParameterGroup::new(["matrices"]).weight_decay(0.3).lr_scale(0.5),
    ];
    let mut losses = [Loss::default(), Loss::default()];
    losses[1].set("class_weights", Setting::List(vec![1.0, 2.0, 1.0, 0.5]))?;
    for (at, family) in FAMILIES.into_iter().enumerate() {
        let (tiling, optimizer) = (Tiling::of(family), Optimizer::from_name(["muon", "sgd", "adamw"][at % 3])?);
        let training = Training { average: Some(0.99), ..Training::new(&optimizer, &schedule) };
        let shards = Some(Shards::of_process(8, 1, 4));
        let parts = [(0, 1 + at as u32 % 2, None), (1, 3, None), (at % 2, 1, shards)];
        for (loss, accumulate, shards) in parts {
            let (loss, groups, skips_non_finite) = (&losses[loss], Groups::new(&groups), accumulate == 3);
            let request = Request {
                network: &network,
                loss,
                targets: Targets::CLASSES,
                training: Some(Training { groups, accumulate, shards, skips_non_finite, ..training }),
                batch: 5,
                set: SetLayout::whole(Element::F32, 40),
                tiling: &tiling,
                metrics: false,
            };
            Plan::new(request)?.dispatches.into_iter().for_each(|dispatch| every.add(family, dispatch.launch));
        }
    }
    Ok(())
}

/// The launches of networks of tokens: with heads of whole quads and of others, tied and not, of tokens in 1, 2 and 4 bytes, to train and to evaluate, under losses that
/// leave places out and others, with minibatches in parts, and with a vocabulary so large that the loss goes over the rows in strips; and those of steps that go on with a
/// sequence.
fn tokens(every: &mut Every) -> Result<(), Error> {
    let schedule = Schedule::default();
    let optimizer = Optimizer::from_name("adamw")?;
    let mut ignoring = Loss::default();
    ignoring.set("ignore_index", Setting::Number(-1.0))?;
    for (at, family) in FAMILIES.into_iter().enumerate() {
        let (heads, tied, causal) = ([2, 4][at % 2], at % 2 == 0, at % 3 > 0);
        let attention = AttentionLayer { causal, weights_dropout: 0.1, ..AttentionLayer::new(heads) };
        let last = if tied { DenseLayer::tied(70) } else { DenseLayer::new(7) };
        let network = Network::tokens(6)
            .embedding(12, 70)
            .dropout(0.1)
            .positions(6)
            .residual(|body| body.layer_norm().with(attention.into()))
            .activation(Activation::Gelu)
            .with(last.into());
        let pooled =
            Network::tokens(6).embedding(6, 9).positions(7).flatten().layer_norm().dense(3, Activation::Identity);
        let many = 20_000;
        let last = if tied { DenseLayer::tied(many) } else { DenseLayer::new(many) };
        let wide = Network::tokens(6).embedding(12, many).with(last.into());
        let tiling = Tiling::of(family);
        let (one, layout) = (network.of_one_place(), TokenLayout { bytes: 4, overlaps: false });
        let request = Request {
            network: &one,
            loss: &Loss::default(),
            targets: Targets::CLASSES,
            training: None,
            batch: 8,
            set: SetLayout::whole(Element::Tokens(layout), 8),
            tiling: &tiling,
            metrics: false,
        };
        Plan::continuation(request, 6)?.dispatches.into_iter().for_each(|dispatch| every.add(family, dispatch.launch));
        for (loss, bytes, accumulate) in [(&Loss::default(), 1, 1), (&ignoring, 2, 2), (&ignoring, 4, 1)] {
            let set = SetLayout::whole(Element::Tokens(TokenLayout { bytes, overlaps: bytes == 1 }), 40);
            let training = Some(Training { accumulate, ..Training::new(&optimizer, &schedule) });
            let (few, strips) = (5, 33);
            let all = [(&network, few), (&pooled, few), (&wide, strips)];
            for ((network, batch), training) in all.into_iter().flat_map(|of| [(of, training), (of, None)]) {
                let (metrics, targets) = (training.is_none(), Targets { label_bits: 8 * bytes, ..Targets::CLASSES });
                let request = Request { network, loss, targets, training, batch, set, tiling: &tiling, metrics };
                Plan::new(request)?.dispatches.into_iter().for_each(|dispatch| every.add(family, dispatch.launch));
            }
        }
    }
    Ok(())
}

/// The launches of networks that look up categories, beside numbers and alone, under losses that leave rows out and others.
fn embeds(every: &mut Every) -> Result<(), Error> {
    let (schedule, optimizer) = (Schedule::default(), Optimizer::from_name("adamw")?);
    let mut ignoring = Loss::default();
    ignoring.set("ignore_index", Setting::Number(-1.0))?;
    for family in FAMILIES {
        let tiling = Tiling::of(family);
        for (inputs, loss) in [(5, &Loss::default()), (2, &ignoring)] {
            let features = [EmbeddedFeature::new(1, 9, 8), EmbeddedFeature::new(0, 70, 3)];
            let network = &Network::new(inputs).embed(features).dense(3, Activation::Identity);
            let (training, targets) = (Some(Training::new(&optimizer, &schedule)), Targets::CLASSES);
            let set = SetLayout::whole(Element::F32, 40);
            let request = Request { network, loss, targets, training, batch: 5, set, tiling: &tiling, metrics: false };
            Plan::new(request)?.dispatches.into_iter().for_each(|dispatch| every.add(family, dispatch.launch));
        }
    }
    Ok(())
}

/// The launches of batch norms, of images and of rows, with every stage that may follow them.
fn batch_norms(every: &mut Every) {
    let image = |team| BatchNorm { batch: 33, pixels: 35, channels: 6, is_image: true, eps: 1e-5, momentum: 0.1, team };
    let belows = [None, Some(Activation::Relu), Some(Activation::Gelu)].map(|below| below.map(Epilogue::of));
    let norms = FAMILIES.into_iter().flat_map(|family| {
        let image = image(Team::of(family));
        [image, BatchNorm { pixels: 1, is_image: false, ..image }].map(|norm| (family, norm))
    });
    for (family, norm) in norms {
        every.add(family, batch_norm::statistics(norm));
        every.add(family, batch_norm::sums(norm));
        let epilogue = Epilogue::of(Activation::Relu).with_dropout(0.5);
        every.add(family, batch_norm::apply(norm, Statistics::Running, epilogue, false, None));
        for (joins, moves_running) in [(Joins::Before, true), (Joins::Itself, true), (Joins::Itself, false)] {
            every.add(family, batch_norm::merge(norm, moves_running));
            let by = Statistics::Minibatch { joins, moves_running };
            every.add(family, batch_norm::apply(norm, by, epilogue, true, Some(0)));
        }
        for (below, weighted_mean) in belows.into_iter().zip([false, true, false]) {
            every.add(family, batch_norm::merge_backward(norm, weighted_mean));
            for joins in [Joins::Before, Joins::Itself] {
                every.add(family, batch_norm::apply_backward(norm, joins, below, weighted_mean, weighted_mean));
            }
        }
    }
}

/// Norms of rows and images, with statistics of rows and of groups.
fn norms(every: &mut Every) {
    let rows = Norm {
        batch: 33,
        pixels: 1,
        channels: 12,
        groups: None,
        is_image: false,
        centered: true,
        eps: 1e-5,
        has_bias: true,
    };
    let groups = Norm { pixels: 6, groups: Some(4), is_image: true, ..rows };
    let epilogues = [Activation::Relu, Activation::Gelu].map(Epilogue::of);
    for norm in [rows, groups].into_iter().flat_map(|norm| [norm, Norm { centered: false, has_bias: false, ..norm }]) {
        for (epilogue, adds) in epilogues.into_iter().flat_map(|epilogue| [(epilogue, true), (epilogue, false)]) {
            let dropped = epilogue.with_dropout(0.5);
            every.add(Family::Reference, row_norm::forward(norm, epilogue, adds, None, 64));
            every.add(Family::Reference, row_norm::forward(norm, dropped, adds, Some(1), 64));
            every.add(Family::Reference, row_norm::backward(norm, Some(epilogue), adds, 64));
        }
        every.add(Family::Reference, row_norm::backward(norm, None, false, 64));
        // Rows in one slice, and in several.
        for (batch, weighted_mean) in [(4, false), (3333, true)].into_iter().chain([(4, true), (3333, false)]) {
            let of = norm_gradient::launch(Norm { batch, pixels: 1, ..norm }, weighted_mean, Family::Hardware);
            every.add(Family::Reference, of);
        }
    }
}
