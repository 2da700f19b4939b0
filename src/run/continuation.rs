//! One sequence that a network of tokens goes on with: keys and values of the places before are kept, so that one more token costs the network at one place.
//!
//! A step computes some of the sequence's places side by side, as the rows of a minibatch: at first those of the prompt, later the new one with those that
//! share its block of four, which costs the same. So one plan does for both, and a place's logits have the same bits in both.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::buffers::{Buffers, make_buffers, program};
use super::outputs::{NUMBER_BYTES, UNWRITTEN, request, too_large};
use super::state::State;
use crate::error::Error;
use crate::gpu::{Buffer, Checks, Gpu, Program, Readback, Traffic, buffer_bytes};
use crate::kernel::tiling::Tiling;
use crate::layout::TokenLayout;
use crate::loss::Loss;
use crate::network::Network;
use crate::plan::{Element, Plan, Role, SetLayout};

/// The most places of a step. More would share each load of the weights among more places, and take more memory for the logits of all of them.
const MOST_ROWS: usize = 64;

/// A device's way to the logits that follow a sequence's tokens.
pub(crate) struct Continuation {
    /// The network of one place.
    network: Network,
    tiling: Tiling,
    /// The most tokens of the sequence.
    places: u32,
    /// Of a step's tokens.
    layout: SetLayout,
    buffers: Buffers,
    /// Of the buffers, those that are not the weights'.
    own_bytes: u64,
    program: Program,
    /// The step's number, which is read back with the logits: what comes back with another was not executed.
    number: Buffer,
    handed_over: u32,
    read: Readback,
    /// Workgroups of each dispatch, by the number of blocks of four rows.
    workgroups: HashMap<u32, Vec<u32>>,
    /// The tokens whose keys and values are kept.
    tokens: Vec<u32>,
}

impl Continuation {
    /// For a network that takes at most `places` tokens and predicts at each place, from those up to it; `weights` has the buffers of its layers.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where not one block of places has room on the device; [`Error::Kernel`], [`Error::OutOfMemory`], [`Error::Device`].
    pub async fn new(
        gpu: &Gpu,
        network: &Network,
        places: usize,
        tiling: &Tiling,
        weights: &Buffers,
    ) -> Result<Self, Error> {
        let (network, places) = (network.of_one_place(), places as u32);
        let (plan, layout) = plan(&network, places, tiling, &gpu.adapter().name)?;
        let buffers = make_buffers(gpu, &plan, &[weights]).await?;
        let program = program(gpu, &plan, &[&buffers], Checks::default()).await?;
        let own = plan.bytes_of(|role| !matches!(role, Role::Weights(_)));
        let own_bytes = own.into_iter().map(buffer_bytes).sum();
        let number = gpu.zeros("a step's number", NUMBER_BYTES).await?;
        let read = Readback::new(gpu, NUMBER_BYTES + row_bytes(&network)).await?;
        let (tiling, workgroups, tokens) = (tiling.clone(), HashMap::new(), Vec::new());
        Ok(Continuation {
            network,
            tiling,
            places,
            layout,
            buffers,
            own_bytes,
            program,
            number,
            handed_over: 0,
            read,
            workgroups,
            tokens,
        })
    }

    /// Device memory, but for the weights.
    pub fn bytes(&self) -> u64 {
        self.own_bytes + self.number.size() + buffer_bytes(NUMBER_BYTES + row_bytes(&self.network))
    }

    /// How many of these tokens it has the keys and values of.
    pub fn known(&self, tokens: &[u32]) -> usize {
        self.tokens.iter().zip(tokens).take_while(|(own, other)| own == other).count()
    }

    /// The logits of the token that follows these: at least one, at most as many as the network takes, all of its vocabulary. Of tokens that begin as those of the
    /// call before, only the others are computed.
    ///
    /// # Errors
    ///
    /// [`Error::NonFiniteResult`] for logits that are not finite; [`Error::Device`].
    pub async fn logits(&mut self, gpu: &Gpu, tokens: &[u32], traffic: &mut Traffic) -> Result<Vec<f32>, Error> {
        let last = tokens.len() - 1;
        // The last place is computed in any case: its logits were not kept.
        let mut first = self.known(tokens).min(last) / 4 * 4;
        let most = self.layout.rows as usize;
        self.read.ready(gpu).await?;
        while first + most <= last {
            self.tokens.truncate(first);
            self.submit(gpu, first, &tokens[first..first + most], traffic, None)?;
            first += most;
            self.tokens.extend_from_slice(&tokens[self.tokens.len()..first]);
        }
        self.tokens.truncate(first);
        let at = (last - first) as u64 * row_bytes(&self.network);
        self.handed_over = self.handed_over.wrapping_add(1);
        // A driver that executes nothing leaves the number of the step before, or what no output may be.
        gpu.write(&self.number, &[self.handed_over]);
        gpu.write_at(&self.buffers[&Role::last_activations(&self.network)], at, &[UNWRITTEN]);
        self.submit(gpu, first, &tokens[first..], traffic, Some(at))?;
        self.read.request()?;
        let read: Vec<u32> = self.read.wait(gpu, traffic).await?;
        let header = NUMBER_BYTES as usize / 4;
        if read[0] != self.handed_over || read[header] == UNWRITTEN {
            return Err(gpu.unexecuted(&format!("it was handed {} tokens, and none follows", tokens.len())));
        }
        self.tokens.extend_from_slice(&tokens[first..]);
        let logits: Vec<f32> =
            read[header..].iter().take(self.network.outputs()).map(|&bits| f32::from_bits(bits)).collect();
        match logits.iter().find(|logit| !logit.is_finite()) {
            Some(logit) => Err(Error::NonFiniteResult(format!(
                "a logit of the token that follows {} is {logit}: the weights are too large",
                tokens.len()
            ))),
            None => Ok(logits),
        }
    }

    /// Hands over a step: of some tokens, from this place on. Its logits from a byte on are copied, where they are wanted.
    fn submit(
        &mut self,
        gpu: &Gpu,
        first: usize,
        tokens: &[u32],
        traffic: &mut Traffic,
        wanted: Option<u64>,
    ) -> Result<(), Error> {
        let blocks = tokens.len().div_ceil(4) as u32;
        let workgroups = match self.workgroups.entry(blocks) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let (loss, layout) = (Loss::default(), self.layout);
                let request = request(&self.network, &self.tiling, layout, &loss);
                new.insert(Plan::workgroups_of_rows(request, Some(self.places), 4 * blocks)?)
            }
        };
        gpu.write(&self.buffers[&Role::Set(0)], tokens);
        // The rows are in their order: rows past the last are as it is.
        let state = State { step: first as u32, ..State::new(tokens.len(), self.layout.rows as u32) };
        gpu.write(&self.buffers[&Role::State], &[state]);
        let outputs = &self.buffers[&Role::last_activations(&self.network)];
        gpu.submit(traffic, |encoder| {
            self.program.record_some(encoder, workgroups, gpu.adapter().max_workgroups);
            if let Some(at) = wanted {
                self.read.copy_from(encoder, [(&self.number, 0), (outputs, at)]);
            }
        });
        Ok(())
    }
}

/// Bytes of a place's logits, with what pads them.
fn row_bytes(network: &Network) -> u64 {
    16 * (network.outputs() as u64).div_ceil(4)
}

/// The plan of a step of as many places as have room.
fn plan(network: &Network, places: u32, tiling: &Tiling, adapter: &str) -> Result<(Plan, SetLayout), Error> {
    let mut rows = (places as usize).next_multiple_of(4).min(MOST_ROWS) as u64;
    loop {
        let layout = SetLayout::whole(Element::Tokens(TokenLayout { bytes: 4, overlaps: false }), rows);
        let plan = Plan::continuation(request(network, tiling, layout, &Loss::default()), places)?;
        match plan.larger_than(tiling.most_bytes) {
            Some(buffer) if rows == 4 || matches!(buffer.role, Role::Weights(_) | Role::Kept(_)) => {
                return Err(too_large(buffer, tiling, adapter));
            }
            None => return Ok((plan, layout)),
            Some(_) => rows = (rows / 2).next_multiple_of(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::data::Dataset;
    use crate::gpu::OpenOptions;
    use crate::host::block_on;
    use crate::initializer::Initializer;
    use crate::kernel::tile::Family;
    use crate::network::AttentionLayer;
    use crate::run::outputs::Outputs;

    /// A model runs under its adapter's own family, and where the tests run that is never a GPU's, whose invocations have one place of an attention, not four. Finds
    /// one that goes on from another place, or over other keys, than it does where it has the whole row.
    #[test]
    fn a_gpus_kernels_continue_a_row_as_they_compute_it_whole() {
        let gpu = block_on(Gpu::open_async(&OpenOptions::default())).unwrap();
        let tiling = Tiling { family: Family::Hardware, ..gpu.adapter().tiling() };
        let network = Network::tokens(21)
            .embedding(18, 9)
            .positions(21)
            .residual(|body| body.layer_norm().with(AttentionLayer::new(3).causal().into()))
            .dense(9, Activation::Identity);
        let tokens: Vec<u32> = (0..21).map(|at| at * at % 9).collect();
        let initial = Initializer::Torch.weights(&network, 3);
        let parameters = network.named_parameters();
        let upload =
            |layer: usize| block_on(gpu.upload("weights", &initial.layers[layer].to_device(&parameters[layer])));
        let weights: Buffers =
            (0..parameters.len()).map(|layer| (Role::Weights(layer), upload(layer).unwrap())).collect();
        let set = Dataset::from_tokens(tokens.clone(), 21, tokens.clone()).unwrap();
        let (mut traffic, checks) = (Traffic::default(), Checks::On);
        let whole = block_on(async {
            let mut outputs = Outputs::new(&gpu, &network, &tiling, &weights, &set, checks).await?;
            outputs.of(&gpu, &set, &mut traffic, &mut 0).await
        });
        let mut sequence = block_on(Continuation::new(&gpu, &network, 21, &tiling, &weights)).unwrap();
        for (last, expected) in whole.unwrap().chunks_exact(9).enumerate() {
            let logits = block_on(sequence.logits(&gpu, &tokens[..=last], &mut traffic)).unwrap();
            let off = logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-5, "place {last}: {logits:?}, and of the whole row {expected:?}");
        }
    }
}
