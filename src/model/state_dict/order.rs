//! The order of layers, from the numbers in their names, or else from their shapes.

use safetensors::tensor::TensorView;

/// What the names of a state dict must be like.
pub(super) const NAMES: &str = "dense layers are numbered in their order, under one name, as 0.weight, 0.bias, 2.weight, … or fc1.weight, fc1.bias, \
                     fc2.weight, …";

/// A dense layer's tensors.
pub(super) struct Layer<'a> {
    pub name: Name<'a>,
    pub weight: (&'a str, &'a TensorView<'a>),
    /// Whether the weight is a kernel, `[in, out]`.
    pub is_kernel: bool,
    pub bias: Option<(&'a str, &'a TensorView<'a>)>,
    pub inputs: usize,
    pub outputs: usize,
}

/// The most partial orders that the search by shape tries.
const MOST_TRIED: usize = 3_000;

/// The order of layers.
pub(super) struct Order<'a> {
    pub order: Vec<usize>,
    /// The names of two adjacent layers that do not show whether an activation is between them, if there are such layers.
    pub between: Option<(&'a str, &'a str)>,
    pub notes: Vec<String>,
}

/// A layer's name, as `net.blocks.1.fc2`: its texts (`net.blocks.`, `.fc`) and the numbers between them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name<'a> {
    texts: Vec<&'a str>,
    numbers: Vec<u64>,
    pub whole: &'a str,
}

impl<'a> Name<'a> {
    pub fn of(whole: &'a str) -> Self {
        let (mut texts, mut numbers, mut rest) = (Vec::new(), Vec::new(), whole);
        let is_digit = |letter: char| letter.is_ascii_digit();
        while let Some(start) = rest.find(is_digit) {
            let (text, from) = rest.split_at(start);
            let (digits, after) = from.split_at(from.find(|letter| !is_digit(letter)).unwrap_or(from.len()));
            // Digits that are too long for a number are part of the text.
            let Ok(number) = digits.parse() else { break };
            texts.push(text);
            numbers.push(number);
            rest = after;
        }
        if !rest.is_empty() || texts.is_empty() {
            texts.push(rest);
        }
        Name { texts, numbers, whole }
    }

    /// Whether two names differ only in their numbers, which then give the layers' order.
    fn is_numbered_as(&self, other: &Name<'_>) -> bool {
        self.texts == other.texts && self.numbers.len() == other.numbers.len() && self.numbers != other.numbers
    }

    /// Whether this is the unnumbered first layer of a numbered name, as Keras numbers layers: dense, dense_1, dense_2.
    fn is_first_of(&self, other: &Name<'_>) -> bool {
        let (Some((last, before)), Some((numbered, before_it))) = (self.texts.split_last(), other.texts.split_last())
        else {
            return false;
        };
        let ends_in_a_number = other.texts.len() == other.numbers.len();
        ends_in_a_number
            && before == before_it
            && numbered.strip_suffix('_') == Some(last)
            && other.numbers.len() == self.numbers.len() + 1
            && other.numbers.starts_with(&self.numbers)
    }

    /// Whether exactly one number is free between this layer and the next in a `torch.nn.Sequential`, as between `net.0` and `net.2`.
    fn has_one_place_before(&self, other: &Name<'_>) -> bool {
        self.is_place() && self.gap_before(other) == Some(2)
    }

    /// How much higher the next layer's last number is, where the names differ in it alone.
    fn gap_before(&self, other: &Name<'_>) -> Option<u64> {
        let ((own, rest), (others, of_other)) = (self.numbers.split_last()?, other.numbers.split_last()?);
        others.checked_sub(*own).filter(|_| rest == of_other && self.is_numbered_as(other))
    }

    /// Whether the last number counts a model's layers, so that lower numbers are layers or functions: in a `torch.nn.Sequential`, or where the next
    /// layer has the next number, as fc2 and fc3. In resnet18.fc it is part of a model's name, and Keras counts all layers of a program: dense_4.
    fn is_counted_with(&self, next: Option<&Name<'_>>) -> bool {
        let follows_underscore = self.numbers.len().checked_sub(1).is_some_and(|last| self.texts[last].ends_with('_'));
        let is_numbered = || next.is_some_and(|next| self.gap_before(next).is_some());
        self.is_place() || !follows_underscore && is_numbered()
    }

    /// Whether the name ends in a number alone, as in a `torch.nn.Sequential`.
    fn is_place(&self) -> bool {
        self.whole.rsplit(['.', '/']).next().is_some_and(|last| last.parse::<u64>().is_ok())
    }
}

/// The layer and the part that a tensor's name consists of, as in `fc1.weight` and `dense/kernel:0`.
pub(super) fn layer_and_part(whole: &str) -> (&str, &str) {
    let name = whole.strip_suffix(":0").unwrap_or(whole);
    match name.rfind(['.', '/']) {
        Some(at) => (&name[..at], &name[at + 1..]),
        None => ("", name),
    }
}

/// Finds the order of layers, which are given sorted by name.
pub(super) fn of<'a>(layers: &[Layer<'a>]) -> Result<Order<'a>, String> {
    // Families of layers whose names differ only in numbers, which give their order.
    let name = |at: usize| &layers[at].name;
    let all: Vec<usize> = (0..layers.len()).collect();
    let mut families: Vec<Vec<usize>> =
        all.chunk_by(|&a, &b| name(a).is_numbered_as(name(b))).map(<[usize]>::to_vec).collect();
    // Alphabetically, a name without a number comes before those with one: dense, then dense_1.
    for at in (1..families.len()).rev() {
        if let ([first], [second, ..]) = (&families[at - 1][..], &families[at][..])
            && name(*first).is_first_of(name(*second))
        {
            let numbered = families.remove(at);
            families[at - 1].extend(numbered);
        }
    }
    let mut notes = Vec::new();
    let order = match families.as_slice() {
        [only] => {
            for pair in only.windows(2) {
                let (before, layer) = (&layers[pair[0]], &layers[pair[1]]);
                if before.outputs != layer.inputs {
                    let (whole, inputs, outputs) = (layer.weight.0, layer.inputs, before.outputs);
                    return Err(format!(
                        "{whole} takes {inputs} inputs, and the layer before it has {outputs} outputs"
                    ));
                }
            }
            only.clone()
        }
        _ => {
            let order = by_shape(layers, &families)?;
            notes.push(format!("its layers are in the one order that their shapes leave: {}", names(layers, &order)));
            order
        }
    };
    let second = order.get(1).map(|&second| name(second));
    let first = order.first().map(|&first| name(first)).filter(|first| first.is_counted_with(second));
    let first = first.and_then(|first| Some((first, *first.numbers.last()?)));
    notes.extend(first.and_then(|(name, number)| note_of_start(name.whole, number)));
    let mut pairs = order.windows(2).map(|pair| (name(pair[0]), name(pair[1])));
    // A layer that is no place of a `Sequential` has its activation within itself, and the next one has the next number.
    let most = |name: &Name<'_>| if name.is_place() { MOST_BETWEEN } else { 0 };
    let leave_out = |(a, b): &(&Name<'_>, &Name<'_>)| a.gap_before(b).is_some_and(|gap| gap - 1 > most(a));
    let gaps: Vec<String> =
        pairs.clone().filter(leave_out).map(|(a, b)| format!("{} and {}", a.whole, b.whole)).collect();
    notes.extend(note_of_gaps(&gaps));
    let between = pairs.find(|(a, b)| !a.has_one_place_before(b)).map(|(a, b)| (a.whole, b.whole));
    Ok(Order { order, between, notes })
}

/// The most numbers between two layers of a `torch.nn.Sequential` that need no note: those of an activation and a dropout.
pub(super) const MOST_BETWEEN: u64 = 2;

/// A note on the numbers before that of the first layer, where they are more than a flattening has.
pub(super) fn note_of_start(first: &str, number: u64) -> Option<String> {
    (number > 1).then(|| {
        format!("its first layer is {first}: what has the numbers below {number} has no tensors, and is taken to change nothing")
    })
}

/// A note on pairs of layers, as `0 and 9`, between which more numbers are left out.
pub(super) fn note_of_gaps(pairs: &[String]) -> Option<String> {
    (!pairs.is_empty()).then(|| {
        let pairs = listed(pairs.iter().map(String::as_str));
        format!(
            "numbers between its layers {pairs} have no tensors: an activation is taken to be there, and nothing else"
        )
    })
}

/// The only order in which each layer's inputs are as many as the outputs of the layer before it, and each family is in the order of its numbers.
fn by_shape(layers: &[Layer<'_>], families: &[Vec<usize>]) -> Result<Vec<usize>, String> {
    let mut search = Search { layers, families, found: Vec::new(), left: MOST_TRIED };
    search.go_on(&mut vec![0; families.len()], &mut Vec::new());
    match (search.found.as_slice(), search.left) {
        ([only], 1..) => Ok(only.clone()),
        ([], 1..) => {
            let shapes: Vec<String> = layers
                .iter()
                .take(8)
                .map(|layer| format!("{} takes {} and gives {}", layer.name.whole, layer.inputs, layer.outputs))
                .collect();
            Err(format!(
                "its layers fit in no order, as each must take what the one before it gives: {}",
                shapes.join(", ")
            ))
        }
        ([one, other, ..], _) => Err(format!(
            "its names do not say their order, and their shapes leave several, as {} and {}: name the tensors by their layers' numbers, \
             {RENAMED}",
            names(layers, one),
            names(layers, other)
        )),
        _ => Err(format!(
            "its names do not say their order: name the tensors by their layers' numbers, {RENAMED}; {NAMES}"
        )),
    }
}

const RENAMED: &str = "0.weight, 0.bias, 1.weight, … in the order of the layers";

/// The names of layers in an order, shortened to a few: `fc1, fc2, out`.
fn names(layers: &[Layer<'_>], order: &[usize]) -> String {
    listed(order.iter().map(|&at| layers[at].name.whole))
}

/// Names, shortened to a few.
pub(super) fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    const MOST: usize = 8;
    let rest = if names.len() > MOST { ", …" } else { "" };
    names.take(MOST).collect::<Vec<&str>>().join(", ") + rest
}

/// A search for orders, which ends when two are found.
struct Search<'s, 'a> {
    layers: &'s [Layer<'a>],
    families: &'s [Vec<usize>],
    found: Vec<Vec<usize>>,
    left: usize,
}

impl Search<'_, '_> {
    /// Tries every layer that can be next; `taken` counts the layers of each family that are already in the order.
    fn go_on(&mut self, taken: &mut Vec<usize>, order: &mut Vec<usize>) {
        if order.len() == self.layers.len() {
            return self.found.push(order.clone());
        }
        for family in 0..self.families.len() {
            let Some(&next) = self.families[family].get(taken[family]) else { continue };
            if order.last().is_some_and(|&last| self.layers[last].outputs != self.layers[next].inputs) {
                continue;
            }
            if self.found.len() > 1 || self.left == 0 {
                return;
            }
            self.left -= 1;
            taken[family] += 1;
            order.push(next);
            self.go_on(taken, order);
            order.pop();
            taken[family] -= 1;
        }
    }
}
