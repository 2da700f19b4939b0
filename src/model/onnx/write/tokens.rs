//! What layers of tokens are in a graph, where a sequence is `[batch, places, values]`.

use super::layers::next;
use super::{Graph, Weights, integer, integers};
use crate::error::Error;
use crate::layout::Sequence;
use crate::network::{AttentionLayer, PositionsLayer};

impl Graph {
    /// A table's rows that tokens name.
    pub(super) fn embedding(&mut self, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (table, tokens) = (self.table_of(weights)?, self.last.clone());
        self.node("Gather", &[&table, &tokens]);
        self.table = Some(table);
        Ok(())
    }

    /// A table's first rows, one for each place.
    pub(super) fn positions(
        &mut self,
        positions: &PositionsLayer,
        sequence: Sequence,
        weights: &mut Weights<'_>,
    ) -> Result<(), Error> {
        let mut rows = self.table_of(weights)?;
        let length = sequence.length as usize;
        if length < positions.length {
            let [begin, end] = ["begin", "end"].map(|what| format!("{rows}.{what}"));
            self.list(&begin, &[0]);
            self.list(&end, &[length as i64]);
            rows = self.aside("Slice", &[&rows, &begin, &end], |_| ());
        }
        self.then("Add", &[&rows]);
        Ok(())
    }

    /// Heads have an axis of their own: `[batch, heads, places, values]`.
    pub(super) fn attention(
        &mut self,
        attention: &AttentionLayer,
        sequence: Sequence,
        weights: &mut Weights<'_>,
    ) -> Result<(), Error> {
        let mask = if attention.causal { Some(self.mask(sequence)) } else { None };
        self.each_place(weights)?;
        let split = self.then("Split", &[]);
        split.attribute.push(integer("axis", 2));
        let [queries, keys, values] = ["queries", "keys", "values"].map(|part| format!("{}.{part}", split.name));
        split.output = vec![queries.clone(), keys.clone(), values.clone()];
        let (heads, width) = (attention.heads, sequence.width as usize);
        let [apart, joined] = ["apart", "joined"].map(|what| format!("{}.{what}", self.last));
        // 0 stands for the size that is there.
        self.list(&apart, &[0, 0, heads as i64, (width / heads) as i64]);
        self.list(&joined, &[0, 0, width as i64]);
        let queries = self.heads(&queries, &apart, [0, 2, 1, 3]);
        let keys = self.heads(&keys, &apart, [0, 2, 3, 1]);
        let values = self.heads(&values, &apart, [0, 2, 1, 3]);
        self.node("MatMul", &[&queries, &keys]);
        self.with("Mul", (1.0 / ((width / heads) as f64).sqrt()) as f32);
        if let Some(mask) = mask {
            self.then("Add", &[&mask]);
        }
        self.then("Softmax", &[]).attribute.push(integer("axis", -1));
        self.then("MatMul", &[&values]);
        self.then("Transpose", &[]).attribute.push(integers("perm", [0, 2, 1, 3]));
        self.then("Reshape", &[&joined]);
        self.each_place(weights)
    }

    /// A tensor whose values are set apart by heads, with its axes in this order.
    fn heads(&mut self, part: &str, apart: &str, order: [i64; 4]) -> String {
        self.node("Reshape", &[part, apart]);
        self.then("Transpose", &[]).attribute.push(integers("perm", order));
        self.last.clone()
    }

    /// What is added to scores: −∞ where a place would attend to one that comes after it, else 0. A file has it once, as two nodes.
    fn mask(&mut self, sequence: Sequence) -> String {
        if let Some(mask) = &self.mask {
            return mask.clone();
        }
        let (sides, above) = ("mask.sides", "mask.above");
        self.list(sides, &[sequence.length.into(); 2]);
        self.whole(above, &[], &[1]);
        let infinite = self.number(f32::NEG_INFINITY);
        let square = self.aside("Expand", &[&infinite, sides], |_| ());
        let mask = self.aside("Trilu", &[&square, above], |node| node.attribute.push(integer("upper", 1)));
        self.mask = Some(mask.clone());
        mask
    }

    /// The product of each place with the next parameter, and its bias.
    pub(super) fn each_place(&mut self, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (parameter, own) = next(weights)?;
        let names = self.parameter(parameter, own, &parameter.shape());
        self.times(&names[0]);
        if let Some(bias) = names.get(1) {
            self.then("Add", &[bias]);
        }
        Ok(())
    }

    /// The product of each place with the embedding's table, which the file has once.
    pub(super) fn tied(&mut self) -> Result<(), Error> {
        let table = self.table.clone();
        let table = table.ok_or_else(|| Error::Option("a tied layer has no embedding before it".into()))?;
        self.times(&table);
        Ok(())
    }

    /// The product of each place with a matrix `[outputs, inputs]`.
    fn times(&mut self, weight: &str) {
        let turned = self.aside("Transpose", &[weight], |node| node.attribute.push(integers("perm", [1, 0])));
        self.then("MatMul", &[&turned]);
    }

    /// The next parameter, which is a table, by its name.
    fn table_of(&mut self, weights: &mut Weights<'_>) -> Result<String, Error> {
        let (parameter, own) = next(weights)?;
        Ok(self.parameter(parameter, own, &parameter.shape()).swap_remove(0))
    }
}
