//! Event files for [TensorBoard](https://www.tensorflow.org/tensorboard): scalars, histograms and images.
// Event files hold wall-clock times.
#![allow(clippy::disallowed_types)]

mod proto;
pub(crate) mod record;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;

use crate::error::Error;
use proto::{Event, Histogram, Image, SessionLog, Summary, Value, event, value};

/// The number of bars in a histogram, all of the same width.
const BARS: usize = 64;

/// An event file, which TensorBoard reads while it grows.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let mut file = wgrad::tensorboard::EventFile::create(folder.path())?;
/// file.scalar("loss", 1, 2.3)?;
/// file.flush()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// Creates a file in a folder, which is created if it is missing. Files of earlier runs stay; TensorBoard shows all files of a folder as one run.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn create(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let now = now();
        // TensorBoard reads the files of a folder in the order of their names.
        let name = format!("{:010}.{:09}.{}", now.as_secs(), now.subsec_nanos(), std::process::id());
        let path = folder.join(format!("events.out.tfevents.{name}.wgrad"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(Error::io(&path))?;
        let mut file = EventFile { path, file: BufWriter::new(file) };
        file.write(0, event::What::FileVersion("brain.Event:2".into()))?;
        Ok(file)
    }

    /// Makes readers discard everything of this step or a later one that was written to the folder before: a resumed run writes it again.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn forget_from(&mut self, step: u64) -> Result<(), Error> {
        self.write(step, event::What::SessionLog(SessionLog { status: proto::START }))
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a number for a step.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn scalar(&mut self, tag: &str, step: u64, number: f64) -> Result<(), Error> {
        self.summary(tag, step, value::Value::Simple(number as f32))
    }

    /// Writes a histogram of the finite values among `values`; nothing if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f32]) -> Result<(), Error> {
        match histogram(values) {
            Some(histogram) => self.summary(tag, step, value::Value::Histogram(histogram)),
            None => Ok(()),
        }
    }

    /// Writes an image of `size`, `[height, width]` pixels, given as the bytes of a PNG file. `channels` is 1 for grey, 3 for RGB, 4 for RGBA.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn png(&mut self, tag: &str, step: u64, size: [usize; 2], channels: usize, png: Vec<u8>) -> Result<(), Error> {
        let [height, width] = size.map(|side| side as i32);
        self.summary(tag, step, value::Value::Image(Image { height, width, colorspace: channels as i32, encoded: png }))
    }

    /// Flushes what was written to the operating system, so that others can read it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(Error::io(&self.path))
    }

    fn summary(&mut self, tag: &str, step: u64, value: value::Value) -> Result<(), Error> {
        let value = Value { tag: tag.into(), value: Some(value) };
        self.write(step, event::What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: event::What) -> Result<(), Error> {
        let event = Event { wall_time: now().as_secs_f64(), step: step as i64, what: Some(what) };
        record::write(&mut self.file, &event.encode_to_vec()).map_err(Error::io(&self.path))
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn histogram(values: &[f32]) -> Option<Histogram> {
    // One pass for the sums and the range, and one for the bars, which depend on the range: training waits for this.
    let finite = || values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    let mut found = Histogram { min: f64::INFINITY, max: f64::NEG_INFINITY, ..Histogram::default() };
    for value in finite() {
        (found.min, found.max) = (found.min.min(value), found.max.max(value));
        found.num += 1.0;
        found.sum += value;
        found.sum_squares += value * value;
    }
    if found.num == 0.0 {
        return None;
    }
    let bars = if found.min < found.max { BARS } else { 1 };
    let width = (found.max - found.min) / bars as f64;
    found.bucket = vec![0.0; bars];
    for value in finite() {
        // With one bar of width 0, 0 / 0 becomes index 0.
        found.bucket[(((value - found.min) / width) as usize).min(bars - 1)] += 1.0;
    }
    let end = |bar| if bar == bars { found.max } else { found.min + width * bar as f64 };
    found.bucket_limit = (1..=bars).map(end).collect();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::histogram;

    /// Finds a value in the wrong bar, at the ends above all, or one that is lost: the counts were made by hand.
    #[test]
    fn histograms_count_every_finite_value() {
        let values: Vec<f32> = (0..=64).map(|value| value as f32 / 64.0).chain([f32::NAN, f32::INFINITY]).collect();
        let found = histogram(&values).unwrap();
        // 65 values over 64 bars: the last one has both 63/64 and 1.
        assert_eq!(found.bucket, [vec![1.0; 63], vec![2.0]].concat());
        assert_eq!((found.min, found.max, found.num, found.sum), (0.0, 1.0, 65.0, 32.5));
        assert_eq!((found.bucket_limit[0], found.bucket_limit[63]), (1.0 / 64.0, 1.0));
        assert!(
            (found.sum_squares - (1..=64).map(|value| f64::from(value * value)).sum::<f64>() / 4096.0).abs() < 1e-12
        );
        let alike = histogram(&[-2.0; 5]).unwrap();
        assert_eq!((alike.bucket, alike.bucket_limit), (vec![5.0], vec![-2.0]));
        assert_eq!(histogram(&[f32::NAN]), None);
    }
}
