//! The clock on the wall: when a run started and ended.
#![allow(clippy::disallowed_types)]

use std::time::{Duration, SystemTime};

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The current time in UTC, in the format of RFC 3339. It is shown to people and identifies a run; no decision depends on it.
pub(super) fn now() -> String {
    // The clock may be unset, or set beyond the format's range.
    let most = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
    humantime::format_rfc3339_micros(SystemTime::now().clamp(SystemTime::UNIX_EPOCH, most)).to_string()
}
