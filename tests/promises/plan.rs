//! The plan: what is fused, what it costs and what it takes, with no device.

use wgrad::kernel::tile::Family;
use wgrad::kernel::{Access, Targets};
use wgrad::plan::{Element, Plan, Request, Role};
use wgrad::{Activation, Loss, Network, Optimizer};

use crate::problem::plain;

fn plan(widths: &[usize], optimizer: Option<&Optimizer>, batch: u32) -> Plan {
    let network =
        Network::classifier(widths[0], &widths[1..widths.len() - 1], Activation::Relu, widths[widths.len() - 1]);
    let request = Request {
        network: &network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: optimizer.map(plain),
        batch,
        element: Element::U8,
        rows: 1000,
        family: Family::Software,
        metrics: false,
    };
    Plan::new(request).unwrap()
}

fn kernels(plan: &Plan) -> Vec<&str> {
    plan.dispatches.iter().map(|dispatch| dispatch.launch.kernel).collect()
}

/// A fusion that is lost: 3L − 1 dispatches for few outputs, 3L for many.
#[test]
fn training_takes_the_dispatches_it_promises() {
    let adam = Optimizer::keras_adam();
    let seed = plan(&[784, 256, 10], Some(&adam), 32);
    assert_eq!(kernels(&seed), ["dense_forward", "head", "dense_backward", "dense_update", "dense_update"]);
    for depth in 1..6 {
        let mut widths = vec![20; depth + 1];
        assert_eq!(plan(&widths, Some(&adam), 8).dispatches.len(), 3 * depth - 1);
        widths[depth] = 65;
        assert_eq!(plan(&widths, Some(&adam), 8).dispatches.len(), 3 * depth);
    }
}

/// An evaluation that trains.
#[test]
fn evaluation_writes_no_weights() {
    let plan = plan(&[784, 256, 10], None, 32);
    assert_eq!(kernels(&plan), ["dense_forward", "head", "close_step"]);
    let written: Vec<Role> = plan.dispatches.iter().flat_map(|dispatch| dispatch.touches(Access::Write)).collect();
    assert!(!written.iter().any(|role| matches!(role, Role::Weights(_) | Role::OptimizerSlots(_))), "{written:?}");
}

/// A weight that changes while a gradient still has to go back through it, or a value that is read before it is made.
#[test]
fn every_value_is_made_before_it_is_read_and_weights_change_last() {
    let adam = Optimizer::keras_adam();
    for widths in [vec![5, 3], vec![9, 8, 7, 6, 5], vec![4, 100, 200]] {
        let plan = plan(&widths, Some(&adam), 8);
        let mut made: Vec<Role> = plan
            .buffers
            .iter()
            .map(|buffer| buffer.role)
            .filter(|role| {
                matches!(role, Role::Set | Role::Targets | Role::State | Role::Weights(_) | Role::OptimizerSlots(_))
            })
            .collect();
        let mut updated: Vec<Role> = Vec::new();
        for dispatch in &plan.dispatches {
            for role in dispatch.touches(Access::Read) {
                assert!(made.contains(&role), "{role} is read before it is made");
                assert!(!updated.contains(&role), "{role} is read after its update");
            }
            for role in dispatch.touches(Access::Write) {
                made.push(role);
                if matches!(role, Role::Weights(_)) {
                    updated.push(role);
                }
            }
            // wgpu refuses a buffer that is read and written in one dispatch.
            let written: Vec<Role> = dispatch.touches(Access::Write).collect();
            assert!(!dispatch.touches(Access::Read).any(|role| written.contains(&role)));
            assert!(dispatch.roles.len() <= 8, "WebGPU's default limit of storage buffers");
        }
        assert_eq!(updated.len(), widths.len() - 1);
    }
}

/// A set that is copied in f32, or memory that nobody counted.
#[test]
fn memory_is_what_the_shapes_say() {
    let adam = Optimizer::keras_adam();
    let plan = plan(&[784, 256, 10], Some(&adam), 32);
    let bytes = |role| plan.buffers.iter().find(|buffer| buffer.role == role).unwrap().bytes;
    // A pixel a byte: 784, the bias's 1 and three of padding.
    assert_eq!(bytes(Role::Set), 1000 * 788);
    assert_eq!(bytes(Role::Weights(0)), 788 * 256 * 4);
    assert_eq!(bytes(Role::OptimizerSlots(0)), 2 * 788 * 256 * 4);
    assert_eq!(plan.bytes(), plan.buffers.iter().map(|buffer| buffer.bytes).sum::<u64>());
}

/// Costs in `explain` that no kernel has: the floating-point operations of the seed network, by hand.
#[test]
fn costs_are_the_methods() {
    let adam = Optimizer::keras_adam();
    let plan = plan(&[784, 256, 10], Some(&adam), 32);
    let flops: Vec<u64> = plan.dispatches.iter().map(|dispatch| dispatch.launch.cost.flops).collect();
    let (first, second) = (2 * 32 * 785 * 256, 2 * 32 * 257 * 10);
    assert_eq!(flops, [first, second + 6 * 32 * 10, second, second, first]);
}

/// More workgroups than a dimension takes, refused by the driver in the middle of a run.
#[test]
fn large_launches_use_a_second_dimension() {
    let mut launch = wgrad::kernel::close_step::launch();
    for workgroups in [1, 65_535, 65_536, 200_000, 4_000_000] {
        launch.workgroups = workgroups;
        let [x, y] = launch.grid(65_535);
        assert!(x <= 65_535 && y <= 65_535 && x * y >= workgroups, "{workgroups}: {x} × {y}");
        assert!(x * y - workgroups < y, "{workgroups}: {x} × {y} wastes a row");
    }
}

/// A table that leaves something out.
#[test]
fn a_plan_prints_every_dispatch_and_buffer() {
    let plan = plan(&[784, 256, 10], Some(&Optimizer::keras_adam()), 32);
    let table = plan.to_string();
    for dispatch in &plan.dispatches {
        assert!(table.contains(dispatch.launch.kernel) && table.contains(&dispatch.launch.variant), "{table}");
    }
    for buffer in &plan.buffers {
        assert!(table.contains(&buffer.role.to_string()), "{table}");
    }
}
