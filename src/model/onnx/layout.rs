//! How the values of a sample lie in a tensor. Exporters move them about: a Transpose brings channels to the end and back, a Flatten or a Reshape makes one
//! dimension of several. What is computed does not change with it, as long as it is known which value is where.

use super::shape::Size;
use crate::layout::Image;

/// The dimensions of a tensor.
///
/// A value of a sample has a number: of features their place in a row, of an image `(channel · height + row) · width + column`, as in PyTorch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout(Vec<Dim>);

#[derive(Clone, Debug, PartialEq)]
enum Dim {
    /// The samples.
    Rows,
    /// Values of a sample. Parts of size 1 are left out.
    Values(Vec<Part>),
}

/// `size` values, whose numbers are `step` apart.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    size: usize,
    step: usize,
}

impl Dim {
    fn of(size: usize, step: usize) -> Self {
        Dim::Values(if size == 1 { vec![] } else { vec![Part { size, step }] })
    }

    fn parts(&self) -> &[Part] {
        match self {
            Dim::Rows => &[],
            Dim::Values(parts) => parts,
        }
    }

    fn size(&self) -> Option<usize> {
        match self {
            Dim::Rows => None,
            Dim::Values(parts) => Some(parts.iter().map(|part| part.size).product()),
        }
    }
}

impl Layout {
    /// `[batch, features]`
    pub fn features(width: usize) -> Self {
        Layout(vec![Dim::Rows, Dim::of(width, 1)])
    }

    /// `[batch, channels, height, width]`
    pub fn image(Image { height, width, channels }: Image) -> Self {
        let [height, width, channels] = [height, width, channels].map(|side| side as usize);
        Layout::of(&[channels, height, width])
    }

    /// `[batch, …]`, of these sizes in row-major order.
    pub fn of(sizes: &[usize]) -> Self {
        let mut step = sizes.iter().product::<usize>();
        let dims = sizes.iter().map(|&size| {
            step /= size.max(1);
            Dim::of(size, step)
        });
        Layout(std::iter::once(Dim::Rows).chain(dims).collect())
    }

    /// The values whose numbers are multiples of `step`, which are divided by it: of every dimension, the parts that count such values. Other parts, those of one
    /// and the other kind in one among them, have one value.
    fn every(&self, step: usize) -> Self {
        let of_dim = |dim: &Dim| match dim {
            Dim::Rows => Dim::Rows,
            Dim::Values(parts) => {
                let kept = parts.iter().filter(|part| part.step.is_multiple_of(step));
                Dim::Values(kept.map(|part| Part { step: part.step / step, ..*part }).collect())
            }
        };
        Layout(self.0.iter().map(of_dim).collect())
    }

    /// The channels of an image, where its pixels are left out.
    pub fn channels(&self, image: Image) -> Self {
        // Of an image of one pixel all values are channels.
        self.every(image.pixels() as usize)
    }

    /// Whether it has the pixels of an image, each once, and of its channels the first: where it is what a reduction leaves, that is over all channels and
    /// nothing else.
    pub fn are_pixels(&self, image: Image) -> bool {
        let pixels = image.pixels() as usize;
        let mut parts = self.0.iter().flat_map(Dim::parts);
        parts.all(|part| part.size * part.step <= pixels) && self.values() == pixels
    }

    /// How these values lie once a constant of these dimensions is applied, whose own ones are `full`'s. Nothing where it is not broadcast to them.
    pub fn broadcast(&self, full: &Layout, constant: &[usize]) -> Option<Self> {
        let mut dims = self.0.clone();
        let before = dims.len().checked_sub(constant.len()).filter(|_| full.0.len() == dims.len())?;
        for (at, &size) in constant.iter().enumerate().filter(|&(_, &size)| size != 1) {
            let own = &full.0[before + at];
            (own.size() == Some(size)).then(|| dims[before + at] = own.clone())?;
        }
        Some(Layout(dims))
    }

    /// The sizes of the dimensions.
    pub fn sizes(&self) -> Vec<Size> {
        self.0.iter().map(|dim| dim.size().map_or(Size::Rows, |size| Size::Known(size as i64))).collect()
    }

    /// The number of values of a sample.
    pub fn values(&self) -> usize {
        self.0.iter().filter_map(Dim::size).product()
    }

    /// The number of groups of `values` consecutive values, where it has the first value of each group and no other.
    pub fn groups_of(&self, values: usize) -> Option<usize> {
        let mut parts = self.0.iter().flat_map(Dim::parts);
        match (parts.next(), parts.next()) {
            (None, _) => Some(1),
            (Some(part), None) if part.step == values => Some(part.size),
            _ => None,
        }
    }

    /// The number of dimensions.
    pub fn dims(&self) -> usize {
        self.0.len()
    }

    /// Whether it is `[batch, values]`.
    pub fn is_matrix(&self) -> bool {
        matches!(self.0[..], [Dim::Rows, Dim::Values(_)])
    }

    /// The number of values in the last dimension, if it has any.
    pub fn last(&self) -> usize {
        self.0.last().and_then(Dim::size).unwrap_or(1)
    }

    /// The dimensions in another order.
    pub fn transposed(&self, order: &[usize]) -> Self {
        Layout(order.iter().map(|&dim| self.0[dim].clone()).collect())
    }

    /// With the channels of an image last: `[batch, height, width, channels]`, of `[batch, channels, height, width]`.
    pub fn channels_last(&self) -> Self {
        self.transposed(&[0, 2, 3, 1])
    }

    /// The values in the same order in other dimensions. Nothing where a dimension would have parts of values that do not fit it.
    pub fn reshaped(&self, sizes: &[Size]) -> Option<Self> {
        let (Some((Dim::Rows, dims)), Some((Size::Rows, sizes))) = (self.0.split_first(), sizes.split_first()) else {
            return None;
        };
        let mut left: Vec<Part> = Vec::new();
        for dim in dims.iter().rev() {
            let Dim::Values(parts) = dim else { return None };
            left.extend(parts.iter().rev());
        }
        let mut made = vec![Dim::Rows];
        for size in sizes {
            let (mut wanted, mut parts) = (size.known().filter(|&size| size > 0)?, Vec::<Part>::new());
            while wanted > 1 {
                let next = left.pop()?;
                let taken = if wanted.is_multiple_of(next.size) {
                    next
                } else if next.size.is_multiple_of(wanted) {
                    let rest = Part { size: next.size / wanted, ..next };
                    left.push(rest);
                    Part { size: wanted, step: next.step * rest.size }
                } else {
                    return None;
                };
                wanted /= taken.size;
                match parts.last_mut() {
                    Some(last) if last.step == taken.step * taken.size => {
                        *last = Part { size: last.size * taken.size, ..taken };
                    }
                    _ => parts.push(taken),
                }
            }
            made.push(Dim::Values(parts));
        }
        left.is_empty().then_some(Layout(made))
    }

    /// Without these dimensions, or with sizes of 1 in their place; and the numbers of values that they have. Nothing where samples are among them.
    pub fn without(&self, axes: &[usize], keeps: bool) -> Option<(Self, usize)> {
        let mut taken = 1;
        let mut dims = Vec::new();
        for (at, dim) in self.0.iter().enumerate() {
            match axes.contains(&at) {
                false => dims.push(dim.clone()),
                true => {
                    taken *= dim.size()?;
                    dims.extend(keeps.then(|| Dim::Values(vec![])));
                }
            }
        }
        Some((Layout(dims), taken))
    }

    /// Of each value by its number, the index in a constant that is broadcast to this layout. Nothing where the constant does not fit, or has more dimensions,
    /// which the result would have too.
    pub fn picked(&self, constant: &[usize]) -> Option<Vec<usize>> {
        let before = self.0.len().checked_sub(constant.len())?;
        // Of every part, its numbers and its places in the constant.
        let mut parts = Vec::new();
        let mut stride = 1;
        for (at, dim) in self.0.iter().enumerate().rev() {
            let own = at.checked_sub(before).map_or(1, |at| constant[at]);
            if own != 1 && Some(own) != dim.size() {
                return None;
            }
            let mut within = if own == 1 { 0 } else { stride };
            for &part in dim.parts().iter().rev() {
                parts.push((part, within));
                within *= part.size;
            }
            stride *= own;
        }
        // Parts of other numbers are within each other, so that each is a copy of those below it.
        parts.sort_unstable_by_key(|(part, _)| part.step);
        let mut picked = vec![0];
        for (part, within) in parts {
            if part.step != picked.len() {
                return None;
            }
            let below = picked.len();
            picked.reserve_exact(below * (part.size - 1));
            for at in below..below * part.size {
                picked.push(picked[at - below] + within);
            }
        }
        Some(picked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(sizes: &[i64]) -> Vec<Size> {
        std::iter::once(Size::Rows).chain(sizes.iter().copied().map(Size::Known)).collect()
    }

    /// Finds a value that is taken for another after dimensions were exchanged, joined and split.
    #[test]
    fn values_keep_their_numbers() {
        let image = Layout::image(Image { height: 2, width: 3, channels: 4 });
        assert_eq!(image.reshaped(&known(&[24])).unwrap(), Layout::features(24));
        assert_eq!(Layout::features(24).reshaped(&known(&[4, 2, 3])).unwrap(), image);
        assert_eq!(image.reshaped(&known(&[2, 12])).unwrap().reshaped(&known(&[4, 2, 3])).unwrap(), image);
        assert_eq!(image.channels_last().transposed(&[0, 3, 1, 2]), image);
        let flat = image.channels_last().reshaped(&known(&[24])).unwrap();
        assert_ne!(flat, Layout::features(24));
        // The value at (row 1, column 0, channel 2) is number (2·2 + 1)·3 + 0.
        assert_eq!(flat.picked(&[24]).unwrap()[15], (3 * 4) + 2);
        let channels = image.channels(Image { height: 2, width: 3, channels: 4 });
        assert_eq!(channels.picked(&[4, 1, 1]), Some(vec![0, 1, 2, 3]));
        assert_eq!(channels.picked(&[1, 4, 1, 1]), Some(vec![0, 1, 2, 3]));
        assert_eq!(channels.picked(&[1, 1, 4, 1, 1]), None);
        assert_eq!(channels.picked(&[1, 4, 2, 1]), None);
        assert_eq!(channels.picked(&[3]), None);
        assert_eq!(image.reshaped(&known(&[5, 5])), None);
        assert_eq!(image.reshaped(&known(&[24, 0])), None);
    }
}
