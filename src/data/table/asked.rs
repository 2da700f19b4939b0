//! The columns that the options name.

use std::collections::BTreeSet;
use std::path::Path;

use super::rows::listed;
use crate::data::ReadOptions;
use crate::error::Error;

/// The columns that the options name.
pub(super) struct Asked {
    pub ignored: BTreeSet<usize>,
    pub categorical: BTreeSet<usize>,
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
        Ok(Asked { ignored, categorical, targets: targets.transpose()? })
    }

    pub fn is_named(&self, place: usize) -> bool {
        let is_target = self.targets.as_ref().is_some_and(|targets| targets.contains(&place));
        is_target || self.ignored.contains(&place) || self.categorical.contains(&place)
    }
}
