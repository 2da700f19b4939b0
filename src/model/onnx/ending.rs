//! The end of a graph: which of its outputs is the model's, which loss it suggests, and the class names.

use std::collections::HashSet;
use std::rc::Rc;

use super::layers::{self, Layer};
use super::layout::Layout;
use super::limits::{FITS, short};
use super::nodes::Nodes;
use super::proto::GraphProto;
use super::shape::Size;
use super::value::{Form, Names, Rows, Value, What, activation};
use crate::activation::Activation;
use crate::loss::Task;

/// The most outputs of a graph that are examined.
const MOST_OUTPUTS: usize = 64;

/// The model's end.
pub(super) struct Ending {
    /// The last layer.
    pub layer: usize,
    /// The meaning of the last layer's units, if the graph shows it.
    pub task: Option<Task>,
    /// The class names, if the graph has them.
    pub classes: Vec<String>,
    pub notes: Vec<String>,
}

/// An output that a layer gives.
struct Candidate<'v, 'a> {
    name: &'v str,
    rows: &'v Rows,
    task: Option<Task>,
    names: Option<&'v Names<'a>>,
    /// Whether it is a class alone.
    label: bool,
}

impl Ending {
    /// The end of a graph whose nodes have been interpreted.
    pub fn of(graph: &GraphProto, nodes: &Nodes<'_>) -> Result<Self, String> {
        let names: Vec<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
        if names.is_empty() {
            return Err("its graph has no output: it must have one".into());
        }
        if names.len() > MOST_OUTPUTS {
            return Err(format!("its graph has {} outputs: at most {MOST_OUTPUTS} are looked at", names.len()));
        }
        let all: Vec<Result<Candidate<'_, '_>, Rc<str>>> = names.iter().map(|name| candidate(name, nodes)).collect();
        let several = names.len() > 1;
        let said = format!("its graph has {} outputs, {}", names.len(), list(&names));
        if let Some(Err(reason)) = all.iter().find(|of_output| of_output.is_err())
            && all.iter().all(Result::is_err)
        {
            return Err(match several {
                true => format!("{said}, and none is what a model's last layer gives: {reason}"),
                false => reason.to_string(),
            });
        }
        let candidates: Vec<Candidate<'_, '_>> = all.into_iter().flatten().collect();
        let last = candidates.iter().map(|of| of.rows.layer).max().unwrap_or(0);
        let of_last = || candidates.iter().filter(|of| of.rows.layer == last);
        if let Some(of_two_models) = of_two_models(&candidates, last, nodes) {
            let [one, other] = of_two_models.map(short);
            return Err(format!(
                "{said}, and \"{one}\" and \"{other}\" are each the end of another model: keep one, as with onnx.utils.extract_model(\
                 \"in.onnx\", \"out.onnx\", [input], [output])"
            ));
        }
        let of = |end: &str| {
            format!("the graph ends in {end}, and the last layer must be a dense one, whose outputs are the logits")
        };
        match &nodes.layers[last] {
            Layer::Sum(sum) => return Err(sum.say(&nodes.layers, &of("this sum"))),
            Layer::Made(made) => return Err(made.place.say(&of("it"))),
            Layer::Dense(_) => {}
        }
        // The output that says most about the loss is read; a class alone says nothing about it.
        let Some(chosen) = of_last().min_by_key(|of| (of.label, of.task.is_none())) else { return Err(FITS.into()) };
        let mut notes = Vec::new();
        if several {
            notes.push(format!("{said}: \"{}\" is read, the others are left out", short(chosen.name)));
        }
        if chosen.label {
            notes.push(format!(
                "the output \"{}\" is a class: the values that it is chosen by are read",
                short(chosen.name)
            ));
        }
        if chosen.rows.form == Form::Beneath {
            notes.push(format!(
                "the output \"{}\" has the values of a row one below the other: it is read as rows again",
                short(chosen.name)
            ));
        }
        let named = chosen.names.or_else(|| of_last().find_map(|of| of.names));
        let classes = classes(named, nodes.layers[last].outputs(), &mut notes);
        Ok(Ending { layer: last, task: chosen.task, classes, notes })
    }
}

/// The classes' names, as far as they fit the outputs.
fn classes(named: Option<&Names<'_>>, outputs: usize, notes: &mut Vec<String>) -> Vec<String> {
    match named.map(Names::read) {
        None => Vec::new(),
        Some(Some(names)) if is_fitting(&names, outputs) => names,
        Some(_) => {
            notes.push(format!("the graph's names of classes do not fit {outputs} outputs: they are left out"));
            Vec::new()
        }
    }
}

/// The names of two outputs that belong to different models, if there are such.
fn of_two_models<'v>(candidates: &[Candidate<'v, '_>], last: usize, nodes: &Nodes<'_>) -> Option<[&'v str; 2]> {
    // Outputs of layers before the last one belong to the same model; two chains with different ends are two models.
    let needed: HashSet<usize> = layers::needed(&nodes.layers, last).into_iter().collect();
    let of_last = || candidates.iter().filter(|of| of.rows.layer == last);
    let other = candidates.iter().find(|of| !needed.contains(&of.rows.layer)).zip(of_last().next());
    let tasks = || of_last().filter(|of| of.task.is_some());
    let differ = tasks().next().and_then(|one| Some((tasks().find(|of| of.task != one.task)?, one)));
    other.or(differ).map(|(one, other)| [one.name, other.name])
}

fn candidate<'v, 'a>(name: &'v str, nodes: &'v Nodes<'a>) -> Result<Candidate<'v, 'a>, Rc<str>> {
    let (rows, names, label) = match nodes.value(name) {
        Some(Value::Rows(rows)) => (rows, None, false),
        Some(Value::Named(rows, names)) => (rows, Some(names), false),
        Some(Value::Label(rows, names)) => (rows, names.as_ref(), true),
        Some(Value::Unknown(reason)) => return Err(reason.clone()),
        _ => return Err(format!("its output \"{}\" is not what its last layer gives: {FITS}", short(name)).into()),
    };
    let layer = &nodes.layers[rows.layer];
    let is_moved = |layout: &Layout| {
        let flat = layout.reshaped(&[Size::Rows, Size::Known(layer.outputs() as i64)]);
        flat != Some(Layout::features(layer.outputs()))
    };
    if rows.form.layout().is_some_and(is_moved) {
        let reason = "the outputs are in another order than its: a Transpose after it is not read";
        return Err(format!("its output \"{}\" is made of {}: {reason}", short(name), layer.name()).into());
    }
    Ok(Candidate { name, rows, task: task(rows, layer)?, names, label })
}

/// The meaning of the last layer's units, by the function that follows them.
fn task(rows: &Rows, layer: &Layer<'_>) -> Result<Option<Task>, String> {
    match &rows.what {
        What::Softmax => Ok(Some(Task::Classes)),
        What::BothClasses => Ok(Some(Task::EachOutput)),
        What::Padded(..) => Err("it ends in a Pad, whose zeros no layer gives".into()),
        What::Units(function) => match activation(layer, function)? {
            Activation::Identity => Ok(None),
            Activation::Sigmoid => Ok(Some(Task::EachOutput)),
            other => Err(format!(
                "it ends in {other}, and a loss takes the last layer's units as they are: only Softmax or Sigmoid may follow"
            )),
        },
    }
}

/// Whether there is a name for each output, or for both classes of a single output, and no name occurs twice.
fn is_fitting(names: &[String], outputs: usize) -> bool {
    let different: HashSet<&String> = names.iter().collect();
    (names.len() == outputs.max(2) || names.len() == outputs) && different.len() == names.len()
}

/// `"a", "b" and "c"`, or the first few names and `…`.
fn list(names: &[&str]) -> String {
    const MOST: usize = 6;
    let quoted: Vec<String> = names.iter().take(MOST).map(|name| format!("\"{}\"", short(name))).collect();
    match quoted.split_last() {
        _ if names.len() > MOST => format!("{}, …", quoted.join(", ")),
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
