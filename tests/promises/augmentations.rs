//! Images as a network trains on them: gathered into the layout of images, cropped, flipped and cut as a twin on the host does, which draws by a hash of
//! its own; and drawn evenly.

use half::f16;
use wgrad::Augmentation;
use wgrad::gpu::Checks;
use wgrad::kernel::gather::Part;
use wgrad::kernel::{Binding, Input, Launch, gather_image};
use wgrad::layout::Image;

use crate::problem::bytes_of;
use crate::reference;
use crate::support::gpu;

const SEED: u64 = 0xfeed_5eed_0123_4567;

/// One gather: of a set of `rows` images in two parts, the minibatch of a step.
#[derive(Clone, Copy, Debug)]
struct Case {
    image: Image,
    input: Input,
    rows: u32,
    batch: u32,
    step: u32,
    scales: bool,
    augmentation: Option<Augmentation>,
    workgroup: u32,
}

impl Case {
    fn features(&self) -> usize {
        (self.image.pixels() * self.image.channels) as usize
    }

    fn stride(&self) -> usize {
        (self.features() / 4 + 1) * 4
    }

    /// The value of a feature in the set. All are exact in every type, and none is 0, as black is.
    fn raw(&self, row: usize, feature: usize) -> f32 {
        let number = (row * 131 + feature * 37) % 250 + 1;
        if self.input == Input::SetU8 {
            number as f32 * (1.0 / 255.0)
        } else {
            number as f32 / 64.0 - 2.0 - 1.0 / 256.0
        }
    }

    fn shift_and_scale(&self, feature: usize) -> [f32; 2] {
        if self.scales { [(feature % 7) as f32 / 8.0, 0.5 + (feature % 5) as f32] } else { [0.0, 1.0] }
    }

    /// The bytes of some rows, as the set lies on the device.
    fn set(&self, part: Part) -> Vec<u8> {
        let rows = part.first_row as usize..(part.first_row + part.rows) as usize;
        let places = rows.flat_map(|row| (0..self.stride()).map(move |feature| (row, feature)));
        let value = |(row, feature)| match feature {
            _ if feature < self.features() => self.raw(row, feature),
            _ if feature == self.features() => 1.0,
            _ => 0.0,
        };
        let values = places.map(value);
        match self.input {
            Input::SetU8 => values.map(|value| (value * 255.0).round() as u8).collect(),
            Input::SetF16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            _ => values.flat_map(f32::to_le_bytes).collect(),
        }
    }

    /// The step state.
    fn state(&self) -> Vec<u8> {
        let bits = u32::BITS - (self.rows - 1).leading_zeros();
        let per_epoch = self.rows.div_ceil(self.batch);
        let words = [self.step, self.rows, per_epoch, bits, SEED as u32, (SEED >> 32) as u32, 1];
        words.into_iter().chain([0; 25]).flat_map(u32::to_le_bytes).collect()
    }

    fn launch(&self, part: Part) -> Launch {
        let Case { batch, image, input, scales, augmentation, workgroup, .. } = *self;
        gather_image::launch(batch, image, input, part, scales, augmentation, workgroup)
    }

    /// What the device writes, part after part, into a buffer of NaN.
    fn gathered(&self, parts: &[Part], checks: Checks) -> Vec<f32> {
        let values = self.batch.next_multiple_of(4) * self.image.pixels() * self.image.quads() * 4;
        let mut output =
            vec![f32::NAN; values as usize].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        for &part in parts {
            let launch = self.launch(part);
            let content = |binding| match binding {
                Binding::Input => self.set(part),
                Binding::State => self.state(),
                Binding::Output => output.clone(),
                Binding::Scaling => [0, 1]
                    .into_iter()
                    .flat_map(|which| (0..self.stride()).map(move |feature| self.shift_and_scale(feature)[which]))
                    .flat_map(f32::to_le_bytes)
                    .collect(),
                other => panic!("{other:?}"),
            };
            let mut contents: Vec<Vec<u8>> = launch.bindings.iter().map(|&(binding, _)| content(binding)).collect();
            gpu().run_once(&launch, &mut contents, checks).unwrap();
            output = bytes_of(&launch, &contents, Binding::Output).to_vec();
        }
        output.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    fn whole(&self) -> Part {
        Part { first_row: 0, rows: self.rows }
    }

    /// The row of the set that a sample of the minibatch is.
    fn row_of(&self, sample: u32) -> usize {
        let per_epoch = self.rows.div_ceil(self.batch);
        let position = (self.step % per_epoch * self.batch + sample.min(self.batch - 1)).min(self.rows - 1);
        reference::row_of(position, self.rows, SEED, self.step / per_epoch) as usize
    }

    /// A sample as the device ought to write it: padded, cropped, flipped, scaled, cut, in this order.
    fn twin(&self, sample: u32) -> Vec<f32> {
        let [height, width, channels] =
            [self.image.height, self.image.width, self.image.channels].map(|size| size as usize);
        let Augmentation { crop_padding, flip, cutout } = self.augmentation.unwrap_or_default();
        let drawn = Drawn::of(self.step, sample);
        let border = crop_padding as usize;
        let row = self.row_of(sample);
        // Every pixel of the padded image: its values, and the features whose statistics scale it.
        let padded = |y: usize, x: usize, c: usize| -> (f32, usize) {
            let near = |at: usize, size: usize| at.clamp(border, border + size - 1) - border;
            let feature = (near(y, height) * width + near(x, width)) * channels + c;
            let inside = (border..border + height).contains(&y) && (border..border + width).contains(&x);
            (if inside { self.raw(row, feature) } else { 0.0 }, feature)
        };
        let [top, left] = drawn.crop.map(|word| word as usize % (2 * border + 1));
        let flipped = flip && drawn.flip % 2 == 1;
        let centre = [drawn.cut[0] as usize % height, drawn.cut[1] as usize % width];
        let side = cutout as usize;
        let is_cut = |at: usize, centre: usize| (centre..centre + side).contains(&(at + side / 2));
        let mut values = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let from = if flipped { width - 1 - x } else { x };
                for c in 0..channels.next_multiple_of(4) {
                    if c >= channels || is_cut(y, centre[0]) && is_cut(x, centre[1]) {
                        values.push(0.0);
                        continue;
                    }
                    let (value, feature) = padded(top + y, left + from, c);
                    let [shift, scale] = self.shift_and_scale(feature);
                    values.push((value - shift) * scale);
                }
            }
        }
        values
    }
}

/// The random words of a sample in a step.
struct Drawn {
    crop: [u32; 2],
    flip: u32,
    cut: [u32; 2],
}

impl Drawn {
    fn of(step: u32, sample: u32) -> Self {
        let mixed = |step: u32| lowbias32(SEED as u32 ^ lowbias32((SEED >> 32) as u32 ^ lowbias32(step)));
        let key = mixed(step ^ lowbias32(1 << 31));
        let word = |number: u32| lowbias32(lowbias32(key.wrapping_add(8 * sample + number)) ^ lowbias32(key));
        Drawn { crop: [word(0), word(1)], flip: word(2), cut: [word(3), word(4)] }
    }
}

fn lowbias32(value: u32) -> u32 {
    let shifted = |x: u32, by: u32| x ^ (x >> by);
    let first = shifted(value, 16).wrapping_mul(0x7feb_352d);
    shifted(shifted(first, 15).wrapping_mul(0x846c_a68b), 16)
}

/// Every mix of the three, and none.
fn augmentations(side: u32) -> Vec<Option<Augmentation>> {
    let of = |crop_padding, flip, cutout| Some(Augmentation { crop_padding, flip, cutout });
    vec![None, of(2, false, 0), of(0, true, 0), of(0, false, 3), of(1, true, 2), of(side, true, side)]
}

/// Finds a shift, a mirror or a square that is one pixel off or taken from another sample; padding that is not black or scaled as what it is not beside;
/// a channel of the neighbour; rows of another part that are written; images past a short minibatch that are not finite.
#[test]
fn images_are_gathered_and_augmented_as_by_the_twin() {
    let mut moved = 0;
    for (number, channels) in [1, 3, 4, 6, 8].into_iter().enumerate() {
        for input in [Input::SetU8, Input::SetF16, Input::SetF32] {
            // Of 13 rows in minibatches of 5, the last has 3.
            let image = Image { height: 5, width: 4 + number as u32 % 3, channels };
            for (at, augmentation) in augmentations(image.height.min(image.width)).into_iter().enumerate() {
                let (step, scales) = ([2, 4, 8][at % 3], (at + number).is_multiple_of(2));
                let workgroup = if at.is_multiple_of(2) { 8 } else { 64 };
                let case = Case { image, input, rows: 13, batch: 5, step, scales, augmentation, workgroup };
                let checks = if at == 4 { Checks::On } else { Checks::Off };
                let parts = [Part { first_row: 0, rows: 6 }, Part { first_row: 6, rows: 7 }];
                let tolerance = if scales && input == Input::SetU8 { 2e-6 } else { 0.0 };
                let size = (image.pixels() * image.quads() * 4) as usize;
                let both = case.gathered(&parts, checks);
                let second = case.gathered(&parts[1..], checks);
                assert_eq!(both.len(), 8 * size);
                for sample in 0..8 {
                    let twin = case.twin(sample);
                    let [all, only] = [&both, &second].map(|out| &out[sample as usize * size..][..size]);
                    for (at, (&out, &expected)) in all.iter().zip(&twin).enumerate() {
                        assert!(
                            (out - expected).abs() <= tolerance,
                            "{case:?}, {sample} at {at}: {out}, not {expected}"
                        );
                    }
                    let is_in_second = case.row_of(sample) >= 6;
                    assert!(only.iter().all(|value| value.is_nan() != is_in_second), "{case:?}, {sample}");
                    moved += usize::from(twin != Case { augmentation: None, ..case }.twin(sample));
                }
            }
        }
    }
    assert!(moved > 300, "augmentation moves most images: {moved}");
}

/// A chi-square of counts that ought to be equal, in standard deviations above its mean.
fn unevenness(counts: &[u32]) -> f64 {
    let mean = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    let chi: f64 = counts.iter().map(|&count| (f64::from(count) - mean).powi(2) / mean).sum();
    let freedom = counts.len() as f64 - 1.0;
    (chi - freedom) / (2.0 * freedom).sqrt()
}

/// Finds shifts that never reach an edge of the padding, a flip of none or all, centres that keep to the middle; numbers that depend on each other, on the
/// sample beside, or on the step before. What was drawn is read off the pixels.
#[test]
fn shifts_flips_and_centres_are_drawn_evenly() {
    let image = Image { height: 6, width: 5, channels: 1 };
    let none = Augmentation::default();
    let case = |step, augmentation| Case {
        image,
        input: Input::SetF32,
        rows: 256,
        batch: 256,
        step,
        scales: false,
        augmentation: Some(augmentation),
        workgroup: 64,
    };
    let (mut places, mut centres) = (vec![0; 50], vec![0; 30]);
    let (mut across, mut beside, mut between) = (vec![0; 25 * 6], vec![0; 100], vec![0; 100]);
    let mut before: Vec<usize> = vec![];
    for step in 0..40 {
        let moving = case(step, Augmentation { crop_padding: 2, flip: true, ..none });
        let cutting = case(step, Augmentation { cutout: 1, ..none });
        let (moved, cut) =
            (moving.gathered(&[moving.whole()], Checks::Off), cutting.gathered(&[cutting.whole()], Checks::Off));
        let mut drawn = vec![];
        for sample in 0..256 {
            let row = moving.row_of(sample);
            let pixel = |out: &[f32], y: usize, x: usize| out[(sample as usize * 30 + y * 5 + x) * 4];
            // The pixel in the middle comes from the image at any shift. The one left of it is the image's one left of that, or right of it.
            let is_at = |&at: &usize| pixel(&moved, 2, 2) == moving.raw(row, at);
            let at = (0..25).find(is_at).expect("a pixel of the image");
            let left = pixel(&moved, 2, 1);
            let flipped = if at % 5 == 4 { left == 0.0 } else { left == moving.raw(row, at + 1) };
            let place = 2 * at + usize::from(flipped);
            let centre = (0..30).find(|&at| pixel(&cut, at / 5, at % 5) == 0.0).expect("a pixel that is cut");
            places[place] += 1;
            centres[centre] += 1;
            across[at * 6 + centre / 5] += 1;
            drawn.push(place);
        }
        let few = |place: usize| place / 10 * 2 + place % 2;
        drawn.windows(2).for_each(|two| beside[few(two[0]) * 10 + few(two[1])] += 1);
        before.iter().zip(&drawn).for_each(|(&old, &new)| between[few(old) * 10 + few(new)] += 1);
        before = drawn;
    }
    let counted =
        [("shifts and flips", places), ("centres", centres), ("both", across), ("beside", beside), ("steps", between)];
    for (what, counts) in counted {
        let found = unevenness(&counts);
        assert!(found < 4.0, "{what}: {found} standard deviations above even, {counts:?}");
    }
}
