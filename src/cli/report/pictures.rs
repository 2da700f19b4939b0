//! Pictures as PNG, and as addresses that have their picture in them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::Error;
use crate::network::{Parameter, ParameterKind};
use crate::preprocessing::ImageShape;
use crate::weights::LayerWeights;

/// The most units whose weights are shown, and the most pixels of all of them: a page has to stay small.
const MOST_TILES: usize = 64;
const MOST_PIXELS: usize = 1 << 18;
/// The most pixels of a row's image on a side.
const MOST_ON_A_SIDE: usize = 128;
/// The same of a channel that a convolution makes.
const MOST_OF_TILE: usize = 64;
/// Pixels between tiles.
const GAP: usize = 1;

/// An image whose pixels have one byte for each channel: 1 for grey, 3 for RGB, 4 for RGB and opacity.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub bytes: Vec<u8>,
}

impl Picture {
    /// A row of features as an image: values in `[0, 1]` as they are, others scaled from the least to the largest. Pixels of a large image are
    /// averaged.
    pub fn of_row(shape: ImageShape, features: &[f32]) -> Self {
        let fold = |of: fn(f32, f32) -> f32, first| features.iter().copied().fold(first, of);
        let (least, most) = (fold(f32::min, 0.0), fold(f32::max, 1.0));
        let (small, values) = averaged(shape, features, MOST_ON_A_SIDE);
        let bytes = values.iter().map(|&value| grey(value, [least, most])).collect();
        Picture { width: small.width, height: small.height, channels: small.channels, bytes }
    }

    /// The first channels of an image, each a grey tile: `range` from black to white. Besides, how many there are, at most `pixels` of all tiles together, but one
    /// tile at least. Pixels of a large image are averaged.
    pub fn of_channels(shape: ImageShape, values: &[f32], range: [f32; 2], pixels: usize) -> (Self, usize) {
        let (small, values) = averaged(shape, values, MOST_OF_TILE);
        let most = (pixels / (small.height * small.width)).clamp(1, MOST_TILES);
        let tiles: Vec<Vec<[u8; 3]>> = (0..small.channels.min(most))
            .map(|channel| values[channel..].iter().step_by(small.channels).map(|&v| [grey(v, range); 3]).collect())
            .collect();
        (Picture::of_tiles(small.width, small.height, &tiles), tiles.len())
    }

    /// Tiles of this size side by side, in a grid that is about as wide as it is high.
    fn of_tiles(width: usize, height: usize, tiles: &[Vec<[u8; 3]>]) -> Self {
        let across = (tiles.len() as f64).sqrt().ceil() as usize;
        let down = tiles.len().div_ceil(across);
        let (wide, high) = (width + GAP, height + GAP);
        let mut picture = Picture::clear(across * wide - GAP, down * high - GAP);
        for (place, tile) in tiles.iter().enumerate() {
            let (left, top) = (place % across * wide, place / across * high);
            for (at, &color) in tile.iter().enumerate() {
                picture.set(left + at % width, top + at / width, color);
            }
        }
        picture
    }

    pub fn png(&self) -> Result<Vec<u8>, Error> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(match self.channels {
            1 => png::ColorType::Grayscale,
            3 => png::ColorType::Rgb,
            _ => png::ColorType::Rgba,
        });
        let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&self.bytes));
        written.map_err(|error| Error::Option(format!("a picture cannot be encoded: {error}")))?;
        Ok(file)
    }

    /// `data:image/png;base64,…`
    pub fn address(&self) -> Result<String, Error> {
        Ok(format!("data:image/png;base64,{}", STANDARD.encode(self.png()?)))
    }

    /// A transparent picture.
    fn clear(width: usize, height: usize) -> Self {
        Picture { width, height, channels: 4, bytes: vec![0; 4 * width * height] }
    }

    fn set(&mut self, x: usize, y: usize, [red, green, blue]: [u8; 3]) {
        let at = 4 * (y * self.width + x);
        self.bytes[at..at + 4].copy_from_slice(&[red, green, blue, 255]);
    }
}

/// The grey of a value, from black to white.
fn grey(value: f32, [least, most]: [f32; 2]) -> u8 {
    (255.0 * (value - least) / (most - least).max(f32::MIN_POSITIVE)).round() as u8
}

/// An image whose sides have at most this many pixels: each the mean of a square of its pixels.
fn averaged(shape: ImageShape, values: &[f32], most: usize) -> (ImageShape, Vec<f32>) {
    let ImageShape { height, width, channels } = shape;
    let each = height.max(width).div_ceil(most);
    let (high, wide) = (height.div_ceil(each), width.div_ceil(each));
    let mean = |at: usize| {
        let (y, x, channel) = (at / channels / wide * each, at / channels % wide * each, at % channels);
        let rows = y..(y + each).min(height);
        let pixels = rows.flat_map(|y| (x..(x + each).min(width)).map(move |x| (y * width + x) * channels + channel));
        let (sum, count) = pixels.fold((0.0, 0.0), |(sum, count), at| (sum + values[at], count + 1.0));
        sum / count
    };
    let values = (0..high * wide * channels).map(mean).collect();
    (ImageShape { height: high, width: wide, channels }, values)
}

/// The weights of the units with the largest weights, each a tile of the input's shape, and the number of tiles. Weights of grey inputs are
/// blue if negative, red if positive; those of colored inputs are in these channels, around grey.
fn tiles(shape: ImageShape, layer: &LayerWeights) -> (Picture, usize) {
    let mut units: Vec<&[f32]> = layer.weight.chunks_exact(layer.inputs).collect();
    let norm = |unit: &[f32]| unit.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
    units.sort_by(|a, b| norm(b).total_cmp(&norm(a)));
    units.truncate((MOST_PIXELS / (shape.width * shape.height)).clamp(1, MOST_TILES));
    let tile = |unit: &&[f32]| -> Vec<[u8; 3]> {
        let largest = unit.iter().fold(f32::MIN_POSITIVE, |largest, w| largest.max(w.abs()));
        let color = |pixel: &[f32]| match *pixel {
            [red, green, blue] => [red, green, blue].map(|w| (127.5 + 127.5 * w / largest) as u8),
            _ => diverging(pixel[0] / largest),
        };
        unit.chunks_exact(shape.channels).map(color).collect()
    };
    let tiles: Vec<Vec<[u8; 3]>> = units.iter().map(tile).collect();
    (Picture::of_tiles(shape.width, shape.height, &tiles), tiles.len())
}

/// The number of the parameter whose weights are shown: that of the first convolution, or else of the first dense layer.
pub fn first_seen(parameters: &[Parameter]) -> usize {
    let first = |is_it: fn(ParameterKind) -> bool| parameters.iter().position(|parameter| is_it(parameter.kind));
    let conv = first(|kind| matches!(kind, ParameterKind::Kernel { .. }));
    conv.or_else(|| first(|kind| kind == ParameterKind::Matrix)).unwrap_or(0)
}

/// The weights that [`first_seen`] chooses as tiles, and the number of tiles: the filters of a convolution, or weights in the shape of an image, where a
/// dense layer sees one.
pub fn first_weights(image: Option<ImageShape>, parameter: &Parameter, own: &LayerWeights) -> Option<(Picture, usize)> {
    match (parameter.kind, image) {
        (ParameterKind::Kernel { size: [height, width] }, _) => {
            let channels = own.inputs / (height * width);
            let shape = ImageShape { height, width, channels: if channels == 3 { 3 } else { 1 } };
            // In files a filter lies channel by channel; a picture has a pixel's channels side by side, and one of other channels shows their mean.
            let pixels = height * width;
            let pixel = |filter: &[f32], at: usize| -> Vec<f32> {
                let channels: Vec<f32> = (0..channels).map(|channel| filter[channel * pixels + at]).collect();
                if shape.channels == 3 { channels } else { vec![channels.iter().sum::<f32>() / channels.len() as f32] }
            };
            let filters = own.weight.chunks_exact(own.inputs);
            let weight = filters.flat_map(|filter| (0..pixels).flat_map(move |at| pixel(filter, at))).collect();
            let inputs = pixels * shape.channels;
            Some(tiles(shape, &LayerWeights::new(inputs, own.outputs, weight, vec![])))
        }
        (ParameterKind::Matrix, Some(shape)) if own.inputs == shape.height * shape.width * shape.channels => {
            Some(tiles(shape, own))
        }
        _ => None,
    }
}

/// A confusion matrix with a pixel for each cell, by the share of its row.
pub fn matrix(counts: &[u64], classes: usize) -> Picture {
    let mut picture = Picture::clear(classes, classes);
    for (y, row) in counts.chunks_exact(classes).enumerate() {
        let all = row.iter().sum::<u64>().max(1) as f64;
        for (x, &count) in row.iter().enumerate() {
            // The square root, so that a few mistakes can be seen.
            let share = (count as f64 / all).sqrt();
            picture.set(x, y, mix([246, 248, 250], if x == y { [9, 105, 218] } else { [207, 34, 46] }, share));
        }
    }
    picture
}

/// The color of a value from −1 (blue) over 0 (white) to 1 (red).
fn diverging(value: f32) -> [u8; 3] {
    let end = if value < 0.0 { [5, 80, 174] } else { [180, 20, 30] };
    mix([247, 247, 247], end, value.abs().into())
}

fn mix(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    std::array::from_fn(|at| (f64::from(from[at]) * (1.0 - share) + f64::from(to[at]) * share).round() as u8)
}
