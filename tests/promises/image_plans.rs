//! Plans of networks of images: which ops are one dispatch, that these compute what they do apart, and how many a training step takes.

use wgrad::kernel::Launch;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::{
    Activation, AvgPoolLayer, ConvLayer, Dataset, Initializer, Layer, Loss, MaxPoolLayer, Network, Optimizer,
    TrainOptions, Trainer,
};

use crate::dispatches::ImageStep;
use crate::problem::plain;
use crate::support::{Random, bits, families, gpu};

use Activation::{Gelu, Identity, LeakyRelu, Relu, Tanh};

/// The plan of a training step under Adam, of a small minibatch.
/// Minibatches are small, so that no product's reduction is cut into slices.
fn plan_for(tiling: &Tiling, network: &Network) -> Plan {
    plan_of(tiling, network, 4)
}

fn plan_of(tiling: &Tiling, network: &Network, batch: u32) -> Plan {
    let optimizer = Optimizer::keras_adam();
    let request = Request {
        network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: Some(plain(&optimizer)),
        batch,
        set: SetLayout::whole(Element::U8, 1000),
        tiling,
        metrics: false,
    };
    Plan::new(request).unwrap()
}

fn kernels(plan: &Plan) -> Vec<&str> {
    plan.dispatches().iter().map(|dispatch| dispatch.launch.kernel).collect()
}

/// Finds a pool that is a dispatch of its own again, or that a kernel takes in which cannot compute it.
#[test]
fn convolutions_take_in_the_pools_that_follow_them() {
    let with = |network: Network| network.flatten().dense(10, Identity);
    let conv = |activation| Network::image(9, 8, 3).conv(6, 3, activation);
    let pool = || MaxPoolLayer::new(2);
    let fused = [
        ("ReLU", conv(Relu).max_pool(2)),
        ("no activation", conv(Identity).max_pool(2)),
        ("tanh and dropout", conv(Tanh).max_pool(2).dropout(0.5)),
        ("a sum", {
            let body = |body: Network| body.conv(4, 1, Identity);
            Network::image(9, 8, 3).conv(4, 3, Relu).residual(body).activation(LeakyRelu).max_pool(2)
        }),
    ];
    for (what, network) in fused {
        let plan = plan_for(&Tiling::of(Family::Software), &with(network));
        let pools: Vec<&Launch> = plan
            .dispatches()
            .iter()
            .map(|dispatch| &dispatch.launch)
            .filter(|launch| launch.fuses().contains(&"max pool".to_string()))
            .collect();
        assert_eq!(pools.len(), 1, "{what}");
        assert_eq!(pools[0].kernel, "conv_forward", "{what}");
        assert!(!kernels(&plan).contains(&"max_pool"), "{what}: {:?}", kernels(&plan));
        assert!(!kernels(&plan).contains(&"map"), "{what}: {:?}", kernels(&plan));
    }
    let apart = [
        ("GELU, whose largest value is not that of the largest sum", conv(Gelu).max_pool(2)),
        ("windows of three", conv(Relu).max_pool(3)),
        ("windows that overlap", conv(Relu).with(pool().stride(1).into())),
        ("dropout in between", conv(Relu).dropout(0.5).max_pool(2)),
        ("a norm in between", conv(Identity).batch_norm().activation(Relu).max_pool(2)),
        ("an output that another layer reads", {
            conv(Relu)
                .residual_with_shortcut(|x| x.max_pool(2).conv(2, 1, Identity), |x| x.avg_pool(2).conv(2, 1, Identity))
        }),
    ];
    for (what, network) in apart {
        let plan = plan_for(&Tiling::of(Family::Software), &with(network));
        let count = plan.dispatches().iter().filter(|dispatch| dispatch.launch.kernel == "max_pool").count();
        assert_eq!(count, 1, "{what}");
    }
}

/// Finds a gradient that goes to a pixel that has not won, a derivative of another value, a mask of other units. A mean over single pixels keeps the pool apart
/// from the convolution and changes no bit: after it, all is as in the kernels that each test of `pools` and `convolutions` has.
#[test]
fn a_step_with_a_pool_in_a_kernel_has_the_bits_of_one_without() {
    let one = || AvgPoolLayer::new(1);
    // [height, width, channels], the channels of both convolutions. Windows cover the last row and column, or not.
    for ([height, width, channels], [first, second], activation, dropout) in
        [([14, 14, 1], [5, 3], Relu, 0.5), ([13, 12, 6], [4, 6], LeakyRelu, 0.0), ([12, 15, 3], [1, 8], Identity, 0.5)]
    {
        let network = |is_apart: bool| {
            let before = |network: Network| if is_apart { network } else { network.with(one().into()) };
            let between = |network: Network| if is_apart { network.with(one().into()) } else { network };
            let begun = before(Network::image(height, width, channels)).conv(first, 3, activation);
            let middle = before(between(begun).max_pool(2)).conv(second, 2, activation);
            between(middle).max_pool(2).dropout(dropout).flatten().dense(3, Identity)
        };
        let random = &mut Random(7);
        let (values, rows) = (height * width * channels, 10);
        let features: Vec<f32> = random.values(rows * values).into_iter().map(|value| value as f32).collect();
        let set = Dataset::from_f32(features, values, (0..rows as u32).map(|row| row % 3).collect()).unwrap();
        for family in families() {
            let trained = |is_apart: bool| {
                let network = network(is_apart);
                let options = TrainOptions {
                    optimizer: Optimizer::sgd(0.5),
                    batch_size: 7,
                    steps: Some(4),
                    family: Some(family),
                    ..TrainOptions::default()
                };
                let initial = Initializer::Torch.weights(&network, 3);
                let mut trainer = Trainer::on(gpu(), network, options).unwrap();
                trainer.set_weights(&initial).unwrap();
                let history = trainer.fit(&set, None).unwrap();
                (bits(&trainer.weights().unwrap()), history.epochs[0].training.loss.to_bits())
            };
            assert_eq!(trained(false), trained(true), "{height}×{width}×{channels}, {activation}, {family:?}");
        }
    }
}

/// Finds an op that is a dispatch of its own again, in networks as they are known: Keras' example of MNIST, LeNet-5, a ResNet of two blocks. By hand, for
/// adapters that bind 8, 16 and 32 buffers.
#[test]
fn training_on_images_takes_the_dispatches_it_promises() {
    const BINDINGS: [u32; 3] = [8, 16, 32];
    let padded = |channels: usize, stride: usize| {
        Layer::new(ConvLayer::new(channels, 3).stride(stride).padding(1).without_bias())
    };
    let block = |body: Network, channels: usize, stride: usize| {
        let first = body.with(padded(channels, stride)).batch_norm().activation(Relu);
        first.with(padded(channels, 1)).batch_norm()
    };
    let keras = Network::image(28, 28, 1)
        .conv(32, 3, Relu)
        .max_pool(2)
        .conv(64, 3, Relu)
        .max_pool(2)
        .flatten()
        .dropout(0.5)
        .dense(10, Identity);
    let lenet = Network::image(28, 28, 1)
        .with(Layer::new(ConvLayer::new(6, 5).padding(2)).with_activation(Tanh))
        .avg_pool(2)
        .conv(16, 5, Tanh)
        .avg_pool(2)
        .flatten()
        .dense(120, Tanh)
        .dense(84, Tanh)
        .dense(10, Identity);
    let resnet = Network::image(32, 32, 3)
        .with(padded(16, 1))
        .batch_norm()
        .activation(Relu)
        .residual(|body| block(body, 16, 1))
        .activation(Relu)
        .residual_with_shortcut(
            |body| block(body, 32, 2),
            |input| input.with(Layer::new(ConvLayer::new(32, 1).stride(2).without_bias())).batch_norm(),
        )
        .activation(Relu)
        .global_avg_pool()
        .dense(10, Identity);
    let of_keras =
        ImageStep { convolutions: 2, pooled: 2, dense: 1, keeps_derivatives: true, large: 2, ..ImageStep::default() };
    let of_lenet = ImageStep { convolutions: 2, pools: 2, dense: 3, large: 1, ..ImageStep::default() };
    // The convolution of the shortcut takes 2²⁰ operations, which is not too large yet.
    let of_resnet = ImageStep { convolutions: 6, pools: 1, batch_norms: 6, dense: 1, large: 5, ..ImageStep::default() };
    // The slices of long reductions are one more: Keras' minibatch is 128. All of its products are large, and so faster apart on a CPU.
    for (family, expected) in [(Family::Subgroups { lanes: 8, words_64: true }, 11), (Family::Software, 12)] {
        let plan = plan_of(&Tiling { most_bindings: 16, ..Tiling::of(family) }, &keras, 128);
        assert_eq!(plan.dispatches().len(), expected, "{family:?}: {:?}", kernels(&plan));
    }
    // Written down, counted from the description, and what the plan has.
    for (network, step, whole, on_cpus, by_teams) in [
        (keras, of_keras, [11, 9, 9], [11, 11, 11], [11, 10, 10]),
        (lenet, of_lenet, [19, 16, 15], [19, 17, 16], [18, 16, 15]),
        (resnet, of_resnet, [50, 45, 42], [50, 48, 47], [49, 47, 46]),
    ] {
        let lanes = |lanes| Family::Subgroups { lanes, words_64: false };
        for (family, expected) in
            [(Family::Reference, whole), (Family::Software, on_cpus), (lanes(8), by_teams), (lanes(16), by_teams)]
        {
            for (most_bindings, expected) in BINDINGS.into_iter().zip(expected) {
                let plan = plan_for(&Tiling { most_bindings, ..Tiling::of(family) }, &network);
                let what = format!("{}, {family:?}, {most_bindings} bindings: {:?}", network.shape(), kernels(&plan));
                assert_eq!(plan.dispatches().len(), expected, "{what}");
                assert_eq!(step.dispatches(family, most_bindings as usize), expected, "{what}");
            }
        }
    }
}
