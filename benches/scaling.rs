//! Does the cost grow no faster than the work? Sweeps over batch, width, depth, classes and rows of dense networks, over the images, channels, kernels
//! and batches of convolutions, and over the context, width and vocabulary of a transformer's block, as tables and log–log plots.
//!
//! Measured: the least of seven rounds of whole training steps with Adam, over buffers of zeros, many steps a submission. Of zeros, every
//! token is the same, which is the longest list that the gradient of an embedding can have.
//! Columns: milliseconds a step; its floating-point operations; GFLOP/s; device memory, which the plan counts before anything is allocated.
//! The plots (`benches/scaling/*.svg`) have the time and the work of a step, each divided by its first value: the time's line should never be
//! steeper than the work's.
//! Not to be read as: training times of useful networks (nothing is learned here); nor as GPU speeds where the adapter is a CPU.
//! Control: every sweep passes through the same network (784-256-10, two convolutions 3 × 3 of 16 × 16 × 32, both in batches of 32, or a
//! block of 64 places, 128 values and 65 tokens, in batches of 12) or says that it does not; its rows must agree.
//!
//! `cargo bench --bench scaling` writes the plots; `-- --quick` leaves out what takes longest, `-- channels kernel` makes these sweeps alone.

mod common;

use common::dense;
use plotters::prelude::*;
use wgrad::gpu::Checks;
use wgrad::profile::step_times;
use wgrad::{Activation, AttentionLayer, ConvLayer, Error, Gpu, Layer, Network};

struct Point {
    at: f64,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

/// A network, a batch, and the rows of the set.
type Case = (Network, usize, usize);

/// A network for each value of what is swept.
struct Sweep {
    name: &'static str,
    values: &'static [usize],
    /// The largest value of a quick run.
    quick: usize,
    case: fn(usize) -> Case,
}

const SWEEPS: [Sweep; 12] = [
    Sweep {
        name: "batch",
        values: &[1, 4, 16, 32, 64, 256, 1024, 4096, 8192],
        quick: 1024,
        case: |batch| (dense(&[784, 256, 10]), batch, 60_000),
    },
    Sweep {
        name: "width",
        values: &[32, 64, 128, 256, 512, 1024, 2048, 4096],
        quick: 512,
        case: |width| (dense(&[784, width, 10]), 32, 60_000),
    },
    Sweep {
        name: "depth",
        values: &[1, 2, 3, 4, 6, 8],
        quick: 4,
        case: |depth| (dense(&[&[784][..], &vec![256; depth - 1], &[10]].concat()), 32, 60_000),
    },
    Sweep {
        name: "classes",
        values: &[2, 10, 32, 64, 65, 100, 1000, 10_000, 100_000],
        quick: 1000,
        case: |classes| (dense(&[784, 64, classes]), 32, 60_000),
    },
    Sweep {
        name: "rows",
        values: &[32, 1000, 10_000, 60_000, 150_000],
        quick: 60_000,
        case: |rows| (dense(&[784, 256, 10]), 32, rows),
    },
    Sweep {
        name: "image",
        values: &[4, 8, 12, 16, 24, 32, 64, 128],
        quick: 32,
        case: |side| (convolutions(side, 32, 3), 32, 32),
    },
    Sweep {
        name: "channels",
        values: &[4, 8, 16, 32, 64, 128, 256],
        quick: 64,
        case: |channels| (convolutions(16, channels, 3), 32, 32),
    },
    Sweep {
        name: "kernel",
        values: &[1, 2, 3, 4, 5, 7, 9, 11],
        quick: 5,
        case: |kernel| (convolutions(16, 32, kernel), 32, 32),
    },
    Sweep {
        name: "images",
        values: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 1024],
        quick: 128,
        case: |batch| (convolutions(16, 32, 3), batch, batch),
    },
    Sweep {
        name: "context",
        values: &[1, 4, 16, 32, 64, 128, 256, 512, 1024],
        quick: 128,
        case: |places| (block(places, 128, 65), 12, TOKENS),
    },
    Sweep {
        name: "values",
        values: &[32, 64, 96, 128, 192, 256, 384, 512, 768],
        quick: 128,
        case: |width| (block(64, width, 65), 12, TOKENS),
    },
    Sweep {
        name: "vocabulary",
        values: &[2, 16, 65, 256, 1000, 4000, 10_000, 30_000, 100_000],
        quick: 1000,
        case: |vocabulary| (block(64, 128, vocabulary), 12, TOKENS),
    },
];

/// Two convolutions that are alike, so that one of them has a gradient by its input, and a small layer that classifies.
fn convolutions(side: usize, channels: usize, kernel: usize) -> Network {
    let conv = || Layer::new(ConvLayer::new(channels, kernel).same()).with_activation(Activation::Relu);
    Network::image(side, side, channels).with(conv()).with(conv()).global_avg_pool().dense(10, Activation::Identity)
}

/// The length of a text.
const TOKENS: usize = 400_000;

/// One block of a GPT whose heads have 32 values each, between its embedding and its logits.
fn block(places: usize, width: usize, vocabulary: usize) -> Network {
    Network::tokens(places)
        .embedding(width, vocabulary)
        .positions(places)
        .residual(|body| body.layer_norm().with(AttentionLayer::new(width / 32).causal().into()))
        .residual(|body| body.layer_norm().dense(4 * width, Activation::Gelu).dense(width, Activation::Identity))
        .layer_norm()
        .dense(vocabulary, Activation::Identity)
}

fn measured(gpu: &Gpu, sweep: &Sweep, quick: bool) -> Result<Vec<Point>, Error> {
    let name = sweep.name;
    println!("\n| {name} | ms a step | MFLOP | GFLOP/s | MiB |\n|--:|--:|--:|--:|--:|");
    let tiling = gpu.adapter().tiling();
    let mut points = vec![];
    for &value in sweep.values.iter().filter(|&&value| !quick || value <= sweep.quick) {
        let (network, batch, rows) = (sweep.case)(value);
        let plan = common::plan_of(&tiling, &network, batch as u32, rows as u64)?;
        let times = match step_times(gpu, &plan, Checks::Off) {
            Ok(times) => times,
            // A buffer is larger than the adapter binds: the sweep ends here, and says so.
            Err(error @ Error::Option(_)) => {
                println!("| {value} | {error} | | | |");
                break;
            }
            Err(error) => return Err(error),
        };
        let (flops, bytes) = (plan.cost().flops as f64, plan.bytes() as f64);
        println!(
            "| {value} | {:.3} | {:.1} | {:.1} | {:.1} |",
            1e3 * times.step,
            flops / 1e6,
            flops / times.step / 1e9,
            bytes / f64::from(1 << 20)
        );
        points.push(Point { at: value as f64, seconds: times.step, flops, bytes });
    }
    Ok(points)
}

/// Time, work and memory over what is swept, each divided by its first value.
fn plot(name: &str, points: &[Point]) -> Result<(), Box<dyn std::error::Error>> {
    let [first, .., last] = points else { return Ok(()) };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/scaling");
    std::fs::create_dir_all(folder)?;
    let path = format!("{folder}/{name}.svg");
    // The font is needed only for the widths of words.
    let font = include_bytes!("../src/cli/report/font/Roboto-Latin.ttf");
    plotters::style::register_font("sans-serif", FontStyle::Normal, font).map_err(|_| "no font")?;
    let root = SVGBackend::new(&path, (560, 400)).into_drawing_area();
    root.fill(&WHITE)?;
    let of = |value: fn(&Point) -> f64| {
        points.iter().map(|point| (point.at, value(point) / value(first))).collect::<Vec<_>>()
    };
    let lines = [
        ("time", of(|point| point.seconds), RED),
        ("work (FLOP)", of(|point| point.flops), BLUE),
        ("memory", of(|point| point.bytes), BLACK.mix(0.4).to_rgba_color()),
    ];
    let most = lines.iter().flat_map(|(_, line, _)| line).map(|&(_, y)| y).fold(1.0, f64::max);
    let least = lines.iter().flat_map(|(_, line, _)| line).map(|&(_, y)| y).fold(1.0, f64::min);
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("a training step by {name}"), ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d((first.at..last.at).log_scale(), (least * 0.8..most * 1.2).log_scale())?;
    chart.configure_mesh().light_line_style(WHITE).x_desc(name).y_desc("times the first").draw()?;
    for (label, line, color) in lines {
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)).point_size(3))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    root.present()?;
    Ok(())
}

/// A color with its opacity mixed into white, as the lines share one type.
trait Opaque {
    fn to_rgba_color(self) -> RGBColor;
}

impl Opaque for RGBAColor {
    fn to_rgba_color(self) -> RGBColor {
        let RGBAColor(r, g, b, opacity) = self;
        let over_white = |channel: u8| (f64::from(channel) * opacity + 255.0 * (1.0 - opacity)) as u8;
        RGBColor(over_white(r), over_white(g), over_white(b))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let gpu = common::gpu();
    println!("on {} ({})", gpu.adapter().name, gpu.adapter().driver);
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for sweep in SWEEPS.iter().filter(|sweep| names.is_empty() || names.iter().any(|name| name == sweep.name)) {
        plot(sweep.name, &measured(&gpu, sweep, quick)?)?;
    }
    Ok(())
}
