//! Learns the columns of a table: numbers or words, features or targets.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use csv::StringRecord;

use super::asked::{Asked, Roles};
use super::column::TableColumn;
use super::rows::{Table, called, check_names, listed, place_of};
use crate::data::ReadOptions;
use crate::error::Error;
use crate::preprocessing::{
    Cells, Column, Columns, Fill, Hints, Judge, Missing, Target, Verdict, Written, distinct, short, whole,
};

/// The most different words of a column that is to become one feature for each.
const MOST_CATEGORIES: usize = 1_000;
/// The same of a column that is to become vectors.
const MOST_EMBEDDED: usize = 100_000;
/// The name that pandas gives a column without one when it reads and writes a table again.
const PANDAS_NAMELESS: &str = "Unnamed: 0";

/// The columns that were learned from a table.
pub(in crate::data) struct Learned {
    pub columns: Columns,
    /// All of the table's columns.
    pub about: Vec<TableColumn>,
    /// Notes on what was decided, and on what looks wrong: a sentence each.
    pub notes: Vec<String>,
}

impl Columns {
    /// Looks at every cell, to see which columns are numbers, which words the others have, and what the classes are.
    pub(in crate::data) fn learn(table: &dyn Table, options: &ReadOptions) -> Result<Learned, Error> {
        let wrong = |reason: String| Error::format(table.path(), reason);
        let missing = Missing(options.missing.clone());
        let (mut seen, rows) = seen(table, &missing)?;
        let raw = table.names().map_or_else(|| vec![String::new(); seen.len()], <[String]>::to_vec);
        let names = called(&raw);
        check_names(table.path(), &names)?;
        let asked = Asked::new(table.path(), &names, options)?;
        let mut notes = Notes::default();
        let is_nameless = table.names().is_some() && (raw[0].is_empty() || raw[0] == PANDAS_NAMELESS);
        let begins_with_index = is_nameless && names.len() > 2 && !asked.is_named(0) && is_index(table, &seen[0])?;
        if begins_with_index {
            notes.of_index(&seen[0]);
        }
        let roles = asked.roles(table.path(), &names, options.regression, begins_with_index)?;
        add_words(table, &mut seen, &missing, &roles)?;
        let numeric: Vec<usize> = (0..names.len()).filter(|&place| roles.may_be_numeric(place)).collect();
        let judged = judged(table, &mut seen, &missing, options, &numeric)?;

        let mut columns = Vec::new();
        for &place in &roles.features {
            let is_categorical = roles.categorical.contains(&place);
            let name = &names[place];
            let cells = seen[place].cells_for(place, &roles, options.fill, judged.get(&place));
            let cells = cells.map_err(|reason| wrong(format!("column \"{name}\" {reason}")))?;
            notes.of_feature(name, &seen[place], rows, judged.get(&place), &cells, is_categorical);
            columns.push(Column { name: name.clone(), place, cells });
        }
        let mut learned = Vec::new();
        for &place in &roles.targets {
            let (seen, judged, name) = (&seen[place], judged.get(&place), names[place].clone());
            let target = if roles.has_numbers { seen.numbers(judged) } else { seen.classes() };
            let (classes, written) =
                target.map_err(|reason| wrong(format!("the target, column \"{name}\", {reason}")))?;
            notes.of_target(&name, seen, rows, &written, classes.as_deref());
            learned.push(Target { name, place, classes, written });
        }
        let about = (names.iter().enumerate().zip(&seen)).map(|((place, name), seen)| TableColumn {
            name: name.clone(),
            role: roles.of(place),
            // Columns are in the order of their places.
            is_numeric: match columns.binary_search_by_key(&place, |column| column.place) {
                Ok(at) => matches!(columns[at].cells, Cells::Number { .. }),
                Err(_) => roles.has_numbers && roles.targets.contains(&place) || seen.others == 0,
            },
            cells: seen.numbers + seen.others,
            missing: seen.missing,
        });
        let about = about.collect();
        let columns = Columns {
            named: table.names().is_some(),
            count: names.len(),
            features: columns,
            targets: learned,
            delimiter: table.delimiter(),
            missing,
            unknown_is_none: options.unknown_is_none,
        };
        Ok(Learned { columns, about, notes: notes.all() })
    }
}

/// Passes over all cells, and returns what each column has and the number of rows.
fn seen(table: &dyn Table, missing: &Missing) -> Result<(Vec<Seen>, u64), Error> {
    let mut seen: Vec<Seen> = Vec::new();
    let mut rows = 0u64;
    table.each(&mut |row, record| {
        if row == 0 {
            seen.resize_with(record.len(), Seen::default);
        }
        rows += 1;
        seen.iter_mut().zip(record).for_each(|(seen, cell)| seen.take(row, record, cell, missing));
        Ok(())
    })?;
    match rows {
        0 => Err(Error::format(table.path(), "it has no rows: at least one is needed")),
        _ => Ok((seen, rows)),
    }
}

/// Passes over all cells once more where a column that becomes vectors has more words than others may have.
fn add_words(table: &dyn Table, seen: &mut [Seen], missing: &Missing, roles: &Roles) -> Result<(), Error> {
    let has_more = |place: &usize| seen[*place].words.len() > MOST_CATEGORIES;
    let places: Vec<usize> = roles.embedded.keys().copied().filter(has_more).collect();
    if places.is_empty() {
        return Ok(());
    }
    table.each(&mut |_, record| {
        for &place in &places {
            let (cell, words) = (&record[place], &mut seen[place].words);
            if words.len() <= MOST_EMBEDDED && !missing.is(cell) && !words.contains(cell) {
                words.insert(cell.into());
            }
        }
        Ok(())
    })
}

/// The notes on a table, a sentence each.
#[derive(Default)]
struct Notes {
    sentences: Vec<String>,
    /// The ways in which numbers are written otherwise than programs do, with the columns that write them so.
    ways: BTreeMap<String, Vec<String>>,
}

impl Notes {
    fn of_index(&mut self, seen: &Seen) {
        self.sentences.push(format!(
            "its first column has no name and a different {} in each row: it is left out as the rows' index; a name, or categorical, keeps it",
            if seen.others == 0 { "number" } else { "word" }
        ));
    }

    fn of_feature(
        &mut self,
        name: &str,
        seen: &Seen,
        rows: u64,
        judged: Option<&Judged>,
        cells: &Cells,
        is_categorical: bool,
    ) {
        match cells {
            Cells::Number { written, .. } if !written.is_plain() => self.written(name, written),
            Cells::Category { .. } | Cells::Embedded { .. } if !is_categorical => {
                let instead = "leave it out (--ignore, or ignore under [data])";
                let each = if matches!(cells, Cells::Category { .. }) { "feature" } else { "vector" };
                self.sentences.extend(seen.looks_wrong(name, rows, judged, (each, instead)));
            }
            _ => {}
        }
    }

    fn of_target(&mut self, name: &str, seen: &Seen, rows: u64, written: &Written, classes: Option<&[String]>) {
        if !written.is_plain() {
            self.written(name, written);
        }
        if let Some(classes) = classes {
            self.sentences.extend(seen.looks_wrong_as_classes(name, rows, classes));
        }
    }

    fn written(&mut self, name: &str, written: &Written) {
        self.ways.entry(written.in_words()).or_default().push(name.to_string());
    }

    fn all(mut self) -> Vec<String> {
        self.sentences.extend(self.ways.into_iter().map(|(way, names)| {
            let columns = if names.len() == 1 { "column" } else { "columns" };
            format!(
                "{columns} {}: numbers are read {way}; categorical, or decimal under [data], changes that",
                listed(&names)
            )
        }));
        self.sentences
    }
}

/// Whether the first column only distinguishes rows: all its cells are whole numbers, or all words, and no two are alike.
fn is_index(table: &dyn Table, seen: &Seen) -> Result<bool, Error> {
    if seen.missing > 0 || seen.fractions || seen.numbers > 0 && seen.others > 0 {
        return Ok(false);
    }
    let hasher = RandomState::new();
    let (mut known, mut all_differ) = (HashSet::new(), true);
    table.each(&mut |_, record| {
        all_differ &= known.insert(hasher.hash_one(&record[0]));
        Ok(())
    })?;
    Ok(all_differ)
}

/// A column whose numbers are not all written plainly.
struct Judged {
    judge: Judge,
    verdict: Verdict,
    mean: f64,
}

/// Decides how numbers are written in the columns whose cells are not all plain numbers. It takes a second pass over all cells, and a third
/// where a mean is needed.
fn judged(
    table: &dyn Table,
    seen: &mut [Seen],
    missing: &Missing,
    options: &ReadOptions,
    places: &[usize],
) -> Result<BTreeMap<usize, Judged>, Error> {
    let may_be = |cell: &str| {
        let mut judge = Judge::default();
        judge.take(cell, String::new);
        judge.numbers > 0
    };
    let otherwise = |place: &&usize| seen[**place].others > 0 && seen[**place].words.iter().any(|word| may_be(word));
    if !places.iter().any(|place| otherwise(&place)) && options.decimal != Some(',') {
        return Ok(BTreeMap::new());
    }
    let mut judges: BTreeMap<usize, Judge> = places.iter().map(|&place| (place, Judge::default())).collect();
    table.each(&mut |row, record| {
        for (&place, judge) in &mut judges {
            let cell = &record[place];
            if !missing.is(cell) {
                judge.take(cell, || place_of(row, record));
            }
        }
        Ok(())
    })?;
    let hints = Hints {
        decimal: options.decimal,
        commas: judges.values().any(Judge::has_decimal_comma),
        semicolons: table.delimiter() == Some(';'),
        points: judges.values().any(Judge::has_decimal_point),
    };
    let mut all: BTreeMap<usize, Judged> = judges
        .into_iter()
        .map(|(place, judge)| {
            let verdict = judge.verdict(hints);
            (place, Judged { judge, verdict, mean: 0.0 })
        })
        // Columns of plain numbers need no decision.
        .filter(|(place, judged)| {
            seen[*place].others > 0 || matches!(&judged.verdict, Verdict::Numbers(written) if !written.is_plain())
        })
        .collect();
    if options.fill == Some(Fill::Mean) && !all.is_empty() {
        average(table, &mut all, missing)?;
    }
    Ok(all)
}

/// Averages the numbers of each of these columns.
fn average(table: &dyn Table, all: &mut BTreeMap<usize, Judged>, missing: &Missing) -> Result<(), Error> {
    let mut counts: BTreeMap<usize, f64> = BTreeMap::new();
    table.each(&mut |_, record| {
        for (&place, judged) in all.iter_mut() {
            if let Verdict::Numbers(written) = &judged.verdict
                && let Some(value) =
                    Some(&record[place]).filter(|cell| !missing.is(cell)).and_then(|cell| written.number(cell))
            {
                let count = counts.entry(place).or_default();
                *count += 1.0;
                judged.mean += (value - judged.mean) / *count;
            }
        }
        Ok(())
    })
}

/// What a pass over a column found.
#[derive(Default)]
struct Seen {
    numbers: u64,
    others: u64,
    sum: f64,
    /// Whether some numbers have a fraction.
    fractions: bool,
    /// The first cell that is no number, and where it is.
    no_number: Option<(String, String)>,
    missing: u64,
    /// The different cells, up to one more than there may be categories or classes.
    words: HashSet<String>,
}

impl Seen {
    fn take(&mut self, row: usize, record: &StringRecord, cell: &str, missing: &Missing) {
        if missing.is(cell) {
            self.missing += 1;
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

    /// The cells of the column of features at a place.
    fn cells_for(
        &self,
        place: usize,
        roles: &Roles,
        fill: Option<Fill>,
        judged: Option<&Judged>,
    ) -> Result<Cells, String> {
        let Some(&width) = roles.embedded.get(&place) else {
            return self.cells(fill, roles.categorical.contains(&place), judged, MOST_CATEGORIES);
        };
        match self.cells(fill, roles.categorical.contains(&place), judged, MOST_EMBEDDED)? {
            Cells::Category { words, fill } => Ok(Cells::Embedded { words, fill, width }),
            _ => Err(
                "has numbers, and embed takes words: where its numbers are categories, name it in categorical, too (--categorical; or categorical under [data] in \
                 run.toml)"
                    .into(),
            ),
        }
    }

    /// The cells of a column of features, which has at most this many different words.
    fn cells(
        &self,
        fill: Option<Fill>,
        categorical: bool,
        judged: Option<&Judged>,
        most: usize,
    ) -> Result<Cells, String> {
        let of_numbers = |written: Written, mean: f64| {
            let fill = fill.map(|fill| match fill {
                Fill::Mean => mean,
                Fill::Zero => 0.0,
                Fill::Number(number) => number.into(),
            });
            Cells::Number { fill: fill.filter(|fill| fill.is_finite()), written }
        };
        match judged.map(|judged| (&judged.verdict, judged.mean)) {
            Some((Verdict::Numbers(written), mean)) => return Ok(of_numbers(written.clone(), mean)),
            Some((Verdict::Either(cell), _)) => return Err(either(cell)),
            Some((Verdict::Words, _)) | None => {}
        }
        if self.no_number.is_none() && !categorical {
            return Ok(of_numbers(
                Written::default(),
                if self.numbers > 0 { self.sum / self.numbers as f64 } else { 0.0 },
            ));
        }
        let first = self
            .no_number
            .as_ref()
            .map_or(String::new(), |(cell, at)| format!("; the first cell that is not a number is \"{cell}\" in {at}"));
        match self.words.len() {
            0 => Err("has no values: leave it out (ignore)".into()),
            1.. if self.words.len() <= most => Ok(Cells::Category { words: self.distinct(), fill: fill.is_some() }),
            _ if most > MOST_CATEGORIES => {
                Err(format!("has more than {most} different words, a vector for each: leave it out (ignore){first}"))
            }
            _ => Err(format!(
                "has more than {MOST_CATEGORIES} different words, a feature for each: leave it out (ignore), or give them vectors (embed){first}"
            )),
        }
    }

    /// Its different words.
    fn distinct(&self) -> Vec<String> {
        distinct(self.words.iter().map(String::as_str))
    }

    /// The notes on a column that is read as words: numbers, of which a few cells, perhaps mistyped, make it words; and words that differ in
    /// nearly every row, so that they predict nothing.
    fn looks_wrong(
        &self,
        name: &str,
        rows: u64,
        judged: Option<&Judged>,
        (each, way_out): (&str, &str),
    ) -> Vec<String> {
        let numbers = judged.map_or(self.numbers, |judged| judged.judge.numbers);
        let all = self.numbers + self.others;
        let misfit = judged.and_then(|judged| judged.judge.misfit());
        let words = self.words.len();
        let many = 2 * words as u64 > rows;
        let mut notes = Vec::new();
        if 2 * numbers >= all && numbers > 0 {
            let (cell, at) = misfit.map_or_else(
                || self.no_number.as_ref().map_or(("", ""), |(cell, at)| (cell, at)),
                |(_, cell, at)| (cell, at),
            );
            let unlike = match misfit {
                Some((first, ..)) if numbers == all => format!("is not written as \"{}\" before it", short(first)),
                _ => format!("is not a number, and {numbers} of {all} cells are"),
            };
            notes.push(format!(
                "column \"{name}\" is taken for {words} words, as \"{}\" in {at} {unlike}: correct it, list it as a missing value (missing), or name the \
                 column in categorical",
                short(cell)
            ));
        }
        if many {
            notes.push(format!(
                "column \"{name}\" has {words} different words in {rows} rows, and becomes a {each} for each. It looks like names, identifiers or \
                 dates, which say nothing about new rows; {way_out}"
            ));
        }
        notes
    }

    /// The number format of a target that is numbers.
    fn numbers(&self, judged: Option<&Judged>) -> Result<(Option<Vec<String>>, Written), String> {
        match (judged.map(|judged| &judged.verdict), &self.no_number) {
            (Some(Verdict::Numbers(written)), _) => Ok((None, written.clone())),
            (Some(Verdict::Either(cell)), _) => Err(either(cell)),
            (_, None) => Ok((None, Written::default())),
            (_, Some((cell, at))) => {
                let misfit = judged.and_then(|judged| judged.judge.misfit());
                let (cell, at) = misfit.map_or((cell.as_str(), at.as_str()), |(_, cell, at)| (cell, at));
                Err(format!("has \"{}\" in {at}: every target must be a number", short(cell)))
            }
        }
    }

    /// The class names of a target that is classes.
    fn classes(&self) -> Result<(Option<Vec<String>>, Written), String> {
        if self.no_number.is_none() && self.fractions {
            return Err(
                "has numbers with fractions, which are not classes: a loss for numbers (mse, mae, huber) predicts them"
                    .into(),
            );
        }
        if self.words.len() > MOST_CATEGORIES {
            let what = if self.no_number.is_none() {
                "numbers: a loss for numbers (mse, mae, huber) predicts them"
            } else {
                "words: these are not classes"
            };
            return Err(format!("has more than {MOST_CATEGORIES} different {what}"));
        }
        Ok((Some(self.distinct()), Written::default()))
    }

    /// The notes on classes that may be a mistake.
    fn looks_wrong_as_classes(&self, name: &str, rows: u64, classes: &[String]) -> Vec<String> {
        let all = self.numbers + self.others;
        let mut notes = Vec::new();
        if let Some((cell, at)) = self.no_number.as_ref().filter(|_| self.numbers > 9 * self.others) {
            notes.push(format!(
                "the target, column \"{name}\", has the word \"{cell}\" in {at}, which is not a number, and {} of {all} cells are: it is a class of its own",
                self.numbers
            ));
        }
        if self.no_number.is_none() && classes.iter().any(|class| whole(class).is_none()) {
            notes.push(format!(
                "the target, column \"{name}\", has numbers in unusual notations, as 01 or 1e3: each is a class as it is written"
            ));
        }
        if 2 * classes.len() as u64 > rows && classes.len() > 2 {
            let way_out = match self.no_number {
                None => "a loss for numbers (--loss mse, mae or huber) predicts them as numbers",
                Some(_) => "choose another column with --label",
            };
            notes.push(format!(
                "the target, column \"{name}\", has {} classes in {rows} rows: {way_out}",
                classes.len()
            ));
        }
        notes
    }
}

/// The message on an ambiguous number.
fn either(cell: &str) -> String {
    format!(
        "has \"{cell}\", and no other cell says whether commas are between thousands or before a fraction: decimal = \",\" or \".\" under [data] in run.toml \
         (--decimal) does"
    )
}
