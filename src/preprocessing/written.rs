//! Numbers in the notations of people: with a decimal comma, thousands separators, a currency, a unit, or U+2212 for minus.

use serde::{Deserialize, Serialize};

/// The notation of a column's numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    /// Whether the decimal separator is a comma: `1,5` for one and a half.
    decimal_comma: bool,
    /// The separator between groups of three digits, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    grouped: Option<char>,
    /// The text before each number, as `$`.
    #[serde(skip_serializing_if = "String::is_empty")]
    before: String,
    /// The text after each number, as `%`.
    #[serde(skip_serializing_if = "String::is_empty")]
    behind: String,
}

/// The notations of digits, the plainest first: whether there is a decimal comma, and the separator between groups.
const WAYS: [(bool, Option<char>); 7] = [
    (false, None),
    (false, Some(',')),
    (true, None),
    (false, Some(' ')),
    (false, Some('\'')),
    (true, Some('.')),
    (true, Some(' ')),
];
/// Indices of some of these notations.
const PLAIN: usize = 0;
const COMMAS_GROUP: usize = 1;
const DECIMAL_COMMA: usize = 2;
const DOTS_GROUP: usize = 5;

/// The length of the longest word that is taken for a unit, in bytes.
const LONGEST_UNIT: usize = 12;

impl Written {
    /// Whether this is the notation of programs.
    pub fn is_plain(&self) -> bool {
        *self == Written::default()
    }

    /// The number in a cell; its unit may be missing.
    pub fn number(&self, cell: &str) -> Option<f64> {
        if let (true, Ok(value)) = (self.is_plain(), cell.parse()) {
            return Some(value);
        }
        let Parts { sign, before, digits, behind } = parts(cell)?;
        if ![&self.before, ""].contains(&before) || ![&self.behind, ""].contains(&behind) {
            return None;
        }
        value(sign, &digits, (self.decimal_comma, self.grouped))
    }

    /// The notation in words, for messages: "with a decimal comma, without $".
    pub fn in_words(&self) -> String {
        let digits = match (self.decimal_comma, self.grouped) {
            (true, None) => Some("with a decimal comma".to_string()),
            (true, Some(group)) => Some(format!("with a decimal comma, and {group:?} between thousands")),
            (false, Some(group)) => Some(format!("with {group:?} between thousands")),
            (false, None) => None,
        };
        let unit = [&self.before, &self.behind].into_iter().find(|unit| !unit.is_empty());
        let parts = [digits, unit.map(|unit| format!("without their {unit}"))];
        let words: Vec<String> = parts.into_iter().flatten().collect();
        if words.is_empty() { "with U+2212 for minus".into() } else { words.join(", ") }
    }
}

/// The parts of a cell that may be a number.
struct Parts<'a> {
    sign: &'static str,
    before: &'a str,
    /// The digits, with the points, commas and spaces between them. Spaces and apostrophes are normalized to one kind each.
    digits: String,
    behind: &'a str,
}

/// Divides a cell into parts: `-$1 234.5`, `$-1,5` and `12 %` have a sign, digits, and a unit on one side.
fn parts(cell: &str) -> Option<Parts<'_>> {
    let digit = cell.find(|c: char| c.is_ascii_digit())?;
    // .5 begins with its point.
    let begin = digit - usize::from(cell[..digit].ends_with(['.', ',']));
    let (head, rest) = cell.split_at(begin);
    let (digits, behind) = rest.split_at(digits_of(rest));
    let is_sign = |c: char| "-+\u{2212}".contains(c);
    let mut signs = head.chars().filter(|&c| is_sign(c));
    let sign = match (signs.next(), signs.next()) {
        (None | Some('+'), None) => "",
        (Some(_), None) => "-",
        _ => return None,
    };
    // A tab is no space before a unit.
    let is_space = |c: char| c.is_whitespace() && c != '\t';
    let (before, behind) = (head.trim_matches(|c: char| is_sign(c) || is_space(c)), behind.trim_matches(is_space));
    let fits = is_currency(before) && is_unit(behind) && (before.is_empty() || behind.is_empty());
    let one_kind = |c| match c {
        '\u{a0}' | '\u{202f}' | '\u{2009}' => ' ',
        '’' => '\'',
        c => c,
    };
    fits.then(|| Parts { sign, before, digits: digits.chars().map(one_kind).collect(), behind })
}

/// The number of leading bytes of a text that are a number's digits, with separators between them, and an exponent.
fn digits_of(text: &str) -> usize {
    let between = |c: char| c.is_ascii_digit() || ".,' \u{a0}\u{202f}\u{2009}’".contains(c);
    let mantissa = text[..text.find(|c| !between(c)).unwrap_or(text.len())].trim_end().len();
    let power = text[mantissa..].strip_prefix(['e', 'E']).map(|power| power.strip_prefix(['-', '+']).unwrap_or(power));
    match power {
        Some(power) if power.starts_with(|c: char| c.is_ascii_digit()) => {
            text.len() - power.trim_start_matches(|c: char| c.is_ascii_digit()).len()
        }
        _ => mantissa,
    }
}

/// Whether a word is empty, or a currency sign, possibly after a country's letters, as `US$`.
fn is_currency(word: &str) -> bool {
    let may_be = |c: char| is_currency_sign(c) || c.is_alphabetic();
    word.is_empty() || word.len() <= LONGEST_UNIT && word.ends_with(is_currency_sign) && word.chars().all(may_be)
}

/// Whether a character is one of Unicode's currency symbols in use.
fn is_currency_sign(c: char) -> bool {
    matches!(c, '$' | '¢'..='¥' | '฿' | '₠'..='⃀')
}

/// Whether a word is empty or may follow a number: a currency, `%`, or a unit of measurement.
fn is_unit(word: &str) -> bool {
    let may_be = |c: char| c.is_alphabetic() || is_currency_sign(c) || "%‰°/²³µ".contains(c);
    word.len() <= LONGEST_UNIT && word.chars().all(may_be)
}

/// The number that digits mean in one of the notations.
fn value(sign: &str, digits: &str, (decimal_comma, grouped): (bool, Option<char>)) -> Option<f64> {
    let decimal = if decimal_comma { ',' } else { '.' };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => digits.split_at(at),
        None => (digits, ""),
    };
    let (whole, fraction) = mantissa.split_once(decimal).unwrap_or((mantissa, ""));
    let only_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match grouped {
        Some(group) if whole.contains(group) => {
            let mut groups = whole.split(group);
            let first = groups.next()?;
            // 0,062 has no thousands.
            let begins = (1..=3).contains(&first.len()) && !first.starts_with('0');
            let is_whole = begins && groups.all(|group| group.len() == 3 && only_digits(group));
            is_whole.then(|| whole.replace(group, ""))?
        }
        _ => whole.into(),
    };
    if !only_digits(&whole) || !only_digits(fraction) || whole.is_empty() && fraction.is_empty() {
        return None;
    }
    format!("{sign}{whole}.{fraction}{exponent}").parse().ok()
}

/// Evidence from a pass over a column's cells about the notation of its numbers.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    /// For each notation, whether all cells can be read in it.
    possible: [bool; WAYS.len()],
    unit: Option<(String, String)>,
    /// Whether there are numbers of four digits or more without separators, and whether there are smaller numbers.
    ungrouped: bool,
    small: bool,
    /// Whether there are cells with a point, and cells with a comma.
    points: bool,
    commas: bool,
    /// The first cell that is a number, and the first that does not fit those before it, with its location.
    first: Option<String>,
    misfit: Option<(String, String)>,
    /// The number of cells that are a number in any notation.
    pub numbers: u64,
}

impl Default for Judge {
    fn default() -> Self {
        Judge {
            possible: [true; WAYS.len()],
            unit: None,
            ungrouped: false,
            small: false,
            points: false,
            commas: false,
            first: None,
            misfit: None,
            numbers: 0,
        }
    }
}

/// Hints about a column's notation from the options and the rest of the table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints {
    /// The decimal separator that the user gave, if any.
    pub decimal: Option<char>,
    /// Whether numbers in other columns have a decimal comma, and whether they have a decimal point.
    pub commas: bool,
    pub points: bool,
    /// Whether semicolons delimit cells, as is usual where commas are in numbers.
    pub semicolons: bool,
}

/// The decision on a column's notation.
pub(crate) enum Verdict {
    Numbers(Written),
    /// Undecided, with the cell that shows it: its comma may be a thousands separator or a decimal separator.
    Either(String),
    Words,
}

impl Judge {
    /// Takes a cell that has a value into account; `at` gives its location.
    pub fn take(&mut self, cell: &str, at: impl FnOnce() -> String) {
        let Some(Parts { sign, before, digits, behind }) = parts(cell) else {
            self.reject(cell, at);
            return;
        };
        let readings = WAYS.map(|way| value(sign, &digits, way).is_some());
        self.numbers += u64::from(readings.contains(&true));
        let unit = (before.to_string(), behind.to_string());
        let both = |(now, before): (bool, bool)| now && before;
        let possible: Vec<bool> = readings.into_iter().zip(self.possible).map(both).collect();
        if !possible.contains(&true) || self.unit.as_ref().is_some_and(|known| *known != unit) {
            self.reject(cell, at);
            return;
        }
        self.possible.copy_from_slice(&possible);
        self.unit = Some(unit);
        self.points |= digits.contains('.');
        self.commas |= digits.contains(',');
        let is_bare = digits.bytes().all(|byte| byte.is_ascii_digit());
        self.ungrouped |= is_bare && digits.len() > 3;
        self.small |= is_bare && digits.len() <= 3;
        self.first.get_or_insert_with(|| cell.into());
    }

    fn reject(&mut self, cell: &str, at: impl FnOnce() -> String) {
        self.misfit.get_or_insert_with(|| (cell.into(), at()));
    }

    /// The first number, and the first cell that is no number like it, with its location.
    pub fn misfit(&self) -> Option<(&str, &str, &str)> {
        self.misfit.as_ref().map(|(cell, at)| (self.first.as_deref().unwrap_or_default(), cell.as_str(), at.as_str()))
    }

    /// Whether its numbers have a decimal comma, also where those of other columns have none.
    pub fn has_decimal_comma(&self) -> bool {
        self.misfit.is_none() && self.commas && !self.possible[PLAIN] && !self.possible[COMMAS_GROUP]
    }

    /// Whether this column's own numbers show that they have a decimal point.
    pub fn has_decimal_point(&self) -> bool {
        self.misfit.is_none() && self.points && !self.possible[DOTS_GROUP]
    }

    /// The decision on the column's notation.
    pub fn verdict(&self, hints: Hints) -> Verdict {
        let Some((before, behind)) = self.unit.as_ref().filter(|_| self.misfit.is_none()) else {
            return Verdict::Words;
        };
        let may = |at: usize| {
            self.possible[at]
                && hints.decimal.is_none_or(|asked| WAYS[at].0 == (asked == ',') || !self.points && !self.commas)
        };
        let of = |at: usize| {
            let (decimal_comma, grouped) = WAYS[at];
            Verdict::Numbers(Written { decimal_comma, grouped, before: before.clone(), behind: behind.clone() })
        };
        if may(PLAIN) {
            // In a table whose other columns have decimal commas, 1.234 is more than a thousand.
            return of(if self.points && may(DOTS_GROUP) && hints.commas && !hints.points {
                DOTS_GROUP
            } else {
                PLAIN
            });
        }
        if may(COMMAS_GROUP) && may(DECIMAL_COMMA) {
            return match (self.ungrouped, hints.commas || hints.semicolons, hints.points) {
                (true, ..) | (_, true, false) => of(DECIMAL_COMMA),
                (_, false, true) => of(COMMAS_GROUP),
                // As 950 beside 1,200: numbers below a thousand have no comma.
                _ if self.small => of(COMMAS_GROUP),
                _ => Verdict::Either(self.first.clone().unwrap_or_default()),
            };
        }
        (0..WAYS.len()).find(|&at| may(at)).map_or(Verdict::Words, of)
    }
}
