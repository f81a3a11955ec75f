//! The adaptor from the outside: HTTP requests and real WebSockets in, a room played by the test behind it.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use livekit_protocol as proto;
use prometheus::Registry;
use prost::Message as _;
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Answer;
use proto::wrapped_join_request::Compression;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tower::ServiceExt;

use super::join::tests::{encode, said};
use super::responses::tests::joined;
use super::*;
use crate::config::{self, Config};
use crate::limits;
use crate::room::model::{JoinError, LeaveReason, TrackId};

// ---- a room played by the test ----

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

use std::sync::Arc;

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

// ---- HTTP ----

async fn ask(router: &Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn good_token() -> String {
    token::tests::token(token::tests::join_claims())
}

fn good_join() -> String {
    encode(&said().encode_to_vec(), Compression::Gzip)
}

#[tokio::test]
async fn a_good_token_validates_by_header_and_by_query() {
    let house = house(Welcome::Admit, &[]);
    let token = good_token();
    let bearer = format!("Bearer {token}");
    for (path, headers) in [
        ("/rtc/v1/validate".to_owned(), vec![("Authorization", bearer.as_str())]),
        (format!("/rtc/v1/validate?access_token={token}"), vec![]),
        (format!("/rtc/v1/validate?access_token={token}&join_request={}&new=1", good_join()), vec![]),
    ] {
        let (status, headers, body) = ask(&house.router, &path, &headers).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "success"));
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn refusals_have_a_status_and_a_reason() {
    let house = house(Welcome::Admit, &[]);
    let token = good_token();
    let nameless = token::tests::token(json!({"video": {"roomJoin": true, "room": "den"}}));
    let foreign = token::tests::token(json!({"iss": "other", "sub": "a"}));
    let setting = encode(&proto::JoinRequest { metadata: "m".into(), ..said() }.encode_to_vec(), Compression::None);
    for (query, status, reason) in [
        (String::new(), 401, "no access token"),
        ("access_token=x".to_owned(), 401, "not a JSON Web Token"),
        (format!("access_token={foreign}"), 401, "no API key"),
        (format!("access_token={nameless}"), 400, "no identity"),
        (format!("access_token={token}&join_request=!"), 400, "base64url"),
        (format!("access_token={token}&join_request={setting}"), 401, "canUpdateOwnMetadata"),
        (format!("access_token={token}&access_token={token}"), 400, "query"),
    ] {
        for path in ["/rtc/v1", "/rtc/v1/validate"] {
            let (given, headers, body) = ask(&house.router, &format!("{path}?{query}"), &[]).await;
            assert_eq!(given.as_u16(), status, "{path} {query}: {body}");
            assert!(body.contains(reason), "{path}: {body:?} lacks {reason:?}");
            assert_eq!(headers["access-control-allow-origin"], "*");
        }
    }
    // Only the WebSocket address needs these.
    let (status, _, body) = ask(&house.router, &format!("/rtc/v1?access_token={token}"), &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::BAD_REQUEST, "join_request is missing"));
    let path = format!("/rtc/v1?access_token={token}&join_request={}", good_join());
    assert_eq!(ask(&house.router, &path, &[]).await.0, StatusCode::UPGRADE_REQUIRED);
    assert_eq!(house.counters.refused.with_label_values(&["401"]).get(), 8);
    assert_eq!(house.counters.refused.with_label_values(&["426"]).get(), 1);
}

#[tokio::test]
async fn without_auto_create_there_is_no_room() {
    let house = house(Welcome::Admit, &["--room-auto-create=false"]);
    let (status, _, body) = ask(&house.router, &format!("/rtc/v1/validate?access_token={}", good_token()), &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("requested room does not exist"));
    // Who has no right to join hears nothing of rooms.
    assert_eq!(ask(&house.router, "/rtc/v1/validate", &[]).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_protocol_of_two_connections_is_refused_without_a_loop() {
    let house = house(Welcome::Admit, &[]);
    let (status, _, body) = ask(&house.router, "/rtc?access_token=x", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("/rtc/v1"));
    let (status, headers, body) = ask(&house.router, "/rtc/validate?access_token=x", &[]).await;
    // Clients in browsers repeat for ever on a 404 here.
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("single peer connection"));
    assert_eq!(headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn development_hands_out_tokens_that_let_in() {
    let house = house(Welcome::Admit, &["--dev"]);
    let (status, headers, body) =
        ask(&house.router, "/dev/token?room=my%20den&identity=al&name=Al", &[("Host", "localhost:4000")]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["cache-control"], "no-store");
    let given: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&given["room"], &given["identity"]), (&json!("my den"), &json!("al")));
    assert_eq!(given["url"], "ws://localhost:4000");
    let claims = verify(given["token"].as_str().unwrap(), &token::tests::keys()).unwrap();
    assert_eq!((claims.room.as_str(), claims.identity.as_str(), claims.name.as_str()), ("my den", "al", "Al"));
    let path = format!("/rtc/v1/validate?access_token={}", given["token"].as_str().unwrap());
    assert_eq!(ask(&house.router, &path, &[]).await.2, "success");

    let secure = [("Host", "a.example"), ("X-Forwarded-Proto", "https")];
    let (_, _, body) = ask(&house.router, "/dev/token?room=r", &secure).await;
    let given: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(given["url"], "wss://a.example");
    assert!(given["identity"].as_str().unwrap().starts_with("guest-"));
}

#[tokio::test]
async fn bad_questions_for_tokens_are_answered_400_and_none_outside_development() {
    let development = house(Welcome::Admit, &["--dev"]);
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for (query, reason) in [
        (String::new(), "room"),
        (format!("room={long}"), "`room` is longer"),
        (format!("room=r&identity={long}"), "`identity` is longer"),
        ("room=r&room=s".to_owned(), "room"),
    ] {
        let (status, _, body) = ask(&development.router, &format!("/dev/token?{query}"), &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body.contains(reason), "{body}");
    }
    let production = house(Welcome::Admit, &[]);
    assert_eq!(ask(&production.router, "/dev/token?room=r", &[]).await.0, StatusCode::NOT_FOUND);
}

// ---- WebSocket ----

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
}

async fn serve(house: &House) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = house.router.clone();
    let server = tokio::spawn(crate::api::serve(vec![listener], router, async move { drop(stopped.await) }));
    Served { address, stop: Some(stop), server }
}

impl Served {
    async fn connect(&self, join_request: &str) -> Result<Client, tungstenite::Error> {
        let url = format!("ws://{}/rtc/v1?join_request={join_request}", self.address);
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Authorization", format!("Bearer {}", good_token()).parse().unwrap());
        Ok(tokio_tungstenite::connect_async(request).await?.0)
    }

    async fn status_of_refusal(&self) -> (u16, String) {
        match self.connect(&good_join()).await {
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                (response.status().as_u16(), String::from_utf8(body).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn heard(client: &mut Client) -> Message {
    tokio::time::timeout(Duration::from_secs(5), client.next()).await.expect("a frame in time").unwrap().unwrap()
}

async fn answer(client: &mut Client) -> Answer {
    loop {
        match heard(client).await {
            Message::Binary(bytes) => return proto::SignalResponse::decode(bytes.as_ref()).unwrap().message.unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn close_code(client: &mut Client) -> u16 {
    loop {
        if let Message::Close(frame) = heard(client).await {
            return frame.unwrap().code.into();
        }
    }
}

async fn say(client: &mut Client, said: Said) {
    let bytes = proto::SignalRequest { message: Some(said) }.encode_to_vec();
    client.send(Message::Binary(bytes.into())).await.unwrap();
}

/// Connected, with the guest at its room, and the first two messages read.
async fn joined_client(house: &mut House) -> (Served, Client, Guest) {
    let served = serve(house).await;
    let mut client = served.connect(&good_join()).await.unwrap();
    let guest = house.guests.recv().await.unwrap();
    assert!(matches!(answer(&mut client).await, Answer::Join(_)));
    assert!(matches!(answer(&mut client).await, Answer::RefreshToken(_)));
    (served, client, guest)
}

#[tokio::test]
async fn a_client_joins_talks_with_its_room_and_leaves() {
    let mut house = house(Welcome::Admit, &[]);
    let (_served, mut client, mut guest) = joined_client(&mut house).await;
    assert_eq!(guest.request.identity.as_str(), "alice");
    assert_eq!(guest.request.offer.as_ref().map(|offer| offer.sdp.as_str()), Some("v=0"));
    assert_eq!(house.counters.sessions.get(), 1);

    let event = Event::Answer { id: 1, sdp: "v=0 answer".into(), tracks_by_mid: vec![("0".into(), TrackId::new("TR_a"))] };
    guest.events.send(event).await.unwrap();
    assert!(matches!(answer(&mut client).await, Answer::Answer(answer) if answer.id == 1));

    say(&mut client, Said::Mute(proto::MuteTrackRequest { sid: "TR_a".into(), muted: true })).await;
    let muted = Command::SetMuted { track: TrackId::new("TR_a"), muted: true };
    assert_eq!(guest.commands.recv().await, Some(muted));
    say(&mut client, Said::PingReq(proto::Ping { timestamp: 9, rtt: 1 })).await;
    assert!(matches!(answer(&mut client).await, Answer::PongResp(pong) if pong.last_ping_timestamp == 9));

    say(&mut client, Said::Leave(proto::LeaveRequest::default())).await;
    assert_eq!(guest.commands.recv().await, Some(Command::Leave(LeaveReason::ClientLeft)));
    guest.events.send(Event::Removed(LeaveReason::ClientLeft)).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1000);
}

#[tokio::test]
async fn a_client_of_json_hears_json() {
    let mut house = house(Welcome::Admit, &[]);
    let (_served, mut client, _guest) = joined_client(&mut house).await;
    client.send(Message::Text(r#"{"ping":"1"}"#.into())).await.unwrap();
    let Message::Text(text) = heard(&mut client).await else { panic!() };
    let response: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(response["pong"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn a_client_that_vanishes_gives_up_its_place() {
    let mut house = house(Welcome::Admit, &[]);
    let (_served, client, mut guest) = joined_client(&mut house).await;
    drop(client);
    assert_eq!(guest.commands.recv().await, None);
    guest.events.closed().await;
}

#[tokio::test]
async fn refusals_of_the_room_come_before_the_upgrade() {
    for (welcome, reason) in [
        (Welcome::Refuse(JoinError::RoomFull), "the room is full"),
        (Welcome::Refuse(JoinError::ServerFull), "the server is full"),
        (Welcome::Refuse(JoinError::ShuttingDown), "shutting down"),
        (Welcome::Gone, "shutting down"),
    ] {
        let house = house(welcome, &[]);
        let (status, body) = serve(&house).await.status_of_refusal().await;
        assert_eq!(status, 503);
        assert!(body.contains(reason), "{body}");
    }
}

#[tokio::test]
async fn a_room_that_does_not_answer_is_not_waited_for() {
    let mut house = house(Welcome::Silent, &[]);
    let served = serve(&house).await;
    let (status, body) = served.status_of_refusal().await;
    assert_eq!((status, body.as_str()), (503, "the room does not answer"));
    // The place was given up.
    house.guests.recv().await.unwrap().events.closed().await;
}

#[tokio::test]
async fn resuming_is_answered_with_joining_anew() {
    let mut house = house(Welcome::Admit, &[]);
    let served = serve(&house).await;
    let resume = proto::JoinRequest { reconnect: true, participant_sid: "PA_old".into(), ..said() };
    let mut client = served.connect(&encode(&resume.encode_to_vec(), Compression::None)).await.unwrap();
    let Answer::Leave(leave) = answer(&mut client).await else { panic!() };
    assert_eq!(leave.reason(), proto::DisconnectReason::StateMismatch);
    assert_eq!(leave.action(), proto::leave_request::Action::Reconnect);
    assert_eq!(close_code(&mut client).await, 1000);
    assert!(house.guests.try_recv().is_err());
}

#[tokio::test]
async fn a_message_at_the_bound_is_read_and_one_past_it_ends_the_connection() {
    let mut house = house(Welcome::Admit, &[]);
    let (_served, mut client, mut guest) = joined_client(&mut house).await;
    let message = |bytes: usize| {
        let offer = proto::SessionDescription { sdp: "x".repeat(bytes), ..Default::default() };
        proto::SignalRequest { message: Some(Said::Offer(offer)) }.encode_to_vec()
    };
    let overhead = message(limits::SIGNAL_MESSAGE_BYTES).len() - limits::SIGNAL_MESSAGE_BYTES;
    let fits = message(limits::SIGNAL_MESSAGE_BYTES - overhead);
    assert_eq!(fits.len(), limits::SIGNAL_MESSAGE_BYTES);
    client.send(Message::Binary(fits.into())).await.unwrap();
    assert!(matches!(guest.commands.recv().await, Some(Command::Offer(_))));

    let larger = message(limits::SIGNAL_MESSAGE_BYTES - overhead + 1);
    client.send(Message::Binary(larger.into())).await.unwrap();
    assert_eq!(close_code(&mut client).await, 1009);
    assert_eq!(house.counters.faults.with_label_values(&["too_large"]).get(), 1);
    guest.events.closed().await;
}

#[tokio::test]
async fn noise_ends_the_connection_and_is_counted() {
    let mut house = house(Welcome::Admit, &[]);
    let (_served, mut client, mut guest) = joined_client(&mut house).await;
    for _ in 0..limits::SIGNAL_MALFORMED {
        client.send(Message::Binary(vec![0xff; 3].into())).await.unwrap();
    }
    assert_eq!(guest.commands.recv().await, Some(Command::Leave(LeaveReason::ProtocolError)));
    guest.events.send(Event::Removed(LeaveReason::ProtocolError)).await.unwrap();
    assert!(matches!(answer(&mut client).await, Answer::Leave(_)));
    assert_eq!(close_code(&mut client).await, 1002);
    assert_eq!(house.counters.faults.with_label_values(&["malformed"]).get(), u64::from(limits::SIGNAL_MALFORMED));
}

#[tokio::test]
async fn a_room_that_ends_without_a_word_ends_the_connection() {
    let mut house = house(Welcome::Admit, &[]);
    let (_served, mut client, guest) = joined_client(&mut house).await;
    drop(guest);
    assert_eq!(close_code(&mut client).await, 1001);
}

#[tokio::test]
async fn shutdown_waits_until_sessions_have_said_goodbye() {
    let mut house = house(Welcome::Admit, &[]);
    let (mut served, mut client, guest) = joined_client(&mut house).await;
    served.stop.take().unwrap().send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!served.server.is_finished());
    guest.events.send(Event::Removed(LeaveReason::ServerShutdown)).await.unwrap();
    let Answer::Leave(leave) = answer(&mut client).await else { panic!() };
    assert_eq!(leave.reason(), proto::DisconnectReason::ServerShutdown);
    assert_eq!(close_code(&mut client).await, 1001);
    drop(client);
    tokio::time::timeout(Duration::from_secs(5), served.server).await.unwrap().unwrap();
}
