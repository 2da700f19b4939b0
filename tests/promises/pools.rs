//! Pools against loops in f64: at sizes that are multiples of nothing, with outputs poisoned first and rubbish in the padding of what they read. The
//! loops scatter gradients, where the kernels gather them.

use wgrad::gpu::Checks;
use wgrad::kernel::{Access, Binding, Launch, pool};
use wgrad::layout::{Image, Sliding, Window};
use wgrad::{Activation, Epilogue};

use crate::support::{Random, assert_close, gpu};

/// A pool: images, their height, width and channels; the window's size, stride and padding; the output's height and width.
fn sliding(
    batch: u32,
    [height, width, channels]: [u32; 3],
    [size, stride, padding]: [[u32; 2]; 3],
    out: [u32; 2],
) -> Sliding {
    Sliding {
        batch,
        input: Image { height, width, channels },
        output: Image { height: out[0], width: out[1], channels },
        window: Window { size, stride, padding, dilation: [1, 1] },
    }
}

/// Every kind of window over images of 1 to 8 channels.
fn cases() -> Vec<Sliding> {
    vec![
        sliding(3, [1, 1, 1], [[1, 1], [1, 1], [0, 0]], [1, 1]),
        // A last row and column that no window covers.
        sliding(3, [5, 7, 3], [[2, 2], [2, 2], [0, 0]], [2, 3]),
        sliding(1, [8, 6, 8], [[2, 2], [2, 2], [0, 0]], [4, 3]),
        // Windows that overlap, by one pixel and by several.
        sliding(3, [6, 7, 4], [[3, 3], [2, 2], [1, 1]], [3, 4]),
        sliding(2, [7, 5, 6], [[3, 2], [1, 1], [1, 0]], [7, 4]),
        sliding(5, [9, 8, 3], [[5, 4], [2, 1], [2, 1]], [5, 7]),
        // Pixels between windows.
        sliding(3, [9, 8, 1], [[2, 1], [3, 2], [0, 0]], [3, 4]),
        sliding(3, [9, 8, 5], [[2, 3], [3, 4], [1, 1]], [4, 2]),
        // As large as the image, and larger.
        sliding(3, [4, 5, 6], [[4, 5], [4, 5], [0, 0]], [1, 1]),
        sliding(3, [3, 2, 4], [[5, 4], [1, 1], [2, 2]], [3, 3]),
        // Last windows that begin in the image and end after it.
        sliding(3, [5, 6, 4], [[2, 4], [2, 3], [0, 0]], [3, 2]),
        // Taps of more than 8 bits, and the largest window.
        sliding(3, [20, 19, 3], [[17, 16], [1, 2], [3, 1]], [10, 3]),
        sliding(1, [126, 125, 1], [[126, 125], [1, 1], [0, 0]], [1, 1]),
    ]
}

/// Values of images, as many as kernels write, without padding.
type Tensor = Vec<f64>;

fn count(batch: u32, image: Image) -> usize {
    (batch.next_multiple_of(4) * image.pixels() * image.channels) as usize
}

/// Eighths, so that all sums here are exact, in few steps, so that many are equal; of 0, too, the negative one.
fn drawn(random: &mut Random, count: usize) -> Tensor {
    let value = |random: &mut Random| match random.below(9) {
        8 => -0.0,
        at => at as f64 / 8.0 - 0.375,
    };
    (0..count).map(|_| value(random)).collect()
}

/// The same with 0 for the images after the minibatch's, as gradients have it.
fn drawn_gradient(random: &mut Random, batch: u32, image: Image) -> Tensor {
    let mut values = drawn(random, count(batch, image));
    values[(batch * image.pixels() * image.channels) as usize..].fill(0.0);
    values
}

/// As it lies in device memory, with rubbish in the padding.
fn padded(values: &[f64], channels: u32) -> Vec<u8> {
    let stride = channels.next_multiple_of(4) as usize;
    let pixel = |pixel: &[f64]| {
        let mut quads = vec![9.0f32; stride];
        quads.iter_mut().zip(pixel).for_each(|(quad, &value)| *quad = value as f32);
        quads
    };
    values.chunks_exact(channels as usize).flat_map(pixel).flat_map(f32::to_le_bytes).collect()
}

/// Without its padding, which has to be 0.
#[track_caller]
fn unpadded(what: &str, bytes: &[u8], channels: u32) -> Tensor {
    let (stride, channels) = (channels.next_multiple_of(4) as usize, channels as usize);
    let values: Vec<f64> =
        bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()).into()).collect();
    for pixel in values.chunks_exact(stride) {
        assert!(pixel[channels..].iter().all(|&value| value == 0.0), "{what}: padding is {:?}", &pixel[channels..]);
    }
    values.chunks_exact(stride).flat_map(|pixel| &pixel[..channels]).copied().collect()
}

/// Runs a launch on what it reads, with everything that it writes poisoned, and gives what it wrote, in the order of its bindings. It is run with checks and
/// without, which must give the same bits.
#[track_caller]
fn run(launch: &Launch, content: impl Fn(Binding) -> Vec<u8>, size: impl Fn(Binding) -> usize) -> Vec<Vec<u8>> {
    let run = |checks| {
        let of = |&(binding, access)| match access {
            Access::Read => content(binding),
            Access::Write => vec![0xff; size(binding)],
        };
        let mut contents: Vec<Vec<u8>> = launch.bindings.iter().map(of).collect();
        gpu().run_once(launch, &mut contents, checks).unwrap();
        let written = contents.into_iter().zip(&launch.bindings).filter(|(_, (_, access))| *access == Access::Write);
        written.map(|(bytes, _)| bytes).collect::<Vec<_>>()
    };
    let unchecked = run(Checks::Off);
    assert!(run(Checks::On) == unchecked, "{}: other results with checks", launch.kernel);
    unchecked
}

fn bytes_of(batch: u32, image: Image) -> usize {
    16 * (batch.next_multiple_of(4) * image.pixels() * image.quads()) as usize
}

/// Finds a limit that is not the one that the largest cases reach.
#[test]
fn the_largest_windows_and_images_are_tried() {
    let largest = cases().last().unwrap().window;
    assert!(largest.fits_pools() && Image::MOST_POOLED == 500 * 500);
    for size in [[127, 126], [16_000, 1], [224, 224], [u32::MAX, u32::MAX]] {
        assert!(!Window { size, ..largest }.fits_pools(), "{size:?}");
    }
}

/// Calls with each window of each image and channel: the index of its output, and of its pixels with their taps.
fn windows(of: Sliding, mut each: impl FnMut(usize, &[(usize, u32)])) {
    let Sliding { batch, input, output, window } = of;
    let index = |image: Image, n: u32, y: u32, x: u32, c: u32| {
        (((n * image.height + y) * image.width + x) * image.channels + c) as usize
    };
    for n in 0..batch.next_multiple_of(4) {
        for (y, x) in (0..output.height).flat_map(|y| (0..output.width).map(move |x| (y, x))) {
            for c in 0..output.channels {
                let mut pixels = vec![];
                for tap in 0..window.taps() {
                    let down = i64::from(y * window.stride[0] + tap / window.size[1]) - i64::from(window.padding[0]);
                    let across = i64::from(x * window.stride[1] + tap % window.size[1]) - i64::from(window.padding[1]);
                    let is_pixel = |at: i64, side: u32| (0..i64::from(side)).contains(&at);
                    if is_pixel(down, input.height) && is_pixel(across, input.width) {
                        pixels.push((index(input, n, down as u32, across as u32, c), tap));
                    }
                }
                each(index(output, n, y, x, c), &pixels);
            }
        }
    }
}

/// The largest values and the taps that they are from, by PyTorch's comparison; and the gradient of the image, by that of the output.
fn max_twin(of: Sliding, x: &[f64], dy: &[f64]) -> (Tensor, Vec<u32>, Tensor) {
    let (mut y, mut winners, mut dx) = (vec![0.0; dy.len()], vec![0; dy.len()], vec![0.0; x.len()]);
    windows(of, |at, pixels| {
        let mut most = pixels[0];
        for &pixel in pixels {
            if x[pixel.0] > x[most.0] || x[pixel.0].is_nan() {
                most = pixel;
            }
        }
        (y[at], winners[at]) = (x[most.0], most.1);
        dx[most.0] += dy[at];
    });
    (y, winners, dx)
}

fn average_twin(of: Sliding, x: &[f64], dy: &[f64]) -> (Tensor, Tensor) {
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    windows(of, |at, pixels| {
        let share = 1.0 / pixels.len() as f64;
        y[at] = pixels.iter().map(|pixel| x[pixel.0]).sum::<f64>() * share;
        pixels.iter().for_each(|pixel| dx[pixel.0] += dy[at] * share);
    });
    (y, dx)
}

/// The taps of winners as they lie in device memory.
fn taps(bytes: &[u8], window: Window, channels: u32) -> Vec<u32> {
    let width = pool::winner_words(window) as usize;
    let tap = |bytes: &[u8]| bytes.iter().rev().fold(0, |tap, &byte| tap << 8 | u32::from(byte));
    let all: Vec<u32> = bytes.chunks_exact(width).map(tap).collect();
    let stride = channels.next_multiple_of(4) as usize;
    all.chunks_exact(stride).flat_map(|pixel| &pixel[..channels as usize]).copied().collect()
}

/// The output and winners of a max pool.
#[track_caller]
fn run_max(of: Sliding, x: &[f64], workgroup: u32) -> (Tensor, Vec<u8>) {
    let (bytes, words) = (bytes_of(of.batch, of.output), pool::winner_words(of.window) as usize);
    let launch = pool::max_forward(of, true, workgroup);
    let size = |binding| if binding == Binding::Winners { bytes / 4 * words } else { bytes };
    let mut written = run(&launch, |_| padded(x, of.input.channels), size);
    let is_output_last = launch.bindings.last() == Some(&(Binding::Output, Access::Write));
    let (y, winners) = (written.pop().unwrap(), written.pop().unwrap());
    assert!(is_output_last);
    let y = unpadded(&format!("{of:?}"), &y, of.output.channels);
    let alone = run(&pool::max_forward(of, false, workgroup), |_| padded(x, of.input.channels), size).remove(0);
    let alone = unpadded(&format!("{of:?}, without winners"), &alone, of.output.channels);
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert!(bits(&alone) == bits(&y), "{of:?}: other values where no winners are kept");
    (y, winners)
}

/// The stages that a backward pass may have: none, a derivative by the activation's output, one that was kept; each with another gradient and without.
/// Cases take turns with them.
const STAGES: [[(Option<Activation>, bool); 2]; 3] = [
    [(None, false), (Some(Activation::Relu), true)],
    [(Some(Activation::Gelu), false), (None, true)],
    [(Some(Activation::Relu), false), (Some(Activation::Gelu), true)],
];

/// Cases take turns with these.
fn workgroup(case: usize) -> u32 {
    [8, 64][case % 2]
}

/// Checks the backward pass of a case under its stages, by the gradient without any.
#[track_caller]
fn check_backward(
    case: usize,
    (batch, image): (u32, Image),
    x: &[f64],
    dx: &[f64],
    launch: impl Fn(Option<Epilogue>, bool) -> Launch,
    content: impl Fn(Binding) -> Vec<u8>,
    tolerance: f64,
) {
    let random = &mut Random(5);
    let (derivatives, other) = (drawn(random, x.len()), drawn_gradient(random, batch, image));
    for (below, adds) in STAGES[case % STAGES.len()] {
        let launch = launch(below.map(Epilogue::of), adds);
        let of_binding = |binding| match binding {
            Binding::Input => padded(x, image.channels),
            Binding::Derivatives => padded(&derivatives, image.channels),
            Binding::OtherGradient => padded(&other, image.channels),
            _ => content(binding),
        };
        let written = run(&launch, of_binding, |_| bytes_of(batch, image)).remove(0);
        let what = format!("{} of {batch} images {image:?}, below {below:?}, adds {adds}", launch.kernel);
        let found = unpadded(&what, &written, image.channels);
        let expected = dx.iter().enumerate().map(|(at, dx)| {
            let sum = if adds { dx + other[at] } else { *dx };
            match below {
                Some(Activation::Relu) if x[at] <= 0.0 => 0.0,
                Some(Activation::Gelu) => sum * derivatives[at],
                _ => sum,
            }
        });
        let expected: Tensor = expected.collect();
        if tolerance == 0.0 {
            assert!(found == expected, "{what}");
        } else {
            assert_close(&what, &found, &expected, tolerance);
        }
        // What no window covers, and what comes after the minibatch, is 0 to the bit.
        let zeros = found.iter().zip(&expected).filter(|(_, expected)| **expected == 0.0);
        assert!(zeros.into_iter().all(|(found, _)| *found == 0.0 || tolerance > 0.0 && found.abs() < 1e-7), "{what}");
    }
}

/// Finds padding that wins, a tie that goes to a later pixel, a window at the wrong place, a tap that is cut off; a gradient that goes to the wrong pixel, that is
/// an average pool's, or that only the last of several windows gives.
#[test]
fn max_pools_agree_with_their_twin() {
    for (case, of) in cases().into_iter().enumerate() {
        let random = &mut Random(3);
        // All below 0 in the first image, where a padding of 0 would win.
        let mut x = drawn(random, count(of.batch, of.input));
        let first = count(of.batch, of.input) / of.batch.next_multiple_of(4) as usize;
        x[..first].iter_mut().for_each(|value| *value -= 1.0);
        let dy = drawn_gradient(random, of.batch, of.output);
        let (y, winners, dx) = max_twin(of, &x, &dy);
        let workgroup = workgroup(case);
        let (found, kept) = run_max(of, &x, workgroup);
        assert!(found == y, "{of:?}: the values");
        assert!(taps(&kept, of.window, of.output.channels) == winners, "{of:?}: the winners");
        let content = |binding| match binding {
            Binding::Gradient => padded(&dy, of.output.channels),
            _ => kept.clone(),
        };
        let launch = |below, adds| pool::max_backward(of, below, adds, workgroup);
        check_backward(case, (of.batch, of.input), &x, &dx, launch, content, 0.0);
    }
}

/// Finds a NaN that loses, or that is lost to a later number; infinite values that are taken for padding. Of several NaNs the last wins, as in PyTorch.
#[test]
fn max_pools_keep_values_that_are_not_finite() {
    for of in cases() {
        let random = &mut Random(4);
        let mut x = drawn(random, count(of.batch, of.input));
        let special = [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        for value in &mut x {
            match random.below(12) {
                at if at < special.len() => *value = special[at],
                4..=6 => *value = f64::NEG_INFINITY,
                _ => {}
            }
        }
        // An image of nothing but the smallest.
        let first = count(of.batch, of.input) / of.batch.next_multiple_of(4) as usize;
        x[..first].fill(f64::NEG_INFINITY);
        let dy = drawn_gradient(random, of.batch, of.output);
        let (y, winners, _) = max_twin(of, &x, &dy);
        let (found, kept) = run_max(of, &x, 8);
        let same = found.iter().zip(&y).all(|(found, y)| found == y || found.is_nan() && y.is_nan());
        assert!(same, "{of:?}: the values");
        assert!(taps(&kept, of.window, of.output.channels) == winners, "{of:?}: the winners");
    }
}

/// Finds padding that is counted, a mean over a window's size at the image's edge, and a gradient that has another count than the value.
#[test]
fn average_pools_agree_with_their_twin() {
    for (case, of) in cases().into_iter().enumerate() {
        let random = &mut Random(6);
        let x = drawn(random, count(of.batch, of.input));
        let dy = drawn_gradient(random, of.batch, of.output);
        let (y, dx) = average_twin(of, &x, &dy);
        let workgroup = workgroup(case);
        let launch = pool::average_forward(of, workgroup);
        let output = |_| bytes_of(of.batch, of.output);
        let written = run(&launch, |_| padded(&x, of.input.channels), output).remove(0);
        let what = format!("{of:?}");
        assert_close(&what, &unpadded(&what, &written, of.output.channels), &y, 1e-6);
        let launch = |below, adds| pool::average_backward(of, below, adds, workgroup);
        let content = |_| padded(&dy, of.output.channels);
        check_backward(case, (of.batch, of.input), &x, &dx, launch, content, 1e-6);
    }
}

/// Finds a mean that loses digits over a large image, a 1 that is missing or in the wrong place, and a gradient that is not divided.
#[test]
fn global_average_pools_agree_with_their_twin() {
    let sizes =
        [[1, 1, 1], [5, 7, 3], [7, 7, 8], [2, 129, 4], [3, 400, 6], [224, 224, 1], [1, 50_176, 2], [500, 500, 1]];
    for (case, [height, width, channels]) in sizes.into_iter().enumerate() {
        let (batch, image) = (3, Image { height, width, channels });
        let random = &mut Random(7);
        // Far from 0, so that a long sum in one go would be off by more than is allowed.
        let x: Tensor =
            random.values(count(batch, image)).into_iter().map(|value| f64::from((value + 1.0) as f32)).collect();
        let row = Image { height: 1, width: 1, channels };
        let dy = drawn_gradient(random, batch, row);
        let of = sliding(batch, [height, width, channels], [[height, width], [1, 1], [0, 0]], [1, 1]);
        let (y, dx) = average_twin(of, &x, &dy);
        let workgroup = workgroup(case);
        let launch = pool::global_average_forward(batch, image, workgroup);
        let stride = 4 * (channels as usize / 4 + 1);
        let written = run(&launch, |_| padded(&x, channels), |_| 4 * 4 * stride).remove(0);
        let rows: Tensor =
            written.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()).into()).collect();
        let what = format!("the mean of {image:?}");
        for row in rows.chunks_exact(stride) {
            let after = &row[channels as usize..];
            assert!(after[0] == 1.0 && after[1..].iter().all(|&value| value == 0.0), "{what}: {after:?} follows");
        }
        let found: Tensor = rows.chunks_exact(stride).flat_map(|row| &row[..channels as usize]).copied().collect();
        assert_close(&what, &found, &y, 5e-7);
        let launch = |below, adds| pool::global_average_backward(batch, image, below, adds, workgroup);
        check_backward(case, (batch, image), &x, &dx, launch, |_| padded(&dy, channels), 1e-6);
    }
}
