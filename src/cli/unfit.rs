//! Options for tables, for arrays of images and for texts that are given for a set which is none of them.

use std::path::Path;

use crate::data::{Dataset, ReadOptions, is_of_arrays};
use crate::error::Error;

/// What a set is, as far as options for reading it differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A table in text.
    Text,
    /// Another table.
    Table,
    /// Images in an array, whose channels may be first or last.
    Images,
    /// The tokens of a text.
    Tokens,
    /// What no option is for: pictures, files whose format says where everything is, rows in an array.
    Other,
}

impl Content {
    /// What the set that is read from these words is.
    pub fn of(words: &str, set: &Dataset) -> Self {
        let path = Path::new(words);
        let is_parquet = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
        match set.columns() {
            None if set.text_vocabulary().is_some() => Content::Tokens,
            Some(columns) if columns.delimiter.is_some() || !is_parquet => Content::Text,
            Some(_) => Content::Table,
            None if set.image_shape().is_some() && words != "mnist" && is_of_arrays(path) => Content::Images,
            None => Content::Other,
        }
    }
}

/// What an option is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Text,
    Tables,
    Images,
    Tokens,
}

impl For {
    const ALL: [For; 4] = [For::Tables, For::Text, For::Images, For::Tokens];

    fn is_of(self, content: Content) -> bool {
        match self {
            For::Text => content == Content::Text,
            For::Tables => matches!(content, Content::Text | Content::Table),
            For::Images => content == Content::Images,
            For::Tokens => content == Content::Tokens,
        }
    }

    /// Why an option does nothing for the set of these words.
    fn reason(self, words: &str) -> String {
        match self {
            For::Text => format!("only tables in text (CSV, TSV) are read by it, and {words} is none"),
            For::Tables => format!("only tables (CSV, TSV, Parquet) have columns and cells, and {words} is no table"),
            For::Images => {
                format!("only images in arrays may have their channels first or last, and {words} has no such array")
            }
            For::Tokens => format!("only texts become rows of tokens by it, and {words} is none"),
        }
    }
}

/// The options that are given, as a user writes them without their dashes, and what each is for.
pub(super) struct Given(Vec<(String, For)>);

impl Given {
    /// Those in the options for the readers.
    pub fn of(reading: &ReadOptions) -> Self {
        let ReadOptions {
            header, delimiter, label, fill, missing, decimal, ignore, categorical, embed, channels, ..
        } = reading;
        let label = label.as_ref().map(|label| format!("label {label}"));
        let channels = channels.map(|order| format!("channels {order}"));
        let word = |name: &str, is_given: bool| is_given.then(|| name.to_string());
        // A model's own are no options.
        let is_own = reading.model_widths.is_some();
        let all = [
            (word("header", *header == Some(true)), For::Text),
            (word("no-header", *header == Some(false)), For::Text),
            (word("delimiter", delimiter.is_some()), For::Text),
            (label, For::Tables),
            (word("fill", fill.is_some()), For::Tables),
            (word("missing", missing.is_some()), For::Tables),
            (word("decimal", decimal.is_some()), For::Tables),
            (word("ignore", !ignore.is_empty()), For::Tables),
            (word("categorical", !categorical.is_empty()), For::Tables),
            (word("embed", !embed.is_empty()), For::Tables),
            (word("missing-target", reading.leave_out_without_target), For::Tables),
            (word("unknown", reading.unknown_is_none), For::Tables),
            (channels, For::Images),
            (word("context", reading.context.is_some() && !is_own), For::Tokens),
            (word("vocabulary", reading.vocabulary.is_some() && !is_own), For::Tokens),
        ];
        Given(all.into_iter().filter_map(|(name, of)| Some((name?, of))).collect())
    }

    /// For each kind of options that are for none of these sets: their names, and why they do nothing.
    fn unfit(&self, words: &str, sets: &[Content]) -> Vec<(Vec<&str>, String)> {
        let kinds = For::ALL.into_iter().filter(|of| !sets.iter().any(|&content| of.is_of(content)));
        let named = kinds.map(|kind| {
            let names = self.0.iter().filter(|(_, of)| *of == kind).map(|(name, _)| name.as_str());
            (names.collect::<Vec<_>>(), kind.reason(words))
        });
        named.filter(|(names, _)| !names.is_empty()).collect()
    }

    /// Refuses flags that are for none of these sets, of which the words name one.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the flags.
    pub fn check(&self, words: &str, sets: &[Content]) -> Result<(), Error> {
        let Some((names, reason)) = self.unfit(words, sets).into_iter().next() else { return Ok(()) };
        let (flags, out) = (names.join(", --"), if names.len() == 1 { "it" } else { "them" });
        Err(Error::Option(format!("--{flags}: {reason}; leave {out} out")))
    }

    /// A note for each kind of keys of run.toml that are for none of these sets, of which the words name one: a file of options may serve several sets.
    pub fn notes(&self, words: &str, sets: &[Content]) -> Vec<String> {
        let note = |(names, reason): (Vec<&str>, String)| {
            // A key has no value after it here, and a line below where a flag has a hyphen.
            let key = |name: &&str| name.split(' ').next().unwrap_or(name).replace("no-", "").replace('-', "_");
            let keys: Vec<String> = names.iter().map(key).collect();
            format!("no effect of {} under [data]: {reason}", keys.join(", "))
        };
        self.unfit(words, sets).into_iter().map(note).collect()
    }
}
