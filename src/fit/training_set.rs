//! The training set of a fit, as it is trained on.

use std::borrow::Cow;
use std::ops::Range;

use super::session::Session;
use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::preprocessing::{Origin, Scaling};
use crate::run::rows::{self, Rows};

/// A training set, scaled as the rows before it were where it is not scaled itself.
pub(crate) enum TrainingSet<'a> {
    /// One that goes to the device as a whole.
    Whole(Box<Cow<'a, Dataset>>),
    /// One that is read in windows, with its first row.
    Windows { source: Box<Like<'a>>, first: Box<Dataset> },
}

impl<'a> TrainingSet<'a> {
    /// A set in memory, in windows where it does not fit the memory budget.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where it has no rows, or more than can be counted, or cannot be scaled as the rows before it.
    pub fn of_set(session: &Session, set: &'a Dataset) -> Result<Self, Error> {
        let set = Box::new(to_train_on(session, set)?);
        Ok(match session.first_of_windows(&**set)? {
            None => TrainingSet::Whole(set),
            Some(_) => TrainingSet::windows(session, Unscaled::Set(set))?,
        })
    }

    /// Rows that are read in windows, also where all would fit: windows are what was asked for.
    ///
    /// # Errors
    ///
    /// As [`of_set`](Self::of_set); what is wrong with the first row.
    pub fn of_source(session: &Session, source: &'a dyn Source) -> Result<Self, Error> {
        TrainingSet::windows(session, Unscaled::Source(source))
    }

    fn windows(session: &Session, source: Unscaled<'a>) -> Result<Self, Error> {
        let source = Like { source, origin: session.origin.clone() };
        let first = rows::first_of_windows(&source, &session.model.network, Some(0))?;
        let first = first.ok_or_else(|| Error::Data("rows that are not in memory are read in windows".into()))?;
        Ok(TrainingSet::Windows { source: Box::new(source), first: Box::new(first) })
    }

    /// Its rows, as the session's options take them to the device.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where the windows have no room.
    pub fn rows<'b>(&'b self, session: &Session) -> Result<Rows<'b>, Error> {
        match self {
            TrainingSet::Whole(set) => Ok(Rows::Whole(set)),
            TrainingSet::Windows { source, first } => session.rows_of(&**source, Some(first)),
        }
    }
}

/// What a training set is trained as: scaled as the rows before it were, where it is not scaled itself.
fn to_train_on<'a>(session: &Session, train: &'a Dataset) -> Result<Cow<'a, Dataset>, Error> {
    let (own, before) = (train.origin(), &session.origin);
    let differs = |own: &Option<Scaling>, before: &Option<Scaling>| own.is_some() && before.is_some() && own != before;
    if differs(&own.scaling, &before.scaling) || differs(&own.target_scaling, &before.target_scaling) {
        tracing::warn!("these rows are scaled otherwise than those that the network was trained on before");
    }
    if let Some(note) = train.note_on_targets(&session.options.loss).filter(|note| !train.notes().contains(note)) {
        tracing::warn!("{note}");
    }
    train.seen_as(&own.clone().or(before.clone()), false)
}

/// Rows that are read, scaled as those that a model was trained on before where they are not scaled themselves.
pub(crate) struct Like<'a> {
    source: Unscaled<'a>,
    origin: Origin,
}

/// The rows as they are read.
enum Unscaled<'a> {
    Source(&'a dyn Source),
    Set(Box<Cow<'a, Dataset>>),
}

impl Like<'_> {
    fn source(&self) -> &dyn Source {
        match &self.source {
            Unscaled::Source(source) => *source,
            Unscaled::Set(set) => &***set,
        }
    }
}

impl Source for Like<'_> {
    fn rows(&self) -> usize {
        self.source().rows()
    }

    fn classes(&self) -> usize {
        self.source().classes()
    }

    fn read(&self, rows: Range<usize>) -> Result<Dataset, Error> {
        let set = self.source().read(rows)?;
        let scaled = match set.seen_as(&set.origin().clone().or(self.origin.clone()), false)? {
            Cow::Owned(scaled) => Some(scaled),
            Cow::Borrowed(_) => None,
        };
        Ok(scaled.unwrap_or(set))
    }
}
