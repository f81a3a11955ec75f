//! The terminal: keys as they are typed, a screen of its own, its size.
//!
//! What always holds: dropping a [`Terminal`] leaves it as it was.

use std::io::{self, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use super::view::Size;

/// The alternate screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the upper left; the rest of a line, and of the screen.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";
/// Keys typed faster than they are taken.
const KEYS: usize = 16;

pub(super) struct Terminal {
    before: Option<Termios>,
}

impl Terminal {
    /// Takes the terminal over. The keys end with the process: a thread waits for the next.
    pub fn open() -> io::Result<(Terminal, mpsc::Receiver<u8>)> {
        // Where input is no terminal nothing is typed.
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(io::stdin(), OptionalActions::Now, &modes)?;
        }
        let terminal = Terminal { before };
        write(ENTER);
        let (typed, keys) = mpsc::channel(KEYS);
        std::thread::spawn(move || {
            let input = io::stdin().lock().bytes();
            input.map_while(Result::ok).try_for_each(|key| typed.blocking_send(key))
        });
        Ok((terminal, keys))
    }

    pub fn size(&self) -> Size {
        size().unwrap_or(Size { width: super::DEFAULT_WIDTH, height: 24 })
    }

    /// Shows a text in the place of the one before.
    pub fn draw(&self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        write(&format!("{HOME}{}{CLEAR_LINE}{CLEAR_BELOW}", lines.join(&format!("{CLEAR_LINE}\r\n"))));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        write(LEAVE);
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Columns and lines; `None` where output is no terminal.
pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0).then(|| Size { width: size.ws_col.into(), height: size.ws_row.max(2).into() })
}

/// A terminal that takes nothing any more is gone, and so is who looked at it.
fn write(text: &str) {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}
