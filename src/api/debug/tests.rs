//! Who is let in, and what is answered, over shards of which some do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::*;
use crate::recorder::decisions::Decision;
use crate::recorder::headers::{Direction, Kind};
use crate::recorder::{Recorder, Subject};
use crate::room::model::{ParticipantId, RoomId};
use crate::room::participant::ParticipantKey;
use crate::shard::directory::Directory;
use crate::shard::inspect::{MemberSnapshot, PeerSnapshot, Question, RoomList, RoomSnapshot, RoomSummary, Traffic};
use crate::shard::leg::{RoomKey, ShardId};
use crate::shard::mailbox::Message;
use crate::signalling::token::tests::{keys, token};
use crate::wire::Ssrc;

/// Names that need every kind of quoting.
const ROOM: &str = "a/b c?%2F#…\"<é>";
const IDENTITY: &str = "anna+1@example.org/..";
const KEY: RoomKey = RoomKey { home: ShardId(0), serial: 7 };

/// Two shards: the first is the room's home and hosts Anna, the second hosts Bert, if it answers at all.
struct World {
    router: Router,
    _mailboxes: Vec<mpsc::Sender<Message>>,
}

impl World {
    fn new(second_answers: bool) -> World {
        let directory = Arc::new(Directory::new(vec![Arc::default(), Arc::default()]));
        assert!(directory.enter(&RoomName::new(ROOM), 0, || ()));
        let mut mailboxes = Vec::new();
        for shard in 0..2 {
            let (mailbox, mut messages) = mpsc::channel(8);
            mailboxes.push(mailbox);
            tokio::spawn(async move {
                let mut kept = Vec::new();
                while let Some(Message::Inspect(question)) = messages.recv().await {
                    if shard == 0 || second_answers {
                        answer(shard, question);
                    } else {
                        kept.push(question);
                    }
                }
            });
        }
        let router = router(keys(), Inspector::new(&mailboxes, directory));
        World { router, _mailboxes: mailboxes }
    }

    async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, headers, body) = self.ask("GET", path, Some(&admin())).await;
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["cache-control"], "no-store");
        serde_json::from_slice(&body).unwrap()
    }
}

fn admin() -> String {
    token(json!({ "video": { "roomList": true } }))
}

fn answer(shard: usize, question: Question) {
    let mine = ParticipantKey(shard + 1);
    match question {
        Question::Rooms { answer, .. } => {
            let rooms = if shard == 0 { vec![summary(ROOM, 2)] } else { vec![summary("small", 1), summary("tiny", 0)] };
            _ = answer.send(RoomList { total: rooms.len(), rooms });
        }
        Question::Traffic { answer, .. } => {
            _ = answer.send(vec![Traffic { room: KEY, received_bitrate: 1_000, sent_bitrate: 10 }]);
        }
        Question::Room { name, answer, .. } => {
            assert_eq!(name.as_str(), ROOM);
            let members = vec![member(IDENTITY, 0), member("bert", 1)];
            _ = answer.send(Some(RoomSnapshot { room: summary(ROOM, 2), members }));
        }
        Question::Participants { participants, answer, .. } => {
            assert_eq!(participants, [mine]);
            _ = answer.send(vec![peer(mine)]);
        }
        Question::Record { identity, time, answer, .. } => {
            let here = shard == 0 && identity.as_str() == IDENTITY;
            _ = answer.send(here.then(|| time.map_or(Recorded::Ended, Recorded::For)));
        }
        Question::Recording { identity, answer, .. } => {
            let here = shard == 0 && identity.as_str() == IDENTITY;
            _ = answer.send(here.then(|| Arc::new(recorded())));
        }
    }
}

fn summary(name: &str, participants: usize) -> RoomSummary {
    RoomSummary {
        key: KEY,
        name: RoomName::new(name),
        id: RoomId::new("RM_x"),
        created_at_ms: 5,
        participants,
        tracks: 1,
        home_shard: 0,
        shards: vec![0, 1],
    }
}

fn member(identity: &str, shard: usize) -> MemberSnapshot {
    MemberSnapshot {
        key: ParticipantKey(shard + 1),
        identity: Identity::new(identity),
        id: ParticipantId::new("PA_x"),
        name: String::new(),
        state: "active",
        joined_at_ms: 6,
        hidden: false,
        shard,
        tracks: Vec::new(),
    }
}

fn peer(key: ParticipantKey) -> PeerSnapshot {
    PeerSnapshot {
        key,
        connected: true,
        silent_ms: 3,
        estimated_bitrate_bps: None,
        sections: 2,
        recording_seconds: None,
        published: Vec::new(),
        subscriptions: Vec::new(),
        subscriptions_omitted: 0,
        subscriptions_waiting: 0,
        samples: vec![Default::default(); 3],
    }
}

fn recorded() -> Recording {
    let now = Instant::now();
    let mut recorder = Recorder::new(now);
    recorder.record_headers(now, now + Duration::from_secs(9));
    recorder.packet(now, Direction::Sent, Kind::Rtp, &[0x80, 0xe0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 5], 1_000);
    recorder.packet(now, Direction::Received, Kind::Rtcp, &[0x80, 201, 0, 1, 0, 0, 0, 3, 0x81, 206, 0, 2], 20);
    recorder.decided(now, Some(Ssrc(5)), Decision::LayerSwitched { encoding: 1 });
    let (room, identity) = (RoomName::new(ROOM), Identity::new(IDENTITY));
    recorder.recording(&Subject { room, identity, id: ParticipantId::new("PA_x") }, 1_000)
}

fn quoted(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn nobody_is_let_in_without_a_grant_to_look() {
    let world = World::new(true);
    let path = format!("/debug/rooms/{}", quoted(ROOM));
    let join = token(json!({ "sub": "a", "video": { "roomJoin": true, "room": ROOM } }));
    let expired = token(json!({ "video": { "roomList": true }, "exp": 1_000, "nbf": 1 }));
    let foreign = format!("{}x", admin());
    for (token, due) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some("no token"), StatusCode::UNAUTHORIZED),
        (Some(foreign.as_str()), StatusCode::UNAUTHORIZED),
        (Some(expired.as_str()), StatusCode::UNAUTHORIZED),
        (Some(join.as_str()), StatusCode::FORBIDDEN),
        (Some(admin().as_str()), StatusCode::OK),
    ] {
        let (status, headers, _) = world.ask("GET", &path, token).await;
        assert_eq!(status, due, "{token:?}");
        assert_eq!(headers.contains_key("www-authenticate"), due == StatusCode::UNAUTHORIZED);
    }
    let recording = format!("{path}/participants/{}/record", quoted(IDENTITY));
    assert_eq!(world.ask("POST", &recording, Some(&join)).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.ask("DELETE", &recording, None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_administrates_one_room_sees_that_room_alone() {
    let world = World::new(true);
    let of = |room: &str| token(json!({ "video": { "roomAdmin": true, "room": room } }));
    let path = format!("/debug/rooms/{}", quoted(ROOM));
    assert_eq!(world.ask("GET", &path, Some(&of(ROOM))).await.0, StatusCode::OK);
    assert_eq!(world.ask("GET", &path, Some(&of("other"))).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.ask("GET", "/debug/rooms", Some(&of(ROOM))).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.ask("GET", "/debug/rooms", Some(&of(""))).await.0, StatusCode::OK);
}

#[tokio::test]
async fn rooms_of_all_shards_are_listed_by_size_and_by_pages() {
    let world = World::new(true);
    let all = world.json("/debug/rooms").await;
    let names = |list: &Value| list["rooms"].as_array().unwrap().iter().map(|r| r["name"].clone()).collect::<Vec<_>>();
    assert_eq!((names(&all), &all["total"]), (vec![json!(ROOM), json!("small"), json!("tiny")], &json!(3)));
    assert_eq!(all["rooms"][0]["received_bitrate_bps"], 2_000, "of both shards");
    assert_eq!(names(&world.json("/debug/rooms?offset=1&limit=1").await), ["small"]);
    for query in ["offset=x", "limit=-1", "offset=18446744073709551615"] {
        let (status, ..) = world.ask("GET", &format!("/debug/rooms?{query}"), Some(&admin())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn a_room_of_any_name_is_found_with_participants_of_both_shards() {
    let world = World::new(true);
    let room = world.json(&format!("/debug/rooms/{}", quoted(ROOM))).await;
    assert_eq!(room["room"]["name"], ROOM);
    for (index, identity) in [IDENTITY, "bert"].into_iter().enumerate() {
        let participant = &room["participants"][index];
        assert_eq!((&participant["identity"], &participant["shard"]), (&json!(identity), &json!(index)));
        assert_eq!(participant["media"]["connected"], true);
        assert_eq!(participant["media"]["series"]["sent_bitrate_bps"], json!([0, 0, 0]));
    }
    assert_eq!(room["unanswered_shards"], json!([]));
    let (status, ..) = world.ask("GET", "/debug/rooms/nowhere", Some(&admin())).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_shard_that_does_not_answer_is_named_and_waited_for_no_longer_than_promised() {
    let world = World::new(false);
    let start = Instant::now();
    let room = world.json(&format!("/debug/rooms/{}", quoted(ROOM))).await;
    assert!(start.elapsed() <= limits::DEBUG_PATIENCE + Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(room["unanswered_shards"], json!([1]));
    assert_eq!(
        (&room["participants"][0]["media"]["connected"], &room["participants"][1]["media"]),
        (&json!(true), &Value::Null)
    );
    let list = world.json("/debug/rooms").await;
    assert_eq!((&list["unanswered_shards"], &list["total"]), (&json!([1]), &json!(1)));
    // Who may be on the silent shard is not said not to exist.
    let path = format!("/debug/rooms/{}/participants/bert/recording", quoted(ROOM));
    let (status, _, body) = world.ask("GET", &path, Some(&admin())).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["unanswered_shards"], json!([1]));
}

#[tokio::test]
async fn more_requests_than_are_answered_at_once_are_sent_away() {
    let world = Arc::new(World::new(false));
    let asking: Vec<_> = (0..limits::DEBUG_REQUESTS + 1)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.ask("GET", "/debug/rooms", Some(&admin())).await })
        })
        .collect();
    let mut statuses = Vec::new();
    for one in asking {
        let (status, headers, _) = one.await.unwrap();
        assert_eq!(headers.contains_key("retry-after"), status == StatusCode::SERVICE_UNAVAILABLE);
        statuses.push(status);
    }
    let refused = statuses.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    assert_eq!((refused, statuses.len()), (1, limits::DEBUG_REQUESTS + 1));
}

#[tokio::test]
async fn a_recording_is_begun_and_ended_and_had_as_json_and_as_pcapng() {
    let world = World::new(true);
    let participant = format!("/debug/rooms/{}/participants/{}", quoted(ROOM), quoted(IDENTITY));
    let begun = world.ask("POST", &format!("{participant}/record?seconds=30"), Some(&admin())).await;
    assert_eq!(serde_json::from_slice::<Value>(&begun.2).unwrap(), json!({ "recording_seconds": 30 }));
    assert_eq!(world.ask("DELETE", &format!("{participant}/record"), Some(&admin())).await.0, StatusCode::OK);

    let recording = world.json(&format!("{participant}/recording")).await;
    assert_eq!(recording["decisions"][0]["decision"], "layer_switched");
    let packets = &recording["headers"]["packets"];
    let rtp = json!({
        "time_us": 1_000_000, "direction": "sent", "kind": "rtp", "size": 1_000, "ssrc": 5, "sequence_number": 7,
        "timestamp": 9, "payload_type": 96, "marker": true, "padding": false, "header_size": 12,
    });
    assert_eq!(packets[0], rtp);
    assert_eq!((&packets[1]["types"], &packets[1]["ssrc"]), (&json!(["RR", "PSFB"]), &json!(3)));

    let (status, headers, body) = world.ask("GET", &format!("{participant}/recording.pcapng"), Some(&admin())).await;
    assert_eq!((status, &body[..4]), (StatusCode::OK, &[0x0a, 0x0d, 0x0d, 0x0a][..]));
    assert_eq!(headers["content-disposition"], "attachment; filename=\"PA_x.pcapng\"");
    let nobody = format!("/debug/rooms/{}/participants/nobody/recording", quoted(ROOM));
    assert_eq!(world.ask("GET", &nobody, Some(&admin())).await.0, StatusCode::NOT_FOUND);
}
