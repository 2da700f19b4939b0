//! Images as rows of features, channel by channel as PyTorch flattens them, or place by place as it flattens sequences; and the gradient by the images.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::{Image, quads_with_one};

/// Reads images from [`Binding::Input`], writes a row of activations for each to [`Binding::Output`], with its 1.
pub fn forward(batch: u32, image: Image, by_place: bool, workgroup: u32) -> Launch {
    launch("flatten", batch, image, by_place, workgroup)
}

/// Reads a row of gradients for each image from [`Binding::Gradient`], writes the gradient by the images to [`Binding::InputGradient`].
pub fn backward(batch: u32, image: Image, by_place: bool, workgroup: u32) -> Launch {
    launch("unflatten", batch, image, by_place, workgroup)
}

fn launch(kernel: &'static str, batch: u32, image: Image, by_place: bool, workgroup: u32) -> Launch {
    let is_forward = kernel == "flatten";
    let features = image.pixels() * image.channels;
    let row_quads = if is_forward { quads_with_one(features) } else { features.div_ceil(4) };
    let image_quads = image.pixels() * image.quads();
    let all = batch.next_multiple_of(4) * if is_forward { row_quads } else { image_quads };
    let constants = Constants::new()
        .u32("ALL", all)
        .u32("CHANNELS", image.channels)
        .u32("PIXELS", image.pixels())
        .u32("PIXEL_QUADS", image.quads())
        .u32("ROW_QUADS", row_quads)
        .u32("WORKGROUP", workgroup);
    let (read, written) = match is_forward {
        true => (Binding::Input, Binding::Output),
        false => (Binding::Gradient, Binding::InputGradient),
    };
    Launch {
        kernel,
        variant: String::new(),
        root: kernel,
        mounts: vec![],
        constants: vec![("constants", constants.text())],
        flags: by_place.then_some("by_place").into_iter().collect(),
        bindings: vec![(read, Access::Read), (written, Access::Write)],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: all.div_ceil(workgroup),
        cost: Cost { flops: 0, bytes: 16 * u64::from(batch) * (u64::from(row_quads) + u64::from(image_quads)) },
    }
}
