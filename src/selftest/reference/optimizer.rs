//! The optimizers in f64, one weight at a time, after the formulas of `torch.optim`'s documentation (Lion: its paper's).

use crate::optimizer::{Optimizer, Rule};

/// The values that an optimizer keeps beside a weight, named as in the formulas. A rule uses some of them.
#[derive(Clone, Default)]
pub struct OptimizerState {
    m: f64,
    v: f64,
    largest: f64,
}

/// The weight after step `t`, from 1.
pub fn step(optimizer: &Optimizer, state: &mut OptimizerState, w: f64, gradient: f64, t: i32) -> f64 {
    let (lr, decay) = (optimizer.lr, optimizer.weight_decay);
    let decoupled = matches!(optimizer.rule, Rule::AdamW { .. } | Rule::Lion { .. });
    let (w, g) = if decoupled { (w - lr * decay * w, gradient) } else { (w, gradient + decay * w) };
    let OptimizerState { m, v, largest } = state;
    let direction = match optimizer.rule {
        Rule::Sgd { momentum, nesterov } => {
            *m = if t == 1 { g } else { momentum * *m + g };
            if nesterov { g + momentum * *m } else { *m }
        }
        Rule::Adagrad { eps } => {
            *v += g * g;
            g / (v.sqrt() + eps)
        }
        Rule::Adadelta { rho, eps } => {
            *v = rho * *v + (1.0 - rho) * g * g;
            let delta = (*m + eps).sqrt() / (*v + eps).sqrt() * g;
            *m = rho * *m + (1.0 - rho) * delta * delta;
            delta
        }
        Rule::RmsProp { alpha, eps, momentum, centered } => {
            *v = alpha * *v + (1.0 - alpha) * g * g;
            *largest = alpha * *largest + (1.0 - alpha) * g;
            let spread = if centered { *v - *largest * *largest } else { *v };
            *m = momentum * *m + g / (spread.sqrt() + eps);
            *m
        }
        Rule::Adam { beta1, beta2, eps, amsgrad } | Rule::AdamW { beta1, beta2, eps, amsgrad } => {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            *largest = largest.max(*v);
            let root = (if amsgrad { *largest } else { *v } / (1.0 - beta2.powi(t))).sqrt();
            *m / (1.0 - beta1.powi(t)) / (root + eps)
        }
        Rule::NAdam { beta1, beta2, eps, momentum_decay } => {
            let momentum = |t: i32| beta1 * (1.0 - 0.5 * 0.96f64.powf(f64::from(t) * momentum_decay));
            let product: f64 = (1..=t).map(momentum).product();
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            let root = (*v / (1.0 - beta2.powi(t))).sqrt() + eps;
            let ahead = momentum(t + 1);
            ((1.0 - momentum(t)) * g / (1.0 - product) + ahead * *m / (1.0 - product * ahead)) / root
        }
        Rule::Lion { beta1, beta2 } => {
            let sign = (beta1 * *m + (1.0 - beta1) * g).signum();
            *m = beta2 * *m + (1.0 - beta2) * g;
            sign
        }
        // A user's own rule has no twin, and Muon has another one: NaN is equal to nothing.
        Rule::Muon { .. } | Rule::Custom(_) => f64::NAN,
    };
    w - lr * direction
}
