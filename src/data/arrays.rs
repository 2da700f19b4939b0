//! Named arrays, as in safetensors and NumPy files, and the data sets that they make up.

use std::path::Path;

use half::f16;

use super::array::{Array, Element, doubles, floats};
use super::channels::Form;
use super::labels::{self, Targets};
use super::sets::{Part, Sets};
use super::{Dataset, Features, ReadOptions};
use crate::error::Error;

/// A file with named arrays.
pub(super) trait Arrays {
    /// The file's path, for messages.
    fn path(&self) -> &Path;
    /// The format's word for an array, for messages.
    fn noun(&self) -> &'static str;
    /// The names of all arrays in the file.
    fn names(&self) -> Vec<String>;
    /// The array with this name, if the file has it.
    fn get(&self, name: &str) -> Result<Option<Array<'_>>, Error>;
    /// The texts in the array with this name, if the file has it and it holds text.
    fn words(&self, _name: &str) -> Result<Option<Vec<String>>, Error> {
        Ok(None)
    }
}

/// The names of a file's arrays, each with its letter (`x`, `y`, `t` or `w`) and the part that its rows belong to.
struct Names(Vec<(char, Part, String)>);

/// The letter and the part that an array's name stands for, in either case. A name without a part's word is of the training rows.
pub(super) fn meaning(name: &str) -> Option<(char, Part)> {
    let (letter, part) = match name.split_once('_') {
        Some((letter, word)) => (letter, Part::of(word)?),
        None => (name, Part::Train),
    };
    ["x", "y", "t", "w"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(letter))
        .and_then(|known| Some((known.chars().next()?, part)))
}

impl Names {
    fn of(arrays: &dyn Arrays) -> Result<Names, Error> {
        let mut known: Vec<(char, Part, String)> = Vec::new();
        for name in arrays.names() {
            let Some((letter, part)) = meaning(&name) else { continue };
            if let Some((.., other)) = known.iter().find(|(l, p, _)| (*l, *p) == (letter, part)) {
                let mut both = [other.as_str(), name.as_str()];
                both.sort_unstable();
                return Err(Error::format(
                    arrays.path(),
                    format!("it has {} and {}, which are the same here: leave one of them out", both[0], both[1]),
                ));
            }
            known.push((letter, part, name));
        }
        Ok(Names(known))
    }

    fn find(&self, letter: char, part: Part) -> Option<&str> {
        self.0.iter().find(|(l, p, _)| (*l, *p) == (letter, part)).map(|(.., name)| name.as_str())
    }

    /// The name of an array in the file; if it is not there, the name that would match the other arrays of its part.
    fn name(&self, letter: char, part: Part) -> String {
        let beside = || {
            let (.., other) = self.0.iter().find(|(_, p, _)| *p == part)?;
            other.split_once('_').map(|(_, word)| format!("{letter}_{word}"))
        };
        self.find(letter, part).map(String::from).or_else(beside).unwrap_or_else(|| letter.into())
    }
}

/// The sets in a file's arrays: `x`, with `y` or `t`, or these names followed by `_train`, `_val` or `_test`, or by another word for such a
/// part.
pub(super) fn sets(arrays: &dyn Arrays, options: &ReadOptions) -> Result<Sets, Error> {
    let names = Names::of(arrays)?;
    let mut train = set(arrays, &names, Part::Train, options)?;
    let mut like = options.clone();
    if like.class_names.is_empty() {
        like.class_names = train.class_names().to_vec();
    }
    like.image = like.image.or(train.image_shape());
    let mut parts = [None, None];
    for (part, found) in [Part::Validation, Part::Test].into_iter().zip(&mut parts) {
        let has = |letter| names.find(letter, part).is_some();
        if has('x') && (options.inputs_only || has('y') || has('t')) {
            *found = Some(set(arrays, &names, part, &like)?);
        } else if let Some(x) = names.find('x', part) {
            let note = format!("{x} is left out, as it has no {} or {}", names.name('y', part), names.name('t', part));
            train = train.noted(arrays.path(), note);
        }
    }
    let [validation, test] = parts;
    Ok(Sets { train, validation, test })
}

/// The set of one part: `x` `[N, D]`, or images `[N, H, W]`, `[N, H, W, C]` or `[N, C, H, W]`; `t` `[N, C]` or `y` `[N]`; `w` `[N]`.
fn set(arrays: &dyn Arrays, names: &Names, part: Part, options: &ReadOptions) -> Result<Dataset, Error> {
    let wrong = |reason: String| Error::format(arrays.path(), reason);
    let in_file = |error: Error| wrong(error.to_string());
    let [x_name, y_name, t_name, w_name] = ['x', 'y', 't', 'w'].map(|letter| names.name(letter, part));
    let x = needed(arrays, &x_name)?;
    if options.tokens {
        return of_tokens(arrays, &x, [&x_name, &y_name, &t_name, &w_name], options);
    }
    let form = Form::of(&x.shape, options).map_err(|reason| wrong(format!("{x_name} {reason}")))?;
    let features = features(&form.channels_last(x));
    let Form { rows, width, image, note, .. } = form;
    let of_labels = |labels: Vec<u32>| -> Result<Dataset, Error> {
        let mut set = Dataset::of(features, width, labels).map_err(in_file)?;
        if let Some(shape) = image {
            set = set.with_image_shape(shape).map_err(in_file)?;
        }
        Ok(set.noted_all(arrays.path(), note.map(|note| format!("{x_name} {note}"))))
    };
    if options.inputs_only {
        return of_labels(vec![0; rows]);
    }
    let agree = |name: &str, count: usize| match count {
        count if count == rows => Ok(()),
        count => Err(wrong(format!("{x_name} has {rows} rows and {name} has {count}: they must agree"))),
    };
    let set = if let Some(t) = arrays.get(&t_name)? {
        let (count, outputs) = match t.shape[..] {
            [rows] => (rows, 1),
            [rows, outputs] => (rows, outputs),
            _ => return Err(wrong(format!("{t_name} has the shape {:?}: it must be [rows, outputs]", t.shape))),
        };
        agree(&t_name, count)?;
        of_labels(vec![0; rows])?.with_targets(floats(&t), outputs).map_err(in_file)?
    } else if let Some(words) = arrays.words(&y_name)? {
        agree(&y_name, words.len())?;
        let (labels, classes) =
            labels::classes(&words, &options.class_names).map_err(|reason| wrong(format!("{y_name} {reason}")))?;
        of_labels(labels)?.with_class_names(classes).map_err(in_file)?
    } else {
        let y = needed(arrays, &y_name)?;
        let (targets, note) =
            Targets::of(&y, options.regression).map_err(|reason| wrong(format!("{y_name} {reason}")))?;
        agree(&y_name, y.shape[0])?;
        let set = match targets {
            Targets::Labels(labels) => of_labels(labels)?,
            Targets::Values(values, outputs) => {
                of_labels(vec![0; rows])?.with_targets(values, outputs).map_err(in_file)?
            }
        };
        match note {
            Some(note) => set.noted(arrays.path(), format!("{y_name} {note}")),
            None => set,
        }
    };
    match arrays.get(&w_name)? {
        Some(w) if w.shape == [rows] => set.with_sample_weights(floats(&w)).map_err(in_file),
        Some(w) => Err(wrong(format!("{w_name} has the shape {:?}: it must be [{rows}], a weight a row", w.shape))),
        None => Ok(set),
    }
}

/// The set of one part whose rows are tokens: `x` `[N]` or `[N, T]`; `y` `[N]` or `[N, T]`, or `t` `[N, C]`.
fn of_tokens(
    arrays: &dyn Arrays,
    x: &Array<'_>,
    [x_name, y_name, t_name, w_name]: [&str; 4],
    options: &ReadOptions,
) -> Result<Dataset, Error> {
    let wrong = |reason: String| Error::format(arrays.path(), reason);
    let in_file = |error: Error| wrong(error.to_string());
    let (rows, length) = match x.shape[..] {
        [rows] => (rows, 1),
        [rows, length] => (rows, length),
        _ => return Err(wrong(format!("{x_name} has the shape {:?}: tokens are [rows] or [rows, length]", x.shape))),
    };
    let tokens = labels::whole_numbers(x, labels::TOKEN).map_err(|reason| wrong(format!("{x_name} {reason}")))?;
    if let Some(at) = tokens.iter().position(|&token| token > i32::MAX as u32) {
        return Err(wrong(format!("{x_name} has {} as a token: tokens count from 0", tokens[at] as i32)));
    }
    if arrays.get(w_name)?.is_some() {
        return Err(wrong(format!("it has {w_name}, weights of rows, which rows of tokens cannot have: leave it out")));
    }
    let of_labels = |labels| Dataset::from_tokens(tokens, length, labels).map_err(in_file);
    if options.inputs_only {
        return of_labels(vec![0; rows]);
    }
    if let Some(t) = arrays.get(t_name)? {
        let outputs = t.shape.iter().skip(1).product();
        return of_labels(vec![0; rows])?.with_targets(floats(&t), outputs).map_err(in_file);
    }
    let y = needed(arrays, y_name)?;
    if y.shape != [rows] && y.shape != [rows, 1] && y.shape != [rows, length] {
        return Err(wrong(format!(
            "{y_name} has the shape {:?}: it must be [{rows}], a label a row, or [{rows}, {length}], one a token",
            y.shape
        )));
    }
    of_labels(labels::whole_numbers(&y, labels::CLASS_INDEX).map_err(|reason| wrong(format!("{y_name} {reason}")))?)
}

fn needed<'a>(arrays: &'a dyn Arrays, name: &str) -> Result<Array<'a>, Error> {
    arrays.get(name)?.ok_or_else(|| {
        let mut names = arrays.names();
        names.sort_unstable();
        names.truncate(20);
        Error::format(
            arrays.path(),
            format!(
                "it has no {} {name}: a set has x [rows, features], and y [rows] class indices or t [rows, outputs] values; this \
                 has {names:?}",
                arrays.noun()
            ),
        )
    })
}

/// An array's values as features: u8 and f16 keep their type, everything else becomes f32. Types with more digits than f32 stay f64 until
/// they are scaled, if f32 cannot represent all of their values.
fn features(x: &Array<'_>) -> Features {
    match x.element {
        Element::U8 => Features::U8(x.bytes.to_vec()),
        Element::F16 => Features::F16(x.bytes.as_chunks().0.iter().map(|&word| f16::from_le_bytes(word)).collect()),
        Element::U32 | Element::I32 | Element::U64 | Element::I64 | Element::F64 => Features::of_f64(doubles(x)),
        _ => Features::F32(floats(x)),
    }
}
