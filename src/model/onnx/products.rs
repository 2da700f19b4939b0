//! Dense layers: products with a weight, and the biases that are added to them.

use super::constant::Constant;
use super::features::Input;
use super::images::Taken;
use super::layers::{Dense, Layer};
use super::layout::Layout;
use super::limits::{FITS, PADDED, Place};
use super::nodes::Nodes;
use super::proto::Attributes;
use super::shape::Shown;
use super::value::{Form, Rows, Value, What, activation};

impl<'a> Nodes<'a> {
    /// A layer's products.
    pub(super) fn multiplied(
        &mut self,
        place: Place<'a>,
        input: &Value<'a>,
        weight: &Constant<'a>,
    ) -> Result<Value<'a>, String> {
        let layer = self.dense(place, input, weight, false, 1.0)?;
        self.add_dense(layer)
    }

    /// A layer's products with their bias.
    pub(super) fn biased(&mut self, rows: &Rows, bias: &Constant<'a>) -> Result<Value<'a>, String> {
        let product = self.product(rows).ok_or(FITS)?;
        let layer = product.with_bias(bias.clone(), 1.0)?;
        self.add_dense(layer)
    }

    pub(super) fn gemm(
        &mut self,
        place: Place<'a>,
        input: &Value<'a>,
        weight: &Constant<'a>,
        rest: &[Value<'a>],
    ) -> Result<Value<'a>, String> {
        let bias = match rest {
            [] => None,
            [Value::Constant(bias)] => Some(bias.clone()),
            _ => return Err("its bias is not a constant".into()),
        };
        let given = Attributes(&place.node.attribute);
        if given.integer("transA", 0) != 0 {
            return Err("it has transA: rows must be [batch, features]".into());
        }
        let (alpha, beta) = (given.number("alpha", 1.0), given.number("beta", 1.0));
        let layer = self.dense(place, input, weight, given.integer("transB", 0) != 0, alpha)?;
        self.add_dense(match bias {
            Some(bias) => layer.with_bias(bias, beta)?,
            None => layer,
        })
    }

    /// What a layer takes, and how many layers with weights the longest way to it has.
    pub(super) fn taken(&self, value: &Value<'a>) -> Result<Taken<'a>, String> {
        match value {
            _ if value.is_padded() => Err(PADDED.into()),
            Value::Features(features) => Ok((Input::Features(features.clone()), 0)),
            Value::Rows(Rows { layer, what: What::Units(function), form: Form::Of(_) }) => {
                let of = &self.layers[*layer];
                Ok((Input::Layer(*layer, activation(of, function)?), of.number()))
            }
            _ => Err(format!("it does not take what a layer gives: {FITS}")),
        }
    }

    /// A dense layer on top of what it takes.
    pub(super) fn dense(
        &self,
        place: Place<'a>,
        value: &Value<'a>,
        weight: &Constant<'a>,
        transposed: bool,
        alpha: f32,
    ) -> Result<Dense<'a>, String> {
        let dense = Dense::new(place, self.taken(value)?, weight.clone(), transposed, alpha)?;
        let order = match value {
            Value::Rows(rows) if !rows.form.is_matrix() => {
                let shape = rows.form.layout().map(Layout::sizes).unwrap_or_default();
                return Err(format!("it takes a tensor {}, not flattened: put a Flatten before it", Shown(&shape)));
            }
            Value::Rows(rows) => rows.form.layout().cloned(),
            Value::Features(features) => features.order(),
            _ => None,
        };
        match &dense.input {
            Input::Features(features) => features.check(dense.inputs)?,
            Input::Layer(before, _) if self.layers[*before].outputs() != dense.inputs => {
                let (inputs, outputs) = (dense.inputs, self.layers[*before].outputs());
                return Err(format!("it takes {inputs} values, and the layer before it gives {outputs}"));
            }
            Input::Layer(..) => {}
        }
        Ok(match order {
            Some(order) => dense.with_order(order),
            None => dense,
        })
    }

    pub(super) fn add_dense(&mut self, dense: Dense<'a>) -> Result<Value<'a>, String> {
        let layout = Layout::features(dense.outputs);
        self.add(Layer::Dense(dense), layout)
    }

    /// The layer whose products these rows are, if they still lack a bias, so that an Add may supply it.
    pub(super) fn product(&self, rows: &Rows) -> Option<&Dense<'a>> {
        let untouched = matches!(&rows.what, What::Units(function) if function.is_identity());
        match &self.layers[rows.layer] {
            Layer::Dense(dense) if untouched && rows.form.is_features(dense.outputs) && dense.is_bare() => Some(dense),
            _ => None,
        }
    }
}
