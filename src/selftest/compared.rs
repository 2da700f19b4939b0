//! Random inputs for comparisons, and the comparison of results with expected ones.

use std::fmt::Display;

/// A generator of random numbers, the same in every run.
pub struct Random(pub u64);

impl Random {
    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as u32 ^ (self.0 >> 11) as u32
    }

    /// U[-1, 1)
    pub fn value(&mut self) -> f64 {
        // Through f32, so that host and device begin with the same number.
        f64::from((f64::from(self.bits()) / f64::from(1u32 << 31) - 1.0) as f32)
    }

    /// A list of `count` values in U[-1, 1).
    pub fn values(&mut self, count: usize) -> Vec<f64> {
        (0..count).map(|_| self.value()).collect()
    }

    /// Random distributions `[rows, classes]`, in which some classes have a probability of 0.
    pub fn distributions(&mut self, rows: usize, classes: usize) -> Vec<f64> {
        let mut drawn: Vec<f64> = self.values(rows * classes).into_iter().map(|value| value.max(0.0)).collect();
        for row in drawn.chunks_exact_mut(classes) {
            let sum: f64 = row.iter().sum();
            match sum > 0.0 {
                // Through f32, so that host and device begin with the same numbers.
                true => row.iter_mut().for_each(|value| *value = f64::from((*value / sum) as f32)),
                false => row[0] = 1.0,
            }
        }
        drawn
    }

    /// A whole number below the limit.
    pub fn below(&mut self, limit: usize) -> usize {
        self.bits() as usize % limit
    }
}

/// ‖out − reference‖ / ‖reference‖, or ‖out‖ where the reference is 0; infinite where their numbers of values differ.
pub fn relative_error(out: &[f64], reference: &[f64]) -> f64 {
    if out.len() != reference.len() {
        return f64::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut out.iter().zip(reference).map(|(a, b)| a - b));
    let size = norm(&mut reference.iter().copied());
    if size == 0.0 { difference } else { difference / size }
}

/// The outcome of a check: the largest relative error, or a description of the first unexpected result.
pub type Agreed = Result<f64, String>;

/// Results that are compared one after another.
#[derive(Default)]
pub struct Compared {
    worst: f64,
}

impl Compared {
    /// Checks that numbers are close to the expected ones.
    ///
    /// # Errors
    ///
    /// Says the error, and which number is farthest from the one expected.
    pub fn close(&mut self, what: impl Display, out: &[f64], expected: &[f64], tolerance: f64) -> Result<(), String> {
        let error = relative_error(out, expected);
        // Written so that NaN fails.
        if error < tolerance {
            self.worst = self.worst.max(error);
            return Ok(());
        }
        // NaN counts as the farthest.
        let distance = |at: &usize| (out[*at] - expected[*at]).abs();
        let distance = |at: &usize| if distance(at).is_nan() { f64::INFINITY } else { distance(at) };
        let farthest = (0..out.len().min(expected.len())).max_by(|a, b| distance(a).total_cmp(&distance(b)));
        let value = farthest
            .map_or(String::new(), |at| format!(": number {at} is {:e}, and expected {:e}", out[at], expected[at]));
        let count = if out.len() == expected.len() {
            String::new()
        } else {
            format!("; {} numbers, and expected {}", out.len(), expected.len())
        };
        Err(format!("{what}: relative error {error:.1e}, allowed {tolerance:.0e}{value}{count}"))
    }

    /// Checks a condition.
    ///
    /// # Errors
    ///
    /// A message with `what`, if it does not hold.
    pub fn holds(&mut self, holds: bool, what: impl Display) -> Result<(), String> {
        if holds { Ok(()) } else { Err(what.to_string()) }
    }

    /// Checks that two values are equal.
    ///
    /// # Errors
    ///
    /// Says that they are not.
    pub fn equal<T: PartialEq + ?Sized>(&mut self, what: impl Display, out: &T, expected: &T) -> Result<(), String> {
        self.holds(out == expected, format_args!("{what}: not what was expected"))
    }

    /// The outcome after the last comparison.
    pub fn agreed(self) -> Agreed {
        Ok(self.worst)
    }
}

/// An error's message, for a check that cannot run.
pub fn words(error: crate::error::Error) -> String {
    error.to_string()
}
