//! The page: one file, with its pictures inside and no script. Names and texts of the user are escaped by maud.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::answers::Answers;
use super::curves::{self, Chart, Colors};
use super::findings::{Findings, Input, Mistake};
use super::pictures::{self, Picture};
use crate::cli::figures::{duration, figure, to_the_second};
use crate::cli::out::{SETTINGS, table_of};
use crate::cli::output::{grouped, quoted};
use crate::error::Error;
use crate::history::History;
use crate::layout::Image;
use crate::metric::ClassCounts;
use crate::network::{Form, ParameterKind};
use crate::preprocessing::ImageShape;

const STYLE: &str = include_str!("style.css");
/// The most classes whose confusion matrix has its numbers written in it.
const MOST_NUMBERED: usize = 20;
/// The most classes in the table.
const MOST_IN_TABLE: usize = 200;
/// The most pixels of what all convolutions make: a page has to stay small.
const MOST_PIXELS: usize = 1 << 21;
/// The most cells of a row that are shown.
const MOST_CELLS: usize = 8;

pub fn html(
    about: &Value,
    history: &History,
    charts: &[Chart],
    findings: &Findings,
    answers: &Answers,
) -> Result<String, Error> {
    let network = text(&about["model"]["network"]);
    let title = format!("{network} on {}", text(&about["data"]["train"]));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="wgrad";
                title { (title) }
                // The icon is in the page, so that browsers request none.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    p.soft { (state(about, history)) }
                    (figures(about, history, findings))
                    section id="curves" {
                        h2 { "Curves" }
                        (drawn(charts)?)
                    }
                    (classes(findings)?)
                    @if !findings.numbers.is_empty() {
                        section id="numbers" {
                            h2 { "Predicted and true" }
                            p.soft {
                                (grouped(findings.numbers.len() as u64)) " " (findings.on) " rows"
                                @if findings.names.len() > 1 { ", the first of " (findings.names.len()) " outputs" }
                            }
                            (drawn(&Chart::of_numbers(&findings.numbers))?)
                        }
                    }
                    (mistakes(findings)?)
                    (first_layer(findings)?)
                    (convolutions(answers)?)
                    (run(about))
                }
            }
        }
    };
    Ok(page.into_string())
}

/// "finished, epoch 10 of 10, begun 2026-…"
fn state(about: &Value, history: &History) -> String {
    let last = history.epochs.last().map_or(0, |epoch| epoch.epoch);
    let kept = history.kept.and_then(|kept| history.epochs.get(kept));
    let kept = kept.map_or(String::new(), |epoch| format!(", with the weights of epoch {}", epoch.epoch));
    format!("{} after epoch {last}{kept}; begun {} UTC", text(&about["state"]), to_the_second(&text(&about["started"])))
}

fn figures(about: &Value, history: &History, findings: &Findings) -> Markup {
    let (metrics, on) = (&findings.metrics, findings.on);
    let share = |share: f64| format!("{:.2} %", 100.0 * share);
    let mut all = vec![(format!("{on} loss"), figure(metrics.evaluation.loss))];
    let mut add = |name: &str, figure: Option<String>| all.extend(figure.map(|figure| (name.to_string(), figure)));
    add(&format!("{on} {}", findings.accuracy), metrics.evaluation.accuracy.map(share));
    let classes = metrics.classes.as_ref().filter(|classes| classes.classes.len() > 1);
    add("mean F1", classes.map(|classes| figure(classes.macro_mean(ClassCounts::f1))));
    add("area under the ROC curve", metrics.roc_auc.map(figure));
    add("mean absolute error", metrics.regression.map(|all| figure(all.mean_absolute_error)));
    add("root mean squared error", metrics.regression.map(|all| figure(all.root_mean_squared_error)));
    add("R²", metrics.regression.map(|all| figure(all.r2)));
    add("parameters", about["model"]["parameters"].as_u64().map(grouped));
    let seconds = history.epochs.iter().fold(0.0, |sum, epoch| sum + epoch.seconds);
    add("time in epochs", Some(duration(seconds)));
    add("samples/s in training", history.epochs.last().map(|epoch| grouped(epoch.samples_per_second as u64)));
    html! {
        div.figures {
            @for (name, figure) in all { div { b { (figure) } span { (name) } } }
        }
    }
}

fn drawn(charts: &[Chart]) -> Result<Markup, Error> {
    let svgs = charts.iter().map(|chart| {
        let svg = curves::svg(std::slice::from_ref(chart), Colors::OfPage)?;
        let label = format!("<svg role=\"img\" aria-label=\"{}\" ", chart.title());
        Ok(svg.replacen("<svg ", &label, 1))
    });
    let svgs = svgs.collect::<Result<Vec<_>, Error>>()?;
    Ok(html! { div.charts { @for svg in svgs { div { (PreEscaped(svg)) } } } })
}

fn classes(findings: &Findings) -> Result<Markup, Error> {
    let Some(metrics) = &findings.metrics.classes else { return Ok(html! {}) };
    let many = metrics.classes.len();
    // A single output of two classes counts the second one.
    let names = if many == 1 { &findings.names[1..] } else { &findings.names[..] };
    let matrix = match &findings.confusion {
        Some(counts) => Some(confusion(counts, &findings.names)?),
        None => None,
    };
    Ok(html! {
        @if let Some(matrix) = matrix {
            section id="confusion" {
                h2 { "Confusion matrix" }
                p.soft { "Rows are true classes, columns predicted ones; the color is the share of the row." }
                div.wide.matrix { (matrix) }
            }
        }
        section id="classes" {
            h2 { "Classes" }
            div.scroll {
                table {
                    tr { th { "class" } th { "precision" } th { "recall" } th { "F1" } th { "rows" } }
                    @for (name, counts) in names.iter().zip(&metrics.classes).take(MOST_IN_TABLE) {
                        tr {
                            td.name title=(name) { (name) }
                            @for figure in [counts.precision(), counts.recall(), counts.f1()] { td { (format!("{figure:.4}")) } }
                            td { (grouped(counts.support)) }
                        }
                    }
                    tr {
                        td.name { "mean" }
                        @for figure in [ClassCounts::precision, ClassCounts::recall, ClassCounts::f1] {
                            td { (format!("{:.4}", metrics.macro_mean(figure))) }
                        }
                        td {}
                    }
                }
            }
            @if many > MOST_IN_TABLE { p.soft { "The first " (MOST_IN_TABLE) " of " (many) " classes; the mean is of all." } }
        }
    })
}

fn confusion(counts: &[u64], names: &[String]) -> Result<Markup, Error> {
    const HIGH: usize = 42;
    let classes = names.len();
    if classes > MOST_NUMBERED {
        let address = pictures::matrix(counts, classes).address()?;
        return Ok(html! { img src=(address) alt="confusion matrix"; });
    }
    let letters = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(1, 10);
    let wide = (460 / classes).clamp(HIGH, 100);
    let (left, top) = (14 + 9 * letters, 24);
    let width = left + classes * wide;
    let view = format!("0 0 {width} {}", top + classes * HIGH);
    let (across, down) = (|at: usize| left + at * wide + wide / 2, |at: usize| top + at * HIGH + HIGH / 2);
    let cell = |row: usize, column: usize| {
        let all = counts[row * classes..(row + 1) * classes].iter().sum::<u64>().max(1);
        let count = counts[row * classes + column];
        let share = count as f64 / all as f64;
        let color = if row == column { "right" } else { "wrong" };
        // The square root, so that a few mistakes can be seen.
        (count, share, format!("fill:rgba(var(--{color}),{:.3})", share.sqrt()))
    };
    Ok(html! {
        svg viewBox=(view) style=(format!("max-width:{}px", width * 5 / 4)) role="img" aria-label="confusion matrix" font-family="sans-serif" font-size="14" {
            @for (at, name) in names.iter().enumerate() {
                text x=(left - 8) y=(down(at)) dy=".35em" text-anchor="end" style="fill:var(--soft)" { title { (name) } (short(name, letters)) }
                text x=(across(at)) y=(top - 8) text-anchor="middle" style="fill:var(--soft)" { title { (name) } (short(name, wide / 9)) }
            }
            @for row in 0..classes {
                @for column in 0..classes {
                    @let (count, share, color) = cell(row, column);
                    g {
                        title { (names[row]) " as " (names[column]) ": " (count) }
                        rect x=(left + column * wide + 1) y=(top + row * HIGH + 1) width=(wide - 2) height=(HIGH - 2) rx="4" style=(color) {}
                        @if count > 0 {
                            text x=(across(column)) y=(down(row)) dy=".35em" text-anchor="middle"
                                style=(if share > 0.35 { "fill:#fff" } else { "fill:var(--ink)" }) { (count) }
                        }
                    }
                }
            }
        }
    })
}

fn mistakes(findings: &Findings) -> Result<Markup, Error> {
    let worst = &findings.worst;
    if !findings.judges_rows {
        return Ok(html! {});
    }
    if worst.is_empty() {
        return Ok(
            html! { section id="mistakes" { h2 { "Mistakes" } p { "None: all " (findings.on) " rows are right." } } },
        );
    }
    let is_numbers = !findings.numbers.is_empty();
    let pictures = worst.iter().map(|mistake| match &mistake.input {
        Input::Image(shape, features) => Picture::of_row(*shape, features).address().map(Some),
        Input::Cells(_) => Ok(None),
    });
    let pictures = pictures.collect::<Result<Vec<_>, Error>>()?;
    Ok(html! {
        section id="mistakes" {
            h2 { "The " (worst.len()) " worst mistakes" }
            p.soft {
                @if is_numbers {
                    "Those that are furthest off, of " (grouped(findings.numbers.len() as u64)) " " (findings.on) " rows."
                } @else {
                    "Those with the highest −log p, of " (grouped(findings.wrong)) " wrong among "
                    (grouped(findings.metrics.evaluation.rows)) " " (findings.on) " rows."
                }
            }
            @if pictures.iter().any(Option::is_some) {
                div.mistakes {
                    @for (mistake, picture) in worst.iter().zip(pictures).filter_map(|(mistake, picture)| Some((mistake, picture?))) {
                        figure {
                            img src=(picture) alt=(format!("{} row {}", findings.on, mistake.row));
                            figcaption {
                                "true " b { (mistake.truth) } br;
                                "predicted " b.wrong { (mistake.predicted) }
                                @if let Some(probability) = mistake.probability { " " (format!("{:.1} %", 100.0 * probability)) }
                                br; span.soft {
                                    "row " (mistake.row) ", " @if is_numbers { "off by " } @else { "−log p " } (figure(mistake.loss))
                                }
                            }
                        }
                    }
                }
            } @else {
                (mistakes_table(findings, is_numbers))
            }
        }
    })
}

fn mistakes_table(findings: &Findings, is_numbers: bool) -> Markup {
    let worst = &findings.worst;
    let cells = |mistake: &Mistake| match &mistake.input {
        Input::Cells(cells) => cells.clone(),
        Input::Image(..) => Vec::new(),
    };
    let all = worst.first().map(cells).unwrap_or_default();
    let kind = if is_numbers { "number" } else { "name" };
    let has_probability = worst.iter().any(|mistake| mistake.probability.is_some());
    html! {
        div.scroll {
            table {
                tr {
                    th { (findings.on) " row" } th class=(kind) { "true" } th class=(kind) { "predicted" }
                    @if has_probability { th { "probability" } }
                    th { @if is_numbers { "off by" } @else { "−log p" } }
                    @for (name, _) in all.iter().take(MOST_CELLS) { th { (name) } }
                }
                @for mistake in worst {
                    tr {
                        td { (mistake.row) }
                        td class=(kind) title=(mistake.truth) { (mistake.truth) }
                        td class={ (kind) " wrong" } title=(mistake.predicted) { (mistake.predicted) }
                        @if has_probability { td { (mistake.probability.map_or(String::new(), |p| format!("{:.1} %", 100.0 * p))) } }
                        td { (figure(mistake.loss)) }
                        @for (_, cell) in cells(mistake).iter().take(MOST_CELLS) { td.number title=(cell) { (cell) } }
                    }
                }
            }
        }
        @if all.len() > MOST_CELLS { p.soft { "The first " (MOST_CELLS) " of " (all.len()) " columns." } }
    }
}

fn first_layer(findings: &Findings) -> Result<Markup, Error> {
    let layer = &findings.first_layer;
    let Some((picture, units)) = pictures::first_weights(layer.image, &layer.parameter, &layer.weights) else {
        return Ok(html! {});
    };
    let (is_conv, is_colored) = match layer.parameter.kind {
        ParameterKind::Kernel { size: [down, across] } => (true, layer.weights.inputs == 3 * down * across),
        _ => (false, layer.image.is_some_and(|shape| shape.channels == 3)),
    };
    let noun = if is_conv { "filters" } else { "units" };
    let address = picture.address()?;
    Ok(html! {
        section id="weights" {
            h2 { @if is_conv { "Filters of the first convolution" } @else { "First layer" } }
            p.soft {
                @if units == layer.weights.outputs { "What its " (units) " " (noun) " look for" }
                @else { "What " (units) " of " (layer.weights.outputs) " " (noun) " look for" }
                ", those with the largest weights first: "
                @if !is_colored { "blue negative, red positive, each as strong as its largest weight." }
                @else { "each channel's weights about grey." }
            }
            div.wide.tiles { img src=(address) alt=(format!("weights of {units} {noun}")); }
        }
    })
}

/// What every convolution makes of an image: a picture each, with a tile for each channel.
fn convolutions(answers: &Answers) -> Result<Markup, Error> {
    let Answers { on, row, image, layers, no_room } = answers;
    if layers.is_empty() {
        return Ok(html! { @if let Some(reason) = no_room { p.soft { (reason) } } });
    }
    let input = image.as_ref().map(|(shape, features)| Picture::of_row(*shape, features).address()).transpose()?;
    let pixels = MOST_PIXELS / layers.len();
    let drawn = layers.iter().map(|(words, own)| {
        let Form::Image(Image { height, width, channels }) = own.form else { return Ok(None) };
        let [height, width, channels] = [height, width, channels].map(|side| side as usize);
        let fold = |of: fn(f32, f32) -> f32| own.values.iter().copied().reduce(of).unwrap_or(0.0);
        let range = [fold(f32::min), fold(f32::max)];
        let (picture, shown) = Picture::of_channels(ImageShape { height, width, channels }, &own.values, range, pixels);
        Ok(Some((words, own, range, picture.address()?, shown, channels)))
    });
    let drawn = drawn.collect::<Result<Vec<_>, Error>>()?;
    Ok(html! {
        section id="convolutions" {
            h2 { "What the convolutions make of an image" }
            p.soft { (on) " row " (row) ", and the channels of each convolution's output, behind its activation: black for its least value, white for its largest." }
            @if let Some(input) = input {
                div.answer { div.wide.input { img src=(input) alt=(format!("{on} row {row}")); } p.soft { "the input" } }
            }
            @for (words, own, [least, most], address, shown, channels) in drawn.into_iter().flatten() {
                div.answer {
                    div.wide.tiles { img src=(address) alt=(format!("output of {}", own.location)); }
                    p {
                        b { (own.location) } ": " (words) br;
                        span.soft {
                            (own.form) ", from " (figure(least.into())) " to " (figure(most.into()))
                            @if shown < channels { "; the first " (shown) " of " (channels) " channels" }
                        }
                    }
                }
            }
        }
    })
}

fn run(about: &Value) -> Markup {
    let versions =
        [("wgrad", text(&about["wgrad"])), ("platform", text(&about["platform"])), ("folder", text(&about["folder"]))];
    let tables = || SETTINGS.iter().chain(&["checkpoint"]).filter(|name| about[**name].is_object());
    html! {
        section id="run" {
            h2 { "Run" }
            pre { (command(&about["command"])) }
            @for again in about["resumed"].as_array().into_iter().flatten() {
                p.soft { "resumed from step " (text(&again["step"])) " at " (text(&again["at"])) ":" }
                pre { (command(&again["command"])) }
            }
            @if let Some(config) = about["config"].as_str() { p.soft { "run.toml:" } pre { (config) } }
            dl {
                @for (name, words) in versions { dt { (name) } dd { (words) } }
                @for name in tables() {
                    dt { (name.replace('_', " ")) }
                    dd { (described(&table_of(about, name).into())) }
                }
            }
        }
    }
}

/// "adam, lr 0.001", without values that are null.
fn described(table: &Value) -> String {
    let kind = table["kind"].as_str().map(String::from);
    let others = table.as_object().into_iter().flatten().filter(|(name, value)| !value.is_null() && *name != "kind");
    let others = others.map(|(name, value)| format!("{} {}", name.replace('_', " "), text(value)));
    kind.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

/// The words of a command, quoted for a shell.
fn command(words: &Value) -> String {
    words.as_array().into_iter().flatten().filter_map(Value::as_str).map(quoted).collect::<Vec<_>>().join(" ")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), String::from)
}

/// A text, cut to at most `letters` letters.
fn short(name: &str, letters: usize) -> String {
    match name.chars().count() > letters {
        true => name.chars().take(letters - 1).chain(['…']).collect(),
        false => name.into(),
    }
}
