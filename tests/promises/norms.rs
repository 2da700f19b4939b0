//! Layer, RMS and group norm on the device against loops in f64, whose gradients are compared with central differences. Outputs are poisoned first.

use std::collections::BTreeMap;

use wgrad::gpu::Checks;
use wgrad::kernel::row_norm::{self, Norm};
use wgrad::kernel::tile::Family;
use wgrad::kernel::{Binding, Launch, norm_gradient};
use wgrad::selftest::reference::network::activate;
use wgrad::{Activation, Epilogue};

use crate::support::{Random, assert_close, gpu};

/// Rows and images, one and many; one channel, odd widths, whole quads; groups whose channels share quads.
const NORMS: &[Norm] = &[
    // A value alone has an x̂ of 0 or 1, but for eps, which has to be inside the root.
    Norm { eps: 0.1, ..rows(1, 1) },
    rows(1, 7),
    rows(5, 8),
    rows(33, 12),
    rows(3, 130),
    rows(70, 5),
    // Several slices on every family, and a GPU's second block of quads has fewer than the first.
    rows(2600, 37),
    Norm { groups: Some(3), ..rows(5, 12) },
    Norm { groups: Some(2), ..rows(6, 6) },
    Norm { eps: 0.1, ..image(1, 1, 1, None) },
    Norm { eps: 0.1, ..image(2, 9, 5, None) },
    image(3, 25, 16, None),
    Norm { eps: 0.1, ..image(1, 1, 1, Some(1)) },
    image(3, 9, 6, Some(2)),
    image(2, 5, 10, Some(5)),
    image(1, 16, 8, Some(1)),
    image(3, 4, 7, Some(7)),
    image(5, 12, 12, Some(3)),
    image(1, 700, 3, Some(1)),
    image(2, 49, 15, Some(3)),
    // Statistics of enough values that a workgroup shares the work of one.
    image(2, 1300, 5, Some(1)),
    image(3, 2100, 9, Some(3)),
];

const fn rows(batch: u32, channels: u32) -> Norm {
    Norm { batch, pixels: 1, channels, groups: None, is_image: false, centered: true, eps: 1e-5, has_bias: true }
}

const fn image(batch: u32, pixels: u32, channels: u32, groups: Option<u32>) -> Norm {
    Norm { pixels, groups, is_image: true, ..rows(batch, channels) }
}

/// Norms that are centered and that are not, with β and without.
fn kinds() -> impl Iterator<Item = Norm> {
    let of = |(at, norm): (usize, &'static Norm)| {
        let has_bias = at % 2 == 0;
        [(true, has_bias), (false, !has_bias)].map(|(centered, has_bias)| Norm { centered, has_bias, ..*norm })
    };
    NORMS.iter().enumerate().flat_map(of)
}

/// A norm's operands, without padding.
#[derive(Clone)]
struct Problem {
    norm: Norm,
    x: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    dy: Vec<f64>,
    /// What is added: to the output, or to the gradient by the input.
    other: Vec<f64>,
}

impl Problem {
    fn new(norm: Norm, offset: f64) -> Self {
        let random = &mut Random(u64::from(norm.batch * 131 + norm.pixels * 17 + norm.channels));
        let channels = norm.channels as usize;
        let count = (norm.batch * norm.pixels) as usize * channels;
        // Through f32, as the device has it.
        let x = random.values(count).into_iter().map(|value| f64::from((value + offset) as f32)).collect();
        let beta = random.values(channels);
        Problem {
            norm,
            x,
            gamma: random.values(channels).into_iter().map(|value| f64::from((value + 1.5) as f32)).collect(),
            beta: if norm.has_bias { beta } else { vec![0.0; channels] },
            dy: random.values(count),
            other: random.values(count),
        }
    }

    /// The elements of each statistic.
    fn statistics(&self) -> Vec<Vec<usize>> {
        let (channels, pixels) = (self.norm.channels as usize, self.norm.pixels as usize);
        let Some(groups) = self.norm.groups else {
            return (0..self.x.len() / channels).map(|row| (row * channels..(row + 1) * channels).collect()).collect();
        };
        let width = channels / groups as usize;
        let of = |image: usize, group: usize| {
            let row = move |row: usize| (0..width).map(move |at| row * channels + group * width + at);
            (image * pixels..(image + 1) * pixels).flat_map(row).collect()
        };
        (0..self.norm.batch as usize)
            .flat_map(|image| (0..groups as usize).map(move |group| of(image, group)))
            .collect()
    }

    /// Mean and 1/σ of a statistic.
    fn moments(&self, of: &[usize]) -> [f64; 2] {
        let count = of.len() as f64;
        let mean = if self.norm.centered { of.iter().map(|&at| self.x[at]).sum::<f64>() / count } else { 0.0 };
        let variance = of.iter().map(|&at| (self.x[at] - mean).powi(2)).sum::<f64>() / count;
        [mean, 1.0 / (variance + self.norm.eps).sqrt()]
    }

    fn normalized(&self) -> Vec<f64> {
        let mut result = vec![f64::NAN; self.x.len()];
        for of in self.statistics() {
            let [mean, scale] = self.moments(&of);
            of.iter().for_each(|&at| result[at] = (self.x[at] - mean) * scale);
        }
        result
    }

    /// γ·x̂ + β
    fn forward(&self) -> Vec<f64> {
        let channel = |at: usize| at % self.norm.channels as usize;
        let normalized = self.normalized();
        normalized.iter().enumerate().map(|(at, x)| self.gamma[channel(at)] * x + self.beta[channel(at)]).collect()
    }

    /// The gradients by x, γ and β.
    fn gradients(&self) -> [Vec<f64>; 3] {
        let channels = self.norm.channels as usize;
        let normalized = self.normalized();
        let mut dx = vec![f64::NAN; self.x.len()];
        for of in self.statistics() {
            let (count, [_, scale]) = (of.len() as f64, self.moments(&of));
            let g = |at: usize| self.gamma[at % channels] * self.dy[at];
            let mean = if self.norm.centered { of.iter().map(|&at| g(at)).sum::<f64>() / count } else { 0.0 };
            let product = of.iter().map(|&at| g(at) * normalized[at]).sum::<f64>() / count;
            of.iter().for_each(|&at| dx[at] = scale * (g(at) - mean - normalized[at] * product));
        }
        let sums = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..channels).map(|channel| (channel..self.x.len()).step_by(channels).map(value).sum()).collect()
        };
        let gamma = sums(&|at| self.dy[at] * normalized[at]);
        let beta = if self.norm.has_bias { sums(&|at| self.dy[at]) } else { vec![0.0; channels] };
        [dx, gamma, beta]
    }

    /// Rows of `values` as activations lie in memory; those past the minibatch have other values.
    fn activations(&self, values: &[f64]) -> Vec<u8> {
        let (channels, stride) = (self.norm.channels as usize, self.stride(true));
        let mut result = vec![0f32; self.rows() * stride];
        for (at, row) in result.chunks_exact_mut(stride).enumerate() {
            for (channel, place) in row[..channels].iter_mut().enumerate() {
                *place = *values.get(at * channels + channel).unwrap_or(&(0.25 * (at + channel) as f64)) as f32;
            }
            row[channels..].iter_mut().take(usize::from(!self.norm.is_image)).for_each(|one| *one = 1.0);
        }
        bytemuck::cast_slice(&result).to_vec()
    }

    /// Rows of `values` as gradients lie in memory.
    fn gradient(&self, values: &[f64]) -> Vec<u8> {
        let (channels, stride) = (self.norm.channels as usize, self.stride(false));
        let mut result = vec![0f32; self.rows() * stride];
        values.iter().enumerate().for_each(|(at, &v)| result[at / channels * stride + at % channels] = v as f32);
        bytemuck::cast_slice(&result).to_vec()
    }

    fn rows(&self) -> usize {
        (self.norm.batch.next_multiple_of(4) * self.norm.pixels) as usize
    }

    fn stride(&self, ends_in_one: bool) -> usize {
        let channels = self.norm.channels as usize;
        if ends_in_one && !self.norm.is_image { 4 * (channels / 4 + 1) } else { channels.next_multiple_of(4) }
    }

    /// The buffers of a run, with poisoned outputs.
    fn buffers(&self) -> BTreeMap<Binding, Vec<u8>> {
        let norm = self.norm;
        let poison = |count: usize| bytemuck::cast_slice(&vec![f32::NAN; count]).to_vec();
        let product = |shape: [u32; 2]| (shape[0] * shape[1]) as usize;
        let width = norm.weights_shape()[1] as usize;
        let mut weights = vec![0f32; product(norm.weights_shape())];
        for (channel, (&gamma, &beta)) in self.gamma.iter().zip(&self.beta).enumerate() {
            (weights[channel], weights[width + channel]) = (gamma as f32, beta as f32);
        }
        BTreeMap::from([
            (Binding::Input, self.activations(&self.x)),
            (Binding::Weights, bytemuck::cast_slice(&weights).to_vec()),
            (Binding::Gradient, self.gradient(&self.dy)),
            (Binding::Output, poison(self.rows() * self.stride(true))),
            (Binding::InputGradient, poison(self.rows() * self.stride(false))),
            (Binding::WeightGradient, poison(weights.len())),
            (Binding::Moments, poison(product(norm.moments_shape()))),
            (Binding::Residual, self.activations(&self.other)),
            (Binding::OtherGradient, self.gradient(&self.other)),
            (Binding::Derivatives, poison(self.rows() * self.stride(false))),
            (Binding::Stats, self.stats()),
        ])
    }

    /// Running sums in which each row has the weight that [`Self::weight`] says.
    fn stats(&self) -> Vec<u8> {
        let row = |row: u32| [f32::NAN, 0.0, 0.0, 0.0, 0.0, Self::weight(row) as f32, 0.0];
        (0..self.norm.batch).flat_map(row).flat_map(f32::to_le_bytes).collect()
    }

    fn weight(row: u32) -> f64 {
        f64::from(row % 3) / 2.0 + 0.25
    }

    /// The channels of the minibatch's rows; checks what is behind them, and that all rows are finite.
    #[track_caller]
    fn unpadded(&self, what: &str, values: &[f64], ends_in_one: bool) -> Vec<f64> {
        let (channels, stride) = (self.norm.channels as usize, self.stride(ends_in_one));
        assert!(values.iter().all(|value| value.is_finite()), "{what}: not all is finite, or written");
        let one = if ends_in_one && !self.norm.is_image { 1.0 } else { 0.0 };
        for row in values.chunks_exact(stride) {
            for (at, &value) in row[channels..].iter().enumerate() {
                assert_eq!(value, if at == 0 { one } else { 0.0 }, "{what}: padding");
            }
        }
        let rows = self.x.len() / channels;
        values.chunks_exact(stride).take(rows).flat_map(|row| &row[..channels]).copied().collect()
    }
}

/// Runs a launch, after the one that it needs first.
fn run(launch: &Launch, buffers: &mut BTreeMap<Binding, Vec<u8>>, checks: Checks) {
    if let Some(partials) = &launch.partials {
        let values = partials.shape.iter().product::<u32>() as usize;
        if let Some(first) = &partials.written_by {
            buffers.insert(Binding::Partials, bytemuck::cast_slice(&vec![f32::NAN; values]).to_vec());
            run(first, buffers, checks);
        }
    }
    let mut contents: Vec<Vec<u8>> = launch.bindings.iter().map(|(binding, _)| buffers[binding].clone()).collect();
    gpu().run_once(launch, &mut contents, checks).unwrap();
    buffers.extend(launch.bindings.iter().map(|(binding, _)| *binding).zip(contents));
}

fn floats(buffers: &BTreeMap<Binding, Vec<u8>>, binding: Binding) -> Vec<f64> {
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&buffers[&binding]);
    values.into_iter().map(f64::from).collect()
}

fn identity() -> Epilogue {
    Epilogue::of(Activation::Identity)
}

/// Runs all three ways of a norm, and compares their results with the twin's.
fn check(problem: &Problem, workgroup: u32, tolerance: f64, checks: Checks) {
    let norm = problem.norm;
    let what = format!("{norm:?}");
    let mut buffers = problem.buffers();
    run(&row_norm::forward(norm, identity(), false, Some(0), workgroup), &mut buffers, checks);
    let y = problem.unpadded(&what, &floats(&buffers, Binding::Output), true);
    assert_close(&what, &y, &problem.forward(), tolerance);
    let moments: Vec<[f64; 2]> = problem.statistics().iter().map(|of| problem.moments(of)).collect();
    let kept = floats(&buffers, Binding::Moments);
    assert!(kept.iter().all(|value| value.is_finite()), "{what}: not all moments are finite, or written");
    for (kept, [mean, scale]) in kept.chunks_exact(2).zip(moments) {
        // Half a unit in the last place of the mean, and sums whose error is in units of σ.
        let allowed = 6e-8 * mean.abs() + 1e-6 / scale;
        assert!((kept[0] - mean).abs() < allowed, "{what}: a mean of {}, not {mean}", kept[0]);
        assert!((kept[1] / scale - 1.0).abs() < 1e-5, "{what}: 1/σ is {}, not {scale}", kept[1]);
    }

    let [dx, gamma, beta] = problem.gradients();
    run(&row_norm::backward(norm, None, false, workgroup), &mut buffers, checks);
    let out = floats(&buffers, Binding::InputGradient);
    assert_close(&format!("{what}: dx"), &problem.unpadded(&what, &out, false), &dx, tolerance);
    let past = (norm.batch * norm.pixels) as usize * problem.stride(false);
    assert!(out[past..].iter().all(|&value| value == 0.0), "{what}: rows past the minibatch have a gradient");

    // Slices that an invocation adds up, and slices that a workgroup shares.
    for (weighted, family) in
        [(false, Family::Software), (true, Family::Software), (false, Family::Hardware), (true, Family::Hardware)]
    {
        buffers.extend(problem.buffers().into_iter().filter(|(binding, _)| *binding == Binding::WeightGradient));
        run(&norm_gradient::launch(norm, weighted, family), &mut buffers, checks);
        let total: f64 = if weighted { (0..norm.batch).map(Problem::weight).sum() } else { 1.0 };
        let out = floats(&buffers, Binding::WeightGradient);
        let (width, channels) = (norm.weights_shape()[1] as usize, norm.channels as usize);
        for (row, expected) in [(0, &gamma), (1, &beta)] {
            let expected: Vec<f64> = expected.iter().map(|value| value / total).collect();
            let row = &out[row * width..][..width];
            assert_close(&format!("{what}: gradient by weights"), &row[..channels], &expected, tolerance);
            assert!(row[channels..].iter().all(|&value| value == 0.0), "{what}: padding of the gradient by weights");
        }
        assert!(out[2 * width..].iter().all(|&value| value == 0.0), "{what}: rows of padding are not 0");
    }
}

/// Finds a statistic over the wrong values, the unbiased variance, a group whose channels leak into a neighbour's, a 1 behind the features that is
/// counted, a gradient that misses a mean.
#[test]
fn norms_agree_with_their_twin() {
    for norm in kinds() {
        let (workgroup, checks) = if norm.has_bias { (8, Checks::Off) } else { (64, Checks::On) };
        check(&Problem::new(norm, 0.0), workgroup, 1e-5, checks);
    }
}

/// Finds a variance as the difference of two large numbers, a sum that loses the digits of what it adds up.
#[test]
fn a_large_mean_costs_no_digits() {
    for &norm in NORMS {
        // A mean of 1000 that is rounded to f32 is off by 3e-5, which the values' σ of 0.58 makes 5.3e-5.
        check(&Problem::new(norm, 1e3), 8, 1e-4, Checks::Off);
    }
}

/// An operand of a problem.
type Operand = fn(&mut Problem) -> &mut Vec<f64>;

/// Finds a twin that is wrong in the same way as the kernel.
#[test]
fn the_twins_gradients_are_central_differences() {
    const STEP: f64 = 1e-5;
    for norm in kinds().filter(|norm| norm.batch * norm.pixels * norm.channels < 200) {
        let problem = Problem::new(norm, 0.0);
        let loss = |problem: &Problem| -> f64 { problem.forward().iter().zip(&problem.dy).map(|(y, dy)| y * dy).sum() };
        let [dx, gamma, beta] = problem.gradients();
        let parts: [(&str, Operand, Vec<f64>); 3] = [
            ("x", |problem| &mut problem.x, dx),
            ("γ", |problem| &mut problem.gamma, gamma),
            ("β", |problem| &mut problem.beta, beta),
        ];
        for (name, part, gradient) in parts.into_iter().take(if norm.has_bias { 3 } else { 2 }) {
            let differences: Vec<f64> = (0..gradient.len())
                .map(|at| {
                    let [above, below] = [STEP, -STEP].map(|step| {
                        let mut moved = problem.clone();
                        part(&mut moved)[at] += step;
                        loss(&moved)
                    });
                    (above - below) / (2.0 * STEP)
                })
                .collect();
            assert_close(&format!("{norm:?}: {name}"), &gradient, &differences, 1e-6);
        }
    }
}

/// Finds a residual on the wrong side of the activation, a derivative of the wrong tensor, padding that an activation makes other than 0.
#[test]
fn stages_follow_a_norm() {
    let difference =
        |activation: Activation, z: f64| (activate(activation, z + 1e-5) - activate(activation, z - 1e-5)) / 2e-5;
    for (at, &norm) in NORMS.iter().enumerate() {
        let problem = Problem::new(norm, 0.0);
        let what = format!("{norm:?}");
        let cases = [(Activation::Sigmoid, true), (Activation::Gelu, true), (Activation::Gelu, false)];
        for (activation, adds) in [cases[at % 3], cases[(at + 1) % 3]] {
            let epilogue = Epilogue::of(activation);
            let mut buffers = problem.buffers();
            run(&row_norm::forward(norm, epilogue, adds, Some(0), 8), &mut buffers, Checks::On);
            let added = |at: usize| if adds { problem.other[at] } else { 0.0 };
            let z: Vec<f64> = problem.forward().iter().enumerate().map(|(at, y)| y + added(at)).collect();
            let y = problem.unpadded(&what, &floats(&buffers, Binding::Output), true);
            let expected: Vec<f64> = z.iter().map(|&z| activate(activation, z)).collect();
            assert_close(&format!("{what}: {activation}"), &y, &expected, 1e-5);
            // The same without training, which keeps nothing.
            let mut again = problem.buffers();
            run(&row_norm::forward(norm, epilogue, adds, None, 8), &mut again, Checks::On);
            assert_eq!(again[&Binding::Output], buffers[&Binding::Output], "{what}: {activation}, not trained");
            if activation == Activation::Gelu {
                let kept = floats(&buffers, Binding::Derivatives);
                let (stride, channels) = (problem.stride(false), norm.channels as usize);
                let kept: Vec<f64> = kept
                    .chunks_exact(stride)
                    .take(z.len() / channels)
                    .flat_map(|row| &row[..channels])
                    .copied()
                    .collect();
                let expected: Vec<f64> = z.iter().map(|&z| difference(activation, z)).collect();
                assert_close(&format!("{what}: derivatives of {activation}"), &kept, &expected, 1e-5);
            }

            // On the way back the activation is that which made x: from x itself, or as it was kept (here the gradient that is added).
            let of = if activation == Activation::Sigmoid { Activation::LeakyRelu } else { activation };
            let [dx, ..] = problem.gradients();
            let derivative = |at: usize| match of {
                Activation::LeakyRelu if problem.x[at] > 0.0 => 1.0,
                Activation::LeakyRelu => 0.01,
                _ => problem.other[at],
            };
            let expected: Vec<f64> = dx.iter().enumerate().map(|(at, dx)| (dx + added(at)) * derivative(at)).collect();
            buffers.insert(Binding::Derivatives, problem.gradient(&problem.other));
            run(&row_norm::backward(norm, Some(Epilogue::of(of)), adds, 8), &mut buffers, Checks::On);
            let out = problem.unpadded(&what, &floats(&buffers, Binding::InputGradient), false);
            assert_close(&format!("{what}: dx before {of}"), &out, &expected, 1e-5);
        }
    }
    // Nothing adds, and the derivative is the first stage.
    for &norm in NORMS.iter().step_by(3) {
        let problem = Problem::new(norm, 0.0);
        let mut buffers = problem.buffers();
        run(&row_norm::forward(norm, identity(), false, Some(0), 8), &mut buffers, Checks::On);
        run(&row_norm::backward(norm, Some(Epilogue::of(Activation::Relu)), false, 8), &mut buffers, Checks::On);
        let [dx, ..] = problem.gradients();
        let expected: Vec<f64> = dx.iter().zip(&problem.x).map(|(dx, &x)| if x > 0.0 { *dx } else { 0.0 }).collect();
        let out = problem.unpadded("dx", &floats(&buffers, Binding::InputGradient), false);
        assert_close(&format!("{norm:?}: dx before ReLU"), &out, &expected, 1e-5);
    }
}
