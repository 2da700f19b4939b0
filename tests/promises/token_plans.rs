//! Plans of networks of tokens: how many dispatches a training step takes.

use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::layout::TokenLayout;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::training::{Clip, Training};
use wgrad::{Activation, AttentionLayer, Loss, Network, Optimizer};

use crate::problem::plain;

/// examples/gpt.toml with this many blocks.
fn gpt(blocks: usize) -> Network {
    Network::tokens(64)
        .embedding(128, 76)
        .positions(64)
        .repeat(blocks, |block| {
            block
                .residual(|body| body.layer_norm().with(AttentionLayer::new(4).causal().into()))
                .residual(|body| body.layer_norm().dense(512, Activation::Gelu).dense(128, Activation::Identity))
        })
        .layer_norm()
        .dense(76, Activation::Identity)
}

fn kernels(blocks: usize, clip: Option<Clip>, family: Family, most_bindings: u32) -> Vec<&'static str> {
    let optimizer = Optimizer::from_name("adamw").unwrap();
    let plan = Plan::new(Request {
        network: &gpt(blocks),
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets { label_bits: 8, ..Targets::CLASSES },
        training: Some(Training { clip, ..plain(&optimizer) }),
        batch: 12,
        set: SetLayout::whole(Element::Tokens(TokenLayout { bytes: 1, overlaps: true }), 100_000),
        tiling: &Tiling { most_bindings, ..Tiling::of(family) },
        metrics: false,
    })
    .unwrap();
    plan.dispatches().iter().map(|dispatch| dispatch.launch.kernel).collect()
}

fn is_update(kernel: &str) -> bool {
    kernel.ends_with("_update") || kernel == "gradient_norm"
}

/// Finds a sum, an activation, a bias or a norm's weights that take a dispatch of their own again. Forward a block takes 7: two norms, the projections, the attention, the
/// product that joins its heads and adds, and the two of the MLP. Back it takes 10: one for each of the four products, three for the attention's halves and projections, and
/// two for each norm.
#[test]
fn a_block_takes_17_dispatches_forward_and_backward() {
    for family in [Family::Software, Family::Subgroups { lanes: 8, words_64: true }, Family::Hardware] {
        for clip in [None, Some(Clip::Norm(1.0))] {
            let without_updates =
                |blocks| kernels(blocks, clip, family, 16).into_iter().filter(|k| !is_update(k)).count();
            let [four, five] = [4, 5].map(without_updates);
            assert_eq!(five - four, 17, "{family:?}, {clip:?}");
        }
    }
}

/// Finds updates that are apart where they could be merged: the most of them that an adapter's bindings hold are one dispatch.
#[test]
fn updates_of_all_weights_are_as_few_dispatches_as_bindings_allow() {
    let family = Family::Subgroups { lanes: 8, words_64: true };
    // A gradient, the weights and the optimizer's values for each of 36 parameters, and the step state.
    let kept = |most_bindings| {
        let kernels = kernels(4, Some(Clip::Norm(1.0)), family, most_bindings);
        kernels.into_iter().filter(|&kernel| kernel == "kept_update").count()
    };
    let parameters = gpt(4).named_parameters().len();
    for most_bindings in [8, 16, 25] {
        let parts = ((most_bindings as usize - 1) / 3).min(8);
        assert_eq!(kept(most_bindings), parameters.div_ceil(parts), "{most_bindings} bindings");
    }
}
