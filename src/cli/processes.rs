//! The processes of a run that a launcher started together, as `mpirun` does.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use super::interrupt::Interrupt;
use super::output::clean_lines;
use crate::error::Error;
use crate::processes::{Processes, gather};

/// The shards of a minibatch where a run does not say: any number of processes up to that ends in the same bits.
pub(super) const SHARDS: usize = 8;

/// The place of this process among those that were started together.
pub(super) struct Joined {
    /// All of them.
    pub processes: Arc<dyn Processes>,
    /// The number of this one among those of its machine.
    pub local: usize,
    /// Ends all, this one with the exit code.
    abort: Box<dyn Fn(u8)>,
}

impl Joined {
    /// Joins the others of this process' job; none where it was started alone.
    ///
    /// # Errors
    ///
    /// [`Error::Processes`] where MPI cannot begin. [`Error::Option`] in a program that is built without it: each process would train alone, and write the same files.
    pub fn join() -> Result<Option<Self>, Error> {
        let Some(count) = launched() else { return Ok(None) };
        #[cfg(feature = "mpi")]
        {
            tracing::debug!(count, "one of several processes");
            let job = Arc::new(crate::mpi::Mpi::begin()?);
            if job.count() != count {
                return Err(Error::Processes(format!(
                    "{count} processes were started, and MPI knows of {}: mpirun or srun is not of the MPI that the program is built with",
                    job.count()
                )));
            }
            let (local, all) = (job.local(), Arc::clone(&job));
            Ok(Some(Joined { processes: job, local, abort: Box::new(move |code| all.abort(code)) }))
        }
        #[cfg(not(feature = "mpi"))]
        match count {
            1 => Ok(None),
            _ => Err(Error::Option(format!(
                "this is one of {count} processes that were started together, and the program is built without MPI: build it with \
                 --features mpi, or start it alone (OMPI_COMM_WORLD_SIZE, PMI_SIZE or SLURM_STEP_NUM_TASKS says so)"
            ))),
        }
    }

    /// Whether this process writes files and speaks, which one of them does.
    pub fn speaks(&self) -> bool {
        self.processes.rank() == 0
    }

    /// The exit code of a signal that any process had.
    ///
    /// # Errors
    ///
    /// [`Error::Processes`] where one cannot be reached.
    pub fn exit_code(&self, own: Option<u8>) -> Result<Option<u8>, Error> {
        Ok(gather(&*self.processes, &[own.unwrap_or(0)])?.into_iter().find(|&code| code > 0))
    }

    /// Ends all processes with one message, where this one fails. Others may fail for the same reason: so all but the first wait for it to say so, and to end them by a
    /// signal.
    pub fn end_all(&self, error: &Error, interrupt: &Interrupt) {
        let (rank, count) = (self.processes.rank(), self.processes.count());
        if rank > 0 {
            for _ in 0..100 + 2 * rank {
                std::thread::sleep(Duration::from_millis(10));
                if interrupt.exit_code().is_some() {
                    std::process::exit(error.exit_code().into());
                }
            }
        }
        let who = if count > 1 { format!("process {rank} of {count}: ") } else { String::new() };
        _ = writeln!(std::io::stderr(), "error: {who}{}", clean_lines(&error.to_string()));
        (self.abort)(error.exit_code());
    }
}

impl Drop for Joined {
    /// The others would wait for a process that has panicked: it ends them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.abort)(101);
        }
    }
}

/// The number of processes that were started together, by what a launcher tells each: Open MPI, MPICH and its like, Slurm. None where none did; under Slurm a process alone has a
/// number too.
fn launched() -> Option<usize> {
    let told = |name| std::env::var(name).ok()?.parse().ok();
    let of_mpi = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find_map(told);
    of_mpi.or_else(|| told("SLURM_STEP_NUM_TASKS").filter(|&count| count > 1))
}
