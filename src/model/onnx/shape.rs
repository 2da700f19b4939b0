//! Shapes, and the arithmetic that exporters do with them: `x.view(x.size(0), -1)` is Shape, Gather, Unsqueeze, Concat and Reshape.

/// The most sizes of a shape, or of a list of them.
pub(super) const MOST_SIZES: usize = 16;

/// The size of a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    Known(i64),
    /// The number of rows, which the graph leaves open.
    Rows,
    /// A size that the graph does not give.
    Unknown,
}

impl Size {
    /// The size, if it is known and not negative.
    pub fn known(self) -> Option<usize> {
        match self {
            Size::Known(size) => usize::try_from(size).ok(),
            Size::Rows | Size::Unknown => None,
        }
    }

    /// The size, if it is known.
    pub fn number(self) -> Option<i64> {
        match self {
            Size::Known(size) => Some(size),
            Size::Rows | Size::Unknown => None,
        }
    }
}

/// The product of sizes, if all are known.
pub(super) fn product(sizes: &[Size]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |product, size| product.checked_mul(size.known()?))
}

/// The result of Reshape on a shape: 0 stands for the previous size, unless `keeps_zeros`, and -1 for what the other sizes leave.
/// `None` where the number of values may not stay the same.
pub(super) fn reshaped(from: &[Size], to: &[Size], keeps_zeros: bool) -> Option<Vec<Size>> {
    let mut sizes = to.to_vec();
    for (at, size) in sizes.iter_mut().enumerate() {
        match *size {
            Size::Known(0) if !keeps_zeros => *size = *from.get(at)?,
            Size::Known(size) if size < -1 => return None,
            _ => {}
        }
    }
    let (left, others): (Vec<Size>, Vec<Size>) = sizes.iter().partition(|&&size| size == Size::Known(-1));
    let open = |sizes: &[Size], kind| sizes.iter().filter(|&&size| size == kind).count();
    // Where the number of rows stays, the rest is compared; else -1 can be the number of rows.
    let known = |sizes: &[Size]| product(&sizes.iter().copied().filter(|&size| size != Size::Rows).collect::<Vec<_>>());
    let rows = open(from, Size::Rows).checked_sub(open(&others, Size::Rows))?;
    let rest = match (known(from), known(&others)) {
        (Some(from), Some(0)) => (from == 0).then_some(0),
        (Some(from), Some(others)) => from.is_multiple_of(others).then(|| from / others),
        _ => None,
    };
    match (left.len(), rows, rest) {
        (0, 0, Some(1)) => {}
        // An unknown size stands for the given one, as in [rows, ?] reshaped to [0, 4].
        (0, 0, None) if open(from, Size::Unknown) == 1 && known(&others).is_some() => {}
        (1, 0, rest) => {
            let rest = rest.map_or(Size::Unknown, |rest| Size::Known(rest as i64));
            sizes.iter_mut().filter(|size| **size == Size::Known(-1)).for_each(|size| *size = rest);
        }
        (1, 1, Some(1)) => {
            sizes.iter_mut().filter(|size| **size == Size::Known(-1)).for_each(|size| *size = Size::Rows);
        }
        _ => return None,
    }
    Some(sizes)
}

/// `[batch, 1, 28, 28]`
pub(super) struct Shown<'v>(pub &'v [Size]);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |size: &Size| match size {
            Size::Known(size) => size.to_string(),
            Size::Rows => "batch".into(),
            Size::Unknown => "?".into(),
        };
        write!(to, "[{}]", self.0.iter().map(word).collect::<Vec<_>>().join(", "))
    }
}

/// A dimension's index; a negative axis is counted from the end.
pub(super) fn place(axis: i64, dimensions: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(dimensions as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < dimensions)
}

/// The shape with a dimension of 1 at each of these indices of the result.
pub(super) fn unsqueezed(sizes: &[Size], axes: &[i64]) -> Option<Vec<Size>> {
    let dimensions = (sizes.len() + axes.len() <= MOST_SIZES).then_some(sizes.len() + axes.len())?;
    let axes: Vec<usize> = axes.iter().map(|&axis| place(axis, dimensions)).collect::<Option<_>>()?;
    let mut before = sizes.iter();
    (0..dimensions).map(|at| if axes.contains(&at) { Some(Size::Known(1)) } else { before.next().copied() }).collect()
}

/// The shape without the dimensions of 1 at these indices, or without all of them.
pub(super) fn squeezed(sizes: &[Size], axes: Option<&[i64]>) -> Option<Vec<Size>> {
    let is_one = |size: Size| size == Size::Known(1);
    let Some(axes) = axes else { return Some(sizes.iter().copied().filter(|&size| !is_one(size)).collect()) };
    let axes: Vec<usize> = axes.iter().map(|&axis| place(axis, sizes.len())).collect::<Option<_>>()?;
    let kept = |(at, &size): (usize, &Size)| (!axes.contains(&at)).then_some(size);
    axes.iter().all(|&axis| is_one(sizes[axis])).then(|| sizes.iter().enumerate().filter_map(kept).collect())
}

/// The shape as a matrix: the dimensions before `axis`, and those from it on.
pub(super) fn flattened(sizes: &[Size], axis: i64) -> Option<Vec<Size>> {
    let axis = if axis == sizes.len() as i64 { sizes.len() } else { place(axis, sizes.len())? };
    let (rows, rest) = sizes.split_at(axis);
    let joined = |sizes: &[Size]| match sizes {
        &[size] => size,
        _ => product(sizes).map_or(Size::Unknown, |product| Size::Known(product as i64)),
    };
    Some(vec![joined(rows), joined(rest)])
}

/// The order of dimensions that Transpose asks for, which is reversed by default.
pub(super) fn order(asked: Option<&[i64]>, dimensions: usize) -> Option<Vec<usize>> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Some((0..dimensions).rev().collect()) };
    let order: Vec<usize> = asked.iter().map(|&dim| place(dim, dimensions)).collect::<Option<_>>()?;
    (order.len() == dimensions && (0..dimensions).all(|dim| order.contains(&dim))).then_some(order)
}

/// Whether transposing leaves the values in their order: the dimensions longer than 1 keep theirs.
pub(super) fn keeps_order(order: &[usize], is_one: impl Fn(usize) -> bool) -> bool {
    order.iter().filter(|&&dim| !is_one(dim)).is_sorted()
}

/// Sizes that the graph computes with: a list of them, or a single one.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    pub list: Vec<Size>,
    pub alone: bool,
}

impl Sizes {
    /// Applies an operator to sizes. `attribute` returns an attribute that is an integer or a list of integers.
    pub fn apply(op: &str, operands: &[Sizes], attribute: &dyn Fn(&str) -> Option<Vec<i64>>) -> Option<Sizes> {
        let of = |list: Vec<Size>, alone| Some(Sizes { list, alone });
        match (op, operands) {
            ("Identity" | "Cast", [sizes]) => Some(sizes.clone()),
            ("Unsqueeze", [Sizes { list, alone: true }, ..]) => of(list.clone(), false),
            ("Squeeze", [Sizes { list, .. }, ..]) if list.len() == 1 => of(list.clone(), true),
            ("Reshape", [Sizes { list, .. }, to]) if list.len() == 1 && to.list.len() <= 1 => {
                of(list.clone(), to.list.is_empty())
            }
            ("Reshape", [sizes, to]) if !sizes.alone && matches!(to.list[..], [Size::Known(-1)]) => Some(sizes.clone()),
            ("Gather", [from, at]) => {
                let one = |at: &Size| match *at {
                    Size::Known(at) => from.list.get(place(at, from.list.len())?).copied(),
                    _ => None,
                };
                of(at.list.iter().map(one).collect::<Option<_>>()?, at.alone)
            }
            ("Slice", [from, rest @ ..]) if !from.alone => {
                let known = |at: usize, name: &str| match rest.get(at) {
                    Some(Sizes { list, .. }) => match list[..] {
                        [Size::Known(one)] => Some(one),
                        _ => None,
                    },
                    None => attribute(name)?.first().copied(),
                };
                let length = from.list.len() as i64;
                let bound = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length) as usize;
                let (start, end) = (bound(known(0, "starts")?), bound(known(1, "ends")?));
                if rest.len() > 3 && known(3, "") != Some(1) {
                    return None;
                }
                of(from.list.get(start..end.max(start))?.to_vec(), false)
            }
            ("Concat", lists) => {
                let count: usize = lists.iter().map(|sizes| sizes.list.len()).sum();
                (count <= MOST_SIZES).then_some(())?;
                of(lists.iter().flat_map(|sizes| sizes.list.iter().copied()).collect(), false)
            }
            ("ReduceProd", [sizes, ..]) => {
                let alone = attribute("keepdims").is_some_and(|keep| keep == [0]);
                let product = match sizes.list[..] {
                    [one] => one,
                    _ => Size::Known(product(&sizes.list)?.try_into().ok()?),
                };
                of(vec![product], alone)
            }
            ("Add" | "Sub" | "Mul" | "Div", [a, b]) if a.list.len() == 1 && b.list.len() == 1 => {
                let (Size::Known(left), Size::Known(right)) = (a.list[0], b.list[0]) else { return None };
                let number = match op {
                    "Add" => left.checked_add(right),
                    "Sub" => left.checked_sub(right),
                    "Mul" => left.checked_mul(right),
                    _ => left.checked_div(right),
                };
                of(vec![Size::Known(number?)], a.alone && b.alone)
            }
            _ => None,
        }
    }
}
