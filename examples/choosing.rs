//! The numbers and the picture of `docs/choosing.md`: losses and optimizers on the same network and the same task.
//!
//! `cargo run --release --example choosing` (minutes; prints tables and writes docs/optimizers.svg)

use std::path::Path;

use plotters::prelude::*;
use wgrad::{Activation, Dataset, Error, Loss, Network, Optimizer, Rule, TrainOptions, Trainer};

/// Training rows that learning rates are tried on, and as many more that decide which is best; steps between two points of a
/// curve, and how many there are: two epochs.
const TRIAL_ROWS: usize = 10_000;
const STEPS_A_POINT: u64 = 375;
const POINTS: usize = 10;

/// Colours that can be told apart, one a curve.
const COLORS: &[(u8, u8, u8)] = &[
    (150, 150, 150),
    (90, 90, 90),
    (0, 0, 0),
    (230, 159, 0),
    (240, 228, 66),
    (0, 158, 115),
    (213, 94, 0),
    (0, 114, 178),
    (86, 180, 233),
    (204, 121, 167),
    (120, 40, 160),
];

/// Mean squared error of sigmoids: what networks were trained with before cross-entropy.
const SIGMOID_MSE: &str = "
fn sigmoid(z: f32) -> f32 { return 1.0 / (1.0 + exp(-z)); }
fn loss(z: f32, t: f32) -> f32 { return (sigmoid(z) - t) * (sigmoid(z) - t); }
fn derivative(z: f32, t: f32) -> f32 { return 2.0 * (sigmoid(z) - t) * sigmoid(z) * (1.0 - sigmoid(z)); }
";

fn network() -> Network {
    Network::classifier(784, &[256], Activation::Relu, 10)
}

/// The share of rows whose largest output is the label's.
fn accuracy(outputs: &[f32], labels: &[u32]) -> f64 {
    let is_right = |(row, &label): (&[f32], &u32)| (0..10).all(|c| row[c] <= row[label as usize]);
    outputs.chunks_exact(10).zip(labels).filter(|&pair| is_right(pair)).count() as f64 / labels.len() as f64
}

/// The same network and the same optimizer under three losses.
fn losses(train: &Dataset, test: &Dataset) -> Result<(), Error> {
    println!("| loss | learning rate | test accuracy after 1 epoch | after 3 |\n|---|---|---|---|");
    let own = Loss::custom("sigmoid-mse", SIGMOID_MSE)?;
    for (name, loss) in [
        ("softmax cross-entropy", Loss::default()),
        ("squared error of sigmoids", own),
        ("squared error", Loss::MeanSquaredError),
    ] {
        for lr in [0.01, 0.1, 1.0] {
            let options = TrainOptions {
                loss: loss.clone(),
                optimizer: Optimizer::sgd(lr),
                epochs: 1,
                ..TrainOptions::default()
            };
            let mut trainer = Trainer::new(network(), options)?;
            let mut reached = Vec::new();
            let mut diverged = false;
            for _ in 0..3 {
                match trainer.fit(train, None) {
                    Ok(_) => reached.push(accuracy(&trainer.logits(test)?, test.labels())),
                    Err(Error::NonFinite { .. }) => diverged = true,
                    Err(error) => return Err(error),
                }
                if diverged {
                    break;
                }
            }
            let of =
                |at: usize| reached.get(at).map_or("diverged".into(), |reached| format!("{:.2} %", 100.0 * reached));
            println!("| {name} | {lr} | {} | {} |", of(0), of(2));
        }
    }
    println!();
    Ok(())
}

/// How far what a network says can be taken as a probability, under two losses.
fn probabilities(train: &Dataset, test: &Dataset) -> Result<(), Error> {
    println!("| trained with | outputs below 0 or above 1 | mean of the largest | accuracy |\n|---|---|---|---|");
    for (name, loss) in [("softmax cross-entropy", Loss::default()), ("squared error", Loss::MeanSquaredError)] {
        let options = TrainOptions { loss, optimizer: Optimizer::adam(1e-3), epochs: 3, ..TrainOptions::default() };
        let mut trainer = Trainer::new(network(), options)?;
        trainer.fit(train, None)?;
        let outputs = trainer.predict(test)?;
        let outside =
            outputs.iter().filter(|value| !(0.0..=1.0).contains(*value)).count() as f64 / outputs.len() as f64;
        let largest = outputs.chunks_exact(10).map(|row| f64::from(row.iter().copied().fold(f32::MIN, f32::max)));
        let mean = largest.sum::<f64>() / test.rows() as f64;
        let accuracy = accuracy(&outputs, test.labels());
        println!("| {name} | {:.1} % | {mean:.3} | {accuracy:.3} |", 100.0 * outside);
    }
    println!();
    Ok(())
}

/// An optimizer with the best of some learning rates, and its test error after every few steps.
struct Curve {
    name: &'static str,
    lr: f64,
    errors: Vec<f64>,
}

fn curve(name: &'static str, optimizer: Optimizer, train: &Dataset, test: &Dataset) -> Result<Curve, Error> {
    let trial = train.select(0..TRIAL_ROWS)?;
    let held_out = train.select(train.rows() - TRIAL_ROWS..train.rows())?;
    let mut best = (f64::INFINITY, optimizer.lr);
    // A third of a decade apart; for Muon, whose step takes some forty times as long here, the nearest ones alone.
    let exponents = if matches!(optimizer.rule, Rule::Muon { .. }) { -1..=1 } else { -3..=6 };
    for exponent in exponents {
        let lr = optimizer.lr * 10f64.powf(f64::from(exponent) / 3.0);
        let options = TrainOptions { optimizer: Optimizer { lr, ..optimizer }, epochs: 1, ..TrainOptions::default() };
        let mut trainer = Trainer::new(network(), options)?;
        match trainer.fit(&trial, None) {
            Ok(_) => {
                let loss = trainer.evaluate(&held_out)?.loss;
                if loss < best.0 {
                    best = (loss, lr);
                }
            }
            Err(Error::NonFinite { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let lr = best.1;
    let options = TrainOptions {
        optimizer: Optimizer { lr, ..optimizer },
        steps: Some(STEPS_A_POINT),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(network(), options)?;
    let mut errors = Vec::new();
    for _ in 0..POINTS {
        trainer.fit(train, None)?;
        errors.push(100.0 * (1.0 - trainer.evaluate(test)?.accuracy.unwrap_or(0.0)));
    }
    Ok(Curve { name, lr, errors })
}

fn optimizers(train: &Dataset, test: &Dataset) -> Result<Vec<Curve>, Error> {
    println!("| optimizer | learning rate | test error after 1 epoch | after 2 |\n|---|---|---|---|");
    let momentum = Optimizer { lr: 0.03, ..Optimizer::new(Rule::Sgd { momentum: 0.9, nesterov: false }) };
    let nesterov = Optimizer { rule: Rule::Sgd { momentum: 0.9, nesterov: true }, ..momentum };
    let named = |name: &str| Optimizer::from_name(name);
    let mut curves = Vec::new();
    for (name, optimizer) in [
        ("sgd", Optimizer::sgd(0.1)),
        ("sgd, momentum 0.9", momentum),
        ("sgd, Nesterov", nesterov),
        ("adagrad", named("adagrad")?),
        ("adadelta", named("adadelta")?),
        ("rmsprop", Optimizer { lr: 1e-3, ..named("rmsprop")? }),
        ("adam", named("adam")?),
        ("adamw", named("adamw")?),
        ("nadam", named("nadam")?),
        ("lion", named("lion")?),
        ("muon", Optimizer { lr: 0.01, ..named("muon")? }),
    ] {
        let curve = curve(name, optimizer, train, test)?;
        let after = |epoch: usize| curve.errors[POINTS * epoch / 2 - 1];
        println!("| {name} | {:.4} | {:.2} % | {:.2} % |", curve.lr, after(1), after(2));
        curves.push(curve);
    }
    Ok(curves)
}

fn draw(curves: &[Curve], path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::new(path, (860, 520)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = (STEPS_A_POINT as usize * POINTS) as f64;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .caption("784-256-10 on MNIST, each optimizer at its best learning rate", ("sans-serif", 18))
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..most, 2.0..10.0)?;
    chart
        .configure_mesh()
        .x_desc("steps of 32 rows")
        .y_desc("test error, %")
        .x_label_formatter(&|steps| format!("{steps:.0}"))
        .y_label_formatter(&|error| format!("{error:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for (curve, &(red, green, blue)) in curves.iter().zip(COLORS) {
        let color = RGBColor(red, green, blue);
        let points =
            curve.errors.iter().enumerate().map(|(at, &error)| ((at + 1) as f64 * STEPS_A_POINT as f64, error));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)))?
            .label(curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = Dataset::from_idx_dir("data/mnist")?;
    let test = test.ok_or("data/mnist has no test images")?;
    losses(&train, &test)?;
    probabilities(&train, &test)?;
    draw(&optimizers(&train, &test)?, Path::new("docs/optimizers.svg"))
}
