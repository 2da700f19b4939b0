//! Residual sums: tensors of layers that are added.

use super::features::Input;
use super::layers::{Layer, Sum, joins, source};
use super::layout::Layout;
use super::limits::Place;
use super::nodes::Nodes;
use super::shape::Shown;
use super::value::Value;
use crate::network::Form;

impl<'a> Nodes<'a> {
    /// The sum of a node's operands, the first with each of the others in turn.
    pub(super) fn sums(
        &mut self,
        place: Place<'a>,
        first: &Value<'a>,
        rest: &[Value<'a>],
    ) -> Result<Value<'a>, String> {
        let mut names = place.node.input.iter().map(String::as_str);
        let (first_name, mut sum) = (names.next().unwrap_or_default(), first.clone());
        for (value, name) in rest.iter().zip(names) {
            sum = self.sum(place, [(&sum, first_name), (value, name)])?;
        }
        Ok(sum)
    }

    /// The sum of two values under these names.
    pub(super) fn sum(
        &mut self,
        place: Place<'a>,
        [(a_value, a_name), (b_value, b_name)]: [(&Value<'a>, &'a str); 2],
    ) -> Result<Value<'a>, String> {
        let names = [a_name, b_name];
        let [(a, of_a), (b, of_b)] = [self.taken(a_value)?, self.taken(b_value)?];
        let layers = [source(&a, &self.layers), source(&b, &self.layers)];
        let sizes = |value: &Value<'a>| self.dims(value).map(|sizes| Shown(&sizes).to_string()).unwrap_or_default();
        let layout = |value: &Value<'a>| match value {
            Value::Rows(rows) => rows.form.layout().cloned(),
            _ => None,
        };
        let forms = layers.map(|layer| layer.map(Layer::form));
        let (form, layout) = match (&a, &b, layout(a_value).or(layout(b_value))) {
            (Input::Features(features), _, Some(layout)) | (_, Input::Features(features), Some(layout)) => {
                let own = forms.into_iter().flatten().next().unwrap_or(Form::Features(0));
                match (features.image(), own) {
                    (Some(image), Form::Image(other)) if image == other && layout == Layout::image(image) => {
                        features.check_float()?;
                        (own, layout)
                    }
                    (None, _) if layout == Layout::features(own.values()) => {
                        features.check(own.values())?;
                        if features.order().is_some_and(|order| order != layout) {
                            return Err(format!("{}: their values are in different orders", joins(names, layers)));
                        }
                        (Form::Features(own.values()), layout)
                    }
                    _ => {
                        let (a, b) = (sizes(a_value), sizes(b_value));
                        return Err(format!("{} as {a} and {b}: both must be the same", joins(names, layers)));
                    }
                }
            }
            (.., Some(own)) if layout(b_value).as_ref() == Some(&own) => match forms {
                [Some(a), Some(b)] if a == b => (a, own),
                _ => (Form::Features(layers[0].map_or(0, Layer::outputs)), own),
            },
            _ => {
                let [a, b] = layers.map(|layer| layer.map_or(0, Layer::outputs));
                let joined = joins(names, layers);
                return Err(match a == b {
                    true => format!("{joined}, whose values are in different orders: both must be in the same"),
                    false => format!("{joined} in rows of {a} and {b} values: both must be as many"),
                });
            }
        };
        self.add(Layer::Sum(Sum { inputs: [a, b], number: of_a.max(of_b), form, place, names }), layout)
    }
}
