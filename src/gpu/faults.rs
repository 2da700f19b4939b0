//! Failures on purpose, for tests: a device that is lost with a certain submission, memory that has run out for a certain buffer, or is not
//! cleared, a driver that opens no other device, one that executes nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Gpu;

/// What [`Gpu::refuse`] calls a device.
const ANOTHER_DEVICE: &str = "another device";
/// And the adapter that it was opened of.
const SAME_ADAPTER: &str = "the same adapter";

/// What is to fail on a device, and on those that replace it.
#[derive(Default)]
pub(super) struct Faults {
    /// Submissions until this device is lost, then until each of those after it is; 0: it is not.
    losses: Mutex<Vec<u64>>,
    /// Submissions until the driver executes none any more, that one included; 0: it executes all.
    idle: Mutex<u64>,
    /// What cannot be had, and how often; for all of them.
    refused: Arc<Mutex<HashMap<String, u64>>>,
    /// Buffers whose name begins with one of these are full of NaN when they are made.
    poisoned: Arc<Mutex<Vec<String>>>,
}

impl Faults {
    /// The faults of the device that replaces this one.
    pub fn of_next(&self) -> Faults {
        let losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        let losses = Mutex::new(losses.iter().skip(1).copied().collect());
        Faults { losses, refused: Arc::clone(&self.refused), poisoned: Arc::clone(&self.poisoned), ..Faults::default() }
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

    /// Whether a buffer of this name is full of NaN when it is made.
    pub fn poisons(&self, name: &str) -> bool {
        let poisoned = self.poisoned.lock().unwrap_or_else(PoisonError::into_inner);
        poisoned.iter().any(|beginning| name.starts_with(beginning))
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

impl Gpu {
    /// Loses this device with its n-th submission from now, n the first number, and each device that replaces another with its own; 0: not at all. For tests.
    #[doc(hidden)]
    pub fn lose_with(&self, submissions: &[u64]) {
        *self.faults.losses.lock().unwrap_or_else(PoisonError::into_inner) = submissions.to_vec();
    }

    /// From its n-th submission from now on, executes none of them and says that they are done; 0: it executes all. For tests.
    #[doc(hidden)]
    pub fn idle_with(&self, submission: u64) {
        // Counting ends at 1, which is the state of executing nothing.
        *self.faults.idle.lock().unwrap_or_else(PoisonError::into_inner) =
            if submission > 0 { submission + 1 } else { 0 };
    }

    /// Has no memory for a buffer of this name the next `times` times, here and on the devices that replace this one; or does not open
    /// `"another device"`, or not of `"the same adapter"` as long as that is not looked for again. For tests.
    #[doc(hidden)]
    pub fn refuse(&self, name: &str, times: u64) {
        self.faults.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), times);
    }

    /// Fills each buffer that is made from now on, and whose name begins with one of these, with NaN in place of zeros: kernels must
    /// write all that others read of it. For tests.
    #[doc(hidden)]
    pub fn poison(&self, beginnings: &[&str]) {
        let names = beginnings.iter().map(|&name| name.into()).collect();
        *self.faults.poisoned.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}
