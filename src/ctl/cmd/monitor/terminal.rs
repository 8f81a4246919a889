//! What does a terminal need so that a view can live in it? Another screen, keys at once, and everything back at the end.
//!
//! Frames are written over the last one, line by line, in one write: nothing flickers. Knows nothing of what is drawn.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The other screen, without cursor; lines do not wrap.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// Back to the screen before.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Begins and ends a frame that is shown at once (where a terminal does not know it, nothing happens).
const BEGIN_FRAME: &str = "\x1b[?2026h\x1b[H";
const END_FRAME: &str = "\x1b[J\x1b[?2026l";
/// Clears the rest of a line.
const CLEAR_REST: &str = "\x1b[0m\x1b[K";
/// What is drawn on when the terminal does not tell its size.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// A terminal that is a view's; dropped, it is as before.
#[derive(Debug)]
pub(super) struct Terminal {
    before: Termios,
}

/// What was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Pause,
    Up,
    Down,
    Redraw,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When standard input or output is none.
    pub(super) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        let terminal = Self { before };
        write(ENTER)?;
        Ok(terminal)
    }

    /// Returns columns and lines.
    pub(super) fn size() -> (usize, usize) {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            Ok(_) | Err(_) => USUAL_SIZE,
        }
    }

    /// Shows a frame: a line each, the first at the top.
    pub(super) fn draw(lines: &[String]) -> io::Result<()> {
        let mut frame = String::from(BEGIN_FRAME);
        for (at, line) in lines.iter().enumerate() {
            let end = if at + 1 == lines.len() { "" } else { "\r\n" };
            let _ = write!(frame, "{line}{CLEAR_REST}{end}");
        }
        frame.push_str(END_FRAME);
        write(&frame)
    }

    /// Returns what was typed since; what means nothing is left out.
    pub(super) fn keys() -> io::Result<Vec<Key>> {
        let mut bytes = [0; 64];
        let length = io::stdin().lock().read(&mut bytes)?;
        if length == 0 {
            // The terminal is gone.
            return Ok(vec![Key::Quit]);
        }
        Ok(understand(bytes.get(..length).unwrap_or_default()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _written = write(LEAVE);
        let _set = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

/// Returns what is to be watched for keys.
pub(super) fn input(stdin: &io::Stdin) -> BorrowedFd<'_> {
    stdin.as_fd()
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn understand(mut bytes: &[u8]) -> Vec<Key> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const CTRL_L: u8 = 12;
    let mut keys = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        let (key, rest) = match (first, rest) {
            (0x1b, [b'[' | b'O', b'A', rest @ ..]) => (Some(Key::Up), rest),
            (0x1b, [b'[' | b'O', b'B', rest @ ..]) => (Some(Key::Down), rest),
            // Another sequence of an escape: up to its last octet.
            (0x1b, [b'[', rest @ ..]) => {
                let end = rest.iter().position(|octet| (0x40..=0x7e).contains(octet));
                let rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
                (None, rest)
            }
            (b'q' | b'Q' | CTRL_C | CTRL_D, rest) => (Some(Key::Quit), rest),
            (0x1b, []) => (Some(Key::Quit), rest),
            (b' ' | b'p', rest) => (Some(Key::Pause), rest),
            (b'k', rest) => (Some(Key::Up), rest),
            (b'j', rest) => (Some(Key::Down), rest),
            (CTRL_L, rest) => (Some(Key::Redraw), rest),
            (_, rest) => (None, rest),
        };
        keys.extend(key);
        bytes = rest;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_understood_and_the_rest_is_not() {
        for (bytes, keys) in [
            (&b"q"[..], &[Key::Quit][..]),
            (b"\x03", &[Key::Quit]),
            (b"\x1b", &[Key::Quit]),
            (b" j\x1b[A", &[Key::Pause, Key::Down, Key::Up]),
            (b"\x1bOB", &[Key::Down]),
            (b"\x1b[1;5Aq", &[Key::Quit]),
            (b"\x1b[200~xyz", &[]),
            (b"\x1b[", &[]),
        ] {
            assert_eq!(understand(bytes), keys, "{bytes:?}");
        }
    }
}
