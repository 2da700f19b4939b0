//! Numbers that are written otherwise than programs do: with a decimal comma, thousands separators, a currency, a unit, or U+2212 for minus.

use serde::{Deserialize, Serialize};

/// How a column writes its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Written {
    /// `1,5` for one and a half.
    decimal_comma: bool,
    /// What is between groups of three digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    grouped: Option<char>,
    /// What stands before each number, as `$`.
    #[serde(skip_serializing_if = "String::is_empty")]
    before: String,
    /// What stands behind each number, as `%`.
    #[serde(skip_serializing_if = "String::is_empty")]
    behind: String,
}

/// The ways to write digits, the plainest first: whether with a decimal comma, and what is between groups.
const WAYS: [(bool, Option<char>); 7] = [
    (false, None),
    (false, Some(',')),
    (true, None),
    (false, Some(' ')),
    (false, Some('\'')),
    (true, Some('.')),
    (true, Some(' ')),
];
/// Their places.
const PLAIN: usize = 0;
const COMMAS_GROUP: usize = 1;
const DECIMAL_COMMA: usize = 2;
const DOTS_GROUP: usize = 5;

/// The longest word that is taken for a unit, in bytes.
const LONGEST_UNIT: usize = 12;

impl Written {
    /// As programs write numbers.
    pub fn is_plain(&self) -> bool {
        *self == Written::default()
    }

    /// The number that a cell says; its unit may be missing.
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

    /// For messages: "with a decimal comma, without $".
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

/// A cell that may be a number.
struct Parts<'a> {
    sign: &'static str,
    before: &'a str,
    /// Digits, with points, commas and spaces between them; one kind of space and of apostrophe.
    digits: String,
    behind: &'a str,
}

/// Takes a cell apart: `-$1 234.5`, `$-1,5` and `12 %` have a sign, digits, and a unit on one side.
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

/// How many bytes of a text are a number's digits, with all that may be between them, and an exponent.
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

/// Nothing, or a currency's sign after the letters of a country, as `US$`.
fn is_currency(word: &str) -> bool {
    let may_be = |c: char| is_currency_sign(c) || c.is_alphabetic();
    word.is_empty() || word.len() <= LONGEST_UNIT && word.ends_with(is_currency_sign) && word.chars().all(may_be)
}

/// Unicode's currency symbols that are in use.
fn is_currency_sign(c: char) -> bool {
    matches!(c, '$' | '¢'..='¥' | '฿' | '₠'..='⃀')
}

/// Nothing, or what may stand behind a number: a currency, `%`, or a unit of measurement.
fn is_unit(word: &str) -> bool {
    let may_be = |c: char| c.is_alphabetic() || is_currency_sign(c) || "%‰°/²³µ".contains(c);
    word.len() <= LONGEST_UNIT && word.chars().all(may_be)
}

/// The number that digits say in one of the ways.
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

/// What a pass over a column's cells has found of how its numbers are written.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    /// In which of the ways all cells can be read.
    possible: [bool; WAYS.len()],
    unit: Option<(String, String)>,
    /// Numbers of four digits and more with nothing between them, and smaller ones.
    ungrouped: bool,
    small: bool,
    /// Cells with a point, and with a comma.
    points: bool,
    commas: bool,
    /// The first cell that is a number, and the first that does not go with those before it, with where it is.
    first: Option<String>,
    misfit: Option<(String, String)>,
    /// Cells that are a number in any of the ways.
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

/// What is known of a whole table besides one column.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hints {
    /// What the user says stands before the fraction.
    pub decimal: Option<char>,
    /// Numbers elsewhere have a decimal comma, or a point.
    pub commas: bool,
    pub points: bool,
    /// Semicolons are between cells, as where commas are in numbers.
    pub semicolons: bool,
}

/// How a column's numbers are to be read.
pub(crate) enum Verdict {
    Numbers(Written),
    /// As both: commas are between thousands, or before the fraction.
    Either(String),
    Words,
}

impl Judge {
    /// Looks at a cell that has a value; `at` says where it is.
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

    /// The first number, and the first cell that is none like it, with where that is.
    pub fn misfit(&self) -> Option<(&str, &str, &str)> {
        self.misfit.as_ref().map(|(cell, at)| (self.first.as_deref().unwrap_or_default(), cell.as_str(), at.as_str()))
    }

    /// Whether its numbers have a decimal comma, whatever those of other columns have.
    pub fn has_decimal_comma(&self) -> bool {
        self.misfit.is_none() && self.commas && !self.possible[PLAIN] && !self.possible[COMMAS_GROUP]
    }

    /// The same of a decimal point.
    pub fn has_decimal_point(&self) -> bool {
        self.misfit.is_none() && self.points && !self.possible[DOTS_GROUP]
    }

    /// How the column is to be read.
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
            // 1.234 in a table whose other columns have decimal commas is a thousand and more.
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
                // 950 beside 1,200: what is smaller than a thousand has no comma.
                _ if self.small => of(COMMAS_GROUP),
                _ => Verdict::Either(self.first.clone().unwrap_or_default()),
            };
        }
        (0..WAYS.len()).find(|&at| may(at)).map_or(Verdict::Words, of)
    }
}
