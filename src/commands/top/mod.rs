//! `sfumato top`: what is going on in the rooms of a server, refreshed each second, or one room's participants with `--room`. It reads
//! `/debug` of the operations port with a token that it signs itself with a configured key.
//!
//! What always holds: the terminal is as it was before, however it ends; what users chose as names cannot control it.

mod client;
mod terminal;
mod view;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction};
use tokio::signal::unix::{SignalKind, signal};

use super::{Invocation, Subcommand, fail};
use crate::config::KeysNeeded;
use client::{Client, ClientError};
use terminal::Terminal;
use view::{Order, Size};

pub(super) const SUBCOMMAND: Subcommand = Subcommand {
    name: "top",
    about: "Show the rooms of a running server, or with --room the participants of one, refreshed each second; q ends it",
    flags,
    keys: KeysNeeded::Always,
    run,
};

const REFRESH: Duration = Duration::from_secs(1);
/// Where there is no terminal to ask.
const DEFAULT_WIDTH: usize = 100;

fn flags() -> Vec<Arg> {
    let text = |name, value, help| Arg::new(name).long(name).value_name(value).help(help);
    vec![
        text("room", "NAME", "Show the participants of this room"),
        text("url", "URL", "The server's operations port; default: that of the settings, on this machine"),
        text("sort", "BY", "Rooms by `participants` or `bitrate`; s changes it")
            .value_parser(["participants", "bitrate"]),
        Arg::new("once")
            .long("once")
            .action(ArgAction::SetTrue)
            .help("Print once, as wide as the terminal or COLUMNS, and end"),
    ]
}

/// What to show.
struct Top {
    client: Client,
    room: Option<String>,
    order: Order,
}

fn run(invocation: &Invocation) -> ExitCode {
    let flag = |name: &str| invocation.flags.get_one::<String>(name).cloned();
    let by_default = format!("http://127.0.0.1:{}", invocation.config.operations.port);
    let client = match Client::new(&flag("url").unwrap_or(by_default), invocation.config.keys.clone()) {
        Ok(client) => client,
        Err(error) => return fail(&error),
    };
    let order = if flag("sort").as_deref() == Some("bitrate") { Order::Bitrate } else { Order::Participants };
    let top = Top { client, room: flag("room"), order };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let once = invocation.flags.get_flag("once") || !io::stdout().is_terminal();
    let ended = runtime.block_on(async { if once { top.print().await } else { top.watch().await } });
    // A look-up of a name may be under way on a thread of the runtime's.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

impl Top {
    async fn print(&self) -> Result<(), ClientError> {
        let text = self.look(Size { width: width(), height: usize::MAX }).await?;
        // Whoever reads may have heard enough.
        let _ = io::stdout().write_all(text.as_bytes());
        Ok(())
    }

    async fn watch(mut self) -> Result<(), ClientError> {
        let (terminal, mut keys) = Terminal::open()?;
        let mut terminated = signal(SignalKind::terminate())?;
        loop {
            let size = terminal.size();
            let showing = async {
                let text = match self.look(size).await {
                    Ok(text) => text,
                    Err(error) => format!("{error}\n"),
                };
                terminal.draw(&text);
                tokio::time::sleep(REFRESH).await;
            };
            let key = tokio::select! {
                () = showing => None,
                key = keys.recv() => key,
                _ = tokio::signal::ctrl_c() => return Ok(()),
                _ = terminated.recv() => return Ok(()),
            };
            match key {
                Some(b'q') => return Ok(()),
                Some(b's') => self.order = self.order.other(),
                _ => {}
            }
        }
    }

    async fn look(&self, size: Size) -> Result<String, ClientError> {
        match &self.room {
            Some(room) => Ok(view::room(&self.client.room(room).await?, size)),
            None => Ok(view::rooms(&self.client.rooms().await?, self.order, size)),
        }
    }
}

/// Of the terminal, or as the variable says that shells keep.
fn width() -> usize {
    let told = || std::env::var("COLUMNS").ok()?.parse().ok();
    terminal::size().map(|size| size.width).or_else(told).unwrap_or(DEFAULT_WIDTH)
}
