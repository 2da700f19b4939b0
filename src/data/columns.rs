//! Tables of named cells, and how they become features and targets: what CSV and Parquet have in common.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use super::cell::{class_index, class_name, is_missing, missing, number, short, six_digits};
use super::{Dataset, Fill, MOST_BYTES, ReadOptions};
use crate::Error;

/// The most different words of a column that is to become one feature for each.
const MOST_CATEGORIES: usize = 1_000;
/// The most columns of a table.
const MOST_COLUMNS: usize = 1 << 20;

/// A table's rows, which can be gone over again.
pub(super) trait Table {
    /// For messages.
    fn path(&self) -> &Path;
    /// The columns' names, where it has any.
    fn names(&self) -> Option<&[String]>;
    /// Every row with its number; all of them have as many cells.
    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error>;
}

/// How the cells of a table become features and targets. It is learned from the table that a model is trained on and kept with the
/// model, so that every other table is encoded in the same way, whatever words it has and with or without the targets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    /// Whether columns are found by name; else by their places.
    named: bool,
    /// Columns of the table that it was learned from.
    count: usize,
    /// In the order of their features.
    features: Vec<Column>,
    target: Option<Target>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Column {
    name: String,
    place: usize,
    cells: Cells,
}

/// What a column's cells mean, and what stands for one that is missing, if anything does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cells {
    /// A feature.
    Number { fill: Option<f32> },
    /// A feature for each word, 1 where the cell is that word and else 0; all are 0 where it is missing and may be.
    Category { words: Vec<String>, fill: bool },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Target {
    name: String,
    place: usize,
    /// The class names in the order of their indices; `None` for a number to predict.
    classes: Option<Vec<String>>,
}

impl Columns {
    /// As many columns of numbers, and no target: a table for a model that was trained on something else.
    pub(crate) fn numbers(count: usize) -> Self {
        let column =
            |place: usize| Column { name: (place + 1).to_string(), place, cells: Cells::Number { fill: None } };
        Columns { named: false, count, features: (0..count).map(column).collect(), target: None }
    }

    /// The features of a row.
    pub fn width(&self) -> usize {
        self.features.iter().map(|column| column.cells.width()).sum()
    }

    /// What every feature is: the name of its column, or `column=word`.
    pub fn feature_names(&self) -> Vec<String> {
        let names = |Column { name, cells, .. }: &Column| match cells {
            Cells::Number { .. } => vec![name.clone()],
            Cells::Category { words, .. } => words.iter().map(|word| format!("{name}={word}")).collect(),
        };
        self.features.iter().flat_map(names).collect()
    }

    /// The cells that a row's features were made of, by the names of their columns: numbers, of six digits, and the word whose feature is
    /// 1; nothing where none is.
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
            };
            (column.name.clone(), cell.unwrap_or_default())
        };
        self.features.iter().map(&mut cell).collect()
    }

    /// The names of the columns that must be there, and are numbers.
    pub(super) fn numeric(&self) -> impl Iterator<Item = (usize, &str)> {
        let number = |column: &&Column| matches!(column.cells, Cells::Number { .. });
        self.features.iter().filter(number).map(|column| (column.place, column.name.as_str()))
    }

    /// The names of all features.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|column| column.name.as_str())
    }

    /// Whether columns are found by name.
    pub(super) fn is_named(&self) -> bool {
        self.named
    }

    /// Looks at every cell, to see which columns are numbers, which words the others have, and what the classes are.
    pub(super) fn learn(table: &dyn Table, options: &ReadOptions) -> Result<Self, Error> {
        let wrong = |reason: String| Error::format(table.path(), reason);
        let mut seen: Vec<Seen> = Vec::new();
        let mut rows = 0;
        table.each(&mut |row, record| {
            if row == 0 {
                seen.resize_with(record.len(), Seen::default);
            }
            rows += 1;
            seen.iter_mut().zip(record).for_each(|(seen, cell)| seen.take(row, record, cell));
            Ok(())
        })?;
        if rows == 0 {
            return Err(wrong("it has no rows: at least one is needed".into()));
        }
        let names = match table.names() {
            Some(names) => names.to_vec(),
            None => (1..=seen.len()).map(|number| number.to_string()).collect(),
        };
        check_names(table.path(), &names)?;
        let place = |word: &str| {
            let by_number = || {
                word.parse().ok().filter(|number| (1..=names.len()).contains(number)).map(|number: usize| number - 1)
            };
            names.iter().position(|name| name == word).or_else(by_number).ok_or_else(|| {
                wrong(format!("it has no column \"{word}\": use a name or a number from 1; it has {}", listed(&names)))
            })
        };
        let places =
            |words: &[String]| words.iter().map(|word| place(word)).collect::<Result<BTreeSet<usize>, Error>>();
        let (ignored, categorical) = (places(&options.ignore)?, places(&options.categorical)?);
        let target = match &options.label {
            Some(word) => place(word)?,
            None => (0..names.len()).rev().find(|place| !ignored.contains(place)).unwrap_or(0),
        };

        let mut features = Vec::new();
        for place in (0..names.len()).filter(|place| *place != target && !ignored.contains(place)) {
            let cells = seen[place].cells(options.fill, categorical.contains(&place));
            let cells = cells.map_err(|reason| wrong(format!("column \"{}\" {reason}", names[place])))?;
            seen[place].warn_of_typos(table.path(), &names[place], categorical.contains(&place));
            features.push(Column { name: names[place].clone(), place, cells });
        }
        if features.is_empty() {
            return Err(wrong(format!(
                "it has no column besides the target \"{}\": at least one feature is needed",
                names[target]
            )));
        }
        let classes = seen[target].classes(options.regression);
        let classes = classes.map_err(|reason| wrong(format!("the target, column \"{}\", {reason}", names[target])))?;
        let target = Some(Target { name: names[target].clone(), place: target, classes });
        Ok(Columns { named: table.names().is_some(), count: names.len(), features, target })
    }

    /// A table's rows, encoded. Without `with_targets`, whatever is in the targets' column is not looked at, and it need not be there.
    pub(super) fn encode(&self, table: &dyn Table, with_targets: bool) -> Result<Dataset, Error> {
        let wrong = |reason: String| Error::format(table.path(), reason);
        self.check_places()?;
        let target = self.target.as_ref().filter(|_| with_targets);
        if with_targets && target.is_none() {
            return Err(wrong(
                "the model knows of no target among its columns: only one that was trained on a table does".into(),
            ));
        }
        let encoders: Vec<Encoder> = self.features.iter().map(Encoder::new).collect();
        let classes = target.and_then(|target| target.classes.as_ref()).map(|words| indices(words));
        let width = self.width();
        let (mut features, mut labels, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut rows = 0u64;
        table.each(&mut |_, _| {
            rows += 1;
            Ok(())
        })?;
        if rows.saturating_mul(4 * width as u64) > super::MOST_BYTES {
            return Err(wrong(format!(
                "{rows} rows of {width} features take more than {} bytes: leave columns of many words out (ignore)",
                super::MOST_BYTES
            )));
        }
        features.reserve_exact(rows as usize * width);
        let mut places: Option<(Vec<usize>, usize)> = None;
        table.each(&mut |row, record| {
            if places.is_none() {
                places = Some(self.places(table, record.len(), target)?);
            }
            let Some((places, target_place)) = &places else { return Ok(()) };
            let at = |name: &str, reason: String| {
                Error::format(table.path(), format!("{}, column \"{name}\": {reason}", place_of(row, record)))
            };
            for (encoder, &place) in encoders.iter().zip(places) {
                encoder.push(&record[place], &mut features).map_err(|reason| at(&encoder.column.name, reason))?;
            }
            match (target, &classes) {
                (Some(target), Some(classes)) => {
                    let label = class_index(classes, &record[*target_place]);
                    labels.push(label.map_err(|reason| at(&target.name, reason))?);
                }
                (Some(target), None) => {
                    labels.push(0);
                    values.push(number(&record[*target_place]).map_err(|reason| at(&target.name, reason))?);
                }
                (None, _) => labels.push(0),
            }
            if 4 * features.len() as u64 > MOST_BYTES {
                return Err(wrong(format!(
                    "its rows of {width} features take more than 4 GiB: that is the most that fits"
                )));
            }
            Ok(())
        })?;
        let in_file = |error: Error| wrong(error.to_string());
        let mut set = Dataset::from_f32(features, width, labels).map_err(in_file)?;
        if !values.is_empty() {
            set = set.with_targets(values, 1).map_err(in_file)?;
        }
        if let Some(classes) = target.and_then(|target| target.classes.clone()) {
            set = set.with_class_names(classes).map_err(in_file)?;
        }
        Ok(set.with_columns(self.clone()))
    }

    /// Where in a table the features and the target are.
    fn places(&self, table: &dyn Table, count: usize, target: Option<&Target>) -> Result<(Vec<usize>, usize), Error> {
        if let (true, Some(names)) = (self.named, table.names()) {
            check_names(table.path(), names)?;
            let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
            let find = |name: &str| {
                places.get(name).copied().ok_or_else(|| {
                    Error::format(table.path(), format!("it has no column \"{name}\"; it has {}", listed(names)))
                })
            };
            let features = self.features.iter().map(|column| find(&column.name)).collect::<Result<_, Error>>()?;
            return Ok((features, target.map_or(Ok(0), |target| find(&target.name))?));
        }
        // A table without the column of the targets: those after it are one place nearer.
        let without = self.target.as_ref().filter(|_| target.is_none() && count + 1 == self.count);
        if count != self.count && without.is_none() {
            let or_less =
                if target.is_none() && self.target.is_some() { ", or one less, without the target" } else { "" };
            return Err(Error::format(
                table.path(),
                format!("its rows have {count} cells: they must have {}{or_less}", self.count),
            ));
        }
        let near = |place: usize| place - usize::from(without.is_some_and(|target| target.place < place));
        Ok((self.features.iter().map(|column| near(column.place)).collect(), target.map_or(0, |target| target.place)))
    }

    /// That it fits a network: it may come from a file that somebody else wrote.
    pub(crate) fn check(&self, width: usize, outputs: usize) -> Result<(), Error> {
        self.check_places()?;
        if self.width() != width {
            return Err(Error::Data(format!("the columns have {} features, the network takes {width}", self.width())));
        }
        match self.target.as_ref().and_then(|target| target.classes.as_ref()) {
            Some(classes) if classes.is_empty() || classes.len() > outputs.max(2) => Err(Error::Data(format!(
                "the columns name {} classes, the network has {outputs} outputs",
                classes.len()
            ))),
            _ => Ok(()),
        }
    }

    /// That every column has a place of its own, and at least one feature.
    fn check_places(&self) -> Result<(), Error> {
        let target = self.target.as_ref().map(|target| target.place);
        let places: BTreeSet<usize> = self.features.iter().map(|column| column.place).chain(target).collect();
        let all_apart = places.len() == self.features.len() + usize::from(target.is_some());
        let all_there = self.count <= MOST_COLUMNS && places.last().is_none_or(|&last| last < self.count);
        if all_apart && all_there && self.features.iter().all(|column| column.cells.width() > 0) {
            return Ok(());
        }
        Err(Error::Data("the columns have places or words that cannot be: every column needs a place of its own and, of words, at least one".into()))
    }
}

/// Where a row is, for messages: "row 3 (line 5)".
pub(super) fn place_of(row: usize, record: &StringRecord) -> String {
    record.position().map_or_else(|| format!("row {row}"), |position| format!("row {row} (line {})", position.line()))
}

fn check_names(path: &Path, names: &[String]) -> Result<(), Error> {
    if names.len() > MOST_COLUMNS {
        return Err(Error::format(path, format!("it has {} columns: at most {MOST_COLUMNS} are read", names.len())));
    }
    let mut known = HashMap::new();
    for (place, name) in names.iter().enumerate() {
        if let Some(before) = known.insert(name, place) {
            return Err(Error::format(
                path,
                format!(
                    "columns {} and {} are both named \"{name}\": every name must be there once",
                    before + 1,
                    place + 1
                ),
            ));
        }
    }
    Ok(())
}

/// Some of the names, for messages.
fn listed(names: &[String]) -> String {
    let some: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
    format!("{}{}", some.join(", "), if names.len() > some.len() { ", …" } else { "" })
}

fn indices(words: &[String]) -> HashMap<&str, u32> {
    words.iter().zip(0..).map(|(word, index)| (word.as_str(), index)).collect()
}

/// What a pass over a column has found.
#[derive(Default)]
struct Seen {
    numbers: u64,
    others: u64,
    sum: f64,
    /// Some numbers have one.
    fractions: bool,
    /// The first cell that is no number, and where it is.
    no_number: Option<(String, String)>,
    missing: bool,
    /// The different cells, up to one more than there may be categories or classes.
    words: HashSet<String>,
}

impl Seen {
    fn take(&mut self, row: usize, record: &StringRecord, cell: &str) {
        if is_missing(cell) {
            self.missing = true;
            return;
        }
        match cell.parse::<f64>() {
            Ok(value) => {
                self.numbers += 1;
                self.sum += value;
                self.fractions |= value.fract() != 0.0;
            }
            Err(_) => {
                self.others += 1;
                self.no_number.get_or_insert_with(|| (short(cell), place_of(row, record)));
            }
        }
        if self.words.len() <= MOST_CATEGORIES && !self.words.contains(cell) {
            self.words.insert(cell.into());
        }
    }

    /// A column of numbers that a few cells, mistyped perhaps, make one of words.
    fn warn_of_typos(&self, path: &Path, name: &str, categorical: bool) {
        let Some((cell, at)) = self.no_number.as_ref().filter(|_| !categorical && self.numbers > 9 * self.others)
        else {
            return;
        };
        tracing::warn!(
            "{}: column \"{name}\" is taken for words, as \"{cell}\" in {at} is no number, and {} of {} cells are: mend it, or name the \
             column in categorical",
            path.display(),
            self.numbers,
            self.numbers + self.others
        );
    }

    /// As a column of features.
    fn cells(&self, fill: Option<Fill>, categorical: bool) -> Result<Cells, String> {
        if self.no_number.is_none() && !categorical {
            let mean = if self.numbers > 0 { self.sum / self.numbers as f64 } else { 0.0 };
            let fill = fill.map(|fill| match fill {
                Fill::Mean => mean as f32,
                Fill::Zero => 0.0,
                Fill::Number(number) => number,
            });
            return Ok(Cells::Number { fill: fill.filter(|fill| fill.is_finite()) });
        }
        let first = self
            .no_number
            .as_ref()
            .map_or(String::new(), |(cell, at)| format!("; the first cell that is no number is \"{cell}\" in {at}"));
        match self.words.len() {
            0 => Err("has no value at all: leave it out (ignore)".into()),
            1..=MOST_CATEGORIES => {
                let words: BTreeSet<&String> = self.words.iter().collect();
                Ok(Cells::Category { words: words.into_iter().cloned().collect(), fill: fill.is_some() })
            }
            _ => Err(format!(
                "has more than {MOST_CATEGORIES} different words, a feature for each: leave it out (ignore){first}"
            )),
        }
    }

    /// As the target: the classes, or `None` for numbers.
    fn classes(&self, regression: bool) -> Result<Option<Vec<String>>, String> {
        match &self.no_number {
            Some((cell, at)) if regression => Err(format!("has \"{cell}\" in {at}: every target must be a number")),
            _ if regression => Ok(None),
            None if self.fractions => Err(
                "has numbers with fractions, which are no classes: a loss for numbers (mse, mae, huber) predicts them"
                    .into(),
            ),
            _ if self.words.len() > MOST_CATEGORIES => {
                Err(format!("has more than {MOST_CATEGORIES} different words: these are no classes"))
            }
            _ => {
                let mut names: Vec<String> = self.words.iter().map(|word| class_name(word)).collect();
                names.sort_by(|a, b| match (a.parse::<i64>(), b.parse::<i64>()) {
                    (Ok(a), Ok(b)) if self.no_number.is_none() => a.cmp(&b),
                    _ => a.cmp(b),
                });
                names.dedup();
                Ok(Some(names))
            }
        }
    }
}

impl Cells {
    fn width(&self) -> usize {
        match self {
            Cells::Number { .. } => 1,
            Cells::Category { words, .. } => words.len(),
        }
    }
}

/// A column, and where in its features a word is.
struct Encoder<'a> {
    column: &'a Column,
    words: HashMap<&'a str, u32>,
}

impl<'a> Encoder<'a> {
    fn new(column: &'a Column) -> Self {
        let words = match &column.cells {
            Cells::Category { words, .. } => indices(words),
            Cells::Number { .. } => HashMap::new(),
        };
        Encoder { column, words }
    }

    /// Adds a cell's features.
    fn push(&self, cell: &str, features: &mut Vec<f32>) -> Result<(), String> {
        match &self.column.cells {
            Cells::Number { fill: Some(fill) } if is_missing(cell) => features.push(*fill),
            Cells::Number { .. } => features.push(number(cell)?),
            Cells::Category { words, fill } => {
                let word = match self.words.get(cell) {
                    Some(&word) => Some(word as usize),
                    None if is_missing(cell) && *fill => None,
                    None if is_missing(cell) => return Err(missing(cell)),
                    None => {
                        return Err(format!("\"{}\" is none of its words, which are {}", short(cell), listed(words)));
                    }
                };
                features.extend((0..words.len()).map(|at| f32::from(u8::from(Some(at) == word))));
            }
        }
        Ok(())
    }
}
