//! Options of other programs that users may type, with the option that means the same here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Flags and keys of other programs, and what to write instead. The words of an entry mean the same. Where a word is similar to one of
/// ours, clap and toml suggest it themselves.
const HINTS: &[(&[&str], &str)] = &[
    (&["learning-rate", "learningrate", "eta"], "write --lr, or lr under [optimizer] in run.toml"),
    (&["lr"], "it is --lr, or lr under [optimizer] in run.toml"),
    (
        &["batch", "batchsize", "bs", "batches", "mini-batch", "minibatch", "train-batch-size"],
        "write --batch-size, or batch_size under [train] in run.toml",
    ),
    (
        &["epoch", "num-epochs", "n-epochs", "max-epochs", "nb-epoch"],
        "write --epochs, or epochs under [train] in run.toml",
    ),
    (
        &["iterations", "iters", "max-steps", "max-iter", "num-steps"],
        "write --steps, or steps under [train] in run.toml",
    ),
    (
        &["gpu", "gpus", "device", "cuda", "mps", "rocm", "use-gpu", "use-cuda", "device-id"],
        "a GPU is used where there is one; --adapter says which (wgrad adapters lists them)",
    ),
    (&["cpu", "no-cuda", "no-gpu"], "write --adapter cpu"),
    (&["vulkan", "metal", "dx12", "gl", "opengl", "backend"], "write --adapter with the backend, as --adapter vulkan"),
    (
        &["output", "output-dir", "out-dir", "outdir", "logdir", "log-dir", "o"],
        "write --out DIR for a folder with all of a run, --save FILE for the model alone",
    ),
    (
        &["save-model", "save-path", "model-out", "model-path", "model-file"],
        "write --save FILE for a model to be written, --init FILE for one to begin with, --model FILE for one to evaluate or predict with",
    ),
    (
        &["model", "pretrained", "weights", "load", "load-model", "from", "finetune", "fine-tune"],
        "write --init FILE to train on from a model's weights; evaluate and predict take --model FILE",
    ),
    (&["continue", "restart", "resume-from"], "write --resume DIR, with the folder of a run's checkpoints"),
    (
        &["checkpoint-dir", "checkpoints", "save-every", "save-steps", "ckpt", "ckpt-dir"],
        "write --checkpoint DIR, and --checkpoint-every 500 (steps) or 5m",
    ),
    (
        &[
            "test",
            "val",
            "valid",
            "dev",
            "test-data",
            "val-data",
            "validation-data",
            "val-split",
            "validation-split",
            "validation-fraction",
            "test-size",
            "test-split",
        ],
        "write --validation with a file, a folder or a fraction as 0.1; evaluate takes --data",
    ),
    (
        &["train", "dataset", "train-data", "training-data", "data-dir", "data-path", "csv", "file", "x"],
        "write --data with a file or a folder",
    ),
    (
        &["target", "y", "label-column", "target-column", "class-column", "labels", "response"],
        "write --label with the column's name or number",
    ),
    (
        &[
            "layers",
            "hidden-layers",
            "hidden-size",
            "hidden-sizes",
            "hidden-dim",
            "hidden-layer-sizes",
            "units",
            "width",
            "widths",
            "arch",
        ],
        "write --hidden 256,128, or hidden or layers under [model] in run.toml",
    ),
    (
        &["normalize", "normalise", "standardize", "standardise", "standard-scaler", "scale", "scaler", "zscore"],
        "write --scaling standardize or --scaling min-max",
    ),
    (
        &["initialization", "init-weights", "weight-init", "kernel-initializer", "initialiser"],
        "write --initializer, or initializer under [model] in run.toml",
    ),
    (&["criterion", "loss-function", "loss-fn", "objective"], "write --loss, or kind under [loss] in run.toml"),
    (&["optim", "opt", "solver", "optimiser"], "write --optimizer, or kind under [optimizer] in run.toml"),
    (
        &["l2", "wd", "decay", "alpha", "l2-reg", "weightdecay"],
        "write --weight-decay, or weight_decay under [optimizer] in run.toml",
    ),
    (
        &["nesterov", "amsgrad", "centered"],
        "it is a switch of an optimizer: write it under [optimizer] in run.toml, as nesterov = true, and give that by --config",
    ),
    (
        &["beta1", "beta2", "betas", "beta-1", "beta-2", "eps", "epsilon", "rho", "momentum-decay", "ns-steps"],
        "it is a value of an optimizer: write it under [optimizer] in run.toml, as beta1 = 0.9, and give that by --config",
    ),
    (
        &[
            "label-smoothing",
            "class-weights",
            "class-weight",
            "pos-weight",
            "ignore-index",
            "gamma",
            "delta",
            "focal-gamma",
        ],
        "it is a value of a loss: write it under [loss] in run.toml, as label_smoothing = 0.1, and give that by --config",
    ),
    (
        &["lr-scheduler", "scheduler", "lr-schedule", "lr-decay", "scheduler-type"],
        "write --schedule, or kind under [schedule] in run.toml, with its values there",
    ),
    (
        &["step-size", "t-max", "eta-min", "min-lr", "factor", "cooldown", "power", "pct-start", "total-steps"],
        "it is a value of a schedule: write it under [schedule] in run.toml (or [reduce_on_plateau], where that has it), and give that by --config",
    ),
    (&["warmup-steps", "warmup-epochs", "warmup-ratio"], "write --warmup N, which counts as the schedule does"),
    (
        &["plateau", "reduce-on-plateau", "reduce-lr-on-plateau"],
        "write a table [reduce_on_plateau] in run.toml, and give that by --config",
    ),
    (
        &["patience", "early-stop", "earlystopping", "early-stopping-patience"],
        "write --early-stopping EPOCHS, or patience under [early_stopping] in run.toml",
    ),
    (
        &["metric", "metrics", "eval-metric"],
        "write --monitor with what epochs are judged by; evaluate prints all metrics",
    ),
    (
        &["save-best", "best", "restore-best-weights", "save-best-only", "load-best-model-at-end"],
        "write --keep-best, or keep_best = true under [train] in run.toml",
    ),
    (
        &[
            "gradient-accumulation-steps",
            "gradient-accumulation",
            "grad-accum",
            "accum-steps",
            "accumulate-grad-batches",
            "accum-freq",
        ],
        "write --accumulate K, or accumulate under [train] in run.toml",
    ),
    (
        &["ema-decay", "model-ema", "swa", "use-ema", "weight-averaging", "polyak", "ema-momentum"],
        "write --ema 0.999, or ema under [train] in run.toml",
    ),
    (
        &["freeze", "frozen", "freeze-layers", "trainable", "no-decay", "param-groups", "layer-decay", "lr-mult"],
        "write [[optimizer.groups]] in run.toml, with match and frozen, lr_scale or weight_decay, and give that by --config",
    ),
    (
        &["clip", "grad-clip", "gradient-clipping", "max-grad-norm", "clip-norm", "clipnorm"],
        "write --clip-grad-norm NORM, or --clip-grad-value VALUE",
    ),
    (
        &[
            "augment",
            "augmentation",
            "data-augmentation",
            "transforms",
            "crop",
            "random-crop",
            "padding",
            "hflip",
            "horizontal-flip",
            "random-flip",
            "mirror",
            "random-erasing",
        ],
        "write --crop-padding PIXELS, --flip and --cutout PIXELS, or these under [augmentation] in run.toml",
    ),
    (&["random-seed", "random-state", "rng"], "write --seed, or seed under [train] in run.toml"),
    (
        &["shuffle"],
        "every epoch is shuffled; --no-shuffle, or shuffle = false under [train] in run.toml, leaves the rows in order",
    ),
    (&["fp16", "bf16", "amp", "mixed-precision", "precision", "dtype", "half"], "training is in f32"),
    (
        &["workers", "num-workers", "threads", "n-jobs", "j"],
        "there is no such option: all rows are on the device, or a thread reads them ahead",
    ),
    (&["quiet", "silent", "no-progress", "progress", "q"], "write --screen none, --screen lines or --screen live"),
    (&["log-level", "debug", "trace"], "write --verbose"),
    (&["format", "pretty"], "write --json for an object a line"),
    (&["top5", "topk"], "write --top-k K"),
    (
        &["ratio", "fraction", "sample", "subset", "limit"],
        "all rows are trained on; --validation 0.1 holds a fraction out",
    ),
    (
        &["name", "run-name", "experiment", "project", "wandb"],
        "write --out DIR: the folder's name is the run's, and wgrad runs compares them",
    ),
];

/// The hint for a flag, with or without its dashes, or for a key.
pub(super) fn hint(flag: &str) -> Option<&'static str> {
    let name = flag.trim_start_matches('-').split('=').next().unwrap_or_default();
    let name = name.to_lowercase().replace('_', "-");
    HINTS.iter().find(|(names, _)| names.contains(&name.as_str())).map(|&(_, hint)| hint)
}

/// An error of the command line, with a hint if it is about a flag of other programs.
pub(super) fn hinted(error: clap::Error) -> clap::Error {
    if error.kind() == ErrorKind::ValueValidation {
        return with_right_value(error);
    }
    let flag = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => flag.clone(),
        _ => return error,
    };
    let Some(hint) = hint(&flag) else { return error };
    let mut error = error;
    // The hint replaces the similar word that clap suggests.
    error.remove(ContextKind::SuggestedArg);
    error.remove(ContextKind::SuggestedSubcommand);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    error
}

/// An error about a value that is no number, with what would be right in place of the parser's words.
fn with_right_value(error: clap::Error) -> clap::Error {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let (value, flag) = (text(ContextKind::InvalidValue), text(ContextKind::InvalidArg));
    let is_negative = value.parse().is_ok_and(|number: f64| number < 0.0);
    let source = std::error::Error::source(&error);
    let whole = source.and_then(|source| source.downcast_ref::<std::num::ParseIntError>());
    let is_float = source.is_some_and(|source| source.is::<std::num::ParseFloatError>());
    let is_letter = source.is_some_and(|source| source.is::<std::char::ParseCharError>());
    let is_inputs = flag.starts_with("--inputs");
    let right = match whole.map(std::num::ParseIntError::kind) {
        Some(_) if is_inputs => {
            "it must be the features of a row, as 784, or the height, the width and the channels of an image, as 28,28,1"
        }
        Some(PosOverflow | NegOverflow) => "it is a whole number that is out of range",
        Some(_) if is_negative => "it must be a whole number that is not negative, as 10",
        Some(_) => "it must be a whole number, as 10",
        None if is_float => "it must be a number, as 0.1",
        None if is_letter => "it must be one character",
        None => return error,
    };
    let help = "\n\nFor more information, try '--help'.\n";
    clap::Error::raw(ErrorKind::ValueValidation, format!("invalid value '{value}' for '{flag}': {right}{help}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Finds a hint that is never printed, as every command that trains has such a flag, or that names a flag that does not exist.
    #[test]
    fn hints_are_of_other_words_and_name_ours() {
        let command = crate::cli::options::Cli::command();
        let flags: Vec<String> = command
            .get_subcommands()
            .flat_map(|command| command.get_arguments().filter_map(|argument| argument.get_long()))
            .map(String::from)
            .collect();
        let of_train: Vec<&str> = command.get_arguments().filter_map(|argument| argument.get_long()).collect();
        for (names, hint) in HINTS {
            for name in names.iter().filter(|name| **name != "lr") {
                assert!(!of_train.contains(name), "--{name} is a flag");
            }
            for word in hint.split([' ', ',', ';', ':']).filter_map(|word| word.strip_prefix("--")) {
                assert!(flags.iter().any(|flag| flag == word) || of_train.contains(&word), "there is no --{word}");
            }
        }
        let all: Vec<&str> = HINTS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        let twice = all.iter().find(|name| all.iter().filter(|other| other == name).count() > 1);
        assert_eq!(twice, None);
        assert_eq!(hint("--Learning_Rate=0.1"), hint("learning-rate"));
        assert!(hint("--learning-rate").is_some() && hint("--quantum").is_none());
    }
}
