//! What networks of tokens compute in f64, after PyTorch's documentation.

use super::network::Layer;
use crate::graph::{Attention, Embed};

/// `torch.nn.functional.embedding`: tokens are whole numbers, and the table's rows are the inputs of its layer.
pub fn embedding(tokens: &[f64], width: usize, own: &Layer) -> Vec<f64> {
    tokens.iter().flat_map(|&token| own.weights[token as usize * width..][..width].iter().copied()).collect()
}

/// `torch.cat([numbers, embedding(x[:, f]), …], 1)` of rows of `features` features.
pub fn embed(of: &Embed, x: &[f64], features: usize, tables: &[&Layer]) -> Vec<f64> {
    let is_number = |feature: &usize| of.columns.iter().all(|column| column.feature as usize != *feature);
    let of_row = |row: &[f64]| -> Vec<f64> {
        let mut values: Vec<f64> = (0..features).filter(is_number).map(|feature| row[feature]).collect();
        for (column, table) in of.columns.iter().zip(tables) {
            let width = table.weights.len() / column.vocabulary as usize;
            values.extend(embedding(&[row[column.feature as usize]], width, table));
        }
        values
    };
    x.chunks_exact(features).flat_map(of_row).collect()
}

/// `x·Wᵀ` with an embedding's table, whose rows have `width` values.
pub fn tied(x: &[f64], width: usize, own: &Layer) -> Vec<f64> {
    let dot = |x: &[f64], row: &[f64]| x.iter().zip(row).map(|(x, w)| x * w).sum::<f64>();
    x.chunks_exact(width).flat_map(|x| own.weights.chunks_exact(width).map(move |row| dot(x, row))).collect()
}

/// A vector for each place, added.
pub fn positions(x: &[f64], places: usize, width: usize, own: &Layer) -> Vec<f64> {
    x.iter().enumerate().map(|(at, x)| x + own.weights[at / width % places * width + at % width]).collect()
}

/// `torch.nn.functional.scaled_dot_product_attention` of every head, from rows of queries, keys and values side by side: y and, where it trains, the logarithm
/// of each row's sum of exponentials. `factor` is that of a weight under dropout: of a row of the matrix of weights, counted over minibatch, heads and places,
/// of a column, of a number of columns.
pub fn attention(
    of: Attention,
    x: &[f64],
    places: usize,
    width: usize,
    factor: &dyn Fn(usize, usize, usize) -> f64,
) -> Vec<Vec<f64>> {
    let heads = of.heads as usize;
    let own = width / heads;
    let rows = x.len() / (3 * width);
    let part = |row: usize, which: usize, head: usize| &x[row * 3 * width + which * width + head * own..][..own];
    let (mut y, mut logarithms) = (vec![0.0; rows * width], vec![0.0; rows * heads]);
    for row in 0..rows {
        let (sample, place) = (row / places, row % places);
        for head in 0..heads {
            let seen = if of.causal { place + 1 } else { places };
            let score = |key: usize| {
                let (q, k) = (part(row, 0, head), part(sample * places + key, 1, head));
                q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (own as f64).sqrt()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let logarithm = largest + scores.iter().map(|score| (score - largest).exp()).sum::<f64>().ln();
            logarithms[row * heads + head] = logarithm;
            for (key, score) in scores.iter().enumerate() {
                let matrix_row = (sample * heads + head) * places + place;
                let weight = (score - logarithm).exp() * factor(matrix_row, key, places);
                for (at, v) in part(sample * places + key, 2, head).iter().enumerate() {
                    y[row * width + head * own + at] += weight * v;
                }
            }
        }
    }
    [y].into_iter().chain(of.trains.then_some(logarithms)).collect()
}
