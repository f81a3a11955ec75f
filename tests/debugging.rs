//! Looking into a call of a whole server, on one shard and on two: what a peer published is told of at `/debug`, its headers come as
//! pcapng, `sfumato top` shows it.

#![allow(clippy::expect_used, clippy::panic, reason = "a test stops where it is wrong")]

#[macro_use]
mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sfumato::config::{DEVELOPMENT_KEY, Secret};
use sfumato::signalling::token;
use support::eventually;
use support::peer::{Peer, Role};
use support::server::Server;

/// A name that needs quoting.
const ROOM: &str = "den & attic?";
const QUOTED: &str = "den%20%26%20attic%3F";

scenarios!(what_a_peer_publishes_is_told_and_recorded);

async fn what_a_peer_publishes_is_told_and_recorded(server: &mut Server) {
    let publisher = Peer::join(server, QUOTED, "publisher", Role::Publisher).await;
    let subscriber = Peer::join(server, QUOTED, "subscriber", Role::Subscriber).await;
    let video = subscriber.track(true).await;
    video.more(1).await;
    let participant = format!("/debug/rooms/{QUOTED}/participants/publisher");
    let begun = server.ask_operations("POST", &format!("{participant}/record?seconds=60"), &admin());
    assert_eq!(begun.status, 200, "{}", begun.text());
    // A second and more is measured; some of what comes now had passed the server before.
    video.more(90).await;
    let room = told(server, |room| bitrate(&room["participants"][0]["media"]["published"][1]) > 0).await;
    assert_eq!(room["room"]["name"], ROOM);
    let (sends, gets) = (&room["participants"][0], &room["participants"][1]);
    assert_eq!((&sends["identity"], &gets["identity"]), (&"publisher".into(), &"subscriber".into()));
    let spread = server.metric("sfumato_guests_total") > 0;
    assert_eq!(sends["shard"] != gets["shard"], spread, "{room}");
    let published: Vec<_> = items(&sends["media"]["published"]).map(|track| track["mime_type"].clone()).collect();
    assert_eq!(published, ["audio/opus", "video/VP8"]);
    let ssrcs: Vec<_> = items(&gets["media"]["subscriptions"]).filter_map(|s| s["ssrc"].as_u64()).collect();
    assert!(ssrcs.contains(&u64::from(video.ssrc)), "{ssrcs:?}");
    assert!(items(&gets["media"]["subscriptions"]).all(|s| s["packets"].as_u64() > Some(0)), "{gets}");
    assert_eq!(room["unanswered_shards"], Value::Array(Vec::new()));

    let file = server.ask_operations("GET", &format!("{participant}/recording.pcapng"), &admin());
    let packets = rtp_packets(&file.body);
    let media = sends["media"]["published"][1]["encodings"][0]["ssrc"].as_u64().expect("its stream flows") as u32;
    let recorded = packets.iter().filter(|packet| packet.ssrc == media).count();
    assert!(recorded >= 60, "{recorded} of {}", packets.len());
    assert!(packets.iter().all(|packet| packet.kept <= 96 && packet.whole > packet.kept), "payload is cut off");

    let top = top(server);
    assert!(top.contains("publisher") && top.contains("video/VP8") && top.contains("opus"), "{top}");
    for identity in ["publisher", "subscriber"] {
        assert!(!server.log().contains(identity), "{identity} is in the log:\n{}", server.log());
    }

    publisher.leave().await;
    let left = format!("{participant}/recording");
    let after = eventually("the recording of who left", async || {
        let answer = server.ask_operations("GET", &left, &admin());
        let recording: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        if recording["left"] == true { Ok(recording) } else { Err(answer.text()) }
    })
    .await;
    assert!(items(&after["headers"]["packets"]).count() >= recorded);
    assert!(items(&after["decisions"]).any(|made| made["decision"] == "connected"), "{}", after["decisions"]);
    server.assert_alive();
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let server = Server::start();
    assert_eq!(server.ask_operations("GET", "/debug/rooms", "").status, 401);
    let join = server.token("den", "anna");
    assert_eq!(server.ask_operations("GET", "/debug/rooms", &format!("Bearer {join}")).status, 403);
    assert_eq!(server.ask("GET", "/debug/rooms", &[("Authorization", &admin())], "").status, 404, "on the public port");
    assert_eq!(server.ask_operations("GET", "/debug/rooms", &admin()).status, 200);
}

fn admin() -> String {
    let (key, secret) = DEVELOPMENT_KEY;
    let token = token::mint_admin(key, &Secret::new(secret), token::unix_now(), Duration::from_secs(600));
    format!("Bearer {}", token.expect("a token"))
}

/// The room once it is as it should be.
async fn told(server: &Server, due: impl Fn(&Value) -> bool) -> Value {
    eventually("what was measured", async || {
        let answer = server.ask_operations("GET", &format!("/debug/rooms/{QUOTED}"), &admin());
        let room: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        if due(&room) { Ok(room) } else { Err(answer.text()) }
    })
    .await
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn bitrate(source: &Value) -> u64 {
    source["encodings"][0]["bitrate_bps"].as_u64().unwrap_or(0)
}

/// What `sfumato top` shows of the room.
fn top(server: &Server) -> String {
    let url = format!("http://{}", server.operations());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sfumato"));
    let shown = command.args(["top", "--dev", "--once", "--room", ROOM, "--url", &url]).env("COLUMNS", "200");
    let shown = shown.output().expect("it runs");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    String::from_utf8(shown.stdout).expect("text")
}

struct RtpPacket {
    ssrc: u32,
    /// Bytes in the file, and those it had.
    kept: usize,
    whole: usize,
}

/// Every RTP packet of a pcapng file whose packets are tagged with what they are (draft-ietf-opsawg-pcapng, section 4.3).
fn rtp_packets(mut file: &[u8]) -> Vec<RtpPacket> {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut packets = Vec::new();
    while !file.is_empty() {
        let (kind, len) = (word(file, 0), word(file, 4));
        assert_eq!(word(file, len - 4), len, "the length is told twice");
        if kind == 6 {
            let (captured, original) = (word(file, 20), word(file, 24));
            let (is_rtp, tags) = tags(&file[28..28 + captured]);
            let packet = &file[28 + tags..28 + captured];
            if is_rtp {
                let ssrc = u32::from_be_bytes(packet[8..12].try_into().expect("four bytes"));
                packets.push(RtpPacket { ssrc, kept: packet.len(), whole: original - tags });
            }
        }
        file = &file[len..];
    }
    packets
}

/// Whether the tags before a packet say that it is RTP, and their length.
fn tags(data: &[u8]) -> (bool, usize) {
    let (mut at, mut is_rtp) = (0, false);
    loop {
        let short = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
        let (tag, len) = (short(at), usize::from(short(at + 2)));
        is_rtp |= tag == 12 && data[at + 4..at + 4 + len].starts_with(b"rtp\0");
        at += 4 + len;
        if tag == 0 {
            return (is_rtp, at);
        }
    }
}
