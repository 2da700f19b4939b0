//! The live screen: observes the run, and draws ten times a second at most.

use std::time::{Duration, Instant};

use super::course::Course;
use super::known::Known;
use super::terminal::{self, Cursor};
use super::{lines, picture};
use crate::cli::observers::Observer;
use crate::error::Error;
use crate::history::Event;

const BETWEEN_FRAMES: Duration = Duration::from_millis(100);
/// Draws what it observes.
pub(super) struct Live {
    known: Known,
    /// Lines that go above the picture in the next frame.
    lines: Vec<String>,
    drawn: Option<Instant>,
    colours: bool,
    /// Whether the terminal is gone.
    failed: bool,
}

impl Live {
    pub fn new(course: Course) -> Self {
        Live {
            known: Known::new(course),
            lines: Vec::new(),
            drawn: None,
            colours: terminal::has_colours(),
            failed: false,
        }
    }

    fn draw(&mut self, cursor: Cursor) -> Result<(), Error> {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let picture = match cursor {
            Cursor::Above => picture::live(&self.known, columns - 1, rows - 1),
            Cursor::Below => picture::left_behind(&self.known, columns - 1, rows - 1),
        };
        let lines = std::mem::take(&mut self.lines);
        self.drawn = Some(Instant::now());
        let outcome = terminal::draw(&lines, &picture, self.colours, cursor);
        self.failed = outcome.is_err();
        outcome
    }
}

impl Observer for Live {
    fn observe(&mut self, event: &Event) -> Result<(), Error> {
        match event {
            &Event::Tuning { kernel, at, of } => self.known.tuning = Some((kernel, at, of)),
            &Event::Tuned { kinds, seconds } => {
                self.known.tuning = None;
                self.lines.push(lines::tuned(kinds, seconds));
            }
            &Event::DeviceReplaced { reason, step, times, of } => {
                self.known.go_back(step);
                self.lines.push(lines::device_replaced(reason, step, times, of));
            }
            &Event::RateLowered { reason, step, learning_rate, times, of } => {
                self.known.go_back(step);
                self.lines.push(lines::rate_lowered(reason, step, learning_rate, times, of));
            }
            Event::Progress(progress) => self.known.take_progress(progress),
            Event::Parameters(_) => {}
            Event::Epoch(epoch) => {
                self.known.take_epoch(epoch);
                let columns = terminal::size().map_or(80, |(columns, _)| columns);
                self.lines.push(lines::line_within(epoch, &self.known.course, usize::from(columns) - 1));
            }
        }
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= BETWEEN_FRAMES) { self.draw(Cursor::Above) } else { Ok(()) }
    }
}

impl Drop for Live {
    /// Leaves the curves in the terminal, and the cursor below them.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The error was written where the picture began.
            terminal::clear_below();
        } else if !self.failed && (self.drawn.is_some() || !self.lines.is_empty()) {
            // A terminal that is gone cannot show an error.
            _ = self.draw(Cursor::Below);
        }
    }
}
