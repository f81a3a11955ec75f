//! The adaptor from the outside: HTTP requests and real WebSockets in, a room played by the test behind it.

mod http;
mod websocket;

use std::sync::Arc;

use axum::Router;
use livekit_protocol as proto;
use prometheus::Registry;
use prost::Message as _;
use proto::wrapped_join_request::Compression;
use tokio::sync::mpsc;

use super::join::tests::{encode, said};
use super::responses::tests::joined;
use super::*;
use crate::config::{self, Config};
use crate::room::model::JoinError;

#[derive(Clone, Copy)]
enum Welcome {
    Admit,
    Refuse(JoinError),
    Gone,
    Silent,
}

#[derive(Clone)]
struct FakeRooms {
    welcome: Welcome,
    guests: mpsc::UnboundedSender<Guest>,
}

/// A participant as the room sees it.
struct Guest {
    request: JoinRequest,
    commands: mpsc::UnboundedReceiver<Command>,
    events: mpsc::Sender<Event>,
}

struct FakePlace {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
}

impl Port for FakeRooms {
    type Place = FakePlace;

    async fn join(&self, request: JoinRequest) -> Option<FakePlace> {
        let (commands, received) = mpsc::unbounded_channel();
        let (events, events_out) = mpsc::channel(16);
        match self.welcome {
            Welcome::Admit => events.send(joined()).await.unwrap(),
            Welcome::Refuse(error) => events.send(Event::Refused(error)).await.unwrap(),
            Welcome::Gone => return None,
            Welcome::Silent => {}
        }
        self.guests.send(Guest { request, commands: received, events }).ok()?;
        Some(FakePlace { commands, events: events_out })
    }
}

impl Place for FakePlace {
    async fn send(&mut self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

struct House {
    router: Router,
    guests: mpsc::UnboundedReceiver<Guest>,
    counters: Arc<Counters>,
}

fn configured(flags: &[&str]) -> Config {
    let keys = format!("app: {}", token::tests::SECRET);
    let args = ["sfumato", "--keys", &keys].iter().chain(flags).map(std::ffi::OsString::from).collect::<Vec<_>>();
    config::load(args, []).unwrap().config
}

fn house(welcome: Welcome, flags: &[&str]) -> House {
    let (guests_in, guests) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::new(&Registry::new()).unwrap());
    let rooms = FakeRooms { welcome, guests: guests_in };
    let signalling = router(&configured(flags), rooms, counters.clone());
    let router = crate::api::router(signalling, Arc::new(String::new), |_| None);
    House { router, guests, counters }
}

fn good_token() -> String {
    token::tests::token(token::tests::join_claims())
}

fn good_join() -> String {
    encode(&said().encode_to_vec(), Compression::Gzip)
}
