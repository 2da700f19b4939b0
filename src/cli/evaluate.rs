//! `wgrad evaluate`.

use serde_json::{Map, Value, json};

use super::figures::figure;
use super::opening;
use super::options::Evaluate;
use super::output::{Output, clean, figures, grouped, grouped_of};
use super::source;
use crate::error::Error;
use crate::metric::{ClassCounts, ClassMetrics, Metrics, RegressionMetrics};
use crate::model::{Model, class_of};

/// The most classes whose confusion matrix fits a screen.
const MOST_IN_TABLE: usize = 20;

pub(super) fn run(options: &Evaluate) -> Result<(), Error> {
    let output = Output::of(options.common.json);
    let model = opening::model(&options.model, &options.own)?;
    let set = source::for_model(&options.data, &model, &options.text, options.label.as_deref())?;
    set.check_for(&model.network, &model.loss).map_err(|error| source::of_words(&options.data, "--data", error))?;
    let is_text = model.network.places().is_some();
    let names = if is_text {
        model.output_names()
    } else if model.classes.is_empty() {
        set.class_names().to_vec()
    } else {
        model.classes.clone()
    };
    let top_k = top_k(options.top_k, &model)?;
    let metrics = opening::open(model, &options.common)?.metrics(&set)?;
    let classes = metrics.classes.as_ref().map_or(0, |classes| classes.classes.len());
    // Where there are no more classes than that, the figure says nothing, unless it was asked for.
    let counted = Some(top_k).filter(|&k| options.top_k.is_some() || classes > k);
    output.event(event(&metrics, counted, &names))?;

    output.text(format_args!(
        "{}   on {}",
        figures(&metrics.evaluation),
        grouped_of(metrics.evaluation.rows, "row")
    ))?;
    if let Some(classes) = metrics.classes.as_ref().filter(|classes| classes.classes.len() > top_k)
        && let Some(share) = classes.top_k(top_k)
    {
        output.text(format_args!("the right class is among the first {top_k} for {:.2} %", 100.0 * share))?;
    }
    if let Some(auc) = metrics.roc_auc {
        output.text(format_args!("area under the ROC curve {auc:.4}"))?;
    }
    if let Some(RegressionMetrics { mean_absolute_error, root_mean_squared_error, r2 }) = metrics.regression {
        output.text(format_args!(
            "mean absolute error {}   root mean squared error {}   R² {r2:.4}",
            figure(mean_absolute_error),
            figure(root_mean_squared_error)
        ))?;
    }
    // Of a text, a table of all tokens says little.
    if let Some(classes) = metrics.classes.as_ref().filter(|_| !is_text) {
        output.text(class_table(classes, &names))?;
        if let Some(table) = confusion_table(classes, &names) {
            output.text(table)?;
        }
    }
    Ok(())
}

/// The K of the top-K accuracy.
fn top_k(asked: Option<usize>, model: &Model) -> Result<usize, Error> {
    // One output stands for two classes.
    let classes = model.network.outputs().max(2);
    match asked {
        Some(k) if !(1..=classes).contains(&k) => {
            Err(Error::Option(format!("--top-k {k}: the model has {classes} classes, it must be from 1 to {classes}")))
        }
        asked => Ok(asked.unwrap_or(5)),
    }
}

/// All metrics that the loss has, as one object.
fn event(metrics: &Metrics, top_k: Option<usize>, names: &[String]) -> Value {
    let evaluation = metrics.evaluation;
    let mut event = Map::from_iter([
        ("event".into(), json!("evaluation")),
        ("rows".into(), json!(evaluation.rows)),
        ("loss".into(), json!(evaluation.loss)),
        ("accuracy".into(), json!(evaluation.accuracy)),
    ]);
    let mut put = |name: &str, value: Value| event.insert(name.into(), value);
    if let Some(auc) = metrics.roc_auc {
        put("roc_auc", json!(auc));
    }
    if let Some(RegressionMetrics { mean_absolute_error, root_mean_squared_error, r2 }) = metrics.regression {
        put("mean_absolute_error", json!(mean_absolute_error));
        put("root_mean_squared_error", json!(root_mean_squared_error));
        put("r2", json!(r2));
    }
    if let Some(classes) = &metrics.classes {
        let outputs = classes.classes.len();
        let figures = |class: usize, counts: &ClassCounts| {
            json!({
                "class": class, "name": class_of(names, outputs, class), "support": counts.support, "predicted": counts.predicted, "hits": counts.hits,
                "precision": counts.precision(), "recall": counts.recall(), "f1": counts.f1(),
            })
        };
        let each: Vec<Value> =
            classes.classes.iter().enumerate().map(|(class, counts)| figures(class, counts)).collect();
        put("classes", json!(each));
        put(
            "macro",
            json!({
                "precision": classes.macro_mean(ClassCounts::precision), "recall": classes.macro_mean(ClassCounts::recall),
                "f1": classes.macro_mean(ClassCounts::f1),
            }),
        );
        if let Some((top_k, share)) = top_k.and_then(|k| Some((k, classes.top_k(k)?))) {
            put("top_k", json!({ "k": top_k, "accuracy": share }));
        }
        if let Some(confusion) = &classes.confusion {
            let rows: Vec<&[u64]> = confusion.chunks_exact(classes.classes.len()).collect();
            put("confusion", json!(rows));
        }
    }
    Value::Object(event)
}

fn class_table(metrics: &ClassMetrics, names: &[String]) -> String {
    let (classes, wide) = labels(metrics, names);
    let line = |name: &str, rows: String, [precision, recall, f1]: [f64; 3]| {
        format!("\n{name:>wide$}{rows:>10}{precision:>11.4}{recall:>9.4}{f1:>9.4}")
    };
    let mut table = format!("\n{:>wide$}{:>10}{:>11}{:>9}{:>9}", "class", "rows", "precision", "recall", "F1");
    for (class, counts) in classes.iter().zip(&metrics.classes) {
        let figures = [counts.precision(), counts.recall(), counts.f1()];
        table += &line(class, grouped(counts.support), figures);
    }
    let figures =
        [ClassCounts::precision, ClassCounts::recall, ClassCounts::f1].map(|figure| metrics.macro_mean(figure));
    table + &line("mean", String::new(), figures)
}

/// The names of the classes, and the width of their column.
fn labels(metrics: &ClassMetrics, names: &[String]) -> (Vec<String>, usize) {
    let outputs = metrics.classes.len();
    let labels: Vec<String> = (0..outputs).map(|class| clean(&class_of(names, outputs, class))).collect();
    let widest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    (labels, (2 + widest).max(7))
}

/// The confusion matrix: a row for each class, a column for each prediction.
fn confusion_table(metrics: &ClassMetrics, names: &[String]) -> Option<String> {
    let (classes, wide) = labels(metrics, names);
    let confusion = metrics.confusion.as_ref().filter(|_| classes.len() <= MOST_IN_TABLE)?;
    let numbers = confusion.iter().max().map_or(1, |most| most.to_string().len());
    let width = 2 + classes.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(numbers);
    let cells =
        |values: &mut dyn Iterator<Item = String>| values.map(|value| format!("{value:>width$}")).collect::<String>();
    let mut table = format!("\nclass ↓ predicted →\n{:>wide$}{}", "", cells(&mut classes.iter().cloned()));
    for (class, row) in classes.iter().zip(confusion.chunks_exact(classes.len())) {
        table += &format!("\n{class:>wide$}{}", cells(&mut row.iter().map(u64::to_string)));
    }
    Some(table)
}
