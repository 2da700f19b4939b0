//! Tables as text: CSV, TSV.

use std::collections::HashSet;
use std::path::Path;

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord, Trim};

use super::delimiter::{self, Quotes};
use super::header::{self, Decision, ROWS_TO_JUDGE_BY};
use super::rows::Table;
use crate::data::{Dataset, ReadOptions};
use crate::error::Error;
use crate::named::counted;
use crate::preprocessing::{Columns, Missing, is_number};

/// The number of cells that are read to decide whether the first row is a header.
const CELLS_TO_JUDGE_BY: usize = 200_000;
/// The byte order mark, which may precede a file's text.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a set from a file's text.
pub(in crate::data) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    read_with(path, bytes, options, b',')
}

/// Reads a set from a file's text, whose usual delimiter is a tab.
pub(in crate::data) fn read_tsv(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    read_with(path, bytes, options, b'\t')
}

fn read_with(path: &Path, bytes: &[u8], options: &ReadOptions, usual: u8) -> Result<Dataset, Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let (delimiter, note) = delimiter_of(bytes, options, usual)?;
    let read = || {
        let text = Text::open(path, bytes, delimiter, options)?;
        let set = super::read(&text, options)?;
        Ok(set.noted_all(path, note.into_iter().chain(text.note)))
    };
    read().map_err(|error| hinted(error, bytes, delimiter))
}

/// The delimiter: the one that was asked for, or that of a model's table or of the file's extension, or else another one that clearly fits
/// better, with a note.
pub(super) fn delimiter_of(bytes: &[u8], options: &ReadOptions, usual: u8) -> Result<(u8, Option<String>), Error> {
    if let Some(asked) = options.delimiter {
        let asked_byte = u8::try_from(asked).ok().filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte));
        let wrong = || Error::Option(format!("the delimiter is {asked:?}: it must be one ASCII character, as , or ;"));
        return Ok((asked_byte.ok_or_else(wrong)?, None));
    }
    let columns = options.columns.as_ref();
    let kept = columns.and_then(|columns| columns.delimiter).and_then(|kept| u8::try_from(kept).ok());
    let usual = kept.unwrap_or(usual);
    let fits = |cells: usize| columns.is_some_and(|columns| columns.takes_rows_of(cells));
    let found =
        if delimiter::cells_of_first(bytes, usual).is_some_and(fits) { usual } else { delimiter::of(bytes, usual) };
    let note = || {
        let [found, usual] = [found, usual].map(char::from);
        // Escaped as TOML has it, too.
        let usual = usual.escape_default();
        format!(
            "its cells are between {found:?}: delimiter = \"{usual}\" under [data] in run.toml (--delimiter) changes that"
        )
    };
    Ok((found, (found != usual).then(note)))
}

/// Adds a hint to an error if the first line has another delimiter as often, as `1,5;2,5` does, or only spaces.
fn hinted(error: Error, bytes: &[u8], delimiter: u8) -> Error {
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|&&byte| byte == delimiter).count();
    let other = b";\t|,".iter().copied().filter(|&other| other != delimiter).max_by_key(|&other| count(other));
    let hint = match other {
        Some(other) if count(other) > 0 && count(other) >= count(delimiter) => {
            format!(
                "is {:?} between its cells? delimiter under [data] in run.toml (--delimiter) says so",
                char::from(other)
            )
        }
        _ if delimiter::is_spaced(bytes) => {
            "are its cells separated by spaces? They must be separated by commas, tabs or semicolons".into()
        }
        _ => return error,
    };
    match error {
        Error::Format { path, reason } => Error::Format { path, reason: format!("{reason}; {hint}") },
        error => error,
    }
}

/// A text, and what its first line is.
struct Text<'a> {
    path: &'a Path,
    /// The rows, and the lines before them.
    bytes: &'a [u8],
    lines_before: u64,
    delimiter: u8,
    names: Option<Vec<String>>,
    /// A note on the decision about the first line, where it was not obvious.
    note: Option<String>,
}

impl<'a> Text<'a> {
    fn open(path: &'a Path, bytes: &'a [u8], delimiter: u8, options: &ReadOptions) -> Result<Self, Error> {
        let mut quotes = Quotes::default();
        quotes.feed(bytes, delimiter);
        if let Some(line) = quotes.broken().or(quotes.opened()) {
            return Err(Error::format(path, open_quote(line)));
        }
        let text = Text { path, bytes, lines_before: 0, delimiter, names: None, note: None };
        let mut reader = text.reader_with(true);
        let mut first = StringRecord::new();
        if !text.next(&mut reader, &mut first)? {
            return Ok(text);
        }
        let rows_begin = reader.position().byte() as usize;
        let mut text = Text { bytes: &bytes[rows_begin..], lines_before: newlines(&bytes[..rows_begin]), ..text };
        let rows = text.begin(ROWS_TO_JUDGE_BY.min(CELLS_TO_JUDGE_BY / first.len().max(1)).max(1))?;
        let count = rows.first().map(StringRecord::len);
        if let Some(Decision { is_header: false, because: Some(because) }) =
            counts_of_scikit_learn(&text, &first, &rows)
        {
            return Ok(Text { note: Some(format!("line 1 is left out: {because}")), ..text });
        }
        // R's write.table has no name for the names of its rows.
        let has_no_first = |columns: &Columns| columns.features.iter().all(|column| column.place > 0);
        let one_fewer = count == Some(first.len() + 1)
            && first.iter().all(|cell| !cell.is_empty() && !is_number(cell))
            && options.columns.as_ref().is_none_or(has_no_first)
            && header::tells_apart(&rows, 0, &Missing(options.missing.clone()));
        if one_fewer {
            first = std::iter::once("").chain(&first).collect();
        }
        let Decision { is_header, because } = is_header(&first, &rows, options);
        if let Some(count) = count.filter(|&count| count != first.len() || one_fewer && !is_header) {
            let line = rows[0].position().map_or(0, Position::line);
            let names = first.len() - usize::from(one_fewer);
            return Err(Error::format(
                path,
                format!(
                    "line {line} has {}, and those before it {names}: every row must have the same number",
                    counted(count, "cell")
                ),
            ));
        }
        if !is_header {
            (text.bytes, text.lines_before) = (bytes, 0);
        } else {
            text.names = Some(first.iter().map(String::from).collect());
        }
        let because = because
            .or(one_fewer.then(|| "it has one cell less than the rows, whose first cells distinguish them".into()));
        text.note = because.map(|because| match is_header {
            true => format!("line 1 is taken for the columns' names, as {because}: header = false under [data] in run.toml (--no-header) changes that"),
            false => format!("line 1 is taken for a row, as {because}: header = true under [data] in run.toml (--header) changes that"),
        });
        Ok(text)
    }

    fn reader(&self) -> Reader<&'a [u8]> {
        self.reader_with(false)
    }

    fn reader_with(&self, flexible: bool) -> Reader<&'a [u8]> {
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(flexible).delimiter(self.delimiter).trim(Trim::All).from_reader(self.bytes)
    }

    /// The next row, header or not.
    fn next(&self, reader: &mut Reader<&[u8]>, record: &mut StringRecord) -> Result<bool, Error> {
        let is_there = reader.read_record(record).map_err(|error| Error::format(self.path, self.reason(&error)))?;
        if let Some(mut position) = record.position().cloned() {
            position.set_line(self.line(&position));
            record.set_position(Some(position));
        }
        Ok(is_there)
    }

    /// The line that a row begins in. Its position is where the row before it ended: at the \n of an \r\n, and before empty lines.
    fn line(&self, position: &Position) -> u64 {
        let rest = self.bytes.get(position.byte() as usize..).unwrap_or_default();
        let ends = rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.lines_before + position.line() + newlines(&rest[..ends])
    }

    fn reason(&self, error: &csv::Error) -> String {
        let line = |position: &Option<Position>| position.as_ref().map_or(0, |position| self.line(position));
        match error.kind() {
            ErrorKind::UnequalLengths { pos, expected_len, len } => {
                format!(
                    "line {} has {}, and those before it {expected_len}: every row must have the same number",
                    line(pos),
                    counted(*len as usize, "cell")
                )
            }
            ErrorKind::Utf8 { pos, err } => {
                format!(
                    "line {}, column {}: it is not UTF-8; save the file in that encoding",
                    line(pos),
                    err.field() + 1
                )
            }
            _ => format!("it cannot be read: {error}"),
        }
    }

    /// The first `count` rows, or all if there are fewer.
    fn begin(&self, count: usize) -> Result<Vec<StringRecord>, Error> {
        let (mut reader, mut record, mut records) = (self.reader(), StringRecord::new(), Vec::new());
        while records.len() < count && self.next(&mut reader, &mut record)? {
            records.push(record.clone());
        }
        Ok(records)
    }
}

/// The message on a quote that is never closed.
pub(super) fn open_quote(line: u64) -> String {
    format!(
        "line {line}: a quote (\") opens a cell there, and none closes it before the file ends: close it, or write \"\" for each of a cell's own"
    )
}

pub(super) fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

/// Whether the first row names the columns.
fn is_header(first: &StringRecord, rows: &[StringRecord], options: &ReadOptions) -> Decision {
    let plain = |is_header: bool| Decision { is_header, because: None };
    match (options.header, &options.columns, &options.label) {
        (Some(header), ..) => plain(header),
        (None, Some(columns), _) => plain(names_columns(first, columns)),
        // A label that is a name implies that the columns have names.
        (None, None, Some(label)) if label.split(',').any(|label| label.trim().parse::<usize>().is_err()) => {
            plain(true)
        }
        _ if options.inputs_only && rows.is_empty() => plain(false),
        (None, None, _) => header::decide(first, rows, &Missing(options.missing.clone())),
    }
}

/// Whether a first row names the columns of a table that is known.
pub(super) fn names_columns(first: &StringRecord, columns: &Columns) -> bool {
    let words: HashSet<&str> = first.iter().collect();
    // A column of words may be missing, which is reported later; if all columns are words, all must be there.
    let mut names = columns.features.iter().map(|column| column.name.as_str());
    let are_named = match columns.numeric().next() {
        Some(_) => columns.numeric().all(|(_, name)| words.contains(name)),
        None => names.all(|name| words.contains(name)),
    };
    if columns.named && are_named {
        return true;
    }
    let is_name = |cell: Option<&str>| cell.is_some_and(|cell| !is_number(cell) && !columns.missing.is(cell));
    let mut numeric = columns.numeric().peekable();
    numeric.peek().is_some() && numeric.all(|(place, _)| is_name(first.get(place)))
}

/// The first line of scikit-learn's own files: the numbers of rows and of features, and the classes' names.
fn counts_of_scikit_learn(text: &Text<'_>, first: &StringRecord, rows: &[StringRecord]) -> Option<Decision> {
    let count = |at: usize| first.get(at)?.parse::<usize>().ok();
    let (samples, features) = (count(0)?, count(1)?);
    let names_classes = first.len() > 2 && first.iter().skip(2).all(|name| !is_number(name));
    if !names_classes || rows.first()?.len() != features + 1 {
        return None;
    }
    let mut all = 0;
    text.each(&mut |_, _| {
        all += 1;
        Ok(())
    })
    .ok()?;
    let because = "it counts rows and features and names classes, as scikit-learn's files do".into();
    (all == samples).then_some(Decision { is_header: false, because: Some(because) })
}

impl Table for Text<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    fn delimiter(&self) -> Option<char> {
        Some(self.delimiter.into())
    }

    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error> {
        let (mut reader, mut record) = (self.reader(), StringRecord::new());
        let mut row = 0;
        while self.next(&mut reader, &mut record)? {
            take(row, &record)?;
            row += 1;
        }
        Ok(())
    }
}
