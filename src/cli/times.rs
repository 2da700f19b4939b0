//! Helpers of `bench` and `profile`: a plan on the adapter, and the table of its times.

use serde_json::json;

use super::config::Run;
use super::opening::open_gpu;
use super::options::Train;
use super::output::Output;
use super::{fit_together, source};
use crate::error::Error;
use crate::gpu::Gpu;
use crate::kernel::Cost;
use crate::measure::{Ceilings, StepTimes};
use crate::plan::{Dispatch, Plan};
use crate::profile::ceilings;
use crate::trainer::Trainer;

/// The plan of a training step on its adapter.
pub(super) struct Timed {
    pub output: Output,
    pub run: Run,
    trainer: Trainer,
    shape: String,
    pub plan: Plan,
}

impl Timed {
    /// Opens the adapter and tunes the plan, as a run would.
    pub fn new(flags: &Train) -> Result<Self, Error> {
        let output = Output::of(flags.common.json);
        let mut run = Run::new(flags)?;
        let (set, validation) = source::of_run(&run, None)?;
        run.settle(&set)?;
        let network = fit_together::network(&run, &set, validation.as_ref())?;
        fit_together::check(&mut run, &set, validation.as_ref(), &network)?;
        let shape = network.shape();
        let mut trainer = Trainer::on(open_gpu(&run.adapter)?, network, run.options.clone())?;
        trainer.tune(set.source(), |_| {})?;
        let plan = trainer.plan(set.source())?;
        Ok(Timed { output, run, trainer, shape, plan })
    }

    pub fn gpu(&self) -> &Gpu {
        self.trainer.gpu()
    }

    /// What the device could do at most.
    pub fn ceilings(&self) -> Result<Ceilings, Error> {
        ceilings(self.gpu(), self.run.options.checks)
    }

    /// The seconds that the host spends on a step.
    pub fn print_host(&self, seconds: f64) -> Result<(), Error> {
        let (adapter, batch, dispatches) = (self.gpu().adapter(), self.plan.batch, self.plan.dispatches.len());
        self.output.text(format_args!(
            "{}, batches of {batch}, on {} ({})\nThe host spends {:.1} µs on a step of {dispatches} dispatches: records it and hands it over, the least of seven \
             rounds of many.",
            self.shape,
            adapter.name,
            adapter.driver,
            1e6 * seconds
        ))?;
        self.output.event(json!({
            "event": "host", "adapter": adapter.name, "driver": adapter.driver, "network": self.shape, "batch": batch,
            "dispatches": dispatches, "host_seconds": seconds,
        }))
    }

    /// A line for each dispatch, one for a step, and the figures behind them. `ceilings` were measured before them. `how` says how the dispatches were timed.
    pub fn print(&self, times: &StepTimes, ceilings: Ceilings, how: &str) -> Result<(), Error> {
        let ceilings = self.ceilings_above(times, ceilings)?;
        let (adapter, batch) = (self.gpu().adapter(), self.plan.batch);
        let output = &self.output;
        output.text(format_args!("{}, batches of {batch}, on {} ({})\n", self.shape, adapter.name, adapter.driver))?;
        self.report_dispatches(times, ceilings)?;
        output.text(markdown(&self.rows(times, ceilings)))?;
        let samples_per_second = f64::from(batch) / times.step;
        output.text(format_args!(
            "\n{how} A step: the least of seven rounds of many, {samples_per_second:.0} samples/s; the host works {:.1} µs of it, in parallel with the \
             device.\nThe ceiling, measured here: a copy {:.1} GB/s, a product of 1024³ {:.1} GFLOP/s; a textbook kernel, an invocation for \
             each output, reaches {:.2}. The last column is the larger of both shares, and which ceiling it is of.",
            1e6 * times.host,
            ceilings.copy / 1e9,
            ceilings.product / 1e9,
            ceilings.naive / 1e9,
        ))?;
        let is_beaten = self.beats(times, ceilings);
        if is_beaten {
            output.text(
                "* More than the ceiling: this machine was busy while the ceiling was measured, three times, or the work's data stay in caches, \
                 which a copy's do not. Measure again on a quiet machine before you believe it.",
            )?;
        }
        output.event(json!({
            "event": "step", "adapter": adapter.name, "driver": adapter.driver, "network": self.shape, "batch": batch,
            "seconds": times.step, "host_seconds": times.host, "samples_per_second": samples_per_second, "how": how,
            "tiles": self.plan.picks().by_product(), "copy_bytes_per_second": ceilings.copy, "product_flops_per_second": ceilings.product,
            "naive_flops_per_second": ceilings.naive, "above_ceiling": is_beaten,
        }))
    }

    /// Measures the ceilings again, as another process may have disturbed the first measurement; and once more if the work seems to beat them.
    fn ceilings_above(&self, times: &StepTimes, before: Ceilings) -> Result<Ceilings, Error> {
        let found = before.or_higher(self.ceilings()?);
        if self.beats(times, found) { Ok(found.or_higher(self.ceilings()?)) } else { Ok(found) }
    }

    /// Whether a dispatch or a step does more than the ceilings say can be done.
    fn beats(&self, times: &StepTimes, ceilings: Ceilings) -> bool {
        let costs = self.plan.dispatches.iter().map(|dispatch| dispatch.launch.cost);
        costs
            .zip(times.dispatches.iter().copied())
            .chain([(self.plan.cost(), times.step)])
            .any(|(cost, seconds)| is_above(ceilings.share(cost, seconds).0))
    }

    fn report_dispatches(&self, times: &StepTimes, ceilings: Ceilings) -> Result<(), Error> {
        let sum: f64 = times.dispatches.iter().sum();
        for (dispatch, &seconds) in self.plan.dispatches.iter().zip(&times.dispatches) {
            let launch = &dispatch.launch;
            let (share, bound) = ceilings.share(launch.cost, seconds);
            self.output.event(json!({
                "event": "dispatch", "kernel": launch.kernel, "layers": dispatch.layers, "variant": launch.variant, "seconds": seconds,
                "flops": launch.cost.flops, "bytes": launch.cost.bytes, "share": seconds / sum,
                "of_ceiling": share, "ceiling": bound.to_string(), "above_ceiling": is_above(share),
            }))?;
        }
        Ok(())
    }

    /// The table: a head, a row for each kind of dispatch, their sum, and a step.
    fn rows(&self, times: &StepTimes, ceilings: Ceilings) -> Vec<[String; 8]> {
        let plan = &self.plan;
        let sum: f64 = times.dispatches.iter().sum();
        // Equal launches of the same layers share a row, as Muon has many.
        let mut kinds: Vec<(&Dispatch, usize, f64)> = Vec::new();
        for (dispatch, &seconds) in plan.dispatches.iter().zip(&times.dispatches) {
            let is_alike = |other: &Dispatch| {
                let key = |Dispatch { launch, layers, .. }: &Dispatch| (launch.kernel, launch.cost, layers.clone());
                key(other) == key(dispatch) && other.launch.variant == dispatch.launch.variant
            };
            match kinds.iter_mut().find(|(other, ..)| is_alike(other)) {
                Some((_, count, all)) => (*count, *all) = (*count + 1, *all + seconds),
                None => kinds.push((dispatch, 1, seconds)),
            }
        }
        let row = |name: String, layers: String, tile: &str, cost: Cost, seconds: f64, is_part: bool| {
            let (share, bound) = ceilings.share(cost, seconds);
            [
                name,
                layers,
                tile.into(),
                format!("{:.3}", 1e3 * seconds),
                if is_part { format!("{:.0} %", 100.0 * seconds / sum) } else { String::new() },
                format!("{:.1}", cost.flops as f64 / seconds / 1e9),
                format!("{:.1}", cost.bytes as f64 / seconds / 1e9),
                format!("{} {bound}", of_ceiling(share)),
            ]
        };
        let mut rows =
            vec![["dispatch", "layer", "tile", "ms", "of sum", "GFLOP/s", "GB/s", "of ceiling"].map(String::from)];
        for (dispatch, count, seconds) in kinds {
            let launch = &dispatch.launch;
            let times = if count > 1 { format!(" ×{count}") } else { String::new() };
            let cost = Cost { flops: count as u64 * launch.cost.flops, bytes: count as u64 * launch.cost.bytes };
            let name = format!("{}{times}", launch.kernel);
            rows.push(row(name, dispatch.layers_in_words(), &launch.variant, cost, seconds, true));
        }
        rows.push(row("their sum".into(), String::new(), "", plan.cost(), sum, true));
        rows.push(row("a step".into(), String::new(), "", plan.cost(), times.step, false));
        rows
    }
}

/// Whether a share of a ceiling is over 100 %, as it is written.
fn is_above(share: f64) -> bool {
    share >= 1.005
}

/// A share of a ceiling, marked if it is above 100 %.
fn of_ceiling(share: f64) -> String {
    format!("{:.0} %{}", 100.0 * share, if is_above(share) { "*" } else { "" })
}

/// A table whose columns are as wide as their widest cell, the first three to the left and the others to the right.
fn markdown<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().enumerate().map(|(column, cell)| match (column, width(column)) {
            (0..=2, width) => format!(" {cell:<width$} |"),
            (_, width) => format!(" {cell:>width$} |"),
        });
        std::iter::once("|".to_string()).chain(cells).collect::<String>()
    };
    let ruler = (0..COLUMNS).map(|column| if column < 3 { ":--|" } else { "--:|" }).collect::<String>();
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(1, format!("|{ruler}"));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a share over 100 % that is printed without a mark, or one of 100 % that is marked.
    #[test]
    fn what_beats_the_ceiling_is_marked() {
        assert_eq!([0.42, 1.0, 1.0049, 1.0051, 3.2].map(of_ceiling), ["42 %", "100 %", "100 %", "101 %*", "320 %*"]);
    }
}
