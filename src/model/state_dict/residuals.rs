//! Residual networks in state dicts: `2.body.0.weight` and `2.shortcut.0.weight` are layers within layer 2. Their numbers are those of a
//! `torch.nn.Sequential`, and say where an activation is.

use std::collections::BTreeMap;

use super::order::{self, Layer};
use super::structure::{Structure, unsaid};
use crate::activation::Activation;
use crate::network::{self, DenseLayer, ResidualLayer};

/// How layers are named where some are residuals.
const NAMES: &str = "with residuals, all layers are numbered under one name, as net.0.weight, net.2.body.0.weight, net.2.shortcut.0.weight, …";

/// Layers that follow each other, by their numbers.
type List = BTreeMap<u64, Entry>;

enum Entry {
    /// A layer of the file.
    Dense(usize),
    /// The lists of a residual, in the order of [`PARTS`].
    Residual([List; 2]),
}

const PARTS: [&str; 2] = ResidualLayer::PARTS;

/// The network of layers whose names have residuals; nothing where none has.
pub(super) fn of(layers: &[Layer<'_>], activation: Option<Activation>) -> Result<Option<Structure>, String> {
    let names: Vec<Vec<&str>> = layers.iter().map(|layer| layer.name.whole.split('.').collect()).collect();
    let prefix = prefix(&names);
    let is_residual = |name: &[&str]| {
        name.windows(3)
            .any(|words| number(words[0]).is_some() && PARTS.contains(&words[1]) && number(words[2]).is_some())
    };
    if !names.iter().any(|name| is_residual(&name[prefix..])) {
        return Ok(None);
    }
    let mut all = List::new();
    for (at, name) in names.iter().enumerate() {
        insert(&mut all, layers, at, &name[prefix..])?;
    }
    let place: String =
        names.first().map_or_else(String::new, |name| name[..prefix].iter().map(|word| format!("{word}.")).collect());
    let mut builder = Builder { layers, activation, order: Vec::new(), ends: Vec::new(), gaps: Vec::new() };
    let inputs = first(&all).map_or(0, |at| layers[at].inputs);
    let (made, _) = builder.list(&all, inputs, &place)?;
    let note = format!(
        "a state dict does not say what follows the last layer of a residual's body or shortcut, here {}: no activation is taken to",
        order::listed(builder.ends.iter().map(String::as_str))
    );
    let start = all.keys().next().and_then(|&number| order::note_of_start(&format!("{place}{number}"), number));
    let notes = [Some(note), start, order::note_of_gaps(&builder.gaps)].into_iter().flatten().collect();
    Ok(Some(Structure { layers: made, order: builder.order, notes }))
}

/// How many words of all names are the same, as long as a number follows in each.
fn prefix(names: &[Vec<&str>]) -> usize {
    let Some(first) = names.first() else { return 0 };
    let is_shared = |at: usize| names.iter().all(|name| at + 1 < name.len() && name[at] == first[at]);
    let shared = (0..first.len()).take_while(|&at| is_shared(at)).count();
    let begins = |&at: &usize| names.iter().all(|name| number(name[at]).is_some());
    (0..=shared).rev().find(begins).unwrap_or(0)
}

fn number(word: &str) -> Option<u64> {
    word.parse().ok().filter(|_| word.bytes().all(|letter| letter.is_ascii_digit()))
}

/// Adds a layer in the place that its name says.
fn insert(mut list: &mut List, layers: &[Layer<'_>], at: usize, mut name: &[&str]) -> Result<(), String> {
    let whole = layers[at].weight.0;
    if name.len() > 1 + 2 * ResidualLayer::MOST_NESTED {
        let most = ResidualLayer::MOST_NESTED;
        return Err(format!("a layer is within more than {most} residuals: at most {most} are read within each other"));
    }
    loop {
        let (Some(own), rest) = (name.first().and_then(|word| number(word)), name.get(1..).unwrap_or_default()) else {
            return Err(format!("{whole} is not numbered as a layer beside or within a residual: {NAMES}"));
        };
        let entry = list.entry(own);
        match rest {
            [] => {
                if let std::collections::btree_map::Entry::Occupied(entry) = entry {
                    return Err(format!("{whole} and {} have one number: {NAMES}", weight_in(entry.get(), layers)));
                }
                entry.or_insert(Entry::Dense(at));
                return Ok(());
            }
            [part, rest @ ..] => {
                let Some(part) = PARTS.iter().position(|known| known == part) else {
                    return Err(format!("{whole} is not numbered as a layer beside or within a residual: {NAMES}"));
                };
                match entry.or_insert_with(|| Entry::Residual(Default::default())) {
                    Entry::Dense(other) => {
                        return Err(format!("{whole} and {} have one number: {NAMES}", layers[*other].weight.0));
                    }
                    Entry::Residual(parts) => list = &mut parts[part],
                }
                name = rest;
            }
        }
    }
}

/// The name of a weight in an entry.
fn weight_in<'a>(entry: &Entry, layers: &[Layer<'a>]) -> &'a str {
    let found = match entry {
        Entry::Dense(at) => Some(*at),
        Entry::Residual(parts) => parts.iter().find_map(first),
    };
    found.map_or("", |at| layers[at].weight.0)
}

/// The first layer with weights of a list, or of what is within its first one.
fn first(list: &List) -> Option<usize> {
    match list.values().next()? {
        Entry::Dense(at) => Some(*at),
        Entry::Residual(parts) => parts.iter().find_map(first),
    }
}

struct Builder<'s, 'a> {
    layers: &'s [Layer<'a>],
    activation: Option<Activation>,
    /// The layers with weights, as they are found.
    order: Vec<usize>,
    /// The last layers of bodies and shortcuts.
    ends: Vec<String>,
    /// Pairs of layers between which more numbers are left out than an activation and a dropout take.
    gaps: Vec<String>,
}

impl Builder<'_, '_> {
    /// The layers of a list whose names begin with `place`, from this many inputs, and the number of outputs.
    fn list(&mut self, list: &List, inputs: usize, place: &str) -> Result<(Vec<network::Layer>, usize), String> {
        let (mut made, mut width) = (Vec::new(), inputs);
        let mut numbers = list.keys().copied().skip(1);
        for (number, entry) in list {
            let name = format!("{place}{number}");
            let activation = match numbers.next() {
                Some(next) => {
                    let (after, gap) = (format!("{place}{next}"), next - number);
                    self.gaps.extend((gap - 1 > order::MOST_BETWEEN).then(|| format!("{name} and {after}")));
                    self.between(&name, gap, &after)?
                }
                None => Activation::Identity,
            };
            match entry {
                &Entry::Dense(at) => {
                    self.check_inputs(at, width)?;
                    self.order.push(at);
                    width = self.layers[at].outputs;
                    made.push(network::Layer::new(DenseLayer::new(width)).with_activation(activation));
                }
                Entry::Residual(parts) => {
                    let [body, shortcut] = self.parts(parts, &mut width, &name)?;
                    let sum = ResidualLayer::new(body).with_shortcut(shortcut);
                    made.push(network::Layer::new(sum).with_activation(activation));
                }
            }
        }
        Ok((made, width))
    }

    /// The body and the shortcut of a residual, whose width becomes that of their sum.
    fn parts(
        &mut self,
        [body, shortcut]: &[List; 2],
        width: &mut usize,
        name: &str,
    ) -> Result<[Vec<network::Layer>; 2], String> {
        if body.is_empty() {
            let alone = first(shortcut).map_or("", |at| self.layers[at].weight.0);
            return Err(format!("it has {alone} and no {name}.body.0.weight: a residual has a body"));
        }
        let inputs = *width;
        let mut part = |list: &List, part: &str| {
            let place = format!("{name}.{part}.");
            let Some((first, last)) = list.keys().next().zip(list.keys().next_back()) else {
                return Ok((vec![], inputs, None));
            };
            if *first > 0 {
                return Err(format!(
                    "{place}{first} is the first layer of its list, and there is a place before it: a residual's body and shortcut begin with a \
                     dense layer, {place}0"
                ));
            }
            self.ends.push(format!("{place}{last}"));
            let (layers, outputs) = self.list(list, inputs, &place)?;
            Ok((layers, outputs, self.order.last().map(|&at| self.layers[at].weight.0)))
        };
        let [body_name, shortcut_name] = PARTS;
        let (body, outputs, of_body) = part(body, body_name)?;
        let (shortcut, other, of_shortcut) = part(shortcut, shortcut_name)?;
        // A body that is not empty has layers with weights.
        let of_body = of_body.unwrap_or_default();
        if outputs != other {
            return Err(match of_shortcut {
                None => format!(
                    "{of_body} has {outputs} outputs, and the residual {name} has {inputs} inputs, which are added to them: it must have {inputs} outputs"
                ),
                Some(of_shortcut) => format!(
                    "{of_body} has {outputs} outputs, and {of_shortcut}, which is added to it, has {other}: both must have as many"
                ),
            });
        }
        *width = outputs;
        Ok([body, shortcut])
    }

    /// What is between a layer and the one whose number is so much higher.
    fn between(&self, before: &str, gap: u64, after: &str) -> Result<Activation, String> {
        match (gap, self.activation) {
            (1, _) => Ok(Activation::Identity),
            (_, Some(activation)) => Ok(activation),
            (2, None) => Ok(Activation::Relu),
            _ => Err(unsaid(before, after)),
        }
    }

    fn check_inputs(&self, at: usize, width: usize) -> Result<(), String> {
        let Layer { weight: (whole, _), inputs, .. } = self.layers[at];
        if inputs == width {
            return Ok(());
        }
        Err(format!(
            "{whole} takes {inputs} inputs, and what comes before it has {width} outputs: it must take {width}"
        ))
    }
}
