//! The picture of a run, drawn into the space that there is.
//!
//! ```text
//! ⋯ a blank row, where the cursor waits ⋯
//! loss  ⠒⠒ training  • validation         accuracy                       0 – 5 epochs
//! two charts, side by side, or one above the other, or the loss alone
//! epoch 3/10 ━━━━━━━━━━━━━━━━━━━━━───────────── 62 %
//! figures in columns
//! ```
//!
//! If there is no room for this, the picture is one line.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::symbols::Marker;
use ratatui_core::text::Line;
use ratatui_core::widgets::Widget;
use ratatui_widgets::chart::{Axis, Chart, Dataset, GraphType};

use super::known::{Curves, Known};
use crate::cli::figures::{bytes, countdown, figure, number, trimmed};
use crate::cli::output::grouped;
use crate::history::Progress;
use crate::metric::Evaluation;

/// The least columns of a terminal for two charts side by side; the last column stays free.
const SIDE_BY_SIDE: u16 = 60;
/// Columns of a figure, and how many may be in a row.
const FIGURE: u16 = 20;
const IN_A_ROW: [u16; 3] = [4, 3, 2];
/// Rows of lines that stay in sight above the picture.
const LINES_ABOVE: u16 = 2;
/// The least rows of a chart, with its title.
const LEAST_CHART: u16 = 4;
const MOST_CHART: u16 = 14;

const TRAINING: Style = Style::new().fg(Color::Cyan);
const VALIDATION: Style = Style::new().fg(Color::Yellow);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// The picture while the run goes on, in at most this space.
pub(super) fn live(known: &Known, columns: u16, rows: u16) -> Buffer {
    if let Some((kernel, at, of)) = known.tuning {
        return one_row(&format!("tuning {kernel} {at}/{of}"), columns);
    }
    let Some(progress) = known.progress else { return one_row("", columns) };
    let figures = figures(known, &progress);
    let in_a_row = IN_A_ROW.into_iter().find(|count| count * FIGURE <= columns + 1).unwrap_or(1);
    let below = 1 + (figures.len() as u16).div_ceil(in_a_row);
    if in_a_row == 1 || rows < 1 + below {
        return one_row(&short(known, &progress, columns), columns);
    }
    let charts = charts(known, columns, rows.saturating_sub(1 + below + LINES_ABOVE), rows);
    let top = 1 + charts.iter().map(|(area, _)| area.bottom()).max().unwrap_or(0);
    let mut picture = blank(columns, top + below);
    draw_charts(&mut picture, known, &charts);
    bar(&mut picture, top, known, &progress);
    for (at, (label, value)) in (0u16..).zip(&figures) {
        let place = Rect::new(at % in_a_row * FIGURE, top + 1 + at / in_a_row, FIGURE - 1, 1);
        let place = put(&mut picture, place, label, FAINT);
        put(&mut picture, place, value, Style::new());
    }
    picture
}

/// The picture that stays when the run is over: the curves, if there are any.
pub(super) fn left_behind(known: &Known, columns: u16, rows: u16) -> Buffer {
    if known.progress.is_none() || columns + 1 < 2 * FIGURE {
        return blank(columns, 0);
    }
    let charts = charts(known, columns, rows.saturating_sub(1 + LINES_ABOVE), rows);
    let rows = charts.iter().map(|(area, _)| area.bottom() + 1).max().unwrap_or(0);
    let mut picture = blank(columns, rows);
    draw_charts(&mut picture, known, &charts);
    picture
}

fn blank(columns: u16, rows: u16) -> Buffer {
    Buffer::empty(Rect::new(0, 0, columns, rows))
}

fn one_row(text: &str, columns: u16) -> Buffer {
    let mut picture = blank(columns, 1);
    picture.set_stringn(0, 0, text, columns.into(), Style::new());
    picture
}

/// The most important parts that fit into the given number of columns.
fn short(known: &Known, progress: &Progress, columns: u16) -> String {
    let mut words = vec![
        format!("{}/{}", progress.epoch, known.course.epochs),
        format!("{}%", percent(progress)),
        figure(progress.so_far.loss),
    ];
    words.extend(progress.so_far.accuracy.map(|accuracy| format!("{:.1}%", 100.0 * accuracy)));
    words.extend(known.seconds_left().map(|(_, of_run)| countdown(of_run)));
    let mut text = String::new();
    for word in words {
        if text.chars().count() + 1 + word.chars().count() <= columns.into() {
            text = if text.is_empty() { word } else { format!("{text} {word}") };
        }
    }
    text
}

fn percent(progress: &Progress) -> u64 {
    100 * progress.step / progress.steps.max(1)
}

/// Draws the progress of the epoch.
fn bar(picture: &mut Buffer, row: u16, known: &Known, progress: &Progress) {
    let row = Rect::new(0, row, picture.area.width, 1);
    let row = put(picture, row, &format!("epoch {}/{} ", progress.epoch, known.course.epochs), Style::new());
    let after = format!(" {:>3} %", percent(progress));
    let room = usize::from(row.width).saturating_sub(after.chars().count());
    let full = room * progress.step as usize / progress.steps.max(1) as usize;
    let row = put(picture, row, &"━".repeat(full), TRAINING);
    let row = put(picture, row, &"─".repeat(room - full), FAINT);
    put(picture, row, &after, Style::new());
}

/// The figures, each with its name, in the order of their positions.
fn figures(known: &Known, progress: &Progress) -> Vec<(&'static str, String)> {
    let (of_epoch, of_run) = known.seconds_left().unwrap_or_default();
    let loss = |result: &Evaluation| figure(result.loss);
    let accuracy =
        |result: &Evaluation| result.accuracy.map_or("–".into(), |accuracy| format!("{:.2} %", 100.0 * accuracy));
    let mut figures = vec![
        ("epoch left ", countdown(of_epoch)),
        ("run left ", countdown(of_run)),
        ("samples/s ", grouped(progress.samples_per_second as u64)),
        ("memory ", bytes(known.course.device_bytes)),
        ("loss ", loss(&progress.so_far)),
        ("accuracy ", accuracy(&progress.so_far)),
        ("lr ", number(progress.learning_rate)),
        ("grad norm ", progress.gradient_norm.map_or("–".into(), number)),
    ];
    // They are shown from the beginning: another row after the first epoch would take its room from the charts.
    if known.course.validates {
        let last = known.last_epoch.and_then(|epoch| epoch.validation);
        figures.push(("val loss ", last.as_ref().map_or("–".into(), loss)));
        figures.push(("val acc ", last.as_ref().map_or("–".into(), accuracy)));
    }
    figures
}

/// What a chart shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Loss,
    Accuracy,
}

/// The charts' places below the blank row, in `room` rows of a terminal with `rows`.
fn charts(known: &Known, columns: u16, room: u16, rows: u16) -> Vec<(Rect, Kind)> {
    let height = room.min((2 * rows / 5).clamp(LEAST_CHART, MOST_CHART));
    let has_accuracy = known.accuracy.training.points().len() + known.accuracy.validation.points().len() > 0;
    if height < LEAST_CHART {
        vec![]
    } else if has_accuracy && columns + 1 >= SIDE_BY_SIDE {
        let width = (columns - 2) / 2;
        vec![
            (Rect::new(0, 0, width, height), Kind::Loss),
            (Rect::new(columns - width, 0, width, height), Kind::Accuracy),
        ]
    } else if has_accuracy && room >= 2 * LEAST_CHART {
        let height = height.min(room / 2);
        vec![(Rect::new(0, 0, columns, height), Kind::Loss), (Rect::new(0, height, columns, height), Kind::Accuracy)]
    } else {
        vec![(Rect::new(0, 0, columns, height), Kind::Loss)]
    }
}

fn draw_charts(picture: &mut Buffer, known: &Known, charts: &[(Rect, Kind)]) {
    let times = times(known);
    for (at, &(area, kind)) in charts.iter().enumerate() {
        let title = Rect { y: area.y + 1, height: 1, ..area };
        let plot = Rect { y: area.y + 2, height: area.height - 1, ..area };
        let (name, curves) = match kind {
            Kind::Loss => ("loss", &known.loss),
            Kind::Accuracy => ("accuracy", &known.accuracy),
        };
        let after = put(picture, title, name, Style::new().add_modifier(Modifier::BOLD));
        // The first chart has the legend for both, the last chart the range of epochs.
        let after = if at == 0 { draw_legend(picture, after, curves) } else { after };
        if at + 1 == charts.len() {
            draw_span(picture, after, times);
        }
        draw_curves(picture, plot, curves, &Scale::of(kind, curves), times);
    }
}

/// Writes into a row as far as there is room, and returns the room that is left.
fn put(picture: &mut Buffer, row: Rect, text: &str, style: Style) -> Rect {
    let (x, _) = picture.set_stringn(row.x, row.y, text, row.width.into(), style);
    Rect { x, width: row.right() - x, ..row }
}

fn draw_legend(picture: &mut Buffer, row: Rect, curves: &Curves) -> Rect {
    let row = put(picture, row, "  ⠒⠒ training", TRAINING);
    if curves.validation.points().is_empty() { row } else { put(picture, row, "  • validation", VALIDATION) }
}

/// Draws the range of epochs at the row's end, if it has room.
fn draw_span(picture: &mut Buffer, row: Rect, times: [f64; 2]) {
    let span = format!("  {} – {} epochs", round(times[0]), round(times[1]));
    if let Some(indent) = row.width.checked_sub(span.chars().count() as u16) {
        put(picture, Rect { x: row.x + indent, width: row.width - indent, ..row }, &span, FAINT);
    }
}

/// The range of epochs that is shown; it is doubled whenever the curves fill it.
fn times(known: &Known) -> [f64; 2] {
    let Some((now, end)) = known.place() else { return [0.0, 1.0] };
    let first = known.loss.training.points().first().map_or(0.0, |&(at, _)| at);
    // A run that was resumed begins with a later epoch.
    let from = (first - 1e-9).max(0.0).floor();
    let mut length = end - from;
    while length / 2.0 >= now - from && length > 1e-6 {
        length /= 2.0;
    }
    [from, from + length]
}

/// The scale of a chart's values: logarithmic for a loss that is always above 0, as it falls by factors, otherwise linear.
struct Scale {
    kind: Kind,
    logarithmic: bool,
    /// The least and the largest value, or their logarithms.
    bounds: [f64; 2],
}

impl Scale {
    fn of(kind: Kind, curves: &Curves) -> Scale {
        let values = curves.training.values().chain(curves.validation.values());
        let logarithmic = kind == Kind::Loss && values.clone().all(|value| value > 0.0);
        let on_scale = |value: f64| if logarithmic { value.ln() } else { value };
        let mut sorted: Vec<f64> = values.map(on_scale).collect();
        sorted.sort_by(f64::total_cmp);
        // The first values of an accuracy would take the room of the later ones.
        let lowest = if kind == Kind::Accuracy { sorted.len() / 20 } else { 0 };
        let (low, high) = (sorted.get(lowest).copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(1.0));
        let margin = if high > low { 0.02 * (high - low) } else { 0.5 };
        Scale { kind, logarithmic, bounds: [low - margin, high + margin] }
    }

    fn place(&self, value: f64) -> f64 {
        let value = if self.logarithmic { value.ln() } else { value };
        value.clamp(self.bounds[0], self.bounds[1])
    }

    /// The label of a value on the scale, in six columns.
    fn label(&self, place: f64) -> String {
        let text = match self.kind {
            Kind::Accuracy => format!("{:.1} %", 100.0 * place.clamp(0.0, 1.0)),
            Kind::Loss if self.logarithmic => number(place.exp()),
            Kind::Loss => number(place),
        };
        format!("{text:>7}")
    }
}

fn draw_curves(picture: &mut Buffer, area: Rect, curves: &Curves, scale: &Scale, times: [f64; 2]) {
    let placed = |points: &[(f64, f64)]| -> Vec<(f64, f64)> {
        points.iter().map(|&(at, value)| (at, scale.place(value))).collect()
    };
    let (training, validation) = (placed(curves.training.points()), placed(curves.validation.points()));
    let [low, high] = scale.bounds;
    let marks = if area.height >= 5 { vec![low, (low + high) / 2.0, high] } else { vec![low, high] };
    let labels = marks.into_iter().map(|mark| Line::styled(scale.label(mark), FAINT));
    let dataset =
        |points, marker, kind, style| Dataset::default().data(points).marker(marker).graph_type(kind).style(style);
    let datasets = vec![
        dataset(&training, Marker::Braille, GraphType::Line, TRAINING),
        dataset(&validation, Marker::Dot, GraphType::Scatter, VALIDATION),
    ];
    Chart::new(datasets)
        .x_axis(Axis::default().bounds(times))
        .y_axis(Axis::default().bounds(scale.bounds).labels(labels).style(FAINT))
        .legend_position(None)
        .render(area, picture);
}

/// A position in the run, in epochs.
fn round(epochs: f64) -> String {
    let digits = if epochs < 0.1 { 4 } else { 2 };
    trimmed(format!("{epochs:.digits$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a position that is wrong by a power of ten.
    #[test]
    fn a_position_has_the_digits_that_distinguish_it() {
        assert_eq!([0.0, 0.01953125, 1.25, 10.0].map(round), ["0", "0.0195", "1.25", "10"]);
    }
}
