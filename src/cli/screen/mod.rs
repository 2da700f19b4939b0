//! What a person sees while training goes on: curves that grow, or a line an epoch.

mod course;
mod curve;
mod known;
mod lines;
mod live;
mod picture;
mod terminal;

pub(super) use course::{Course, length};

use super::observers::Observer;
use super::options::Screen;
use super::output::Output;

/// The observer that shows the run: curves if stdout is a terminal that can show them, or else lines; under `--json`, lines of JSON.
pub(super) fn observer(asked: Option<Screen>, output: &Output, course: Course) -> Option<Box<dyn Observer>> {
    match asked.unwrap_or(Screen::Live) {
        Screen::None if !output.json => None,
        Screen::Live if !output.json && terminal::can_draw() => Some(Box::new(live::Live::new(course))),
        _ => Some(Box::new(lines::Lines { output: *output, course })),
    }
}
