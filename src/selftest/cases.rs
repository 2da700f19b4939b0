//! The cases of the selftest, in the order of the report.

use std::path::Path;
use std::sync::Arc;

use super::check::{Case, Checked, Options, Run};
use super::compared::{Agreed, words};
use super::golden::{self, Trajectory};
use super::kernels::{self, loss_kernel};
use super::problem::{Adam1, Problem};
use super::training::LossCase;
use super::{images, limits, training};
use crate::activation::{Activation, Epilogue};
use crate::error::Error;
use crate::gpu::{Checks, Gpu};
use crate::kernel::team_head::{self, Team};
use crate::kernel::tile::{Family, Tile};
use crate::kernel::{Input, Launch, head, row_loss};
use crate::optimizer::{Optimizer, Rule};

/// A batch, inputs and outputs that are multiples of no tile's sides; and some that are.
const AWKWARD: (u32, u32, u32) = (33, 45, 70);
const NORMAL: (u32, u32, u32) = (64, 64, 64);
/// A size that is small enough for kernels compiled with bounds checks, which take drivers several times as long.
const SMALL: (u32, u32, u32) = (5, 7, 10);
/// A reduction that is long enough for sixteen slices, for each of the three products: 141 features, 150 rows.
const LONG: (u32, u32, u32) = (150, 141, 9);

const LANES: &str = "a software adapter whose subgroups all have this number of lanes";
const WORDS_32: &str = "an adapter without words of 64 bits: this one has them, and other kernels use them";
const WORDS_64: &str = "words of 64 bits";
const MEMORY: &str = "more shared memory for a workgroup";
const INVOCATIONS: &str = "more invocations in a workgroup";

/// Every check, for this adapter.
pub(super) fn all(gpu: &Gpu, options: &Options) -> Result<Vec<Case>, Error> {
    let mut cases = tiles(gpu, options);
    cases.extend(losses(gpu, options));
    cases.extend(small_kernels());
    cases.extend(image_kernels(gpu, options));
    cases.extend(trajectories(options)?);
    cases.extend(steps());
    cases.extend(repeats(gpu));
    cases.extend(touched_limits(gpu));
    if let Some(words) = &options.only {
        let sections = sections(&cases);
        let lower = words.to_lowercase();
        cases.retain(|case| format!("{}, {}", case.section, case.name).to_lowercase().contains(&lower));
        if cases.is_empty() {
            let sections = sections.iter().map(|section| section.name).collect::<Vec<_>>().join(", ");
            return Err(Error::Option(format!(
                "no check of the selftest has \"{words}\" in its name or its section's: the sections are {sections}; --only list shows \
                 what each checks"
            )));
        }
    }
    Ok(cases)
}

/// The parts of the selftest that can be selected by name.
pub(super) fn sections(cases: &[Case]) -> Vec<Checked> {
    let mut sections: Vec<Checked> = vec![];
    for case in cases {
        let at = sections.iter().position(|section| section.name == case.section).unwrap_or_else(|| {
            sections.push(Checked { name: case.section, checks: 0, what: vec![] });
            sections.len() - 1
        });
        let section = &mut sections[at];
        section.checks += 1;
        // The word before the first space, comma or colon: a kernel, a loss, a trajectory.
        let word = case.name.split([' ', ',', ':']).next().unwrap_or_default();
        if !section.what.iter().any(|known| known == word) {
            section.what.push(word.into());
        }
    }
    sections
}

pub(super) fn case(
    section: &'static str,
    name: impl Into<String>,
    run: impl Fn(&Arc<Gpu>) -> Agreed + Send + Sync + 'static,
) -> Case {
    Case { section, name: name.into(), run: Run::On(Box::new(run)) }
}

/// The family whose kernels this adapter takes.
fn own_family(gpu: &Gpu, options: &Options) -> Family {
    match (gpu.adapter().family(), options.lanes) {
        (Family::Subgroups { words_64, .. }, Some(lanes)) => Family::Subgroups { lanes, words_64 },
        (family, _) => family,
    }
}

/// The families whose kernels some adapter uses, with the reason why this one cannot have them.
fn families(gpu: &Gpu, options: &Options) -> Vec<(Family, Option<&'static str>)> {
    let own = own_family(gpu, options);
    let missing = |lanes: u32, words_64: bool| match own {
        Family::Subgroups { lanes: own, .. } if own != lanes => Some(LANES),
        Family::Subgroups { words_64: own, .. } if own == words_64 => None,
        Family::Subgroups { .. } => Some(if words_64 { WORDS_64 } else { WORDS_32 }),
        _ => Some(LANES),
    };
    let subgroups = [false, true]
        .into_iter()
        .flat_map(|words_64| [4, 8, 16].map(|lanes| (Family::Subgroups { lanes, words_64 }, missing(lanes, words_64))));
    [Family::Reference, Family::Software, Family::Hardware]
        .map(|family| (family, None))
        .into_iter()
        .chain(subgroups)
        .collect()
}

/// Every tile under every product at an awkward size; some tiles at a normal size, and some with run-time checks.
fn tiles(gpu: &Gpu, options: &Options) -> Vec<Case> {
    let mut seen: Vec<Tile> = vec![];
    let mut cases = vec![];
    for (family, missing) in families(gpu, options) {
        for tile in family.variants() {
            if seen.contains(&tile) {
                continue;
            }
            seen.push(tile);
            let adapter = gpu.adapter();
            let missing = missing
                .or((tile.shared_bytes() > adapter.max_workgroup_bytes).then_some(MEMORY))
                .or((tile.workgroup() > adapter.max_workgroup_invocations).then_some(INVOCATIONS));
            match missing {
                Some(reason) => {
                    let name = format!("{tile}, {family}");
                    cases.push(Case { section: "tiles", name, run: Run::NotEligible(reason) });
                }
                None => cases.extend(products(tile, seen.len())),
            }
        }
    }
    cases
}

/// The products under a tile. `turn` selects one of the four inputs, and one of the products for numbers of slices that only change a constant.
fn products(tile: Tile, turn: usize) -> Vec<Case> {
    const INPUTS: [Input; 4] = [Input::SetU8, Input::Activations, Input::SetF16, Input::SetF32];
    let slices = tile.slices();
    let size = if slices > 1 { LONG } else { AWKWARD };
    let mut cases = vec![];
    let mut add = |size: (u32, u32, u32), checks: Checks, turn: usize| {
        let input = INPUTS[turn % INPUTS.len()];
        let name = |product: &str| {
            let (batch, inputs, outputs) = size;
            let checks = if checks == Checks::On { ", with checks" } else { "" };
            format!("{product} {tile}, {batch} rows {inputs} → {outputs}{checks}")
        };
        cases.push(case("tiles", name("dense_forward"), move |gpu| {
            kernels::forward(gpu, &Problem::new(size, input), Activation::Relu, tile, checks)
        }));
        cases.push(case("tiles", name("dense_backward"), move |gpu| {
            kernels::backward(gpu, &Problem::new(size, Input::Activations), Activation::Relu, tile, checks)
        }));
        cases.push(case("tiles", name("dense_update"), move |gpu| {
            kernels::update(gpu, &Problem::new(size, input), &Adam1::optimizer(), tile, checks)
        }));
    };
    add(size, Checks::Off, turn);
    if slices == 1 && turn % 4 == 1 {
        add(NORMAL, Checks::Off, turn + 1);
    }
    if is_checked(tile) {
        add(SMALL, Checks::On, turn + 2);
    }
    // All three under four slices; one of them under eight and sixteen.
    if slices > 4 { cases.into_iter().skip(turn % 3).take(1).collect() } else { cases }
}

/// Whether a tile is also run with checks: one shape of each kind whose loops have several iterations, as checks change loops and indices.
fn is_checked(tile: Tile) -> bool {
    match tile {
        Tile::Naive => true,
        Tile::Register { m, n } => (m, n) == (2, 1),
        Tile::Subgroup { m, n, .. } => (m, n) == (2, 1),
        Tile::Workgroup { side } => side == 4,
        Tile::Buffered { rows, m, n, teams, slices, .. } => teams > 4 || rows == 8 && (m, n) == (1, 2) && slices <= 4,
    }
}

/// Every kernel that computes the rows' losses, in training and in evaluation.
fn losses(gpu: &Gpu, options: &Options) -> Vec<Case> {
    /// Makes a kernel's launch for a problem; it trains if there is an optimizer.
    type Make = Box<dyn Fn(&Problem, Option<&Optimizer>) -> Launch + Send + Sync>;
    let mut cases = vec![];
    let mut all = |name: &str, runs: &[((u32, u32, u32), bool, Checks)], input: Input, make: fn() -> Make| {
        for &(size, trains, checks) in runs {
            let make = make();
            cases.push(case("losses", judging(name, size, input, trains, checks), move |gpu| {
                let (problem, optimizer) = (Problem::new(size, input), Adam1::optimizer());
                match trains {
                    true => kernels::loss(gpu, &problem, &make(&problem, Some(&optimizer)), checks),
                    false => kernels::evaluation(gpu, &problem, &make(&problem, None), checks),
                }
            }));
        }
    };
    const FEW: [((u32, u32, u32), bool, Checks); 3] =
        [(SMALL, true, Checks::On), ((33, 20, 33), true, Checks::Off), ((33, 20, 33), false, Checks::Off)];
    const MANY: [((u32, u32, u32), bool, Checks); 3] =
        [(SMALL, true, Checks::On), ((3, 1, 1000), true, Checks::Off), ((3, 1, 1000), false, Checks::Off)];
    all("head", &FEW, Input::SetU8, || {
        Box::new(|of, optimizer| {
            head::launch(loss_kernel(of.dense, optimizer), of.input, Family::Software.row_workgroup())
        })
    });
    all("head on a GPU", &FEW[1..2], Input::SetF32, || {
        Box::new(|of, optimizer| {
            head::launch(loss_kernel(of.dense, optimizer), of.input, Family::Hardware.row_workgroup())
        })
    });
    all("row_loss", &MANY, Input::SetF32, || {
        Box::new(|of, optimizer| row_loss::launch(loss_kernel(of.dense, optimizer)))
    });
    cases.extend(team_heads(gpu, options));
    cases
}

/// The kernels that compute the last layer and its loss in teams, of each family.
fn team_heads(gpu: &Gpu, options: &Options) -> Vec<Case> {
    let mut cases = vec![];
    for (family, missing) in families(gpu, options) {
        let Some(team) = Team::of(family) else { continue };
        let name = match team {
            Team::Subgroup { lanes, words_64: true } => format!("team_head of {lanes} lanes, words of 64 bits"),
            Team::Subgroup { lanes, .. } => format!("team_head of {lanes} lanes"),
            Team::Workgroup(members) => format!("team_head of {members} invocations"),
        };
        if let Some(reason) = missing {
            cases.push(Case { section: "losses", name, run: Run::NotEligible(reason) });
            continue;
        }
        for (size, input, trains, checks) in [
            (SMALL, Input::Activations, true, Checks::On),
            ((33, 45, 10), Input::Activations, true, Checks::Off),
            ((6, 130, 64), Input::Activations, true, Checks::Off),
            (SMALL, Input::SetU8, true, Checks::Off),
            ((33, 20, 33), Input::SetF16, false, Checks::Off),
        ] {
            cases.push(case("losses", judging(&name, size, input, trains, checks), move |gpu| {
                let (problem, optimizer) = (Problem::new(size, input), Adam1::optimizer());
                let optimizer = trains.then_some(&optimizer);
                let below = (input == Input::Activations).then_some(Epilogue::of(Activation::Relu));
                let launch = team_head::launch(loss_kernel(problem.dense, optimizer), input, below, team);
                match trains {
                    true => kernels::loss(gpu, &problem, &launch, checks),
                    false => kernels::evaluation(gpu, &problem, &launch, checks),
                }
            }));
        }
    }
    cases
}

/// The name of such a kernel's check.
fn judging(name: &str, size: (u32, u32, u32), input: Input, trains: bool, checks: Checks) -> String {
    let (batch, inputs, outputs) = size;
    let does = if trains { "trains" } else { "evaluates" };
    let checks = if checks == Checks::On { ", with checks" } else { "" };
    format!("{name} {does}, {batch} rows {inputs} → {outputs} of {input:?}{checks}")
}

/// Kernels that come in one variant.
fn small_kernels() -> Vec<Case> {
    let both = |name: &'static str, run: fn(&Gpu, Checks) -> Agreed| {
        [("", Checks::Off), (", with checks", Checks::On)]
            .map(|(words, checks)| case("other kernels", format!("{name}{words}"), move |gpu| run(gpu, checks)))
    };
    let mut cases: Vec<Case> = both("close_step", kernels::closing).into_iter().collect();
    cases.extend(both("textbook", kernels::textbook));
    cases.push(case("other kernels", "gather from a scaled set", training::scaled_set));
    cases.push(case("other kernels", "class_metrics", |gpu| training::metrics(gpu, false)));
    cases.push(case("other kernels", "regression_metrics", |gpu| training::metrics(gpu, true)));
    cases.push(case("other kernels", "dropout", training::dropout));
    cases.push(case("other kernels", "residual sums", training::residual_sums));
    cases
}

/// The kernels of images and norms that this adapter takes. Those of other families are not compiled here: SwiftShader takes gigabytes for them.
fn image_kernels(gpu: &Gpu, options: &Options) -> Vec<Case> {
    let (family, section) = (own_family(gpu, options), "images and norms");
    let of_subjects = images::SUBJECTS
        .iter()
        .map(|&subject| case(section, subject.name(family), move |gpu| subject.agrees(gpu, family)));
    let of_bits = [8, 16, 32].map(|bits| {
        let name = format!("gather_image: values of {bits} bits, kernels of the kind \"{family}\"");
        case(section, name, move |gpu| images::gathered(gpu, family, bits))
    });
    of_subjects.chain(of_bits).collect()
}

/// PyTorch's trajectories: those in this crate, and those of a folder.
fn trajectories(options: &Options) -> Result<Vec<Case>, Error> {
    let own = golden::EMBEDDED.iter().chain(golden::EMBEDDED_NETS).map(|&(name, bytes)| {
        case("PyTorch's trajectories", name, move |gpu| {
            Trajectory::read(Path::new(name), bytes).map_err(words)?.agrees(gpu)
        })
    });
    let more = options.golden.as_deref().map_or(Ok(vec![]), golden::read_folder)?;
    let more = more.into_iter().map(|trajectory| {
        case("trajectories of the folder", trajectory.name.clone(), move |gpu| trajectory.agrees(gpu))
    });
    Ok(own.chain(more).collect())
}

/// Optimizers and losses for which PyTorch has no trajectory, and losses over many outputs.
fn steps() -> Vec<Case> {
    let lion = training::optimizers().into_iter().filter(|optimizer| matches!(optimizer.rule, Rule::Lion { .. }));
    let optimizers = lion.map(|optimizer| {
        let name = format!("{} with a weight decay of {}", optimizer.name(), optimizer.weight_decay);
        case("steps of twins", name, move |gpu| training::optimizer(gpu, optimizer))
    });
    // PyTorch has no focal losses, and no rows that weigh differently: one of each kind of those.
    let mut known: Vec<(&str, bool, bool, bool)> = vec![];
    let mut is_new = |kind| !known.contains(&kind) && (known.push(kind), true).1;
    let few = training::losses(3).into_iter().filter(|of| {
        let kind = (of.loss.name(), of.is_focal(), of.labels.is_some(), of.weighs_rows());
        (of.is_focal() || of.weighs_rows()) && is_new(kind)
    });
    let few: Vec<LossCase> = few.collect();
    // Losses over many outputs have a kernel of their own: each loss once as it is, and once as a focal loss if it has one.
    let mut known: Vec<(&str, bool)> = vec![];
    let mut is_new = |kind| !known.contains(&kind) && (known.push(kind), true).1;
    let many = training::losses(70).into_iter().filter(|of| is_new((of.loss.name(), of.is_focal())));
    let grouped = case("steps of twins", "adamw in groups", |gpu| {
        training::grouped(gpu, Optimizer::new(Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-7, amsgrad: false }))
    });
    let losses = few.into_iter().chain(many);
    optimizers
        .chain([grouped])
        .chain(losses.map(|of| case("steps of twins", of.label(), move |gpu| of.agrees(gpu))))
        .collect()
}

/// Runs that have to repeat bit for bit.
fn repeats(gpu: &Gpu) -> Vec<Case> {
    let own = gpu.adapter().family();
    [(own, 0.0), (own, 0.3), (Family::Hardware, 0.0)]
        .into_iter()
        .map(|(family, dropout)| {
            let name = format!("kernels of the kind \"{family}\", dropout {dropout}");
            case("the same bits again", name, move |gpu| training::same_bits(gpu, Some(family), dropout))
        })
        .collect()
}

fn touched_limits(gpu: &Gpu) -> Vec<Case> {
    let mib = limits::largest_buffer(gpu) >> 20;
    let name = format!("a buffer of {mib} MiB, {} workgroups in a dimension", gpu.adapter().max_workgroups);
    let shared = Family::Hardware.variants().into_iter().map(Tile::shared_bytes).max().unwrap_or(0);
    let largest = Family::Hardware.variants().into_iter().find(|tile| tile.shared_bytes() == shared);
    let mut cases = vec![case("limits", name, |gpu| limits::fill_largest_buffer(gpu))];
    let adapter = gpu.adapter();
    let name = format!("{shared} of {} bytes of shared memory", adapter.max_workgroup_bytes);
    cases.push(match largest {
        Some(tile) if shared <= adapter.max_workgroup_bytes => case("limits", name, move |gpu| {
            let problem = Problem::new((130, 141, 150), Input::Activations);
            kernels::backward(gpu, &problem, Activation::Relu, tile, Checks::Off)
        }),
        _ => Case { section: "limits", name, run: Run::NotEligible(MEMORY) },
    });
    cases
}
