//! Tensors in other shapes: rows must stay rows, and it must be known which value is where.

use super::limits::{FITS, PADDED};
use super::nodes::Nodes;
use super::proto::Attributes;
use super::shape::{self, Shown, Size, Sizes};
use super::value::{Form, Moment, Rows, Value, What, sizes};

impl<'a> Nodes<'a> {
    /// The shape of a tensor.
    pub(super) fn dims(&self, value: &Value<'_>) -> Option<Vec<Size>> {
        Some(match value {
            _ if value.is_padded() => return None,
            Value::Constant(constant) => constant.dims().ok()?.into_iter().map(|dim| Size::Known(dim as i64)).collect(),
            Value::Features(features) => features.shape.to_vec(),
            Value::Moment(moment) => moment.layout.sizes(),
            Value::Rows(rows @ Rows { what: What::BothClasses, .. }) if rows.form.is_matrix() => {
                vec![Size::Rows, Size::Known(2)]
            }
            Value::Rows(rows) => rows.form.layout()?.sizes(),
            _ => return None,
        })
    }

    fn dims_or_why(&self, value: &Value<'_>) -> Result<Vec<Size>, &'static str> {
        self.dims(value).ok_or(if value.is_padded() { PADDED } else { FITS })
    }

    pub(super) fn shape(&self, value: &Value<'_>, given: Attributes<'_>) -> Result<Value<'a>, String> {
        let list = self.dims_or_why(value)?;
        let length = list.len() as i64;
        let bound = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length) as usize;
        let (start, end) = (bound(given.integer("start", 0)), bound(given.integer("end", length)));
        Ok(Value::Sizes(Sizes { list: list[start..end.max(start)].to_vec(), alone: false }))
    }

    /// A tensor in another shape: rows must stay rows, with their values in their order.
    pub(super) fn reshaped(
        &mut self,
        op: &str,
        given: Attributes<'_>,
        value: &Value<'a>,
        by: Option<&Value<'a>>,
    ) -> Result<Value<'a>, String> {
        // A class keeps its meaning in any shape.
        if let Value::Label(..) = value {
            return Ok(value.clone());
        }
        let from = self.dims_or_why(value)?;
        let by = match by {
            None | Some(Value::Absent) => None,
            Some(value) => {
                Some(sizes(value).ok_or("its second input is not a constant, and is not computed from sizes")?.list)
            }
        };
        let axes: Option<Vec<i64>> = match &by {
            Some(by) => by.iter().map(|size| size.number()).collect(),
            None => given.integers("axes"),
        };
        let keeps_zeros = given.integer("allowzero", 0) != 0;
        if let (Value::Constant(constant), "Transpose") = (value, op) {
            return constant.transposed(given.integers("perm").as_deref(), &mut self.room).map(Value::Constant);
        }
        let mut to = by.unwrap_or_default();
        // A graph with a fixed number of rows has that number in its shapes.
        if let (Some(first @ Size::Known(1..)), [Size::Rows, ..]) = (to.first_mut(), from.as_slice())
            && (*first == Size::Known(1) || Some(*first) == self.rows.map(Size::Known))
        {
            *first = Size::Rows;
        }
        if let (Value::Rows(rows), "Reshape", [Size::Known(-1), Size::Known(1)]) = (value, op, to.as_slice())
            && rows.form.is_matrix()
            && self.width(rows) > 1
        {
            return Ok(Value::Rows(Rows { form: Form::Beneath, ..rows.clone() }));
        }
        if let ("Transpose", Some(turned)) = (op, turned(value, given.integers("perm").as_deref(), from.len())) {
            return Ok(turned);
        }
        let shape = match op {
            "Reshape" => shape::reshaped(&from, &to, keeps_zeros),
            "Flatten" => shape::flattened(&from, given.integer("axis", 1)),
            "Squeeze" => shape::squeezed(&from, axes.as_deref()),
            "Unsqueeze" => axes.and_then(|axes| shape::unsqueezed(&from, &axes)),
            _ => shape::order(given.integers("perm").as_deref(), from.len())
                .filter(|order| shape::keeps_order(order, |dim| from[dim] == Size::Known(1)))
                .map(|order| order.into_iter().map(|dim| from[dim]).collect()),
        };
        shape.and_then(|shape| self.of_shape(value, shape)).ok_or_else(|| {
            format!("it takes a tensor {} and does not leave its rows as they are: {FITS}", Shown(&from))
        })
    }

    /// A tensor in another shape, if its rows are still rows in it.
    pub(super) fn of_shape(&self, value: &Value<'a>, shape: Vec<Size>) -> Option<Value<'a>> {
        match value {
            Value::Features(features) => features.shaped(shape).map(Value::Features),
            Value::Moment(moment) => {
                let layout = moment.layout.reshaped(&shape)?;
                Some(Value::Moment(Moment { layout, ..moment.clone() }))
            }
            // Both classes are a matrix, and stay one.
            Value::Rows(rows @ Rows { what: What::BothClasses, .. }) => {
                (shape == [Size::Rows, Size::Known(2)]).then(|| Value::Rows(rows.clone()))
            }
            Value::Rows(rows) => {
                let form = Form::Of(rows.form.layout()?.reshaped(&shape)?);
                Some(Value::Rows(Rows { form, ..rows.clone() }))
            }
            Value::Constant(constant) => constant.reshaped(&shape, true).ok().map(Value::Constant),
            _ => None,
        }
    }
}

/// A tensor with its dimensions in another order, where all of their sizes are known.
fn turned<'a>(value: &Value<'a>, asked: Option<&[i64]>, dims: usize) -> Option<Value<'a>> {
    let order = shape::order(asked, dims)?;
    match value {
        Value::Features(features) => features.transposed(&order).map(Value::Features),
        Value::Moment(moment) => {
            let layout = moment.layout.transposed(&order);
            Some(Value::Moment(Moment { layout, ..moment.clone() }))
        }
        Value::Rows(rows @ Rows { what: What::Units(_), .. }) => {
            let form = Form::Of(rows.form.layout()?.transposed(&order));
            Some(Value::Rows(Rows { form, ..rows.clone() }))
        }
        _ => None,
    }
}
