//! The program `wgrad`.

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_mesa();
    wgrad::cli::main()
}

/// Where there is no desktop, a layer that Mesa puts before every Vulkan driver writes "error: XDG_RUNTIME_DIR is
/// invalid" to stderr, twice a run. All it does is reorder adapters, and we do that ourselves.
#[cfg(target_os = "linux")]
fn quiet_mesa() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && std::env::var_os("MESA_VK_DEVICE_SELECT").is_none() {
        // SAFETY: the first thing this process does: no other thread reads the environment yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

#[cfg(not(target_os = "linux"))]
fn quiet_mesa() {}
