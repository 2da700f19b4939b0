//! What is done to features before a network sees them, the same in training and in prediction.

use crate::Error;

/// One shift and one scale for each feature: the network sees `(x − shift) · scale`. A u8 feature is in `[0, 1]` before that.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// `[features]`
    pub shift: Vec<f32>,
    /// `[features]`
    pub scale: Vec<f32>,
}

impl Scaling {
    /// That there is a finite shift and a finite scale for each of so many features.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the first feature that has none.
    pub fn check(&self, features: usize) -> Result<(), Error> {
        for (name, values) in [("shift", &self.shift), ("scale", &self.scale)] {
            if values.len() != features {
                return Err(Error::Data(format!(
                    "the scaling has {} values of {name} for {features} features: there must be one each",
                    values.len()
                )));
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::Data(format!("the {name} of feature {at} is {}: it must be finite", values[at])));
            }
        }
        Ok(())
    }
}
