//! The columns that the options name, and what becomes of all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::column::ColumnRole;
use super::rows::listed;
use crate::data::ReadOptions;
use crate::error::Error;

/// The columns that the options name.
pub(super) struct Asked {
    pub ignored: BTreeSet<usize>,
    pub categorical: BTreeSet<usize>,
    /// The values of the vectors that columns become.
    pub embedded: BTreeMap<usize, usize>,
    pub targets: Option<Vec<usize>>,
}

impl Asked {
    pub fn new(path: &Path, names: &[String], options: &ReadOptions) -> Result<Self, Error> {
        let find = |word: &str| {
            let by_number = || {
                word.parse().ok().filter(|number| (1..=names.len()).contains(number)).map(|number: usize| number - 1)
            };
            names.iter().position(|name| name == word).or_else(by_number)
        };
        let place = |word: &str| {
            find(word).ok_or_else(|| {
                Error::format(
                    path,
                    format!("it has no column \"{word}\": use a name or a number from 1; it has {}", listed(names)),
                )
            })
        };
        let places =
            |words: &[String]| words.iter().map(|word| place(word)).collect::<Result<BTreeSet<usize>, Error>>();
        let several = |words: &str| {
            let mut places = Vec::new();
            for word in words.split(',').map(str::trim) {
                let place = place(word)?;
                if places.contains(&place) {
                    return Err(Error::Option(format!("the label \"{words}\" names column \"{word}\" twice")));
                }
                places.push(place);
            }
            Ok(places)
        };
        let targets =
            options.label.as_ref().map(|words| find(words).map_or_else(|| several(words), |place| Ok(vec![place])));
        let (ignored, categorical) = (places(&options.ignore)?, places(&options.categorical)?);
        let mut embedded = BTreeMap::new();
        for (word, width) in &options.embed {
            let twice = embedded.insert(place(word)?, *width).is_some();
            if *width == 0 || twice {
                let reason = if twice { "is there twice" } else { "has a width of 0: a vector has at least one value" };
                return Err(Error::Option(format!(
                    "embed: column \"{word}\" {reason}; write it as embed = {{ city = 8 }} (--embed city=8)"
                )));
            }
        }
        Ok(Asked { ignored, categorical, embedded, targets: targets.transpose()? })
    }

    pub fn is_named(&self, place: usize) -> bool {
        let is_target = self.targets.as_ref().is_some_and(|targets| targets.contains(&place));
        is_target
            || self.ignored.contains(&place)
            || self.categorical.contains(&place)
            || self.embedded.contains_key(&place)
    }

    /// What becomes of each column: the last one that is not left out is the target where none was named. The index that the table may begin
    /// with is left out.
    pub fn roles(
        self,
        path: &Path,
        names: &[String],
        regression: bool,
        begins_with_index: bool,
    ) -> Result<Roles, Error> {
        let Asked { ignored: mut left_out, categorical, embedded, targets } = self;
        left_out.extend(begins_with_index.then_some(0));
        let last = || (0..names.len()).rev().find(|place| !left_out.contains(place)).unwrap_or(0);
        let targets = targets.unwrap_or_else(|| vec![last()]);
        let is_feature = |place: &usize| !targets.contains(place) && !left_out.contains(place);
        let features: BTreeSet<usize> = (0..names.len()).filter(is_feature).collect();
        if features.is_empty() {
            let targets = listed(&targets.iter().map(|&target| names[target].clone()).collect::<Vec<_>>());
            let reason = format!("it has no column besides the target \"{targets}\": at least one feature is needed");
            return Err(Error::format(path, reason));
        }
        if let Some(place) = embedded.keys().find(|place| !features.contains(place)) {
            let what = if targets.contains(place) { "the target" } else { "left out (ignore)" };
            let reason = format!(
                "embed: column \"{}\" is {what}: only features become vectors, so leave it out of embed",
                names[*place]
            );
            return Err(Error::format(path, reason));
        }
        // Several targets are numbers, one for each output.
        let has_numbers = regression || targets.len() > 1;
        Ok(Roles { targets, features, left_out, categorical, embedded, has_numbers })
    }
}

/// The columns' places by what becomes of them.
pub(super) struct Roles {
    pub targets: Vec<usize>,
    pub features: BTreeSet<usize>,
    left_out: BTreeSet<usize>,
    /// Features whose cells are words, also where they look like numbers.
    pub categorical: BTreeSet<usize>,
    /// Features whose words become vectors, and the values of these.
    pub embedded: BTreeMap<usize, usize>,
    /// Whether the targets are numbers to predict.
    pub has_numbers: bool,
}

impl Roles {
    pub fn of(&self, place: usize) -> ColumnRole {
        match place {
            _ if self.targets.contains(&place) => ColumnRole::Target,
            _ if self.left_out.contains(&place) => ColumnRole::LeftOut,
            _ => ColumnRole::Feature,
        }
    }

    /// Whether the column's cells may be read as numbers.
    pub fn may_be_numeric(&self, place: usize) -> bool {
        let is_number = self.has_numbers && self.targets.contains(&place);
        !self.categorical.contains(&place) && (self.features.contains(&place) || is_number)
    }
}
