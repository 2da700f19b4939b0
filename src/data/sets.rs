//! The sets in a file or a folder: to train on, to validate on, to test on.

use std::path::Path;

use super::Dataset;
use crate::error::Error;

/// The sets that a file or a folder holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Sets {
    /// The rows to train on, or all rows where they are not divided.
    pub train: Dataset,
    /// The rows to validate on, where there are any.
    pub validation: Option<Dataset>,
    /// The rows to test on, where there are any.
    pub test: Option<Dataset>,
}

impl From<Dataset> for Sets {
    fn from(train: Dataset) -> Self {
        Sets { train, validation: None, test: None }
    }
}

impl Sets {
    /// The sets with something done to each.
    pub(super) fn each(self, of: impl Fn(Dataset) -> Result<Dataset, Error>) -> Result<Self, Error> {
        let Sets { train, validation, test } = self;
        Ok(Sets { train: of(train)?, validation: validation.map(&of).transpose()?, test: test.map(&of).transpose()? })
    }

    /// The rows to train on, and the rows to validate on: the validation rows, or else the test rows. If there are both, a note says which
    /// are used.
    pub fn to_train_on(self, path: impl AsRef<Path>) -> (Dataset, Option<Dataset>) {
        let Sets { train, validation, test } = self;
        let train = match (&validation, &test) {
            (Some(validation), Some(test)) => train.noted(
                path.as_ref(),
                format!(
                    "it has {} validation rows and {} test rows: the run validates on the validation rows, and leaves the test rows for \
                     evaluate",
                    validation.rows(),
                    test.rows()
                ),
            ),
            _ => train,
        };
        (train, validation.or(test))
    }

    /// The rows to validate the training on another set with: the validation rows, or else the test rows, or else all.
    pub fn to_validate_on(self) -> Dataset {
        self.validation.or(self.test).unwrap_or(self.train)
    }

    /// The rows to evaluate or to predict on: the test rows, or else the validation rows, or else all.
    pub fn to_test_on(self) -> Dataset {
        self.test.or(self.validation).unwrap_or(self.train)
    }
}

/// The part of a data set that rows belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Validation,
    Test,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Train, Part::Validation, Part::Test];

    /// The names of this part, in lower case.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Part::Train => &["train", "training"],
            Part::Validation => &["val", "valid", "validation", "dev"],
            Part::Test => &["test", "testing"],
        }
    }

    /// The part with this name, in any case.
    pub fn of(word: &str) -> Option<Part> {
        let word = word.to_lowercase();
        Part::ALL.into_iter().find(|part| part.words().contains(&word.as_str()))
    }
}
