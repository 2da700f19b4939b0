//! The program `wgrad`.

use std::process::ExitCode;

fn main() -> ExitCode {
    quiet_mesa();
    wgrad::cli::main()
}

/// Where there is no desktop, a layer that Mesa puts before every Vulkan driver writes "error: XDG_RUNTIME_DIR is
/// invalid" to stderr, twice a run. All it does is reorder adapters, and we do that ourselves. So the program begins again with the
/// variable that leaves the layer out: a process that runs cannot safely set one for itself.
#[cfg(target_os = "linux")]
fn quiet_mesa() {
    use std::os::unix::process::CommandExt;
    if ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT", "NODEVICE_SELECT"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    // Comes back only where it failed: two lines of noise are no reason to end.
    _ = std::process::Command::new(program).arg0(name).args(words).env("NODEVICE_SELECT", "1").exec();
}

#[cfg(not(target_os = "linux"))]
fn quiet_mesa() {}
