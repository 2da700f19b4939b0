//! The program `wgrad`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wgrad::cli::main()
}
