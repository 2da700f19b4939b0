//! `wgrad selftest`.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::json;

use super::opening::limits;
use super::options::Selftest;
use super::output::{Output, table};
use crate::error::Error;
use crate::gpu::{Gpu, OpenOptions};
use crate::selftest::shaders::write_for_browsers;
use crate::selftest::{self, Check, Checked, Options, Outcome, Report, Section};

/// Checks the adapter, and prints a table and the failed checks. The exit code is 1 if there are any.
pub(super) fn run(flags: &Selftest) -> Result<u8, Error> {
    let output = Output::of(flags.common.json);
    if let Some(folder) = &flags.wgsl {
        let shaders = write_for_browsers(folder)?;
        output.text(format_args!("{shaders} shaders in {}", folder.display()))?;
        output.event(json!({ "event": "shaders", "count": shaders, "folder": folder.display().to_string() }))?;
        return Ok(0);
    }
    // The kernels of earlier runs are not used: the compiler is checked, too.
    let adapter = flags.common.adapter.clone().unwrap_or_default();
    let gpu = Gpu::open_with(&OpenOptions { adapter, limits: limits()?, ..OpenOptions::default() })?;
    let adapter = gpu.adapter();
    output.text(format_args!("{} ({}, {}), {}", adapter.name, adapter.kind, adapter.backend, adapter.driver))?;
    let options = Options {
        golden: flags.golden.clone(),
        only: flags.only.clone(),
        timeout: flags.timeout.map(Duration::from_secs),
        lanes: flags.lanes,
    };
    if flags.only.as_deref().is_some_and(|words| words.eq_ignore_ascii_case("list")) {
        return list(output, &selftest::checked(&gpu, &options)?).map(|()| 0);
    }
    let (mut broken, mut done) = (Ok(()), 0);
    let report = selftest::run(&gpu, &options, |check, all| {
        done += 1;
        progress(done, all);
        broken = print_check(output, check);
        if broken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    progress(0, 0);
    broken?;
    ended(output, &report)?;
    Ok(u8::from(!report.passed()))
}

/// The words that `--only` takes.
fn list(output: Output, sections: &[Checked]) -> Result<(), Error> {
    for Checked { name, checks, what } in sections {
        output.event(json!({ "event": "checks", "section": name, "checks": checks, "what": what }))?;
        output.text(format_args!("\n{name}, {checks} checks\n    {}", what.join(", ")))?;
    }
    output.text("\n--only takes any of these words, or a part of a check's name as a failure shows it, in any case")
}

/// Shows the progress on a terminal; with `all` = 0, clears it.
fn progress(done: usize, all: usize) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let line = if all == 0 { String::new() } else { format!("{done} of {all}") };
        // Nothing depends on the progress line.
        let _ = write!(stderr, "\r{line:<20}\r");
    }
}

/// Prints a finished check: each one for programs, failed ones for people.
fn print_check(output: Output, check: &Check) -> Result<(), Error> {
    let (word, error, reason) = match &check.outcome {
        Outcome::Passed(error) => ("passed", Some(*error), None),
        Outcome::Failed(reason) => ("failed", None, Some(reason.as_str())),
        Outcome::NotEligible(reason) => ("not eligible", None, Some(*reason)),
    };
    if let Outcome::Failed(reason) = &check.outcome {
        output.text(format_args!("failed: {}, {}: {reason}", check.section, check.name))?;
    }
    output.event(json!({
        "event": "check", "section": check.section, "name": check.name, "outcome": word, "relative_error": error,
        "reason": reason, "seconds": check.took.as_secs_f64(),
    }))
}

/// Prints the table for people, and the summary for programs.
fn ended(output: Output, report: &Report) -> Result<(), Error> {
    let sections = report.sections();
    let head = ["", "checked", "failed", "not eligible", "largest error", "seconds"].map(String::from);
    let row = |section: &Section| {
        let Section { name, passed, failed, not_eligible, worst, took } = section;
        let worst = if *worst > 0.0 { format!("{worst:.1e}") } else { "-".into() };
        let seconds = format!("{:.1}", took.as_secs_f64());
        vec![
            name.to_string(),
            (passed + failed).to_string(),
            failed.to_string(),
            not_eligible.to_string(),
            worst,
            seconds,
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec()).chain(sections.iter().map(row)).collect();
    output.text(format_args!("\n{}", table(&rows)))?;
    let mut reasons: Vec<(&str, usize)> = vec![];
    for check in &report.checks {
        if let Outcome::NotEligible(reason) = check.outcome {
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason, 1)),
            }
        }
    }
    for (reason, count) in reasons {
        output.text(format_args!("not eligible: {count} need {reason}"))?;
    }
    if report.left_out > 0 {
        output.text(format_args!("not made: {} checks, as several before them never ended", report.left_out))?;
    }
    let (passed, failures) = (report.passed(), report.failures().count());
    let adapter = &report.adapter;
    output.text(format_args!(
        "\n{} {}: {} on {} ({}), {:.0} s with checks side by side",
        env!("CARGO_PKG_NAME"),
        report.version,
        if passed { "passed".into() } else { format!("{failures} failed") },
        adapter.name,
        adapter.driver,
        report.took.as_secs_f64(),
    ))?;
    for section in &sections {
        output.event(json!({
            "event": "section", "section": section.name, "passed": section.passed, "failed": section.failed,
            "not_eligible": section.not_eligible, "largest_error": section.worst, "seconds": section.took.as_secs_f64(),
        }))?;
    }
    output.event(json!({
        "event": "selftest", "passed": passed, "failed": failures, "checks": report.checks.len(), "left_out": report.left_out, "adapter": adapter.name,
        "backend": adapter.backend, "driver": adapter.driver, "kind": adapter.kind.to_string(),
        "family": adapter.family().to_string(), "version": report.version, "seconds": report.took.as_secs_f64(),
    }))
}
