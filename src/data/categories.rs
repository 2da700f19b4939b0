//! Features that are categories: the layer that looks them up, and checks that it can.

use super::{Dataset, Features};
use crate::error::Error;
use crate::network::{EmbedLayer, EmbeddedFeature, Network};
use crate::preprocessing::Columns;

impl Dataset {
    /// The layer that looks up the vectors of the columns of words that are to have some ([`ReadOptions::embed`](crate::ReadOptions::embed)): the first of a
    /// network for these rows. None where there are no such columns.
    ///
    /// ```
    /// use wgrad::{Activation, Dataset, Network, ReadOptions};
    ///
    /// let options = ReadOptions { embed: vec![("city".into(), 8)], ..ReadOptions::default() };
    /// let set = Dataset::from_csv("rooms,city,sold\n3,Rome,yes\n2,Oslo,no\n4,Rome,yes\n", &options)?;
    /// let first = set.embed_layer().into_iter().map(Into::into).collect();
    /// let network = Network::of_layers(set.width(), first).dense(2, Activation::Identity);
    /// assert_eq!(network.shape(), "2-9-2");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn embed_layer(&self) -> Option<EmbedLayer> {
        let features = self.columns().map(Columns::embedded).unwrap_or_default();
        (!features.is_empty()).then(|| EmbedLayer::new(features))
    }

    /// A feature in messages.
    fn called(&self, feature: usize) -> String {
        let names = self.columns().map(Columns::feature_names).unwrap_or_default();
        names.get(feature).map_or_else(|| format!("feature {feature}"), |name| format!("column \"{name}\""))
    }

    /// Checks that the network looks up all features that are numbers of words, and that those which it looks up are whole numbers that it knows.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the feature, and the first row that is wrong.
    pub(super) fn check_categories(&self, network: &Network) -> Result<(), Error> {
        let looked_up = network.embedded();
        let is_known = |feature: usize| looked_up.iter().any(|own| own.feature == feature);
        let words = self.columns().map(Columns::embedded).unwrap_or_default();
        if let Some(own) = words.iter().find(|own| !is_known(own.feature)) {
            return Err(Error::Data(format!(
                "{} is the number of a word (embed), and the network does not look it up: begin it with the layer of Dataset::embed_layer",
                self.called(own.feature)
            )));
        }
        let Some(first) = looked_up.first() else { return Ok(()) };
        if let Features::U8(_) = self.features {
            return Err(Error::Data(format!(
                "the network looks up {}, and the features are bytes, which stand for 0 to 1: give numbers of categories as f32",
                self.called(first.feature)
            )));
        }
        looked_up.iter().try_for_each(|own| self.check_scaling_of(*own))?;
        let mut of_features = vec![None; self.width];
        looked_up.iter().for_each(|own| of_features[own.feature] = Some(own));
        let (mut row, mut wrong) = (0, None);
        self.each_row(|values| {
            for (own, value) in of_features.iter().zip(values).filter_map(|(own, value)| Some(((*own)?, value))) {
                let is_right = value.fract() == 0.0 && (0.0..own.vocabulary as f64).contains(&value);
                wrong = wrong.or((!is_right).then_some((row, value, own)));
            }
            row += 1;
        });
        wrong.map_or(Ok(()), |(row, value, own)| {
            Err(Error::Data(format!(
                "row {row} has {value} as {}, which the network looks up among {} categories: it must be a whole number from 0 to {}",
                self.called(own.feature),
                own.vocabulary,
                own.vocabulary - 1
            )))
        })
    }

    /// Checks that a scaling leaves a category as it is.
    fn check_scaling_of(&self, own: EmbeddedFeature) -> Result<(), Error> {
        match self.scaling() {
            Some(scaling) if (scaling.shift[own.feature], scaling.scale[own.feature]) != (0.0, 1.0) => {
                Err(Error::Data(format!(
                    "the scaling changes {}, which the network looks up as a category: its shift must be 0 and its scale 1",
                    self.called(own.feature)
                )))
            }
            _ => Ok(()),
        }
    }
}
