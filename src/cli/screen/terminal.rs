//! A picture at the bottom of the terminal, below lines that scroll away.
//!
//! The cursor waits in the picture's first column and row, and stays visible: no signal, crash or kill leaves a terminal without one. All
//! moves are relative to it, and each frame clears what is below: so nothing is asked of the terminal, no mode of it is changed, and a
//! resize, a warning on stderr or a key pressed shift the picture and do not break it. No row reaches the last column, where terminals
//! differ.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use ratatui_core::buffer::Buffer;
use ratatui_core::style::{Color, Modifier};

use crate::error::Error;

/// Whether stdout is a terminal that knows how to move its cursor, and has a size.
pub(super) fn can_draw() -> bool {
    std::io::stdout().is_terminal()
        && (cfg!(windows) || anstyle_query::term_supports_color())
        && anstyle_query::windows::enable_ansi_colors() != Some(false)
        && size().is_some()
}

/// Whether to use colours: see <https://no-color.org>.
pub(super) fn has_colours() -> bool {
    !anstyle_query::no_color()
}

/// The current numbers of columns and rows.
pub(super) fn size() -> Option<(u16, u16)> {
    terminal_size::terminal_size()
        .map(|(width, height)| (width.0, height.0))
        .filter(|&(width, height)| width > 1 && height > 1)
}

/// The position of the cursor after a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    /// In the picture's first row, to draw over it.
    Above,
    /// Below it, to leave it there.
    Below,
}

/// Writes lines above the picture, and the picture, at once.
pub(super) fn draw(lines: &[String], picture: &Buffer, colours: bool, cursor: Cursor) -> Result<(), Error> {
    // The cursor does not flicker through the frame.
    let mut frame = String::from("\x1b[?25l\r");
    for line in lines {
        frame.push_str(line);
        frame.push_str("\x1b[K\r\n");
    }
    let height = picture.area.height;
    for row in 0..height {
        push_row(&mut frame, picture, row, colours);
        frame.push_str(if row + 1 < height { "\x1b[K\r\n" } else { "\x1b[J" });
    }
    match cursor {
        Cursor::Below if height > 0 => frame.push_str("\r\n"),
        Cursor::Below => frame.push_str("\x1b[J"),
        Cursor::Above if height > 1 => _ = write!(frame, "\r\x1b[{}A", height - 1),
        Cursor::Above => frame.push('\r'),
    }
    frame.push_str("\x1b[?25h");
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(frame.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
}

/// Clears what is below the cursor.
pub(super) fn clear_below() {
    let mut stdout = std::io::stdout().lock();
    _ = stdout.write_all(b"\x1b[J\x1b[?25h").and_then(|()| stdout.flush());
}

/// A row's cells up to the last that is not blank.
fn push_row(frame: &mut String, picture: &Buffer, row: u16, colours: bool) {
    let width = picture.area.width;
    let cell = |column| &picture[(column, row)];
    let used = (0..width).rev().find(|&column| cell(column).symbol() != " ").map_or(0, |last| last + 1);
    let mut style = (Color::Reset, Modifier::empty());
    for column in 0..used {
        let wanted = (cell(column).fg, cell(column).modifier);
        if colours && wanted != style {
            frame.push_str("\x1b[0");
            if wanted.1.contains(Modifier::BOLD) {
                frame.push_str(";1");
            }
            if wanted.1.contains(Modifier::DIM) {
                frame.push_str(";2");
            }
            match wanted.0 {
                Color::Cyan => frame.push_str(";36"),
                Color::Yellow => frame.push_str(";33"),
                _ => {}
            }
            frame.push('m');
            style = wanted;
        }
        frame.push_str(cell(column).symbol());
    }
    if colours && style != (Color::Reset, Modifier::empty()) {
        frame.push_str("\x1b[0m");
    }
}
