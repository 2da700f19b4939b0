//! How long a step takes on this device, and each of its dispatches; and what the device could do at most.

use std::time::Duration;

use crate::activation::Activation;
use crate::error::Error;
use crate::gpu::{Checks, Encoder, Gpu, Program, Traffic};
use crate::kernel::{Cost, textbook};
use crate::loss::Loss;
use crate::network::Network;
use crate::plan::{Element, Plan, Request, Role, SetLayout};
use crate::run::buffers::Buffers;
use crate::run::runner::Runner;
use crate::run::state::{STEP_WORD, State};
use crate::targets::Targets;

/// A round lasts about this long, so that handing it over does not matter.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 7;
/// The most that is recorded at once.
const MOST_TIMES: u64 = 1 << 18;

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

/// A compiled plan over buffers of zeros, to be timed.
pub(crate) struct Timer<'a> {
    gpu: &'a Gpu,
    runner: Runner,
}

/// How long something took that was recorded, handed over and waited for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Took {
    /// From the first record to the end of the device's work.
    pub all: Duration,
    /// Of that, until it was handed over.
    pub host: Duration,
}

impl<'a> Timer<'a> {
    /// Compiles the plan.
    pub async fn new(gpu: &'a Gpu, plan: &Plan, checks: Checks) -> Result<Self, Error> {
        let rows = plan.buffers.iter().find(|buffer| buffer.role == Role::Set(0)).map_or(1, |set| set.shape[0]);
        let state = gpu.zeros("the step state", crate::plan::STATE_BYTES).await?;
        gpu.write(&state, &[State::new(rows as usize, plan.batch)]);
        let runner = Runner::new(gpu, plan, &[&Buffers::from([(Role::State, state)])], checks, None).await?;
        Ok(Timer { gpu, runner })
    }

    /// `times` steps in one submission.
    pub async fn steps(&self, times: u64) -> Result<Took, Error> {
        check_times(times)?;
        took(self.gpu, |encoder| self.runner.program().record(encoder, times)).await
    }

    /// One of the dispatches, `times` times in one submission.
    pub async fn dispatch(&self, at: usize, times: u64) -> Result<Took, Error> {
        let dispatches = self.runner.program().dispatches();
        if at >= dispatches {
            return Err(Error::Option(format!("there is no dispatch {at}: the plan has {dispatches}, from 0")));
        }
        check_times(times)?;
        took(self.gpu, |encoder| self.runner.program().repeat(encoder, at, times)).await
    }

    /// Each dispatch repeated by itself, and whole steps.
    pub(crate) async fn times(&self) -> Result<StepTimes, Error> {
        self.check().await?;
        let mut dispatches = Vec::new();
        for at in 0..self.runner.program().dispatches() {
            dispatches.push(least(async |times| self.dispatch(at, times).await).await?.0);
        }
        let (step, host) = self.whole().await?;
        Ok(StepTimes { dispatches, step, host })
    }

    /// That the device executes a step: nothing is quicker than none.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub(crate) async fn check(&self) -> Result<(), Error> {
        let before = self.counted().await?;
        self.steps(1).await?;
        self.gpu.check_steps(self.counted().await?, u64::from(before) + 1)
    }

    /// The steps that the device has counted.
    async fn counted(&self) -> Result<u32, Error> {
        let state = &self.runner.buffers[&Role::State];
        Ok(self.gpu.read::<u32>(state, STEP_WORD + 1, &mut Traffic::default()).await?[STEP_WORD])
    }

    /// What a step takes among many, and the host of it.
    pub(crate) async fn whole(&self) -> Result<(f64, f64), Error> {
        least(async |times| self.steps(times).await).await
    }

    pub(crate) fn gpu(&self) -> &Gpu {
        self.gpu
    }

    pub(crate) fn program(&self) -> &Program {
        self.runner.program()
    }
}

/// What [`step_times`](crate::profile::step_times) returns.
pub(crate) async fn step_times(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<StepTimes, Error> {
    Timer::new(gpu, plan, checks).await?.times().await
}

/// What [`host_time`](crate::profile::host_time) returns.
pub(crate) async fn host_time(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<f64, Error> {
    Ok(Timer::new(gpu, plan, checks).await?.whole().await?.1)
}

/// What keeps a kernel from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// What the device computes in a second.
    Arithmetic,
    /// What it reads and writes in a second.
    Memory,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Bound::Arithmetic => "arithmetic",
            Bound::Memory => "memory",
        })
    }
}

/// What a device reaches with large work, measured on it. Small work that stays in its caches can be faster than the copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceilings {
    /// Bytes read and written by a copy from buffer to buffer, a second.
    pub copy: f64,
    /// Floating-point operations of a product of 1024³ from u8 rows, a second.
    pub product: f64,
    /// The same of a textbook's kernel, an output an invocation, for the product of 32 × 784 and 784 × 256 in f32.
    pub naive: f64,
}

impl Ceilings {
    /// Work that took `seconds`, as the share of the ceiling that it is nearest to, and which one that is.
    pub fn share(self, cost: Cost, seconds: f64) -> (f64, Bound) {
        let arithmetic = cost.flops as f64 / seconds / self.product;
        let memory = cost.bytes as f64 / seconds / self.copy;
        if arithmetic > memory { (arithmetic, Bound::Arithmetic) } else { (memory, Bound::Memory) }
    }

    /// The higher of two measurements, figure by figure.
    pub fn or_higher(self, other: Ceilings) -> Ceilings {
        Ceilings {
            copy: self.copy.max(other.copy),
            product: self.product.max(other.product),
            naive: self.naive.max(other.naive),
        }
    }
}

/// What [`ceilings`](crate::profile::ceilings) returns.
pub(crate) async fn ceilings(gpu: &Gpu, checks: Checks) -> Result<Ceilings, Error> {
    Ok(Ceilings {
        copy: copy_ceiling(gpu).await?,
        product: product_ceiling(gpu, checks).await?,
        naive: naive_ceiling(gpu, checks).await?,
    })
}

async fn copy_ceiling(gpu: &Gpu) -> Result<f64, Error> {
    let adapter = gpu.adapter();
    let copied = adapter.max_binding_bytes.min(adapter.max_buffer_bytes).min(256 << 20) / 4 * 4;
    let [from, to] = [gpu.zeros("copied from", copied).await?, gpu.zeros("copied to", copied).await?];
    let copy = async |times| {
        let record = |encoder: &mut Encoder| {
            (0..times).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, copied));
        };
        took(gpu, record).await
    };
    Ok(2.0 * copied as f64 / least(copy).await?.0)
}

async fn product_ceiling(gpu: &Gpu, checks: Checks) -> Result<f64, Error> {
    let network = Network::new(1024).dense(1024, Activation::Relu).dense(1, Activation::Identity);
    let plan = Plan::new(Request {
        network: &network,
        loss: &Loss::default(),
        targets: Targets::CLASSES,
        training: None,
        batch: 1024,
        set: SetLayout::whole(Element::U8, 1024),
        tiling: &gpu.adapter().tiling(),
        metrics: false,
    })?;
    let timer = Timer::new(gpu, &plan, checks).await?;
    let seconds = least(async |times| timer.dispatch(0, times).await).await?.0;
    Ok(plan.dispatches[0].launch.cost.flops as f64 / seconds)
}

async fn naive_ceiling(gpu: &Gpu, checks: Checks) -> Result<f64, Error> {
    let [m, n, k] = [32, 256, 784];
    let launch = textbook::launch(m, n, k);
    let mut buffers = Vec::new();
    for values in [m * k, k * n, m * n] {
        buffers.push(gpu.zeros(launch.kernel, 4 * u64::from(values)).await?);
    }
    let program = Program::new(gpu, &[(&launch, buffers.iter().collect())], checks).await?;
    let seconds = least(async |times| took(gpu, |encoder| program.record(encoder, times)).await).await?.0;
    Ok(launch.cost.flops as f64 / seconds)
}

fn check_times(times: u64) -> Result<(), Error> {
    match times {
        0..=MOST_TIMES => Ok(()),
        _ => Err(Error::Option(format!("{times} times in one submission: at most {MOST_TIMES} can be asked for"))),
    }
}

async fn took(gpu: &Gpu, record: impl FnOnce(&mut Encoder)) -> Result<Took, Error> {
    let started = gpu.host().now();
    let submission = gpu.submit(&mut Traffic::default(), record);
    let host = gpu.host().since(started);
    gpu.wait_for(submission).await?;
    Ok(Took { all: gpu.host().since(started), host })
}

/// What one of a number costs: the device and the host together, and the host alone. The least of the rounds.
async fn least(run: impl AsyncFn(u64) -> Result<Took, Error>) -> Result<(f64, f64), Error> {
    let mut times = 1;
    while run(times).await?.all < ROUND / 2 && times < 1 << 12 {
        times *= 2;
    }
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        rounds.push(run(times).await?);
    }
    let least =
        |of: fn(&Took) -> Duration| rounds.iter().map(of).min().unwrap_or_default().as_secs_f64() / times as f64;
    Ok((least(|took| took.all), least(|took| took.host)))
}
