//! Arrays of images: which axis has the channels, and how they come last, as every set has them.

use super::ReadOptions;
use super::array::Array;
use crate::preprocessing::{ChannelOrder, ImageShape};

/// What an array's rows are.
pub(super) struct Form {
    pub rows: usize,
    /// The number of features in a row.
    pub width: usize,
    /// The shape of the images, if the rows are images.
    pub image: Option<ImageShape>,
    /// The place of the channels in the array.
    pub order: ChannelOrder,
    /// What was decided where the shape leaves the place open.
    pub note: Option<String>,
}

impl Form {
    /// The form of an array of this shape: rows of features, or images with one channel or more. [`ReadOptions::channels`] says where the channels
    /// are, or else the shape that the images must have, or else the axis that can have them.
    pub fn of(shape: &[usize], options: &ReadOptions) -> Result<Form, String> {
        let (image, order, note) = match *shape {
            [_, features] => {
                let image = options.image.filter(|image| image.features() == Some(features));
                let order = options.channels.filter(|_| image.is_some());
                return Ok(Form {
                    rows: shape[0],
                    width: features,
                    image,
                    order: order.unwrap_or(ChannelOrder::Last),
                    note: None,
                });
            }
            [_, height, width] => (ImageShape { height, width, channels: 1 }, ChannelOrder::Last, None),
            [_, a, b, c] => {
                let (order, note) =
                    order_of([a, b, c], options).map_err(|reason| format!("has the shape {shape:?}: {reason}"))?;
                (image_of([a, b, c], order), order, note.map(|note| format!("has the shape {shape:?}: {note}")))
            }
            _ => {
                return Err(format!(
                    "has the shape {shape:?}: it must be [rows, features], or for images [rows, height, width], [rows, height, width, channels] or \
                     [rows, channels, height, width]"
                ));
            }
        };
        let width = image.features().ok_or_else(|| {
            format!("has the shape {shape:?}: every axis of an image must be at least 1, and its values must be no more than can be counted")
        })?;
        Ok(Form { rows: shape[0], width, image: Some(image), order, note })
    }

    /// The array with its channels last.
    pub fn channels_last<'a>(&self, array: Array<'a>) -> Array<'a> {
        match (self.image, self.order) {
            (Some(image), ChannelOrder::First) if image.channels > 1 => {
                let bytes = channels_last(&array.bytes, array.element.bytes(), image).into();
                Array { bytes, ..array }
            }
            _ => array,
        }
    }
}

/// Images with their channels last, from images in which each channel is a plane of its own; a value has `size` bytes.
pub(super) fn channels_last(images: &[u8], size: usize, image: ImageShape) -> Vec<u8> {
    let pixels = image.height * image.width;
    let mut last = Vec::with_capacity(images.len());
    for image in images.chunks_exact(size * pixels * image.channels) {
        for pixel in 0..pixels {
            image.chunks_exact(size * pixels).for_each(|plane| last.extend_from_slice(&plane[size * pixel..][..size]));
        }
    }
    last
}

fn image_of([a, b, c]: [usize; 3], order: ChannelOrder) -> ImageShape {
    match order {
        ChannelOrder::First => ImageShape { height: b, width: c, channels: a },
        ChannelOrder::Last => ImageShape { height: a, width: b, channels: c },
    }
}

/// The place of the channels in images with these axes, and a note where it is a guess.
fn order_of(axes: [usize; 3], options: &ReadOptions) -> Result<(ChannelOrder, Option<String>), String> {
    const BOTH: [ChannelOrder; 2] = [ChannelOrder::First, ChannelOrder::Last];
    if let Some(order) = options.channels {
        return Ok((order, None));
    }
    if let Some(image) = options.image {
        let [first, last] = BOTH.map(|order| image_of(axes, order) == image);
        if first != last {
            return Ok((if first { ChannelOrder::First } else { ChannelOrder::Last }, None));
        }
    }
    // Grey and colors are usual; a second channel, or opacity as a fourth, is known.
    let likely = |channels: usize| match channels {
        1 | 3 => 2,
        2 | 4 => 1,
        _ => 0,
    };
    let [a, _, c] = axes;
    let taken = |order: &str, other: &str| {
        format!(
            "its channels are taken as {order}, which --channels did not say; --channels {order} says it, and --channels {other} takes them as {other} (in a \
             program ReadOptions::channels)"
        )
    };
    match (likely(a), likely(c)) {
        (0, 0) => Err(format!(
            "images have their channels first, as in PyTorch, or last, and neither {a} nor {c} is a usual number of them (1 to 4): say --channels \
             first or --channels last (in a program ReadOptions::channels)"
        )),
        (first, last) if first > last => Ok((
            ChannelOrder::First,
            Some(format!("{}, and a row is [height, width, channels]", taken("first", "last"))),
        )),
        (first, last) if first < last => Ok((ChannelOrder::Last, None)),
        _ => Ok((
            ChannelOrder::Last,
            Some(format!("its images may have {a} channels first or {c} channels last; {}", taken("last", "first"))),
        )),
    }
}
