//! Functions of a user's own, in WGSL: an activation, a loss or an optimizer that is fused like the built-in ones.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use naga::{AddressSpace, ArraySize, FunctionArgument, Handle, Module, Scalar, Type, TypeInner};

use crate::error::Error;

/// The text of such functions, and what it is called. Made by [`Activation::custom`](crate::Activation::custom),
/// [`Loss::custom`](crate::Loss::custom) and [`Rule::custom`](crate::Rule::custom), which check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wgsl {
    pub(crate) name: &'static str,
    pub(crate) source: &'static str,
    /// Values that an optimizer keeps beside each weight.
    pub(crate) kept: u32,
}

/// The longest text. Compilers descend into expressions term by term, and a sum of tens of thousands overflows their stack.
const MOST_BYTES: usize = 8192;

/// A function that has to be there.
pub(crate) struct Signature {
    pub name: &'static str,
    /// Its f32 arguments, for people.
    pub arguments: &'static [&'static str],
    /// Whether a pointer to an array of kept values may come after them.
    pub may_keep: bool,
}

impl Signature {
    fn words(&self) -> String {
        let arguments: Vec<String> = self.arguments.iter().map(|name| format!("{name}: f32")).collect();
        let kept =
            if self.may_keep { " (and kept: ptr<function, array<f32, N>>, where it keeps N values)" } else { "" };
        format!("fn {}({}) -> f32{kept}", self.name, arguments.join(", "))
    }
}

impl Wgsl {
    /// A text that naga takes, that has these functions, and that binds nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Wgsl`] with the line that is wrong, or the function that is missing.
    pub(crate) fn new(name: &str, source: &str, signatures: &[Signature]) -> Result<Self, Error> {
        let refused = |reason: String| Error::Wgsl { name: name.into(), reason };
        if source.len() > MOST_BYTES {
            return Err(refused(format!("it has {} bytes: the most is {MOST_BYTES}", source.len())));
        }
        let module = naga::front::wgsl::parse_str(source)
            .map_err(|error| refused(error.emit_to_string_with_path(source, name)))?;
        let mut validator =
            naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        validator.validate(&module).map_err(|error| refused(error.emit_to_string_with_path(source, name)))?;
        if !module.global_variables.is_empty() || !module.entry_points.is_empty() || !module.overrides.is_empty() {
            return Err(refused(
                "it may hold functions, constants and structs: no variables, overrides or entry points".into(),
            ));
        }
        let mut kept = 0;
        for signature in signatures {
            let has = kept_by(&module, signature);
            kept = has.ok_or_else(|| refused(format!("it must define {}", signature.words())))?.max(kept);
        }
        Ok(Wgsl { name: interned(name), source: interned(source), kept })
    }

    /// The name and text of a file: it is named as the file is without its ending.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn read(path: &Path) -> Result<(String, String), Error> {
        let source = crate::files::read_text(path)?;
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok((name, source))
    }
}

/// The number of values that the function keeps, where the module has it with these arguments.
fn kept_by(module: &Module, signature: &Signature) -> Option<u32> {
    let (_, function) = module.functions.iter().find(|(_, f)| f.name.as_deref() == Some(signature.name))?;
    let is_f32 = |ty: Handle<Type>| module.types[ty].inner == TypeInner::Scalar(Scalar::F32);
    let (plain, rest) = function.arguments.split_at_checked(signature.arguments.len())?;
    let fits =
        plain.iter().all(|argument| is_f32(argument.ty)) && function.result.as_ref().is_some_and(|r| is_f32(r.ty));
    match rest {
        [] if fits => Some(0),
        [FunctionArgument { ty, .. }] if fits && signature.may_keep => match module.types[*ty].inner {
            TypeInner::Pointer { base, space: AddressSpace::Function } => match module.types[base].inner {
                TypeInner::Array { base, size: ArraySize::Constant(size), .. } if is_f32(base) => Some(size.get()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// That a name is not a built-in one's: files and messages know functions by their names.
pub(crate) fn check_name(name: &str, what: &str, mut known: impl Iterator<Item = &'static str>) -> Result<(), Error> {
    let refused = |reason: String| Err(Error::Wgsl { name: name.into(), reason });
    match known.any(|known| known == name) {
        true => refused(format!("this is {what} already: call yours something else")),
        false if name.is_empty() => refused("it needs a name".into()),
        false => Ok(()),
    }
}

/// A text for the life of the program, one copy of each: descriptions of networks stay small and can be copied.
fn interned(text: &str) -> &'static str {
    static TEXTS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.iter().find(|known| **known == text) {
        return known;
    }
    let text: &'static str = Box::leak(text.into());
    texts.push(text);
    text
}
