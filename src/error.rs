use std::path::PathBuf;

/// Everything that can go wrong, saying what, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No adapter at all, or none that fits what was asked for.
    #[error("{0}")]
    NoAdapter(String),
    /// The device was lost, or refused an operation.
    #[error("the device failed: {0}")]
    Device(String),
    /// There is no device memory left for a buffer.
    #[error(
        "{what} takes {bytes} bytes, and the device has no memory left for it ({reason}); fewer units, a smaller batch or a memory budget \
             take less"
    )]
    OutOfMemory {
        /// What it would have held.
        what: String,
        /// Its size.
        bytes: u64,
        /// The driver's word.
        reason: String,
    },
    /// The device failed while it trained: it was lost, or had no memory left.
    #[error("the device failed {}: {reason}", place(*done, *sent, *epoch))]
    DeviceFailed {
        /// Steps that are known to be done.
        done: u64,
        /// Steps that the device had been handed: it failed in one of those after `done`, or, where it had done them all, in what follows a
        /// step: validation, copies, another epoch's first allocations.
        sent: u64,
        /// The epoch, counted from 1.
        epoch: u64,
        /// How, and what was tried then.
        reason: String,
    },
    /// A shader could not be linked or compiled.
    #[error("kernel {kernel}: {reason}")]
    Kernel {
        /// Its name.
        kernel: String,
        /// The linker's or compiler's words.
        reason: String,
    },
    /// A function that a user wrote in WGSL cannot be used.
    #[error("{name}: {reason}")]
    Wgsl {
        /// What it is called.
        name: String,
        /// The line that is wrong, or what is missing, or the point where its derivative is not one.
        reason: String,
    },
    /// An option has a value that cannot be used.
    #[error("{0}")]
    Option(String),
    /// A data set cannot be used.
    #[error("{0}")]
    Data(String),
    /// A file's content is not what its format says.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A result of a model is infinite or not a number.
    #[error("{0}")]
    NonFiniteResult(String),
    /// Standard output cannot be written to.
    #[error("stdout: {0}")]
    Output(std::io::Error),
    /// The loss, or what it comes from, became infinite or not a number.
    #[error("numbers are not finite in step {step} (epoch {epoch}): {cause}; a smaller learning rate often helps")]
    NonFinite {
        /// The first such step, counted from 1.
        step: u64,
        /// Its epoch, counted from 1.
        epoch: u64,
        /// What was the first, as far as that is known.
        cause: String,
    },
}

/// Where a device failed that had been handed so many steps, and is known to have done so many.
fn place(done: u64, sent: u64, epoch: u64) -> String {
    match sent - done.min(sent) {
        0 => format!("after step {done} (epoch {epoch})"),
        1 => format!("in step {sent} (epoch {epoch})"),
        _ => format!("in one of the steps {} to {sent} (epoch {epoch})", done + 1),
    }
}

/// How to get a software adapter where there is no GPU.
pub(crate) const INSTALL_HINT: &str = "\
wgrad needs a graphics driver: Vulkan, Metal or DX12. Without a GPU, a software Vulkan driver does:
  Debian, Ubuntu:  apt-get install mesa-vulkan-drivers
  Fedora:          dnf install mesa-vulkan-drivers
  Arch:            pacman -S vulkan-swrast";

impl Error {
    /// An [`Error::Io`] for a path, for `map_err`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }

    /// An [`Error::Format`] for a path.
    pub(crate) fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Error {
        Error::Format { path: path.into(), reason: reason.into() }
    }

    /// The program's exit code: 3 when no adapter serves, 1 when the device failed or training broke down, 2 for bad
    /// usage or bad input.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::NoAdapter(_) => 3,
            Error::Device(_)
            | Error::DeviceFailed { .. }
            | Error::OutOfMemory { .. }
            | Error::Kernel { .. }
            | Error::NonFinite { .. }
            | Error::NonFiniteResult(_) => 1,
            Error::Wgsl { .. }
            | Error::Option(_)
            | Error::Data(_)
            | Error::Format { .. }
            | Error::Io { .. }
            | Error::Output(_) => 2,
        }
    }
}
