//! What a run trains on: a set that goes to the device as a whole, or windows of one that is read meanwhile.

use std::ops::Range;

use super::order::Order;
use super::windows::Windows;
use crate::data::{Dataset, Fingerprint, Source};
use crate::error::Error;
use crate::loss::Loss;
use crate::network::Network;
use crate::plan::SetLayout;
use crate::preprocessing::Scaling;
use crate::targets::Targets;

/// Device memory for windows, where a run does not say.
const DEFAULT_BUDGET: u64 = 64 << 20;

/// What a plan has to know of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetShape {
    pub layout: SetLayout,
    pub targets: Targets,
}

impl SetShape {
    /// Of a whole set, on a device that binds buffers of at most `most_bytes` bytes.
    pub fn of(set: &Dataset, most_bytes: u64) -> Self {
        SetShape { layout: set.layout(most_bytes), targets: set.targets() }
    }

    /// That rows which were read are like the first row, which the plan was made for; else why not.
    pub fn check_like_first(&self, set: &Dataset, scalings: [Option<&Scaling>; 2]) -> Result<(), String> {
        if [set.scaling(), set.target_scaling()] != scalings {
            return Err("they are scaled otherwise than the first row: all need one and the same scaling".into());
        }
        let (layout, targets) = (set.layout(u64::MAX), set.targets());
        if (layout.element, layout.is_scaled) != (self.layout.element, self.layout.is_scaled) {
            return Err(format!(
                "their features are {:?}, and the first row's {:?}",
                layout.element, self.layout.element
            ));
        }
        if (targets.kind, targets.sample_weights) != (self.targets.kind, self.targets.sample_weights) {
            return Err("their targets have another form than the first row's".into());
        }
        if targets.label_bits > self.targets.label_bits {
            return Err("a label is larger than the source's classes say".into());
        }
        Ok(())
    }
}

/// What the size of a window follows from.
#[derive(Clone, Copy)]
pub(crate) struct WindowSizing<'a> {
    pub loss: &'a Loss,
    /// Outputs of the network.
    pub outputs: usize,
    /// Rows of a minibatch: a window has whole ones.
    pub batch_size: usize,
    /// Bytes of device memory for two windows.
    pub memory_budget: Option<u64>,
    /// The most bytes of a buffer.
    pub most_bytes: u64,
}

/// In which order rows are visited.
#[derive(Clone, Copy)]
pub(crate) struct Visiting {
    pub order: Order,
    /// Rows of a minibatch, and of its parts.
    pub batch_size: usize,
    pub part_rows: usize,
    pub seed: u64,
    pub shuffles: bool,
}

/// What a run trains on.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    Whole(&'a Dataset),
    Windows {
        source: &'a dyn Source,
        /// The first row, which all others are like.
        first: &'a Dataset,
        /// Rows of a window.
        window: usize,
    },
}

/// The first row of a source for this network that is read in windows, as it is one that is not in memory or has no room in the memory budget; none of one that
/// goes to the device as a whole.
///
/// # Errors
///
/// [`Error::Data`] where it has no rows, or more than can be counted; and what is wrong with the first.
pub(crate) fn first_of_windows(
    source: &dyn Source,
    network: &Network,
    budget: Option<u64>,
) -> Result<Option<Dataset>, Error> {
    let fits = |set: &Dataset| budget.is_none_or(|budget| set.device_bytes() <= budget);
    if source.whole().is_some_and(fits) {
        return Ok(None);
    }
    if source.rows() == 0 {
        return Err(Error::Data("the set is empty: at least one row is needed".into()));
    }
    if source.rows() > u32::MAX as usize {
        return Err(Error::Data(format!("there are {} rows: at most {} can be counted", source.rows(), u32::MAX)));
    }
    Ok(Some(source.read(0..1)?.for_vocabulary(network.vocabulary())))
}

impl<'a> Rows<'a> {
    /// All of a source, or windows of it where its first row is given.
    pub fn of(source: &'a dyn Source, first: Option<&'a Dataset>, sizing: WindowSizing<'_>) -> Result<Self, Error> {
        match (source.whole(), first) {
            (Some(set), None) => Ok(Rows::Whole(set)),
            (_, Some(first)) => Rows::windows(source, first, sizing),
            (None, None) => Err(Error::Data("rows that are not in memory are read in windows".into())),
        }
    }

    /// A source in windows that fit the memory budget.
    fn windows(source: &'a dyn Source, first: &'a Dataset, sizing: WindowSizing<'_>) -> Result<Self, Error> {
        let WindowSizing { loss, outputs, batch_size, memory_budget, most_bytes } = sizing;
        let rows = source.rows();
        if batch_size > rows {
            return Err(Error::Option(format!(
                "the batch size is {batch_size} and the set has {rows} rows: it must be from 1 to that"
            )));
        }
        let targets = loss.targets(targets_of(source, first));
        let bits = targets.row_bits(outputs as u32);
        // The rows of a text overlap, and their labels do.
        let bytes = |rows: u64| [first.bytes_of_rows(rows), (first.targets_of_rows(rows) * bits).div_ceil(8)];
        let budget = memory_budget.unwrap_or(DEFAULT_BUDGET);
        let batch = batch_size as u64;
        let fits = |minibatches: u64| {
            let [features, targets] = bytes(minibatches * batch);
            // What indexes a window has 32 bits.
            2 * (features + targets) <= budget && features.max(targets) <= most_bytes.min(u32::MAX.into())
        };
        // As many minibatches fit, and one more does not.
        let (mut fitting, mut too_many) = (0, (rows as u64).div_ceil(batch) + 1);
        while too_many - fitting > 1 {
            let middle = fitting.midpoint(too_many);
            if fits(middle) { fitting = middle } else { too_many = middle }
        }
        if fitting == 0 {
            return Err(Error::Option(format!(
                "a memory budget of {budget} bytes has no room for two minibatches of {batch} rows: they take {} bytes, and a buffer holds \
                 {most_bytes} at most",
                2 * bytes(batch).iter().sum::<u64>()
            )));
        }
        Ok(Rows::Windows { source, first, window: fitting as usize * batch_size })
    }

    /// How many there are.
    pub fn count(self) -> usize {
        match self {
            Rows::Whole(set) => set.rows(),
            Rows::Windows { source, .. } => source.rows(),
        }
    }

    /// Classes of all of them, or values of a row.
    pub fn classes(self) -> usize {
        match self {
            Rows::Whole(set) => set.classes(),
            Rows::Windows { source, .. } => source.classes(),
        }
    }

    /// All rows, or the first: what can be checked before anything is trained.
    pub fn at_hand(self) -> &'a Dataset {
        match self {
            Rows::Whole(set) => set,
            Rows::Windows { first, .. } => first,
        }
    }

    pub fn shape(self, most_bytes: u64) -> SetShape {
        match self {
            Rows::Whole(set) => SetShape::of(set, most_bytes),
            Rows::Windows { source, first, window } => {
                let layout = SetLayout { rows: window as u64, parts: 1, ..first.layout(most_bytes) };
                SetShape { layout, targets: targets_of(source, first) }
            }
        }
    }

    /// The windows that it is read in, if it is.
    pub fn in_windows(self, visiting: Visiting) -> Option<Windows> {
        let Rows::Windows { source, window, .. } = self else { return None };
        let Visiting { batch_size, seed, shuffles, .. } = visiting;
        Some(Windows { rows: source.rows() as u64, window: window as u64, batch: batch_size as u64, seed, shuffles })
    }

    /// Whether these steps come to the minibatch with the set's last rows.
    fn reach_the_end(self, visiting: Visiting, steps: Range<u64>) -> bool {
        let (order, rows) = (visiting.order, self.count() as u64);
        let per_epoch = rows.div_ceil(visiting.batch_size.max(1) as u64).max(1);
        let epochs = |step: u64| (step - order.first_step) / per_epoch;
        match self.in_windows(visiting) {
            None => epochs(steps.end) > epochs(steps.start),
            Some(_) if steps.end.saturating_sub(steps.start) >= per_epoch => true,
            // The window with the last rows has a turn of its own in each epoch, and the minibatch is the last of that.
            Some(windows) => windows
                .of_steps(order, steps.clone())
                .any(|(visit, begins)| visit.rows.end == rows && steps.contains(&(begins + visit.steps - 1))),
        }
    }

    /// That no batch norm has to make a deviation of one value, where the minibatch with a set's last rows has one row, and the `steps` that are trained come to it.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the layer, the rows, the batch size, and one that would do.
    pub fn check_minibatches(self, network: &Network, visiting: Visiting, steps: Range<u64>) -> Result<(), Error> {
        let (rows, batch_size) = (self.count(), visiting.part_rows);
        let leaves_one = |size: usize| size > 1 && rows % size == 1;
        if rows == 1 || !leaves_one(batch_size) || !self.reach_the_end(visiting, steps) {
            return Ok(());
        }
        let Some(location) = network.batch_norm_of_rows() else { return Ok(()) };
        let near = (2..batch_size).rev().chain(batch_size..=rows).find(|&size| !leaves_one(size)).unwrap_or(rows);
        Err(Error::Option(format!(
            "{location} (batch_norm) takes the mean and the deviation of each channel over a minibatch, and of {rows} rows in minibatches of {batch_size} the last \
             has one row, with one value for each: choose another batch size, as {near}, or a layer_norm, or leave a row out"
        )))
    }

    pub fn fingerprint(self) -> Result<Fingerprint, Error> {
        match self {
            Rows::Whole(set) => Ok(set.fingerprint()),
            Rows::Windows { source, .. } => Fingerprint::of_source(source),
        }
    }
}

/// The form of a source's targets: all labels must fit, not the first row's alone.
fn targets_of(source: &dyn Source, first: &Dataset) -> Targets {
    first.targets().for_classes(source.classes())
}
