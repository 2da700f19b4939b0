//! What is between the cells of a table in text, and whether its quotes are closed.

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::preprocessing::Judge;

/// What may be between cells.
const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
/// How much of a file is looked at.
const BYTES_TO_JUDGE_BY: usize = 1 << 16;
const ROWS_TO_JUDGE_BY: usize = 100;

/// The delimiter of a text: the usual one, unless another one cuts its first rows into equally many cells that say more.
pub(super) fn of(bytes: &[u8], usual: u8) -> u8 {
    let text = begin(bytes);
    let better = |best: (u8, f64), other: u8| match worth(text, other) {
        Some(worth) if worth > best.1 => (other, worth),
        _ => best,
    };
    let first = (usual, worth(text, usual).unwrap_or(0.0));
    CANDIDATES.into_iter().filter(|&other| other != usual).fold(first, better).0
}

/// Cells of the first row.
pub(super) fn cells_of_first(bytes: &[u8], delimiter: u8) -> Option<usize> {
    let mut reader = ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).delimiter(delimiter).from_reader(begin(bytes));
    Some(reader.into_byte_records().next()?.ok()?.len())
}

/// Whether spaces cut a text's first lines into equally many cells, two at least.
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

/// The share of cells that are one thing, a number or words with no delimiter in them; `None` where the rows have not equally many cells, but for
/// a first line of names.
fn worth(text: &[u8], delimiter: u8) -> Option<f64> {
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).trim(Trim::All).from_reader(text);
    let records: Vec<StringRecord> = reader.records().take(ROWS_TO_JUDGE_BY).collect::<Result<_, _>>().ok()?;
    let rows = if records.len() > 1 { &records[1..] } else { &records[..] };
    let count = rows.first()?.len();
    // Names of rows may have none themselves; a line of counts has some cells, too.
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

/// Whether a text, of which more may come, is inside quotes.
#[derive(Default)]
pub(super) struct Quotes {
    /// Line ends before here.
    lines: u64,
    /// The line in which a quote is open.
    opened: Option<u64>,
    /// Whether the last byte is a cell's.
    in_cell: bool,
    /// The line in which a quote opens that is closed on another line, in the middle of a cell: by one that opens a cell of its own.
    broken: Option<u64>,
}

impl Quotes {
    /// Goes over what comes next, which ends with a line or with the text.
    pub fn feed(&mut self, bytes: &[u8], delimiter: u8) {
        let mut bytes = bytes.iter().peekable();
        while let Some(&byte) = bytes.next() {
            match (self.opened, byte) {
                (None, b'"') if !self.in_cell => self.opened = Some(self.lines + 1),
                // Two in a row are one of the cell's own.
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

    /// The line, from 1, in which a quote is opened that nothing has closed.
    pub fn opened(&self) -> Option<u64> {
        self.opened
    }

    /// The same of one that is closed lines later in the middle of a cell.
    pub fn broken(&self) -> Option<u64> {
        self.broken
    }
}
