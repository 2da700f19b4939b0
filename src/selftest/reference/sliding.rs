//! Convolutions and pools in f64: windows that slide over images `[rows, height, width, channels]`.

use super::network::Layer;
use crate::layout::{Conv, Image, Sliding};

/// The pixels under a window at a place of the output, each as the tap and the pixel's index in its image. Padding has no pixels.
fn under(sliding: Sliding, [down, across]: [usize; 2]) -> Vec<(usize, usize)> {
    let Sliding { input, window, .. } = sliding;
    // Along one side: each tap with the pixel under it.
    let side = |axis: usize, at: usize, pixels: u32| -> Vec<(usize, usize)> {
        let [size, stride, padding, dilation] =
            [window.size, window.stride, window.padding, window.dilation].map(|pair| pair[axis] as usize);
        let pixel = |tap: usize| (at * stride + tap * dilation).checked_sub(padding).map(|pixel| (tap, pixel));
        (0..size).filter_map(pixel).filter(|&(_, pixel)| pixel < pixels as usize).collect()
    };
    let (rows, columns) = (side(0, down, input.height), side(1, across, input.width));
    let of_row = |&(row, y): &(usize, usize)| {
        let of_pixel =
            move |&(column, x): &(usize, usize)| (row * window.size[1] as usize + column, y * input.width as usize + x);
        columns.iter().map(of_pixel).collect::<Vec<_>>()
    };
    rows.iter().flat_map(of_row).collect()
}

/// Calls `each` for every place of the outputs of `rows` images, in their order, with the image that came in and what is under the window.
fn slide(sliding: Sliding, rows: usize, x: &[f64], mut each: impl FnMut(&[f64], &[(usize, usize)])) {
    let Image { height, width, .. } = sliding.output;
    let places = (0..height as usize).flat_map(|down| (0..width as usize).map(move |across| [down, across]));
    let windows: Vec<_> = places.map(|place| under(sliding, place)).collect();
    for image in x.chunks_exact(x.len() / rows) {
        windows.iter().for_each(|window| each(image, window));
    }
}

/// `torch.nn.functional.conv2d`. Each column of the weights is an output channel's `[channels of its group, down, across]`.
pub fn conv(conv: Conv, rows: usize, x: &[f64], own: &Layer) -> Vec<f64> {
    let sliding = conv.sliding;
    let [channels, outputs] = [sliding.input, sliding.output].map(|image| image.channels as usize);
    let (groups, taps) = (conv.groups as usize, sliding.window.taps() as usize);
    let in_group = channels / groups;
    let mut y = vec![];
    slide(sliding, rows, x, |image, window| {
        for o in 0..outputs {
            let first = o / (outputs / groups) * in_group;
            let mut sum = own.bias.get(o).copied().unwrap_or(0.0);
            for &(tap, pixel) in window {
                for c in 0..in_group {
                    sum += image[pixel * channels + first + c] * own.weights[(c * taps + tap) * outputs + o];
                }
            }
            y.push(sum);
        }
    });
    y
}

/// `torch.nn.functional.max_pool2d`, and the tap that each value is of: the first of equals.
pub fn max_pool(sliding: Sliding, rows: usize, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let channels = sliding.input.channels as usize;
    let (mut y, mut winners) = (vec![], vec![]);
    slide(sliding, rows, x, |image, window| {
        for c in 0..channels {
            let (mut largest, mut winner) = (f64::NEG_INFINITY, 0);
            for &(tap, pixel) in window {
                if image[pixel * channels + c] > largest {
                    (largest, winner) = (image[pixel * channels + c], tap);
                }
            }
            y.push(largest);
            winners.push(winner as f64);
        }
    });
    (y, winners)
}

/// `torch.nn.functional.avg_pool2d` with `count_include_pad=False`.
pub fn average_pool(sliding: Sliding, rows: usize, x: &[f64]) -> Vec<f64> {
    let channels = sliding.input.channels as usize;
    let mut y = vec![];
    slide(sliding, rows, x, |image, window| {
        for c in 0..channels {
            let sum: f64 = window.iter().map(|&(_, pixel)| image[pixel * channels + c]).sum();
            y.push(sum / window.len() as f64);
        }
    });
    y
}

/// The mean of each channel over an image.
pub fn global_average_pool(image: Image, rows: usize, x: &[f64]) -> Vec<f64> {
    let (channels, pixels) = (image.channels as usize, image.pixels() as usize);
    let mean = |image: usize, c: usize| -> f64 {
        (0..pixels).map(|pixel| x[(image * pixels + pixel) * channels + c]).sum::<f64>() / pixels as f64
    };
    (0..rows * channels).map(|at| mean(at / channels, at % channels)).collect()
}
