//! Processes that an MPI started together: `mpirun -n 4 wgrad train`. No other room names MPI.

use std::fmt;

use mpi::Threading;
use mpi::environment::Universe;
use mpi::point_to_point::send_receive_into;
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;

use crate::error::Error;
use crate::processes::Processes;

/// The most bytes of a message: MPI counts them in 32 bits.
const MOST_BYTES: usize = 1 << 30;

/// The processes of this program's MPI job. MPI ends with the last copy of it.
pub(crate) struct Mpi {
    rank: usize,
    count: usize,
    /// The number of this process among those of its machine.
    local: usize,
    _universe: Universe,
}

impl Mpi {
    /// Begins MPI in a process that a launcher started.
    ///
    /// # Errors
    ///
    /// [`Error::Processes`] where MPI cannot begin in it.
    pub fn begin() -> Result<Self, Error> {
        // One thread at a time sends and receives.
        let begun = mpi::initialize_with_threading(Threading::Serialized);
        let (universe, threading) =
            begun.ok_or_else(|| Error::Processes("MPI was begun in this process before".into()))?;
        if threading < Threading::Serialized {
            return Err(Error::Processes(format!(
                "this MPI allows one thread alone to send ({threading:?}): wgrad needs one at a time (Serialized)"
            )));
        }
        let world = universe.world();
        let (rank, count) = (world.rank() as usize, world.size() as usize);
        let local = world.split_shared(world.rank()).rank() as usize;
        Ok(Mpi { rank, count, local, _universe: universe })
    }

    /// The number of this process among those of its machine.
    pub fn local(&self) -> usize {
        self.local
    }

    /// Ends the processes of the job, this one with the exit code.
    pub fn abort(&self, code: u8) -> ! {
        SimpleCommunicator::world().abort(code.into())
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} of {}", self.rank, self.count)
    }
}

impl Processes for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn swap(&self, with: usize, own: &[u8], theirs: &mut [u8]) -> Result<(), Error> {
        let world = SimpleCommunicator::world();
        let partner = world.process_at_rank(with as i32);
        let messages = own.len().max(theirs.len()).div_ceil(MOST_BYTES);
        for message in 0..messages {
            let piece = |bytes: usize| (message * MOST_BYTES).min(bytes)..((message + 1) * MOST_BYTES).min(bytes);
            let (from, to) = (piece(own.len()), piece(theirs.len()));
            // MPI ends the job where a message cannot be sent or received.
            send_receive_into(&own[from], &partner, &mut theirs[to], &partner);
        }
        Ok(())
    }
}
