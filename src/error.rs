use std::path::PathBuf;

/// Everything that can go wrong. The message says what, where, and what would be right. `Debug` prints the same message, so that
/// `fn main() -> Result<(), wgrad::Error>` ends in a readable sentence.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no adapter at all, or none that meets the request.
    #[error("{0}")]
    NoAdapter(String),
    /// The device was lost, or refused an operation.
    #[error("the device failed: {0}")]
    Device(String),
    /// There is no device memory left for a buffer.
    #[error(
        "{what} takes {bytes} bytes, and the device has no memory left for it where its buffers take {held} bytes ({reason}){}; fewer units, \
             a smaller batch or a memory budget take less",
        in_all.map_or(String::new(), |bytes| format!("; a fit takes {bytes} bytes in all"))
    )]
    OutOfMemory {
        /// What the buffer would have held.
        what: String,
        /// The buffer's size in bytes.
        bytes: u64,
        /// Bytes that the device's other buffers took at that time.
        held: u64,
        /// Bytes that the whole fit takes, where a fit asked for the buffer: see [`Trainer::device_bytes`](crate::Trainer::device_bytes).
        in_all: Option<u64>,
        /// The driver's message.
        reason: String,
    },
    /// The device failed during training: it was lost, or had no memory left.
    #[error("the device failed {}: {reason}", place(*done, *sent, *epoch))]
    DeviceFailed {
        /// Number of steps that are known to be done.
        done: u64,
        /// Number of steps submitted to the device: it failed in one of the steps after `done`, or, if all were done, in the work that follows a
        /// step: validation, copies, another epoch's first allocations.
        sent: u64,
        /// The epoch, counted from 1.
        epoch: u64,
        /// How the device failed, and what was tried then.
        reason: String,
    },
    /// A shader could not be linked or compiled.
    #[error("kernel {kernel}: {reason}")]
    Kernel {
        /// The kernel's name.
        kernel: String,
        /// The linker's or compiler's message.
        reason: String,
    },
    /// A function that a user wrote in WGSL cannot be used.
    #[error("{name}: {reason}")]
    Wgsl {
        /// The function's name.
        name: String,
        /// The line that is wrong, or what is missing, or the point where the given derivative differs from the function's.
        reason: String,
    },
    /// An option has a value that cannot be used.
    #[error("{0}")]
    Option(String),
    /// Another [process](crate::Processes) of the run could not be reached.
    #[error("{0}")]
    Processes(String),
    /// A data set cannot be used.
    #[error("{0}")]
    Data(String),
    /// A file's content is not what its format says.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with the file, and what would be right.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{}: {source}{}", path.display(), remedy(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// A result of a model is infinite or not a number.
    #[error("{0}")]
    NonFiniteResult(String),
    /// Standard output cannot be written to.
    #[error("stdout: {0}")]
    Output(std::io::Error),
    /// The loss, or a value that it is computed from, became infinite or not a number.
    #[error("numbers are not finite in step {step} (epoch {epoch}): {cause}; a smaller learning rate often helps")]
    NonFinite {
        /// The first step with a non-finite value, counted from 1.
        step: u64,
        /// The epoch of that step, counted from 1.
        epoch: u64,
        /// Which value became non-finite first, as far as that is known.
        cause: String,
    },
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A remedy to append to the operating system's message, for errors that a user can resolve.
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => "; make room, or name a place that has some",
        PermissionDenied | ReadOnlyFilesystem => "; name a place where you may write",
        _ => "",
    }
}

/// Where a device failed: `sent` steps had been submitted to it, of which `done` are known to be done.
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

    /// The program's exit code: 3 when there is no usable adapter, 1 when the device failed or training broke down, 2 for bad
    /// usage or bad input.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::NoAdapter(_) => 3,
            Error::Device(_)
            | Error::DeviceFailed { .. }
            | Error::OutOfMemory { .. }
            | Error::Kernel { .. }
            | Error::NonFinite { .. }
            | Error::NonFiniteResult(_)
            | Error::Processes(_) => 1,
            Error::Wgsl { .. }
            | Error::Option(_)
            | Error::Data(_)
            | Error::Format { .. }
            | Error::Io { .. }
            | Error::Output(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example of every variant. A variant that is missing here does not compile.
    macro_rules! variants {
        ($($pattern:pat => $example:expr),* $(,)?) => {
            fn examples() -> Vec<(&'static str, Error)> {
                let _each_has_one = |error: &Error| match error { $($pattern => ()),* };
                vec![$((stringify!($pattern), $example)),*]
            }
        };
    }

    // A new variant needs a line here, and one in docs/errors.md.
    variants! {
        Error::NoAdapter(_) => Error::NoAdapter(String::new()),
        Error::Device(_) => Error::Device(String::new()),
        Error::OutOfMemory { .. } => {
            Error::OutOfMemory { what: String::new(), bytes: 0, held: 0, in_all: None, reason: String::new() }
        },
        Error::DeviceFailed { .. } => Error::DeviceFailed { done: 0, sent: 0, epoch: 1, reason: String::new() },
        Error::Kernel { .. } => Error::Kernel { kernel: String::new(), reason: String::new() },
        Error::Wgsl { .. } => Error::Wgsl { name: String::new(), reason: String::new() },
        Error::Option(_) => Error::Option(String::new()),
        Error::Data(_) => Error::Data(String::new()),
        Error::Format { .. } => Error::format("", ""),
        Error::Io { .. } => Error::io("")(std::io::Error::other("")),
        Error::NonFiniteResult(_) => Error::NonFiniteResult(String::new()),
        Error::Output(_) => Error::Output(std::io::Error::other("")),
        Error::Processes(_) => Error::Processes(String::new()),
        Error::NonFinite { .. } => Error::NonFinite { step: 1, epoch: 1, cause: String::new() },
    }

    /// The content of a file of the repository.
    fn text(name: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Rows of the tables of docs/errors.md whose first cell is code, as cells.
    fn rows(catalogue: &str) -> Vec<Vec<&str>> {
        let is_row = |line: &&str| line.starts_with("| `");
        catalogue
            .lines()
            .filter(is_row)
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect()
    }

    /// Finds an error that the catalogue lacks, or whose exit code there is not the program's.
    #[test]
    fn every_variant_is_in_the_catalogue_with_its_code() {
        let catalogue = text("docs/errors.md");
        let (variants, _) = catalogue.split_once("\n## ").unwrap();
        let mut listed: Vec<(&str, &str)> =
            rows(variants).iter().map(|row| (row[0].trim_matches('`'), row[1])).collect();
        let mut known: Vec<(String, String)> = examples()
            .iter()
            .map(|(pattern, error)| {
                let (_, name) = pattern.split_once("::").unwrap();
                let name = name.split(|letter: char| !letter.is_alphanumeric()).next().unwrap().to_string();
                (name, error.exit_code().to_string())
            })
            .collect();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known.iter().map(|(name, code)| (name.as_str(), code.as_str())).collect::<Vec<_>>());
    }

    /// Finds a message that was reworded, so that users no longer find it in the catalogue. Every quote of the catalogue must be somewhere in the
    /// code, outside comments and tests; `…` stands for any text.
    #[test]
    fn the_catalogue_quotes_what_is_said() {
        fn sources(folder: &std::path::Path, all: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    sources(&entry, all);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    let text = std::fs::read_to_string(&entry).unwrap();
                    // Tests are at the end of a file.
                    let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
                    code.lines().map(without_comment).for_each(|line| *all += &format!("{line}\n"));
                }
            }
        }
        fn without_comment(line: &str) -> &str {
            let is_outside = |at: &usize| line[..*at].matches('"').count().is_multiple_of(2);
            let begin = line.match_indices("//").map(|(at, _)| at).find(is_outside);
            &line[..begin.unwrap_or(line.len())]
        }
        assert_eq!(["a // b", "/// a", "\"http://\""].map(without_comment), ["a ", "", "\"http://\""]);
        let mut code = String::new();
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
        // A text may go on in the next line.
        let code = code.replace("\\\"", "\"").split_whitespace().collect::<Vec<_>>().join(" ").replace("\\ ", "");
        let catalogue = text("docs/errors.md");
        let (_, families) = catalogue.split_once("\n## ").unwrap();
        let rows = rows(families);
        assert!(rows.len() > 40);
        for quoted in rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2)) {
            for words in quoted.split('…').map(str::trim).filter(|words| words.len() > 3) {
                assert!(code.contains(words), "nothing says \"{words}\", of \"{quoted}\"");
            }
        }
    }
}
