//! The clock on the wall: when a run started and ended.
#![allow(clippy::disallowed_types)]

use std::time::{Duration, SystemTime};

/// Of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The time now, as RFC 3339 has it, in UTC. For people, and as a run's name: nothing is decided by it.
pub(super) fn now() -> String {
    // A clock that was never set, or was set beyond what the format has.
    let most = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    humantime::format_rfc3339_micros(SystemTime::now().clamp(SystemTime::UNIX_EPOCH, most)).to_string()
}
