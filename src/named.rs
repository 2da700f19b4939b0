//! Choices that have a word of their own in options and configuration files.

use crate::error::Error;

/// A choice among a few, each with its word.
pub(crate) trait Named: Sized + Copy + PartialEq + 'static {
    /// What is chosen, for messages: "an activation".
    const WHAT: &'static str;
    /// Every word and what it means.
    const WORDS: &'static [(&'static str, Self)];
    /// What other programs call these, to be told what to write here.
    const ELSEWHERE: Elsewhere = &[];

    /// The choice a word stands for.
    fn from_word(word: &str) -> Result<Self, Error> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|&(_, choice)| choice).ok_or_else(|| {
            Error::Option(unknown(word, Self::WHAT, Self::WORDS.iter().map(|&(known, _)| known), Self::ELSEWHERE))
        })
    }

    /// The word for a choice.
    fn word(&self) -> &'static str {
        Self::WORDS.iter().find(|(_, choice)| choice == self).map_or("?", |&(word, _)| word)
    }
}

/// Words of other programs, in small letters and with hyphens, and what to write here in their place.
pub(crate) type Elsewhere = &'static [(&'static [&'static str], &'static str)];

/// What to say of a word that is none of the known ones: what it is called here, where other programs have it; else the nearest, where one is near.
pub(crate) fn unknown(
    word: &str,
    what: &str,
    known: impl Iterator<Item = &'static str> + Clone,
    elsewhere: Elsewhere,
) -> String {
    let words: Vec<&str> = known.clone().collect();
    let plain = word.trim().to_lowercase().replace(['_', ' '], "-");
    let near = |candidate: &&str| strsim::damerau_levenshtein(&plain, candidate);
    // SparseCategoricalCrossentropy has no hyphens.
    let is_called = |name: &&str| name.replace('-', "") == plain.replace('-', "");
    let here = elsewhere.iter().find(|(names, _)| names.iter().any(is_called));
    // AdamW is a word of ours, but for its letters.
    let here = here.filter(|_| !words.contains(&plain.as_str()));
    let hint = match (here, known.min_by_key(near)) {
        (Some((_, here)), _) => format!("write {here}; "),
        (None, Some(nearest)) if 2 * near(&nearest) <= nearest.len() => format!("did you mean {nearest}? "),
        _ => String::new(),
    };
    format!("\"{word}\" is not {what}: {hint}use one of {}", words.join(", "))
}

/// `FromStr` and `Display` by the words of [`Named`].
macro_rules! by_word {
    ($type:ty) => {
        impl std::str::FromStr for $type {
            type Err = $crate::error::Error;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                <Self as $crate::named::Named>::from_word(word)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str($crate::named::Named::word(self))
            }
        }
    };
}
pub(crate) use by_word;

/// A number and a noun, in the plural but for 1: `1 target`, `2 classes`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {}", noun_of(count as u64, noun))
}

/// The form of a noun that follows a count: singular for 1, plural for all others.
pub(crate) fn noun_of(count: u64, noun: &str) -> String {
    let before_y = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match before_y {
        _ if count == 1 => noun.into(),
        Some(stem) => format!("{stem}ies"),
        None if ["s", "x", "z", "ch", "sh"].iter().any(|end| noun.ends_with(end)) => format!("{noun}es"),
        None => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a plural that is no word.
    #[test]
    fn nouns_are_in_the_plural_but_for_one() {
        for (noun, plural) in [
            ("row", "rows"),
            ("class", "classes"),
            ("dispatch", "dispatches"),
            ("box", "boxes"),
            ("flush", "flushes"),
            ("entry", "entries"),
            ("array", "arrays"),
            ("hidden layer", "hidden layers"),
        ] {
            assert_eq!(counted(1, noun), format!("1 {noun}"));
            for count in [0, 2, 1000] {
                assert_eq!(counted(count, noun), format!("{count} {plural}"));
            }
        }
    }
}
