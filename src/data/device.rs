//! The layout of a data set on the device.

use std::ops::Range;

use half::f16;

use super::token_rows::values_of;
use super::{Dataset, Features};
use crate::layout::quads_with_one;
use crate::plan::{Element, SetLayout};
use crate::preprocessing::Scaling;
use crate::targets::{TargetKind, Targets};

impl Dataset {
    /// The element type of the features on the device.
    pub(crate) fn element(&self) -> Element {
        match &self.features {
            Features::U8(_) => Element::U8,
            Features::F16(_) => Element::F16,
            Features::F32(_) | Features::F64(_) => Element::F32,
            Features::Tokens(tokens) => Element::Tokens(tokens.layout()),
        }
    }

    /// The set's layout on a device that binds at most `most_bytes` bytes of a buffer.
    pub(crate) fn layout(&self, most_bytes: u64) -> SetLayout {
        let whole = SetLayout::whole(self.element(), self.rows as u64);
        let whole = SetLayout { is_scaled: self.scaling_of_device().is_some(), ..whole };
        if self.device_bytes() <= most_bytes { whole } else { whole.in_parts(self.row_bytes(), most_bytes) }
    }

    /// Bytes that the features take on the device.
    pub(crate) fn device_bytes(&self) -> u64 {
        self.bytes_of_rows(self.rows as u64)
    }

    fn row_bytes(&self) -> u64 {
        match self.element() {
            Element::Tokens(layout) => self.width as u64 * u64::from(layout.bytes),
            features => 4 * u64::from(quads_with_one(self.width as u32)) * features.bytes(),
        }
    }

    /// Bytes that some rows take on the device.
    pub(crate) fn bytes_of_rows(&self, rows: u64) -> u64 {
        match self.element() {
            Element::Tokens(layout) => {
                (layout.tokens(rows, self.width as u32) * u64::from(layout.bytes)).next_multiple_of(4)
            }
            _ => rows * self.row_bytes(),
        }
    }

    /// Labels of this many rows, or their values, row by row: those of a text's rows overlap.
    pub(crate) fn targets_of_rows(&self, rows: u64) -> u64 {
        rows.saturating_sub(1) * self.label_stride() as u64 + self.places as u64
    }

    /// The scaling that the device applies, if any: that of f32 features is already applied to them.
    fn scaling_of_device(&self) -> Option<&Scaling> {
        self.origin.scaling.as_ref().filter(|_| self.element() != Element::F32)
    }

    /// The scaling that the device applies when it gathers a minibatch: `4 · quads` shifts, then as many scales. It leaves the elements after
    /// a row's last feature unchanged.
    pub(crate) fn device_scaling(&self, quads: usize) -> Option<Vec<f32>> {
        let Scaling { shift, scale } = self.scaling_of_device()?;
        let mut values = [vec![0.0; 4 * quads], vec![1.0; 4 * quads]].concat();
        values.iter_mut().zip(shift).for_each(|(value, &shift)| *value = shift as f32);
        values[4 * quads..][..self.width].copy_from_slice(scale);
        Some(values)
    }

    /// Passes the bytes of some rows' features to `take`. A row's last feature is followed by a 1 (255 in u8), which multiplies the bias, and zeros
    /// up to `4 · quads` elements. Tokens follow each other, padded to whole words at the end.
    pub(crate) fn with_device_rows<R>(&self, rows: Range<usize>, quads: usize, take: impl FnOnce(&[u8]) -> R) -> R {
        let (width, stride) = (self.width, 4 * quads);
        if let Features::Tokens(tokens) = &self.features {
            let mut bytes = tokens.to_device(values_of(rows, self.token_stride(), width));
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            return take(&bytes);
        }
        let elements = rows.start * width..rows.end * width;
        match &self.features {
            Features::U8(values) => take(&padded(&values[elements], width, stride, 255)),
            Features::F16(values) => take(bytemuck::cast_slice(&padded(&values[elements], width, stride, f16::ONE))),
            Features::F32(values) => take(bytemuck::cast_slice(&padded(&values[elements], width, stride, 1.0))),
            Features::F64(values) => {
                let rounded: Vec<f32> = values[elements].iter().map(|&value| value as f32).collect();
                take(bytemuck::cast_slice(&padded(&rounded, width, stride, 1.0)))
            }
            Features::Tokens(_) => take(&[]),
        }
    }

    /// The form of the targets. Class indices take as few bits as the largest needs, unless sample weights lie beside them.
    pub(crate) fn targets(&self) -> Targets {
        let kind = if self.values.is_some() { TargetKind::Values } else { TargetKind::Classes };
        let sample_weights = self.sample_weights.is_some();
        Targets { kind, sample_weights, label_bits: 32 }.for_classes(self.classes())
    }

    /// The targets of some rows in a form, in whole words, row after row. In the form of values, labels become one-hot, or, for one output, 0 and
    /// 1. A row's sample weight comes after its targets.
    pub(crate) fn device_targets(&self, rows: Range<usize>, form: Targets, outputs: usize) -> Vec<u32> {
        let own = values_of(rows, self.label_stride(), self.places);
        let mut words = vec![0; form.words(own.len() as u64, outputs as u32) as usize];
        if form.kind == TargetKind::Classes && !form.sample_weights {
            let labels = &self.labels[own];
            // Only a negative label, which the loss ignores, does not fit.
            match form.label_bits {
                8 => narrow(labels, &mut words, |label| u8::try_from(label).unwrap_or(u8::MAX)),
                16 => narrow(labels, &mut words, |label| u16::try_from(label).unwrap_or(u16::MAX)),
                _ => words.copy_from_slice(labels),
            }
            return words;
        }
        let stride = form.row_bits(outputs as u32) as usize / 32;
        let weight_at = stride - if form.kind == TargetKind::Classes { 1 } else { 4 };
        // A row with a label for each place has neither values nor a weight of its own.
        for (row, target) in own.zip(words.chunks_exact_mut(stride)) {
            match (&self.values, form.kind) {
                (Some(all), _) => {
                    let values = self.seen_targets(all, row);
                    target.iter_mut().zip(values).for_each(|(word, value)| *word = value.to_bits());
                }
                (None, TargetKind::Classes) => target[0] = self.labels[row],
                (None, TargetKind::Values) if outputs == 1 => target[0] = (self.labels[row] as f32).to_bits(),
                (None, TargetKind::Values) => target[self.labels[row] as usize] = 1f32.to_bits(),
            }
            if let Some(weights) = &self.sample_weights {
                target[weight_at] = weights[row].to_bits();
            }
        }
        words
    }
}

fn narrow<T: bytemuck::Pod>(labels: &[u32], words: &mut [u32], of: impl Fn(u32) -> T) {
    bytemuck::cast_slice_mut(words).iter_mut().zip(labels).for_each(|(narrow, &label)| *narrow = of(label));
}

fn padded<T: Copy + Default>(values: &[T], width: usize, stride: usize, one: T) -> Vec<T> {
    let mut rows = vec![T::default(); values.len() / width * stride];
    for (row, values) in rows.chunks_exact_mut(stride).zip(values.chunks_exact(width)) {
        row[..width].copy_from_slice(values);
        row[width] = one;
    }
    rows
}
