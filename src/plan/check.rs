//! That a plan can be run: looked at whenever one is made, as kernels run without checks.

use std::collections::{HashMap, HashSet};

use super::{Dispatch, Lifetime, Plan, Role};
use crate::error::Error;
use crate::kernel::Access;

impl Plan {
    /// That every value is written before it is read, that no weight is read after its update, but for its average, that no dispatch reads and writes one buffer or writes one
    /// for two values, that what the step is run for, `results`, is in memory at its end, and that each dispatch binds one buffer for each of its
    /// bindings, `most_bindings` at most, of those that the plan has. That kernels write all of a buffer that is read is not looked at here: a test
    /// runs plans over memory that is not a number.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with the dispatch and the buffer: a mistake in this crate.
    pub(super) fn check(&self, most_bindings: u32, results: impl Fn(Role) -> bool) -> Result<(), Error> {
        let memories: HashMap<Role, usize> = self.buffers.iter().map(|buffer| (buffer.role, buffer.memory)).collect();
        // What is in each memory that has been written in this step.
        let mut written: HashMap<usize, Role> = HashMap::new();
        let mut updated: HashSet<Role> = HashSet::new();
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            let wrong = |reason: String| {
                let number = at + 1;
                Error::Kernel { kernel: dispatch.launch.kernel.into(), reason: format!("dispatch {number} {reason}") }
            };
            check_bindings(dispatch, &memories, most_bindings).map_err(wrong)?;
            let reads: Vec<Role> = dispatch.touches(Access::Read).collect();
            for role in &reads {
                if role.lifetime() == Lifetime::Step && written.get(&memories[role]) != Some(role) {
                    return Err(wrong(format!("reads {role}, which no dispatch has written in this step")));
                }
                // What follows the weights as they are after the step.
                let is_average = dispatch.touches(Access::Write).any(|written| matches!(written, Role::Averages(_)));
                if updated.contains(role) && !is_average {
                    return Err(wrong(format!("reads {role} after its update")));
                }
            }
            let mut own: HashSet<usize> = HashSet::new();
            for role in dispatch.touches(Access::Write) {
                if !own.insert(memories[&role]) {
                    return Err(wrong(format!("writes the buffer of {role} for another value too")));
                }
                if reads.iter().any(|read| memories[read] == memories[&role]) {
                    return Err(wrong(format!("reads and writes the buffer of {role}")));
                }
                // What was in its memory is there no longer.
                written.insert(memories[&role], role);
                updated.extend(matches!(role, Role::Weights(_)).then_some(role));
            }
        }
        let is_lost = |role: &&Role| results(**role) && written.get(&memories[*role]) != Some(*role);
        match self.buffers.iter().map(|buffer| &buffer.role).find(is_lost) {
            Some(role) => Err(Error::Kernel {
                kernel: role.to_string(),
                reason: "the step is run for it, and its buffer has another value at the end".into(),
            }),
            None => Ok(()),
        }
    }
}

/// That the dispatch has a buffer of the plan for each binding, and no more bindings than a kernel may have.
fn check_bindings(dispatch: &Dispatch, memories: &HashMap<Role, usize>, most_bindings: u32) -> Result<(), String> {
    let (bindings, roles) = (dispatch.launch.bindings.len(), dispatch.roles.len());
    if bindings != roles {
        return Err(format!("has {bindings} bindings and {roles} buffers for them"));
    }
    if bindings > most_bindings as usize {
        return Err(format!("has {bindings} bindings, and the adapter allows {most_bindings}"));
    }
    let missing = dispatch.roles.iter().find(|role| !memories.contains_key(role));
    missing.map_or(Ok(()), |role| Err(format!("binds {role}, which is not a buffer of the plan")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::graph::{Activate, ActivateBackward, Dropout, Gather, Graph, Linear, Op, Source, Update, Value};
    use crate::kernel::Binding;
    use crate::kernel::tile::Family;
    use crate::kernel::tiling::Tiling;
    use crate::loss::Loss;
    use crate::network::Network;
    use crate::optimizer::Optimizer;
    use crate::plan::step::Step;
    use crate::plan::{Element, Request, SetLayout};
    use crate::schedule::Schedule;
    use crate::targets::Targets;
    use crate::training::Training;

    /// What `made` makes of a request to train three layers, with gradients that are kept.
    fn with_request<T>(widths: [usize; 4], family: Family, made: impl FnOnce(Request<'_>) -> T) -> T {
        let network = Network::classifier(widths[0], &widths[1..3], Activation::Relu, widths[3]);
        let (optimizer, schedule) = (Optimizer::keras_adam(), Schedule::default());
        let training = Training { skips_non_finite: true, ..Training::new(&optimizer, &schedule) };
        made(Request {
            network: &network,
            loss: &Loss::softmax_cross_entropy(),
            targets: Targets::CLASSES,
            training: Some(training),
            batch: 8,
            set: SetLayout::whole(Element::F32, 40),
            tiling: &Tiling::of(family),
            metrics: false,
        })
    }

    /// A plan of more than five dispatches.
    fn plan() -> Plan {
        with_request([9, 20, 30, 70], Family::Software, |request| Plan::new(request).unwrap())
    }

    fn refused(plan: &Plan, words: &str) {
        let error = plan.check(8, |_| false).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }

    /// A dispatch that is left out, or comes too early: what it writes is missed by the first that reads it.
    #[test]
    fn values_are_written_before_they_are_read() {
        for at in 0..plan().dispatches.len() {
            let mut without = plan();
            let gone = without.dispatches.remove(at);
            let is_step = |role: Role| role.lifetime() == Lifetime::Step;
            let read_later =
                |role: Role| without.dispatches[at..].iter().any(|d| d.touches(Access::Read).any(|r| r == role));
            if gone.touches(Access::Write).any(|role| is_step(role) && read_later(role)) {
                refused(&without, "which no dispatch has written in this step");
            }
        }
        let mut first = plan();
        let loss = first.dispatches.iter().position(|dispatch| dispatch.launch.kernel == "row_loss").unwrap();
        first.dispatches.swap(0, loss);
        refused(&first, "reads activations");
    }

    /// An update before another dispatch reads the weights.
    #[test]
    fn weights_are_updated_after_all_that_read_them() {
        let mut early = plan();
        let update = early.dispatches.pop().unwrap();
        assert_eq!(update.launch.kernel, "kept_update");
        let forward = early.dispatches[0].clone();
        early.dispatches.extend([update, forward]);
        refused(&early, "after its update");
    }

    /// The plan to train a network.
    fn plan_of(network: &Network, family: Family) -> Plan {
        with_request([9, 20, 20, 7], family, |request| Plan::new(Request { network, ..request }).unwrap())
    }

    /// What a plan's kernels bind under a name, in order.
    fn bound(plan: &Plan, kernel: &str, binding: Binding) -> Vec<Role> {
        let of_kernel = plan.dispatches.iter().filter(|dispatch| dispatch.launch.kernel == kernel);
        let pairs = of_kernel.flat_map(|dispatch| dispatch.launch.bindings.iter().zip(&dispatch.roles));
        pairs.filter(|((bound, _), _)| *bound == binding).map(|(_, &role)| role).collect()
    }

    const FAMILIES: [Family; 2] = [Family::Software, Family::Subgroups { lanes: 8, words_64: false }];

    /// A sum that is lost on the way from the graph to a kernel, or added to another value's buffer, in the forward or the backward pass.
    #[test]
    fn sums_are_stages_of_the_product_that_comes_last() {
        let network = Network::new(9)
            .dense(20, Activation::Relu)
            .residual(|body| body.dense(20, Activation::Identity))
            .activation(Activation::Relu)
            .dense(7, Activation::Identity);
        for family in FAMILIES {
            let plan = plan_of(&network, family);
            assert!(plan.dispatches.iter().all(|dispatch| dispatch.launch.kernel != "map"), "{family:?}");
            assert_eq!(bound(&plan, "dense_forward", Binding::Output), [Role::Activations(0), Role::Activations(1)]);
            assert_eq!(bound(&plan, "dense_forward", Binding::Residual), [Role::Activations(0)]);
            // Through the last layer, unless the loss kernel goes below it; then through the second one.
            let below = bound(&plan, "dense_backward", Binding::InputGradient);
            assert_eq!(below.last(), Some(&Role::Gradient(0)), "{family:?}");
            assert_eq!(bound(&plan, "dense_backward", Binding::OtherGradient), [Role::Gradient(1)], "{family:?}");
        }
    }

    /// A sum after an activation, which no product can take in, left out in silence; its derivative taken of another layer's output.
    #[test]
    fn sums_after_an_activation_are_maps() {
        let network = Network::new(9)
            .dense(20, Activation::Relu)
            .residual(|body| body.dense(20, Activation::Tanh))
            .dense(7, Activation::Identity);
        for family in FAMILIES {
            let plan = plan_of(&network, family);
            let of_map = |binding| bound(&plan, "map", binding);
            // The sum is numbered after the three layers.
            assert_eq!(of_map(Binding::Output), [Role::Activations(3)], "{family:?}");
            assert_eq!(of_map(Binding::Residual), [Role::Activations(0)], "{family:?}");
            assert_eq!(of_map(Binding::Input), [Role::Activations(1), Role::Activations(1)], "{family:?}");
            assert_eq!(of_map(Binding::Gradient), [Role::Gradient(3)], "{family:?}");
            assert_eq!(of_map(Binding::InputGradient), [Role::Gradient(1)], "{family:?}");
            assert_eq!(bound(&plan, "dense_backward", Binding::OtherGradient), [Role::Gradient(3)], "{family:?}");
        }
    }

    /// The derivative of the layer below taken where a product's input is another value: of a sum of which nothing but the body is trained.
    #[test]
    fn derivatives_are_of_the_output_that_the_gradient_is_by() {
        let network = Network::new(20).residual(|body| body.dense(20, Activation::Tanh)).dense(7, Activation::Identity);
        // The loss kernel with a team derives by what it has loaded, the last layer's input: the derivative of another output is a map of its own.
        for (family, kernel, gradient) in
            [(FAMILIES[0], "dense_backward", Role::Gradient(1)), (FAMILIES[1], "map", Role::Gradient(2))]
        {
            let plan = plan_of(&network, family);
            assert_eq!(bound(&plan, kernel, Binding::InputGradient), [Role::Gradient(0)], "{family:?}");
            assert_eq!(bound(&plan, kernel, Binding::Gradient), [gradient], "{family:?}");
            assert!(bound(&plan, kernel, Binding::Input).contains(&Role::Activations(0)), "{family:?}");
        }
    }

    /// A hidden layer with these stages and a last layer, in a graph written by hand; then what `backward` adds, and its plan.
    fn plan_of_stages(stages: &[Op], more: impl FnOnce(&mut Graph, &[Value])) -> Result<Plan, Error> {
        with_request([9, 20, 20, 7], Family::Hardware, |request| {
            let mut graph = Graph::default();
            let features = graph.source(Source::Features, vec![9]);
            let x = graph.add(Gather { batch: request.batch }, vec![features]);
            let weights = [10, 21].map(|rows| vec![rows, if rows == 10 { 20 } else { 7 }]);
            let [first, last] = [0, 1].map(|at| graph.source(Source::Parameter(at), weights[at].clone()));
            let mut values = vec![graph.add(Linear { parameter: 0, by_place: false }, vec![x, first])];
            for stage in stages {
                values.push(graph.add(stage.clone(), vec![values[values.len() - 1]]));
            }
            let logits = graph.add(Linear { parameter: 1, by_place: false }, vec![values[values.len() - 1], last]);
            let mut graph = Graph::of_gradients((graph, logits), request.batch)?;
            more(&mut graph, &values);
            let network = Network::classifier(9, &[20], Activation::Relu, 7);
            Plan::of(&Step::new(Request { network: &network, ..request }, graph), |_| false)
        })
    }

    /// Stages in another order than a kernel's, or two of a kind, computed as if they were in its order, or one of them left out.
    #[test]
    fn a_kernel_takes_in_stages_in_its_own_order() {
        let relu = || Op::from(Activate(Activation::Relu));
        let dropout = || Op::from(Dropout { layer: 0, probability: 0.5 });
        let tanh = || Op::from(Activate(Activation::Tanh));
        for (stages, maps) in [
            (vec![relu(), dropout()], 0),
            (vec![dropout(), relu()], 1),
            (vec![relu(), tanh()], 1),
            (vec![dropout(), dropout()], 1),
            (vec![dropout(), relu(), dropout()], 1),
            (vec![dropout(), dropout(), dropout()], 2),
        ] {
            let plan = plan_of_stages(&stages, |_, _| {}).unwrap();
            let outputs = bound(&plan, "map", Binding::Output);
            // Numbered after the two dense layers.
            assert_eq!(outputs, (2..2 + maps).map(Role::Activations).collect::<Vec<_>>(), "{stages:?}\n{plan}");
        }
    }

    /// A value that a kernel keeps to itself, read by another as if it were some other buffer; an op without a gradient, taken for a constant.
    #[test]
    fn what_no_kernel_stores_and_what_has_no_gradient_end_a_plan() {
        let relu = || Op::from(Activate(Activation::Relu));
        let stages = [relu(), Dropout { layer: 0, probability: 0.5 }.into()];
        let inner = plan_of_stages(&stages, |graph, values| {
            graph.add(ActivateBackward(Activation::Relu), vec![values[2], values[1]]);
        });
        let error = inner.unwrap_err().to_string();
        assert!(error.contains("relu") && error.contains("which none stores"), "{error}");

        // In a forward pass, where it is an op like others.
        let stages = [relu(), Update { parameter: 0 }.into()];
        let error = plan_of_stages(&stages, |_, _| {}).unwrap_err().to_string();
        assert!(error.contains("update 0: it has no gradient"), "{error}");
    }

    /// Two values in one memory that are wanted at the same time.
    #[test]
    fn memory_is_shared_by_what_is_wanted_at_other_times() {
        let mut shared = plan();
        let memory = |plan: &Plan, role| plan.buffers.iter().find(|buffer| buffer.role == role).unwrap().memory;
        // The backward pass and the updates read both.
        let first = memory(&shared, Role::Activations(0));
        let second = shared.buffers.iter_mut().find(|buffer| buffer.role == Role::Gradient(2)).unwrap();
        assert_ne!(second.memory, first);
        second.memory = first;
        refused(&shared, "which no dispatch has written in this step");
    }

    /// What a step is run for, under a value that comes later; one buffer for two values of a dispatch.
    #[test]
    fn results_stay_and_each_value_has_a_buffer() {
        let results = |role: Role| matches!(role, Role::Activations(_));
        let kept = || with_request([9, 20, 30, 70], Family::Software, |request| Plan::diagnosis(request).unwrap());
        assert!(kept().check(8, results).is_ok());
        let at = |plan: &Plan, role| plan.buffers.iter().position(|buffer| buffer.role == role).unwrap();
        let mut lost = kept();
        let (first, last) = (at(&lost, Role::Activations(0)), at(&lost, Role::WeightGradient(0)));
        lost.buffers[last].memory = lost.buffers[first].memory;
        assert!(lost.check(8, results).is_err());

        let mut both = plan();
        let memory = |both: &Plan, role| both.buffers[at(both, role)].memory;
        let writes = |dispatch: &Dispatch| dispatch.touches(Access::Write).collect::<Vec<_>>();
        let pair = both.dispatches.iter().map(writes).find(|writes| writes.len() > 1).unwrap();
        let (one, other) = (memory(&both, pair[0]), at(&both, pair[1]));
        both.buffers[other].memory = one;
        refused(&both, "for another value too");
    }

    /// One buffer for what is read and what is written; a buffer too few; a buffer that is not the plan's; more bindings than there may be.
    #[test]
    fn dispatches_bind_what_they_may() {
        let mut both = plan();
        let input = both.dispatches[1].roles[0];
        let output =
            both.dispatches[1].launch.bindings.iter().position(|(_, access)| *access == Access::Write).unwrap();
        both.dispatches[1].roles[output] = input;
        refused(&both, "reads and writes the buffer of activations.0");

        let mut fewer = plan();
        fewer.dispatches[0].roles.pop();
        refused(&fewer, "bindings and");

        let mut other = plan();
        other.dispatches[0].roles[0] = Role::Set(7);
        refused(&other, "not a buffer of the plan");

        let bindings = plan().dispatches.iter().map(|dispatch| dispatch.launch.bindings.len()).max().unwrap();
        assert!(plan().check(bindings as u32, |_| false).is_ok());
        assert!(plan().check(bindings as u32 - 1, |_| false).is_err());
    }
}
