//! The program: options, output, and one file a command.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod adapters;
mod bench;
mod clock;
mod config;
mod drawn;
mod evaluate;
mod explain;
mod export;
mod figures;
mod fit_together;
mod generate;
mod hints;
mod import;
mod init;
mod inspect;
mod interrupt;
mod layers;
mod observers;
mod opening;
mod optimizer;
mod options;
mod out;
mod output;
mod predict;
mod processes;
mod profile;
mod reading;
mod report;
mod resume;
mod runs;
mod screen;
mod selftest;
mod size;
mod source;
mod summary;
mod table_options;
mod tensorboard;
mod times;
mod token_checks;
mod tokens;
mod train;
mod training_set;
mod unfit;
mod updates;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Error;
use options::{Cli, Command};

/// Runs the program on its command line and says how it ended: 0 for success, 1 when the device failed or training
/// broke down, 2 for bad usage or bad input, 3 when there is no usable adapter, 130, 143 or 129 when SIGINT, SIGTERM or SIGHUP ended it.
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| hints::hinted(error).exit());
    let level = if cli.verbose { tracing::Level::DEBUG } else { tracing::Level::WARN };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr);
    // If the log cannot be written, an error about it could not be written either, and would panic.
    let log = log.log_internal_errors(false);
    if cli.verbose {
        log.init();
    } else {
        // Warnings to a user have no time and no module, as a log has.
        log.without_time().with_target(false).init();
    }

    let outcome = match &cli.command {
        None => train::run(&cli.train),
        Some(Command::Train(options)) => train::run(options),
        Some(Command::Evaluate(options)) => evaluate::run(options).map(|()| 0),
        Some(Command::Predict(options)) => predict::run(options).map(|()| 0),
        Some(Command::Generate(options)) => generate::run(options).map(|()| 0),
        Some(Command::Export(options)) => export::run(options).map(|()| 0),
        Some(Command::Import(options)) => import::run(options).map(|()| 0),
        Some(Command::Inspect(options)) => inspect::run(options).map(|()| 0),
        Some(Command::Runs(options)) => runs::run(options).map(|()| 0),
        Some(Command::Bench(options)) => bench::run(options).map(|()| 0),
        Some(Command::Profile(options)) => profile::run(options).map(|()| 0),
        Some(Command::Explain(options)) => explain::run(options).map(|()| 0),
        Some(Command::Adapters(options)) => adapters::run(options).map(|()| 0),
        Some(Command::Selftest(options)) => selftest::run(options),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // The reader of the output has gone (`wgrad … | head`): that is no error.
        Err(Error::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Writing to a terminal that was closed fails, which must not be a panic.
            _ = writeln!(std::io::stderr(), "error: {}", output::clean_lines(&error.to_string()));
            ExitCode::from(error.exit_code())
        }
    }
}
