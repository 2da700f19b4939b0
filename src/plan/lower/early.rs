//! The gradients of shards, each as soon as it can be: other processes add up those of later layers while the device computes those of earlier ones.

use std::cmp::Reverse;

use super::super::step::Step;
use super::super::{Dispatch, Role};
use super::accumulation;
use super::update::{Product, products_of};
use crate::kernel::Access;
use crate::training::Training;

/// Gradients are told to other processes in buckets of this many bytes or more, but for the first layers': a bucket costs a submission and the latency of some messages, which take
/// as long as a megabyte takes over 10 Gbit/s.
const BUCKET_BYTES: u64 = 1 << 20;

/// The other dispatches of a step, `before`, with those that make the gradients of weights and add them to their sums: in buckets, each behind the last dispatch
/// whose results it reads. The part is counted at the end.
pub(super) fn with_gradients(
    step: &Step<'_>,
    training: Training<'_>,
    products: &[Product<'_>],
    before: Vec<Dispatch>,
) -> Vec<Dispatch> {
    let writer = |role: Role| {
        let writes = |dispatch: &Dispatch| dispatch.touches(Access::Write).any(|written| written == role);
        before.iter().rposition(writes).map_or(0, |at| at + 1)
    };
    let product_of = |parameter: usize| products.iter().find(|product| product.layer == parameter);
    let is_ready = |parameter: usize| match product_of(parameter) {
        Some(product) => writer(product.input).max(writer(product.gradient)),
        None => writer(Role::WeightGradient(parameter)),
    };
    let mut in_order: Vec<(usize, usize)> =
        step.trained().into_iter().map(|parameter| (is_ready(parameter), parameter)).collect();
    in_order.sort_by_key(|&(ready, parameter)| (ready, Reverse(parameter)));

    let mut dispatches = Vec::with_capacity(before.len());
    let mut others = before.into_iter().enumerate().peekable();
    for bucket in buckets(&in_order, |parameter| step.dense[parameter].weights_bytes()) {
        let ready = bucket.iter().map(|&(ready, _)| ready).max().unwrap_or(0);
        while let Some((_, other)) = others.next_if(|&(at, _)| at < ready) {
            dispatches.push(other);
        }
        let is_own = |product: &&Product<'_>| bucket.iter().any(|&(_, parameter)| parameter == product.layer);
        let own: Vec<Product<'_>> = products.iter().filter(is_own).copied().collect();
        dispatches.extend(products_of(step, training, &own, false));
        let parameters: Vec<usize> = bucket.iter().map(|&(_, parameter)| parameter).collect();
        dispatches.extend(accumulation::sums(step, &parameters));
    }
    dispatches.extend(others.map(|(_, other)| other));
    dispatches.push(accumulation::next_part(step));
    dispatches
}

/// Cuts the parameters, each behind the place where its gradient is ready, into buckets of enough bytes; the last has what remains.
fn buckets(in_order: &[(usize, usize)], bytes: impl Fn(usize) -> u64) -> Vec<&[(usize, usize)]> {
    let mut sum = 0;
    let ends_bucket = |&(_, parameter): &(usize, usize)| {
        sum += bytes(parameter);
        let ends = sum >= BUCKET_BYTES;
        if ends {
            sum = 0;
        }
        ends
    };
    in_order.split_inclusive(ends_bucket).collect()
}
