//! Encodes a table's rows as features and targets, as learned columns say.

use std::collections::HashMap;
use std::path::Path;

use csv::StringRecord;

use super::rows::{Table, called, check_names, listed, place_of};
use super::unlearned::{NO_COLUMNS, NOT_LEARNED};
use crate::data::check::MOST_LOST;
use crate::data::{Dataset, Features, MOST_BYTES, ReadOptions};
use crate::error::Error;
use crate::named::counted;
use crate::preprocessing::{Cells, Column, Columns, Missing, Target, index_of, short};

impl Columns {
    /// Encodes a table's rows. If only inputs are asked for, the targets' columns are not used and may be missing.
    pub(in crate::data) fn encode(&self, table: &dyn Table, options: &ReadOptions) -> Result<Dataset, Error> {
        let with_targets = !options.inputs_only;
        let wrong = |reason: String| Error::format(table.path(), reason);
        let (width, mut rows) = (self.width(), 0u64);
        table.each(&mut |_, _| {
            rows += 1;
            Ok(())
        })?;
        if rows.saturating_mul(4 * width as u64) > MOST_BYTES {
            return Err(wrong(format!(
                "{rows} rows of {width} features take more than {MOST_BYTES} bytes: leave columns of many words out (ignore)"
            )));
        }
        let mut encoding: Option<Encoding<'_>> = None;
        let mut encoded = Encoded { leaves_out: options.leave_out_without_target, ..Encoded::default() };
        encoded.features.expect(rows as usize * width);
        table.each(&mut |row, record| {
            if encoding.is_none() {
                encoding = Some(Encoding::new(self, table.path(), table.names(), record.len(), options)?);
            }
            encoding.as_ref().map_or(Ok(()), |encoding| encoding.push(row, record, &mut encoded))
        })?;
        let in_file = |error: Error| wrong(error.to_string());
        if rows == 0 {
            return Err(wrong("it has no rows: at least one is needed".into()));
        }
        if encoded.left_out == rows {
            return Err(wrong("no row has a target: at least one is needed".into()));
        }
        let labels =
            if encoded.labels.is_empty() { vec![0; (rows - encoded.left_out) as usize] } else { encoded.labels };
        let mut set = Dataset::of(encoded.features.into(), width, labels).map_err(in_file)?;
        if !encoded.values.is_empty() {
            set = set.with_targets(encoded.values, self.targets.len()).map_err(in_file)?;
        }
        let names = match self.targets.as_slice() {
            _ if !with_targets => None,
            [target] => target.classes.clone(),
            _ => Some(self.target_names()),
        };
        if let Some(names) = names {
            set = set.with_class_names(names).map_err(in_file)?;
        }
        let note = format!("{} of {rows} rows have no target, and are left out", encoded.left_out);
        let left_out = (encoded.left_out > 0).then_some(note);
        let lost = encoded.digits.note_on("the targets have");
        Ok(set.with_columns(self.clone()).noted_all(table.path(), left_out.into_iter().chain(lost)))
    }

    /// The indices of the feature and target columns in a table with these names, or with `count` cells a row if it has no names.
    fn places(
        &self,
        path: &Path,
        names: Option<&[String]>,
        count: usize,
        options: &ReadOptions,
    ) -> Result<(Vec<usize>, Vec<usize>), Error> {
        let with_targets = !options.inputs_only;
        let targets = if with_targets { &self.targets[..] } else { &[] };
        if let (true, Some(names)) = (self.named, names) {
            let names = called(names);
            check_names(path, &names)?;
            let places: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
            let find = |name: &str| {
                let missing = || Error::format(path, format!("it has no column \"{name}\"; it has {}", listed(&names)));
                places.get(name).copied().ok_or_else(missing)
            };
            let features = self.features.iter().map(|column| find(&column.name)).collect::<Result<_, Error>>()?;
            return Ok((features, targets.iter().map(|target| find(&target.name)).collect::<Result<_, Error>>()?));
        }
        // Columns are found by index. In a table without the targets' columns, the columns after them have smaller indices; a table of
        // features only has them in order.
        let before = |place: usize| self.targets.iter().filter(|target| target.place < place).count();
        let features = self.features.iter().map(|column| column.place);
        let without_targets = self.count - self.targets.len();
        let features: Vec<usize> = match count {
            count if count == self.count => features.collect(),
            count if !with_targets && count == without_targets => features.map(|place| place - before(place)).collect(),
            count if !with_targets && count == self.features.len() => (0..count).collect(),
            _ => {
                let fewer = if without_targets < self.count && !with_targets {
                    format!(
                        ", or {without_targets}, without the target{}",
                        if self.targets.len() > 1 { "s" } else { "" }
                    )
                } else {
                    String::new()
                };
                return Err(Error::format(
                    path,
                    format!(
                        "its rows have {}: they must have {}{fewer}{}",
                        counted(count, "cell"),
                        self.count,
                        self.cause(options)
                    ),
                ));
            }
        };
        Ok((features, targets.iter().map(|target| target.place).collect()))
    }
}

impl Columns {
    /// The cause to add to what is refused, where no table was learned from.
    fn cause(&self, options: &ReadOptions) -> &'static str {
        match options.model_widths {
            _ if !self.is_unlearned() => "",
            Some(_) => NO_COLUMNS,
            None => NOT_LEARNED,
        }
    }
}

/// Encoded rows.
#[derive(Default)]
pub(super) struct Encoded {
    pub features: Values,
    /// The class index of each row, if the target has classes.
    pub labels: Vec<u32>,
    /// The targets `[rows, outputs]`, if they are numbers.
    pub values: Vec<f32>,
    /// The rounding errors of the targets.
    digits: Digits,
    /// Whether rows without a target are left out, and the number of such rows.
    leaves_out: bool,
    left_out: u64,
}

/// The rounding error of numbers that are kept as f32, with their range.
#[derive(Default)]
struct Digits {
    range: Option<(f64, f64)>,
    lost: f64,
}

impl Digits {
    fn take(&mut self, value: f64) {
        let (least, most) = self.range.unwrap_or((value, value));
        self.range = Some((least.min(value), most.max(value)));
        self.lost = self.lost.max((f64::from(value as f32) - value).abs());
    }

    /// A note that begins with `what`, if the rounding loses digits that distinguish rows.
    fn note_on(&self, what: &str) -> Option<String> {
        let (least, most) = self.range?;
        (most > least && self.lost > MOST_LOST * (most - least)).then(|| {
            format!("{what} more digits than f32 keeps, and lose those that distinguish rows: subtract a number near all of them first, such as {least}")
        })
    }
}

/// Values stored as f32 until one comes that f32 cannot represent exactly, and as f64 from then on.
#[derive(Default)]
pub(super) struct Values {
    exact: Vec<f32>,
    /// All values, once one of them needs f64.
    wide: Vec<f64>,
    expected: usize,
}

impl Values {
    /// Reserves memory for `count` values.
    fn expect(&mut self, count: usize) {
        self.exact.reserve_exact(count);
        self.expected = count;
    }

    fn push(&mut self, value: f64) {
        if self.wide.is_empty() && f64::from(value as f32) == value {
            return self.exact.push(value as f32);
        }
        if self.wide.is_empty() {
            self.wide.reserve_exact(self.expected.max(self.exact.len() + 1));
            self.wide.extend(std::mem::take(&mut self.exact).into_iter().map(f64::from));
        }
        self.wide.push(value);
    }
}

impl From<Values> for Features {
    fn from(Values { exact, wide, .. }: Values) -> Self {
        if wide.is_empty() { Features::F32(exact) } else { Features::F64(wide) }
    }
}

impl From<Values> for Vec<f64> {
    fn from(Values { exact, wide, .. }: Values) -> Self {
        if wide.is_empty() { exact.into_iter().map(f64::from).collect() } else { wide }
    }
}

/// The encoding of one table's rows.
pub(super) struct Encoding<'a> {
    columns: &'a Columns,
    path: &'a Path,
    /// The encoder of each feature column, with the index of its cell in a row.
    features: Vec<(Encoder<'a>, usize)>,
    targets: Vec<(&'a Target, usize)>,
    classes: HashMap<&'a str, u32>,
    count: usize,
    /// What to add to a number that is refused.
    cause: &'static str,
}

impl<'a> Encoding<'a> {
    /// The encoding of a table with these names, if it has any, and `count` cells a row.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for missing columns.
    pub fn new(
        columns: &'a Columns,
        path: &'a Path,
        names: Option<&[String]>,
        count: usize,
        options: &ReadOptions,
    ) -> Result<Self, Error> {
        let with_targets = !options.inputs_only;
        columns.check_places()?;
        if with_targets && columns.targets.is_empty() {
            return Err(Error::format(
                path,
                "the model's columns include no target: only a model that was trained on a table has one",
            ));
        }
        let (features, targets) = columns.places(path, names, count, options)?;
        let classes = columns.classes().filter(|_| with_targets).map(|words| indices(words)).unwrap_or_default();
        Ok(Encoding {
            columns,
            path,
            features: columns.features.iter().map(Encoder::new).zip(features).collect(),
            targets: columns.targets.iter().zip(targets).collect(),
            classes,
            count,
            cause: columns.cause(options),
        })
    }

    /// The number of cells in a row.
    #[cfg(feature = "cli")]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Encodes a row and appends it.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] naming the row, the column and the cell that is wrong.
    pub fn push(&self, row: usize, record: &StringRecord, to: &mut Encoded) -> Result<(), Error> {
        let wrong = |reason: String| Error::format(self.path, reason);
        let at = |name: &str, reason: String| wrong(format!("{}, column \"{name}\": {reason}", place_of(row, record)));
        if record.len() != self.count {
            return Err(wrong(format!(
                "{} has {}, and those before it {}: every row must have the same number",
                place_of(row, record),
                counted(record.len(), "cell"),
                self.count
            )));
        }
        let without = self.targets.iter().find(|(_, place)| self.columns.missing.is(&record[*place]));
        match without {
            Some(_) if to.leaves_out => {
                to.left_out += 1;
                return Ok(());
            }
            Some((target, place)) => return Err(at(&target.name, no_target(&record[*place]))),
            None => {}
        }
        for (encoder, place) in &self.features {
            let pushed = encoder.push(&record[*place], self.columns, self.cause, &mut to.features);
            pushed.map_err(|reason| at(&encoder.column.name, reason))?;
        }
        for (target, place) in &self.targets {
            let cell = &record[*place];
            let reason = |reason: String| at(&target.name, reason);
            match &target.classes {
                Some(classes) => to.labels.push(self.label(cell, classes).map_err(reason)?),
                None => {
                    let value = finite(cell, target.written.number(cell)).map_err(reason)?;
                    to.digits.take(value);
                    to.values.push(value as f32);
                }
            }
        }
        Ok(())
    }

    /// The index of a class.
    fn label(&self, cell: &str, classes: &[String]) -> Result<u32, String> {
        let unknown =
            || format!("\"{}\" is none of the {} classes, which are {}", short(cell), classes.len(), listed(classes));
        index_of(&self.classes, cell).ok_or_else(unknown)
    }
}

/// The message about a missing target.
fn no_target(cell: &str) -> String {
    const LEAVE_OUT: &str = "fill it in, or have such rows left out (--missing-target leave-out; or missing_target under [data] in run.toml)";
    match cell {
        "" => format!("the target is missing: {LEAVE_OUT}"),
        word => {
            format!(
                "the target is missing, as \"{word}\" stands for a missing value: {LEAVE_OUT}; {}",
                Missing::otherwise(word)
            )
        }
    }
}

/// A cell's number, which must be finite as an f32.
fn finite(cell: &str, number: Option<f64>) -> Result<f64, String> {
    let value = number.ok_or_else(|| format!("\"{}\" is not a number", short(cell)))?;
    if (value as f32).is_finite() { Ok(value) } else { Err(format!("{} is not a finite f32", short(cell))) }
}

pub(super) fn indices(words: &[String]) -> HashMap<&str, u32> {
    words.iter().zip(0..).map(|(word, index)| (word.as_str(), index)).collect()
}

/// A column with the index of each of its words among its features.
struct Encoder<'a> {
    column: &'a Column,
    words: HashMap<&'a str, u32>,
}

impl<'a> Encoder<'a> {
    fn new(column: &'a Column) -> Self {
        let words = match &column.cells {
            Cells::Category { words, .. } | Cells::Embedded { words, .. } => indices(words),
            Cells::Number { .. } => HashMap::new(),
        };
        Encoder { column, words }
    }

    /// Appends a cell's features; a number that is refused has the `cause` added.
    fn push(&self, cell: &str, columns: &Columns, cause: &str, features: &mut Values) -> Result<(), String> {
        let is_missing = columns.missing.is(cell);
        match &self.column.cells {
            Cells::Number { fill: Some(fill), .. } if is_missing => features.push(*fill),
            Cells::Number { .. } if is_missing => return Err(columns.missing.reason(cell)),
            Cells::Number { written, .. } => {
                let number = finite(cell, written.number(cell)).map_err(|reason| reason + cause)?;
                features.push(number);
            }
            Cells::Category { words, fill } => {
                let word = self.word(cell, columns, words, *fill)?;
                (0..).take(words.len()).for_each(|at| features.push(f64::from(u8::from(Some(at) == word))));
            }
            // The first word is number 1, as none is number 0.
            Cells::Embedded { words, fill, .. } => {
                let word = self.word(cell, columns, words, *fill)?;
                features.push(word.map_or(0.0, |word| f64::from(word) + 1.0));
            }
        }
        Ok(())
    }

    /// The index of a cell among its column's words; none where it is missing, or unknown, and may be.
    fn word(&self, cell: &str, columns: &Columns, words: &[String], fill: bool) -> Result<Option<u32>, String> {
        let is_missing = columns.missing.is(cell);
        match index_of(&self.words, cell) {
            Some(word) => Ok(Some(word)),
            None if is_missing && fill => Ok(None),
            None if is_missing => Err(columns.missing.reason(cell)),
            None if columns.unknown_is_none => Ok(None),
            None => Err(format!(
                "\"{}\" is none of its words, which are {}; --unknown none (unknown = \"none\" under [data]) treats it as none of them",
                short(cell),
                listed(words)
            )),
        }
    }
}
