//! Failures on purpose, for tests: a device that is lost with a certain submission, memory that has run out for a certain buffer, or is not
//! cleared, a driver that opens no other device, one that executes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What [`Gpu::refuse`](super::Gpu::refuse) calls a device.
const ANOTHER_DEVICE: &str = "another device";
/// And the adapter that it was opened of.
const SAME_ADAPTER: &str = "the same adapter";

/// What is to fail on a device, and on those that replace it.
#[derive(Default)]
pub(super) struct Faults {
    /// Submissions until this device is lost, then until each of those after it is; 0: it is not.
    pub losses: Mutex<Vec<u64>>,
    /// Submissions until the driver executes none any more, that one included; 0: it executes all.
    pub idle: Mutex<u64>,
    /// What cannot be had, and how often; for all of them.
    pub refused: Arc<Mutex<HashMap<String, u64>>>,
}

impl Faults {
    /// The faults of the device that replaces this one.
    pub fn of_next(&self) -> Faults {
        let losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let losses = Mutex::new(losses.iter().skip(1).copied().collect());
        Faults { losses, refused: Arc::clone(&self.refused), ..Faults::default() }
    }

    /// Counts a submission, and says whether the device is lost with it.
    pub fn is_lost_now(&self) -> bool {
        match self.losses.lock().unwrap_or_else(PoisonError::into_inner).first_mut() {
            Some(left @ 1..) => {
                *left -= 1;
                *left == 0
            }
            _ => false,
        }
    }

    /// Counts a submission, and says whether the driver executes nothing of it.
    pub fn is_idle_now(&self) -> bool {
        let mut left = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        *left = if *left > 1 { *left - 1 } else { *left };
        *left == 1
    }

    /// Whether a buffer of this name cannot be had.
    pub fn refuses(&self, name: &str) -> bool {
        match self.refused.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            Some(left @ 1..) => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// Whether no other device can be had.
    pub fn refuses_another(&self) -> bool {
        self.refuses(ANOTHER_DEVICE)
    }

    /// Whether no other device can be had of the adapter as it was found first.
    pub fn refuses_same_adapter(&self) -> bool {
        self.refuses(SAME_ADAPTER)
    }
}
