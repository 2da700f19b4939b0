//! Methods that give a data set targets, weights, names, an image shape or a scaling.

use super::{Dataset, Features, TableColumn, Values};
use crate::error::Error;
use crate::named::counted;
use crate::preprocessing::{Columns, ImageShape, Scaling, twice};

impl Dataset {
    /// The same rows with values as targets, `[rows, outputs]`, row-major: distributions over classes, labels of 0 and 1 for
    /// each output, or numbers to predict.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for counts that disagree, and for a value that is infinite or not a number.
    pub fn with_targets(self, values: Vec<f32>, outputs: usize) -> Result<Self, Error> {
        if outputs == 0 || Some(values.len()) != self.rows.checked_mul(outputs) {
            return Err(Error::Data(format!(
                "{} are not {} of {outputs}: there must be rows × outputs of them",
                counted(values.len(), "target"),
                counted(self.rows, "row")
            )));
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::Data(format!(
                "target {} of row {} is {}: every target must be finite",
                at % outputs,
                at / outputs,
                values[at]
            )));
        }
        Ok(Dataset { labels: Vec::new(), places: 1, values: Some(Values { outputs, values }), ..self })
    }

    /// The same rows with one weight each, by which a row's loss is multiplied in the mean. Accuracies count every row
    /// once, regardless of its weight.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of weights than rows, for a weight that is negative, not finite or above 1e30, and for rows with a label for each place.
    pub fn with_sample_weights(self, weights: Vec<f32>) -> Result<Self, Error> {
        if weights.len() != self.rows {
            return Err(Error::Data(format!(
                "{} for {}: there must be one a row",
                counted(weights.len(), "sample weight"),
                counted(self.rows, "row")
            )));
        }
        if self.places > 1 {
            return Err(Error::Data(format!(
                "sample weights are of rows, and each row has {}: leave places out of the loss by ignore_index instead",
                counted(self.places, "label")
            )));
        }
        if let Some(row) = weights.iter().position(|weight| !(0.0..=1e30).contains(weight)) {
            return Err(Error::Data(format!(
                "the sample weight of row {row} is {}: it must be finite and at least 0",
                weights[row]
            )));
        }
        Ok(Dataset { sample_weights: Some(weights), ..self })
    }

    /// The same rows with a name for each class, in the order of their indices: reports use them, and the model keeps them.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for fewer names than classes, for a name that occurs twice, for a single value a row as targets, which has
    /// no classes, and for names that do not begin with a table's own classes.
    pub fn with_class_names(mut self, names: Vec<String>) -> Result<Self, Error> {
        let fits = match &self.values {
            Some(values) => values.outputs == names.len() && names.len() > 1,
            None => self.classes() <= names.len(),
        };
        if !fits {
            return Err(Error::Data(format!(
                "{} for {}: there must be one each",
                counted(names.len(), "name"),
                counted(self.classes(), "class")
            )));
        }
        if let Some(name) = twice(&names) {
            return Err(Error::Data(format!("two classes are named \"{name}\": every name must occur once")));
        }
        self.origin.columns.iter().try_for_each(|columns| columns.check_classes(&names))?;
        self.origin.class_names = names;
        Ok(self)
    }

    /// The same rows with these names of classes, and for each label the number that its class has among them: the rows' own names may be some of them, in
    /// another order. Rows whose targets are values keep their names.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for a row of a class that is none of them.
    pub(super) fn with_classes_of(mut self, names: &[String]) -> Result<Self, Error> {
        if self.labels.is_empty() || self.origin.class_names == names {
            return Ok(self);
        }
        let own = std::mem::take(&mut self.origin.class_names);
        let numbers: Vec<Option<u32>> =
            own.iter().map(|name| names.iter().position(|other| other == name).map(|at| at as u32)).collect();
        for label in &mut self.labels {
            // A label without a name, as one that the loss ignores, is no class.
            match numbers.get(*label as usize) {
                Some(Some(number)) => *label = *number,
                Some(None) => {
                    let name = &own[*label as usize];
                    let reason = format!("\"{name}\" is none of the model's classes, which are {}", names.join(", "));
                    return Err(Error::Data(reason));
                }
                None => {}
            }
        }
        self.origin.class_names = names.to_vec();
        Ok(self)
    }

    /// The same rows as images of this shape, whose values lie row by row, pixel by pixel, channel by channel: the last axis is the channels.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the shape has another number of features than the rows.
    pub fn with_image_shape(mut self, shape: ImageShape) -> Result<Self, Error> {
        if shape.features() != Some(self.width) {
            return Err(Error::Data(format!(
                "rows of {} features are not images of {shape}: there must be height × width × channels of them",
                self.width
            )));
        }
        self.origin.image = Some(shape);
        Ok(self)
    }

    /// The same rows with a scaling, which is applied before a network sees them. Compute it from the training rows only
    /// ([`Scaling::standardize`], [`Scaling::min_max`]) and give it to every other set too.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of features, for a set that already has a scaling, and for a feature that the scaling makes non-finite.
    pub fn with_scaling(mut self, scaling: Scaling) -> Result<Self, Error> {
        scaling.check(self.width)?;
        if self.origin.scaling.is_some() {
            return Err(Error::Data("the set is scaled already: scale its rows as they were read, once".into()));
        }
        // Bytes and f16 stay as they are: the device applies their scaling when it gathers a minibatch.
        let far = |at: usize, value: f64| !scaling.apply(at, value).is_finite();
        let bad = match &self.features {
            Features::U8(_) => (0..self.width).find(|&at| far(at, 0.0) || far(at, 1.0)),
            Features::F16(values) => {
                let at = values.iter().enumerate().find(|(at, value)| far(at % self.width, value.to_f64()));
                at.map(|(at, _)| at % self.width)
            }
            Features::Tokens(_) => {
                return Err(Error::Data("tokens are numbers of words, which no scaling fits: leave it out".into()));
            }
            Features::F32(_) | Features::F64(_) => None,
        };
        if let Some(at) = bad {
            return Err(Error::Data(format!(
                "feature {at} is no longer finite after its scaling: its values, or the scale, are too large"
            )));
        }
        let (width, features) = (self.width, std::mem::replace(&mut self.features, Features::F32(Vec::new())));
        self.features = match features {
            Features::F32(values) => Features::F32(scaled(values, width, &scaling)?),
            Features::F64(values) => Features::F32(scaled(values, width, &scaling)?),
            others => others,
        };
        self.origin.scaling = Some(scaling);
        Ok(self)
    }

    pub(super) fn with_table(self, table: Vec<TableColumn>) -> Self {
        Dataset { table, ..self }
    }

    pub(super) fn with_columns(mut self, columns: Columns) -> Self {
        self.origin.columns = Some(columns);
        self
    }
}

/// Scaled values, rounded to f32 after the scaling.
fn scaled<T: Copy + Into<f64>>(values: Vec<T>, width: usize, scaling: &Scaling) -> Result<Vec<f32>, Error> {
    let each = |(at, value): (usize, T)| {
        let scaled = scaling.apply(at % width, value.into());
        scaled.is_finite().then_some(scaled).ok_or_else(|| {
            Error::Data(format!("feature {} of row {} is {scaled} after its scaling", at % width, at / width))
        })
    };
    values.into_iter().enumerate().map(each).collect()
}
