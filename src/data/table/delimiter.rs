//! Detects the delimiter of a table in text, and unclosed quotes.

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::preprocessing::Judge;

/// The delimiters that are tried.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
/// The number of bytes by which the delimiter is decided.
const BYTES_TO_JUDGE_BY: usize = 1 << 16;
const ROWS_TO_JUDGE_BY: usize = 100;

/// The delimiter of a text: the usual one, unless another one divides all of the first rows into the same number of cells and these are
/// more often a single value.
pub(super) fn of(bytes: &[u8], usual: u8) -> u8 {
    let text = begin(bytes);
    let better = |best: (u8, f64), other: u8| match worth(text, other) {
        Some(worth) if worth > best.1 => (other, worth),
        _ => best,
    };
    let first = (usual, worth(text, usual).unwrap_or(0.0));
    CANDIDATES.into_iter().filter(|&other| other != usual).fold(first, better).0
}

/// The number of cells in the first row.
pub(super) fn cells_of_first(bytes: &[u8], delimiter: u8) -> Option<usize> {
    let mut reader = ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).delimiter(delimiter).from_reader(begin(bytes));
    Some(reader.into_byte_records().next()?.ok()?.len())
}

/// Whether spaces divide a text's first lines into the same number of cells, at least two.
pub(super) fn is_spaced(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(begin(bytes));
    let mut counts = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(ROWS_TO_JUDGE_BY)
        .map(|line| line.split_whitespace().count());
    let first = counts.next().unwrap_or(0);
    first > 1 && counts.all(|count| count == first)
}

/// The first whole lines of a text.
fn begin(bytes: &[u8]) -> &[u8] {
    match bytes.get(..BYTES_TO_JUDGE_BY) {
        None => bytes,
        Some(some) => some.iter().rposition(|&byte| byte == b'\n').map_or(some, |end| &some[..=end]),
    }
}

/// The share of cells that are a single value, a number or words with no delimiter in them; `None` where rows have different numbers of
/// cells. A first line of names may have another number.
fn worth(text: &[u8], delimiter: u8) -> Option<f64> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).trim(Trim::All).from_reader(text);
    let records: Vec<StringRecord> = reader.records().take(ROWS_TO_JUDGE_BY).collect::<Result<_, _>>().ok()?;
    let rows = if records.len() > 1 { &records[1..] } else { &records[..] };
    let count = rows.first()?.len();
    // The column of the rows' names may have no name itself; a line of counts has some cells, too.
    if records.first()?.len() < 2.min(count) {
        return None;
    }
    if count < 2 || rows.iter().any(|record| record.len() != count) {
        return None;
    }
    let is_one_thing = |cell: &&str| {
        let mut judge = Judge::default();
        judge.take(cell, String::new);
        judge.numbers > 0 || !cell.bytes().any(|byte| CANDIDATES.contains(&byte))
    };
    let cells = || rows.iter().flat_map(StringRecord::iter);
    Some(cells().filter(is_one_thing).count() as f64 / cells().count() as f64)
}

/// The state of a text's quotes, as its parts are fed one after another.
#[derive(Default)]
pub(super) struct Quotes {
    /// The number of line ends so far.
    lines: u64,
    /// The line in which the open quote began, if one is open.
    opened: Option<u64>,
    /// Whether the last byte belongs to a cell.
    in_cell: bool,
    /// The line of an opening quote whose closing quote is on a later line and in the middle of a cell: that quote probably opens a cell.
    broken: Option<u64>,
}

impl Quotes {
    /// Scans the next part, which ends at a line's end or at the text's.
    pub fn feed(&mut self, bytes: &[u8], delimiter: u8) {
        let mut bytes = bytes.iter().peekable();
        while let Some(&byte) = bytes.next() {
            match (self.opened, byte) {
                (None, b'"') if !self.in_cell => self.opened = Some(self.lines + 1),
                // Two quotes in a row are an escaped one.
                (Some(_), b'"') if bytes.next_if(|&&next| next == b'"').is_some() => {}
                (Some(line), b'"') => {
                    let ends_cell = bytes.peek().is_none_or(|&&next| next == delimiter || next.is_ascii_whitespace());
                    if !ends_cell && line <= self.lines {
                        self.broken.get_or_insert(line);
                    }
                    self.opened = None;
                }
                _ => {}
            }
            self.lines += u64::from(byte == b'\n' || byte == b'\r' && bytes.peek().is_some_and(|&&next| next != b'\n'));
            self.in_cell = ![delimiter, b'\n', b'\r'].contains(&byte);
        }
    }

    /// The line, counted from 1, of an opening quote that is not closed.
    pub fn opened(&self) -> Option<u64> {
        self.opened
    }

    /// The line, counted from 1, of an opening quote that is closed lines later in the middle of a cell.
    pub fn broken(&self) -> Option<u64> {
        self.broken
    }
}
