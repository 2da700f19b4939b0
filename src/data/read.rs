//! Sets from files, folders and memory.

use std::path::Path;

#[cfg(feature = "mnist")]
use super::mnist;
use super::{Dataset, ReadOptions, Sets, format, idx, table, tensors};
use crate::error::Error;

impl Dataset {
    /// Reads a set from a file or a folder, and a set to validate on if there is one. A folder has MNIST-style IDX files, CIFAR's
    /// binary files, `x.npy` and `y.npy`, or a folder of images for each class. A file is CSV or TSV, gzipped or not, `.npy`, `.npz`, safetensors,
    /// Parquet, one of CIFAR's or an image; its first bytes or its extension choose the reader. If there are validation rows and test rows, the second set has the validation rows;
    /// [`Sets::read`] returns all sets.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`] naming the file and what is wrong with it, also where this build has no reader for it.
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<(Self, Option<Self>), Error> {
        Sets::read(&path, options).map(|sets| sets.to_train_on(path))
    }

    /// Reads a set from bytes in memory. The first bytes choose the reader; bytes of no known format are read as text (CSV).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Self, Error> {
        let path = Path::new("-");
        format::read_bytes(path, bytes, options).map(|sets| sets.train)
    }

    /// Reads a set from a text that is known to be a table, so that its first bytes do not choose the reader.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn from_csv(text: &str, options: &ReadOptions) -> Result<Self, Error> {
        let path = Path::new("the text");
        table::text::read(path, text.as_bytes(), options).and_then(|set| options.inputs_of(path, set))
    }

    /// The training and test sets of a directory of MNIST-style IDX files, gzipped or not: MNIST itself, Fashion-MNIST,
    /// KMNIST, EMNIST. The second is `None` where the directory has no test files.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] or [`Error::Format`] naming the file and what is wrong with it.
    pub fn from_idx_dir(directory: impl AsRef<Path>) -> Result<(Self, Option<Self>), Error> {
        idx::read_directory(directory.as_ref()).map(|sets| sets.to_train_on(directory))
    }

    /// The set in the bytes of an images file and a labels file.
    #[doc(hidden)]
    pub fn from_idx_bytes(images: &[u8], labels: &[u8]) -> Result<Self, Error> {
        idx::pair_from(Path::new("images"), images, Path::new("labels"), labels)
    }

    /// A safetensors file with `x` `[N, D]` (or images `[N, H, W]`, `[N, H, W, C]`, `[N, C, H, W]`), and `y` `[N]` class indices or `t` `[N, C]` values; where
    /// there is a `w` `[N]`, it holds the sample weights. Features of u8 and f16 keep their type; all others become f32.
    ///
    /// # Errors
    ///
    /// As [`from_idx_dir`](Self::from_idx_dir).
    pub fn from_safetensors(path: impl AsRef<Path>) -> Result<Self, Error> {
        Dataset::in_tensors(path.as_ref(), &ReadOptions::default())
    }

    /// Reads only the `x` of a safetensors file, to predict on: the set has no targets.
    ///
    /// # Errors
    ///
    /// As [`from_idx_dir`](Self::from_idx_dir).
    pub fn inputs_from_safetensors(path: impl AsRef<Path>) -> Result<Self, Error> {
        Dataset::in_tensors(path.as_ref(), &ReadOptions::inputs())
    }

    fn in_tensors(path: &Path, options: &ReadOptions) -> Result<Self, Error> {
        tensors::read(path, &crate::files::read_whole(path)?, options)
            .and_then(|sets| options.inputs_of(path, sets.train))
    }

    /// MNIST, which the feature `mnist` puts into the library (11 MB): 60,000 rows to train on and 10,000 to test on, each of 784 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] in a build of the published package, which comes without the data; a build of the repository has it.
    #[cfg(feature = "mnist")]
    pub fn mnist() -> Result<(Self, Self), Error> {
        mnist::read()
    }
}

impl Sets {
    /// All sets of a file or a folder, as [`Dataset::read`] takes them.
    ///
    /// # Errors
    ///
    /// As [`Dataset::read`].
    pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self, Error> {
        format::read(path.as_ref(), options)
    }
}
