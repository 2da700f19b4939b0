//! Small constants of integers that a graph computes from others, as PyTorch's exporter computes the pads of a Pad.

use super::constant::Constant;
use super::proto::Attributes;
use super::shape;
use super::value::Value;

/// The dimensions of a constant, and its values.
type Whole = (Vec<usize>, Vec<i64>);

/// What an operator makes of small constants of integers alone; nothing where it is none of those that are computed here.
pub(super) fn folded<'a>(op: &str, given: Attributes<'a>, inputs: &[Value<'a>]) -> Option<Constant<'a>> {
    let whole = |value: &Value<'a>| match value {
        Value::Constant(constant) => constant.whole(),
        _ => None,
    };
    let (dims, values) = match (op, inputs) {
        ("ConstantOfShape", [shape]) => filled(given, whole(shape)?)?,
        ("Concat", [_, ..]) if [0, -1].contains(&given.integer("axis", 0)) => {
            let parts: Vec<Whole> = inputs.iter().map(whole).collect::<Option<_>>()?;
            parts.iter().all(|(dims, _)| dims.len() == 1).then_some(())?;
            let values: Vec<i64> = parts.into_iter().flat_map(|(_, values)| values).collect();
            (vec![values.len()], values)
        }
        ("Slice", [from, rest @ ..]) => sliced(given, whole(from)?, rest)?,
        _ => return None,
    };
    Constant::of_whole(dims, values)
}

/// One integer as often as a shape asks for.
fn filled(given: Attributes<'_>, (dims, sizes): Whole) -> Option<Whole> {
    let (_, value) = Constant::tensor(given.get("value")?.t.as_ref()?).whole()?;
    let sizes: Vec<usize> = sizes.into_iter().map(|size| usize::try_from(size).ok()).collect::<Option<_>>()?;
    let count = sizes.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
    match value[..] {
        // A single number is one for every value of a row, which is read elsewhere.
        [value] if dims.len() == 1 && !sizes.is_empty() && count <= Constant::MOST_WHOLE => {
            Some((sizes, vec![value; count]))
        }
        _ => None,
    }
}

/// The values from the starts to the ends, by the steps, along the axes: inputs, or before opset 10 attributes.
fn sliced(given: Attributes<'_>, (mut dims, mut values): Whole, rest: &[Value<'_>]) -> Option<Whole> {
    // What is given, and is no constant, is not left out.
    let list = |at: usize, name: &str| match rest.get(at) {
        Some(Value::Constant(constant)) => constant.whole().map(|(_, values)| Some(values)),
        Some(Value::Absent) | None => Some(given.integers(name)),
        Some(_) => None,
    };
    let (starts, ends) = (list(0, "starts")??, list(1, "ends")??);
    let axes = list(2, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(3, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    [ends.len(), axes.len(), steps.len()].iter().all(|&count| count == starts.len()).then_some(())?;
    for (at, &axis) in axes.iter().enumerate() {
        let axis = shape::place(axis, dims.len())?;
        let picked = picked(dims[axis], starts[at], ends[at], steps[at])?;
        let inner: usize = dims[axis + 1..].iter().product();
        let blocks = values.chunks_exact((dims[axis] * inner).max(1));
        values = blocks
            .flat_map(|block| picked.iter().flat_map(move |&at| block[at * inner..][..inner].iter()))
            .copied()
            .collect();
        dims[axis] = picked.len();
    }
    Some((dims, values))
}

/// The places from a start to an end of a dimension; negative ones are counted from its end.
fn picked(length: usize, start: i64, end: i64, step: i64) -> Option<Vec<usize>> {
    let length = i64::try_from(length).ok()?;
    if step == 0 || length == 0 {
        return None;
    }
    let counted = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let (start, end) = match step > 0 {
        true => (counted(start).clamp(0, length), counted(end).clamp(0, length)),
        false => (counted(start).clamp(0, length - 1), counted(end).clamp(-1, length - 1)),
    };
    let next = |&at: &i64| Some(at.saturating_add(step));
    let is_before = |&at: &i64| if step > 0 { at < end } else { at > end };
    Some(std::iter::successors(Some(start), next).take_while(is_before).map(|at| at as usize).collect())
}
