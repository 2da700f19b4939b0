//! Checks of a data set: for itself, and for a network under a loss.

use std::borrow::Cow;

use super::{Dataset, Features, Values};
use crate::error::Error;
use crate::layout::Image;
use crate::loss::{Loss, Task};
use crate::named::counted;
use crate::network::{Form, Layer, Network};
use crate::preprocessing::{ImageShape, Origin, Scaling};
use crate::targets::TargetKind;

impl Dataset {
    /// The form in which a network of these layers takes these rows: as tokens, where they are; as images, where the rows are images and one of
    /// the layers [is for images](Layer::is_of_images), else as features.
    ///
    /// ```
    /// use wgrad::{Activation, ConvLayer, Dataset, DenseLayer, FlattenLayer, Form, ImageShape, Layer, Network};
    ///
    /// let shape = ImageShape { height: 4, width: 4, channels: 1 };
    /// let set = Dataset::from_u8(vec![0; 32], 16, vec![0, 1])?.with_image_shape(shape)?;
    /// let dense: Vec<Layer> = vec![DenseLayer::new(2).into()];
    /// assert_eq!(set.form_for(&dense), Form::Features(16));
    /// let layers = vec![ConvLayer::new(8, 3).into(), FlattenLayer::new().into(), DenseLayer::new(2).into()];
    /// let network = Network::of_form(set.form_for(&layers), layers);
    /// assert_eq!(network.shape(), "4×4×1-2×2×8-32-2");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn form_for(&self, layers: &[Layer]) -> Form {
        match self.image_shape().and_then(form_of) {
            _ if self.vocabulary().is_some() => Form::Tokens(self.width),
            Some(form) if layers.iter().any(Layer::is_of_images) => form,
            _ => Form::Features(self.width),
        }
    }

    /// Checks that the network takes these rows. A network of images takes images of its own form, and rows that are
    /// [not said to be images](Self::with_image_shape), as images of that form; any other takes rows of as many features.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming both widths, or both forms, if they differ; and the first row with a category that the network does not know.
    pub fn check_form(&self, network: &Network) -> Result<(), Error> {
        let (own, taken) = (self.image_shape(), network.input());
        if self.vocabulary().is_some() || matches!(taken, Form::Tokens(_)) {
            return self.check_tokens(network);
        }
        let is_other = match (taken, own.and_then(form_of)) {
            (Form::Image(_), Some(form)) => form != taken,
            _ => self.width != network.inputs(),
        };
        if !is_other {
            return self.check_categories(network);
        }
        Err(Error::Data(match (taken, own) {
            (Form::Image(image), Some(own)) => format!(
                "the rows are images of {own}, the network takes images of {taken}{}: {}",
                first_of_images(network),
                self.made_right(own, image)
            ),
            (Form::Image(_), None) => format!(
                "the rows have {}, the network takes images of {taken}{}: each row must be the {} of one{}",
                counted(self.width, "feature"),
                first_of_images(network),
                counted(taken.values(), "value"),
                self.one_row_alone(taken.values()).map_or(String::new(), |one| format!("; {one}"))
            ),
            _ => format!(
                "the rows have {}{}, the network takes {}{}",
                counted(self.width, "feature"),
                own.map_or(String::new(), |image| format!(" ({image} images)")),
                network.inputs(),
                self.one_row_alone(network.inputs()).map_or(String::new(), |one| format!(": {one}"))
            ),
        }))
    }

    /// How images of the form `own` become those that a network takes.
    fn made_right(&self, own: ImageShape, taken: Image) -> String {
        let [height, width, channels] = [taken.height, taken.width, taken.channels].map(|side| side as usize);
        let right = ImageShape { height, width, channels };
        // The axes as an array may have them, if they were read in the other order.
        let were_last = ImageShape { height: own.width, width: own.channels, channels: own.height };
        let were_first = ImageShape { height: own.channels, width: own.height, channels: own.width };
        let order = |order: &str| {
            format!(
                "these are its axes in another order: if they are of an array with its channels {order}, say --channels {order} (in a program \
                 ReadOptions::channels)"
            )
        };
        if let Some(one) = self.one_row_alone(height * width * channels) {
            return one;
        }
        match own {
            _ if were_last == right => order("first"),
            _ if were_first == right => order("last"),
            _ if own.channels == channels => format!("resize them to {right}"),
            _ if (own.height, own.width) == (height, width) => {
                format!("they must have {}, as those that it was trained on", counted(channels, "channel"))
            }
            _ => format!(
                "resize them to {height}×{width}, and give them {}, as those that it was trained on have",
                counted(channels, "channel")
            ),
        }
    }

    /// What is right where all rows together have the values of one: an image or a row whose first axis is taken for the rows.
    fn one_row_alone(&self, values: usize) -> Option<String> {
        let is_one = self.rows > 1 && self.rows.checked_mul(self.width) == Some(values);
        is_one.then(|| {
            format!(
                "the {} together have the values of one: if that is what they are, give it an axis for the rows before its own, as x[None] in NumPy does",
                counted(self.rows, "row")
            )
        })
    }

    /// Checks that the network takes these rows, and that it and the loss take the targets.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the widths or the forms that differ, or the first row whose target the loss cannot take; for a set without targets.
    pub fn check_for(&self, network: &Network, loss: &Loss) -> Result<(), Error> {
        self.check_form(network)?;
        self.check_places(network)?;
        if !self.has_targets() {
            return Err(Error::Data(
                "the rows are inputs alone, with no targets: they can be predicted on; to train or evaluate, give them class indices \
                 (Dataset::from_rows) or numbers (Dataset::regression)"
                    .into(),
            ));
        }
        if self.target_scaling().is_some() && loss.task() != Task::Numbers {
            return Err(Error::Data(format!(
                "the targets are scaled, and {} takes them as they are: scaled targets are for mse, mae and huber",
                loss.name()
            )));
        }
        match &self.values {
            Some(all) => check_values(all, network, loss),
            None => self.check_labels(network, loss),
        }
    }

    /// Checks that the training rows, which have `classes` classes in all, are of more than one class.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the network has one output that is a yes or no, and every row's label is 0.
    pub(crate) fn check_classes(&self, classes: usize, network: &Network, loss: &Loss) -> Result<(), Error> {
        if self.values.is_none() && classes == 1 && network.outputs() == 1 && loss.task() == Task::EachOutput {
            let name = self.class_names().first().map_or(String::new(), |name| format!(", \"{name}\""));
            return Err(Error::Data(format!(
                "every row is of one class, number 0{name}: there is nothing to learn; train on rows of two classes or more"
            )));
        }
        Ok(())
    }

    fn check_labels(&self, network: &Network, loss: &Loss) -> Result<(), Error> {
        let ignored = match loss {
            Loss::SoftmaxCrossEntropy { ignore_index, .. } => ignore_index.map(|index| index as u32),
            Loss::KlDivergence => {
                return Err(Error::Data(
                    "kl-divergence needs a distribution for every row (t), and the set has class indices (y)".into(),
                ));
            }
            _ => None,
        };
        // One output takes a label of 0 or 1.
        let labels = if loss.targets(self.targets()).kind == TargetKind::Values {
            network.outputs().max(2)
        } else {
            network.outputs()
        };
        match self.labels.iter().position(|&label| label as usize >= labels && Some(label) != ignored) {
            Some(at) => {
                let label = self.labels[at] as i32;
                let place = match self.places {
                    1 => format!("row {at}"),
                    places if self.label_stride() == places => format!("token {} of row {}", at % places, at / places),
                    _ => format!("token {at} of the text"),
                };
                // A larger network would not help: no output stands for a negative label.
                let hint = if label < 0 {
                    "; labels count from 0, and ignore_index under [loss] names one to leave out"
                } else {
                    ""
                };
                Err(Error::Data(format!(
                    "the label of {place} is {label}: with {}, labels go from 0 to {}{hint}",
                    counted(network.outputs(), "output"),
                    labels - 1
                )))
            }
            None => Ok(()),
        }
    }
}

/// The layer because of which a network takes images, as a message continues.
fn first_of_images(network: &Network) -> String {
    let first = network.layers().iter().enumerate().find(|(_, layer)| layer.is_of_images());
    first.map_or(String::new(), |(at, layer)| format!(", for its layer {} ({})", at + 1, layer.word()))
}

/// Images as a network takes them; `None` where a side is more than a device can index.
fn form_of(shape: ImageShape) -> Option<Form> {
    let side = |side: usize| u32::try_from(side).ok();
    Some(Form::Image(Image { height: side(shape.height)?, width: side(shape.width)?, channels: side(shape.channels)? }))
}

fn check_values(all: &Values, network: &Network, loss: &Loss) -> Result<(), Error> {
    if all.outputs != network.outputs() {
        return Err(Error::Data(format!(
            "a row has {}, the network {}: they must agree",
            counted(all.outputs, "target"),
            counted(network.outputs(), "output")
        )));
    }
    let range = match loss {
        Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence => 0.0..=f32::MAX,
        Loss::SigmoidCrossEntropy { .. } => 0.0..=1.0,
        _ => f32::MIN..=f32::MAX,
    };
    if let Some(at) = all.values.iter().position(|value| !range.contains(value)) {
        return Err(Error::Data(format!(
            "target {} of row {} is {}: {} takes targets {}",
            at % all.outputs,
            at / all.outputs,
            all.values[at],
            loss.name(),
            if *range.end() == 1.0 { "from 0 to 1" } else { "of at least 0" },
        )));
    }
    if loss.task() == Task::Classes { check_distributions(all, loss) } else { Ok(()) }
}

/// The largest accepted deviation of a row's sum of probabilities from 1: three decimals or f16 do not give an exact sum.
const MOST_OFF: f64 = 1e-3;

/// Checks that every row of targets, none of which is below 0, sums to 1.
fn check_distributions(all: &Values, loss: &Loss) -> Result<(), Error> {
    let sums = all.values.chunks_exact(all.outputs).map(|row| row.iter().copied().map(f64::from).sum::<f64>());
    match sums.enumerate().find(|(_, sum)| (sum - 1.0).abs() > MOST_OFF) {
        Some((row, sum)) => Err(Error::Data(format!(
            "the targets of row {row} add up to {}: {} takes probabilities of the classes, which add up to 1; if each output is a yes or no, use \
             sigmoid-cross-entropy; for numbers, use mse",
            (1e6 * sum).round() / 1e6,
            loss.name()
        ))),
        None => Ok(()),
    }
}

impl Dataset {
    /// The rows with the scaling of the set that a network was trained on, which `origin` describes. Rows that are scaled already stay as they are.
    /// `is_certain` says that an origin without a scaling means that there was none, not that it is unknown.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for rows with another scaling.
    pub(crate) fn seen_as(&self, origin: &Origin, is_certain: bool) -> Result<Cow<'_, Dataset>, Error> {
        let checked = |what: &str, own: Option<&Scaling>, trained: Option<&Scaling>| match (own, trained) {
            (None, Some(scaling)) => Ok(Some(scaling.clone())),
            (Some(own), Some(trained)) if own != trained => Err(Error::Data(format!(
                "the {what} are scaled differently from the training rows: pass them unscaled, and they are scaled like the training \
                 rows, or pass them with the training set's scaling"
            ))),
            (Some(_), None) if is_certain => {
                Err(Error::Data(format!("the {what} are scaled, and the training rows were not: pass them unscaled")))
            }
            _ => Ok(None),
        };
        let features = checked("rows", self.scaling(), origin.scaling.as_ref())?;
        let targets = match &self.values {
            Some(_) => checked("targets", self.target_scaling(), origin.target_scaling.as_ref())?,
            None => None,
        };
        // Sets of other widths are left to the caller's check, whose message says more.
        let features = features.filter(|scaling| scaling.shift.len() == self.width);
        let targets =
            targets.filter(|scaling| self.values.as_ref().is_some_and(|all| all.outputs == scaling.shift.len()));
        if features.is_none() && targets.is_none() {
            return Ok(Cow::Borrowed(self));
        }
        let mut set = self.clone();
        if let Some(scaling) = features {
            set = set.with_scaling(scaling)?;
        }
        if let Some(scaling) = targets {
            set = set.with_target_scaling(scaling)?;
        }
        Ok(Cow::Owned(set))
    }
}

/// The largest rounding error of a feature, as a share of its range, that is accepted without a note.
pub(super) const MOST_LOST: f64 = 1.0 / 4096.0;

impl Dataset {
    /// A note on the first feature whose rounding to f32 loses digits that distinguish rows, if there is one and the set has no scaling. A
    /// scaling is applied before the rounding, so it keeps such digits.
    pub fn note_on_digits(&self) -> Option<String> {
        let Features::F64(values) = &self.features else { return None };
        let lost = |at: &usize| {
            let own = || values.iter().skip(*at).step_by(self.width).copied();
            let (least, most) =
                own().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
            let error = own().map(|value| (f64::from(value as f32) - value).abs()).fold(0.0, f64::max);
            error > MOST_LOST * (most - least) && most > least
        };
        let at = (0..self.width).find(lost)?;
        let name = match self.columns() {
            Some(columns) => format!("column \"{}\"", columns.feature_names().get(at)?),
            None => format!("feature {at}"),
        };
        Some(format!(
            "{name} has more digits than f32 keeps, and loses those that distinguish its rows: --scaling standardize subtracts its mean before it is \
             rounded (in a program Dataset::with_scaling)"
        ))
    }
}
