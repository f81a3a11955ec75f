//! The whole server's life: ready or not, a drain while somebody calls, its end in slices, a second signal, and who is
//! turned away when there is too much to do. Media is that of an independent WebRTC stack (crate `webrtc`).

#![allow(clippy::expect_used, reason = "a test stops where it is wrong")]

#[allow(unused_macros, reason = "each scenario has a server of its own kind")]
#[macro_use]
mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use livekit_protocol::leave_request::Action;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{DisconnectReason, LeaveRequest};
use support::eventually;
use support::media::check_vp8;
use support::peer::{Peer, Role};
use support::server::{Answer, Server};
use support::signal::{Signal, join_request};
use support::stream::Streamer;

/// A second of video.
const VIDEO_PACKETS: usize = 30;
/// For a process that has nothing to wait for to end.
const SOON: Duration = Duration::from_secs(5);

/// Asks for the door alone: 200 if somebody would be let in.
fn validate(server: &Server, room: &str, identity: &str) -> Answer {
    let token = server.token(room, identity);
    server.ask("GET", &format!("/rtc/v1/validate?access_token={token}"), &[], "")
}

/// Tries to join and is refused at the door.
fn assert_shed(server: &Server, room: &str, identity: &str, reason: &str) {
    let before = server.metric("sfumato_joins_shed_total");
    let token = server.token(room, identity);
    let refused = server.ask("GET", &format!("/rtc/v1?access_token={token}"), &[], "");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains(reason), "{refused:?} lacks {reason}");
    let after = refused.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
    assert!(after.is_some_and(|seconds| (1..=30).contains(&seconds)), "{refused:?}");
    assert_eq!(server.metric("sfumato_joins_shed_total"), before + 1);
    assert_eq!(validate(server, room, identity).status, 503);
}

fn readyz(server: &Server) -> (u16, String) {
    let answer = server.ask("GET", "/readyz", &[], "");
    (answer.status, answer.body.trim().to_owned())
}

/// The exit code and the line of `sfumato healthcheck`, which asks on the operations port.
fn healthcheck(port: u16, flags: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sfumato"))
        .args(["healthcheck", "--metrics-bind", "127.0.0.1", "--metrics-port", &port.to_string()])
        .args(flags)
        .output()
        .expect("the program runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A participant without media.
async fn sit(server: &Server, room: &str, identity: &str) -> Signal {
    let token = server.token(room, identity);
    let signal = Signal::connect(server.address(), &token, &join_request(None)).await;
    signal.join().await;
    signal
}

async fn told_to_leave(signal: &Signal) -> LeaveRequest {
    let leave = |response: &Response| match response {
        Response::Leave(leave) => Some(leave.clone()),
        _ => None,
    };
    signal.find("being told to leave", 0, leave).await
}

fn assert_reconnects(leave: &LeaveRequest) {
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::ServerShutdown, Action::Reconnect));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_goes_on_through_a_drain_and_others_may_join_it_until_it_ends() {
    let mut server = Server::start_with(&["--shards", "2", "--room-spread", "1", "--drain-grace", "60"]);
    let publisher = Peer::join(&server, "call", "publisher", Role::Publisher).await;
    let viewer = Peer::join(&server, "call", "viewer", Role::Subscriber).await;
    let video = viewer.track(true).await;
    video.more(VIDEO_PACKETS).await;
    assert_eq!(readyz(&server), (200, "ready".to_owned()));
    assert_eq!(validate(&server, "other", "somebody").status, 200);

    server.terminate();
    let asked = Instant::now();
    eventually("not being ready", async || match readyz(&server) {
        (503, said) => Ok(said),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert_eq!(readyz(&server), (503, "not ready: draining".to_owned()));
    assert_eq!(server.ask("GET", "/livez", &[], "").status, 200);
    assert_eq!((server.metric("sfumato_draining"), server.metric("sfumato_ready")), (1, 0));
    assert_shed(&server, "other", "somebody", "about to end");
    let refused = server.ask("POST", "/whip/other", &[("Content-Type", "application/sdp")], "v=0");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));

    // The call: who comes late is let in, who falls out comes back, and media goes on.
    let late = Peer::join(&server, "call", "late", Role::Subscriber).await;
    late.track(true).await.more(VIDEO_PACKETS).await;
    let player = Streamer::play(&server, "/whep/call").await;
    player.track(true).await.more(VIDEO_PACKETS).await;
    viewer.leave().await;
    let back = Peer::join(&server, "call", "viewer", Role::Subscriber).await;
    back.track(true).await.more(2 * VIDEO_PACKETS).await;
    check_vp8(&late.track(true).await.packets());
    assert!(!server.has_ended());

    publisher.leave().await;
    late.leave().await;
    back.leave().await;
    assert!(!server.has_ended(), "somebody still watches");
    player.end(&server).await;
    assert!(server.ended(SOON).await.success());
    assert!(server.log().contains("asked to end"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_grace_is_over_participants_are_told_to_reconnect_in_slices_room_by_room() {
    const ROOMS: usize = 3;
    const MEMBERS: usize = 4;
    let mut server = Server::start_with(&["--shards", "2", "--drain-grace", "1", "--drain-spread", "6"]);
    let mut told = Vec::new();
    for room in 0..ROOMS {
        for member in 0..MEMBERS {
            let signal = sit(&server, &format!("room {room}").replace(' ', "%20"), &format!("p{member}")).await;
            told.push((room, tokio::spawn(async move { (told_to_leave(&signal).await, Instant::now()) })));
        }
    }
    assert_eq!(server.metric("sfumato_participants"), (ROOMS * MEMBERS) as u64);
    let asked = Instant::now();
    server.terminate();
    let mut times = Vec::new();
    for (room, wait) in told {
        let (leave, at) = wait.await.expect("told");
        assert_reconnects(&leave);
        times.push((at.duration_since(asked), room));
    }
    times.sort_unstable();
    assert!(times[0].0 >= Duration::from_secs(1), "told before the grace was over: {times:?}");
    let last = times[times.len() - 1].0;
    assert!(last >= Duration::from_secs(6) && last < Duration::from_secs(9), "{times:?}");
    // Twelve in six seconds: two a second; a busy machine may deliver late what was said in time.
    for second in times.windows(6) {
        let took = second[5].0.checked_sub(second[0].0).expect("sorted");
        assert!(took > Duration::from_millis(1_200), "six within {took:?}: {times:?}");
    }
    let rooms: Vec<usize> = times.iter().map(|(_, room)| *room).collect();
    let changes = rooms.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, ROOMS - 1, "a room was left half-way: {rooms:?}");
    assert!(server.ended(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_participants_are_sent_away_nobody_is_let_in() {
    let mut server = Server::start_with(&["--drain-grace", "0", "--drain-spread", "600"]);
    let (first, second) = (sit(&server, "call", "first").await, sit(&server, "call", "second").await);
    let publisher = Streamer::publish(&server, "/whip/stage").await;
    server.terminate();
    // The first of three is told at once, the next after 200 s.
    let left = tokio::select! { leave = told_to_leave(&first) => leave, leave = told_to_leave(&second) => leave };
    assert_reconnects(&left);
    assert_shed(&server, "call", "first", "about to end");
    assert_eq!(server.ask("GET", &publisher.session, &[], "").status, 204, "its turn has not come");
    server.terminate();
    assert!(server.ended(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_and_everybody_is_told() {
    let mut server = Server::start_with(&["--drain-grace", "3600"]);
    let signals = [sit(&server, "a", "anna").await, sit(&server, "b", "bert").await];
    let publisher = Streamer::publish(&server, "/whip/stage").await;
    server.terminate();
    eventually("draining", async || if readyz(&server).0 == 503 { Ok(()) } else { Err("ready".to_owned()) }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!server.has_ended());
    let asked = Instant::now();
    server.terminate();
    assert!(server.ended(SOON).await.success());
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    for signal in &signals {
        assert_reconnects(&told_to_leave(signal).await);
    }
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_development_one_signal_is_enough() {
    let mut server = Server::start();
    let anna = sit(&server, "a", "anna").await;
    server.terminate();
    assert_reconnects(&told_to_leave(&anna).await);
    assert!(server.ended(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_server_turns_newcomers_away_and_keeps_calls_and_those_who_come_back() {
    let mut server = Server::start_with(&["--shards", "1", "--limit-shard-busy", "1"]);
    let publisher = Peer::join(&server, "call", "publisher", Role::Publisher).await;
    let viewer = Peer::join(&server, "call", "viewer", Role::Subscriber).await;
    let video = viewer.track(true).await;
    eventually("too much load", async || match server.metric("sfumato_overloaded") {
        1 => Ok(()),
        _ => Err("not overloaded".to_owned()),
    })
    .await;
    let (status, said) = readyz(&server);
    assert_eq!(status, 503);
    assert!(said.contains("overloaded") && said.contains("limit.shard_busy_percent"), "{said}");
    assert_eq!(server.ask("GET", "/livez", &[], "").status, 200);
    assert_shed(&server, "other", "somebody", "too busy");
    assert_shed(&server, "call", "newcomer", "too busy");
    let refused = server.ask("POST", "/whep/call", &[("Content-Type", "application/sdp")], "v=0");
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));

    video.more(VIDEO_PACKETS).await;
    drop(viewer);
    let back = Peer::join(&server, "call", "viewer", Role::Subscriber).await;
    back.track(true).await.more(VIDEO_PACKETS).await;
    assert_shed(&server, "other", "viewer", "too busy");

    back.leave().await;
    publisher.leave().await;
    // Ten seconds well below the limit, and some for the last to be gone.
    tokio::time::sleep(Duration::from_secs(9)).await;
    eventually("room again", async || match readyz(&server) {
        (200, _) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_eq!(validate(&server, "other", "somebody").status, 200);
    server.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_short_of_memory_turns_newcomers_away() {
    // Whatever it runs on uses more than a hundredth of its memory.
    let server = Server::start_with(&["--limit-memory", "1"]);
    let anna = sit(&server, "call", "anna").await;
    eventually("being short of memory", async || match readyz(&server) {
        (503, said) if said.contains("limit.memory_percent") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    assert_shed(&server, "call", "bert", "short of memory");
    assert_eq!(validate(&server, "call", "anna").status, 200, "she is here");
    let metrics = server.metrics();
    let used = metrics.lines().find_map(|line| line.strip_prefix("sfumato_memory_used_ratio ")?.parse::<f64>().ok());
    assert!(used.is_some_and(|used| used >= 0.01), "{used:?}");
    assert!(metrics.contains("sfumato_joins_shed_total{reason=\"memory\"} 1"), "{metrics}");
    drop(anna);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_tells_what_the_server_tells() {
    let mut server = Server::start_with(&["--drain-grace", "60"]);
    let port = server.operations().port();
    assert_eq!(healthcheck(port, &[]), (Some(0), "ready".to_owned()));
    assert_eq!(healthcheck(port, &["--live"]), (Some(0), "alive".to_owned()));
    let anna = sit(&server, "a", "anna").await;
    server.terminate();
    eventually("draining", async || if readyz(&server).0 == 503 { Ok(()) } else { Err("ready".to_owned()) }).await;
    assert_eq!(healthcheck(port, &[]), (Some(1), "not ready: draining".to_owned()));
    assert_eq!(healthcheck(port, &["--live"]), (Some(0), "alive".to_owned()));
    drop(anna);
    server.terminate();
    server.ended(SOON).await;
    let (code, said) = healthcheck(port, &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no answer"), "{said}");
}
