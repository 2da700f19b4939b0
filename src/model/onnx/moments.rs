//! Norms that are written in nodes of their own: the mean of a tensor, the mean of its squares or of its squared deviations, and what is made of these. Keras'
//! exporter writes all of its norms so, PyTorch's the root mean square.

use super::constant::Constant;
use super::features::Input;
use super::layout::Layout;
use super::limits::{FITS, Place};
use super::made::{Made, Part, Values, checked};
use super::nodes::Nodes;
use super::proto::Attributes;
use super::value::{Form as Lies, Moment, Of, Over, Rows, Spread, Value, What, activation, axes};
use crate::network::{Form, GroupNormLayer, LayerKind, LayerNormLayer, RmsNormLayer};

impl<'a> Nodes<'a> {
    /// What an operator on statistics makes of its inputs; nothing for another operator.
    pub(super) fn moment_operator(
        &mut self,
        place: Place<'a>,
        inputs: &[Value<'a>],
    ) -> Option<Result<Value<'a>, String>> {
        let op = place.node.op_type.as_str();
        if let ("ReduceMean" | "GlobalAveragePool", [value, rest @ ..]) = (op, inputs) {
            return self.statistics(place, value, rest).transpose();
        }
        if !inputs.iter().any(|input| matches!(input, Value::Moment(_))) {
            return None;
        }
        Some(match (op, inputs) {
            ("Identity" | "Shape" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose", _) => return None,
            ("Neg" | "Sqrt" | "Reciprocal", [Value::Moment(moment)]) => of_one(op, moment),
            (_, [Value::Moment(moment), Value::Constant(constant)]) => with(place, moment, constant, false),
            (_, [Value::Constant(constant), Value::Moment(moment)]) => with(place, moment, constant, true),
            (_, [Value::Rows(rows), Value::Moment(moment)]) => self.with_rows(place, rows, moment, false),
            (_, [Value::Moment(moment), Value::Rows(rows)]) => self.with_rows(place, rows, moment, true),
            (_, [Value::Moment(one), Value::Moment(other)]) => self.of_two(place, one, other),
            _ => Err(FITS.into()),
        })
    }

    /// A mean over dimensions; nothing for one that is no norm's.
    fn statistics(&self, place: Place<'a>, value: &Value<'a>, rest: &[Value<'a>]) -> Result<Option<Value<'a>>, String> {
        let given = Attributes(&place.node.attribute);
        let layout = match value {
            Value::Rows(Rows { what: What::Units(_), form: Lies::Of(layout), .. }) => layout,
            Value::Moment(moment) => &moment.layout,
            _ => return Ok(None),
        };
        let Some(axes) = axes(place.node, rest, layout.dims()) else { return Ok(None) };
        let keeps = place.node.op_type == "GlobalAveragePool" || given.integer("keepdims", 1) != 0;
        let (Some((reduced, taken)), Some((kept, _))) = (layout.without(&axes, true), layout.without(&axes, keeps))
        else {
            return Ok(None);
        };
        match value {
            Value::Moment(moment) => match &moment.of {
                Of::Square if moment.is_home() && moment.reduced == reduced => {
                    let of = Of::Spread(Spread { is_centred: true, eps: None, power: 1.0 });
                    Ok(Some(Value::Moment(Moment { of, home: reduced, layout: kept, ..moment.clone() })))
                }
                _ => Err(FITS.into()),
            },
            Value::Rows(rows @ Rows { what: What::Units(function), .. }) => {
                let Some(over) = self.over(rows, layout, &reduced, taken) else { return Ok(None) };
                let (of, function) = match (function.activation(), function.root()) {
                    (Some(_), _) => (Of::Mean { is_negative: false }, function.clone()),
                    (None, Some(root)) => (Of::Spread(Spread { is_centred: false, eps: None, power: 1.0 }), root),
                    (None, None) => return Ok(None),
                };
                let rows = Rows { what: What::Units(function), ..rows.clone() };
                Ok(Some(Value::Moment(Moment { rows, over, home: reduced.clone(), reduced, layout: kept, of })))
            }
            _ => Ok(None),
        }
    }

    /// What each mean is over, where it is one of `taken` values and the means lie as `reduced`: the channels of a pixel, a row's features, or a group of
    /// channels with all pixels. `None` for other means, and for the mean of each channel by itself, which is a pool's. Sizes alone say nothing: an image may be
    /// as wide as it has channels.
    fn over(&self, rows: &Rows, layout: &Layout, reduced: &Layout, taken: usize) -> Option<Over> {
        let own = self.layers[rows.layer].form();
        if taken == own.channels() && taken > 1 {
            match own {
                Form::Image(image) if reduced.are_pixels(image) => return Some(Over::Channels),
                Form::Features(features) if *layout == Layout::features(features) => return Some(Over::Channels),
                _ => {}
            }
        }
        let groups = reduced.groups_of(taken)?;
        let is_pool = matches!(own, Form::Image(_)) && groups == own.channels();
        let is_so = groups * taken == own.values() && own.channels().is_multiple_of(groups);
        (is_so && !is_pool).then_some(Over::Groups(groups))
    }

    /// What an operator makes of the tensor whose statistics these are.
    fn with_rows(
        &mut self,
        place: Place<'a>,
        rows: &Rows,
        moment: &Moment<'a>,
        reversed: bool,
    ) -> Result<Value<'a>, String> {
        if !moment.is_of(rows) {
            return Err("it joins a tensor and statistics that are not broadcast to it".into());
        }
        let full = |of| Ok(moment.of_rows(of));
        match (place.node.op_type.as_str(), &moment.of, reversed) {
            ("Sub", Of::Mean { is_negative: false }, false) | ("Add", Of::Mean { is_negative: true }, _) => {
                full(Of::Centred)
            }
            ("Mul", Of::Spread(spread), _) if spread.power == -0.5 && spread.is_centred => {
                full(Of::Scaled { spread: spread.clone(), scale: None })
            }
            ("Mul", Of::Spread(spread), _) if spread.power == -0.5 => {
                self.normed_by(place, moment, spread, [None, None])
            }
            ("Div", Of::Spread(spread), false) if spread.power == 0.5 && !spread.is_centred => {
                self.normed_by(place, moment, spread, [None, None])
            }
            ("Mul", Of::Scale { spread, scale }, _) if spread.is_centred => {
                full(Of::Scaled { spread: spread.clone(), scale: Some(scale.clone()) })
            }
            ("Mul", Of::Scale { spread, scale }, _) => {
                self.normed_by(place, moment, spread, [Some(scale.clone()), None])
            }
            _ => Err(FITS.into()),
        }
    }

    /// What an operator makes of two values that are made of the same statistics.
    fn of_two(&mut self, place: Place<'a>, one: &Moment<'a>, other: &Moment<'a>) -> Result<Value<'a>, String> {
        if !one.is_of(&other.rows) || !other.is_of(&one.rows) || one.over != other.over {
            return Err("it joins statistics of different tensors, or some that are not broadcast to the tensor".into());
        }
        let full = |of| Ok(one.of_rows(of));
        // A mean, or the power of a spread, has one value where a scale may have more.
        let as_scale = |scale: &Moment<'a>, of| Ok(Value::Moment(Moment { of, ..scale.clone() }));
        match (place.node.op_type.as_str(), &one.of, &other.of) {
            ("Mul", Of::Centred, Of::Centred) => full(Of::Square),
            ("Div", Of::Centred, Of::Spread(spread)) if spread.power == 0.5 && spread.is_centred => {
                self.normed_by(place, one, spread, [None, None])
            }
            ("Mul", Of::Centred, Of::Spread(spread)) | ("Mul", Of::Spread(spread), Of::Centred)
                if spread.power == -0.5 && spread.is_centred =>
            {
                self.normed_by(place, one, spread, [None, None])
            }
            ("Mul", Of::Centred, Of::Scale { spread, scale }) | ("Mul", Of::Scale { spread, scale }, Of::Centred)
                if spread.is_centred =>
            {
                self.normed_by(place, one, spread, [Some(scale.clone()), None])
            }
            ("Mul", &Of::Mean { is_negative }, Of::Scale { spread, scale })
            | ("Mul", Of::Scale { spread, scale }, &Of::Mean { is_negative }) => {
                let scaled = if matches!(one.of, Of::Scale { .. }) { one } else { other };
                let (spread, scale) = (spread.clone(), Some(scale.clone()));
                as_scale(scaled, Of::Shift { is_negative, spread, scale, shift: None })
            }
            ("Mul", &Of::Mean { is_negative }, Of::Spread(spread))
            | ("Mul", Of::Spread(spread), &Of::Mean { is_negative })
                if spread.power == -0.5 =>
            {
                as_scale(one, Of::Shift { is_negative, spread: spread.clone(), scale: None, shift: None })
            }
            ("Add", Of::Scaled { spread, scale }, Of::Shift { is_negative: true, spread: again, scale: by, shift })
            | ("Add", Of::Shift { is_negative: true, spread: again, scale: by, shift }, Of::Scaled { spread, scale })
            | (
                "Sub",
                Of::Scaled { spread, scale },
                Of::Shift { is_negative: false, spread: again, scale: by, shift: shift @ None },
            ) if spread == again && self.are_same(scale, by)? => {
                self.normed_by(place, one, spread, [scale.clone(), shift.clone()])
            }
            _ => Err(FITS.into()),
        }
    }

    /// Whether two constants have the same values, which are taken from the room.
    fn are_same(&mut self, one: &Option<Constant<'a>>, other: &Option<Constant<'a>>) -> Result<bool, String> {
        let (Some(one), Some(other)) = (one, other) else { return Ok(one.is_none() && other.is_none()) };
        self.take_room(one.count()?)?;
        self.take_room(other.count()?)?;
        Ok(one.values()? == other.values()?)
    }

    /// The norm that was written so, with what it scales and shifts by.
    fn normed_by(
        &mut self,
        place: Place<'a>,
        moment: &Moment<'a>,
        spread: &Spread,
        [scale, shift]: [Option<Constant<'a>>; 2],
    ) -> Result<Value<'a>, String> {
        let Moment { rows, over, .. } = moment;
        let (What::Units(function), Lies::Of(layout)) = (&rows.what, &rows.form) else { return Err(FITS.into()) };
        let of = &self.layers[rows.layer];
        let (own, input) = (of.form(), (Input::Layer(rows.layer, activation(of, function)?), of.number()));
        let eps = spread.eps.ok_or("it divides by a deviation to which nothing is added, as 1e-5")?;
        let kind: LayerKind = match (over, spread.is_centred) {
            (Over::Channels, true) => LayerNormLayer::new().eps(eps).into(),
            (Over::Channels, false) => RmsNormLayer::new().eps(eps).into(),
            (Over::Groups(groups), true) => GroupNormLayer::new(*groups).eps(eps).into(),
            (Over::Groups(_), false) => return Err("it is a root mean square of groups of channels".into()),
        };
        let channels = own.channels();
        self.take_room(channels)?;
        let places = match own {
            Form::Image(image) => layout.channels(image),
            _ => layout.clone(),
        };
        let part = |constant: Option<Constant<'a>>, usual: f32| -> Result<Part<'a>, String> {
            let Some(constant) = constant else { return Ok(Part::Same(usual)) };
            let dims = constant.dims()?;
            match places.picked(&dims).is_some_and(|picked| picked.len() == channels) {
                true => Ok(Part::Picked(constant, places.clone())),
                false => Err(format!("it scales or shifts by {dims:?} values: it must be one for each channel")),
            }
        };
        let bias = if spread.is_centred { Some(part(shift, 0.0)?) } else { None };
        let values = Values { inputs: 1, outputs: channels, weight: part(scale, 1.0)?, bias };
        checked(&kind, own)?;
        let layout = layout.clone();
        self.add_made(Made::new(place, input, kind, [own, own], vec![values]), layout)
    }
}

impl<'a> Moment<'a> {
    /// Whether these are the rows that it is made of, with which it can be joined as it lies.
    fn is_of(&self, rows: &Rows) -> bool {
        let same = match (&self.rows.what, &rows.what) {
            (What::Units(own), What::Units(other)) => own == other,
            _ => false,
        };
        same && self.rows.layer == rows.layer && self.rows.form == rows.form && self.is_home()
    }

    /// Whether it lies as it has to where it is joined with others.
    fn is_home(&self) -> bool {
        self.layout == self.home
    }

    fn layout_of_rows(&self) -> Layout {
        self.rows.form.layout().cloned().unwrap_or_else(|| self.home.clone())
    }

    /// What lies as the tensor does.
    fn of_rows(&self, of: Of<'a>) -> Value<'a> {
        let own = self.layout_of_rows();
        Value::Moment(Moment { of, home: own.clone(), layout: own, ..self.clone() })
    }

    /// The same with a constant that is broadcast to it, or it to the constant.
    fn with_constant(&self, of: Of<'a>, constant: &Constant<'a>) -> Result<Value<'a>, String> {
        let dims = constant.dims()?;
        if constant.count()? == 1 && dims.len() <= self.layout.dims() {
            return Ok(Value::Moment(Moment { of, ..self.clone() }));
        }
        let made = self.home.broadcast(&self.layout_of_rows(), &dims).filter(|_| self.is_home());
        let home = made.ok_or_else(|| {
            format!("it joins statistics and {dims:?} values: they must lie as in the tensor, each dimension with one value or all that the tensor has there")
        })?;
        Ok(Value::Moment(Moment { of, layout: home.clone(), home, ..self.clone() }))
    }
}

/// What an operator makes of one.
fn of_one<'a>(op: &str, moment: &Moment<'a>) -> Result<Value<'a>, String> {
    let of = match (op, &moment.of) {
        ("Neg", Of::Mean { is_negative }) => Of::Mean { is_negative: !is_negative },
        ("Sqrt", Of::Spread(spread)) => Of::Spread(Spread { power: spread.power / 2.0, ..spread.clone() }),
        ("Reciprocal", Of::Spread(spread)) => Of::Spread(Spread { power: -spread.power, ..spread.clone() }),
        _ => return Err(FITS.into()),
    };
    Ok(Value::Moment(Moment { of, ..moment.clone() }))
}

/// What an operator makes of one and a constant.
fn with<'a>(
    place: Place<'a>,
    moment: &Moment<'a>,
    constant: &Constant<'a>,
    reversed: bool,
) -> Result<Value<'a>, String> {
    let number = match constant.count()? {
        1 => constant.values()?.1.first().copied(),
        _ => None,
    };
    let of = match (place.node.op_type.as_str(), &moment.of, number, reversed) {
        ("Add", Of::Spread(spread), Some(eps), _) if spread.eps.is_none() && spread.power == 1.0 => {
            Of::Spread(Spread { eps: Some(super::norms::decimal(eps)), ..spread.clone() })
        }
        ("Pow", Of::Centred, Some(2.0), false) => Of::Square,
        ("Pow", Of::Spread(spread), Some(power), false) => {
            Of::Spread(Spread { power: spread.power * f64::from(power), ..spread.clone() })
        }
        ("Mul", Of::Spread(spread), _, _) if spread.power == -0.5 => {
            Of::Scale { spread: spread.clone(), scale: constant.clone() }
        }
        ("Add", Of::Shift { is_negative: true, spread, scale, shift: None }, _, _)
        | ("Sub", Of::Shift { is_negative: false, spread, scale, shift: None }, _, true) => {
            Of::Shift { is_negative: true, spread: spread.clone(), scale: scale.clone(), shift: Some(constant.clone()) }
        }
        _ => return Err(FITS.into()),
    };
    moment.with_constant(of, constant)
}
