//! The images of a minibatch side by side as f32, in the layout of images, augmented where a network trains with augmentation.

use super::binding::{Access, Binding};
use super::gather::Part;
use super::input::Input;
use super::launch::{Cost, Launch};
use crate::augmentation::Augmentation;
use crate::constants::Constants;
use crate::layout::{Image, quads_with_one};

/// Reads one part of the set, writes those images of the minibatch that are in it. `source` says what the set holds: rows of `image`'s features, channels
/// last and without gaps, then a 1. `scales` says whether each feature has a shift and a scale; `augmentation` is for training alone. It binds
/// [`Binding::Input`], [`Binding::State`], [`Binding::Output`] and, where it `scales`, [`Binding::Scaling`].
pub fn launch(
    batch: u32,
    image: Image,
    source: Input,
    part: Part,
    scales: bool,
    augmentation: Option<Augmentation>,
    workgroup: u32,
) -> Launch {
    let samples = batch.next_multiple_of(4);
    let x_quads = quads_with_one(image.pixels() * image.channels);
    let Augmentation { crop_padding, flip, cutout } = augmentation.unwrap_or_default();
    let moves = [("crops", crop_padding > 0), ("flips", flip), ("cuts", cutout > 0)];
    let augments = moves.iter().any(|&(_, is_on)| is_on);
    let forms = [("augments", augments), ("scales", scales), ("whole_quads", image.channels.is_multiple_of(4))];
    let constants = Constants::new()
        .u32("BATCH", batch)
        .u32("CHANNELS", image.channels)
        .u32("FIRST_ROW", part.first_row)
        .u32("HEIGHT", image.height)
        .u32("QUADS", image.quads())
        .u32("ROWS", part.rows)
        .u32("SAMPLES", samples)
        .u32("WIDTH", image.width)
        .u32("WORKGROUP", workgroup)
        .u32("X_QUADS", x_quads);
    let augmentation = Constants::new().u32("CROP_PADDING", crop_padding).u32("CUTOUT", cutout);
    let mut bindings = source.row_bindings();
    bindings.push((Binding::Output, Access::Write));
    bindings.extend(scales.then_some((Binding::Scaling, Access::Read)));
    let values = 4 * u64::from(samples) * u64::from(image.pixels()) * u64::from(image.quads());
    Launch {
        kernel: "gather_image",
        variant: String::new(),
        root: "gather_image",
        mounts: vec![("input", source.module())],
        constants: vec![("constants", constants.text()), ("augmentation_constants", augmentation.text())],
        flags: forms.into_iter().chain(moves).filter_map(|(flag, is_on)| is_on.then_some(flag)).collect(),
        bindings,
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: samples,
        cost: Cost {
            flops: if scales { 2 * values } else { 0 },
            bytes: u64::from(batch) * u64::from(x_quads) * source.quad_bytes()
                + 4 * values
                + if scales { 32 * u64::from(x_quads) } else { 0 },
        },
    }
}
