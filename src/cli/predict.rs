//! `wgrad predict`.

use std::io::BufRead;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::json;

use super::opening::{self, predictor};
use super::options::Predict;
use super::output::{Output, clean};
use super::source::{self, Input, STDIN};
use super::unfit::{Content, Given};
use crate::data::{Dataset, Line, Lines};
use crate::error::Error;
use crate::loss::Task;
use crate::model::Model;
use crate::named::counted;

/// The most outputs that a line of the table has.
const MOST_IN_A_LINE: usize = 10;
/// The most rows of a table that are answered at once.
const MOST_AT_ONCE: usize = 512;
/// How long a first row waits for a second, which decides how it is shown.
const SOON: Duration = Duration::from_millis(20);

pub(super) fn run(options: &Predict) -> Result<(), Error> {
    let output = Output::of(options.common.json);
    let model = opening::model(&options.model, &options.own)?;
    if let Some(places) = model.network.places() {
        return Err(Error::Option(format!(
            "{} answers for each of {places} places of a row, and predict shows one answer a row: wgrad evaluate says how well it predicts what follows",
            options.model.display()
        )));
    }
    let input = Input::open(&options.input, &model)?;
    // For people, a file is read whole: errors in it come before any answer.
    let is_answered_by_line = options.rows.is_none() && (options.input == STDIN || output.json);
    let input = match input {
        Input::Lines(stream) if is_answered_by_line => {
            Given::of(&source::reading_inputs(&model, &options.text)).check(&options.input, &[Content::Text])?;
            return by_line(options, &output, model, stream);
        }
        input => input,
    };
    let set = source::inputs(&options.input, input, &model, &options.text)?;
    let is_file = options.input == "-" || options.input != "mnist" && !Path::new(&options.input).is_dir();
    let rows = match &options.rows {
        Some(words) => parse_rows(words)?,
        None if is_file => 0..=set.rows() - 1,
        None => 0..=0,
    };
    if *rows.end() >= set.rows() {
        return Err(Error::Option(format!(
            "--rows {}-{}: the input has {}, and the last is {}",
            rows.start(),
            rows.end(),
            counted(set.rows(), "row"),
            set.rows() - 1
        )));
    }
    let chosen = set.select(rows.clone())?;
    let report = Report::new(&model);
    let results = predictor(model, &options.common)?.predict(&chosen)?;
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

/// Answers the rows of a table as they come, each as soon as it is there, in minibatches if they come faster than they are answered. With
/// `--json`, a row that cannot be read is answered with an error.
fn by_line(options: &Predict, output: &Output, model: Model, stream: Box<dyn BufRead + Send>) -> Result<(), Error> {
    let report = Report::new(&model);
    let reading = source::reading_inputs(&model, &options.text);
    let columns = reading.columns_for(model.network.inputs());
    let predictor = predictor(model, &options.common)?;
    let (path, width) = (PathBuf::from(&options.input), columns.width());
    let (send, lines) = sync_channel(MOST_AT_ONCE);
    // The thread is not joined when an error ends the program: it may be waiting for a line that never comes.
    std::thread::spawn({
        let path = path.clone();
        move || Lines::new(&path, stream, &columns, &reading).try_for_each(|line| send.send(line))
    });
    let (mut answered, mut refused) = (0, 0);
    while let Ok(first) = lines.recv() {
        let mut batch = vec![first];
        // Unless rows are typed, a second one comes soon.
        if answered == 0 {
            batch.extend(lines.recv_timeout(SOON));
        }
        let is_alone = batch.len() == 1 && answered == 0;
        batch.extend(lines.try_iter().take(MOST_AT_ONCE - batch.len()));
        let answer = |features: Vec<f64>| predictor.predict(&Dataset::of_numbers(features, width)?);
        let readable = batch.iter().filter_map(|line| line.features.as_ref().ok());
        let features: Vec<f64> = readable.flatten().copied().collect();
        let together = if features.is_empty() { Ok(Vec::new()) } else { answer(features) };
        let mut results = together.iter().flat_map(|results| results.chunks_exact(report.outputs));
        if !is_alone && answered == 0 {
            output.text(report.table_head())?;
        }
        for Line { row, line, features } in batch {
            answered += 1;
            // If the rows could not be predicted at once, one of them is wrong, and each is predicted alone.
            let values = features.and_then(|features| match &together {
                Ok(_) => Ok(results.next().unwrap_or_default().to_vec()),
                Err(_) => answer(features),
            });
            match values {
                Ok(values) => {
                    output.event(report.event(row, &values))?;
                    output.text(if is_alone { report.one(row, &values) } else { report.table_line(row, &values) })?;
                }
                Err(error @ Error::Device(_)) => return Err(error),
                Err(error) if output.json => {
                    output.event(json!({ "event": "error", "row": row, "line": line, "reason": error.to_string() }))?;
                    tracing::warn!("{error}");
                    refused += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
    match refused {
        0 if answered == 0 => Err(Error::format(path, "it has no rows: at least one is needed")),
        0 => Ok(()),
        _ => {
            let reason = format!("{refused} of {answered} rows could not be read: each is answered with an error");
            Err(Error::format(path, reason))
        }
    }
}

/// The meaning of the outputs, and how they are printed.
struct Report {
    outputs: usize,
    /// What each output is called.
    names: Vec<String>,
    /// Whether the names are more than numbers of classes.
    is_named: bool,
    task: Task,
}

impl Report {
    fn new(model: &Model) -> Self {
        let task = model.loss.task();
        let is_named = !model.classes.is_empty() || task == Task::Numbers;
        Report { outputs: model.network.outputs(), names: model.output_names(), is_named, task }
    }

    /// An output's name, safe for a terminal.
    fn shown(&self, output: usize) -> String {
        clean(&self.names[output])
    }

    /// The class with the largest probability; `None` where outputs are not classes.
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
            event["name"] = json!(self.names[class]);
        }
        if self.is_named {
            event["names"] = json!(self.names);
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

    /// The width of the table's columns of outputs.
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
        let values: String =
            values.iter().take(MOST_IN_A_LINE).map(|value| format!(" {value:>0$.6}", wide - 1)).collect();
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
