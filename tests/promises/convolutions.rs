//! Convolutions right on this adapter: every kernel against a direct sum in f64, at sizes that are multiples of nothing, with outputs poisoned first.

mod pooled;

use std::fmt;

use wgrad::gpu::Checks;
use wgrad::kernel::conv::{backward, forward, update};
use wgrad::kernel::dense_update::Step;
use wgrad::kernel::{Binding, Launch, merged};
use wgrad::layout::{Conv, Image, Sliding, Window};
use wgrad::selftest::kernels::TOLERANCE;
use wgrad::{Activation, Epilogue, Optimizer};

use crate::problem::{plain, state};
use crate::support::{Random, assert_close, families, gpu};

const LR: f64 = 0.5;

/// One convolution: `[batch, height, width, channels] → outputs`, and its window; padding is above, left, below and right.
#[derive(Clone, Copy)]
struct Case {
    images: [u32; 4],
    outputs: u32,
    size: [u32; 2],
    stride: [u32; 2],
    padding: [u32; 4],
    dilation: [u32; 2],
    groups: u32,
    bias: bool,
}

/// A 3 × 3 window with a bias and nothing else.
const PLAIN: Case = Case {
    images: [3, 5, 7, 4],
    outputs: 6,
    size: [3, 3],
    stride: [1, 1],
    padding: [0; 4],
    dilation: [1, 1],
    groups: 1,
    bias: true,
};

const CASES: &[Case] = &[
    // Every number of channels that lies differently, in and out.
    Case { images: [3, 5, 7, 1], outputs: 3, ..PLAIN },
    Case { images: [3, 6, 5, 2], outputs: 1, size: [2, 3], ..PLAIN },
    Case { images: [3, 5, 7, 3], outputs: 8, padding: [1; 4], ..PLAIN },
    Case { images: [3, 7, 5, 4], outputs: 6, padding: [1; 4], ..PLAIN },
    Case { images: [1, 5, 4, 6], outputs: 4, bias: false, ..PLAIN },
    Case { images: [5, 4, 6, 8], outputs: 5, padding: [1; 4], bias: false, ..PLAIN },
    Case { images: [3, 5, 5, 3], outputs: 4, bias: false, padding: [1; 4], ..PLAIN },
    // One pixel: a product of each pixel's channels.
    Case { images: [3, 3, 5, 9], outputs: 7, size: [1, 1], ..PLAIN },
    Case { images: [2, 5, 5, 5], outputs: 3, size: [1, 1], stride: [2, 2], ..PLAIN },
    // Same padding of an even window, and of one with a stride: not alike on both sides.
    Case { images: [3, 5, 6, 4], outputs: 4, size: [2, 4], padding: [0, 1, 1, 2], ..PLAIN },
    Case { images: [3, 7, 6, 3], outputs: 5, stride: [2, 3], padding: [1, 0, 1, 1], ..PLAIN },
    Case { images: [4, 9, 8, 5], outputs: 9, stride: [3, 2], padding: [1; 4], ..PLAIN },
    // Taps that are not neighbours; strides larger than the window; windows larger than the image.
    Case { images: [3, 9, 8, 4], outputs: 3, dilation: [2, 3], padding: [2, 3, 2, 3], ..PLAIN },
    Case { images: [2, 9, 11, 6], outputs: 2, dilation: [3, 2], stride: [2, 2], padding: [3, 1, 2, 2], ..PLAIN },
    Case { images: [2, 8, 9, 4], outputs: 2, size: [2, 2], stride: [3, 4], ..PLAIN },
    Case { images: [3, 2, 3, 4], outputs: 4, size: [5, 7], padding: [2, 3, 2, 3], ..PLAIN },
    Case { images: [3, 1, 1, 3], outputs: 2, padding: [1; 4], ..PLAIN },
    // The gradient of the weights is a sum over enough pixels to be cut into slices, the last of them shorter.
    Case { images: [9, 31, 29, 3], outputs: 5, ..PLAIN },
    Case { images: [11, 27, 26, 4], outputs: 3, padding: [1; 4], bias: false, ..PLAIN },
    // Groups, of sizes that divide quads and that do not; depthwise, with a multiplier and without a bias.
    Case { images: [3, 5, 6, 8], outputs: 8, groups: 2, padding: [1; 4], ..PLAIN },
    Case { images: [3, 5, 6, 6], outputs: 9, groups: 3, stride: [2, 1], padding: [1, 0, 1, 2], ..PLAIN },
    Case { images: [3, 6, 5, 6], outputs: 6, groups: 6, padding: [1; 4], bias: false, ..PLAIN },
    Case { images: [3, 7, 7, 3], outputs: 6, groups: 3, stride: [2, 2], dilation: [2, 1], padding: [1; 4], ..PLAIN },
    Case { images: [5, 9, 12, 7], outputs: 7, groups: 7, padding: [1; 4], ..PLAIN },
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { images, outputs, size, stride, padding, dilation, groups, bias } = self;
        write!(f, "{images:?} → {outputs}, window {size:?}, stride {stride:?}, padding {padding:?}, ")?;
        write!(f, "dilation {dilation:?}, {groups} groups, bias {bias}")
    }
}

impl Case {
    fn conv(self) -> Conv {
        let [batch, height, width, channels] = self.images;
        let [top, left, bottom, right] = self.padding;
        let outputs =
            |pixels: u32, at: usize| (pixels - self.dilation[at] * (self.size[at] - 1) - 1) / self.stride[at] + 1;
        let output = Image {
            height: outputs(height + top + bottom, 0),
            width: outputs(width + left + right, 1),
            channels: self.outputs,
        };
        let window = Window { size: self.size, stride: self.stride, padding: [top, left], dilation: self.dilation };
        let input = Image { height, width, channels };
        Conv { sliding: Sliding { batch, input, output, window }, groups: self.groups, bias: self.bias }
    }
}

/// A convolution with its operands in f64, without padding.
struct Operands {
    conv: Conv,
    /// `[batch, height, width, channels]`
    x: Vec<f64>,
    /// `[tap, channel of the group, output]`
    weights: Vec<f64>,
    bias: Vec<f64>,
    /// `[batch, height, width, outputs]`
    dy: Vec<f64>,
    /// As wide as the output.
    residual: Vec<f64>,
    /// As wide as the input.
    other: Vec<f64>,
    /// Derivatives of the activation below.
    derivatives: Vec<f64>,
}

fn count(batch: u32, image: Image) -> usize {
    (batch * image.pixels() * image.channels) as usize
}

impl Operands {
    fn new(case: Case) -> Self {
        let conv = case.conv();
        let Sliding { batch, input, output, window } = conv.sliding;
        let random = &mut Random(u64::from(input.channels * 31 + output.pixels() * 7 + conv.groups));
        let (ins, outs) = (count(batch, input), count(batch, output));
        let weights = (window.taps() * conv.group_channels() * output.channels) as usize;
        Operands {
            conv,
            x: random.values(ins),
            weights: random.values(weights),
            bias: if conv.bias { random.values(output.channels as usize) } else { vec![0.0; output.channels as usize] },
            dy: random.values(outs),
            residual: random.values(outs),
            other: random.values(ins),
            derivatives: random.values(ins),
        }
    }

    /// Calls `of` with the indices in x, in the weights and in y for each of the convolution's products.
    fn each(&self, mut of: impl FnMut(usize, usize, usize)) {
        let Sliding { batch, input, output, window } = self.conv.sliding;
        let (per_group, out_per_group) = (self.conv.group_channels(), output.channels / self.conv.groups);
        for image in 0..batch {
            for at in 0..output.pixels() {
                for tap in 0..window.taps() {
                    let place = [at / output.width, at % output.width];
                    let step = [tap / window.size[1], tap % window.size[1]];
                    let [y, x] = [0, 1].map(|axis| {
                        i64::from(place[axis] * window.stride[axis] + step[axis] * window.dilation[axis])
                            - i64::from(window.padding[axis])
                    });
                    if !(0..i64::from(input.height)).contains(&y) || !(0..i64::from(input.width)).contains(&x) {
                        continue;
                    }
                    let pixel = image * input.pixels() + y as u32 * input.width + x as u32;
                    for out in 0..output.channels {
                        for channel in 0..per_group {
                            let from = pixel * input.channels + out / out_per_group * per_group + channel;
                            let weight = (tap * per_group + channel) * output.channels + out;
                            let to = (image * output.pixels() + at) * output.channels + out;
                            of(from as usize, weight as usize, to as usize);
                        }
                    }
                }
            }
        }
    }

    fn forward(&self) -> Vec<f64> {
        let outputs = self.bias.len();
        let mut y: Vec<f64> = (0..self.dy.len()).map(|at| self.bias[at % outputs]).collect();
        self.each(|x, w, to| y[to] += self.x[x] * self.weights[w]);
        y
    }

    fn backward(&self) -> Vec<f64> {
        let mut dx = vec![0.0; self.x.len()];
        self.each(|x, w, from| dx[x] += self.dy[from] * self.weights[w]);
        dx
    }

    /// The gradient by the weights, then by the bias.
    fn gradient(&self) -> Vec<f64> {
        let mut dw = vec![0.0; self.weights.len()];
        self.each(|x, w, from| dw[w] += self.dy[from] * self.x[x]);
        let outputs = self.bias.len();
        let of_bias = |at: usize| self.dy.iter().skip(at).step_by(outputs).sum::<f64>();
        dw.extend((0..outputs).map(|at| if self.conv.bias { of_bias(at) } else { 0.0 }));
        dw
    }

    /// An image as it lies in device memory; images past the minibatch's have this value.
    fn image(&self, values: &[f64], image: Image, past: f32) -> Vec<u8> {
        let (channels, stride) = (image.channels as usize, 4 * image.quads() as usize);
        let pixels = self.conv.sliding.batch.next_multiple_of(4) as usize * image.pixels() as usize;
        let mut padded = vec![0.0; pixels * stride];
        for (at, pixel) in padded.chunks_exact_mut(stride).enumerate() {
            for (channel, value) in pixel[..channels].iter_mut().enumerate() {
                *value = values.get(at * channels + channel).map_or(past, |&value| value as f32);
            }
        }
        bytemuck::cast_slice(&padded).to_vec()
    }

    /// The row of each of the weights' rows, bias included, in device memory.
    fn rows(&self) -> Vec<usize> {
        let conv = self.conv;
        let (channels, taps) = (conv.group_channels(), conv.sliding.window.taps());
        let whole = if conv.groups > 1 || channels < 4 { channels } else { channels.next_multiple_of(4) };
        let rows = (0..taps * channels).map(|row| row / channels * whole + row % channels);
        rows.chain([taps * whole]).map(|row| row as usize).collect()
    }

    fn device_weights(&self) -> Vec<u8> {
        let outputs = self.bias.len();
        let [rows, stride] = self.conv.dense().weights_shape().map(|side| side as usize);
        let mut padded = vec![0f32; rows * stride];
        let all: Vec<f64> = self.weights.iter().chain(&self.bias).copied().collect();
        for (row, values) in self.rows().into_iter().zip(all.chunks_exact(outputs)) {
            for (to, &value) in padded[row * stride..].iter_mut().zip(values) {
                *to = value as f32;
            }
        }
        bytemuck::cast_slice(&padded).to_vec()
    }

    /// What a launch binds; outputs are NaN, but for weights that are updated.
    fn content(&self, launch: &Launch, binding: Binding) -> Vec<u8> {
        let Sliding { batch, input, output, .. } = self.conv.sliding;
        let poisoned = |bytes: Vec<u8>| f32::NAN.to_le_bytes().repeat(bytes.len() / 4);
        match binding {
            Binding::Input => self.image(&self.x, input, 0.75),
            Binding::OtherGradient => self.image(&self.other, input, 0.0),
            Binding::Derivatives => self.image(&self.derivatives, input, 0.25),
            Binding::Gradient => self.image(&self.dy, output, 0.0),
            Binding::Residual => self.image(&self.residual, output, -0.5),
            Binding::Output => poisoned(self.image(&[], output, 0.0)),
            Binding::InputGradient => poisoned(self.image(&[], input, 0.0)),
            Binding::WeightGradient => poisoned(self.device_weights()),
            Binding::Weights => self.device_weights(),
            Binding::State => state(batch, LR, [0.0; 4]),
            Binding::Partials => {
                let shape = launch.partials.as_ref().expect("partials are bound").shape;
                f32::NAN.to_le_bytes().repeat(shape.iter().product::<u32>() as usize)
            }
            other => panic!("{other:?} is bound"),
        }
    }

    /// Runs a launch, after the one that it needs first, and gives back what the binding holds.
    fn run(&self, launch: &Launch, result: Binding, checks: Checks) -> Vec<f64> {
        let bound = launch.bindings.iter().map(|&(binding, _)| binding);
        let mut contents: Vec<Vec<u8>> = bound.clone().map(|binding| self.content(launch, binding)).collect();
        let place = |binding| bound.clone().position(|known| known == binding).expect("it is bound");
        if let Some(first) = launch.partials.as_ref().and_then(|partials| partials.written_by.as_ref()) {
            let sums: Vec<f32> =
                self.run(first, Binding::Partials, checks).into_iter().map(|value| value as f32).collect();
            contents[place(Binding::Partials)] = bytemuck::cast_slice(&sums).to_vec();
        }
        gpu().run_once(launch, &mut contents, checks).unwrap();
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&contents[place(result)]);
        values.into_iter().map(f64::from).collect()
    }

    /// Checks an image that a launch wrote: its values, its padding, and images past the minibatch's, which are finite or 0.
    #[track_caller]
    fn check_image(&self, what: &str, out: &[f64], image: Image, expected: &[f64], is_zero_past: bool) {
        let (channels, stride) = (image.channels as usize, 4 * image.quads() as usize);
        let own = expected.len() / channels;
        let found: Vec<f64> =
            out.chunks_exact(stride).take(own).flat_map(|pixel| &pixel[..channels]).copied().collect();
        assert_close(what, &found, expected, TOLERANCE);
        let padding = out.chunks_exact(stride).flat_map(|pixel| &pixel[channels..]);
        assert!(padding.into_iter().all(|&value| value == 0.0), "{what}: padding is not 0");
        let past = &out[own * stride..];
        let is_right = |value: &f64| if is_zero_past { *value == 0.0 } else { value.is_finite() };
        assert!(past.iter().all(is_right), "{what}: images past the minibatch's");
    }

    /// Checks a matrix of the weights' shape.
    #[track_caller]
    fn check_weights(&self, what: &str, out: &[f64], expected: &[f64]) {
        let outputs = self.bias.len();
        let stride = outputs.next_multiple_of(4);
        let rows = self.rows();
        let found: Vec<f64> = rows.iter().flat_map(|row| &out[row * stride..][..outputs]).copied().collect();
        assert_close(what, &found, expected, TOLERANCE);
        for (at, &value) in out.iter().enumerate() {
            let is_padding = at % stride >= outputs || !rows.contains(&(at / stride));
            let is_bias = at / stride == rows[rows.len() - 1] && !self.conv.bias;
            assert!(!(is_padding || is_bias) || value == 0.0, "{what}: {value} in padding, at {at}");
        }
    }
}

fn activated(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Relu => z.max(0.0),
        Activation::Tanh => z.tanh(),
        _ => z,
    }
}

fn derivative(activation: Activation, y: f64) -> f64 {
    match activation {
        Activation::Relu => f64::from(u8::from(y > 0.0)),
        Activation::Tanh => 1.0 - y * y,
        _ => 1.0,
    }
}

/// Finds a tap beside its pixel, a border that wraps around, a channel of the neighbour, a bias or a residual that is lost, padding that is not 0.
#[test]
fn forward_agrees_with_a_direct_sum() {
    for (at, &case) in CASES.iter().enumerate() {
        let operands = Operands::new(case);
        let conv = operands.conv;
        let activation = [Activation::Relu, Activation::Tanh, Activation::Identity][at % 3];
        let adds = at % 2 == 1;
        let with = |z: f64, residual: f64| activated(activation, z + if adds { residual } else { 0.0 });
        let expected: Vec<f64> =
            operands.forward().into_iter().zip(&operands.residual).map(|(z, &residual)| with(z, residual)).collect();
        for family in families() {
            let tile = family.tile(forward::blocks(conv));
            let launch = forward::launch(conv, Epilogue::of(activation), None, adds, tile);
            let y = operands.run(&launch, Binding::Output, Checks::Off);
            operands.check_image(&format!("{case}, {tile}"), &y, conv.sliding.output, &expected, false);
        }
    }
}

/// Finds a tap that reaches a pixel from the wrong side, one that a stride passes over, a mask of another pixel, a gradient in padding.
#[test]
fn backward_agrees_with_a_direct_sum() {
    for (at, &case) in CASES.iter().enumerate() {
        let operands = Operands::new(case);
        let conv = operands.conv;
        let below = [Activation::Relu, Activation::Tanh, Activation::Gelu][at % 3];
        let adds = at % 2 == 1;
        let slope = |at: usize| match below {
            Activation::Gelu => operands.derivatives[at],
            _ => derivative(below, operands.x[at]),
        };
        let sums = operands.backward().into_iter().zip(&operands.other);
        let with = |(at, (d, &other)): (usize, (f64, &f64))| (d + if adds { other } else { 0.0 }) * slope(at);
        let expected: Vec<f64> = sums.enumerate().map(with).collect();
        for family in families() {
            let tile = family.tile(backward::blocks(conv));
            let launch = backward::launch(conv, Epilogue::of(below), adds, tile);
            let dx = operands.run(&launch, Binding::InputGradient, Checks::Off);
            operands.check_image(&format!("{case}, {tile}"), &dx, conv.sliding.input, &expected, true);
        }
    }
}

/// Finds a sum that leaves out an image or takes in one past the minibatch's, a row of another tap, and a bias that is trained where there is none.
#[test]
fn update_agrees_with_a_direct_sum() {
    for &case in CASES {
        let operands = Operands::new(case);
        let conv = operands.conv;
        let gradient = operands.gradient();
        let all = operands.weights.iter().chain(&operands.bias);
        let stepped: Vec<f64> = all.zip(&gradient).map(|(w, g)| w - LR * g).collect();
        let optimizer = Optimizer::sgd(LR);
        for family in families() {
            let tile = family.tile(update::blocks(conv));
            let what = format!("{case}, {tile}");
            let kept = Step { keeps_gradient: true, ..Step::default() };
            let launch = update::launch(conv, plain(&optimizer), tile, kept);
            operands.check_weights(&what, &operands.run(&launch, Binding::WeightGradient, Checks::Off), &gradient);
            let launch = update::launch(conv, plain(&optimizer), tile, Step::default());
            operands.check_weights(&what, &operands.run(&launch, Binding::Weights, Checks::Off), &stepped);
        }
    }
}

/// Finds a tile that no size above picks, sliced ones among them, and an index out of bounds that is right by luck where nothing checks it.
#[test]
fn every_tile_agrees_with_runtime_checks_on() {
    let optimizer = Optimizer::sgd(LR);
    let kept = Step { keeps_gradient: true, ..Step::default() };
    // The tiles take turns: compiling is what takes time here.
    for (turn, case) in [
        Case { images: [3, 7, 6, 3], outputs: 9, stride: [2, 1], padding: [1, 1, 1, 2], ..PLAIN },
        Case { images: [5, 6, 5, 6], outputs: 18, padding: [1; 4], ..PLAIN },
    ]
    .into_iter()
    .enumerate()
    {
        let operands = Operands::new(case);
        let conv = operands.conv;
        let (y, dx, dw) = (operands.forward(), operands.backward(), operands.gradient());
        let slopes = operands.x.iter().map(|&x| derivative(Activation::Tanh, x));
        let dx: Vec<f64> = dx.into_iter().zip(slopes).map(|(d, slope)| d * slope).collect();
        for tile in families().into_iter().flat_map(|family| family.variants()).skip(turn).step_by(2) {
            let what = format!("{case}, {tile}");
            let launch = forward::launch(conv, Epilogue::of(Activation::Identity), None, false, tile);
            let found = operands.run(&launch, Binding::Output, Checks::On);
            operands.check_image(&what, &found, conv.sliding.output, &y, false);
            let launch = backward::launch(conv, Epilogue::of(Activation::Tanh), false, tile);
            let found = operands.run(&launch, Binding::InputGradient, Checks::On);
            operands.check_image(&what, &found, conv.sliding.input, &dx, true);
            let launch = update::launch(conv, plain(&optimizer), tile, kept);
            operands.check_weights(&what, &operands.run(&launch, Binding::WeightGradient, Checks::On), &dw);
        }
    }
    for &case in CASES.iter().filter(|case| case.groups > 1) {
        let operands = Operands::new(case);
        let (conv, tile) = (operands.conv, families()[1].tile(forward::blocks(operands.conv)));
        let launch = forward::launch(conv, Epilogue::of(Activation::Identity), None, false, tile);
        let found = operands.run(&launch, Binding::Output, Checks::On);
        operands.check_image(&case.to_string(), &found, conv.sliding.output, &operands.forward(), false);
        let launch = backward::launch(conv, Epilogue::of(Activation::Identity), false, tile);
        let found = operands.run(&launch, Binding::InputGradient, Checks::On);
        operands.check_image(&case.to_string(), &found, conv.sliding.input, &operands.backward(), true);
        let launch = update::launch(conv, plain(&optimizer), tile, kept);
        let found = operands.run(&launch, Binding::WeightGradient, Checks::On);
        operands.check_weights(&case.to_string(), &found, &operands.gradient());
    }
}

/// Finds constants of one part that another takes: updates of two convolutions, merged, give the bits of each by itself.
#[test]
fn merged_updates_give_the_same_bits() {
    let optimizer = Optimizer::sgd(LR);
    let both = [CASES[2], CASES[3]].map(Operands::new);
    for family in families() {
        let tile = family.tile(update::blocks(both[0].conv)).sliced(1);
        let launches = both.each_ref().map(|own| update::launch(own.conv, plain(&optimizer), tile, Step::default()));
        assert!(merged::fit(&launches[0], &launches[1]));
        let alone = [0, 1].map(|at| both[at].run(&launches[at], Binding::Weights, Checks::Off));
        let merged = merged::launch(launches.to_vec(), true);
        let own = |at: usize| {
            let bound = launches[at].bindings.iter().filter(|(binding, _)| *binding != Binding::State);
            bound.map(|&(binding, _)| (at, binding)).collect::<Vec<_>>()
        };
        let bound = [own(0), own(1), vec![(0, Binding::State)]].concat();
        let mut contents: Vec<Vec<u8>> =
            bound.iter().map(|&(at, binding)| both[at].content(&launches[at], binding)).collect();
        gpu().run_once(&merged, &mut contents, Checks::On).unwrap();
        for (at, alone) in alone.iter().enumerate() {
            let place = bound.iter().position(|&known| known == (at, Binding::Weights)).unwrap();
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(&contents[place]);
            assert!(values.iter().map(|&value| f64::from(value)).eq(alone.iter().copied()), "{tile}, part {at}");
        }
    }
}
