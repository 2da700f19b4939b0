//! The f64 twins: the computation of every kernel, in plain loops over unpadded row-major slices, with the same names and arguments.

pub mod interpreter;
pub mod loss;
pub mod muon;
pub mod network;
mod norm;
pub mod optimizer;
mod sliding;
mod tokens;

/// `y = activate(x·W + b)`: x `[batch, inputs]`, weights `[inputs, outputs]`.
pub fn dense_forward(x: &[f64], weights: &[f64], bias: &[f64], relu: bool) -> Vec<f64> {
    let outputs = bias.len();
    let inputs = weights.len() / outputs;
    x.chunks_exact(inputs)
        .flat_map(|row| {
            (0..outputs).map(move |o| {
                let z = bias[o] + (0..inputs).map(|i| row[i] * weights[i * outputs + o]).sum::<f64>();
                if relu { z.max(0.0) } else { z }
            })
        })
        .collect()
}

/// `dx = (dy·Wᵀ) ⊙ activate′(x)`
pub fn dense_backward(dy: &[f64], weights: &[f64], x: &[f64], outputs: usize, relu: bool) -> Vec<f64> {
    let inputs = weights.len() / outputs;
    x.iter()
        .enumerate()
        .map(|(at, &x)| {
            let (row, i) = (at / inputs, at % inputs);
            let d: f64 = (0..outputs).map(|o| dy[row * outputs + o] * weights[i * outputs + o]).sum();
            if relu && x <= 0.0 { 0.0 } else { d }
        })
        .collect()
}

/// `dW = xᵀ·dy` `[inputs, outputs]` and `db = Σ dy` `[outputs]`.
pub fn dense_gradient(x: &[f64], dy: &[f64], batch: usize) -> (Vec<f64>, Vec<f64>) {
    let (inputs, outputs) = (x.len() / batch, dy.len() / batch);
    let dot = |i: usize, o: usize| (0..batch).map(|row| x[row * inputs + i] * dy[row * outputs + o]).sum();
    let weights = (0..inputs * outputs).map(|at| dot(at / outputs, at % outputs)).collect();
    let bias = (0..outputs).map(|o| (0..batch).map(|row| dy[row * outputs + o]).sum()).collect();
    (weights, bias)
}

/// Loss and correctness of every row, and the gradient of their mean over `rows`.
pub fn softmax_cross_entropy(logits: &[f64], labels: &[usize], rows: usize) -> (Vec<f64>, Vec<bool>, Vec<f64>) {
    let classes = logits.len() / labels.len();
    let (mut losses, mut correct, mut gradient) = (Vec::new(), Vec::new(), Vec::new());
    for (z, &label) in logits.chunks_exact(classes).zip(labels) {
        let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = z.iter().map(|z| (z - largest).exp()).sum();
        losses.push(largest + sum.ln() - z[label]);
        correct.push(z.iter().position(|&z| z == largest) == Some(label));
        let p = |c: usize| (z[c] - largest).exp() / sum;
        gradient.extend((0..classes).map(|c| (p(c) - f64::from(u8::from(c == label))) / rows as f64));
    }
    (losses, correct, gradient)
}

/// `torch.optim.SGD`
pub fn sgd(w: f64, g: f64, lr: f64) -> f64 {
    w - lr * g
}

/// `torch.optim.Adam` in step `t`, from 1.
pub struct Adam {
    /// η
    pub lr: f64,
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
    /// ε
    pub eps: f64,
}

impl Adam {
    /// The weight and both moments after the step.
    pub fn step(&self, w: f64, g: f64, m: f64, v: f64, t: i32) -> [f64; 3] {
        let m = self.beta1 * m + (1.0 - self.beta1) * g;
        let v = self.beta2 * v + (1.0 - self.beta2) * g * g;
        let (m_hat, v_hat) = (m / (1.0 - self.beta1.powi(t)), v / (1.0 - self.beta2.powi(t)));
        [w - self.lr * m_hat / (v_hat.sqrt() + self.eps), m, v]
    }
}

/// Wellons' lowbias32.
fn hash(value: u32) -> u32 {
    let x = (value ^ (value >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The factor of a unit under dropout, by the hash of `dropout.wesl`.
pub fn dropout_mask(seed: u64, step: u32, layer: usize, place: usize, unit: usize, units: usize, rate: f64) -> f64 {
    let key = hash(seed as u32 ^ hash((seed >> 32) as u32 ^ hash(step ^ hash(layer as u32))));
    let index = (place * units.next_multiple_of(4) + unit) as u32;
    let random = hash(hash(index.wrapping_add(key)) ^ hash(key));
    if f64::from(random) < rate * 2f64.powi(32) { 0.0 } else { 1.0 / (1.0 - rate) }
}

/// The row at a position of an epoch: the keyed bijection of `order.wesl`.
pub fn row_of(position: u32, rows: u32, seed: u64, epoch: u32) -> u32 {
    let bits = (0..32).find(|&bits| 1u64 << bits >= u64::from(rows)).unwrap_or(32);
    let (low_bits, high_bits) = (bits / 2, bits - bits / 2);
    let key = hash(seed as u32 ^ hash((seed >> 32) as u32 ^ hash(epoch)));
    let mut row = position;
    loop {
        let (mut low, mut high) = (row % (1 << low_bits), row >> low_bits);
        for round in 0..8u32 {
            let mixed = |half: u32| hash(half ^ hash(key.wrapping_add(round)));
            if round % 2 == 0 {
                low ^= mixed(high) % (1 << low_bits);
            } else {
                high ^= mixed(low) % (1 << high_bits);
            }
        }
        row = (high << low_bits) | low;
        if row < rows {
            return row;
        }
    }
}
