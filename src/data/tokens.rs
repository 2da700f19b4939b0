//! Sets of tokens: numbers that stand for the words or the characters of a text, in rows of as many as a network takes at once.

use super::token_rows::Tokens;
use super::{Dataset, Features};
use crate::error::Error;
use crate::named::counted;
use crate::network::{Form, Network};
use crate::preprocessing::Origin;

impl Dataset {
    /// Rows of `length` tokens each, which an [embedding](crate::EmbeddingLayer) takes: tokens count from 0. There is a label for each row, or one for each token,
    /// `[rows, length]`, as where every place has the next token to predict.
    ///
    /// ```
    /// // Two rows of three tokens, each with the token that follows.
    /// let set = wgrad::Dataset::from_tokens(vec![0, 1, 2, 1, 2, 3], 3, vec![1, 2, 3, 2, 3, 0])?;
    /// assert_eq!((set.rows(), set.width(), set.vocabulary()), (2, 3, Some(4)));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for an empty set, a length of 0, counts that disagree, and a token of 16,777,216 or more.
    pub fn from_tokens(tokens: Vec<u32>, length: usize, labels: Vec<u32>) -> Result<Self, Error> {
        let count = tokens.len();
        if length == 0 || count == 0 || !count.is_multiple_of(length) {
            return Err(Error::Data(format!(
                "{} in rows of {length}: there must be at least one row, and no part of one",
                counted(count, "token")
            )));
        }
        let rows = count / length;
        let places = match labels.len() {
            labels if labels == rows => 1,
            labels if labels == count => length,
            labels => {
                return Err(Error::Data(format!(
                    "{} for {rows} rows of {length} tokens: there must be one a row, or one a token",
                    counted(labels, "label")
                )));
            }
        };
        Dataset::of_tokens(Tokens::of(tokens, false)?, length, places, rows, labels)
    }

    /// A text as rows of `context` tokens, one from each of its places on, with the next token as the label of each: row r has the tokens r to r + context − 1 and
    /// the labels r + 1 to r + context. It is kept once, however many rows there are.
    ///
    /// ```
    /// let set = wgrad::Dataset::of_text(vec![3, 1, 4, 1, 5], 2)?;
    /// assert_eq!((set.rows(), set.width()), (3, 2));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a context of 0, fewer than one more tokens than that, and a token of 16,777,216 or more.
    pub fn of_text(tokens: Vec<u32>, context: usize) -> Result<Self, Error> {
        let count = tokens.len();
        if context == 0 {
            return Err(Error::Data("a context of 0: a row of a text has one token at least".into()));
        }
        if count <= context {
            return Err(Error::Data(format!(
                "a context of {context}, and the text has {}: it needs one more than a row, whose last token has a next one too",
                counted(count, "token")
            )));
        }
        let labels = tokens[1..].to_vec();
        let tokens = Tokens::of(tokens, true)?;
        let (rows, vocabulary) = (count - context, tokens.vocabulary);
        let rest = Tokens { values: tokens.values[..count - 1].to_vec(), overlaps: true, vocabulary };
        Dataset::of_tokens(rest, context, context, rows, labels)
    }

    fn of_tokens(tokens: Tokens, width: usize, places: usize, rows: usize, labels: Vec<u32>) -> Result<Self, Error> {
        Ok(Dataset {
            features: Features::Tokens(tokens),
            width,
            rows,
            places,
            labels,
            values: None,
            sample_weights: None,
            origin: Origin::default(),
            fixed_classes: 0,
            notes: Vec::new(),
            table: Vec::new(),
        })
    }

    /// One more than the largest token, where rows are tokens: an embedding's vocabulary is at least that.
    pub fn vocabulary(&self) -> Option<usize> {
        if let Features::Tokens(tokens) = &self.features { Some(tokens.vocabulary) } else { None }
    }

    /// The same rows, whose tokens take as many bytes as those of such a vocabulary: so the windows of a set are alike, whichever tokens are in each.
    pub(crate) fn for_vocabulary(mut self, vocabulary: Option<usize>) -> Self {
        if let (Features::Tokens(tokens), Some(vocabulary)) = (&mut self.features, vocabulary) {
            tokens.vocabulary = tokens.vocabulary.max(vocabulary);
        }
        self
    }

    /// Tokens from the first of a row to that of the next.
    pub(super) fn token_stride(&self) -> usize {
        match &self.features {
            Features::Tokens(tokens) if tokens.overlaps => 1,
            _ => self.width,
        }
    }

    /// Labels from the first of a row to that of the next.
    pub(super) fn label_stride(&self) -> usize {
        match &self.features {
            Features::Tokens(tokens) if tokens.overlaps => 1,
            _ => self.places,
        }
    }

    /// Checks that these are tokens for a network, as many a row as it takes and all of its vocabulary.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] with what differs.
    pub(super) fn check_tokens(&self, network: &Network) -> Result<(), Error> {
        let taken = network.input();
        let (Some(vocabulary), Form::Tokens(length)) = (self.vocabulary(), taken) else {
            return Err(Error::Data(match taken {
                Form::Tokens(length) => format!(
                    "the rows are features, the network takes {}: read whole numbers as tokens",
                    counted(length, "token")
                ),
                _ => {
                    "the rows are tokens, and the network takes features: a network of tokens begins with an embedding"
                        .into()
                }
            }));
        };
        if self.width != length {
            return Err(Error::Data(format!(
                "the rows have {}, the network takes {length}",
                counted(self.width, "token")
            )));
        }
        let known = network.vocabulary().unwrap_or(usize::MAX);
        if vocabulary > known
            && let Features::Tokens(tokens) = &self.features
            && let Some(at) = tokens.values.iter().position(|&token| token as usize >= known)
        {
            if tokens.overlaps {
                return Err(Error::Data(format!(
                    "the text has a vocabulary of {vocabulary}, and the network's embedding one of {known}: give it {vocabulary}, or in run.toml leave its vocabulary \
                     out, which is then the text's"
                )));
            }
            return Err(Error::Data(format!(
                "token {} of row {} is {}: the network's embedding has a vocabulary of {known}, from 0 to {}",
                at % self.width,
                at / self.width,
                tokens.values[at],
                known - 1
            )));
        }
        Ok(())
    }

    /// Checks that there is a target for each output that a network has of a row: for each place of a sequence, or for the row.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] with both counts.
    pub(super) fn check_places(&self, network: &Network) -> Result<(), Error> {
        let places = network.places().map_or(1, |places| places as usize);
        if self.places == places || !self.has_targets() {
            return Ok(());
        }
        Err(Error::Data(match places {
            1 => format!(
                "a row has {} and the network one output for each row: end it with a global_avg_pool or a flatten before its last layer for one label a row, or leave these out to predict each token's",
                counted(self.places, "label")
            ),
            _ => format!(
                "a row has one label and the network {places} places with outputs: give it a label for each place, [rows, {places}], or add a global_avg_pool before its last layer"
            ),
        }))
    }
}
