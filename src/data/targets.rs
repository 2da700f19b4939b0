//! Numbers as targets: their scaling, and the note on targets that are hard to learn without one.

use super::{Dataset, Values};
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::preprocessing::{ScaleBy, Scaling, check_target_scaling, six_digits};

/// The magnitudes that an optimizer's usual rates reach: weights and biases begin between about 0 and 1, and a step of Adam moves each by about the
/// learning rate, 1e-3 to 1e-2. A mean or a deviation of 100 takes 10,000 steps of 1e-2; where the deviation is below 1e-2, such a step is as
/// large as the differences to learn.
const MOST: f64 = 100.0;
const LEAST_DEVIATION: f64 = 0.01;

impl ScaleBy {
    /// The scaling of a set's targets, which must be numbers; `None` for [`ScaleBy::None`]. Pass only the training rows, so that nothing is learned
    /// from held-out rows.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the targets are classes, or there are none; for [`ScaleBy::StandardizeChannels`], as targets have no channels.
    pub fn of_targets(self, train: &Dataset) -> Result<Option<Scaling>, Error> {
        match self {
            ScaleBy::None => Ok(None),
            ScaleBy::StandardizeChannels => Err(Error::Data(
                "targets have no channels to standardize: standardize takes each target by itself".into(),
            )),
            ScaleBy::Standardize | ScaleBy::MinMax => self.of(&train.targets_as_features()?),
        }
    }
}

impl Dataset {
    /// The same rows with a scaling of the targets: the network learns `(t − shift) · scale`. Numbers far from the order of 1, as prices are, take
    /// an optimizer many steps to reach at its usual rates. Compute the scaling from the training rows only ([`ScaleBy::of_targets`]). The targets of
    /// the set stay in their own units, and so do predictions and every metric except the loss, which is the one that training minimizes.
    ///
    /// ```
    /// # use wgrad::{Dataset, ScaleBy};
    /// let houses = Dataset::regression([([120.0, 3.0], 310_000.0), ([65.0, 2.0], 190_000.0)])?;
    /// let scaling = ScaleBy::Standardize.of_targets(&houses)?.unwrap();
    /// assert_eq!((scaling.shift[0], 1.0 / scaling.scale[0]), (250_000.0, 60_000.0));
    /// let houses = houses.with_target_scaling(scaling)?;
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the targets are classes, or there are none; for another number of targets, a scale of 0, targets that already
    /// have a scaling, and for a target that the scaling makes non-finite.
    pub fn with_target_scaling(mut self, scaling: Scaling) -> Result<Self, Error> {
        let values = self.numbers()?;
        check_target_scaling(&scaling, values.outputs)?;
        if self.origin.target_scaling.is_some() {
            return Err(Error::Data("the targets are scaled already".into()));
        }
        let far = |(at, &value): (usize, &f32)| !scaling.apply(at % values.outputs, value.into()).is_finite();
        if let Some(at) = values.values.iter().enumerate().position(far) {
            let (output, row) = (at % values.outputs, at / values.outputs);
            return Err(Error::Data(format!("target {output} of row {row} is not finite after its scaling")));
        }
        self.origin.target_scaling = Some(scaling);
        Ok(self)
    }

    /// The scaling of the targets, if any, with which a network learns them.
    pub fn target_scaling(&self) -> Option<&Scaling> {
        self.origin.target_scaling.as_ref()
    }

    /// A note on targets that are hard to learn as they are, if there are any: numbers far from the order of 1 without a scaling, under a
    /// regression loss.
    pub fn note_on_targets(&self, loss: &Loss) -> Option<String> {
        let values =
            self.values.as_ref().filter(|_| loss.task() == Task::Numbers && self.target_scaling().is_none())?;
        let figures = |output: usize| {
            let own = || values.values.iter().skip(output).step_by(values.outputs).map(|&value| f64::from(value));
            let rows = self.rows as f64;
            let mean = own().sum::<f64>() / rows;
            let deviation = (own().map(|value| (value - mean).powi(2)).sum::<f64>() / rows).sqrt();
            (output, mean, deviation)
        };
        let is_far = |&(_, mean, deviation): &(usize, f64, f64)| {
            mean.abs() > MOST || deviation > MOST || deviation > 0.0 && deviation < LEAST_DEVIATION
        };
        let (output, mean, deviation) = (0..values.outputs).map(figures).find(is_far)?;
        let which = if values.outputs == 1 { "the targets".into() } else { format!("those of target {output}") };
        Some(format!(
            "{which} have a mean of {} and a standard deviation of {}, far from the order of 1 that a network learns quickly: \
             --scale-targets standardize scales them (in a program Dataset::with_target_scaling), and predictions stay in their own units",
            six_digits(mean as f32),
            six_digits(deviation as f32)
        ))
    }

    /// The targets of a row with their scaling, as a network learns them.
    pub(super) fn seen_targets<'a>(&'a self, all: &'a Values, row: usize) -> impl Iterator<Item = f32> + 'a {
        let own = all.values[row * all.outputs..(row + 1) * all.outputs].iter().enumerate();
        own.map(|(output, &value)| match &self.origin.target_scaling {
            Some(scaling) => scaling.apply(output, value.into()),
            None => value,
        })
    }

    fn numbers(&self) -> Result<&Values, Error> {
        self.values.as_ref().ok_or_else(|| {
            let are = if self.has_targets() { "classes" } else { "not there" };
            Error::Data(format!("the targets are {are}: only numbers to predict can be scaled"))
        })
    }

    fn targets_as_features(&self) -> Result<Dataset, Error> {
        let values = self.numbers()?;
        Dataset::inputs(values.values.chunks_exact(values.outputs))
    }
}
