//! Gradients of random networks with sums.

use wgrad::Activation;
use wgrad::selftest::choices::Choices;

use super::{any_layer, assert_gradients};
use crate::support::families;

/// Finds a gradient of one way that is forgotten, or is of another layer, where sums stand in random combinations.
#[test]
fn gradients_of_random_networks_with_sums_are_the_central_differences() {
    assert_gradients_of_random_sums(0);
}

/// The other half of them, beside the first.
#[test]
fn gradients_of_other_random_networks_with_sums_are_the_central_differences() {
    assert_gradients_of_random_sums(1);
}

/// Every second of the networks, from this one on.
fn assert_gradients_of_random_sums(first: usize) {
    let mut judged = 0;
    let choices = Choices::new().unwrap();
    let cases: Vec<_> = choices.with_sums(40).into_iter().chain(choices.with_bare_sums(20)).collect();
    for (number, case) in cases.iter().enumerate().skip(first).step_by(2) {
        let network = case.request().network;
        let has_own = |layer: &wgrad::Layer| matches!(layer.activation(), Activation::Custom(_));
        // A user's own has no twin, and one class has nothing to learn.
        if network.outputs() == 1 || network.layers().iter().any(|layer| any_layer(layer, &has_own)) {
            continue;
        }
        assert_gradients(&format!("random network {number}"), network, families()[number / 2 % 4]);
        judged += 1;
    }
    assert!(judged >= 13, "{judged} of 30");
}
