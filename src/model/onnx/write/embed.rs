//! Features that are categories: `Gather`s from their tables, and a `Concat`.

use super::layers::next;
use super::{Graph, Weights, integer};
use crate::error::Error;
use crate::model::onnx::proto::DataType;
use crate::model::tensors::in_file;
use crate::network::{EmbedLayer, EmbeddedFeature, Form};

impl Graph {
    /// The features that are numbers, and the vectors of the others, side by side: of x `[batch, features]`.
    pub(super) fn embed(&mut self, embed: &EmbedLayer, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (x, mut parts) = (self.last.clone(), vec![]);
        let is_number = |feature: &i64| embed.features.iter().all(|own| own.feature as i64 != *feature);
        let numbers: Vec<i64> = (0..input.values() as i64).filter(is_number).collect();
        if !numbers.is_empty() {
            self.list("numbers", &numbers);
            self.gather(&x, "numbers", 1);
            parts.push(self.last.clone());
        }
        for EmbeddedFeature { feature, .. } in &embed.features {
            let (parameter, own) = next(weights)?;
            let ([table, _], index) = (parameter.tensor_names(), format!("{}.feature", parameter.name));
            self.tensor(&table, &parameter.shape(), &in_file(parameter, &own.weight));
            self.list(&index, &[*feature as i64]);
            // [batch, 1] as whole numbers, [batch, 1, width], [batch, width].
            self.gather(&x, &index, 1);
            self.then("Cast", &[]).attribute.push(integer("to", i32::from(DataType::Int64).into()));
            let of = self.last.clone();
            self.gather(&table, &of, 0);
            self.then("Flatten", &[]).attribute.push(integer("axis", 1));
            parts.push(self.last.clone());
        }
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.node("Concat", &parts).attribute.push(integer("axis", 1));
        Ok(())
    }

    fn gather(&mut self, from: &str, at: &str, axis: i64) {
        self.node("Gather", &[from, at]).attribute.push(integer("axis", axis));
    }
}
