//! Batch norm's kernels against f64 loops that are written here, with outputs poisoned first: rows and images, short minibatches, few channels, large means.

use wgrad::gpu::Checks;
use wgrad::kernel::batch_norm::{self, BatchNorm, Joins, Statistics, Team};
use wgrad::kernel::{Access, Binding, Launch};
use wgrad::{Activation, Epilogue};

use crate::problem::{STATS_BYTES, bytes_of, state};
use crate::support::{Random, assert_close, gpu};

const EPS: f64 = 1e-3;
const MOMENTUM: f64 = 0.25;
/// Those of software and of hardware; and two with a share of the quads.
const TEAMS: [Team; 4] = [
    Team { workgroup: 8, workgroups: 32, is_alone: true },
    Team { workgroup: 256, workgroups: 512, is_alone: false },
    Team { workgroup: 8, workgroups: 5, is_alone: false },
    Team { workgroup: 2, workgroups: 3, is_alone: true },
];
const JOINS: [Joins; 2] = [Joins::Before, Joins::Itself];

/// A norm, and random values of the samples that a step has: unpadded, as the device has them in f32.
#[derive(Clone)]
struct Case {
    norm: BatchNorm,
    /// Rows that count: `samples · pixels`.
    rows: usize,
    /// What the step state says.
    samples: u32,
    x: Vec<f64>,
    dy: Vec<f64>,
    other: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
}

/// What a pass left in its buffers.
type Buffers = Vec<(Binding, Vec<u8>)>;

impl Case {
    /// `samples` of a minibatch of `batch`; without pixels, rows of features. Values are in `mean ± 1`.
    fn new((batch, samples): (u32, u32), pixels: Option<u32>, channels: u32, mean: f64) -> Self {
        let norm = BatchNorm {
            batch,
            pixels: pixels.unwrap_or(1),
            channels,
            is_image: pixels.is_some(),
            eps: EPS,
            momentum: MOMENTUM,
            team: TEAMS[0],
        };
        let random = &mut Random(u64::from(batch * 31 + samples * 7 + channels) + u64::from(norm.pixels));
        let (rows, width) = ((samples * norm.pixels) as usize, channels as usize);
        let x = random.values(rows * width).into_iter().map(|value| f64::from((mean + value) as f32)).collect();
        let [dy, other] = [0; 2].map(|_| random.values(rows * width));
        let [gamma, beta] = [0; 2].map(|_| random.values(width));
        Case { norm, rows, samples, x, dy, other, gamma, beta }
    }

    fn with(mut self, team: Team) -> Self {
        self.norm.team = team;
        self
    }

    fn width(&self) -> usize {
        self.norm.channels as usize
    }

    /// Rows in memory.
    fn rows_in_memory(&self) -> usize {
        (self.norm.batch.next_multiple_of(4) * self.norm.pixels) as usize
    }

    /// Values of a row of activations in memory.
    fn stride(&self) -> usize {
        if self.norm.is_image { self.width().next_multiple_of(4) } else { (self.width() / 4 + 1) * 4 }
    }

    /// Rows at a stride, padding 0, and in the rows that do not count `rubbish`.
    fn laid_out(&self, values: &[f64], stride: usize, rubbish: f32) -> Vec<f32> {
        let width = self.width();
        let mut result = vec![0.0; self.rows_in_memory() * stride];
        for (row, of_row) in result.chunks_exact_mut(stride).enumerate() {
            for (channel, value) in of_row[..width].iter_mut().enumerate() {
                *value = values.get(row * width + channel).map_or(rubbish, |&value| value as f32);
            }
        }
        result
    }

    /// The same, as activations: with a 1 after each row's last feature.
    fn activations(&self, values: &[f64]) -> Vec<f32> {
        let mut result = self.laid_out(values, self.stride(), 7.5);
        if !self.norm.is_image {
            result.chunks_exact_mut(self.stride()).for_each(|row| row[self.width()] = 1.0);
        }
        result
    }

    /// A matrix with these rows.
    fn matrix(&self, rows: [&[f64]; 2]) -> Vec<f32> {
        let stride = self.width().next_multiple_of(4);
        let mut result = vec![0.0; 4 * stride];
        for (row, values) in result.chunks_exact_mut(stride).zip(rows) {
            row.iter_mut().zip(values).for_each(|(to, &from)| *to = from as f32);
        }
        result
    }

    fn running(&self) -> [Vec<f64>; 2] {
        let channels = || (0..self.width()).map(|channel| channel as f64);
        [channels().map(|at| 0.5 - 0.25 * at).collect(), channels().map(|at| 0.5 + 0.125 * at).collect()]
    }

    /// What the kernels read before any has run.
    fn inputs(&self) -> Buffers {
        let bytes = |values: Vec<f32>| bytemuck::cast_slice::<f32, u8>(&values).to_vec();
        let gradient_stride = self.width().next_multiple_of(4);
        let [mean, variance] = self.running();
        let mut step = state(self.norm.batch, 0.0, [0.0; 4]);
        for (word, value) in [0, self.samples, 1].into_iter().enumerate() {
            step[4 * word..][..4].copy_from_slice(&value.to_le_bytes());
        }
        let derivatives: Vec<f64> = self.x.iter().map(|x| x.sin()).collect();
        // A share of 0.5 for each sample of the step.
        let mut stats = vec![0; STATS_BYTES * self.norm.batch as usize];
        for entry in stats.chunks_exact_mut(STATS_BYTES).take(self.samples as usize) {
            entry[20..24].copy_from_slice(&0.5f32.to_le_bytes());
        }
        vec![
            (Binding::Input, bytes(self.activations(&self.x))),
            (Binding::Residual, bytes(self.activations(&self.other))),
            (Binding::Weights, bytes(self.matrix([&self.gamma, &self.beta]))),
            (Binding::Running, bytes(self.matrix([&mean, &variance]))),
            (Binding::Gradient, bytes(self.laid_out(&self.dy, gradient_stride, 0.0))),
            (Binding::OtherGradient, bytes(self.laid_out(&self.other, gradient_stride, 0.0))),
            (Binding::Derivatives, bytes(self.laid_out(&derivatives, gradient_stride, 1.0))),
            (Binding::State, step),
            (Binding::Stats, stats),
        ]
    }

    /// The bytes of what is written whole, poisoned.
    fn poisoned(&self, binding: Binding) -> Vec<u8> {
        let gradient = self.rows_in_memory() * self.width().next_multiple_of(4);
        let values = match binding {
            Binding::Output => self.rows_in_memory() * self.stride(),
            Binding::InputGradient | Binding::Derivatives => gradient,
            Binding::Partials => self.norm.partials_shape().iter().product::<u32>() as usize,
            Binding::Moments => self.norm.moments_shape().iter().product::<u32>() as usize,
            Binding::WeightGradient | Binding::Coefficients => {
                self.norm.weights_shape().iter().product::<u32>() as usize
            }
            other => panic!("{other:?} is not written whole"),
        };
        [f32::NAN.to_le_bytes()].repeat(values).concat()
    }

    /// Runs launches one after the other; what one writes, the next can read.
    fn run(&self, launches: &[Launch]) -> Buffers {
        self.run_with(launches, Checks::Off)
    }

    fn run_with(&self, launches: &[Launch], checks: Checks) -> Buffers {
        let mut buffers = self.inputs();
        for launch in launches {
            let find = |buffers: &Buffers, binding| buffers.iter().position(|(known, _)| *known == binding);
            let content = |&(binding, access): &(Binding, Access)| match find(&buffers, binding) {
                Some(at) if access == Access::Read || matches!(binding, Binding::State | Binding::Running) => {
                    buffers[at].1.clone()
                }
                _ => self.poisoned(binding),
            };
            let mut contents: Vec<Vec<u8>> = launch.bindings.iter().map(content).collect();
            gpu().run_once(launch, &mut contents, checks).unwrap();
            for &(binding, _) in launch.bindings.iter().filter(|(_, access)| *access == Access::Write) {
                let bytes = bytes_of(launch, &contents, binding).to_vec();
                buffers.retain(|(known, _)| *known != binding);
                buffers.push((binding, bytes));
            }
        }
        buffers
    }

    /// Values without padding, of rows that count.
    fn counted(&self, values: &[f64], stride: usize) -> Vec<f64> {
        values.chunks_exact(stride).take(self.rows).flat_map(|row| &row[..self.width()]).copied().collect()
    }

    /// The mean and the biased variance of each channel.
    fn statistics(&self, x: &[f64]) -> [Vec<f64>; 2] {
        let of = |channel: usize| x.iter().skip(channel).step_by(self.width());
        let n = self.rows as f64;
        let mean: Vec<f64> = (0..self.width()).map(|channel| of(channel).sum::<f64>() / n).collect();
        let squares = |channel: usize| of(channel).map(|x| (x - mean[channel]).powi(2)).sum::<f64>() / n;
        let variance = (0..self.width()).map(squares).collect();
        [mean, variance]
    }

    /// The norm by given statistics.
    fn normed(&self, x: &[f64], [mean, variance]: &[Vec<f64>; 2], gamma: &[f64], beta: &[f64]) -> Vec<f64> {
        let of = |(at, x): (usize, &f64)| {
            let channel = at % self.width();
            (x - mean[channel]) / (variance[channel] + EPS).sqrt() * gamma[channel] + beta[channel]
        };
        x.iter().enumerate().map(of).collect()
    }

    /// Σ dy · y, of which the gradients are taken by differences.
    fn loss(&self, x: &[f64], gamma: &[f64], beta: &[f64]) -> f64 {
        self.normed(x, &self.statistics(x), gamma, beta).iter().zip(&self.dy).map(|(y, dy)| y * dy).sum()
    }

    /// Checks that every row of activations ends as it has to: in a 1 and zeros, or, of images, in zeros.
    fn ends_well(&self, y: &[f64]) {
        for row in y.chunks_exact(self.stride()) {
            for (at, &value) in row.iter().enumerate() {
                let is_one = at == self.width() && !self.norm.is_image;
                match at < self.width() {
                    true => assert!(value.is_finite(), "{:?}", self.norm),
                    false => assert_eq!(value, f64::from(u8::from(is_one)), "{:?} at {at}", self.norm),
                }
            }
        }
    }
}

/// The f32 of a buffer.
fn floats(buffers: &Buffers, binding: Binding) -> Vec<f64> {
    let (_, bytes) = buffers.iter().find(|(known, _)| *known == binding).unwrap();
    bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap()).into()).collect()
}

/// Central differences of a function of these values.
fn differences(values: &[f64], of: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    const STEP: f64 = 1e-5;
    let at = |at: usize, step: f64| {
        let mut moved = values.to_vec();
        moved[at] += step;
        of(&moved)
    };
    (0..values.len()).map(|place| (at(place, STEP) - at(place, -STEP)) / (2.0 * STEP)).collect()
}

/// The launches of a forward pass in training, and whether the last one joins the slices.
fn forward(norm: BatchNorm, joins: Joins, epilogue: Epilogue, adds: bool, trains: Option<usize>) -> Vec<Launch> {
    let apply =
        |joins| batch_norm::apply(norm, Statistics::Minibatch { joins, moves_running: true }, epilogue, adds, trains);
    [vec![batch_norm::statistics(norm)], joined(joins, apply, batch_norm::merge(norm, true))].concat()
}

/// What joins the slices and uses them: one launch, where the adapter has the bindings for it.
fn joined(joins: Joins, apply: impl Fn(Joins) -> Launch, merge: Launch) -> Vec<Launch> {
    let itself = apply(Joins::Itself);
    match itself.bindings.len() <= gpu().adapter().tiling().most_bindings as usize && joins == Joins::Itself {
        true => vec![itself],
        false => vec![merge, apply(Joins::Before)],
    }
}

/// 1, 3, 6 and 8 channels, a short last minibatch of each, one image; and sizes of several slices.
fn small_cases() -> Vec<Case> {
    let sizes =
        [((5, 5), None), ((7, 3), None), ((1, 1), Some(6)), ((5, 2), Some(9)), ((6, 1), Some(4)), ((33, 30), None)];
    let of = |channels| sizes.map(|(batch, pixels)| Case::new(batch, pixels, channels, 0.25));
    [1, 3, 6, 8].into_iter().flat_map(of).collect()
}

fn large_cases() -> Vec<Case> {
    [(3, 0.5), (36, -2.0), (130, 0.0)]
        .into_iter()
        .flat_map(|(channels, mean)| {
            [Case::new((37, 34), Some(35), channels, mean), Case::new((700, 700), None, channels, mean)]
        })
        .collect()
}

/// Finds rows that count and should not, a slice that is lost or counted twice, biased and unbiased variances that are confused, a missing eps, and padding
/// that is not 0.
#[test]
fn training_norms_by_the_minibatch() {
    for case in small_cases().into_iter().chain(large_cases()) {
        let twin = case.statistics(&case.x);
        let normed = case.normed(&case.x, &twin, &case.gamma, &case.beta);
        let y: Vec<f64> = normed.iter().zip(&case.other).map(|(y, other)| (y + other).max(0.0)).collect();
        for (team, joins) in TEAMS.into_iter().flat_map(|team| JOINS.map(|joins| (team, joins))) {
            let norm = BatchNorm { team, ..case.norm };
            let case = Case { norm, ..case.clone() };
            let buffers = case.run(&forward(norm, joins, Epilogue::of(Activation::Relu), true, Some(0)));
            let (width, quads) = (case.width(), case.width().next_multiple_of(4));
            let what = format!("{:?}, {} samples", case.norm, case.samples);

            let moments = floats(&buffers, Binding::Moments);
            let inverse: Vec<f64> = twin[1].iter().map(|variance| 1.0 / (variance + EPS).sqrt()).collect();
            assert_close(&format!("{what}: mean"), &moments[..width], &twin[0], 1e-5);
            assert_close(&format!("{what}: 1/σ"), &moments[quads..][..width], &inverse, 1e-5);

            let running = floats(&buffers, Binding::Running);
            let n = case.rows as f64;
            let moved = |old: &[f64], new: &[f64], scale: f64| -> Vec<f64> {
                old.iter().zip(new).map(|(old, new)| (1.0 - MOMENTUM) * old + MOMENTUM * scale * new).collect()
            };
            let [mean, variance] = case.running();
            assert_close(&format!("{what}: running mean"), &running[..width], &moved(&mean, &twin[0], 1.0), 1e-5);
            let unbiased = moved(&variance, &twin[1], n / (n - 1.0));
            assert_close(&format!("{what}: running variance"), &running[quads..][..width], &unbiased, 1e-5);
            for row in running.chunks_exact(quads).chain(moments.chunks_exact(quads)) {
                assert!(row[width..].iter().all(|&value| value == 0.0), "{what}: padding is not 0");
            }

            let out = floats(&buffers, Binding::Output);
            case.ends_well(&out);
            assert_close(&what, &case.counted(&out, case.stride()), &y, 1e-5);
        }
    }
}

/// Finds a variance that is a difference of large numbers: of 1e3 ± 1 it would be lost. f32 itself has these values to 3e-5 only, and so their mean.
#[test]
fn large_means_keep_the_variance() {
    let cases = [Case::new((40, 37), Some(20), 3, 1e3), Case::new((300, 300), None, 6, -1e3)];
    for case in cases.iter().flat_map(|case| TEAMS.map(|team| case.clone().with(team))) {
        let twin = case.statistics(&case.x);
        let buffers = case.run(&forward(case.norm, Joins::Itself, Epilogue::of(Activation::Identity), false, None));
        let moments = floats(&buffers, Binding::Moments);
        let (width, quads) = (case.width(), case.width().next_multiple_of(4));
        let inverse: Vec<f64> = twin[1].iter().map(|variance| 1.0 / (variance + EPS).sqrt()).collect();
        assert_close("mean", &moments[..width], &twin[0], 1e-7);
        assert_close("1/σ", &moments[quads..][..width], &inverse, 1e-5);
        let y = case.normed(&case.x, &twin, &case.gamma, &case.beta);
        assert_close("y", &case.counted(&floats(&buffers, Binding::Output), case.stride()), &y, 1e-4);
    }
}

/// Finds a division by n − 1 = 0: a last minibatch of one row leaves the running variance as it is, and is normed to β.
#[test]
fn one_row_has_no_variance() {
    for case in TEAMS.map(|team| Case::new((4, 1), None, 6, 0.25).with(team)) {
        let buffers = case.run(&forward(case.norm, Joins::Itself, Epilogue::of(Activation::Identity), false, None));
        let running = floats(&buffers, Binding::Running);
        assert_eq!(running[8..14], case.running()[1]);
        assert_eq!(case.counted(&floats(&buffers, Binding::Output), case.stride()), case.beta);
    }
}

/// Finds an evaluation that norms by the minibatch, or by 1/σ where the running statistics have σ².
#[test]
fn evaluation_norms_by_the_running_statistics() {
    for case in small_cases() {
        let epilogue = Epilogue::of(Activation::Tanh);
        let launch = batch_norm::apply(case.norm, Statistics::Running, epilogue, true, None);
        let out = floats(&case.run(&[launch]), Binding::Output);
        let normed = case.normed(&case.x, &case.running(), &case.gamma, &case.beta);
        let y: Vec<f64> = normed.iter().zip(&case.other).map(|(y, other)| (y + other).tanh()).collect();
        case.ends_well(&out);
        assert_close("evaluation", &case.counted(&out, case.stride()), &y, 1e-5);
    }
}

/// Finds dropout that keeps no derivative, or a mask that is not the derivative's.
#[test]
fn dropout_keeps_its_masks() {
    for case in [Case::new((9, 9), Some(12), 6, 0.0), Case::new((40, 40), None, 8, 0.0)] {
        let epilogue = Epilogue::of(Activation::Identity).with_dropout(0.25);
        let buffers = case.run(&forward(case.norm, Joins::Itself, epilogue, false, Some(3)));
        let masks = case.counted(&floats(&buffers, Binding::Derivatives), case.width().next_multiple_of(4));
        let kept = masks.iter().filter(|&&mask| mask != 0.0).count() as f64 / masks.len() as f64;
        assert!((0.6..0.9).contains(&kept), "{kept} are kept");
        assert!(masks.iter().all(|&mask| mask == 0.0 || (mask - 4.0 / 3.0).abs() < 1e-6));
        let normed = case.normed(&case.x, &case.statistics(&case.x), &case.gamma, &case.beta);
        let y: Vec<f64> = normed.iter().zip(&masks).map(|(y, mask)| y * mask).collect();
        assert_close("dropout", &case.counted(&floats(&buffers, Binding::Output), case.stride()), &y, 1e-5);
    }
}

/// The gradients of a case, on the device.
fn backward(case: &Case, joins: Joins, below: Option<Epilogue>, adds: bool, weighted_mean: bool) -> Buffers {
    case.run(&both_ways(case, joins, below, adds, weighted_mean))
}

/// What gradients take, from the statistics on.
fn both_ways(case: &Case, joins: Joins, below: Option<Epilogue>, adds: bool, weighted_mean: bool) -> Vec<Launch> {
    let apply = |joins| batch_norm::apply_backward(case.norm, joins, below, adds, weighted_mean);
    let of_slices =
        [batch_norm::statistics(case.norm), batch_norm::merge(case.norm, true), batch_norm::sums(case.norm)];
    [of_slices.to_vec(), joined(joins, apply, batch_norm::merge_backward(case.norm, weighted_mean))].concat()
}

/// Finds statistics that are taken for constants in the input gradient, rows past the minibatch that count or have a gradient, a stage that is lost or in the
/// wrong order, and a mean over weights that divides the input gradient too.
#[test]
fn gradients_are_those_of_differences() {
    for case in small_cases() {
        let dx = differences(&case.x, |x| case.loss(x, &case.gamma, &case.beta));
        let dgamma = differences(&case.gamma, |gamma| case.loss(&case.x, gamma, &case.beta));
        let dbeta = differences(&case.beta, |beta| case.loss(&case.x, &case.gamma, beta));
        let (width, quads) = (case.width(), case.width().next_multiple_of(4));
        let relu = |x: f64| f64::from(u8::from(x > 0.0));
        type Below<'a> = (Option<Epilogue>, bool, &'a dyn Fn(f64) -> f64);
        let belows: [Below<'_>; 4] = [
            (None, false, &|_| 1.0),
            (Some(Epilogue::of(Activation::Relu)), false, &relu),
            (Some(Epilogue::of(Activation::Relu)), true, &relu),
            (Some(Epilogue::of(Activation::Gelu)), true, &f64::sin),
        ];
        for (at, (below, adds, derivative)) in belows.into_iter().enumerate() {
            let what = format!("{:?}, {} samples, below {below:?}", case.norm, case.samples);
            let case = case.clone().with(TEAMS[at]);
            let buffers = backward(&case, JOINS[at.div_ceil(2) % 2], below, adds, at % 2 == 1);
            let other = if adds { 1.0 } else { 0.0 };
            let expected: Vec<f64> =
                (0..dx.len()).map(|at| (dx[at] + other * case.other[at]) * derivative(case.x[at])).collect();
            let found = floats(&buffers, Binding::InputGradient);
            assert_close(&format!("{what}: dx"), &case.counted(&found, quads), &expected, 2e-5);
            let is_padding = |(at, _): &(usize, &f64)| at / quads >= case.rows || at % quads >= width;
            assert!(found.iter().enumerate().filter(is_padding).all(|(_, &value)| value == 0.0), "{what}: padding");

            let total = if at % 2 == 1 { 0.5 * f64::from(case.samples) } else { 1.0 };
            let found = floats(&buffers, Binding::WeightGradient);
            let divided = |values: &[f64]| values.iter().map(|value| value / total).collect::<Vec<f64>>();
            assert_close(&format!("{what}: dγ"), &found[..width], &divided(&dgamma), 2e-5);
            assert_close(&format!("{what}: dβ"), &found[quads..][..width], &divided(&dbeta), 2e-5);
            let is_padding = |(at, _): &(usize, &f64)| at / quads >= 2 || at % quads >= width;
            assert!(found.iter().enumerate().filter(is_padding).all(|(_, &value)| value == 0.0), "{what}: padding");
        }
    }
}

/// Finds an index past a buffer that has an effect: with checks it has another. 12 channels leave invocations of 8 and of 256 without any, and minibatches of
/// four end with the buffers.
#[test]
fn kernels_with_checks_have_the_same_bits() {
    for team in TEAMS {
        let case = Case::new((4, 4), Some(16), 12, 0.5).with(team);
        let launches = both_ways(&case, Joins::Itself, Some(Epilogue::of(Activation::Relu)), false, false);
        assert_eq!(case.run_with(&launches, Checks::On), case.run(&launches), "{:?}", case.norm);
    }
}

/// Finds slices that are joined in another order by a launch of their own than by the one that uses them.
#[test]
fn either_launch_joins_slices_to_the_same_bits() {
    let relu = Epilogue::of(Activation::Relu);
    for case in [Case::new((37, 34), Some(35), 36, 0.5), Case::new((7, 3), None, 3, 0.0).with(TEAMS[2])] {
        let [apart, together] = JOINS.map(|joins| backward(&case, joins, Some(relu), false, false));
        let [before, itself] = JOINS.map(|joins| case.run(&forward(case.norm, joins, relu, false, Some(0))));
        for (binding, one, other) in [
            (Binding::InputGradient, &apart, &together),
            (Binding::WeightGradient, &apart, &together),
            (Binding::Output, &before, &itself),
            (Binding::Moments, &before, &itself),
            (Binding::Running, &before, &itself),
        ] {
            assert_eq!(floats(one, binding), floats(other, binding), "{binding:?} of {:?}", case.norm);
        }
    }
}

/// Finds a slice that is lost where there are many, by the formula of the gradient in f64; and sums in another order, by the bits of a second run.
#[test]
fn many_slices_are_added_in_one_order() {
    for case in large_cases().into_iter().flat_map(|case| TEAMS.map(|team| case.clone().with(team))) {
        let statistics = case.statistics(&case.x);
        let ones = vec![1.0; case.width()];
        let zeros = vec![0.0; case.width()];
        let normed = case.normed(&case.x, &statistics, &ones, &zeros);
        let sums = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..case.width()).map(|channel| (channel..case.x.len()).step_by(case.width()).map(of).sum()).collect()
        };
        let dbeta = sums(&|at| case.dy[at]);
        let dgamma = sums(&|at| case.dy[at] * normed[at]);
        let dx = |at: usize| {
            let (channel, n) = (at % case.width(), case.rows as f64);
            let factor = case.gamma[channel] / (statistics[1][channel] + EPS).sqrt();
            factor * (case.dy[at] - (dbeta[channel] + normed[at] * dgamma[channel]) / n)
        };
        let expected: Vec<f64> = (0..case.x.len()).map(dx).collect();
        let buffers = backward(&case, Joins::Itself, None, false, false);
        let quads = case.width().next_multiple_of(4);
        let found = floats(&buffers, Binding::WeightGradient);
        assert_close("dγ", &found[..case.width()], &dgamma, 1e-5);
        assert_close("dβ", &found[quads..][..case.width()], &dbeta, 1e-5);
        assert_close("dx", &case.counted(&floats(&buffers, Binding::InputGradient), quads), &expected, 1e-5);
        assert_eq!(buffers, backward(&case, Joins::Itself, None, false, false), "{:?}", case.norm);
    }
}
