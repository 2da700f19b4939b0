//! Picks tiles by measuring: no variant is timed that was not first compared with the plain one.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::error::Error;
use crate::gpu::{Buffer, Checks, Gpu, Program, Traffic};
use crate::kernel::shape::Shape;
use crate::kernel::tile::{Family, Tile};
use crate::kernel::tiling::{Picks, Tiling};
use crate::kernel::{Access, Launch};
use crate::plan::{Buffer as Planned, Dispatch, Element, Plan, Request, Role, STATE_BYTES, SetLayout};
use crate::run::buffers::Buffers;
use crate::run::state::State;

/// A round lasts about this long, and the least of `ROUNDS` rounds counts.
const ROUND: Duration = Duration::from_millis(4);
const ROUNDS: usize = 5;
/// Less is the machine's mood: a variant that is tried later has to be this much faster than one before it.
const CLEARLY_FASTER: f64 = 0.97;
/// Rows of the set that variants are tried on.
const ROWS: u64 = 4096;
/// ‖variant − plain‖ / ‖plain‖, and the largest difference of one value against the largest value.
const TOLERANCE: f64 = 1e-5;
const LARGEST: f64 = 1e-4;
/// The rounding of a sum one after another, for each square root of its terms: the plain kernel's own error.
const ROUNDING: f64 = 1e-7;
/// A product that the plain kernel takes seconds for on a CPU keeps its rule's tile.
const MOST_FLOPS: u64 = 8_000_000_000;

/// The longest budget: a deadline after a longer one could not be computed.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What was found for one kind of product.
pub(crate) struct Found {
    pub shape: Shape,
    pub tile: Tile,
    /// Whether every candidate was tried: what was cut short is not worth keeping for another run, which finds the compiler's work done.
    pub complete: bool,
}

/// Picks a tile for each kind of product in the plan of `request` that `known` has none for. Compilers can take seconds for a variant: past
/// the `budget`, a kind of product has the variants that were tried by then, and later kinds their rule's. `report` is told which is measured, as
/// the first of how many, and may break off.
pub(crate) async fn tune(
    gpu: &Gpu,
    request: Request<'_>,
    checks: Checks,
    known: &Picks,
    budget: Duration,
    mut report: impl FnMut(Shape, usize, usize) -> ControlFlow<()>,
) -> Result<Vec<Found>, Error> {
    // A product does the same for a set of any size, and each is tried by itself.
    let tiling = Tiling { merges: false, ..request.tiling.clone() };
    let rows = request.set.rows.min(ROWS.max(request.batch.into()));
    let request = Request { set: SetLayout { rows, ..request.set }, tiling: &tiling, ..request };
    let mut products: Vec<(Shape, u64)> = vec![];
    for launch in Plan::new(request)?.dispatches.iter().flat_map(Dispatch::parts).map(|part| part.launch) {
        if let Some(shape) = launch.shape.filter(|&shape| known.get(shape).is_none()) {
            match products.iter_mut().find(|(other, _)| *other == shape) {
                Some((_, flops)) => *flops += launch.cost.flops,
                None => products.push((shape, launch.cost.flops)),
            }
        }
    }
    // Where time runs out, it runs out for those that matter least.
    products.sort_by_key(|&(_, flops)| std::cmp::Reverse(flops));
    let host = gpu.host();
    let (started, budget) = (host.now(), budget.min(LONGEST));
    let mut found = vec![];
    for (at, &(shape, _)) in products.iter().enumerate().take_while(|_| host.since(started) < budget) {
        if report(shape, at + 1, products.len()).is_break() {
            break;
        }
        let deadline = started + budget * (at as u32 + 1) / products.len() as u32;
        found.extend(fastest(gpu, request, checks, shape, deadline).await?);
    }
    tracing::debug!(kinds = found.len(), of = products.len(), took = ?host.since(started), "tuned");
    Ok(found)
}

/// The fastest tile for a kind of product; the plain one where all others are wrong here. None for a product that is too large to be
/// checked.
async fn fastest(
    gpu: &Gpu,
    request: Request<'_>,
    checks: Checks,
    shape: Shape,
    deadline: Duration,
) -> Result<Option<Found>, Error> {
    let expected = match Candidate::new(gpu, request, checks, shape, Tile::Naive).await? {
        Some(plain) if plain.flops <= MOST_FLOPS => plain.results(gpu).await?,
        _ => return Ok(None),
    };
    // Two at a time in device memory, no more.
    let mut best: Option<Candidate> = None;
    let mut complete = true;
    for tile in candidates(request.tiling, shape) {
        if gpu.host().now() > deadline && best.is_some() {
            complete = false;
            break;
        }
        let candidate = match Candidate::new(gpu, request, checks, shape, tile).await {
            Ok(Some(candidate)) => candidate,
            // A variant that the driver's compiler does not take is not eligible here.
            Ok(None) | Err(Error::Kernel { .. }) => continue,
            Err(error) => return Err(error),
        };
        let started = gpu.host().now();
        let results = candidate.results(gpu).await?;
        if let Some((role, error)) = disagreement(&candidate.writes, &results, &expected, shape) {
            tracing::warn!(%shape, %tile, %role, error, "a variant is wrong on this adapter, and is not used");
            continue;
        }
        tracing::debug!(%shape, %tile, first = ?gpu.host().since(started), "right");
        best = match best {
            Some(champion) => Some(champion.faster(gpu, candidate).await?),
            None => Some(candidate),
        };
    }
    // Where all others are wrong here, the plain one; but that is to be looked into again.
    let tile = best.as_ref().map_or(Tile::Naive, |best| best.tile);
    Ok(Some(Found { shape, tile, complete: complete && best.is_some() }))
}

/// The variants for a product: its rule's first, then those nearest to it. A CPU's compilers take half a second for each: there it is two
/// more, on a GPU a dozen.
fn candidates(tiling: &Tiling, shape: Shape) -> Vec<Tile> {
    let rule = tiling.rule(shape.input, shape.blocks);
    // Tiles above this adapter's own limit are measured too: where they spill registers they are slower, and are not picked.
    let most_blocks = Tiling::of(tiling.family).most_blocks;
    let may_be = |tile: Tile| tile.suits(shape.blocks) && tile.holds_at_most(most_blocks, shape.input);
    let mut others: Vec<Tile> = tiling.family.variants();
    others.retain(|&tile| tile != rule && tile != Tile::Naive && may_be(tile));
    others.sort_by_key(|tile| tile.area().abs_diff(rule.area()));
    let most = if tiling.family == Family::Hardware { 12 } else { 2 };
    std::iter::once(rule).chain(others.into_iter().take(most)).collect()
}

/// A product under one tile, with buffers of its own.
struct Candidate {
    tile: Tile,
    program: Program,
    buffers: Buffers,
    writes: Vec<Planned>,
    flops: u64,
}

impl Candidate {
    /// None where the plan does not take the tile for such a product.
    async fn new(
        gpu: &Gpu,
        request: Request<'_>,
        checks: Checks,
        shape: Shape,
        tile: Tile,
    ) -> Result<Option<Self>, Error> {
        let mut tiling = request.tiling.clone();
        tiling.picks.set(shape, tile);
        let plan = Plan::new(Request { tiling: &tiling, ..request })?;
        let is_it = |part: &Dispatch| part.launch.shape == Some(shape) && part.launch.variant == tile.to_string();
        let stages: Vec<Dispatch> = plan.dispatches.iter().flat_map(Dispatch::parts).filter(is_it).collect();
        let Some(first) = stages.first() else { return Ok(None) };
        // Where a reduction is cut into slices, what adds up this one's.
        let sums = first.touches(Access::Write).find(|role| matches!(role, Role::Partials(_)));
        let second =
            sums.and_then(|sums| stages.iter().find(|stage| stage.touches(Access::Read).any(|role| role == sums)));
        let buffer = |role: &Role| plan.buffers.iter().find(|buffer| buffer.role == *role);
        let stages = || std::iter::once(first).chain(second);
        let mut buffers = Buffers::new();
        for buffer in stages().flat_map(|stage| &stage.roles).filter_map(buffer) {
            buffers.insert(buffer.role, upload(gpu, request, buffer).await?);
        }
        let writes = second.unwrap_or(first).touches(Access::Write).filter(|&role| role != Role::State);
        let writes = writes.filter_map(|role| buffer(&role).cloned()).collect();
        let bind = |stage: &Dispatch| -> Vec<&Buffer> { stage.roles.iter().map(|role| &buffers[role]).collect() };
        let bound: Vec<(&Launch, Vec<&Buffer>)> = stages().map(|stage| (&stage.launch, bind(stage))).collect();
        let program = Program::new(gpu, &bound, checks).await?;
        Ok(Some(Candidate { tile, program, buffers, writes, flops: first.launch.cost.flops }))
    }

    /// What it writes, after one run on the same numbers for every tile.
    async fn results(&self, gpu: &Gpu) -> Result<Vec<Vec<f32>>, Error> {
        let traffic = &mut Traffic::default();
        gpu.submit(traffic, |encoder| self.program.record(encoder, 1));
        let mut results = Vec::with_capacity(self.writes.len());
        for planned in &self.writes {
            results.push(gpu.read(&self.buffers[&planned.role], planned.bytes as usize / 4, traffic).await?);
        }
        Ok(results)
    }

    /// The faster of two, in rounds in turn: the machine's mood is the same for both.
    async fn faster(self, gpu: &Gpu, other: Candidate) -> Result<Candidate, Error> {
        let mut least = [f64::INFINITY; 2];
        for _ in 0..ROUNDS {
            for (least, candidate) in least.iter_mut().zip([&self, &other]) {
                *least = least.min(candidate.seconds(gpu).await?);
            }
        }
        tracing::debug!(champion = %self.tile, ms = 1e3 * least[0], challenger = %other.tile, ms = 1e3 * least[1], "timed");
        Ok(if least[1] < CLEARLY_FASTER * least[0] { other } else { self })
    }

    /// What one run takes, in a round of them.
    async fn seconds(&self, gpu: &Gpu) -> Result<f64, Error> {
        let round = async |times: u64| -> Result<Duration, Error> {
            let started = gpu.host().now();
            let submission = gpu.submit(&mut Traffic::default(), |encoder| self.program.record(encoder, times));
            gpu.wait_for(submission).await?;
            Ok(gpu.host().since(started))
        };
        let one = round(1).await?.as_secs_f64().max(1e-6);
        let times = ((ROUND.as_secs_f64() / one) as u64).clamp(1, 64);
        Ok(round(times).await?.as_secs_f64() / times as f64)
    }
}

/// Where two runs do not agree, and by how much.
fn disagreement(writes: &[Planned], results: &[Vec<f32>], expected: &[Vec<f32>], shape: Shape) -> Option<(Role, f64)> {
    let tolerance = TOLERANCE.max(ROUNDING * f64::from(4 * shape.blocks.k).sqrt());
    writes.iter().zip(results.iter().zip(expected)).find_map(|(planned, (results, expected))| {
        // What a user's own function makes of random numbers may be none: in both, then.
        let both = || results.iter().zip(expected).filter(|(a, b)| a.is_finite() || b.is_finite());
        let difference = |(&a, &b): (&f32, &f32)| f64::from(a) - f64::from(b);
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
        let most = |values: &mut dyn Iterator<Item = f64>| values.fold(0f64, |most, value| most.max(value.abs()));
        let values = || both().map(|(_, &value)| f64::from(value));
        let error = norm(&mut both().map(difference)) / norm(&mut values()).max(f64::MIN_POSITIVE);
        let largest = most(&mut both().map(difference)) / most(&mut values()).max(f64::MIN_POSITIVE);
        // A derivative may be a step: a logit near 0 is on one side here, and on the other there.
        let steps = matches!(planned.role, Role::Derivatives(_));
        // Written so that NaN disagrees; `max` would drop it, the norm does not.
        (!(error < tolerance && (steps || largest < LARGEST))).then_some((planned.role, error))
    })
}

/// A buffer with numbers as training has them, the same in every run.
async fn upload(gpu: &Gpu, request: Request<'_>, planned: &Planned) -> Result<Buffer, Error> {
    let name = planned.role.to_string();
    let mut random = Random(7);
    match planned.role {
        Role::State => {
            let mut words = vec![0u32; STATE_BYTES as usize / 4];
            let state = State { step: 1, learning_rate: 1.0, ..State::new(request.set.rows as usize, request.batch) };
            let known: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&state));
            words[..known.len()].copy_from_slice(known);
            // The optimizer's scalars, and the clipping's factor: any that divide well.
            words[known.len()..].fill(0.5f32.to_bits());
            let flags = words.len() - 2;
            words[flags..].fill(0);
            gpu.upload(&name, &words).await
        }
        Role::Set(_) if request.set.element == Element::U8 => {
            let bytes: Vec<u8> = (0..planned.bytes).map(|_| random.bits() as u8).collect();
            gpu.upload(&name, &bytes).await
        }
        Role::Set(_) if request.set.element == Element::F16 => {
            // From 0 to just under 2, in f16.
            let halves: Vec<u16> = (0..planned.bytes / 2).map(|_| random.bits() as u16 % 0x4000).collect();
            gpu.upload(&name, &halves).await
        }
        Role::Visited => {
            let rows: Vec<u32> = (0..request.batch).map(|_| random.bits() % request.set.rows as u32).collect();
            gpu.upload(&name, &rows).await
        }
        // Far from 0, where a sign or a root that turns on the last digit would not agree.
        Role::OptimizerSlots(_) => gpu.upload(&name, &random.values(planned.bytes, 4.0, 8.0)).await,
        _ => gpu.upload(&name, &random.values(planned.bytes, -1.0, 1.0)).await,
    }
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32
    }

    fn values(&mut self, bytes: u64, from: f32, to: f32) -> Vec<f32> {
        (0..bytes / 4).map(|_| from + (to - from) * (self.bits() as f32 / (1u32 << 31) as f32)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Input;
    use crate::kernel::tile::Blocks;

    fn judged(results: &[f32], expected: &[f32]) -> bool {
        let planned = Planned { role: Role::Weights(0), shape: vec![4], bytes: 16, memory: 0 };
        let shape = Shape::of("dense_update", Input::SetU8, Blocks { m: 1, n: 1, k: 8 });
        disagreement(&[planned], &[results.to_vec()], &[expected.to_vec()], shape).is_none()
    }

    /// A variant that leaves a place unwritten, writes nonsense in one of a million, or NaN: timed, and picked for being fast.
    #[test]
    fn wrong_results_are_not_agreed_with() {
        let expected: Vec<f32> = (0..1_000_000).map(|at| 1.0 + (at % 7) as f32).collect();
        assert!(judged(&expected, &expected));
        let rounded: Vec<f32> = expected.iter().map(|value| value * (1.0 + 1e-7)).collect();
        assert!(judged(&rounded, &expected));
        for wrong in [0.0, 1.01, f32::NAN, f32::INFINITY] {
            let mut results = expected.clone();
            results[777_770] = wrong;
            assert!(!judged(&results, &expected), "{wrong}");
        }
        assert!(!judged(&[f32::NAN; 4], &[1.0; 4]));
        assert!(!judged(&[1.0; 4], &[f32::NAN; 4]));
        // A user's own function, which has no value there.
        assert!(judged(&[1.0, f32::NAN], &[1.0, f32::NAN]));
    }
}
