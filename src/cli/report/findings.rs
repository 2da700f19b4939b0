//! What a report shows of a model: its metrics, its worst mistakes, and its first layer.

use super::pictures::first_seen;
use crate::cli::figures::figure;
use crate::data::Dataset;
use crate::error::Error;
use crate::loss::Task;
use crate::metric::Metrics;
use crate::model::class_of;
use crate::network::Parameter;
use crate::preprocessing::ImageShape;
use crate::trainer::Trainer;
use crate::weights::LayerWeights;

/// The number of mistakes that are shown.
const WORST: usize = 25;
/// The number of rows that are predicted at once.
const AT_ONCE: usize = 1 << 16;

pub struct Findings {
    /// The rows that were judged, as a word before "rows".
    pub on: &'static str,
    /// What the accuracy counts.
    pub accuracy: &'static str,
    pub metrics: Metrics,
    /// The name of each output.
    pub names: Vec<String>,
    /// `[classes, classes]`, rows by their class; also for a single output that distinguishes two classes.
    pub confusion: Option<Vec<u64>>,
    /// The highest losses among wrong rows, or the numbers that are furthest off, highest first.
    pub worst: Vec<Mistake>,
    /// The number of wrong rows, under losses that judge classes.
    pub wrong: u64,
    /// Whether rows are right or wrong as a whole, so that there are worst ones.
    pub judges_rows: bool,
    /// The target and the prediction of every row, for the first output, under losses over numbers.
    pub numbers: Vec<[f32; 2]>,
    pub first_layer: FirstLayer,
}

/// The weights that see the input, or, of a network with convolutions, the first of those.
pub struct FirstLayer {
    /// The shape of the input, if it is an image.
    pub image: Option<ImageShape>,
    pub weights: LayerWeights,
    /// What they are.
    pub parameter: Parameter,
}

pub struct Mistake {
    pub row: usize,
    pub loss: f64,
    pub truth: String,
    pub predicted: String,
    /// The probability of the prediction, if it has one.
    pub probability: Option<f64>,
    pub input: Input,
}

pub enum Input {
    Image(ImageShape, Vec<f32>),
    /// Cells by the names of their columns.
    Cells(Vec<(String, String)>),
}

impl Findings {
    pub fn of(trainer: &mut Trainer, set: &Dataset, on: &'static str) -> Result<Self, Error> {
        let metrics = trainer.metrics(set)?;
        let judge = Judge::of(trainer, set);
        let (mut worst, mut wrong, mut numbers) = (Vec::new(), 0, Vec::new());
        // Of sequences with an answer for each place, no row is wrong as a whole.
        let judges_rows = trainer.network().places().is_none();
        for first in (0..set.rows()).step_by(AT_ONCE).filter(|_| judges_rows) {
            let rows = first..(first + AT_ONCE).min(set.rows());
            let chosen = set.select(rows.clone())?;
            // Numbers are in the targets' own units.
            let logits =
                if judge.task == Task::Numbers { trainer.predict(&chosen)? } else { trainer.logits(&chosen)? };
            for (row, logits) in rows.zip(logits.chunks_exact(judge.outputs)) {
                if let Some(loss) = judge.loss(row, logits) {
                    wrong += 1;
                    worst.push((loss, row, logits.to_vec()));
                }
                if judge.task == Task::Numbers {
                    numbers.push([judge.target(row, 0), logits[0]]);
                }
                if worst.len() > 40 * WORST {
                    keep_worst(&mut worst);
                }
            }
        }
        keep_worst(&mut worst);
        let image = image_of(set);
        let mistake = |(loss, row, logits): (f64, usize, Vec<f32>)| {
            let features = set.row(row)?;
            let input = match image {
                Some(shape) => Input::Image(shape, features),
                None => Input::Cells(cells(set, &features)),
            };
            let (truth, predicted, probability) = judge.words(row, &judge.loss.predict(&logits));
            Ok(Mistake { row, loss, truth, predicted, probability, input })
        };
        let mut layers = trainer.weights()?.layers;
        let mut parameters = trainer.network().named_parameters();
        let first = first_seen(&parameters);
        Ok(Findings {
            on,
            accuracy: if judge.task == Task::EachOutput && judge.outputs > 1 {
                "accuracy of outputs"
            } else {
                "accuracy"
            },
            confusion: confusion(&metrics, judge.outputs),
            names: judge.all_names(),
            worst: worst.into_iter().map(mistake).collect::<Result<_, Error>>()?,
            wrong,
            judges_rows,
            numbers,
            first_layer: FirstLayer {
                image,
                weights: layers.swap_remove(first),
                parameter: parameters.swap_remove(first),
            },
            metrics,
        })
    }
}

/// Keeps the worst, in descending order; of equally bad ones, the first.
fn keep_worst(worst: &mut Vec<(f64, usize, Vec<f32>)>) {
    worst.sort_by(|(a, row_a, _), (b, row_b, _)| b.total_cmp(a).then(row_a.cmp(row_b)));
    worst.truncate(WORST);
}

/// The shape of rows that are images that can be shown, or that have MNIST's width and are not from a table.
pub fn image_of(set: &Dataset) -> Option<ImageShape> {
    let is_like_mnist = set.width() == 784 && set.columns().is_none() && set.vocabulary().is_none();
    let like_mnist = is_like_mnist.then_some(ImageShape { height: 28, width: 28, channels: 1 });
    set.image_shape().or(like_mnist).filter(ImageShape::is_picture)
}

fn cells(set: &Dataset, features: &[f32]) -> Vec<(String, String)> {
    match set.columns() {
        Some(columns) => columns.cells(features),
        None => features.iter().enumerate().map(|(at, value)| (at.to_string(), value.to_string())).collect(),
    }
}

/// The confusion matrix. The device counts it for several classes; for one output it follows from the other counts.
fn confusion(metrics: &Metrics, outputs: usize) -> Option<Vec<u64>> {
    let classes = metrics.classes.as_ref()?;
    let one = |counts: &crate::metric::ClassCounts| {
        let (missed, wrongly) = (counts.support - counts.hits, counts.predicted - counts.hits);
        vec![metrics.evaluation.rows - counts.hits - missed - wrongly, wrongly, missed, counts.hits]
    };
    match outputs {
        1 => classes.classes.first().map(one),
        _ => classes.confusion.clone(),
    }
}

/// Knows what is right for a row, and how wrong its outputs are.
struct Judge<'a> {
    set: &'a Dataset,
    task: Task,
    loss: crate::loss::Loss,
    outputs: usize,
    names: Vec<String>,
}

impl<'a> Judge<'a> {
    fn of(trainer: &Trainer, set: &'a Dataset) -> Self {
        let loss = trainer.options().loss.clone();
        let (task, outputs) = (loss.task(), trainer.network().outputs());
        Judge { set, task, loss, outputs, names: set.class_names().to_vec() }
    }

    fn name(&self, output: usize) -> String {
        if let Some(vocabulary) = self.set.text_vocabulary() {
            return vocabulary.name(output);
        }
        class_of(&self.names, self.outputs, output)
    }

    fn all_names(&self) -> Vec<String> {
        match (self.outputs, self.task) {
            (1, Task::EachOutput) if self.names.len() == 2 => self.names.clone(),
            (1, Task::EachOutput) => vec!["0".into(), "1".into()],
            _ => (0..self.outputs).map(|output| self.name(output)).collect(),
        }
    }

    /// The target of an output.
    fn target(&self, row: usize, output: usize) -> f32 {
        match self.set.values() {
            Some(values) => values[row * self.outputs + output],
            None if self.outputs == 1 => self.set.labels()[row] as f32,
            None => f32::from(u8::from(self.set.labels()[row] as usize == output)),
        }
    }

    /// The right class; `None` if the row is ignored.
    fn class(&self, row: usize) -> Option<usize> {
        match self.set.values() {
            Some(values) => Some(largest(&values[row * self.outputs..(row + 1) * self.outputs])),
            None => Some(self.set.labels()[row]).filter(|&label| !self.loss.ignores(label)).map(|label| label as usize),
        }
    }

    /// The error of a wrong row: −log p of its class, the mean of −log p over outputs, or how far its numbers are off. It is computed from the
    /// logits, as a small p is 0 in f32.
    fn loss(&self, row: usize, logits: &[f32]) -> Option<f64> {
        match self.task {
            Task::Classes => {
                let class = self.class(row)?;
                (largest(logits) != class).then(|| log_sum_exp(logits) - f64::from(logits[class]))
            }
            Task::EachOutput => {
                let targets = (0..self.outputs).map(|output| self.target(row, output) > 0.5);
                let each = targets
                    .zip(logits)
                    .map(|(yes, &z)| (yes == (z > 0.0), log_sum_exp(&[0.0, if yes { -z } else { z }])));
                let (right, sum) = each.fold((true, 0.0), |(all, sum), (right, loss)| (all && right, sum + loss));
                (!right).then_some(sum / self.outputs as f64)
            }
            Task::Numbers => {
                let off = |(output, &value): (usize, &f32)| f64::from(value - self.target(row, output)).powi(2);
                Some(logits.iter().enumerate().map(off).sum::<f64>().sqrt())
            }
        }
    }

    /// The true value, the prediction, and its probability.
    fn words(&self, row: usize, outputs: &[f32]) -> (String, String, Option<f64>) {
        let numbers = |values: &mut dyn Iterator<Item = f32>| {
            values.map(|value| figure(value.into())).collect::<Vec<_>>().join(", ")
        };
        let yes = |values: &mut dyn Iterator<Item = f32>| {
            let named = values.enumerate().filter(|(_, value)| *value > 0.5).map(|(output, _)| self.name(output));
            Some(named.collect::<Vec<_>>().join(", "))
                .filter(|names| !names.is_empty())
                .unwrap_or_else(|| "none".into())
        };
        let mut targets = (0..self.outputs).map(|output| self.target(row, output));
        match self.task {
            Task::Classes => {
                let predicted = largest(outputs);
                let truth = self.class(row).map_or_else(String::new, |class| self.name(class));
                (truth, self.name(predicted), Some(outputs[predicted].into()))
            }
            Task::EachOutput if self.outputs == 1 => {
                let (names, is_second) = (self.all_names(), outputs[0] > 0.5);
                let of = |second: bool| names[usize::from(second)].clone();
                let probability = if is_second { outputs[0] } else { 1.0 - outputs[0] };
                (of(self.target(row, 0) > 0.5), of(is_second), Some(probability.into()))
            }
            Task::EachOutput => (yes(&mut targets), yes(&mut outputs.iter().copied()), None),
            Task::Numbers => (numbers(&mut targets), numbers(&mut outputs.iter().copied()), None),
        }
    }
}

/// log Σ exp z, for any z.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = f64::from(logits[largest(logits)]);
    largest + logits.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln()
}

/// The index of the largest value; of equal ones, the first.
fn largest(values: &[f32]) -> usize {
    (0..values.len()).fold(0, |best, at| if values[at] > values[best] { at } else { best })
}
