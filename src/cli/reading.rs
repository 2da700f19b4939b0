//! The table `[data]` of run.toml: which data a run reads, and how.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use super::options::Train;
use super::table_options::{Embedded, MissingTarget, Unknown};
use crate::data::ReadOptions;
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::preprocessing::{Fill, ImageShape};

/// The value of a flag, or else of the file's key.
pub(super) fn chosen<T: FromStr<Err = Error>>(flag: Option<T>, word: Option<String>) -> Result<Option<T>, Error> {
    flag.map_or_else(|| word.as_deref().map(str::parse).transpose(), |flag| Ok(Some(flag)))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Data {
    pub train: Option<String>,
    pub validation: Option<Validation>,
    pub stratify: bool,
    label: Option<Label>,
    header: Option<bool>,
    delimiter: Option<char>,
    fill: Option<FillValue>,
    ignore: Vec<Place>,
    categorical: Vec<Place>,
    embed: BTreeMap<String, usize>,
    missing: Option<Vec<String>>,
    decimal: Option<char>,
    unknown: Option<String>,
    missing_target: Option<String>,
    pub image: Option<[usize; 3]>,
    channels: Option<String>,
    pub context: Option<usize>,
    vocabulary: Option<String>,
    pub scaling: Option<String>,
    pub scale_targets: Option<String>,
}

/// A column, by its name or its number.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a column is a name, or a number from 1")]
enum Place {
    Number(usize),
    Name(String),
}

impl Place {
    fn word(&self) -> String {
        match self {
            Place::Number(number) => number.to_string(),
            Place::Name(name) => name.clone(),
        }
    }
}

/// The target: one column, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "label is a column, or a list of columns")]
enum Label {
    One(Place),
    Several(Vec<Place>),
}

impl Label {
    fn words(&self) -> String {
        match self {
            Label::One(place) => place.word(),
            Label::Several(places) => places.iter().map(Place::word).collect::<Vec<_>>().join(","),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "fill must be mean, zero or a number")]
enum FillValue {
    Word(String),
    Number(f32),
}

impl Data {
    /// The options for the readers.
    pub fn reading(&self, flags: &Train, loss: &Loss) -> Result<ReadOptions, Error> {
        let image = self.image.map(|[height, width, channels]| ImageShape { height, width, channels });
        if let Some(shape) = image.filter(|shape| shape.features().is_none()) {
            return Err(Error::Option(format!(
                "image is {shape}: it must be a height, a width, and a number of channels"
            )));
        }
        let decimal = flags.decimal.or(self.decimal);
        if let Some(other) = decimal.filter(|&decimal| decimal != '.' && decimal != ',') {
            return Err(Error::Option(format!("decimal is {other:?}: it must be . or ,")));
        }
        let columns = |flag: &[String], file: &[Place]| match flag {
            [] => file.iter().map(Place::word).collect(),
            flag => flag.to_vec(),
        };
        Ok(ReadOptions {
            header: flags.text.header().or(self.header),
            delimiter: flags.text.delimiter.or(self.delimiter),
            missing: flags.missing.clone().or(self.missing.clone()),
            decimal,
            leave_out_without_target: chosen(flags.text.missing_target, self.missing_target.clone())?
                == Some(MissingTarget::LeaveOut),
            unknown_is_none: chosen(flags.text.unknown, self.unknown.clone())? == Some(Unknown::None),
            label: flags.label.clone().or(self.label.as_ref().map(Label::words)),
            regression: loss.task() == Task::Numbers,
            fill: match (flags.fill, &self.fill) {
                (Some(fill), _) => Some(fill),
                (None, Some(FillValue::Word(word))) => Some(word.parse()?),
                (None, Some(FillValue::Number(number))) => Some(Fill::Number(*number)),
                (None, None) => None,
            },
            ignore: columns(&flags.ignore, &self.ignore),
            categorical: columns(&flags.categorical, &self.categorical),
            embed: match &flags.embed[..] {
                [] => self.embed.iter().map(|(column, &width)| (column.clone(), width)).collect(),
                flags => flags.iter().map(|Embedded(column, width)| (column.clone(), *width)).collect(),
            },
            image,
            channels: chosen(flags.text.channels, self.channels.clone())?,
            context: flags.tokens.context.or(self.context),
            vocabulary: chosen(flags.tokens.vocabulary.clone(), self.vocabulary.clone())?,
            ..ReadOptions::default()
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "validation must be a path or a fraction")]
pub(super) enum Validation {
    Path(String),
    Fraction(f64),
}

impl std::fmt::Display for Validation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Validation::Path(words) => f.write_str(words),
            Validation::Fraction(fraction) => write!(f, "{fraction}"),
        }
    }
}

impl Validation {
    /// On the command line a number is a fraction, unless there is a file of that name.
    pub fn from_flag(words: &str) -> Self {
        match words.parse() {
            Ok(fraction) if !Path::new(words).exists() => Validation::Fraction(fraction),
            _ => Validation::Path(words.into()),
        }
    }
}
