//! Nodes that take images: convolutions, pools, and zeros around an image.

use super::constant::Constant;
use super::features::Input;
use super::layers::Layer;
use super::layout::Layout;
use super::limits::{FITS, LARGEST, PADDED, Place, positive, short};
use super::made::{Made, Part, Values, checked};
use super::nodes::Nodes;
use super::proto::{Attributes, NodeProto};
use super::value::{Form as Lies, Rows, Value, What, activation, axes, sizes};
use crate::layout::Image;
use crate::network::{AvgPoolLayer, ConvLayer, Form, GlobalAvgPoolLayer, Layer as Described, LayerKind, MaxPoolLayer};

/// What a layer takes, and how many layers with weights the longest way to it has.
pub(super) type Taken<'a> = (Input<'a>, usize);

/// An image that a layer takes.
pub(super) struct Picture<'a> {
    pub input: Taken<'a>,
    pub image: Image,
    /// Pixels of zeros above, left of, below and right of it.
    pub pads: [usize; 4],
}

impl<'a> Nodes<'a> {
    /// What an operator on images makes of its inputs; nothing for another operator.
    pub(super) fn image_operator(
        &mut self,
        place: Place<'a>,
        inputs: &[Value<'a>],
    ) -> Option<Result<Value<'a>, String>> {
        let (node, given) = (place.node, Attributes(&place.node.attribute));
        Some(match (node.op_type.as_str(), inputs) {
            ("Conv", [image, Value::Constant(weight), rest @ ..]) => self.conv(place, given, image, weight, rest),
            ("MaxPool" | "AveragePool", [image]) => self.pool(place, given, image),
            ("GlobalAveragePool", [image]) => self.mean(place, image, &[], true),
            ("ReduceMean", [image @ Value::Rows(_), rest @ ..]) => {
                self.mean(place, image, rest, given.integer("keepdims", 1) != 0)
            }
            ("Pad", [image, rest @ ..]) => self.padded(given, image, rest),
            (
                "BatchNormalization",
                [x, Value::Constant(scale), Value::Constant(bias), Value::Constant(mean), Value::Constant(variance)],
            ) => self.batch_norm(place, given, x, [scale, bias, mean, variance]),
            ("InstanceNormalization", [x, Value::Constant(scale), Value::Constant(bias)]) => {
                self.group_norm(place, given, x, None, [scale, bias])
            }
            ("GroupNormalization", [x, Value::Constant(scale), Value::Constant(bias)]) => {
                self.group_norm(place, given, x, Some(given.integer("num_groups", 0)), [scale, bias])
            }
            ("LayerNormalization", [x, Value::Constant(scale), rest @ ..]) => {
                self.layer_norm(place, given, x, scale, rest, true)
            }
            ("RMSNormalization", [x, Value::Constant(scale)]) => self.layer_norm(place, given, x, scale, &[], false),
            _ => return None,
        })
    }

    /// The image in a tensor `[batch, channels, height, width]`.
    pub(super) fn picture(&self, value: &Value<'a>) -> Result<Picture<'a>, String> {
        match value {
            Value::Features(features) => {
                features.check_float()?;
                let image = features.image().ok_or(
                    "it takes an image [batch, channels, height, width], whose last three sizes must be known, for at most 16777216 values: export with fixed ones",
                );
                let image = image.map_err(|reason| format!("{reason}; {FITS}"))?;
                Ok(Picture { input: (Input::Features(features.clone()), 0), image, pads: features.pads })
            }
            Value::Rows(rows) => {
                let (function, pads) = match &rows.what {
                    What::Units(function) => (function, [0; 4]),
                    What::Padded(function, pads) => (function, *pads),
                    What::Softmax | What::BothClasses => {
                        return Err(format!("it does not take what a layer gives: {FITS}"));
                    }
                };
                let of = &self.layers[rows.layer];
                let (Form::Image(image), Some(layout)) = (of.form(), rows.form.layout()) else {
                    return Err(no_image(of, rows));
                };
                if *layout != Layout::image(image) {
                    return Err(
                        "it takes an image [batch, channels, height, width], and its input's dimensions are other ones"
                            .into(),
                    );
                }
                let input = (Input::Layer(rows.layer, activation(of, function)?), of.number());
                Ok(Picture { input, image, pads })
            }
            _ => Err(format!("it does not take what a layer gives: {FITS}")),
        }
    }

    /// The same, without zeros around it.
    pub(super) fn plain(&self, value: &Value<'a>) -> Result<Picture<'a>, String> {
        let picture = self.picture(value)?;
        match picture.pads {
            [0, 0, 0, 0] => Ok(picture),
            _ => Err(PADDED.into()),
        }
    }

    /// Adds a layer whose units lie so.
    pub(super) fn add_made(&mut self, made: Made<'a>, layout: Layout) -> Result<Value<'a>, String> {
        self.add(Layer::Made(made), layout)
    }

    fn conv(
        &mut self,
        place: Place<'a>,
        given: Attributes<'a>,
        value: &Value<'a>,
        weight: &Constant<'a>,
        rest: &[Value<'a>],
    ) -> Result<Value<'a>, String> {
        let Picture { input, image, pads } = self.picture(value)?;
        let dims = weight.dims()?;
        let &[channels, of_group, down, across] = &dims[..] else {
            return Err(format!("its weight has the shape {dims:?}: it must be [out, in / groups, down, across]"));
        };
        let groups = positive(given.integer("group", 1), "group")?;
        if of_group.checked_mul(groups) != Some(image.channels as usize) || channels == 0 || down * across == 0 {
            return Err(format!(
                "its weight has the shape {dims:?}, in {groups} groups: its input has {} channels",
                image.channels
            ));
        }
        if pair(given, "kernel_shape", Some([down, across]))? != [down, across] {
            return Err(format!("its weight has the shape {dims:?}, and its kernel_shape is another"));
        }
        let bias = match rest {
            [] => None,
            [Value::Constant(bias)] if bias.count()? == channels => Some(Part::Constant(bias.clone())),
            _ => return Err(format!("its bias is not a constant of {channels} values")),
        };
        let conv = ConvLayer::new(channels, [down, across])
            .stride(pair(given, "strides", Some([1; 2]))?)
            .dilation(pair(given, "dilations", Some([1; 2]))?)
            .groups(groups);
        let conv = if bias.is_some() { conv } else { conv.without_bias() };
        // It slides over the image that a Pad before it gives.
        let own = pads_of(place.node, &conv, padded(image, pads)?)?;
        let made = with_pads(conv, image, std::array::from_fn(|side| own[side].saturating_add(pads[side])))?;
        let values = Values {
            inputs: of_group * down * across,
            outputs: channels,
            weight: Part::Constant(weight.clone()),
            bias,
        };
        self.on_picture(place, input, made, image, vec![values])
    }

    /// Adds a layer that takes an image and gives one.
    fn on_picture(
        &mut self,
        place: Place<'a>,
        input: Taken<'a>,
        kind: impl Into<LayerKind>,
        image: Image,
        parameters: Vec<Values<'a>>,
    ) -> Result<Value<'a>, String> {
        let (kind, takes) = (kind.into(), Form::Image(image));
        let gives = checked(&kind, takes)?;
        let Form::Image(given) = gives else { return Err(FITS.into()) };
        self.add_made(Made::new(place, input, kind, [takes, gives], parameters), Layout::image(given))
    }

    fn pool(&mut self, place: Place<'a>, given: Attributes<'a>, value: &Value<'a>) -> Result<Value<'a>, String> {
        let Picture { input, image, .. } = self.plain(value)?;
        let window = pair(given, "kernel_shape", None)?;
        let stride = pair(given, "strides", Some([1; 2]))?;
        if pair(given, "dilations", Some([1; 2]))? != [1, 1] {
            return Err("it has dilations: pools have none here".into());
        }
        let pads = pads_of(place.node, &ConvLayer::new(1, window).stride(stride), image)?;
        let is_mean = place.node.op_type == "AveragePool";
        if is_mean && given.integer("count_include_pad", 0) != 0 && pads != [0; 4] {
            return Err("it counts its padding (count_include_pad): a mean is of pixels of the image alone".into());
        }
        let out = slid(image, pads, window, stride, [1; 2]);
        if given.integer("ceil_mode", 0) != 0 {
            // Where windows end with the image, rounding up changes nothing.
            let rests = |side: usize| {
                let size = [image.height, image.width][side] as usize + pads[side] + pads[side + 2];
                size.checked_sub(window[side]).is_none_or(|room| !room.is_multiple_of(stride[side]))
            };
            if rests(0) || rests(1) {
                return Err("its windows reach over the end of the image (ceil_mode): they must end with it".into());
            }
        }
        let kind: LayerKind = match is_mean {
            true => AvgPoolLayer::new(window).stride(stride).padding([pads[0], pads[1]]).into(),
            false => MaxPoolLayer::new(window).stride(stride).padding([pads[0], pads[1]]).into(),
        };
        let gives = checked(&kind, Form::Image(image))?;
        if !matches!((gives, out), (Form::Image(gives), Some(out)) if [gives.height as usize, gives.width as usize] == out)
        {
            return Err(format!(
                "its pads are {pads:?} [above, left, below, right]: they must be the same on both sides"
            ));
        }
        self.on_picture(place, input, kind, image, vec![])
    }

    /// A mean, which must be over all pixels of an image.
    fn mean(
        &mut self,
        place: Place<'a>,
        value: &Value<'a>,
        rest: &[Value<'a>],
        keeps: bool,
    ) -> Result<Value<'a>, String> {
        let (image, layout) = match value {
            Value::Rows(Rows { layer, what: What::Units(_), form: Lies::Of(layout) }) => {
                let Form::Image(image) = self.layers[*layer].form() else {
                    return Err(format!("it takes a mean of what is no image: {FITS}"));
                };
                (image, layout.clone())
            }
            _ => {
                let Picture { image, .. } = self.plain(value)?;
                (image, Layout::image(image))
            }
        };
        let axes = axes(place.node, rest, layout.dims());
        let axes = axes.ok_or("its axes are no constant, or none of its input's dimensions")?;
        let (left, taken) = layout.without(&axes, keeps).ok_or(FITS)?;
        self.take_room(image.channels as usize)?;
        let channels = left.channels(image);
        let is_all = taken == image.pixels() as usize
            && channels.sizes() == left.sizes()
            && channels
                .picked(&known(&channels))
                .is_some_and(|picked| picked.is_sorted() && picked.len() == image.channels as usize);
        if !is_all {
            return Err("it takes a mean over other dimensions than all pixels of an image".into());
        }
        let (input, forms) = (self.taken(value)?, [Form::Image(image), Form::Features(image.channels as usize)]);
        self.add_made(Made::new(place, input, GlobalAvgPoolLayer::new(), forms, vec![]), channels)
    }

    /// Zeros around an image, for the convolution that follows.
    fn padded(&self, given: Attributes<'a>, value: &Value<'a>, rest: &[Value<'a>]) -> Result<Value<'a>, String> {
        check_zeros(given, rest)?;
        let list: Option<Vec<usize>> = match rest.first() {
            Some(pads) => sizes(pads).and_then(|sizes| sizes.list.iter().map(|size| size.known()).collect()),
            None => given.integers("pads").and_then(|pads| pads.iter().map(|&side| side.try_into().ok()).collect()),
        };
        let list =
            list.ok_or("its pads are no constant of whole numbers, at least 0: they must be part of the file")?;
        let &[0, 0, top, left, 0, 0, below, right] = &list[..] else {
            return Err(format!(
                "its pads are {list:?}: only height and width of [batch, channels, height, width] may have any"
            ));
        };
        let Picture { .. } = self.plain(value)?;
        let pads = [top, left, below, right];
        if pads.iter().any(|&side| side as i64 > LARGEST) {
            return Err(format!("its pads are {list:?}: at most {LARGEST} pixels are read"));
        }
        match value {
            _ if pads == [0; 4] => Ok(value.clone()),
            Value::Features(features) => Ok(Value::Features(features.padded(pads))),
            Value::Rows(rows @ Rows { what: What::Units(function), .. }) => {
                Ok(Value::Rows(Rows { what: What::Padded(function.clone(), pads), ..rows.clone() }))
            }
            _ => Err(FITS.into()),
        }
    }
}

/// Checks that a Pad puts zeros around a tensor, by pads of all of its dimensions.
fn check_zeros(given: Attributes<'_>, rest: &[Value<'_>]) -> Result<(), String> {
    const ZEROS: &str = "only zeros may be put around an image, by the mode constant";
    let mode = given.get("mode").map_or(&b""[..], |mode| &mode.s);
    if !mode.is_empty() && mode != b"constant" {
        return Err(format!("its mode is {}: {ZEROS}", short(&String::from_utf8_lossy(mode))));
    }
    if rest.len() > 2 {
        return Err("it has axes: its pads must be those of all dimensions".into());
    }
    let value = match rest.get(1) {
        None | Some(Value::Absent) => given.number("value", 0.0),
        Some(Value::Constant(number)) if number.count()? == 1 => number.values()?.1[0],
        Some(_) => return Err(format!("it pads with what is no number of the file: {ZEROS}")),
    };
    if value == 0.0 { Ok(()) } else { Err(format!("it pads with {value}: {ZEROS}")) }
}

/// Why what a layer gives is no image.
fn no_image(of: &Layer<'_>, rows: &Rows) -> String {
    let (name, outputs) = (of.name(), of.outputs());
    let is_mean = matches!(of, Layer::Made(made) if matches!(made.kind, LayerKind::GlobalAvgPool(_)));
    if !is_mean || rows.form.is_matrix() {
        return format!("it takes an image, and {name} gives {outputs} features");
    }
    format!(
        "it takes the {outputs} means that {name} gives as an image of 1×1 pixels, and here such means are features, which a dense layer takes: a 1×1 \
         convolution of them is a Linear after a Flatten. Where an image is multiplied by what is made of its means, as in a squeeze-and-excitation block, no \
         model here does so: it has no product (Mul) of two tensors that layers give"
    )
}

/// How far a window slides over an image with these pads.
fn slid(
    image: Image,
    pads: [usize; 4],
    size: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
) -> Option<[usize; 2]> {
    let side = |at: usize| {
        let pixels = [image.height, image.width][at] as usize;
        let extent = (size[at] - 1).checked_mul(dilation[at])?.checked_add(1)?;
        let room = pixels.checked_add(pads[at])?.checked_add(pads[at + 2])?.checked_sub(extent)?;
        Some(room / stride[at] + 1)
    };
    Some([side(0)?, side(1)?])
}

/// The sizes of a layout's dimensions of values, as those of a constant.
fn known(layout: &Layout) -> Vec<usize> {
    layout.sizes().into_iter().map(|size| size.known().unwrap_or(1)).collect()
}

/// Pixels above, left of, below and right of an image over which a node slides as this convolution does: those in its pads, or as many as its auto_pad asks
/// for.
fn pads_of(node: &NodeProto, conv: &ConvLayer, image: Image) -> Result<[usize; 4], String> {
    let attributes = Attributes(&node.attribute);
    let word = attributes.get("auto_pad").map_or(&b""[..], |word| &word.s);
    // As much as makes the output as large as the input, an odd pixel after the image, or before it.
    let upper = || conv.clone().same().pads(image);
    let auto = match word {
        b"" | b"NOTSET" => return four(attributes),
        b"VALID" => [0; 4],
        b"SAME_UPPER" => upper(),
        b"SAME_LOWER" => {
            let [top, left, below, right] = upper();
            [below, right, top, left]
        }
        _ => return Err("its auto_pad is none of NOTSET, VALID, SAME_UPPER and SAME_LOWER".into()),
    };
    match attributes.get("pads") {
        Some(_) if four(attributes)? != auto => Err(format!(
            "it has both pads {:?} and an auto_pad of {}, which is {auto:?} here: it must have one of them",
            four(attributes)?,
            String::from_utf8_lossy(word)
        )),
        _ => Ok(auto),
    }
}

/// The image with these pixels around it.
fn padded(image: Image, [top, left, below, right]: [usize; 4]) -> Result<Image, String> {
    let side = |pixels: u32, more: [usize; 2]| {
        let all = more.iter().try_fold(pixels as usize, |all, &more| all.checked_add(more))?;
        u32::try_from(all).ok()
    };
    let sides = side(image.height, [top, below]).zip(side(image.width, [left, right]));
    let (height, width) = sides.ok_or("its image is too large with the zeros that a Pad put around it")?;
    Ok(Image { height, width, ..image })
}

/// Two numbers of at least 1, down and across.
fn pair(given: Attributes<'_>, name: &str, usual: Option<[usize; 2]>) -> Result<[usize; 2], String> {
    match (given.integers(name), usual) {
        (None, Some(usual)) => Ok(usual),
        (Some(list), _) if list.len() == 2 => Ok([positive(list[0], name)?, positive(list[1], name)?]),
        (list, _) => {
            Err(format!("its {name} is {list:?}: it must be two numbers, as images have a height and a width"))
        }
    }
}

/// Pixels above, left of, below and right of an image.
fn four(given: Attributes<'_>) -> Result<[usize; 4], String> {
    let Some(list) = given.integers("pads") else { return Ok([0; 4]) };
    let pads: Option<Vec<usize>> =
        list.iter().map(|&side| (0..=LARGEST).contains(&side).then_some(side as usize)).collect();
    pads.and_then(|pads| pads.try_into().ok())
        .ok_or_else(|| format!("its pads are {list:?}: they must be four numbers, each from 0 to {LARGEST}"))
}

/// A convolution that slides over an image as one with these pixels of padding above, left of, below and right of it.
fn with_pads(conv: ConvLayer, image: Image, pads: [usize; 4]) -> Result<ConvLayer, String> {
    let [height, width] = slid(image, pads, conv.kernel, conv.stride, conv.dilation).ok_or_else(|| {
        let [down, across] = conv.kernel;
        format!("its kernel is {down}×{across}: with its dilation, it must fit into the image with its padding")
    })?;
    let all = [conv.clone(), conv.clone().padding([pads[0], pads[1]]), conv.same()];
    let is_so = |made: &ConvLayer| {
        let gives = Described::from(made.clone()).output(Form::Image(image));
        made.pads(image)[..2] == pads[..2]
            && matches!(gives, Form::Image(gives) if [gives.height as usize, gives.width as usize] == [height, width])
    };
    all.into_iter().find(is_so).ok_or_else(|| {
        let same = "they must be the same on both sides, or those of SAME_UPPER, or differ from these by pixels alone that no window reaches";
        format!("its pads are {pads:?} [above, left, below, right], with those of a Pad before it: {same}")
    })
}
