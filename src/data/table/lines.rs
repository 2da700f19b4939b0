//! Encodes the rows of a text as they come, so that each line of a stream is answered before the next one arrives.

use std::collections::VecDeque;
use std::io::{BufRead, Read};
use std::path::Path;

use csv::{Position, ReaderBuilder, StringRecord, Trim};

use super::delimiter::Quotes;
use super::encode::{Encoded, Encoding};
use super::text::{BYTE_ORDER_MARK, delimiter_of, names_columns, newlines, open_quote};
use crate::data::ReadOptions;
use crate::error::Error;
use crate::preprocessing::Columns;

/// The most bytes of a row.
const MOST_OF_ROW: u64 = 1 << 24;

/// The rows of a text for a model, one after the other. The rows after one that cannot be read are still read.
pub(crate) struct Lines<'a, R> {
    path: &'a Path,
    input: R,
    columns: &'a Columns,
    options: &'a ReadOptions,
    delimiter: Option<u8>,
    /// The columns' names, if the first line has them.
    names: Option<Vec<String>>,
    /// The encoding, which is known once the first row is read.
    encoding: Option<Encoding<'a>>,
    /// Rows that were read together with the one before them.
    records: VecDeque<StringRecord>,
    lines: u64,
    rows: usize,
    /// Whether nothing more is to be read.
    has_ended: bool,
}

/// A row.
pub(crate) struct Line {
    /// The row's number, from 0.
    pub row: usize,
    /// The line's number, from 1.
    pub line: u64,
    /// The features, or what is wrong with the row.
    pub features: Result<Vec<f64>, Error>,
}

impl<'a, R: BufRead> Lines<'a, R> {
    /// The rows of a text, which become the features of these columns; the path is for messages.
    pub fn new(path: &'a Path, input: R, columns: &'a Columns, options: &'a ReadOptions) -> Self {
        let (names, encoding, records) = (None, None, VecDeque::new());
        Lines {
            path,
            input,
            columns,
            options,
            delimiter: None,
            names,
            encoding,
            records,
            lines: 0,
            rows: 0,
            has_ended: false,
        }
    }

    /// The next line that is not empty, with the lines that an open quote continues it on; empty at the end.
    fn bytes(&mut self) -> Result<Vec<u8>, Error> {
        let (mut bytes, mut quotes) = (Vec::new(), Quotes::default());
        loop {
            let seen = bytes.len();
            let room = MOST_OF_ROW - seen as u64;
            let read = self.input.by_ref().take(room).read_until(b'\n', &mut bytes);
            let read = read.inspect_err(|_| self.has_ended = true).map_err(Error::io(self.path))?;
            if seen == 0 && bytes.iter().all(|byte| b"\r\n".contains(byte)) && read > 0 {
                self.lines += newlines(&bytes);
                bytes.clear();
                continue;
            }
            if bytes.len() as u64 == MOST_OF_ROW {
                self.lines += newlines(&bytes) + u64::from(!bytes.ends_with(b"\n"));
                self.skip_line(bytes.ends_with(b"\n"))?;
                return Err(self.wrong(format!("line {}: its row has {MOST_OF_ROW} bytes and more", self.lines)));
            }
            quotes.feed(&bytes[seen..], self.delimiter.unwrap_or(b','));
            match (read, quotes.opened()) {
                (0, Some(line)) => {
                    self.has_ended = true;
                    return Err(self.wrong(open_quote(self.lines + line)));
                }
                (_, None) => return Ok(bytes),
                _ => {}
            }
        }
    }

    /// Skips the rest of a line.
    fn skip_line(&mut self, mut at_end: bool) -> Result<(), Error> {
        while !at_end {
            let rest = self.input.fill_buf().map_err(Error::io(self.path))?;
            let end = rest.iter().position(|&byte| byte == b'\n');
            at_end = end.is_some() || rest.is_empty();
            let taken = end.map_or(rest.len(), |end| end + 1);
            self.input.consume(taken);
        }
        Ok(())
    }

    fn wrong(&self, reason: String) -> Error {
        Error::format(self.path, reason)
    }

    /// The next row's cells, with the line that it is in.
    fn record(&mut self) -> Result<Option<StringRecord>, Error> {
        while self.records.is_empty() {
            if self.has_ended {
                return Ok(None);
            }
            let bytes = self.bytes()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let is_first = self.delimiter.is_none();
            let text = bytes.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(&bytes);
            let delimiter = match self.delimiter {
                Some(delimiter) => delimiter,
                None => delimiter_of(text, self.options, b',')?.0,
            };
            self.delimiter = Some(delimiter);
            let before = self.lines;
            self.lines += newlines(&bytes);
            // Line ends are counted from row to row, and each byte only once: a file may have all rows in one line.
            let (mut counted, mut line) = (0, before);
            let mut reader = ReaderBuilder::new();
            let reader =
                reader.has_headers(false).flexible(true).delimiter(delimiter).trim(Trim::All).from_reader(text);
            for record in reader.into_records() {
                let not_text =
                    |_| self.wrong(format!("line {}: it is not UTF-8; save the file in that encoding", before + 1));
                let mut record = record.map_err(not_text)?;
                // The line's number as an editor shows it, also after empty lines.
                let begin = record.position().map_or(0, |position| position.byte() as usize);
                let blank = text[begin..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let mut position = record.position().cloned().unwrap_or_else(Position::new);
                line += newlines(&text[counted..begin + blank]);
                counted = begin + blank;
                position.set_line(line + 1);
                record.set_position(Some(position));
                self.records.push_back(record);
            }
            if is_first
                && let Some(first) = self.records.front()
                && self.options.header.unwrap_or_else(|| {
                    self.columns.are_named_in(first) || !self.columns.named && names_columns(first, self.columns)
                })
            {
                self.names = Some(first.iter().map(String::from).collect());
                self.records.pop_front();
            }
        }
        Ok(self.records.pop_front())
    }

    /// The features of a row.
    fn features(&mut self, row: usize, record: &StringRecord) -> Result<Vec<f64>, Error> {
        // Rows may have the target's cell or not.
        let count = self.names.as_ref().map_or(record.len(), Vec::len);
        if self.encoding.as_ref().is_none_or(|encoding| encoding.count() != count) {
            self.encoding = Some(Encoding::new(self.columns, self.path, self.names.as_deref(), count, self.options)?);
        }
        let mut encoded = Encoded::default();
        self.encoding.as_ref().map_or(Ok(()), |encoding| encoding.push(row, record, &mut encoded))?;
        Ok(encoded.features.into())
    }
}

impl<R: BufRead> Iterator for Lines<'_, R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        let row = self.rows;
        self.rows += 1;
        Some(match self.record().transpose()? {
            Ok(record) => {
                let line = record.position().map_or(0, Position::line);
                Line { row, line, features: self.features(row, &record) }
            }
            Err(error) => Line { row, line: self.lines.max(1), features: Err(error) },
        })
    }
}
