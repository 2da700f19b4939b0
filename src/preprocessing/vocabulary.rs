//! The tokens that a text is made of.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::named::{Elsewhere, counted, unknown};

/// The tokens that a text is made of, which an embedding looks up: its characters, or its bytes. A model keeps it, so that later texts become the same tokens, and
/// tokens become text.
///
/// ```
/// use wgrad::Vocabulary;
///
/// let vocabulary = Vocabulary::of("to be or not to be");
/// assert_eq!(vocabulary.len(), 7);
/// assert_eq!(vocabulary.encode("tote")?, [6, 4, 6, 2]);
/// assert_eq!(vocabulary.decode(&[6, 4]), "to");
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// These characters, each once, sorted by code point: a token is a character's place among them. Where a text is read with none, they are learned from it.
    Characters(Vec<char>),
    /// The 256 bytes, of which UTF-8 makes every text.
    Bytes,
}

const CHARACTERS: &str = "characters";

/// The word for bytes. No list of sorted characters is this word.
const BYTES: &str = "bytes";

impl FromStr for Vocabulary {
    type Err = Error;

    /// The vocabulary with this word: characters that are learned from a text, or bytes.
    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            CHARACTERS => Ok(Vocabulary::Characters(Vec::new())),
            BYTES => Ok(Vocabulary::Bytes),
            _ => Err(Error::Option(unknown(word, "a vocabulary", [CHARACTERS, BYTES].into_iter(), ELSEWHERE))),
        }
    }
}

/// What other programs call them.
const ELSEWHERE: Elsewhere = &[(&["char", "chars", "character"], CHARACTERS), (&["byte", "utf-8", "utf8"], BYTES)];

impl Vocabulary {
    /// The characters of a text.
    pub fn of(text: &str) -> Self {
        Vocabulary::Characters(text.chars().collect::<std::collections::BTreeSet<char>>().into_iter().collect())
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        match self {
            Vocabulary::Characters(characters) => characters.len(),
            Vocabulary::Bytes => 256,
        }
    }

    /// Whether there are no tokens: no text has been seen yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens of a text.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the first character that is not among the tokens, its line and its place there.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        let Vocabulary::Characters(characters) = self else { return Ok(text.bytes().map(u32::from).collect()) };
        let tokens = text.char_indices().map(|(at, character)| match characters.binary_search(&character) {
            Ok(token) => Ok(token as u32),
            Err(_) => Err(Error::Data(format!(
                "{} has {character:?}, which is none of the vocabulary's {}",
                place(text, at),
                counted(characters.len(), "character")
            ))),
        });
        tokens.collect()
    }

    /// The text of tokens. A token that there is not, and bytes that are no UTF-8, become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let mut decoder = self.decoder();
        let text: String = tokens.iter().map(|&token| decoder.push(token)).collect();
        text + &decoder.finish()
    }

    /// What makes text of tokens that come one after the other.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder { vocabulary: self, pending: Vec::new() }
    }

    /// A token as a list of classes names it: the character in quotes, or the byte's number where it is no visible ASCII.
    pub(crate) fn name(&self, token: usize) -> String {
        match self {
            Vocabulary::Characters(characters) => characters.get(token).map(|character| format!("{character:?}")),
            Vocabulary::Bytes => {
                let letter = u8::try_from(token).ok().filter(|&byte| byte.is_ascii_graphic() || byte == b' ');
                letter.map(|letter| format!("{:?}", char::from(letter)))
            }
        }
        .unwrap_or_else(|| token.to_string())
    }

    /// The vocabulary that a file says: the word for bytes, or all characters.
    ///
    /// # Errors
    ///
    /// The reason why a text is none.
    pub(crate) fn from_file(text: &str) -> Result<Self, String> {
        if text == BYTES {
            return Ok(Vocabulary::Bytes);
        }
        let characters: Vec<char> = text.chars().collect();
        if characters.is_empty() {
            return Err(format!("it is empty: it must be \"{BYTES}\", or all characters"));
        }
        match characters.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(format!(
                "{:?} follows {:?}: it must be \"{BYTES}\", or all characters, each once and sorted by code point",
                pair[1], pair[0]
            )),
            None => Ok(Vocabulary::Characters(characters)),
        }
    }

    /// As files have it, so that [`from_file`](Self::from_file) reads it.
    pub(crate) fn to_file(&self) -> String {
        match self {
            Vocabulary::Characters(characters) => characters.iter().collect(),
            Vocabulary::Bytes => BYTES.into(),
        }
    }
}

/// "65 characters", "256 bytes"
impl fmt::Display for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Vocabulary::Characters(characters) => counted(characters.len(), "character"),
            Vocabulary::Bytes => counted(self.len(), "byte"),
        })
    }
}

/// Where a byte of a text is, for people: "line 3, character 7".
pub(crate) fn place(text: &str, at: usize) -> String {
    let before = &text[..at];
    let line = before.rfind('\n').map_or(before, |end| &before[end + 1..]);
    format!("line {}, character {}", before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// Makes text of tokens that come one after the other: a character of several bytes comes with its last.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    vocabulary: &'a Vocabulary,
    /// Bytes that begin a character.
    pending: Vec<u8>,
}

impl Decoder<'_> {
    /// The text that a token completes: none where it begins a character of several bytes.
    pub fn push(&mut self, token: u32) -> String {
        match self.vocabulary {
            Vocabulary::Characters(characters) => {
                characters.get(token as usize).copied().unwrap_or(char::REPLACEMENT_CHARACTER).into()
            }
            Vocabulary::Bytes => match u8::try_from(token) {
                Ok(byte) => {
                    self.pending.push(byte);
                    self.complete()
                }
                Err(_) => self.rest() + "\u{fffd}",
            },
        }
    }

    /// What is left at the end: U+FFFD for a character that has not ended.
    pub fn finish(mut self) -> String {
        self.rest()
    }

    fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }

    /// Takes the characters that have ended from the bytes, and U+FFFD for each sequence that is none.
    fn complete(&mut self) -> String {
        let mut text = String::new();
        while let Err(error) = std::str::from_utf8(&self.pending) {
            let valid = error.valid_up_to();
            text += &String::from_utf8_lossy(&self.pending[..valid]);
            self.pending.drain(..valid);
            let Some(wrong) = error.error_len() else { return text };
            text.push(char::REPLACEMENT_CHARACTER);
            self.pending.drain(..wrong);
        }
        text + &self.rest()
    }
}
