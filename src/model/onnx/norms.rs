//! Norms in graphs. Those that exporters fold to a scale and a shift, or write in several nodes, are put together again.

use super::constant::Constant;
use super::features::Input;
use super::images::{Picture, Taken};
use super::layers::Layer;
use super::layout::Layout;
use super::limits::{FITS, Place, positive};
use super::made::{Made, Part, Step, Values, checked};
use super::nodes::Nodes;
use super::proto::Attributes;
use super::shape::Size;
use super::value::{Form as Lies, Rows, Value, What, activation};
use crate::activation::Activation;
use crate::network::{BatchNormLayer, Form, GroupNormLayer, LayerKind, LayerNormLayer, RmsNormLayer};

impl<'a> Nodes<'a> {
    /// What a norm takes: an image, with its channels last where that is asked, or features in their own order; and how it lies.
    pub(super) fn normed(&self, value: &Value<'a>, last: bool) -> Result<(Taken<'a>, Form, Layout), String> {
        if let Value::Features(features) = value {
            if let (Some(image), false) = (features.image(), last) {
                let Picture { input, .. } = self.plain(value)?;
                return Ok((input, Form::Image(image), Layout::image(image)));
            }
            let width = features.order().map(|order| (order.last(), order));
            let Some((width, order)) = width.filter(|(width, order)| *order == Layout::features(*width)) else {
                return Err("it takes features, whose number must be known, or an image".into());
            };
            features.check(width)?;
            return Ok(((Input::Features(features.clone()), 0), Form::Features(width), order));
        }
        let Value::Rows(Rows { layer, what: What::Units(function), form: Lies::Of(layout) }) = value else {
            return Err(format!("it does not take what a layer gives: {FITS}"));
        };
        let of = &self.layers[*layer];
        let input = (Input::Layer(*layer, activation(of, function)?), of.number());
        if let Form::Image(image) = of.form() {
            let own = Layout::image(image);
            if *layout == if last { own.channels_last() } else { own } {
                return Ok((input, Form::Image(image), layout.clone()));
            }
        }
        match *layout == Layout::features(of.outputs()) {
            true => Ok((input, Form::Features(of.outputs()), layout.clone())),
            false => Err(format!(
                "it takes a tensor that is neither features in their own order nor an image with its channels {}",
                if last { "last" } else { "first" }
            )),
        }
    }

    pub(super) fn batch_norm(
        &mut self,
        place: Place<'a>,
        given: Attributes<'a>,
        value: &Value<'a>,
        [scale, bias, mean, variance]: [&Constant<'a>; 4],
    ) -> Result<Value<'a>, String> {
        if given.integer("training_mode", 0) != 0 || given.integer("spatial", 1) != 1 {
            return Err("it computes with the statistics of a minibatch, as in training: export the model for inference, in PyTorch after net.eval()".into());
        }
        let (input, form, layout) = self.normed(value, false)?;
        let channels = form.channels();
        let values = |weight, bias| values(channels, weight, Some(bias));
        let parameters = vec![values(scale, bias)?, values(mean, variance)?];
        let momentum = 1.0 - decimal(given.number("momentum", 0.9));
        // The share that stays and the one that is new make 1.
        let norm = BatchNormLayer::new().momentum((momentum * 1e9).round() / 1e9).eps(eps(given));
        self.on_channels(place, input, norm, form, layout, parameters)
    }

    /// Adds a norm, which gives what lies as what it takes.
    pub(super) fn on_channels(
        &mut self,
        place: Place<'a>,
        input: Taken<'a>,
        kind: impl Into<LayerKind>,
        form: Form,
        layout: Layout,
        parameters: Vec<Values<'a>>,
    ) -> Result<Value<'a>, String> {
        let kind = kind.into();
        checked(&kind, form)?;
        self.add_made(Made::new(place, input, kind, [form, form], parameters), layout)
    }

    /// The norm of each of some groups of channels: those of the second dimension, if their number is not given.
    pub(super) fn group_norm(
        &mut self,
        place: Place<'a>,
        given: Attributes<'a>,
        value: &Value<'a>,
        groups: Option<i64>,
        [scale, bias]: [&Constant<'a>; 2],
    ) -> Result<Value<'a>, String> {
        let (input, form, layout, groups) = match groups {
            Some(groups) => {
                let (input, form, layout) = self.normed(value, false)?;
                (input, form, layout, positive(groups, "num_groups")?)
            }
            None => self.groups(value)?,
        };
        let channels = form.channels();
        if !channels.is_multiple_of(groups) {
            return Err(format!("it has {groups} groups: they must divide its {channels} channels"));
        }
        let part = |constant: &Constant<'a>| match constant.count()? {
            count if count == channels => Ok(Part::Constant(constant.clone())),
            // Before opset 21, each group has one.
            count if count == groups => Ok(Part::Each(constant.clone(), channels / groups)),
            count => Err(format!("it scales by {count} values: it must have {channels}")),
        };
        let parameters = vec![Values { inputs: 1, outputs: channels, weight: part(scale)?, bias: Some(part(bias)?) }];
        self.on_channels(place, input, GroupNormLayer::new(groups).eps(eps(given)), form, layout, parameters)
    }

    /// What an instance norm takes, and the number of its groups: those of a tensor whose second dimension is groups of channels.
    pub(super) fn groups(&self, value: &Value<'a>) -> Result<(Taken<'a>, Form, Layout, usize), String> {
        if let Value::Features(features) = value {
            let groups = features.image().map_or(0, |image| image.channels as usize);
            return self.normed(value, false).map(|(input, form, layout)| (input, form, layout, groups));
        }
        let Value::Rows(Rows { layer, what: What::Units(function), form: Lies::Of(layout) }) = value else {
            return Err(format!("it does not take what a layer gives: {FITS}"));
        };
        let of = &self.layers[*layer];
        let input = (Input::Layer(*layer, activation(of, function)?), of.number());
        let count = of.outputs() as i64;
        let flat = layout.reshaped(&[Size::Rows, Size::Known(count)]);
        let groups = match layout.sizes()[..] {
            [Size::Rows, Size::Known(groups), _, ..] => usize::try_from(groups).unwrap_or(0),
            _ => 0,
        };
        if flat != Some(Layout::features(of.outputs())) || groups == 0 {
            return Err("its second dimension is no groups of channels: it must be [batch, groups, the rest], as a Reshape makes it".into());
        }
        Ok((input, of.form(), layout.clone(), groups))
    }

    /// The norm of each row's features, or of each pixel's channels.
    pub(super) fn layer_norm(
        &mut self,
        place: Place<'a>,
        given: Attributes<'a>,
        value: &Value<'a>,
        scale: &Constant<'a>,
        rest: &[Value<'a>],
        is_centred: bool,
    ) -> Result<Value<'a>, String> {
        let (input, form, layout) = self.normed(value, true)?;
        let axis = given.integer("axis", -1);
        if axis != -1 && axis != layout.dims() as i64 - 1 {
            return Err(format!("its axis is {axis}: a norm is over the last dimension, an image's channels"));
        }
        let channels = form.channels();
        let bias = match rest {
            [] if is_centred => Some(Part::Same(0.0)),
            [] => None,
            [Value::Constant(bias)] if bias.count()? == channels => Some(Part::Constant(bias.clone())),
            _ => return Err(format!("its bias is not a constant of {channels} values")),
        };
        let parameters = vec![Values { bias, ..values(channels, scale, None)? }];
        let kind: LayerKind = match is_centred {
            true => LayerNormLayer::new().eps(eps(given)).into(),
            false => RmsNormLayer::new().eps(eps(given)).into(),
        };
        self.on_channels(place, input, kind, form, layout, parameters)
    }

    /// Subtracts what is looked at from the room, so that a short file cannot ask for much work.
    pub(super) fn take_room(&mut self, values: usize) -> Result<(), String> {
        self.room = self.room.checked_sub(values).ok_or("constants are used more often than there is room for")?;
        Ok(())
    }

    /// Each channel scaled or shifted by a constant; nothing where it is no such operator.
    pub(super) fn affine(
        &mut self,
        place: Place<'a>,
        rows: &Rows,
        constant: &Constant<'a>,
        reversed: bool,
    ) -> Result<Option<Value<'a>>, String> {
        let (What::Units(function), Lies::Of(layout)) = (&rows.what, &rows.form) else { return Ok(None) };
        let step =
            Step::of(&place.node.op_type).filter(|step| !reversed || matches!(step, Step::Multiplied | Step::Added));
        let (Some(step), dims) = (step, constant.dims()?) else { return Ok(None) };
        if constant.count()? <= 1 || constant.scalar(layout.last(), None, &mut self.room)?.is_some() {
            return Ok(None);
        }
        let own = self.layers[rows.layer].form();
        let fitting = |layout: &Layout, count: usize| layout.picked(&dims).is_some_and(|picked| picked.len() == count);
        // Of an image, pixels are not looked at.
        self.take_room(if layout.is_matrix() { own.values() } else { own.channels() })?;
        let of = &self.layers[rows.layer];
        let number = of.number();
        let channels = match own {
            Form::Image(image) => Some(layout.channels(image)).filter(|channels| fitting(channels, own.channels())),
            _ => None,
        };
        let (form, picked) = match channels {
            Some(channels) => (own, channels),
            None if layout.is_matrix() && fitting(layout, own.values()) => {
                (Form::Features(own.values()), layout.clone())
            }
            None => return Ok(None),
        };
        let part = Part::Picked(constant.clone(), picked);
        let untouched = function.is_identity();
        let made = match of {
            Layer::Made(made) if untouched && made.scales(step) && made.gives == form => made.clone(),
            // A batch norm of features is folded to a scale, which comes first.
            _ if matches!((form, step), (Form::Features(_), Step::Added | Step::Subtracted)) => return Ok(None),
            _ => {
                let (before, line) = match function.line() {
                    Some(line) => (Activation::Identity, line),
                    None => (activation(of, function)?, [1.0, 0.0]),
                };
                Made::affine(place, (Input::Layer(rows.layer, before), number), form, line)
            }
        };
        self.add_made(made.then(step, part), layout.clone()).map(Some)
    }

    /// What a node takes that makes a layer: a scale and a shift by single values before it, which are no activation, are a layer of their own.
    pub(super) fn settled(&mut self, place: Place<'a>, value: Value<'a>) -> Result<Value<'a>, String> {
        let Value::Rows(Rows { layer, what: What::Units(function), form: Lies::Of(layout) }) = &value else {
            return Ok(value);
        };
        let Some(line) = function.line() else { return Ok(value) };
        let of = &self.layers[*layer];
        let made = Made::affine(place, (Input::Layer(*layer, Activation::Identity), of.number()), of.form(), line);
        self.add_made(made, layout.clone())
    }
}

/// The values of a norm: as many of each as there are channels.
fn values<'a>(channels: usize, weight: &Constant<'a>, bias: Option<&Constant<'a>>) -> Result<Values<'a>, String> {
    for constant in std::iter::once(weight).chain(bias) {
        let count = constant.count()?;
        if count != channels {
            return Err(format!(
                "one of its tensors has {count} values: it must have {channels}, one for each channel"
            ));
        }
    }
    let part = |constant: &Constant<'a>| Part::Constant(constant.clone());
    Ok(Values { inputs: 1, outputs: channels, weight: part(weight), bias: bias.map(part) })
}

/// What is added to a variance.
fn eps(given: Attributes<'_>) -> f64 {
    decimal(given.number("epsilon", 1e-5))
}

/// The number that was rounded to f32, as it is written.
pub(super) fn decimal(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}
