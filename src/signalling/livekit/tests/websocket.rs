//! Clients on real WebSockets: joining, talking, misbehaving, leaving, and the server's end.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use proto::signal_request::Message as Said;
use proto::signal_response::Message as Answer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::*;
use crate::lifecycle::Shed;
use crate::limits;
use crate::room::model::{LeaveReason, TrackId};

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
    let mut house = house(ADMIT, &[]);
    let (_served, mut client, mut guest) = joined_client(&mut house).await;
    assert_eq!(guest.request.identity.as_str(), "alice");
    assert_eq!(guest.request.offer.as_ref().map(|offer| offer.sdp.as_str()), Some("v=0"));
    assert_eq!(house.counters.sessions.get(), 1);

    let event =
        Event::Answer { id: 1, sdp: "v=0 answer".into(), tracks_by_mid: vec![("0".into(), TrackId::new("TR_a"))] };
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
    let mut house = house(ADMIT, &[]);
    let (_served, mut client, _guest) = joined_client(&mut house).await;
    client.send(Message::Text(r#"{"ping":"1"}"#.into())).await.unwrap();
    let Message::Text(text) = heard(&mut client).await else { panic!() };
    let response: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(response["pong"].as_str().unwrap().parse::<i64>().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn large_messages_arrive_whole_among_pings_and_small_ones() {
    let mut house = house(ADMIT, &[]);
    let (_served, mut client, guest) = joined_client(&mut house).await;
    let sizes = [1, 125, 126, 65_000, 65_536, 900_000, 10, 300_000];
    let sending = async {
        for (id, size) in (0..).zip(sizes) {
            let event = Event::Answer { id, sdp: "s".repeat(size), tracks_by_mid: Vec::new() };
            guest.events.send(event).await.unwrap();
        }
    };
    let reading = async {
        let (mut told, mut pongs) = (Vec::new(), 0);
        while told.len() < sizes.len() || pongs < sizes.len() {
            client.send(Message::Ping(vec![7; 100].into())).await.unwrap();
            match heard(&mut client).await {
                Message::Binary(bytes) => {
                    let response = proto::SignalResponse::decode(bytes.as_ref()).unwrap();
                    let Some(Answer::Answer(answer)) = response.message else { panic!() };
                    assert!(answer.sdp.bytes().all(|byte| byte == b's'));
                    told.push(answer.sdp.len());
                }
                Message::Pong(bytes) => pongs += usize::from(bytes[..] == [7; 100]),
                other => panic!("{other:?}"),
            }
        }
        told
    };
    assert_eq!(tokio::join!(sending, reading).1, sizes);
}

#[tokio::test]
async fn a_client_that_vanishes_gives_up_its_place() {
    let mut house = house(ADMIT, &[]);
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
async fn who_is_turned_away_hears_when_to_try_again_before_anything_is_read_but_the_token() {
    for (reason, seconds) in [(Shed::Draining, 1..=5), (Shed::Busy, 10..=30), (Shed::Memory, 10..=30)] {
        let house = house(Welcome::Shed(reason), &[]);
        let served = serve(&house).await;
        let Err(tungstenite::Error::Http(response)) = served.connect("not.base64").await else {
            panic!("let in");
        };
        assert_eq!(response.status().as_u16(), 503);
        let body = String::from_utf8(response.body().clone().unwrap_or_default()).unwrap();
        assert_eq!(body, reason.to_string());
        let after: u32 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(seconds.contains(&after), "{after} s");
        assert_eq!(house.shed.load(SeqCst), 1);
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
    let mut house = house(ADMIT, &[]);
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
    let mut house = house(ADMIT, &[]);
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
    let mut house = house(ADMIT, &[]);
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
    let mut house = house(ADMIT, &[]);
    let (_served, mut client, guest) = joined_client(&mut house).await;
    drop(guest);
    assert_eq!(close_code(&mut client).await, 1001);
}

#[tokio::test]
async fn shutdown_waits_until_sessions_have_said_goodbye() {
    let mut house = house(ADMIT, &[]);
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

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let mut house = house(ADMIT, &[]);
    let (_served, client, guest) = joined_client(&mut house).await;
    // More than the buffers of both ends hold.
    let sdp = "x".repeat(1 << 20);
    let flood = async {
        loop {
            let event = Event::Answer { id: 1, sdp: sdp.clone(), tracks_by_mid: Vec::new() };
            if guest.events.send(event).await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(2 * limits::SIGNAL_WRITE_TIMEOUT, flood).await.expect("the place is given up");
    assert_eq!(house.counters.faults.with_label_values(&["write_timeout"]).get(), 1);
    drop(client);
}
