//! `wgrad explain`.

use serde_json::{Value, json};

use super::config::Run;
use super::fit_together;
use super::opening::{limits, open_gpu};
use super::options::Train;
use super::output::{Output, clean};
use super::source;
use super::summary;
use super::training_set::TrainingSet;
use crate::data::{ColumnRole, TableColumn};
use crate::error::Error;
use crate::gpu::{AdapterChoice, AdapterSummary, adapters};
use crate::host::of_target;
use crate::kernel::Access;
use crate::kernel::tile::Family;
use crate::kernel::tiling::{Picks, Tiling};
use crate::named::counted;
use crate::plan::{Plan, Role};
use crate::run::order::Order;
use crate::run::rows::{Rows, first_of_windows};

/// The most columns of a table that are shown.
const MOST_COLUMNS: usize = 40;
const MOST_OF_NAME: usize = 40;

/// Prints the network's layers, and the plan of a training step. No device is opened: without an adapter, the plan is a software adapter's.
pub(super) fn run(flags: &Train) -> Result<(), Error> {
    flags.trains_nothing("explain")?;
    let output = Output::of(flags.common.json);
    let mut run = Run::new(flags)?;
    let (set, validation) = source::of_run(&run, None)?;
    run.settle(&set)?;
    let network = fit_together::network(&run, &set, validation.as_ref())?;
    fit_together::check(&mut run, &set, validation.as_ref(), &network)?;
    let adapter = adapters(&run.adapter, limits()?).into_iter().find(|adapter| adapter.chosen);
    if adapter.is_none() && run.adapter != AdapterChoice::Auto {
        // The requested adapter is missing: opening it gives the error.
        return open_gpu(&run.adapter).map(drop);
    }
    let tiling = adapter.as_ref().map_or(Tiling::of(Family::Software), AdapterSummary::tiling);
    run.options.picks.check(run.options.family.unwrap_or(tiling.family))?;
    let measured =
        adapter.as_ref().map_or(Picks::default(), |adapter| run.options.measured_before(adapter, of_target()));
    let tiling = run.options.tiled(tiling, adapter.as_ref().and_then(AdapterSummary::mesa_version), &measured);
    let first = first_of_windows(set.source(), &network, run.options.memory_budget)?;
    let rows = Rows::of(set.source(), first.as_ref(), run.options.window_sizing(network.outputs(), tiling.most_bytes))?;
    let per_epoch = rows.count().div_ceil(run.options.step_rows()) as u64;
    let visiting = run.options.visiting(Order { rows: rows.count(), ..Order::default() });
    rows.check_minibatches(&network, visiting, 0..run.options.last_step(0, 0, per_epoch)?)?;
    let plan = Plan::new(run.options.training_request(&network, rows.shape(tiling.most_bytes), &tiling))?;
    plan.check_pins(&run.options.picks)?;
    plan.warn_of_unused(&run.options.picks);

    about_table(&output, &run, &set)?;
    about_images(&output, &run, &set)?;
    about_tokens(&output, &run, &set)?;
    summary::print(&output, &network, &plan)?;
    output.text(format_args!("for {}\n", adapter.map_or("a software adapter".into(), |adapter| adapter.name)))?;
    output.text(&plan)?;
    for (at, dispatch) in plan.dispatches.iter().enumerate() {
        let launch = &dispatch.launch;
        let bound = |access| -> Vec<Value> {
            let buffer = |role: Role| json!({ "name": role.to_string(), "shape": plan.shape(role) });
            dispatch.touches(access).map(buffer).collect()
        };
        output.event(json!({
            "event": "dispatch", "kernel": launch.kernel, "layers": dispatch.layers, "variant": launch.variant, "workgroups": launch.workgroups,
            "flops": launch.cost.flops, "bytes": launch.cost.bytes, "intensity": launch.cost.intensity(),
            "fuses": launch.fuses(), "times": plan.times(at), "reads": bound(Access::Read), "writes": bound(Access::Write),
        }))?;
    }
    for buffer in &plan.buffers {
        output.event(json!({
            "event": "buffer", "name": buffer.role.to_string(), "shape": buffer.shape, "bytes": buffer.bytes,
            "memory": buffer.memory,
        }))?;
    }
    let cost = plan.cost();
    output.event(json!({
        "event": "step", "dispatches": plan.calls(), "flops": cost.flops, "bytes": cost.bytes,
        "intensity": cost.intensity(), "memory_bytes": plan.bytes(), "batch": plan.batch,
        "tiles": plan.picks().by_product(),
    }))
}

/// Prints the shape of images.
fn about_images(output: &Output, run: &Run, set: &TrainingSet) -> Result<(), Error> {
    let Some(image) = set.at_hand().image_shape() else { return Ok(()) };
    let rows = set.source().rows();
    output.event(json!({
        "event": "images", "rows": rows, "image": image, "features": set.at_hand().width(), "classes": set.source().classes(),
        "notes": set.at_hand().notes(),
    }))?;
    output.text(format_args!("{}: {}, {image} images\n", run.data, counted(rows, "row")))
}

/// Prints what tokens are.
fn about_tokens(output: &Output, run: &Run, set: &TrainingSet) -> Result<(), Error> {
    let (rows, set) = (set.source().rows(), set.at_hand());
    let Some(tokens) = set.vocabulary() else { return Ok(()) };
    output.event(json!({
        "event": "tokens", "rows": rows, "tokens": set.width(), "vocabulary": tokens, "notes": set.notes(),
    }))?;
    let vocabulary = set.text_vocabulary().map_or_else(|| counted(tokens, "token"), ToString::to_string);
    output.text(format_args!(
        "{}: {} of {}, a vocabulary of {vocabulary}\n",
        run.data,
        counted(rows, "row"),
        counted(set.width(), "token")
    ))
}

/// Prints how a table's columns are used.
fn about_table(output: &Output, run: &Run, set: &TrainingSet) -> Result<(), Error> {
    let table = set.at_hand().table();
    if table.is_empty() {
        return Ok(());
    }
    let role = |column: &TableColumn| match column.role {
        ColumnRole::Feature => "feature",
        ColumnRole::Target => "target",
        ColumnRole::LeftOut => "left out",
    };
    let kind = |column: &TableColumn| if column.is_numeric { "numbers" } else { "words" };
    let set = set.at_hand();
    let vector = |column: &TableColumn| set.columns().and_then(|columns| columns.vector_of(&column.name));
    for column in table {
        output.event(json!({
            "event": "column", "name": column.name, "role": role(column), "kind": kind(column), "cells": column.cells, "missing": column.missing,
            "vector": vector(column),
        }))?;
    }
    output.event(json!({
        "event": "table", "rows": set.rows(), "columns": table.len(), "features": set.width(), "classes": set.classes(), "notes": set.notes(),
    }))?;
    output.text(format_args!("{}: {}, {}", run.data, counted(set.rows(), "row"), counted(set.width(), "feature")))?;
    let wide = table.iter().map(|column| clean(&column.name).chars().count()).max().unwrap_or(0).min(MOST_OF_NAME);
    for column in table.iter().take(MOST_COLUMNS) {
        let name: String = clean(&column.name).chars().take(MOST_OF_NAME).collect();
        let missing = if column.missing == 0 { String::new() } else { format!(", {} missing", column.missing) };
        let vector = vector(column).map_or(String::new(), |width| format!(", vectors of {}", counted(width, "value")));
        output.text(format_args!("  {name:<wide$}  {:<8}  {}{vector}{missing}", role(column), kind(column)))?;
    }
    if table.len() > MOST_COLUMNS {
        output.text(format_args!("  and {} more columns", table.len() - MOST_COLUMNS))?;
    }
    output.text("")
}
