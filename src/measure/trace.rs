//! What the device and the host do at which time while some steps run.

use std::time::Duration;

use super::profile::{StepTimes, Timer};
use crate::error::Error;
use crate::gpu::{Checks, Gpu, Timestamps, Traffic};
use crate::plan::Plan;

/// Submissions of a trace, and the most steps of one.
const SUBMISSIONS: usize = 4;
const STEPS: usize = 8;

/// Where the time of a step goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Of each dispatch by the device's clock, the median of the trace's; where it has none, repeated by itself as
    /// [`step_times`](crate::profile::step_times) does. Of whole steps, as there.
    pub times: StepTimes,
    /// Some steps.
    pub trace: Trace,
}

/// Some steps on a common clock, in seconds from the first submission on.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Every dispatch, one after another.
    pub device: Vec<Span>,
    /// `encode`, `submit` and `wait` of every submission.
    pub host: Vec<Span>,
    /// Whether the device's times are of its clock, whose zero is set so that no submission ends after the host's wait for it. Else each dispatch
    /// lasts as long as it takes repeated, one after the other from the submission on.
    pub by_clock: bool,
}

/// Something that went on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The kernel, or what the host did.
    pub name: &'static str,
    /// The dispatch's place in the plan, or the submission's number.
    pub place: usize,
    /// When it began.
    pub begin: f64,
    /// When it ended.
    pub end: f64,
}

/// What [`profile`](crate::profile::profile) returns.
pub(crate) async fn profile(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<Profile, Error> {
    let timer = Timer::new(gpu, plan, checks).await?;
    let dispatches = plan.dispatches.len();
    let steps = (Timestamps::MOST / (2 * dispatches)).clamp(1, STEPS);
    let Some(mut clock) = Timestamps::new(gpu, steps * dispatches).await? else {
        let times = timer.times().await?;
        let trace = laid_out(&timer, plan, &times.dispatches).await?;
        return Ok(Profile { times, trace });
    };
    timer.check().await?;
    let (step, host) = timer.whole().await?;
    let trace = by_clock(&timer, plan, &mut clock, steps as u64).await?;
    let median_of = |place| {
        let of_dispatch = trace.device.iter().filter(|span| span.place == place);
        let mut times: Vec<f64> = of_dispatch.map(|span| span.end - span.begin).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let times = StepTimes { dispatches: (0..dispatches).map(median_of).collect(), step, host };
    Ok(Profile { times, trace })
}

async fn by_clock(timer: &Timer<'_>, plan: &Plan, clock: &mut Timestamps, steps: u64) -> Result<Trace, Error> {
    let (gpu, program) = (timer.gpu(), timer.program());
    let begun = gpu.host().now();
    let (mut host, mut device) = (vec![], vec![]);
    for number in 0..SUBMISSIONS {
        host.extend(submission(gpu, begun, number, |encoder| clock.record(encoder, program, steps)).await?);
        let waited = host[host.len() - 1].end;
        let times = clock.times(gpu).await?;
        // The last one ended when the wait did, or a little earlier.
        let to_host = waited - times.iter().map(|&[_, end]| end).fold(0.0, f64::max);
        device.extend(times.into_iter().enumerate().map(|(at, [begin, end])| {
            let place = at % plan.dispatches.len();
            Span { name: plan.dispatches[place].launch.kernel, place, begin: begin + to_host, end: end + to_host }
        }));
    }
    Ok(Trace { device: in_turn(device), host, by_clock: true })
}

async fn laid_out(timer: &Timer<'_>, plan: &Plan, seconds: &[f64]) -> Result<Trace, Error> {
    let begun = timer.gpu().host().now();
    let (mut host, mut device) = (vec![], vec![]);
    for number in 0..SUBMISSIONS {
        let own =
            submission(timer.gpu(), begun, number, |encoder| timer.program().record(encoder, STEPS as u64)).await?;
        let mut at = own[1].begin;
        host.extend(own);
        for _ in 0..STEPS {
            for (place, (dispatch, seconds)) in plan.dispatches.iter().zip(seconds).enumerate() {
                device.push(Span { name: dispatch.launch.kernel, place, begin: at, end: at + seconds });
                at += seconds;
            }
        }
    }
    Ok(Trace { device: in_turn(device), host, by_clock: false })
}

/// What the host does for one submission, which it waits for.
async fn submission(
    gpu: &Gpu,
    begun: Duration,
    number: usize,
    record: impl FnOnce(&mut crate::gpu::Encoder),
) -> Result<[Span; 3], Error> {
    let now = || gpu.host().since(begun).as_secs_f64();
    let (start, mut encoded) = (now(), 0.0);
    let submission = gpu.submit(&mut Traffic::default(), |encoder| {
        record(encoder);
        encoded = now();
    });
    let submitted = now();
    gpu.wait_for(submission).await?;
    let span = |name, begin, end| Span { name, place: number, begin, end };
    Ok([span("encode", start, encoded), span("submit", encoded, submitted), span("wait", submitted, now())])
}

/// One after another: a device may note that a pass begins before the one before it has ended, and work only then.
fn in_turn(mut spans: Vec<Span>) -> Vec<Span> {
    let mut last = 0.0f64;
    for span in &mut spans {
        span.begin = span.begin.max(last);
        span.end = span.end.max(span.begin);
        last = span.end;
    }
    spans
}
