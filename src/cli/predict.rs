//! `wgrad predict`.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::json;

use super::options::Predict;
use super::output::{Output, clean};
use super::source;
use crate::loss::Task;
use crate::{Error, Model, Predictor};

/// The most outputs that a line of the table has.
const MOST_IN_A_LINE: usize = 10;

pub(super) fn run(options: &Predict) -> Result<(), Error> {
    let output = Output { json: options.common.json };
    let model = super::model(&options.model, &options.own)?;
    let set = source::inputs(&options.input, &model, &options.text)?;
    let is_file = options.input == "-" || options.input != "mnist" && !Path::new(&options.input).is_dir();
    let rows = match &options.rows {
        Some(words) => parse_rows(words)?,
        None if is_file => 0..=set.rows() - 1,
        None => 0..=0,
    };
    if *rows.end() >= set.rows() {
        return Err(Error::Option(format!(
            "--rows {}-{}: the input has {} rows, and the last is {}",
            rows.start(),
            rows.end(),
            set.rows(),
            set.rows() - 1
        )));
    }
    let chosen = set.select(rows.clone())?;
    let report = Report::new(&model);
    let gpu = super::open_gpu(&options.common.adapter.clone().unwrap_or_default())?;
    let results = Predictor::from_model(gpu, model)?.predict(&chosen)?;
    let results = results.chunks_exact(report.outputs);
    let one = rows.start() == rows.end();
    if !one {
        output.text(report.table_head())?;
    }
    for (row, values) in rows.zip(results) {
        output.event(report.event(row, values))?;
        output.text(if one { report.one(row, values) } else { report.table_line(row, values) })?;
    }
    Ok(())
}

/// What the outputs mean, and how they are told.
struct Report {
    outputs: usize,
    names: Vec<String>,
    task: Task,
}

impl Report {
    fn new(model: &Model) -> Self {
        Report { outputs: model.network.outputs(), names: model.classes.clone(), task: model.loss.task() }
    }

    fn name(&self, output: usize) -> String {
        source::name_of(&self.names, self.outputs, output)
    }

    /// The same for people.
    fn shown(&self, output: usize) -> String {
        clean(&self.name(output))
    }

    /// The class with the largest probability; `None` where outputs stand for themselves.
    fn class(&self, values: &[f32]) -> Option<usize> {
        let largest =
            || (0..values.len()).fold(0, |best, class| if values[class] > values[best] { class } else { best });
        (self.task == Task::Classes).then(largest)
    }

    fn event(&self, row: usize, values: &[f32]) -> serde_json::Value {
        let key = if self.task == Task::Numbers { "outputs" } else { "probabilities" };
        let mut event = json!({ "event": "prediction", "row": row, key: values });
        if let Some(class) = self.class(values) {
            event["class"] = json!(class);
            event["name"] = json!(self.name(class));
        }
        if !self.names.is_empty() {
            let names: Vec<String> = (0..values.len()).map(|output| self.name(output)).collect();
            event["names"] = json!(names);
        }
        event
    }

    /// A row with a line for every output.
    fn one(&self, row: usize, values: &[f32]) -> String {
        let mut text = match self.class(values) {
            Some(class) => format!("row {row}: class {}", self.shown(class)),
            None => format!("row {row}:"),
        };
        let names: Vec<String> = (0..values.len()).map(|output| self.shown(output)).collect();
        let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(4);
        for (name, &value) in names.iter().zip(values) {
            let bar =
                if self.task == Task::Numbers { String::new() } else { "█".repeat((30.0 * value).round() as usize) };
            text += &format!("\n  {name:>wide$}  {value:.6}  {bar}");
        }
        text
    }

    /// How wide the table's columns of outputs are.
    fn wide(&self) -> usize {
        let shown = self.outputs.min(MOST_IN_A_LINE);
        2 + (0..shown).map(|output| self.shown(output).chars().count()).max().unwrap_or(0).max(9)
    }

    fn table_head(&self) -> String {
        let wide = self.wide();
        let class = if self.task == Task::Classes { format!("{:>wide$}", "class") } else { String::new() };
        let names: String =
            (0..self.outputs.min(MOST_IN_A_LINE)).map(|output| format!("{:>wide$}", self.shown(output))).collect();
        let more = if self.outputs > MOST_IN_A_LINE { "  …" } else { "" };
        format!("{:>8}{class}{names}{more}", "row")
    }

    fn table_line(&self, row: usize, values: &[f32]) -> String {
        let wide = self.wide();
        let class = self.class(values).map_or(String::new(), |class| format!("{:>wide$}", self.shown(class)));
        let values: String = values.iter().take(MOST_IN_A_LINE).map(|value| format!("{value:>wide$.6}")).collect();
        format!("{row:>8}{class}{values}")
    }
}

/// `7`, or `7-9`.
fn parse_rows(words: &str) -> Result<RangeInclusive<usize>, Error> {
    let (first, last) = words.split_once('-').unwrap_or((words, words));
    match (first.trim().parse(), last.trim().parse()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        _ => {
            Err(Error::Option(format!("--rows {words}: write one row, as 7, or the first and last of several, as 7-9")))
        }
    }
}
