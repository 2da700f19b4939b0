//! The form that a set's targets have on the device.

/// What a row should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetKind {
    /// A class index a row.
    Classes,
    /// A value for every output of a row.
    Values,
}

/// The form that a set's targets have on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Targets {
    /// What a row should be.
    pub kind: TargetKind,
    /// Whether every row has a weight of its own.
    pub sample_weights: bool,
    /// Bits of a class index: 8, 16 or 32, and 32 beside a weight. All of them set in 8 or 16 is a row that the loss ignores.
    pub label_bits: u32,
}

impl Targets {
    /// Class indices of 32 bits, all rows alike.
    pub const CLASSES: Targets = Targets { kind: TargetKind::Classes, sample_weights: false, label_bits: 32 };

    /// Class indices of as few bits as the number of classes asks for, where no weight lies beside them.
    pub fn for_classes(self, classes: usize) -> Self {
        let label_bits = match classes {
            _ if self.kind == TargetKind::Values || self.sample_weights => 32,
            0..=0xff => 8,
            0x100..=0xffff => 16,
            _ => 32,
        };
        Targets { label_bits, ..self }
    }

    pub(crate) fn module(self) -> &'static str {
        match self.kind {
            TargetKind::Classes => "target/classes",
            TargetKind::Values => "target/values",
        }
    }

    /// Bits of one row's targets for a network of `outputs` outputs, the row's weight included.
    pub fn row_bits(self, outputs: u32) -> u64 {
        match self.kind {
            TargetKind::Classes => u64::from(self.label_bits) + 32 * u64::from(self.sample_weights),
            TargetKind::Values => 32 * u64::from(outputs.next_multiple_of(4) + 4 * u32::from(self.sample_weights)),
        }
    }

    /// Words of a set's targets.
    pub fn words(self, rows: u64, outputs: u32) -> u64 {
        (rows * self.row_bits(outputs)).div_ceil(32)
    }
}
