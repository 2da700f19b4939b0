//! Ctrl-C, `kill` and a terminal that is closed: the first asks the run to end, the second ends the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::Error;

/// Records whether a signal came since this was created.
pub(super) struct Interrupt {
    signal: Arc<AtomicUsize>,
}

impl Interrupt {
    /// Watches signals: a first SIGINT, SIGTERM or SIGHUP does nothing by itself from now on.
    pub fn watch() -> Result<Self, Error> {
        let (signal, second) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let register = |number: i32| -> std::io::Result<()> {
            flag::register_conditional_shutdown(number, exit_code(number).into(), Arc::clone(&second))?;
            flag::register(number, Arc::clone(&second))?;
            flag::register_usize(number, Arc::clone(&signal), number as usize).map(drop)
        };
        let refused = |error| Error::Option(format!("signals cannot be watched: {error}"));
        register(SIGINT).and_then(|()| register(SIGTERM)).map_err(refused)?;
        #[cfg(unix)]
        if !hangs_on() {
            register(signal_hook::consts::SIGHUP).map_err(refused)?;
        }
        Ok(Interrupt { signal })
    }

    /// The program's exit code, where a signal came: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP, as a shell has it.
    pub fn exit_code(&self) -> Option<u8> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|&signal| signal > 0).map(|signal| exit_code(signal as i32))
    }
}

fn exit_code(signal: i32) -> u8 {
    128 + signal as u8
}

/// Whether SIGHUP is to be ignored, as `nohup` asks, or the disposition is unknown: watching it would undo that.
#[cfg(unix)]
fn hangs_on() -> bool {
    let about = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = about.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal_hook::consts::SIGHUP - 1) & 1 == 1)
}
