//! How a set lies on the device, and how its rows come to the first layer.

use std::ops::Range;

use super::step::Step;
use super::{Dispatch, Role};
use crate::kernel::gather::{self, Part};
use crate::kernel::tokens::{self, Tokens};
use crate::kernel::{Binding, Input, gather_image};
use crate::layout::TokenLayout;
use crate::network::Form;

/// The element type of a set on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Four features a word, from 0 to 255, which stand for 0 to 1.
    U8,
    /// Two features a word.
    F16,
    /// Four bytes a feature.
    F32,
    /// Tokens, which are no features: an embedding looks them up.
    Tokens(TokenLayout),
}

impl Element {
    /// Bytes of a feature, or of a token.
    pub fn bytes(self) -> u64 {
        match self {
            Element::Tokens(layout) => layout.bytes.into(),
            features => features.input().quad_bytes() / 4,
        }
    }

    /// How products read features. Tokens are read by none.
    pub(super) fn input(self) -> Input {
        match self {
            Element::U8 => Input::SetU8,
            Element::F16 => Input::SetF16,
            Element::F32 | Element::Tokens(_) => Input::SetF32,
        }
    }
}

/// How a set lies on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLayout {
    /// Its features' type.
    pub element: Element,
    /// Its rows.
    pub rows: u64,
    /// Buffers that its features are in, one after the other: several, where an adapter cannot bind them as one.
    pub parts: usize,
    /// Whether each feature has a shift and a scale.
    pub is_scaled: bool,
}

impl SetLayout {
    /// A set in one buffer, its features as they are.
    pub fn whole(element: Element, rows: u64) -> Self {
        SetLayout { element, rows, parts: 1, is_scaled: false }
    }

    /// The same rows in as many parts as it takes where a buffer has `most_bytes` at most, and a row `row_bytes`.
    pub fn in_parts(self, row_bytes: u64, most_bytes: u64) -> Self {
        let rows = (most_bytes / row_bytes.max(1)).max(1);
        SetLayout { parts: self.rows.div_ceil(rows).max(1) as usize, ..self }
    }

    /// How its tokens lie, where it has tokens.
    pub(crate) fn tokens(self) -> Option<TokenLayout> {
        if let Element::Tokens(layout) = self.element { Some(layout) } else { None }
    }

    /// Whether a minibatch's rows are brought together before the first layer reads them: a product reads one buffer, and does
    /// not know which feature it has at hand.
    pub fn is_gathered(self) -> bool {
        self.parts > 1 || self.is_scaled
    }

    /// The rows that are in a part.
    pub fn rows_of(self, part: usize) -> Range<u64> {
        let each = self.rows.div_ceil(self.parts as u64);
        (each * part as u64).min(self.rows)..(each * (part as u64 + 1)).min(self.rows)
    }
}

/// The minibatch's rows brought together: one dispatch a part of the set.
pub(super) fn gathers(step: &Step<'_>) -> Vec<Dispatch> {
    let (set, workgroup) = (step.request.set, step.request.tiling.family.row_workgroup());
    let gather = |part: usize| {
        let rows = set.rows_of(part);
        let own = Part { first_row: rows.start as u32, rows: (rows.end - rows.start) as u32 };
        let mut launch = match step.request.network.input() {
            Form::Tokens(length) => {
                let layout = set.tokens().unwrap_or(TokenLayout { bytes: 4, overlaps: false });
                let tokens = Tokens { batch: step.request.batch, places: length as u32, width: 0 };
                tokens::gather(tokens, layout, own, workgroup)
            }
            Form::Image(image) => {
                let augmentation = step.request.training.and_then(|training| training.augmentation);
                let (batch, input) = (step.request.batch, set.element.input());
                gather_image::launch(batch, image, input, own, set.is_scaled, augmentation, workgroup)
            }
            _ => gather::launch(step.features(), set.element.input(), own, set.is_scaled, workgroup),
        };
        launch.workgroups = launch.workgroups.min(step.rows.next_multiple_of(4));
        Dispatch::new(launch, |binding| match binding {
            Binding::Input => Role::Set(part),
            Binding::Scaling => Role::Scaling,
            Binding::State => Role::State,
            _ => Role::Minibatch,
        })
    };
    (0..set.parts).map(gather).collect()
}
