//! What a person sees while training goes on: curves that grow, or a line an epoch.

mod curve;
mod lines;
mod live;
mod picture;
mod terminal;

use std::str::FromStr;

use super::output::Output;
use super::watchers::Watcher;
use crate::Error;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    Live,
    Lines,
    None,
}

impl FromStr for Screen {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "live" => Ok(Screen::Live),
            "lines" => Ok(Screen::Lines),
            "none" => Ok(Screen::None),
            _ => Err(Error::Option(format!("\"{word}\" is no screen: there are live, lines and none"))),
        }
    }
}

/// What is known of a run before it begins.
#[derive(Clone, Copy)]
pub(super) struct Course {
    pub epochs: u64,
    /// Of all of them.
    pub steps: u64,
    pub batch_size: usize,
    pub device_bytes: u64,
}

/// Who shows the run. Where stdout is no terminal that the curves could be drawn on, there are lines, and under `--json` its own.
pub(super) fn watcher(asked: Option<Screen>, output: &Output, course: Course) -> Option<Box<dyn Watcher>> {
    match asked.unwrap_or(Screen::Live) {
        Screen::None if !output.json => None,
        Screen::Live if !output.json && terminal::can_draw() => Some(Box::new(live::Live::new(course))),
        _ => Some(Box::new(lines::Lines { output: *output, epochs: course.epochs })),
    }
}
