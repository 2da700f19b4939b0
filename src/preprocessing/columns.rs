//! The encoding of a table's columns as features and targets, which a model keeps from its training table.

use std::collections::BTreeSet;

#[cfg(feature = "cli")]
use csv::StringRecord;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cell::{Missing, six_digits};
use super::written::Written;
use crate::error::Error;
use crate::named::counted;
use crate::network::EmbeddedFeature;

/// The most columns of a table.
pub(crate) const MOST_COLUMNS: usize = 1 << 20;

/// How the cells of a table become features and targets. It is learned from the table that a model is trained on and kept with the
/// model, so that every other table is encoded in the same way, with any words and with or without the targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Whether columns are found by name, as opposed to by index.
    pub(crate) named: bool,
    /// The number of columns in the table that it was learned from.
    pub(crate) count: usize,
    /// The feature columns, in the order of their features.
    pub(crate) features: Vec<Column>,
    #[serde(rename = "target", serialize_with = "one_or_several", deserialize_with = "none_one_or_several")]
    pub(crate) targets: Vec<Target>,
    /// The delimiter of the text that it was learned from, if it was a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<char>,
    /// The words that mean a missing value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) missing: Missing,
    /// Whether a word that its column does not know makes all of the column's features 0; otherwise it is an error.
    #[serde(default, skip_serializing_if = "is_default")]
    pub(crate) unknown_is_none: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) place: usize,
    pub(crate) cells: Cells,
}

/// The type of a column's cells, and the replacement of missing ones, if there is one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cells {
    /// A number, which becomes one feature.
    Number {
        fill: Option<f64>,
        #[serde(default, skip_serializing_if = "Written::is_plain")]
        written: Written,
    },
    /// A word, which becomes one feature for each known word: 1 for the cell's own, 0 for the others. All are 0 for a missing cell if `fill` is set.
    Category { words: Vec<String>, fill: bool },
    /// A word, which becomes one feature: its number among the known words, from 1. It is 0 for a missing cell if `fill` is set. A network looks up a vector of
    /// `width` values by it.
    Embedded { words: Vec<String>, fill: bool, width: usize },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) place: usize,
    /// The class names in the order of their indices; `None` for a number to predict.
    pub(crate) classes: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Written::is_plain")]
    pub(crate) written: Written,
}

/// A name that is in a list more than once.
pub(crate) fn twice(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

impl Columns {
    /// The encoding of `count` columns of numbers, without targets, for a model that was not trained on a table.
    pub(crate) fn numbers(count: usize) -> Self {
        let cells = Cells::Number { fill: None, written: Written::default() };
        let column = |place: usize| Column { name: (place + 1).to_string(), place, cells: cells.clone() };
        Columns {
            named: false,
            count,
            features: (0..count).map(column).collect(),
            targets: Vec::new(),
            delimiter: None,
            missing: Missing::default(),
            unknown_is_none: false,
        }
    }

    /// The same encoding, in which a word that its column does not know makes all of the column's features 0, or is an error.
    pub fn with_unknown_as_none(self, unknown_is_none: bool) -> Self {
        Columns { unknown_is_none, ..self }
    }

    /// The number of features in a row.
    pub fn width(&self) -> usize {
        self.features.iter().map(|column| column.cells.width()).sum()
    }

    /// The name of every feature: its column's name, or `column=word`.
    pub fn feature_names(&self) -> Vec<String> {
        let names = |Column { name, cells, .. }: &Column| match cells {
            Cells::Number { .. } | Cells::Embedded { .. } => vec![name.clone()],
            Cells::Category { words, .. } => words.iter().map(|word| format!("{name}={word}")).collect(),
        };
        self.features.iter().flat_map(names).collect()
    }

    /// Whether this encoding and another make the same features: from the same columns with the same words.
    #[cfg(feature = "cli")]
    pub(crate) fn make_the_same_as(&self, other: &Columns) -> bool {
        fn meaning(column: &Column) -> (&str, Option<&[String]>, bool) {
            match &column.cells {
                Cells::Number { .. } => (&column.name, None, false),
                Cells::Category { words, .. } => (&column.name, Some(words), false),
                Cells::Embedded { words, .. } => (&column.name, Some(words), true),
            }
        }
        self.features.iter().map(meaning).eq(other.features.iter().map(meaning))
    }

    /// Whether a word, the name of a column or its number from 1, is a target column.
    #[cfg(feature = "cli")]
    pub(crate) fn has_target(&self, word: &str) -> bool {
        let is_named = self.features.iter().any(|column| column.name == word);
        let number: Option<usize> = word.parse().ok().filter(|_| !is_named);
        self.targets.iter().any(|target| target.name == word || number == Some(target.place + 1))
    }

    /// The names of the target columns.
    pub fn target_names(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.name.clone()).collect()
    }

    /// The cells that a row's features came from, with their columns' names: numbers in six digits, or the word whose feature is
    /// 1, or whose number it is, or an empty text if there is none.
    pub fn cells(&self, features: &[f32]) -> Vec<(String, String)> {
        let mut rest = features;
        let mut cell = |column: &Column| {
            let (own, others) = rest.split_at(column.cells.width().min(rest.len()));
            rest = others;
            let cell = match &column.cells {
                Cells::Number { .. } => own.first().map(|&value| six_digits(value)),
                Cells::Category { words, .. } => {
                    own.iter().position(|&value| value == 1.0).and_then(|word| words.get(word).cloned())
                }
                Cells::Embedded { words, .. } => own
                    .first()
                    .and_then(|&value| (value as usize).checked_sub(1))
                    .and_then(|word| words.get(word).cloned()),
            };
            (column.name.clone(), cell.unwrap_or_default())
        };
        self.features.iter().map(&mut cell).collect()
    }

    /// Whether a first line contains the name of one of these columns.
    #[cfg(feature = "cli")]
    pub(crate) fn are_named_in(&self, first: &StringRecord) -> bool {
        let names =
            || self.features.iter().map(|column| &column.name).chain(self.targets.iter().map(|target| &target.name));
        self.named && first.iter().any(|cell| names().any(|name| name == cell))
    }

    /// Whether a row of `cells` cells can be one of such a table: with its targets, without them, or of its features alone.
    pub(crate) fn takes_rows_of(&self, cells: usize) -> bool {
        [self.count, self.count - self.targets.len().min(self.count), self.features.len()].contains(&cells)
    }

    /// The features that are words' numbers: which of a row's features each is, how many numbers there are, with 0 for no word, and the values of their vectors.
    pub(crate) fn embedded(&self) -> Vec<EmbeddedFeature> {
        let mut feature = 0;
        let mut own = |column: &Column| {
            let at = feature;
            feature += column.cells.width();
            match &column.cells {
                Cells::Embedded { words, width, .. } => Some(EmbeddedFeature::new(at, words.len() + 1, *width)),
                _ => None,
            }
        };
        self.features.iter().filter_map(&mut own).collect()
    }

    /// The values of the vectors that a column's words become, if they do.
    #[cfg(feature = "cli")]
    pub(crate) fn vector_of(&self, name: &str) -> Option<usize> {
        self.features.iter().find(|column| column.name == name).and_then(|column| match column.cells {
            Cells::Embedded { width, .. } => Some(width),
            _ => None,
        })
    }

    /// The feature columns of numbers, as index and name.
    pub(crate) fn numeric(&self) -> impl Iterator<Item = (usize, &str)> {
        let number = |column: &&Column| matches!(column.cells, Cells::Number { .. });
        self.features.iter().filter(number).map(|column| (column.place, column.name.as_str()))
    }

    /// Checks that it fits a network, as it may come from a file of another program.
    pub(crate) fn check(&self, width: usize, outputs: usize) -> Result<(), Error> {
        self.check_places()?;
        if self.width() != width {
            return Err(Error::Data(format!(
                "the columns have {}, the network takes {width}",
                counted(self.width(), "feature")
            )));
        }
        if self.targets.len() > 1 && self.targets.len() != outputs {
            return Err(Error::Data(format!(
                "the columns have {}, the network has {}",
                counted(self.targets.len(), "target"),
                counted(outputs, "output")
            )));
        }
        if let Some(class) = self.classes().and_then(|classes| twice(classes)) {
            return Err(Error::Data(format!(
                "the target's classes have \"{class}\" twice: every class must have a name of its own"
            )));
        }
        match self.classes() {
            Some(classes) if classes.is_empty() || classes.len() > outputs.max(2) => Err(Error::Data(format!(
                "the columns name {}, the network has {}",
                counted(classes.len(), "class"),
                counted(outputs, "output")
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that the classes' names, if there are any, begin with the target's classes: outputs beyond them stand for no class.
    pub(crate) fn check_classes(&self, names: &[String]) -> Result<(), Error> {
        match self.targets.as_slice() {
            [Target { name, classes: Some(classes), .. }] if !names.is_empty() && !names.starts_with(classes) => {
                Err(Error::Data(format!(
                    "the target, column \"{name}\", has the classes {}, and the classes are named {}: the names must begin with the target's classes, \
                     in their order",
                    classes.join(", "),
                    names.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }

    /// The class names, if there is one target and it has classes.
    pub(crate) fn classes(&self) -> Option<&Vec<String>> {
        match self.targets.as_slice() {
            [Target { classes, .. }] => classes.as_ref(),
            _ => None,
        }
    }

    /// Checks that every column has an index of its own, and that there is at least one feature.
    pub(crate) fn check_places(&self) -> Result<(), Error> {
        let targets = self.targets.iter().map(|target| target.place);
        let places: BTreeSet<usize> = self.features.iter().map(|column| column.place).chain(targets).collect();
        let all_apart = places.len() == self.features.len() + self.targets.len();
        let all_there = self.count <= MOST_COLUMNS && places.last().is_none_or(|&last| last < self.count);
        if all_apart && all_there && self.features.iter().all(|column| column.cells.width() > 0) {
            return Ok(());
        }
        Err(Error::Data("the columns have invalid indices or words: every column needs an index of its own, and a column of words at least one word".into()))
    }
}

impl Cells {
    pub(crate) fn width(&self) -> usize {
        match self {
            Cells::Number { .. } | Cells::Embedded { .. } => 1,
            Cells::Category { words, .. } => words.len(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The targets in a model file: one by itself, several in a list, or null for none.
#[derive(Deserialize)]
#[serde(untagged)]
enum InFile {
    One(Target),
    Several(Vec<Target>),
}

fn none_one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Target>, D::Error> {
    Ok(match Option::<InFile>::deserialize(from)? {
        None => Vec::new(),
        Some(InFile::One(target)) => vec![target],
        Some(InFile::Several(targets)) => targets,
    })
}

fn one_or_several<S: Serializer>(targets: &[Target], to: S) -> Result<S::Ok, S::Error> {
    match targets {
        [] => to.serialize_none(),
        [target] => target.serialize(to),
        several => several.serialize(to),
    }
}
