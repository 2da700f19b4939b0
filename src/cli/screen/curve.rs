//! A curve of any length in a bounded number of points.

/// The most points: more than a terminal has columns of dots.
const MOST: usize = 2048;

/// Points by their position in the run, in epochs.
#[derive(Default)]
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    /// The number of values that become one point; and the count and the sum of those for the next point.
    each: u64,
    next: (u64, f64),
}

impl Curve {
    /// Adds a value. When there are too many points, each pair becomes its mean.
    pub fn push(&mut self, at: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let (count, sum) = (self.next.0 + 1, self.next.1 + value);
        if count < self.each.max(1) {
            self.next = (count, sum);
            return;
        }
        self.points.push((at, sum / count as f64));
        self.next = (0, 0.0);
        if self.points.len() == MOST {
            self.points = self.points.chunks_exact(2).map(|pair| (pair[1].0, (pair[0].1 + pair[1].1) / 2.0)).collect();
            self.each = 2 * self.each.max(1);
        }
    }

    /// Forgets the points after a position.
    pub fn forget_after(&mut self, place: f64) {
        self.points.retain(|&(at, _)| at <= place);
        self.next = (0, 0.0);
    }

    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    pub fn values(&self) -> impl Iterator<Item = f64> + Clone {
        self.points.iter().map(|&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a curve of a run of days that takes more and more memory, or has another shape than the run's.
    #[test]
    fn a_long_curve_keeps_its_shape_and_its_size() {
        let mut curve = Curve::default();
        for at in 1..=1_000_000 {
            curve.push(f64::from(at), f64::from(at));
        }
        let points = curve.points();
        assert!((MOST / 2..MOST).contains(&points.len()), "{}", points.len());
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(points.iter().all(|(at, value)| (at - value).abs() <= 1024.0 && at >= value));
        assert!(points.last().is_some_and(|last| last.0 > 998_000.0));
        curve.push(2e6, f64::NAN);
        assert!(curve.values().all(f64::is_finite));
    }
}
