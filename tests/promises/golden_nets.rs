//! The numbers of PyTorch for networks of images and norms: whole trajectories, computed there in float64. `make_golden_nets.py` beside the files
//! wrote them.

use std::path::Path;

use wgrad::selftest::golden::Trajectory;

use crate::support::{agrees, gpu};

/// The first gradients, the losses of its steps, the final weights with the running statistics, and the outputs after training must be PyTorch's.
fn matches_pytorch(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-nets").join(format!("{name}.safetensors"));
    agrees(Trajectory::read(&path, &std::fs::read(&path).unwrap()).unwrap().agrees(&gpu()));
}

macro_rules! cases {
    ($($(#[$about:meta])* $name:ident,)*) => {
        $($(#[$about])* #[test] fn $name() { matches_pytorch(stringify!($name)); })*
    };
}

cases! {
    /// Finds a minibatch's mean in place of a step's, a sum that keeps the last step's, running statistics that move once a step, and a short last step.
    accumulate,
    /// Finds a tap that reads another pixel, a bias that is lost.
    conv_valid,
    /// Finds padding on the wrong side.
    conv_same,
    conv_stride,
    conv_dilation,
    /// Finds channels that leak between groups.
    conv_groups,
    pools,
    /// Finds a pool's gradient that counts a pixel once where two windows cover it.
    pool_overlap,
    /// Finds an average that begins with the initial weights, leaves out running statistics, or answers where the weights should.
    ema,
    global_pool,
    /// Finds the biased variance in the running statistics, and the unbiased one in the norm.
    batch_norm,
    /// Finds statistics that count rows past a short minibatch.
    batch_norm_short_batch,
    group_norm,
    /// Finds a decay or a rate on the wrong side of a group's border, a clip by weights of another.
    groups_adamw,
    /// Finds a frozen half of a parameter that moves, or counts in the norm, and statistics that a frozen norm does not keep.
    groups_frozen,
    /// Finds a gradient that a frozen layer does not hand on.
    groups_frozen_norm,
    layer_norm,
    rms_norm,
    resnet,
    weight_decay_clip,
    /// Its last layer has an activation.
    autoencoder,
    /// Finds numbers and vectors in another order than PyTorch's, a table that gets the gradient of another, and a category that no row has and that moves otherwise.
    embed,
    /// The same of rows of categories alone, of which some do not count.
    embed_ignored,
    /// Finds a flattened sequence whose places are in another order than files have them.
    embedding,
    /// Finds a token whose gradient is that of one of its places alone.
    embedding_mean,
    /// Finds heads that read each other's values.
    attention,
    /// Finds a place that attends to one after it, and losses of places that are summed where they are meant to be averaged.
    gpt,
    /// Finds a table that gets the gradient of one of its two uses.
    gpt_tied,
    /// Finds places without a label that count.
    gpt_ignored,
}
