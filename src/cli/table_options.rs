//! Options for reading tables and arrays.

use std::str::FromStr;

use clap::Args;

use crate::named::{Named, by_word};
use crate::preprocessing::ChannelOrder;

/// Options for reading a table in text, or an array.
#[derive(Args, Clone, Default)]
pub(super) struct Text {
    /// The delimiter between a table's cells: one character, or tab [default: decided by the file's name and its cells]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// Take a table's first line for the names of its columns [default: decided by the cells]
    #[arg(long, conflicts_with = "no_header")]
    pub header: bool,
    /// Take a table's first line for a row
    #[arg(long)]
    pub no_header: bool,
    /// How to treat a table's rows without a target: leave them out, or fail with an error [default: error]
    #[arg(long, value_name = "leave-out|error")]
    pub missing_target: Option<MissingTarget>,
    /// How to treat a word that a known column does not have: as none of its words, or as an error [default: error]
    #[arg(long, value_name = "none|error")]
    pub unknown: Option<Unknown>,
    /// Where the channels of images in arrays are, which a set has last: first, as in PyTorch, or last [default: decided by their sizes]
    #[arg(long, value_name = "first|last")]
    pub channels: Option<ChannelOrder>,
}

impl Text {
    /// Whether the first line names the columns, if a flag says so.
    pub fn header(&self) -> Option<bool> {
        (self.header || self.no_header).then_some(self.header)
    }
}

fn delimiter(word: &str) -> Result<char, String> {
    match (word, word.chars().next()) {
        ("tab" | "\\t", _) => Ok('\t'),
        (word, Some(character)) if word.chars().count() == 1 => Ok(character),
        _ => Err("it must be one character, as ; or |, or tab".into()),
    }
}

/// A column that becomes vectors, and their values.
#[derive(Clone, Debug)]
pub(super) struct Embedded(pub String, pub usize);

impl FromStr for Embedded {
    type Err = String;

    fn from_str(words: &str) -> Result<Self, String> {
        let parts = words.rsplit_once('=').filter(|(column, _)| !column.is_empty());
        let read = parts.and_then(|(column, width)| Some(Embedded(column.into(), width.trim().parse().ok()?)));
        read.ok_or_else(|| "it must be a column and the number of values of its vectors, as city=8".into())
    }
}

/// The treatment of a word that a known column does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    None,
    Error,
}

impl Named for Unknown {
    const WHAT: &'static str = "a treatment of unknown words";
    const WORDS: &'static [(&'static str, Self)] = &[("none", Unknown::None), ("error", Unknown::Error)];
}

by_word!(Unknown);

/// The treatment of rows without a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MissingTarget {
    LeaveOut,
    Error,
}

impl Named for MissingTarget {
    const WHAT: &'static str = "a treatment of missing targets";
    const WORDS: &'static [(&'static str, Self)] =
        &[("leave-out", MissingTarget::LeaveOut), ("error", MissingTarget::Error)];
}

by_word!(MissingTarget);
