//! Where and when a run writes checkpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::error::Error;

/// Where and when a run writes checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpointing {
    /// A folder of the run's own, which is created if it is missing. The files are named by their steps: `step-0000001500.safetensors`.
    pub folder: PathBuf,
    /// When a checkpoint is due. It is left out while the one before it is still being written: training does not wait for the disk.
    pub every: Every,
    /// The number of checkpoints to keep: older ones are deleted once a new one is written.
    pub keep: usize,
    /// The number of times that a fit goes on by itself when its device fails: on a new device of the same adapter, from its last checkpoint, or
    /// from its beginning if there is none yet. If it is above 0, the host keeps a copy of the weights and the optimizer's values for this.
    pub device_retries: u64,
    /// Notes to store in the file, for the program's own use.
    pub notes: BTreeMap<String, String>,
}

impl Checkpointing {
    /// A checkpoint every five minutes, of which the last three are kept; a device may fail three times.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let every = Every::Time(Duration::from_secs(300));
        Checkpointing { folder: folder.into(), every, keep: 3, device_retries: 3, notes: BTreeMap::new() }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.keep == 0 {
            return Err(Error::Option("0 checkpoints are to be kept: it must be at least 1".into()));
        }
        match self.every {
            Every::Steps(0) | Every::Time(Duration::ZERO) => {
                Err(Error::Option("a checkpoint every 0 steps or seconds: it must be more".into()))
            }
            _ => Ok(()),
        }
    }
}

/// When a checkpoint is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After each step that this number divides, and after the last.
    Steps(u64),
    /// Each time that this much time has passed, and after the last step.
    Time(Duration),
}

impl FromStr for Every {
    type Err = Error;

    /// `500` steps, `30s`, `5m` or `2h`.
    fn from_str(words: &str) -> Result<Self, Error> {
        let refused =
            || Error::Option(format!("\"{words}\" is not an interval: write steps as 500, or a time as 30s, 5m or 2h"));
        let (number, unit) = words.split_at(words.trim_end_matches(['s', 'm', 'h']).len());
        let number: u64 = number.parse().map_err(|_| refused())?;
        let seconds = match unit {
            "" => return Ok(Every::Steps(number)),
            "s" => Some(number),
            "m" => number.checked_mul(60),
            "h" => number.checked_mul(3600),
            _ => None,
        };
        seconds.map(|seconds| Every::Time(Duration::from_secs(seconds))).ok_or_else(refused)
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Every::Steps(steps) => write!(f, "{steps}"),
            // Shorter times, which only a program can ask for, are stored as one second.
            Every::Time(time) => write!(f, "{}s", time.as_secs().max(1)),
        }
    }
}
