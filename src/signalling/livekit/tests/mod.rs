//! The adaptor from the outside: HTTP requests and real WebSockets in, a room played by the test behind it.

mod http;
mod websocket;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

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
use crate::room::command::Command;
use crate::room::event::Event;
use crate::room::model::JoinError;
use crate::signalling::place::tests::{FakeRooms, Guest, Welcome};
use crate::telemetry::traces::JoinTracer;

/// The room's welcome.
const ADMIT: Welcome = Welcome::Admit(joined);

struct House {
    router: Router,
    guests: mpsc::UnboundedReceiver<Guest>,
    counters: Arc<Counters>,
    /// Who was turned away before the room was asked.
    shed: Arc<AtomicUsize>,
}

fn configured(flags: &[&str]) -> Config {
    let keys = format!("app: {}", token::tests::SECRET);
    let args = ["sfumato", "--keys", &keys].iter().chain(flags).map(std::ffi::OsString::from).collect::<Vec<_>>();
    config::load(args, []).unwrap().config
}

fn house(welcome: Welcome, flags: &[&str]) -> House {
    let (guests_in, guests) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::new(&Registry::new()).unwrap());
    let shed = Arc::default();
    let rooms = FakeRooms { welcome, guests: guests_in, shed: Arc::clone(&shed) };
    let signalling = router(&configured(flags), rooms, counters.clone(), JoinTracer::default());
    let router = crate::api::router(signalling, Router::new(), Router::new(), |_| None);
    House { router, guests, counters, shed }
}

fn good_token() -> String {
    token::tests::token(token::tests::join_claims())
}

fn good_join() -> String {
    encode(&said().encode_to_vec(), Compression::Gzip)
}
