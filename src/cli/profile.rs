//! `wgrad profile`.

use std::path::Path;

use serde_json::{Value, json};

use super::opening::check_ending;
use super::options::ProfileOptions;
use super::times::Timed;
use crate::error::Error;
use crate::files;
use crate::measure::{Span, Trace};
use crate::model::Model;
use crate::plan::Plan;
use crate::profile::profile;

/// Prints where the time of a training step goes, and writes a trace of some steps if one is asked for.
pub(super) fn run(flags: &ProfileOptions) -> Result<(), Error> {
    flags.train.trains_nothing("profile")?;
    // The path is checked before minutes are spent on the trace.
    if let Some(path) = &flags.trace {
        check_ending(path, "json")?;
        Model::check_writable(path)?;
    }
    let timed = Timed::new(&flags.train)?;
    let ceilings = timed.ceilings()?;
    let found = profile(timed.gpu(), &timed.plan, timed.run.options.checks)?;
    let how = match found.trace.by_clock {
        true => "Dispatches: by the device's clock, each in a pass of its own, the median of the trace's steps.",
        false => "Dispatches: each repeated by itself, as the device has no clock; the least of seven rounds.",
    };
    timed.print(&found.times, ceilings, how)?;
    if let Some(path) = &flags.trace {
        write(path, &found.trace, &timed.plan, &timed.gpu().adapter().name)?;
        timed.output.text(format_args!("\nhttps://ui.perfetto.dev opens {}", path.display()))?;
        timed.output.event(json!({ "event": "trace", "file": path }))?;
    }
    Ok(())
}

/// Writes the trace in [Chrome's format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU), as an array: a track for
/// the device, and one for the host.
fn write(path: &Path, trace: &Trace, plan: &Plan, adapter: &str) -> Result<(), Error> {
    let clock = if trace.by_clock { "its own clock" } else { "each kernel's time, laid end to end" };
    let name = |of: &str, tid: u32, name: &str| json!({ "name": of, "ph": "M", "pid": 1, "tid": tid, "args": { "name": name } });
    let device = trace.device.iter().map(|span| {
        let dispatch = &plan.dispatches[span.place];
        let launch = &dispatch.launch;
        let about = json!({
            "dispatch": span.place, "layers": dispatch.layers, "tile": launch.variant, "fuses": launch.fuses(),
            "flops": launch.cost.flops, "bytes": launch.cost.bytes,
        });
        complete(span, DEVICE, "kernel", about)
    });
    let host = trace.host.iter().map(|span| complete(span, HOST, "host", json!({ "submission": span.place })));
    let events: Vec<Value> = [
        name("process_name", HOST, "wgrad"),
        name("thread_name", DEVICE, &format!("{adapter} ({clock})")),
        name("thread_name", HOST, "host"),
    ]
    .into_iter()
    .chain(device)
    .chain(host)
    .collect();
    files::write_whole(path, Value::from(events).to_string().as_bytes())
}

/// The tracks' numbers. A viewer takes the track with the process's number for its main thread.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// A complete event, in microseconds.
fn complete(span: &Span, tid: u32, category: &str, about: Value) -> Value {
    // Times are whole nanoseconds, so that adjacent spans do not overlap.
    let [begin, end] = [span.begin, span.end].map(|seconds| (1e9 * seconds).round());
    json!({
        "name": span.name, "cat": category, "ph": "X", "ts": begin / 1e3, "dur": (end - begin) / 1e3, "pid": 1, "tid": tid, "args": about,
    })
}
