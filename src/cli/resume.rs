//! Resumes runs from checkpoints. The flags and the text of run.toml determine a run: its checkpoints store them, so that `--resume` needs
//! no others.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use super::config::Run;
use super::options::{Cli, Command, Train};
use super::output::quoted;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::loss::Loss;
use crate::optimizer::Rule;
use crate::options::Checkpointing;

/// Flags that may be given again with `--resume`: they change how far a run goes or where its files are, and no step.
const FREE: [&str; 11] = [
    "epochs",
    "steps",
    "out",
    "report_image",
    "save",
    "tensorboard",
    "adapter",
    "checkpoint",
    "checkpoint_every",
    "checkpoint_keep",
    "device_retries",
];
/// Flags of a single call, which checkpoints do not store; the text of run.toml is stored, not its path.
const OF_THE_CALL: [&str; 4] = ["resume", "screen", "json", "verbose"];

/// The keys of a checkpoint's notes.
const ARGUMENTS: &str = "arguments";
const CONFIG: &str = "run.toml";
const STARTED: &str = "started";

/// The run that the flags describe, and the checkpoint that it is resumed from, if it is.
pub(super) fn run_of(flags: &Train) -> Result<(Run, Option<Checkpoint>), Error> {
    let (run, checkpoint) = described(flags)?;
    check_folders(&run)?;
    Ok((run, checkpoint))
}

fn described(flags: &Train) -> Result<(Run, Option<Checkpoint>), Error> {
    let given = given(&Cli::command().get_matches_from(std::env::args_os()))?;
    let Some(path) = &flags.resume else {
        let mut run = Run::new(flags)?;
        if let Some(checkpoint) = &mut run.options.checkpoint {
            checkpoint.notes = notes(words(&given), run.config.clone(), &run.started);
        }
        return Ok((run, None));
    };
    if let Some((flag, _)) = given.iter().find(|(id, _)| ![&FREE[..], &OF_THE_CALL].concat().contains(&id.as_str())) {
        return Err(Error::Option(format!(
            "--{} with --resume: a run goes on as it began; only {} may be given again",
            flag.replace('_', "-"),
            FREE.map(|free| format!("--{}", free.replace('_', "-"))).join(", ")
        )));
    }
    let checkpoint = Checkpoint::open(path)?;
    let file = checkpoint.path().to_path_buf();
    let broken = |reason: String| Error::format(&file, format!("the options that its run was started with: {reason}"));
    let mut before = checkpoint.notes();
    let arguments = before
        .remove(ARGUMENTS)
        .ok_or_else(|| broken("it has none; a program wrote it, which can go on by Trainer::resume".into()))?;
    let mut arguments: Vec<String> = serde_json::from_str(&arguments).map_err(|error| broken(error.to_string()))?;
    // A run's length is in steps or in epochs, not in both.
    if given.iter().any(|(flag, _)| ["epochs", "steps"].contains(&flag.as_str())) {
        arguments.retain(|word| !word.starts_with("--epochs=") && !word.starts_with("--steps="));
    }
    arguments.extend(words(&given));
    let config = before.remove(CONFIG);
    let stored = parsed(&arguments).map_err(|error| broken(error.to_string()))?;
    let mut run = Run::of(&stored, config.as_deref().map(|text| (text, file.as_path())))?;
    if let Some(started) = before.remove(STARTED) {
        run.started = started;
    }
    if let Some((flag, path)) =
        beyond(&run, &file).into_iter().find(|(flag, _)| !given.iter().any(|(id, _)| id == flag))
    {
        return Err(Error::Option(format!(
            "--{flag} {}: by the options in {} the run writes there, outside this folder and the checkpoint's, by a link, or over a file \
             that is no model; give the option again if that is intended",
            path.display(),
            file.display()
        )));
    }
    // New checkpoints go to this one's folder, also if that was moved.
    let asked = run.options.checkpoint.take();
    let folder = flags.checkpoint.clone().unwrap_or_else(|| crate::files::folder_of(&file).to_path_buf());
    let asked = asked.unwrap_or_else(|| Checkpointing::new(&folder));
    let notes = notes(arguments, config, &run.started);
    run.options.checkpoint = Some(Checkpointing { folder, notes, ..asked });
    let checkpoint = with_own_functions(checkpoint, &run);
    Ok((run, Some(checkpoint)))
}

/// Checks that no file is in the place of the run's folders, and that --out is not --checkpoint, which has a lock of its own.
fn check_folders(run: &Run) -> Result<(), Error> {
    let checkpoints = run.options.checkpoint.as_ref().map(|asked| asked.folder.as_path());
    let folders =
        [("out", run.out.as_deref()), ("checkpoint", checkpoints), ("tensorboard", run.tensorboard.as_deref())];
    for (flag, folder) in folders.into_iter().filter_map(|(flag, folder)| Some((flag, folder?))) {
        if let Some(other) = folder.ancestors().find(|place| place.exists() && !place.is_dir()) {
            return Err(Error::Option(format!(
                "--{flag} {}: it must be a folder, and {} is a file",
                folder.display(),
                other.display()
            )));
        }
        let is_model_name = folder.extension().is_some_and(|ending| ending == "safetensors" || ending == "onnx");
        if is_model_name && !folder.is_dir() {
            return Err(Error::Option(format!(
                "--{flag} {}: it names a folder, and this is a model's name; --save FILE.safetensors names the file of the model",
                folder.display()
            )));
        }
    }
    let place = |folder: &Path| folder.canonicalize().or_else(|_| std::path::absolute(folder)).ok();
    match (run.out.as_deref(), checkpoints) {
        (Some(out), Some(checkpoints)) if place(out) == place(checkpoints) => Err(Error::Option(format!(
            "--out and --checkpoint cannot be the same folder: name another for one of them, as --checkpoint {}/checkpoints",
            out.display()
        ))),
        _ => Ok(()),
    }
}

/// The flags of the command line, with their values.
fn given(matches: &ArgMatches) -> Result<Vec<(String, Vec<String>)>, Error> {
    let matches = matches.subcommand_matches("train").unwrap_or(matches);
    // clap lists its groups among the arguments.
    let known = |id: &str| Cli::command().get_arguments().any(|argument| argument.get_id() == id);
    let of_line = |id: &&str| known(id) && matches.value_source(id) == Some(ValueSource::CommandLine);
    matches
        .ids()
        .map(|id| id.as_str())
        .filter(of_line)
        .map(|id| {
            let values = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
            let text = values.map(|value| value.to_str().map(String::from)).collect::<Option<Vec<_>>>();
            let refused = || Error::Option(format!("--{id} is not UTF-8: a checkpoint cannot store it"));
            text.map(|text| (id.to_string(), text)).ok_or_else(refused)
        })
        .collect()
}

/// The flags that determine a run, as words that parse to them.
fn words(given: &[(String, Vec<String>)]) -> Vec<String> {
    let command = Cli::command();
    let of_the_run = given.iter().filter(|(id, _)| !OF_THE_CALL.contains(&id.as_str()) && id != "config");
    of_the_run
        .flat_map(|(id, values)| {
            let argument = command.get_arguments().find(|argument| argument.get_id() == id.as_str());
            let takes_values = argument.is_none_or(|argument| argument.get_action().takes_values());
            let long = argument.and_then(|argument| argument.get_long()).unwrap_or_default().to_string();
            match takes_values {
                true => values.iter().map(|value| format!("--{long}={value}")).collect(),
                false => vec![format!("--{long}")],
            }
        })
        .collect()
}

/// Parses such words. Of a flag that comes twice, the last one counts.
fn parsed(words: &[String]) -> Result<Train, clap::Error> {
    let line = ["wgrad", "train"].into_iter().chain(words.iter().map(String::as_str));
    let command = Cli::command().mut_subcommand("train", |train| train.args_override_self(true));
    match Cli::from_arg_matches(&command.try_get_matches_from(line)?)?.command {
        Some(Command::Train(train)) => Ok(train),
        _ => Ok(Train::default()),
    }
}

fn notes(arguments: Vec<String>, config: Option<String>, started: &str) -> BTreeMap<String, String> {
    let arguments = serde_json::Value::from(arguments).to_string();
    [(ARGUMENTS, Some(arguments)), (CONFIG, config), (STARTED, Some(started.into()))]
        .into_iter()
        .filter_map(|(key, text)| Some((key.to_string(), text?)))
        .collect()
}

/// The checkpoint with the user's own functions, which are read again from the files that the run's options name.
fn with_own_functions(checkpoint: Checkpoint, run: &Run) -> Checkpoint {
    let losses: Vec<_> =
        Some(run.options.loss.clone()).filter(|own| matches!(own, Loss::Custom(_))).into_iter().collect();
    let rules: Vec<_> =
        Some(run.options.optimizer.rule).filter(|own| matches!(own, Rule::Custom(_))).into_iter().collect();
    checkpoint.bringing(&run.layers.own_activations(), &losses, &rules)
}

/// The options by which the run writes outside the current folder and its checkpoint's, or over a file that is no model. Options in a
/// checkpoint must not replace other files unless the user of the program gives them as well.
fn beyond<'a>(run: &'a Run, checkpoint: &Path) -> Vec<(&'static str, &'a Path)> {
    let own = crate::files::folder_of(checkpoint);
    let homes: Vec<PathBuf> = [Path::new("."), own].iter().filter_map(|home| home.canonicalize().ok()).collect();
    let is_beside = |path: &Path| {
        let rest = path.strip_prefix(own).unwrap_or(path);
        let goes_down = rest.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        goes_down && where_it_is(path).is_some_and(|place| homes.iter().any(|home| place.starts_with(home)))
    };
    let is_other = |path: &Path| path.is_file() && !is_model(path) || path.is_dir() && has_links(path);
    // The model in the run's folder is not an option of its own.
    let save = Some(run.save.as_path()).filter(|save| run.out.as_deref() != save.parent());
    [("out", run.out.as_deref()), ("save", save), ("tensorboard", run.tensorboard.as_deref())]
        .into_iter()
        .filter_map(|(flag, path)| Some((flag, path.filter(|path| !is_beside(path) || is_other(path))?)))
        .collect()
}

/// Where a path leads, with links followed, as far as it exists; `None` for a link to nothing.
fn where_it_is(path: &Path) -> Option<PathBuf> {
    let path = Path::new(".").join(path);
    let there = path.ancestors().find(|place| place.symlink_metadata().is_ok())?;
    there.canonicalize().ok()
}

/// Whether a file is a model or a checkpoint of this program.
fn is_model(path: &Path) -> bool {
    let about = crate::files::read_whole(path).and_then(|bytes| crate::model::about(path, &bytes));
    matches!(about, Ok(Some(_)))
}

/// Whether a folder has a link, which a run that writes there would follow, or an entry that cannot be read.
fn has_links(folder: &Path) -> bool {
    let is_or_has = |entry: std::io::Result<std::fs::DirEntry>| -> std::io::Result<bool> {
        let entry = entry?;
        let kind = entry.file_type()?;
        Ok(kind.is_symlink() || kind.is_dir() && has_links(&entry.path()))
    };
    let Ok(mut entries) = std::fs::read_dir(folder) else { return true };
    entries.any(|entry| is_or_has(entry).unwrap_or(true))
}

/// The command that resumes a run from a folder of checkpoints, for people.
pub(super) fn how_to(folder: &Path, run: &Run) -> String {
    let word = |path: &Path| quoted(&path.display().to_string());
    let again = beyond(run, &folder.join("any")).into_iter().map(|(flag, path)| format!(" --{flag} {}", word(path)));
    format!("wgrad train --resume {}{}", word(folder), again.collect::<String>())
}
