//! Curves and points, drawn by plotters: as SVG, and as PNG.

use std::fmt::Display;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;

use super::pictures::Picture;
use crate::error::Error;
use crate::history::Epoch;

/// The font for the widths of words, and to draw them in PNG: not every machine has a font.
const FONT: &[u8] = include_bytes!("font/Roboto-Latin.ttf");
/// A chart's size, in units of SVG.
const SIZE: (u32, u32) = (440, 290);
/// The pixels of a PNG for each of these units.
const PIXELS: i32 = 2;
/// The most points of a scatter plot that are drawn.
const MOST_DOTS: usize = 1_500;
const BINS: usize = 40;

const PAPER: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(31, 35, 40);
const GRID: RGBColor = RGBColor(216, 222, 228);
const FIRST: RGBColor = RGBColor(202, 93, 16);
const SECOND: RGBColor = RGBColor(9, 105, 218);

/// The colors of an SVG picture.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Colors {
    /// Dark colors on white.
    OnPaper,
    /// The colors of the page that contains the picture, by its CSS variables.
    OfPage,
}

/// One picture with a title and axes.
pub struct Chart {
    title: &'static str,
    under: &'static str,
    series: Vec<Series>,
    is_share: bool,
}

struct Series {
    /// The name in the legend; empty if there is none.
    name: &'static str,
    color: RGBColor,
    form: Form,
    points: Vec<(f64, f64)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Line,
    Dots,
    /// Bars from 0, of this width.
    Bars(f64),
}

impl Chart {
    /// Loss, accuracy, and the learning rate where it changes, by epoch.
    pub fn of_history(epochs: &[Epoch]) -> Vec<Chart> {
        let curve = |name, color, of: &dyn Fn(&Epoch) -> Option<f64>| {
            let points = epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, of(epoch)?)));
            Series { name, color, form: Form::Line, points: points.filter(|(_, y)| y.is_finite()).collect() }
        };
        let both = |title,
                    is_share,
                    training: &dyn Fn(&Epoch) -> Option<f64>,
                    validation: &dyn Fn(&Epoch) -> Option<f64>| Chart {
            title,
            under: "epoch",
            series: vec![curve("training", FIRST, training), curve("validation", SECOND, validation)],
            is_share,
        };
        let loss = both("loss", false, &|epoch| Some(epoch.training.loss), &|epoch| Some(epoch.validation?.loss));
        let accuracy = both("accuracy", true, &|epoch| epoch.training.accuracy, &|epoch| epoch.validation?.accuracy);
        let rate = curve("", INK, &|epoch| Some(epoch.learning_rate));
        let mut charts = vec![loss, accuracy];
        if rate.points.iter().any(|(_, y)| *y != rate.points[0].1) {
            charts.push(Chart { title: "learning rate", under: "epoch", series: vec![rate], is_share: false });
        }
        for chart in &mut charts {
            chart.series.retain(|series| !series.points.is_empty());
        }
        charts.retain(|chart| !chart.series.is_empty());
        charts
    }

    /// Predicted against true values, and a histogram of the differences.
    pub fn of_numbers(pairs: &[[f32; 2]]) -> Vec<Chart> {
        let pairs = || pairs.iter().map(|&[target, output]| (f64::from(target), f64::from(output)));
        let step = pairs().len().div_ceil(MOST_DOTS).max(1);
        let dots: Vec<_> = pairs().step_by(step).collect();
        let Range { start, end } = around(dots.iter().flat_map(|&(target, output)| [target, output]));
        let line = vec![(start, start), (end, end)];
        let residuals: Vec<f64> = pairs().map(|(target, output)| output - target).collect();
        let Range { start, end } = around(residuals.iter().copied());
        let width = (end - start) / BINS as f64;
        let mut counts = [0.0; BINS];
        residuals.iter().for_each(|off| counts[(((off - start) / width) as usize).min(BINS - 1)] += 1.0);
        let bars = counts.iter().enumerate().map(|(bin, &count)| (start + (bin as f64 + 0.5) * width, count));
        let series = |name, color, form, points| Series { name, color, form, points };
        vec![
            Chart {
                title: "predicted",
                under: "true value",
                series: vec![series("", INK, Form::Line, line), series("", SECOND, Form::Dots, dots)],
                is_share: false,
            },
            Chart {
                title: "rows",
                under: "predicted − true",
                series: vec![series("", SECOND, Form::Bars(width), bars.collect())],
                is_share: false,
            },
        ]
    }

    pub fn title(&self) -> &'static str {
        self.title
    }
}

/// Charts side by side.
pub fn svg(charts: &[Chart], colors: Colors) -> Result<String, Error> {
    let mut text = String::new();
    let size = (SIZE.0 * charts.len() as u32, SIZE.1);
    draw_all(SVGBackend::with_string(&mut text, size).into_drawing_area(), charts, 1, colors)?;
    if colors == Colors::OfPage {
        let variables = [(INK, "ink"), (GRID, "line"), (FIRST, "first"), (SECOND, "second")];
        for (RGBColor(red, green, blue), name) in variables {
            text = text.replace(&format!("#{red:02X}{green:02X}{blue:02X}"), &format!("var(--{name})"));
        }
    }
    Ok(text)
}

/// Charts side by side, as PNG.
pub fn png(charts: &[Chart]) -> Result<Vec<u8>, Error> {
    let (width, height) = (PIXELS as u32 * SIZE.0 * charts.len() as u32, PIXELS as u32 * SIZE.1);
    let mut bytes = vec![0; 3 * width as usize * height as usize];
    let area = BitMapBackend::with_buffer(&mut bytes, (width, height)).into_drawing_area();
    draw_all(area, charts, PIXELS, Colors::OnPaper)?;
    Picture { width: width as usize, height: height as usize, channels: 3, bytes }.png()
}

fn draw_all<DB: DrawingBackend>(
    area: DrawingArea<DB, Shift>,
    charts: &[Chart],
    scale: i32,
    colors: Colors,
) -> Result<(), Error> {
    // Our own font is valid, so this cannot fail.
    let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    if colors == Colors::OnPaper {
        area.fill(&PAPER).map_err(cannot)?;
    }
    let areas = area.split_evenly((1, charts.len()));
    areas.iter().zip(charts).try_for_each(|(area, chart)| draw(area, chart, scale))?;
    area.present().map_err(cannot)
}

fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, chart: &Chart, scale: i32) -> Result<(), Error> {
    draw_head(area, chart, scale)?;
    let by_epoch = chart.under == "epoch";
    let mut built = with_axes(area, chart, scale, by_epoch)?;
    chart.series.iter().try_for_each(|series| draw_series(&mut built, series, scale, by_epoch))
}

fn font(size: i32) -> FontDesc<'static> {
    ("sans-serif", size).into_font()
}

/// Draws the title, and the names of the series in a line with it.
fn draw_head<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, chart: &Chart, scale: i32) -> Result<(), Error> {
    let words = font(17 * scale).color(&INK);
    area.draw(&Text::new(chart.title, (8 * scale, 8 * scale), font(19 * scale).color(&INK))).map_err(cannot)?;
    let mut right = area.dim_in_pixel().0 as i32 - 14 * scale;
    for series in chart.series.iter().rev().filter(|series| !series.name.is_empty()) {
        let wide = area.estimate_text_size(series.name, &words).map_err(cannot)?.0 as i32;
        area.draw(&Text::new(series.name, (right - wide, 9 * scale), words.clone())).map_err(cannot)?;
        let dot = (right - wide - 9 * scale, 17 * scale);
        area.draw(&Circle::new(dot, 4 * scale, series.color.filled())).map_err(cannot)?;
        right -= wide + 28 * scale;
    }
    Ok(())
}

/// A chart in whose coordinates series are drawn.
type Axes<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the axes around all points, their labels and the lines of the grid.
fn with_axes<'a, DB: DrawingBackend>(
    area: &'a DrawingArea<DB, Shift>,
    chart: &Chart,
    scale: i32,
    by_epoch: bool,
) -> Result<Axes<'a, DB>, Error> {
    let words = font(17 * scale).color(&INK);
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let from_zero = chart.series.iter().any(|series| matches!(series.form, Form::Bars(_)));
    let x = around(points().map(|point| point.0));
    let y = around(points().map(|point| point.1).chain(from_zero.then_some(0.0)));
    let y = if from_zero { 0.0..y.end } else { y };
    let (x_step, y_step) = ((x.end - x.start) / 6.0, (y.end - y.start) / 6.0);
    let x_label = |x: &f64| if by_epoch && x.fract() != 0.0 { String::new() } else { number(*x, x_step, false) };
    let y_label = |y: &f64| number(*y, y_step, chart.is_share);
    let mut wide = 50 * scale;
    for end in [y.start, y.end] {
        wide = wide.max(area.estimate_text_size(&y_label(&end), &words).map_err(cannot)?.0 as i32);
    }
    let mut built = ChartBuilder::on(area)
        .margin_top(34 * scale)
        .margin_right(14 * scale)
        .margin_bottom(6 * scale)
        .margin_left(4 * scale)
        .x_label_area_size(40 * scale)
        .y_label_area_size(wide + 8 * scale)
        .build_cartesian_2d(x, y)
        .map_err(cannot)?;
    built
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(scale as u32))
        .axis_style(GRID.stroke_width(scale as u32))
        .label_style(words)
        .x_labels(7)
        .y_labels(6)
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .x_desc(chart.under)
        .draw()
        .map_err(cannot)?;
    Ok(built)
}

/// Draws a line, which has a dot for each of few epochs; a cloud of dots; or bars.
fn draw_series<DB: DrawingBackend>(
    axes: &mut Axes<'_, DB>,
    series: &Series,
    scale: i32,
    by_epoch: bool,
) -> Result<(), Error> {
    let Series { color, form, points, .. } = series;
    match *form {
        Form::Line => {
            let line = LineSeries::new(points.iter().copied(), color.stroke_width(2 * scale as u32));
            axes.draw_series(line).map_err(cannot)?;
            if by_epoch && points.len() <= 25 {
                let dots = points.iter().map(|&point| Circle::new(point, 3 * scale, color.filled()));
                axes.draw_series(dots).map_err(cannot)?;
            }
        }
        Form::Dots => {
            let dots = points.iter().map(|&point| Circle::new(point, 2 * scale, color.mix(0.5).filled()));
            axes.draw_series(dots).map_err(cannot)?;
        }
        Form::Bars(width) => {
            let half = 0.45 * width;
            let bars = points.iter().map(|&(x, y)| Rectangle::new([(x - half, 0.0), (x + half, y)], color.filled()));
            axes.draw_series(bars).map_err(cannot)?;
        }
    }
    Ok(())
}

/// The range from the least to the largest value, and a little more.
fn around(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (least, most) = values
        .filter(|value| value.is_finite())
        .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    if least > most {
        return 0.0..1.0;
    }
    let pad = if most > least { 0.04 * (most - least) } else { 0.5 * most.abs().clamp(1e-9, 1.0) };
    least - pad..most + pad
}

/// A number, with enough digits to distinguish it from one that is a step away.
fn number(value: f64, step: f64, is_share: bool) -> String {
    let (value, step, unit) = if is_share { (100.0 * value, 100.0 * step, "%") } else { (value, step, "") };
    if step < 1e-4 || value.abs() >= 1e6 {
        // Digits after the first, down to the step's own.
        let digits = if value == 0.0 { 0.0 } else { value.abs().log10().floor() - (step / 2.0).log10().floor() };
        let digits = digits.clamp(0.0, 6.0) as usize;
        return format!("{value:.digits$e}{unit}");
    }
    let digits = (1.0 - step.log10()).floor().clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{short}{unit}")
}

fn cannot(error: impl Display) -> Error {
    Error::Option(format!("the curves cannot be drawn: {error}"))
}
