//! Tables as text: CSV, TSV.

use std::collections::HashSet;
use std::path::Path;

use csv::{ErrorKind, Position, Reader, ReaderBuilder, StringRecord, Trim};

use super::cell::{is_missing, is_number};
use super::columns::{Columns, Table};
use super::{Dataset, ReadOptions};
use crate::Error;

/// How many rows are looked at to see whether the first is a header.
const ROWS_TO_JUDGE_BY: usize = 1_000;

/// A set from a file's text.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    read_with(path, bytes, options, b',')
}

/// The same with tabs.
pub(super) fn read_tsv(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Dataset, Error> {
    read_with(path, bytes, options, b'\t')
}

fn read_with(path: &Path, bytes: &[u8], options: &ReadOptions, delimiter: u8) -> Result<Dataset, Error> {
    let delimiter = match options.delimiter {
        None => delimiter,
        Some(asked) => {
            u8::try_from(asked).ok().filter(|asked| asked.is_ascii() && !b"\"\r\n".contains(asked)).ok_or_else(
                || Error::Option(format!("the delimiter is {asked:?}: it must be one ASCII character, as , or ;")),
            )?
        }
    };
    let text = Text { path, bytes, delimiter, names: None };
    encoded(text, options).map_err(|error| hinted(error, bytes, delimiter))
}

/// Where the first line has as much of another delimiter, as `1,5;2,5` does: that one is named.
fn hinted(error: Error, bytes: &[u8], delimiter: u8) -> Error {
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|&&byte| byte == delimiter).count();
    let other = b";\t|,".iter().copied().filter(|&other| other != delimiter).max_by_key(|&other| count(other));
    match (error, other) {
        (Error::Format { path, reason }, Some(other)) if count(other) > 0 && count(other) >= count(delimiter) => {
            let other = char::from(other);
            Error::Format {
                path,
                reason: format!("{reason}; is {other:?} between its cells? delimiter under [data] in run.toml says so"),
            }
        }
        (error, _) => error,
    }
}

fn encoded(mut text: Text<'_>, options: &ReadOptions) -> Result<Dataset, Error> {
    let header = match (options.header, &options.columns, &options.label) {
        (Some(header), ..) => header,
        (None, Some(columns), _) => text.has_header_of(columns)?,
        // A column that is asked for by name has one.
        (None, None, Some(label)) if label.parse::<usize>().is_err() => true,
        (None, None, _) => text.has_header()?,
    };
    if header {
        let first = text.begin(1)?.pop();
        text.names = Some(first.unwrap_or_default().iter().map(String::from).collect());
    }
    match &options.columns {
        Some(columns) => columns.encode(&text, !options.inputs_only),
        None if options.inputs_only => {
            let count = text.begin(2)?.pop().map_or(0, |record| record.len());
            Columns::numbers(count).encode(&text, false)
        }
        None => Columns::learn(&text, options)?.encode(&text, true),
    }
}

struct Text<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    delimiter: u8,
    names: Option<Vec<String>>,
}

impl Text<'_> {
    fn reader(&self) -> Reader<&[u8]> {
        ReaderBuilder::new().has_headers(false).delimiter(self.delimiter).trim(Trim::All).from_reader(self.bytes)
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
        let ends = rest.iter().take_while(|byte| b"\r\n".contains(byte));
        position.line() + ends.filter(|&&byte| byte == b'\n').count() as u64
    }

    fn reason(&self, error: &csv::Error) -> String {
        let line = |position: &Option<Position>| position.as_ref().map_or(0, |position| self.line(position));
        match error.kind() {
            ErrorKind::UnequalLengths { pos, expected_len, len } => {
                format!(
                    "line {} has {len} cells, and those before it {expected_len}: every row must have as many",
                    line(pos)
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

    /// The first rows, or fewer where there are not so many.
    fn begin(&self, count: usize) -> Result<Vec<StringRecord>, Error> {
        let (mut reader, mut record, mut records) = (self.reader(), StringRecord::new(), Vec::new());
        while records.len() < count && self.next(&mut reader, &mut record)? {
            records.push(record.clone());
        }
        Ok(records)
    }

    /// Whether the first row names the others' columns: none of those that are numbers below it is one there. Where no column is,
    /// it does.
    fn has_header(&self) -> Result<bool, Error> {
        let (mut reader, mut record) = (self.reader(), StringRecord::new());
        if !self.next(&mut reader, &mut record)? {
            return Ok(false);
        }
        let first = record.clone();
        let mut numeric = vec![true; first.len()];
        for _ in 1..=ROWS_TO_JUDGE_BY {
            if !self.next(&mut reader, &mut record)? {
                break;
            }
            numeric.iter_mut().zip(&record).for_each(|(numeric, cell)| *numeric &= is_number(cell) || is_missing(cell));
        }
        // One row of words alone is a header with nothing below it.
        Ok(first.iter().zip(numeric).all(|(cell, numeric)| !numeric || !is_number(cell) && !is_missing(cell)))
    }

    /// The same where the columns are known.
    fn has_header_of(&self, columns: &Columns) -> Result<bool, Error> {
        let first = self.begin(1)?.pop().unwrap_or_default();
        let words: HashSet<&str> = first.iter().collect();
        // Any column of words may be left out, which is told later; where there are no others, all have to be there.
        let has_numbers = columns.numeric().next().is_some();
        let are_named = match has_numbers {
            true => columns.numeric().all(|(_, name)| words.contains(name)),
            false => columns.names().all(|name| words.contains(name)),
        };
        if columns.is_named() && are_named {
            return Ok(true);
        }
        let is_name = |cell: Option<&str>| cell.is_some_and(|cell| !is_number(cell) && !is_missing(cell));
        let mut numeric = columns.numeric().peekable();
        Ok(numeric.peek().is_some() && numeric.all(|(place, _)| is_name(first.get(place))))
    }
}

impl Table for Text<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error> {
        let (mut reader, mut record) = (self.reader(), StringRecord::new());
        if self.names.is_some() {
            self.next(&mut reader, &mut record)?;
        }
        let mut row = 0;
        while self.next(&mut reader, &mut record)? {
            take(row, &record)?;
            row += 1;
        }
        Ok(())
    }
}
