//! The processes that train one network together, and what they tell each other: sums of gradients, and small values of each.

use std::fmt::Debug;

use crate::error::Error;

/// The processes of a run, as one of them sees them: a way to swap bytes with each other one. Their number is a power of two.
///
/// The program's are those of an MPI (the crate's feature `mpi`).
pub trait Processes: Debug + Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// Sends bytes to another process, and waits for those that it sends here. Each of the two knows how many come. Where the other has gone, as its fit ended in an
    /// error, it must not wait for ever.
    ///
    /// # Errors
    ///
    /// [`Error::Processes`] with what kept the bytes from coming.
    fn swap(&self, with: usize, own: &[u8], theirs: &mut [u8]) -> Result<(), Error>;
}

/// Adds up the values of all processes, element by element, in a binary tree over their numbers: the same for any number of processes that share the leaves. All get
/// the sums. It says how many bytes were sent: a process sends and receives 2 (P − 1) / P times the bytes of the values, where there are P.
///
/// In a round of recursive halving a process and its partner add up a half each of what they had; then the sums go back the same way. Method: Rabenseifner,
/// "Optimization of collective reduction operations", ICCS 2004, with the nearest partners first.
///
/// # Errors
///
/// As [`Processes::swap`].
pub(crate) fn sum(processes: &dyn Processes, values: &mut [f32]) -> Result<u64, Error> {
    let (rank, rounds) = (processes.rank(), processes.count().trailing_zeros());
    let mut theirs = vec![0.0; values.len().div_ceil(2)];
    let mut sent = 0;
    // What was added up before each round, and the half of it that is this process's own.
    let (mut wholes, mut own) = (Vec::new(), 0..values.len());
    for round in 0..rounds {
        let middle = own.start.midpoint(own.end);
        let halves = [own.start..middle, middle..own.end];
        let is_upper = rank >> round & 1;
        wholes.push(std::mem::replace(&mut own, halves[is_upper].clone()));
        let given = bytemuck::cast_slice(&values[halves[1 - is_upper].clone()]);
        let theirs = &mut theirs[..own.len()];
        sent += size_of_val(given);
        processes.swap(rank ^ 1 << round, given, bytemuck::cast_slice_mut(theirs))?;
        for (value, theirs) in values[own.clone()].iter_mut().zip(theirs) {
            *value = normal(*value + *theirs);
        }
    }
    for (round, whole) in wholes.into_iter().enumerate().rev() {
        let middle = whole.start.midpoint(whole.end) - whole.start;
        sent += swap_halves(processes, round, bytemuck::cast_slice_mut(&mut values[whole]), size_of::<f32>() * middle)?;
    }
    Ok(sent as u64)
}

/// The number, with 0 of the same sign in place of one that is subnormal: see `accumulate.wesl`, which adds up the lower levels of the tree.
fn normal(value: f32) -> f32 {
    if value.is_subnormal() { 0f32.copysign(value) } else { value }
}

/// The bytes of all processes, one after another, where each has as many as this one.
///
/// # Errors
///
/// As [`Processes::swap`].
pub(crate) fn gather(processes: &dyn Processes, own: &[u8]) -> Result<Vec<u8>, Error> {
    let (rank, bytes) = (processes.rank(), own.len());
    let mut all = vec![0; bytes * processes.count()];
    all[rank * bytes..][..bytes].copy_from_slice(own);
    for round in 0..processes.count().trailing_zeros() {
        // Both have a block of as many processes, side by side.
        let block = bytes << round;
        let both = (rank >> round & !1) * block;
        swap_halves(processes, round as usize, &mut all[both..both + 2 * block], block)?;
    }
    Ok(all)
}

/// Gives the partner of a round this process's half of the bytes, and takes the other half. Of the two, the lower process has what is in front of `middle`. The bytes that were sent.
fn swap_halves(processes: &dyn Processes, round: usize, both: &mut [u8], middle: usize) -> Result<usize, Error> {
    let rank = processes.rank();
    let (lower, upper) = both.split_at_mut(middle);
    let (own, theirs) = if rank >> round & 1 == 0 { (lower, upper) } else { (upper, lower) };
    processes.swap(rank ^ 1 << round, own, theirs)?;
    Ok(own.len())
}

/// The texts of all processes, in their order.
///
/// # Errors
///
/// As [`Processes::swap`].
pub(crate) fn texts(processes: &dyn Processes, own: &str) -> Result<Vec<String>, Error> {
    let lengths = gather(processes, &(own.len() as u64).to_le_bytes())?;
    let lengths: Vec<usize> = lengths.as_chunks().0.iter().map(|length| u64::from_le_bytes(*length) as usize).collect();
    let most = lengths.iter().copied().max().unwrap_or(0);
    let mut padded = own.as_bytes().to_vec();
    padded.resize(most, 0);
    let all = gather(processes, &padded)?;
    let text = |(at, length): (usize, &usize)| String::from_utf8_lossy(&all[at * most..][..*length]).into_owned();
    Ok(lengths.iter().enumerate().map(text).collect())
}

/// Whether any process says so.
///
/// # Errors
///
/// As [`Processes::swap`].
pub(crate) fn any(processes: &dyn Processes, own: bool) -> Result<bool, Error> {
    Ok(gather(processes, &[own.into()])?.contains(&1))
}
