//! Decides whether a table's first line names its columns, by comparing it with the rows below.

use std::collections::HashSet;

use csv::StringRecord;

use crate::preprocessing::{Judge, Missing, is_number};

/// The number of rows by which this is decided.
pub(super) const ROWS_TO_JUDGE_BY: usize = 1_000;
/// The least number of equally spaced numbers, on a first line of nothing else, that are taken for column names: fewer may be a row.
const COUNTING_NUMBERS: usize = 3;

/// The decision about a first line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Decision {
    pub is_header: bool,
    /// The reason, where the decision was not obvious.
    pub because: Option<String>,
}

/// Facts about the cells below a cell of the first line.
#[derive(Default)]
struct Below {
    numbers: bool,
    words: HashSet<String>,
    values: Vec<f64>,
}

/// Decides by a first line and the rows after it, which all have the same number of cells.
pub(super) fn decide(first: &StringRecord, rows: &[StringRecord], missing: &Missing) -> Decision {
    let plain = |is_header: bool| Decision { is_header, because: None };
    let because = |is_header: bool, reason: &str| Decision { is_header, because: Some(reason.into()) };
    let below: Vec<Below> = (0..first.len()).map(|at| Below::of(rows, at, missing)).collect();
    let columns = || first.iter().zip(&below);
    let is_value = |cell: &str| is_number(cell) || !cell.is_empty() && missing.is(cell);
    let numeric = || columns().filter(|(_, below)| below.numbers);

    let words_over_numbers =
        numeric().filter(|(cell, below)| !is_value(cell) && !cell.is_empty() && !is_written_like(cell, below)).count();
    let values_over_numbers = numeric().filter(|(cell, below)| is_value(cell) || is_written_like(cell, below)).count();
    let empty = columns().filter(|(cell, _)| cell.is_empty()).count();
    let words = || columns().filter(|(cell, below)| !below.numbers && !is_value(cell) && !cell.is_empty());
    let come_again = words().filter(|(cell, below)| below.words.contains(*cell)).count();

    let named = columns().enumerate().filter(|(_, (_, below))| below.numbers);
    let names: Vec<Name<'_>> =
        named.filter_map(|(place, (cell, below))| Some(Name { place, number: cell.parse().ok()?, below })).collect();
    let new_words = words_over_numbers > 0 || words().next().is_some() && come_again == 0;
    let counting = are_years(&names) && new_words || counts_columns(&names, words_over_numbers > 0);
    // As pandas and R write the rows' index: a column without a name, with a different cell in every row.
    let has_index = first.get(0) == Some("") && below.first().is_some_and(|below| below.tells_apart(rows.len()));
    let all_differ = || first.iter().collect::<HashSet<&str>>().len() == first.len();
    if rows.is_empty() {
        // A single line names columns if it has only words.
        return plain(!first.iter().any(is_value));
    }
    if numeric().next().is_none() {
        // A table of words only: a word that occurs again below is no name.
        return match (come_again, words().count()) {
            (0, _) => because(true, "its words occur nowhere below"),
            (again, all) if 2 * again >= all => because(false, "its words occur again below"),
            _ => because(true, "most of its words occur nowhere below"),
        };
    }
    match (words_over_numbers, values_over_numbers) {
        (0, 0) if has_index && come_again == 0 => plain(true),
        (0, 0) => because(false, "it has no word over a column of numbers"),
        (0, _) if counting => because(true, "its numbers count, and those below do not"),
        (0, _) if has_index && come_again == 0 && first.len() > 2 && all_differ() => {
            because(true, "its first cell is empty, over a column that only distinguishes rows")
        }
        (0, _) => plain(false),
        (words, 0) if come_again > words => {
            because(false, "more of its words occur again below than stand over numbers")
        }
        (_, 0) if come_again > 0 => because(true, "it has words over columns of numbers"),
        (_, 0) if empty > 1 => because(true, "it has words over columns of numbers, and cells without a name"),
        (_, 0) => plain(true),
        (_, _) if counting => because(true, "its numbers count, and it has words over columns of numbers"),
        (words, values) if words > 1 && words >= values => {
            because(true, "it has as many words as numbers over columns of numbers")
        }
        _ => because(false, "it has numbers over columns of numbers"),
    }
}

impl Below {
    fn of(rows: &[StringRecord], at: usize, missing: &Missing) -> Self {
        let mut below = Below::default();
        let cells = || rows.iter().filter_map(|row| row.get(at)).filter(|cell| !missing.is(cell));
        for cell in cells() {
            match cell.parse() {
                Ok(value) => below.values.push(value),
                Err(_) => drop(below.words.insert(cell.into())),
            }
        }
        below.numbers = match below.words.is_empty() {
            true => !below.values.is_empty(),
            false => {
                let mut judge = Judge::default();
                cells().for_each(|cell| judge.take(cell, String::new));
                judge.misfit().is_none()
            }
        };
        below
    }

    /// Whether the column distinguishes all `rows` rows: every cell is different, and all are whole numbers, or all words.
    fn tells_apart(&self, rows: usize) -> bool {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let numbers_differ =
            sorted.windows(2).all(|pair| pair[0] < pair[1]) && sorted.iter().all(|value| value.fract() == 0.0);
        self.values.is_empty() && self.words.len() == rows
            || self.words.is_empty() && !self.values.is_empty() && numbers_differ
    }
}

/// Whether a cell is a number in the notation of the numbers below it.
fn is_written_like(cell: &str, below: &Below) -> bool {
    let mut judge = Judge::default();
    below.words.iter().for_each(|word| judge.take(word, String::new));
    below.values.iter().take(1).for_each(|value| judge.take(&value.to_string(), String::new));
    judge.take(cell, String::new);
    judge.misfit().is_none()
}

/// Whether a column's cells distinguish rows, as those of an index do.
pub(super) fn tells_apart(rows: &[StringRecord], at: usize, missing: &Missing) -> bool {
    Below::of(rows, at, missing).tells_apart(rows.len())
}

/// A number in the first line over a column of numbers.
struct Name<'a> {
    place: usize,
    number: f64,
    below: &'a Below,
}

/// Whether the numbers of a first line are consecutive years, and those below are no years.
fn are_years(names: &[Name<'_>]) -> bool {
    let is_year = |value: &f64| value.fract() == 0.0 && (1500.0..2200.0).contains(value);
    let is_name = |name: &Name<'_>| is_year(&name.number) && !name.below.values.iter().all(is_year);
    !names.is_empty() && names.iter().all(is_name) && names.windows(2).all(|pair| pair[0].number < pair[1].number)
}

/// Whether the numbers of a first line count by equal steps, and no row below does. Beside a word that names a column of numbers, 0, 1, 2 … always
/// count.
fn counts_columns(names: &[Name<'_>], has_words: bool) -> bool {
    let counting = |values: &[f64]| {
        let first = values[1] - values[0];
        first > 0.0 && values.windows(2).all(|pair| (pair[1] - pair[0] - first).abs() < 1e-6 * first)
    };
    let numbers: Vec<f64> = names.iter().map(|name| name.number).collect();
    let from_zero = numbers.iter().zip(0..).all(|(&number, at)| number == f64::from(at));
    // A single number is a name only in the first column, or after the rows' index.
    let begins = names.first().is_some_and(|first| first.place <= 1) || numbers.len() > 1;
    if has_words && from_zero && begins {
        return true;
    }
    let rows = names.iter().map(|name| name.below.values.len()).min().unwrap_or(0);
    let row = |at: usize| names.iter().map(|name| name.below.values[at]).collect::<Vec<f64>>();
    numbers.len() >= COUNTING_NUMBERS && counting(&numbers) && rows > 0 && !(0..rows).any(|at| counting(&row(at)))
}
