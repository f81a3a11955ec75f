//! Both protocols from the outside: HTTP requests in, a room played by the test behind them.

mod endpoint;
mod session;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::http::{Bounds, bounded_router};
use super::*;
use crate::config::{self, Config};
use crate::room::event::Event;
use crate::room::shared::Shared;
use crate::signalling::place::tests::{FakeRooms, Guest, Welcome};
use crate::signalling::token;
use crate::telemetry::traces::JoinTracer;

const SDP: (&str, &str) = ("content-type", "application/sdp");
const FRAGMENT: (&str, &str) = ("content-type", "application/trickle-ice-sdpfrag");

/// The server and its rooms, of which each guest is played by the test.
struct House {
    router: Router,
    guests: mpsc::UnboundedReceiver<Guest>,
    counters: Arc<Counters>,
}

/// What a request was answered with.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }
}

/// The room's first word; of it nothing is read.
const ADMIT: Welcome = Welcome::Admit(|| Event::Participants(Shared::new(Vec::new())));

fn house(flags: &[&str]) -> House {
    house_of(ADMIT, flags, Bounds::default())
}

/// Nobody waits long.
fn impatient() -> Bounds {
    Bounds { body: Duration::from_millis(20), room: Duration::from_millis(20), ..Bounds::default() }
}

fn house_of(welcome: Welcome, flags: &[&str], bounds: Bounds) -> House {
    let (guests_in, guests) = mpsc::unbounded_channel();
    let counters = Arc::new(Counters::new(&Registry::new()).unwrap());
    let rooms = FakeRooms { welcome, guests: guests_in, shed: Arc::default() };
    let answering = bounded_router(&configured(flags), rooms, counters.clone(), JoinTracer::default(), bounds);
    let router = crate::api::router(Router::new(), answering, Router::new(), |_| None);
    House { router, guests, counters }
}

fn configured(flags: &[&str]) -> Config {
    let keys = format!("app: {}", token::tests::SECRET);
    let args = ["sfumato", "--keys", &keys].iter().chain(flags).map(std::ffi::OsString::from).collect::<Vec<_>>();
    config::load(args, []).unwrap().config
}

async fn ask(house: &House, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    send(house.router.clone(), request(method, path, headers, body)).await
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    let builder = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    builder.body(body.into()).unwrap()
}

async fn send(router: Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// Posts an offer, with a room that answers it.
async fn open(house: &mut House, path: &str, headers: &[(&str, &str)], offer: &str) -> (Answer, Guest) {
    let request = request("POST", path, &[headers, &[SDP]].concat(), offer.to_owned());
    let posted = send(house.router.clone(), request);
    let answered = async {
        let guest = house.guests.recv().await.unwrap();
        let sdp = ANSWER.to_owned();
        guest.events.send(Event::Answer { id: 0, sdp, tracks_by_mid: Vec::new() }).await.unwrap();
        guest
    };
    tokio::join!(posted, answered)
}

fn bearer(claims: Value) -> String {
    format!("Bearer {}", token::tests::token(claims))
}

fn alice() -> String {
    bearer(json!({"sub": "alice", "name": "Alice", "metadata": "m", "video": {"roomJoin": true, "room": "den"}}))
}

const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:serv\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
    a=recvonly\r\na=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\na=end-of-candidates\r\n";

/// An offer with these sections: media, direction and `a=rtpmap` of its only format.
fn offer(sections: &[(&str, &str, &str)]) -> String {
    let mids: Vec<String> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:remo\r\n\
         a=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n",
        mids.join(" "),
        ["AB"; 32].join(":")
    );
    for (mid, (media, direction, rtpmap)) in sections.iter().enumerate() {
        sdp += &format!(
            "m={media} 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtcp-mux\r\na={direction}\r\n\
             a=msid:s {media}-track\r\na=rtpmap:96 {rtpmap}\r\n"
        );
    }
    sdp
}

const OPUS: &str = "opus/48000/2";
const VP8: &str = "VP8/90000";

fn published() -> String {
    offer(&[("audio", "sendonly", OPUS), ("video", "sendonly", VP8)])
}

fn watched() -> String {
    offer(&[("audio", "recvonly", OPUS), ("video", "recvonly", VP8)])
}
