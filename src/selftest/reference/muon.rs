//! Muon in f64, after `torch.optim.Muon`: matrices `[out, in]`, transposed where they have more rows than columns.

/// A matrix, row-major.
#[derive(Clone)]
pub struct Matrix {
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub columns: usize,
    /// The values, row after row.
    pub values: Vec<f64>,
}

impl Matrix {
    /// The transposed matrix.
    pub fn transposed(&self) -> Matrix {
        let value = |at: usize| self.values[at % self.rows * self.columns + at / self.rows];
        Matrix { rows: self.columns, columns: self.rows, values: (0..self.values.len()).map(value).collect() }
    }

    /// `a·self + b·left·right`
    fn add_product(&self, a: f64, b: f64, left: &Matrix, right: &Matrix) -> Matrix {
        let dot = |row: usize, column: usize| -> f64 {
            (0..left.columns)
                .map(|k| left.values[row * left.columns + k] * right.values[k * right.columns + column])
                .sum()
        };
        let value = |at: usize| a * self.values[at] + b * dot(at / self.columns, at % self.columns);
        Matrix { values: (0..self.values.len()).map(value).collect(), ..*self }
    }

    fn norm(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum::<f64>().sqrt()
    }
}

/// `zeropower_via_newtonschulz` of an update `[out, in]`.
pub fn orthogonalized(update: &Matrix, eps: f64, steps: usize) -> Matrix {
    let (a, b, c) = (3.4445, -4.7750, 2.0315);
    let tall = update.rows > update.columns;
    let mut x = if tall { update.transposed() } else { update.clone() };
    let norm = x.norm().max(eps);
    x.values.iter_mut().for_each(|value| *value /= norm);
    for _ in 0..steps {
        let zero = Matrix { rows: x.rows, columns: x.rows, values: vec![0.0; x.rows * x.rows] };
        let gram = zero.add_product(0.0, 1.0, &x, &x.transposed());
        let polynomial = gram.add_product(b, c, &gram, &gram);
        x = x.add_product(a, 1.0, &polynomial, &x);
    }
    if tall { x.transposed() } else { x }
}

/// The factor of the learning rate for a matrix `[out, in]`.
pub fn adjustment(matrix: &Matrix, match_rms_adamw: bool) -> f64 {
    let (outputs, inputs) = (matrix.rows as f64, matrix.columns as f64);
    if match_rms_adamw { 0.2 * outputs.max(inputs).sqrt() } else { (outputs / inputs).max(1.0).sqrt() }
}
