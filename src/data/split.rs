//! Splits of a set into rows to train on and held-out rows.

use super::Dataset;
use crate::error::Error;
use crate::named::counted;
use crate::weights::hash;

impl Dataset {
    /// Splits the set in two: the rows to train on, and a fraction of all rows, chosen by the seed, to validate on. Rows of a text overlap, so that of a
    /// [text](Self::of_text) it is the last part that is held out, with [each token once](Self::without_overlap).
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where a part would have no rows.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Self, Self), Error> {
        let held_out = self.held_out(fraction)?;
        if self.is_text() {
            return self.split_text(fraction);
        }
        let mut rows = self.shuffled(seed);
        rows.truncate(held_out);
        self.parts(rows)
    }

    /// As [`split`](Self::split), with every class in proportion, to within a row: of `n` rows of a class, `n · fraction` are held out, rounded
    /// down, and one more of the classes that lose most by the rounding, until as many rows are held out as in [`split`](Self::split).
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where a part would have no rows; [`Error::Data`] where the targets are values, or there are none.
    pub fn split_stratified(&self, fraction: f64, seed: u64) -> Result<(Self, Self), Error> {
        let held_out = self.held_out(fraction)?;
        if self.places > 1 {
            return Err(Error::Data(
                "a stratified split needs one class index for every row, and these have one for every token: leave stratify out"
                    .into(),
            ));
        }
        if self.labels.is_empty() {
            return Err(Error::Data(
                "a stratified split needs a class index for every row, and the set has none".into(),
            ));
        }
        let mut classes: std::collections::BTreeMap<u32, Vec<usize>> = std::collections::BTreeMap::new();
        for row in self.shuffled(seed) {
            classes.entry(self.labels[row]).or_default().push(row);
        }
        let share = |rows: &[usize]| rows.len() as f64 * fraction;
        let mut counts: Vec<(Vec<usize>, usize)> = classes
            .into_values()
            .map(|rows| {
                let count = share(&rows).floor() as usize;
                (rows, count)
            })
            .collect();
        let lost = |(rows, count): &(Vec<usize>, usize)| share(rows) - *count as f64;
        counts.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
        let missing = held_out.saturating_sub(counts.iter().map(|(_, count)| count).sum());
        counts.iter_mut().take(missing).for_each(|(_, count)| *count += 1);
        self.parts(counts.into_iter().flat_map(|(rows, count)| rows.into_iter().take(count)).collect())
    }

    /// A weight for each class that makes all classes count the same: `rows / (classes · rows of the class)`, as scikit-learn's `balanced`. A class
    /// without a row has weight 1.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the targets are values.
    pub fn balanced_class_weights(&self) -> Result<Vec<f64>, Error> {
        if self.labels.is_empty() {
            return Err(Error::Data(
                "balanced class weights need a class index for every row, and the targets are values".into(),
            ));
        }
        let mut counts = vec![0u64; self.classes()];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(label as usize) {
                *count += 1;
            }
        }
        let (rows, classes) =
            (counts.iter().sum::<u64>() as f64, counts.iter().filter(|&&count| count > 0).count() as f64);
        Ok(counts.iter().map(|&count| if count == 0 { 1.0 } else { rows / (classes * count as f64) }).collect())
    }

    /// The number of held-out rows for a fraction.
    fn held_out(&self, fraction: f64) -> Result<usize, Error> {
        let rows = self.rows() as f64;
        if leaves_both(rows, fraction) {
            return Ok((rows * fraction).round() as usize);
        }
        let rows = counted(self.rows(), "row");
        Err(Error::Option(if !(fraction > 0.0 && fraction < 1.0) {
            format!(
                "a fraction of {fraction} of {rows}: it must leave at least one row on both sides, and so be above 0 and below 1, as 0.2"
            )
        } else {
            let needed = match fewest_rows(fraction) {
                Some(needed) => format!("this fraction needs at least {needed} rows"),
                None => "no set has enough rows for this fraction".into(),
            };
            format!(
                "a fraction of {fraction} of {rows}: these are too few to leave at least one on both sides, and {needed}"
            )
        }))
    }

    /// The indices of all rows, in an order that depends on the seed.
    fn shuffled(&self, seed: u64) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..self.rows()).collect();
        rows.sort_by_key(|&row| hash(seed, row as u64));
        rows
    }

    /// The rows that are not held out, and those that are, each in the set's order.
    fn parts(&self, held_out: Vec<usize>) -> Result<(Self, Self), Error> {
        let mut is_held_out = vec![false; self.rows()];
        held_out.into_iter().for_each(|row| is_held_out[row] = true);
        let those = |held_out: bool| (0..self.rows()).filter(|&row| is_held_out[row] == held_out).collect::<Vec<_>>();
        Ok((self.select(those(false))?, self.select(those(true))?))
    }
}

/// Whether the held-out part of this number of rows has at least one, and the rest too.
fn leaves_both(rows: f64, fraction: f64) -> bool {
    let held_out = (rows * fraction).round();
    held_out >= 1.0 && held_out < rows
}

/// The fewest rows of which a fraction between 0 and 1 leaves at least one on both sides; `None` if they are more than any set has.
fn fewest_rows(fraction: f64) -> Option<u64> {
    /// More rows than this are in no set.
    const MOST: f64 = 1e15;
    // The smaller part is at least half a row before it is rounded.
    let about = (0.5 / fraction.min(1.0 - fraction)).floor();
    let near = [about - 1.0, about, about + 1.0, about + 2.0];
    near.into_iter().find(|&rows| rows <= MOST && leaves_both(rows, fraction)).map(|rows| rows as u64)
}
