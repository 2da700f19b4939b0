//! The live screen, in real pseudo-terminals whose escape codes a terminal emulator interprets.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use crate::support::{golden_file, wgrad};

/// Every frame of the screen ends with the cursor shown.
const FRAME_END: &[u8] = b"\x1b[?25h";
/// Some seconds of training: three epochs, of a second each on two cores.
const RUN: &str = "train --hidden 16 --epochs 3";

/// The program in a terminal of its own.
struct Terminal {
    master: File,
    child: Child,
    modes: Termios,
    chunks: Receiver<Vec<u8>>,
    unseen: Vec<u8>,
    parser: Parser,
    /// Everything it wrote, and how many frames.
    bytes: Vec<u8>,
    frames: u32,
}

fn winsize([columns, rows]: [u16; 2]) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Terminal {
    #[allow(unsafe_code)]
    fn run(folder: &Path, words: &str, size: [u16; 2], environment: &[(&str, &str)]) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        tcsetwinsize(&master, winsize(size)).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let stream = || Stdio::from(OwnedFd::from(slave.try_clone().unwrap()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_wgrad"));
        command.current_dir(folder).args(words.split_whitespace()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.envs(environment.iter().copied()).stdin(stream()).stdout(stream()).stderr(stream());
        // SAFETY: two system calls, which are allowed between fork and exec: the terminal's Ctrl-C goes to the program.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?)
            });
        }
        let modes = tcgetattr(&slave).unwrap();
        let child = command.spawn().unwrap();
        let master = File::from(master);
        let (sender, chunks) = channel();
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            // An error means that no process has the terminal open any more.
            while let Ok(read @ 1..) = reader.read(&mut chunk) {
                if sender.send(chunk[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        drop(slave);
        let [columns, rows] = size;
        let parser = Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 5000);
        Terminal { master, child, modes, chunks, unseen: vec![], parser, bytes: vec![], frames: 0 }
    }

    /// Shows the next frame, or what comes last; false when the program has ended.
    fn frame(&mut self) -> bool {
        loop {
            if let Some(at) = self.unseen.windows(FRAME_END.len()).position(|window| window == FRAME_END) {
                let frame: Vec<u8> = self.unseen.drain(..at + FRAME_END.len()).collect();
                self.show(&frame);
                self.frames += 1;
                return true;
            }
            match self.chunks.recv_timeout(Duration::from_secs(100)) {
                Ok(chunk) => self.unseen.extend(chunk),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {
                    let rest = std::mem::take(&mut self.unseen);
                    self.show(&rest);
                    return false;
                }
                Err(_) => panic!("nothing comes any more after\n{}", self.text()),
            }
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        self.parser.process(bytes);
        self.bytes.extend(bytes);
    }

    fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// The picture: what is on the screen from the cursor's row on.
    fn picture(&self) -> Vec<String> {
        let columns = self.parser.screen().size().1.get();
        let from = usize::from(self.parser.screen().cursor_position().0);
        self.parser.screen().rows(0, columns).skip(from).collect()
    }

    /// What every frame must be: the cursor seen, where the next frame begins, and no row that reaches the last column.
    fn check(&self) {
        let screen = self.parser.screen();
        let (row, column) = screen.cursor_position();
        let (rows, columns) = (screen.size().0.get(), screen.size().1.get());
        assert!(!screen.hide_cursor() && column == 0, "{}", self.text());
        for row in row..rows {
            assert!(!screen.row_wrapped(row), "row {row} of\n{}", self.text());
            let last = screen.cell(row, columns - 1).unwrap();
            assert!(!last.has_contents() || last.contents() == " ", "row {row} of\n{}", self.text());
        }
    }

    /// Frames until one is as wanted; all of them are checked.
    #[track_caller]
    fn until(&mut self, wanted: impl Fn(&[String]) -> bool) {
        while self.frame() {
            self.check();
            if wanted(&self.picture()) {
                return;
            }
        }
        panic!("the program ended with\n{}", self.text());
    }

    fn resize(&mut self, size: [u16; 2]) {
        let [columns, rows] = size;
        self.parser.screen_mut().set_size(rows.try_into().unwrap(), columns.try_into().unwrap());
        tcsetwinsize(&self.master, winsize(size)).unwrap();
    }

    /// Waits for the end, and says how it ended. The terminal is as it was: its modes, its cursor, its colours.
    fn finish(&mut self) -> Option<i32> {
        while self.frame() {}
        let code = self.child.wait().unwrap().code();
        let modes = tcgetattr(&self.master).unwrap();
        let all = |modes: &Termios| (modes.input_modes, modes.output_modes, modes.local_modes, modes.control_modes);
        assert_eq!(all(&modes), all(&self.modes));
        let screen = self.parser.screen();
        assert!(!screen.hide_cursor() && !screen.alternate_screen(), "{}", self.text());
        assert_eq!((screen.fgcolor(), screen.bgcolor()), (vt100::Color::Default, vt100::Color::Default));
        assert!(!screen.bold() && !screen.dim() && !screen.inverse());
        let (row, column) = screen.cursor_position();
        assert_eq!(column, 0);
        assert!(self.picture().iter().all(String::is_empty), "below row {row}:\n{}", self.text());
        code
    }

    /// Everything that scrolled away, and the screen.
    fn history(&mut self) -> String {
        let (rows, columns) = (self.parser.screen().size().0.get(), self.parser.screen().size().1.get());
        self.parser.screen_mut().set_scrollback(usize::MAX);
        let mut lines: Vec<String> = vec![];
        for above in (0..=self.parser.screen().scrollback()).rev() {
            self.parser.screen_mut().set_scrollback(above);
            lines.extend(self.parser.screen().rows(0, columns).take(if above > 0 { 1 } else { rows.into() }));
        }
        lines.join("\n")
    }
}

fn is_dots(text: &str) -> bool {
    text.chars().any(|c| ('\u{2801}'..='\u{28ff}').contains(&c))
}

fn rows_with_dots(picture: &[String]) -> usize {
    picture.iter().filter(|row| is_dots(&row.replace("⠒⠒ training", ""))).count()
}

fn has(picture: &[String], words: &[&str]) -> bool {
    words.iter().all(|words| picture.iter().any(|row| row.contains(words)))
}

/// A terminal of 80×24 shows all words and curves, and keeps the curves at the end.
#[test]
fn a_usual_terminal_shows_curves_and_figures() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(folder.path(), RUN, [80, 24], &[]);
    terminal.until(|picture| has(picture, &["epoch 3/3", "val acc"]));
    let picture = terminal.picture();
    let words = [
        "loss  ⠒⠒ training  • validation",
        "accuracy  ",
        "– 3 epochs",
        " %│",
        "epoch left 0:",
        "run left 0:",
        "samples/s ",
        "memory ",
        "MiB",
        "lr 0.001",
        "grad norm –",
        "val loss 0.",
        "━",
    ];
    words.iter().for_each(|words| assert!(has(&picture, &[words]), "no {words} in\n{}", terminal.text()));
    assert!(rows_with_dots(&picture) >= 3, "{}", terminal.text());
    // The legend's, and two in each chart.
    assert!(picture.iter().map(|row| row.matches('•').count()).sum::<usize>() > 4, "{}", terminal.text());
    assert_eq!(terminal.finish(), Some(0));
    let all = terminal.history();
    for epoch in 1..=3 {
        assert_eq!(all.matches(&format!("epoch  {epoch}/3   loss ")).count(), 1, "{all}");
    }
    assert_eq!(all.matches("⠒⠒ training").count(), 1, "the curves stay, once:\n{all}");
    assert!(all.contains("The model is") && !all.contains("run left"), "{all}");
    assert!(terminal.bytes.windows(5).any(|window| window == b"\x1b[0;3"), "colours");
}

/// A narrow window has charts one above the other, and figures in two columns; a tiny one has a line.
#[test]
fn narrow_and_tiny_terminals_show_what_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(folder.path(), &format!("{RUN} --clip-grad-norm 1"), [40, 20], &[]);
    terminal.until(|picture| has(picture, &["epoch 3/3", "val acc"]));
    let picture = terminal.picture();
    let at = |words: &str| picture.iter().position(|row| row.starts_with(words)).unwrap_or(usize::MAX);
    assert!(at("loss  ⠒⠒") < at("accuracy  ") && at("accuracy  ") < at("epoch 3/3"), "{}", terminal.text());
    assert!(at("epoch 3/3") < usize::MAX && rows_with_dots(&picture) >= 4, "{}", terminal.text());
    let norm = picture.iter().find_map(|row| row.split_once("grad norm ")).unwrap().1.trim();
    assert!(norm.parse::<f64>().is_ok_and(|norm| norm > 0.0), "{norm}");
    assert_eq!(terminal.finish(), Some(0));
    assert!(terminal.history().contains("\n 2/3 0."), "{}", terminal.history());

    let mut terminal = Terminal::run(folder.path(), RUN, [20, 5], &[]);
    terminal.until(|picture| picture[0].starts_with("3/3 "));
    assert!(terminal.picture()[0].contains("% 0."), "{}", terminal.text());
    assert_eq!(terminal.picture().iter().filter(|row| !row.is_empty()).count(), 1, "{}", terminal.text());
    assert_eq!(terminal.finish(), Some(0));
    assert!(!is_dots(&String::from_utf8_lossy(&terminal.bytes)));
}

/// After a window changes its size, the next frame fits it.
#[test]
fn the_screen_follows_the_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(folder.path(), "train --hidden 16 --epochs 1000", [80, 24], &[]);
    terminal.until(|picture| has(picture, &["accuracy  ", "epoch 1/1000", "samples/s"]));
    for size in [[40, 20], [20, 5], [120, 40], [40, 10], [80, 24]] {
        terminal.resize(size);
        let [columns, rows] = size;
        let whole = |picture: &[String]| match size {
            [20, 5] => picture[0].contains("/1000 ") && picture[1..].iter().all(String::is_empty),
            // The bar's row reaches from edge to edge, and both figures are there once.
            _ => {
                let bar = picture.iter().find(|row| row.starts_with("epoch ")).map(|row| row.chars().count());
                bar == Some(usize::from(columns) - 1) && has(picture, &["run left", "lr 0.001"])
            }
        };
        // The first frame after it may have been on its way before it.
        let mut frames = 0;
        while frames < 5 && terminal.frame() {
            frames = if whole(&terminal.picture()) { frames + 1 } else { 0 };
            assert!(terminal.frames < 300, "{size:?}\n{}", terminal.text());
            if frames > 0 {
                terminal.check();
            }
        }
        let once = |words: &str| terminal.text().matches(words).count() == 1;
        assert!(columns == 20 || once("run left"), "{size:?} {rows}\n{}", terminal.text());
    }
    terminal.master.write_all(b"\x03").unwrap();
    assert_eq!(terminal.finish(), Some(130));
}

/// Finds Ctrl-C that leaves a terminal without cursor, with colours or modes of its own, or loses the model.
#[test]
fn ctrl_c_leaves_the_terminal_as_it_was_and_the_model_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(folder.path(), "train --hidden 16 --epochs 1000", [80, 24], &[]);
    terminal.until(|picture| has(picture, &["epoch 1/1000"]));
    terminal.master.write_all(b"\x03").unwrap();
    assert_eq!(terminal.finish(), Some(130));
    let text = terminal.text();
    assert!(text.contains("Interrupted after step") && text.contains("⠒⠒ training"), "{text}");
    wgrad::Model::read(folder.path().join("model.safetensors")).unwrap();
    // An error at the start, and one on the way: no picture hides it.
    std::fs::write(folder.path().join("nan.csv"), "a,b\n1e30,0\n-1e30,1\n1e30,1\n2e30,0\n").unwrap();
    for (words, code) in
        [("train --data nowhere", 2), ("train --data nan.csv --batch-size 1 --validation none --lr 1e30", 1)]
    {
        let mut terminal = Terminal::run(folder.path(), words, [80, 24], &[]);
        assert_eq!(terminal.finish(), Some(code), "{}", terminal.text());
        assert!(terminal.text().contains("error: "), "{}", terminal.text());
    }
}

/// Finds colors for users who want none, and escape codes in a file, or on a terminal that has none.
#[test]
fn escape_codes_are_for_terminals_that_want_them() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let words = format!("train --data {set} --batch-size 8 --epochs 3 --validation none");
    let run = |more: &str, environment: &[(&str, &str)]| {
        let mut terminal = Terminal::run(folder.path(), &format!("{words} {more}"), [80, 24], environment);
        assert_eq!(terminal.finish(), Some(0), "{}", terminal.text());
        String::from_utf8(terminal.bytes).unwrap()
    };
    let live = run("", &[]);
    assert!(live.contains("\x1b[0;36m") && live.contains("⠒⠒ training"), "{live:?}");
    let plain = run("", &[("NO_COLOR", "1")]);
    assert!(plain.contains("⠒⠒ training"), "{plain:?}");
    let is_colour = |code: &str| code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m');
    assert!(!plain.split("\x1b[").skip(1).any(is_colour), "{plain:?}");
    let piped = String::from_utf8(wgrad(folder.path(), &words.split(' ').collect::<Vec<_>>()).stdout).unwrap();
    for lines in [run("", &[("TERM", "dumb")]), run("--screen lines", &[]), piped] {
        assert!(!lines.contains('\x1b') && lines.contains("epoch  3/3   loss "), "{lines:?}");
    }
    let none = run("--screen none", &[]);
    assert!(!none.contains('\x1b') && !none.contains("epoch ") && none.contains("The model is in"), "{none:?}");
}

/// Finds a screen that draws every one of a thousand short epochs, or loses the lines of those that it does not draw.
#[test]
fn short_epochs_share_frames_and_keep_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let words = format!("train --data {set} --batch-size 64 --epochs 600 --validation none");
    let started = Instant::now();
    let mut terminal = Terminal::run(folder.path(), &words, [80, 24], &[]);
    assert_eq!(terminal.finish(), Some(0));
    let most = started.elapsed().as_millis() / 100 + 2;
    assert!(u128::from(terminal.frames) <= most, "{} frames, {most} at most", terminal.frames);
    let all = terminal.history();
    for epoch in 1..=600 {
        assert_eq!(all.matches(&format!("epoch {epoch:>2}/600 ")).count(), 1, "{epoch}");
    }
}
