//! How long a step takes on this device, and each of its dispatches; and what the device could do at most.

use std::time::{Duration, Instant};

use crate::activation::Activation;
use crate::error::Error;
use crate::gpu::{Checks, Encoder, Gpu, Program, Traffic};
use crate::kernel::{Cost, Targets, textbook};
use crate::loss::Loss;
use crate::network::Network;
use crate::plan::{Element, Plan, Request, Role, SetLayout};
use crate::run::buffers::Buffers;
use crate::run::runner::Runner;
use crate::run::state::{STEP_WORD, State};

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
pub struct StepTimer<'a> {
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

impl<'a> StepTimer<'a> {
    /// Compiles the plan.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] where a kernel does not compile; [`Error::Option`] where a buffer does not fit, [`Error::Device`].
    pub fn new(gpu: &'a Gpu, plan: &Plan, checks: Checks) -> Result<Self, Error> {
        let rows = plan.buffers.iter().find(|buffer| buffer.role == Role::Set(0)).map_or(1, |set| set.shape[0]);
        let state = gpu.zeros("the step state", crate::plan::STATE_BYTES)?;
        gpu.write(&state, &[State::new(rows as usize, plan.batch)]);
        let runner = Runner::new(gpu, plan, &[&Buffers::from([(Role::State, state)])], checks, None)?;
        Ok(StepTimer { gpu, runner })
    }

    /// `times` steps in one submission.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for more than 262,144 of them, which the host has to remember all; [`Error::Device`].
    pub fn steps(&self, times: u64) -> Result<Took, Error> {
        check_times(times)?;
        took(self.gpu, |encoder| self.runner.program().record(encoder, times))
    }

    /// One of the dispatches, `times` times in one submission.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where the plan has no such dispatch, and for more than 262,144 times; [`Error::Device`].
    pub fn dispatch(&self, at: usize, times: u64) -> Result<Took, Error> {
        let dispatches = self.runner.program().dispatches();
        if at >= dispatches {
            return Err(Error::Option(format!("there is no dispatch {at}: the plan has {dispatches}, from 0")));
        }
        check_times(times)?;
        took(self.gpu, |encoder| self.runner.program().repeat(encoder, at, times))
    }

    /// Each dispatch repeated by itself, and whole steps.
    pub(crate) fn times(&self) -> Result<StepTimes, Error> {
        self.check()?;
        let dispatch = |at| Ok(least(|times| self.dispatch(at, times))?.0);
        let dispatches = (0..self.runner.program().dispatches()).map(dispatch).collect::<Result<_, Error>>()?;
        let (step, host) = self.whole()?;
        Ok(StepTimes { dispatches, step, host })
    }

    /// That the device executes a step: nothing is quicker than none.
    ///
    /// # Errors
    ///
    /// [`Error::Device`].
    pub(crate) fn check(&self) -> Result<(), Error> {
        let counted = || -> Result<u32, Error> {
            let state = &self.runner.buffers[&Role::State];
            Ok(self.gpu.read::<u32>(state, STEP_WORD + 1, &mut Traffic::default())?[STEP_WORD])
        };
        let before = counted()?;
        self.steps(1)?;
        self.gpu.check_steps(counted()?, u64::from(before) + 1)
    }

    /// What a step takes among many, and the host of it.
    pub(crate) fn whole(&self) -> Result<(f64, f64), Error> {
        least(|times| self.steps(times))
    }

    pub(crate) fn gpu(&self) -> &Gpu {
        self.gpu
    }

    pub(crate) fn program(&self) -> &Program {
        self.runner.program()
    }
}

/// Times a plan over buffers of zeros, many steps a submission.
///
/// # Errors
///
/// As [`StepTimer::new`].
pub fn step_times(gpu: &Gpu, plan: &Plan, checks: Checks) -> Result<StepTimes, Error> {
    StepTimer::new(gpu, plan, checks)?.times()
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

/// Measures a copy of 256 MiB, or of the largest buffer, as a smaller one would stay in the caches of a large device; a product of 1024³ with the tile of the adapter's rule, and a textbook's kernel.
///
/// # Errors
///
/// As [`StepTimer::new`].
pub fn ceilings(gpu: &Gpu, checks: Checks) -> Result<Ceilings, Error> {
    let adapter = gpu.adapter();
    let copied = adapter.max_binding_bytes.min(adapter.max_buffer_bytes).min(256 << 20) / 4 * 4;
    let [from, to] = [gpu.zeros("copied from", copied)?, gpu.zeros("copied to", copied)?];
    let copy = least(|times| {
        took(gpu, |encoder| (0..times).for_each(|_| encoder.copy_buffer_to_buffer(&from, 0, &to, 0, copied)))
    })?;
    let product = || -> Result<f64, Error> {
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
        let timer = StepTimer::new(gpu, &plan, checks)?;
        Ok(plan.dispatches[0].launch.cost.flops as f64 / least(|times| timer.dispatch(0, times))?.0)
    };
    let naive = || -> Result<f64, Error> {
        let [m, n, k] = [32, 256, 784];
        let launch = textbook::launch(m, n, k);
        let buffers = [m * k, k * n, m * n].map(|values| gpu.zeros(launch.kernel, 4 * u64::from(values)));
        let [a, b, c] = buffers;
        let program = Program::new(gpu, &[(&launch, vec![&a?, &b?, &c?])], checks)?;
        Ok(launch.cost.flops as f64 / least(|times| took(gpu, |encoder| program.record(encoder, times)))?.0)
    };
    Ok(Ceilings { copy: 2.0 * copied as f64 / copy.0, product: product()?, naive: naive()? })
}

fn check_times(times: u64) -> Result<(), Error> {
    match times {
        0..=MOST_TIMES => Ok(()),
        _ => Err(Error::Option(format!("{times} times in one submission: at most {MOST_TIMES} can be asked for"))),
    }
}

fn took(gpu: &Gpu, record: impl FnOnce(&mut Encoder)) -> Result<Took, Error> {
    let started = Instant::now();
    let submission = gpu.submit(&mut Traffic::default(), record);
    let host = started.elapsed();
    gpu.wait_for(submission)?;
    Ok(Took { all: started.elapsed(), host })
}

/// What one of a number costs: the device and the host together, and the host alone. The least of the rounds.
fn least(run: impl Fn(u64) -> Result<Took, Error>) -> Result<(f64, f64), Error> {
    let mut times = 1;
    while run(times)?.all < ROUND / 2 && times < 1 << 12 {
        times *= 2;
    }
    let rounds = (0..ROUNDS).map(|_| run(times)).collect::<Result<Vec<_>, Error>>()?;
    let least =
        |of: fn(&Took) -> Duration| rounds.iter().map(of).min().unwrap_or_default().as_secs_f64() / times as f64;
    Ok((least(|took| took.all), least(|took| took.host)))
}
