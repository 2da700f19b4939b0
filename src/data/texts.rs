//! Texts: rows of tokens, one from each place of the text on, with the tokens that follow as their targets.

use std::ops::Range;
use std::path::Path;

use super::sets::Sets;
use super::{Dataset, Features, ReadOptions};
use crate::error::Error;
use crate::files::kinds;
use crate::named::counted;
use crate::preprocessing::{Vocabulary, place};

/// The share of a text, at its end, that is to validate on.
const HELD_OUT: f64 = 0.1;

/// Reads the sets in a text's bytes: nine tenths to train on, and the last to validate on.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    let whole = whole(path, bytes, options)?;
    if options.undivided || options.inputs_only {
        return Ok(whole.into());
    }
    Ok(match whole.split(HELD_OUT, 0) {
        Ok((train, validation)) => Sets { train, validation: Some(validation), test: None },
        Err(_) => {
            let tokens = counted(whole.rows() + whole.width(), "token");
            let note = format!(
                "a text of {tokens} is too short for rows of {} in its last tenth: there are no rows to validate on",
                whole.width()
            );
            whole.noted(path, note).into()
        }
    })
}

/// All rows of a text.
fn whole(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    let wrong = |reason: String| Error::format(path, reason);
    let context = options.context.ok_or_else(|| {
        wrong(
            "rows of a text need a length: context = 64 under [data], or --context 64 (in a program ReadOptions::context), says how many tokens a network takes"
                .into(),
        )
    })?;
    if bytes.is_empty() {
        return Err(wrong("the text is empty".into()));
    }
    let (tokens, vocabulary) = match &options.vocabulary {
        Some(Vocabulary::Bytes) => (bytes.iter().map(|&byte| byte.into()).collect(), Vocabulary::Bytes),
        known => {
            let text = std::str::from_utf8(bytes).map_err(|error| wrong(no_utf_8(bytes, error.valid_up_to())))?;
            let known = known.clone().filter(|vocabulary| !vocabulary.is_empty());
            let vocabulary = known.unwrap_or_else(|| Vocabulary::of(text));
            (vocabulary.encode(text).map_err(|error| wrong(error.to_string()))?, vocabulary)
        }
    };
    let set = Dataset::of_text(tokens, context).map_err(|error| wrong(error.to_string()))?;
    Ok(set.of_vocabulary(vocabulary))
}

/// What to say of a text whose bytes are no UTF-8 from one on.
fn no_utf_8(bytes: &[u8], at: usize) -> String {
    if let Some(kind) = kinds::of(bytes) {
        return kind.not_read();
    }
    let before = String::from_utf8_lossy(&bytes[..at]);
    format!(
        "byte {at}, 0x{:02x} at {}, is no UTF-8, so the text has no characters there: save it in UTF-8, or take its bytes by vocabulary = \"bytes\" under \
         [data] or --vocabulary bytes",
        bytes[at],
        place(&before, before.len())
    )
}

impl Dataset {
    /// Reads a text as rows of [`context`](ReadOptions::context) tokens, one from each of its places on, as [`of_text`](Self::of_text) makes them. All of it is in
    /// the set, which [`split`](Self::split) divides.
    ///
    /// ```
    /// let options = wgrad::ReadOptions { context: Some(4), ..Default::default() };
    /// let set = wgrad::Dataset::from_text("to be or not", &options)?;
    /// assert_eq!((set.rows(), set.width(), set.vocabulary()), (8, 4, Some(7)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Format`] where there is no context, for a text of fewer tokens than one more than that, and for a character that is not in
    /// [`vocabulary`](ReadOptions::vocabulary).
    pub fn from_text(text: &str, options: &ReadOptions) -> Result<Self, Error> {
        let path = Path::new("the text");
        whole(path, text.as_bytes(), options).and_then(|set| options.inputs_of(path, set))
    }

    /// The same rows, whose tokens are of a vocabulary.
    fn of_vocabulary(mut self, vocabulary: Vocabulary) -> Self {
        if let Features::Tokens(tokens) = &mut self.features {
            tokens.vocabulary = vocabulary.len();
        }
        self.fixed_classes = vocabulary.len();
        self.origin.vocabulary = Some(vocabulary);
        self
    }

    /// The tokens of the text that the rows are of, if they are of a text that was [read](Self::from_text).
    pub fn text_vocabulary(&self) -> Option<&Vocabulary> {
        self.origin.vocabulary.as_ref()
    }

    /// Whether the rows are of a text, and overlap.
    pub(crate) fn is_text(&self) -> bool {
        matches!(&self.features, Features::Tokens(tokens) if tokens.overlaps)
    }

    /// The rows of a text that do not overlap, so that each token is predicted once; tokens at the end that are fewer than a row are left out. Other sets stay
    /// as they are.
    ///
    /// ```
    /// let text = wgrad::Dataset::of_text(vec![0, 1, 2, 3, 4, 5, 6, 7], 3)?;
    /// let once = text.without_overlap();
    /// assert_eq!((text.rows(), once.rows(), once.labels()), (5, 2, &[1, 2, 3, 4, 5, 6][..]));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    #[must_use]
    pub fn without_overlap(&self) -> Self {
        if !self.is_text() {
            return self.clone();
        }
        let rows = (0..self.rows()).step_by(self.width());
        self.of_rows(&rows.map(|row| row..row + 1).collect::<Vec<_>>())
    }

    /// Splits a text in two: the rows of its first part, and those of its last, of which each token is predicted once. No token is in both.
    pub(super) fn split_text(&self, fraction: f64) -> Result<(Self, Self), Error> {
        let (tokens, row) = (self.rows() + self.width(), self.width());
        let held_out = (tokens as f64 * fraction).round() as usize;
        let begins = tokens - held_out.min(tokens);
        if held_out <= row || begins <= row {
            return Err(Error::Option(format!(
                "a fraction of {fraction} of a text of {}: both parts must have more tokens than a row, which has {row}",
                counted(tokens, "token")
            )));
        }
        let part = |rows: Range<usize>| self.of_rows(std::slice::from_ref(&rows));
        Ok((part(0..begins - row), part(begins..self.rows()).without_overlap()))
    }
}

#[cfg(feature = "mnist")]
impl Dataset {
    /// Eight plays of Shakespeare, which the feature `mnist` puts into the library (a megabyte, 0.4 MB packed), as rows of `context` characters: those of the first
    /// nine tenths, to train on, and those of the last, to validate on. `data/shakespeare/README.md` of the repository says where they are from.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] in a build of the published package, which comes without the data; [`Error::Format`] for a context of 0, or longer than the text.
    pub fn shakespeare(context: usize) -> Result<(Self, Self), Error> {
        let options = ReadOptions { context: Some(context), ..ReadOptions::default() };
        let Sets { train, validation, .. } = Sets::shakespeare(&options)?;
        let none = || Error::Data(format!("the last tenth of the text has fewer tokens than a row of {context}"));
        validation.ok_or_else(none).map(|validation| (train, validation))
    }
}

#[cfg(feature = "mnist")]
impl Sets {
    /// Shakespeare's plays, as a text is read.
    #[cfg(mnist_embedded)]
    pub(crate) fn shakespeare(options: &ReadOptions) -> Result<Self, Error> {
        let path = Path::new("shakespeare");
        let packed = include_bytes!("../../data/shakespeare/plays.txt.gz");
        read(path, &super::gzip::unpacked(path, packed)?, options)?.each(|set| options.inputs_of(path, set))
    }

    #[cfg(not(mnist_embedded))]
    pub(crate) fn shakespeare(_options: &ReadOptions) -> Result<Self, Error> {
        Err(Error::Option(
            "this build has no plays of Shakespeare inside: the published package comes without them, and only a build of the repository has them; name a text \
             of your own instead"
                .into(),
        ))
    }
}
