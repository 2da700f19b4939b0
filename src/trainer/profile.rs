//! How long a step takes on this device, and each of its dispatches.

use std::time::{Duration, Instant};

use super::runner::{Buffers, Runner, State};
use crate::Error;
use crate::gpu::{Checks, Encoder, Gpu, Traffic};
use crate::plan::{Plan, Role};

/// A round lasts about this long, so that handing it over does not matter.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 7;

/// Seconds, each the least of seven rounds: what the device does when nothing else runs on the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTimes {
    /// Of each of the plan's dispatches, in their order, repeated by itself. What lies between two dispatches is in it.
    pub dispatches: Vec<f64>,
    /// Of whole steps, one after another.
    pub step: f64,
    /// What the host spends on a step: recording it and handing it over, none of it waiting.
    pub host: f64,
}

/// Times a plan over buffers of zeros, many steps a submission.
///
/// # Errors
///
/// [`Error::Kernel`] where a kernel does not compile; [`Error::Option`] where a buffer does not fit, [`Error::Device`].
pub fn step_times(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<StepTimes, Error> {
    let rows = plan.buffers.iter().find(|buffer| buffer.role == Role::Set).map_or(1, |set| set.shape[0]);
    let state = gpu.zeros("the step state", crate::plan::STATE_BYTES)?;
    gpu.write(&state, &[State::new(rows as usize, plan.batch)]);
    let runner = Runner::new(gpu, plan, &[&Buffers::from([(Role::State, state)])], checks, None)?;
    let program = runner.program();
    let (step, host) = seconds(gpu, |encoder, times| program.record(encoder, times))?;
    let dispatch = |at| seconds(gpu, |encoder, times| program.repeat(encoder, at, times));
    let dispatches = (0..plan.dispatches.len()).map(|at| Ok(dispatch(at)?.0)).collect::<Result<_, Error>>()?;
    Ok(StepTimes { dispatches, step, host })
}

/// What one of a recorded number costs: the device and the host together, and the host alone.
fn seconds(gpu: &Gpu, record: impl Fn(&mut Encoder, u64)) -> Result<(f64, f64), Error> {
    let round = |times: u64| -> Result<(f64, f64), Error> {
        let started = Instant::now();
        let submission = gpu.submit(&mut Traffic::default(), |encoder| record(encoder, times));
        let handed_over = started.elapsed();
        gpu.wait_for(submission)?;
        Ok((started.elapsed().as_secs_f64() / times as f64, handed_over.as_secs_f64() / times as f64))
    };
    let mut times = 1;
    while round(times)?.0 * (times as f64) < ROUND.as_secs_f64() / 2.0 && times < 1 << 12 {
        times *= 2;
    }
    let rounds = (0..ROUNDS).map(|_| round(times)).collect::<Result<Vec<_>, Error>>()?;
    let least = |of: fn(&(f64, f64)) -> f64| rounds.iter().map(of).fold(f64::INFINITY, f64::min);
    Ok((least(|round| round.0), least(|round| round.1)))
}
