//! A running call while others send to the media port whatever they can: the call goes on, strangers get no answer, cost
//! no memory, and are counted.
//!
//! Loss is measured against the kernel's own count of datagrams that found a socket's buffer full: no packet may be
//! missing beyond those.

#![allow(clippy::expect_used, reason = "a test stops where it is wrong")]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use livekit_protocol::participant_info::State;
use support::eventually;
use support::hostile::{CLASSES, Forger, plaintext_alert};
use support::media::{check_opus, check_vp8};
use support::peer::{Peer, Role, Track};
use support::server::{Server, kernel_drops};

const SEED: u64 = 0x5f0_a70;
/// Ethernet's MTU: no path delivers more in one packet.
const LONGEST: usize = 1_500;
/// Strangers in one round, each with a port of its own.
const PORTS: usize = 100;
const ROUNDS: usize = 10;
const DATAGRAMS_A_PORT: usize = 200;
/// Datagrams sent before memory is measured, so that buffers made once are made.
const WARM_UP: usize = 100;
/// What 200,000 datagrams of 1,000 strangers may cost.
const GROWTH_BYTES: u64 = 1 << 20;
/// Pace of strangers, datagrams a second: enough to hide a call in, not enough to fill the port's buffer.
const PACE: u32 = 30_000;
const BURST: usize = 32;
/// Time in which an answer would have come: loopback takes microseconds.
const ANSWER_TIME: Duration = Duration::from_millis(50);
/// Time between two packets of audio.
const AUDIO_EVERY: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_disturb_nothing_get_no_answer_and_cost_no_memory() {
    let mut call = Call::start("strangers").await;
    let mut forger = Forger::new(SEED);
    let (_, ufrag) = call.publisher.server_media().await;
    let port = call.port;

    let noise: Vec<Vec<u8>> = (0..=LONGEST)
        .flat_map(|len| CLASSES.map(|class| (class, len)))
        .map(|(class, len)| forger.noise(class, len))
        .collect();
    call.send_from_strangers(1, noise).await;

    let real = call.publisher.relay.as_ref().expect("the publisher is relayed").seen();
    let truncated: Vec<Vec<u8>> = real.iter().flat_map(|packet| truncations(packet)).collect();
    call.send_from_strangers(1, truncated).await;
    call.send_from_strangers(1, real).await;

    let requests = (0..1_000).map(|_| forger.binding_request(&ufrag)).collect();
    call.send_from_strangers(10, requests).await;
    let hellos = (0..1_000).map(|_| forger.client_hello()).collect();
    call.send_from_strangers(10, hellos).await;
    assert!(call.server.dropped("stun_unauthenticated") >= 1_000, "requests that do not verify are counted as such");
    assert!(call.server.dropped("unknown_address") >= 1_000, "DTLS of strangers is counted as such");

    let mixed = |forger: &mut Forger, index: usize| match index % 8 {
        0 | 1 => forger.binding_request(&ufrag),
        2 => forger.client_hello(),
        kind => forger.noise(CLASSES[kind - 3], 1 + index * 37 % 1_200),
    };
    let mut flood = |a_port: usize| (0..PORTS * a_port).map(|index| mixed(&mut forger, index)).collect::<Vec<_>>();
    call.send_from_strangers(PORTS, flood(WARM_UP)).await;
    let (before, packets, start) = (call.server.resident_bytes(), call.audio.packets().len(), Instant::now());
    for _ in 0..ROUNDS {
        call.send_from_strangers(PORTS, flood(DATAGRAMS_A_PORT)).await;
    }
    let growth = call.server.resident_bytes().saturating_sub(before);
    assert!(growth <= GROWTH_BYTES, "200,000 datagrams of 1,000 strangers cost {growth} bytes at port {port}");
    let due = start.elapsed().as_millis() / AUDIO_EVERY.as_millis();
    let came = (call.audio.packets().len() - packets) as u128;
    assert!(came >= due * 9 / 10, "{came} of {due} audio packets came during the flood");
    call.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_datagrams_from_a_peers_own_address_do_not_end_its_call() {
    let mut call = Call::start("on-path").await;
    let mut forger = Forger::new(SEED);
    let (_, ufrag) = call.publisher.server_media().await;
    let relay = call.publisher.relay.as_ref().expect("the publisher is relayed");

    for (index, len) in (0..=LONGEST).step_by(10).enumerate() {
        for class in CLASSES {
            relay.inject(&forger.noise(class, len)).await;
        }
        // At the call's pace, so that the port's buffer holds it.
        if index % 10 == 0 {
            tokio::time::sleep(AUDIO_EVERY).await;
        }
    }
    for packet in relay.seen().iter().rev().take(20) {
        relay.inject(packet).await;
        relay.inject(&forger.flipped(packet)).await;
        for truncated in truncations(packet).step_by(10) {
            relay.inject(&truncated).await;
        }
        tokio::time::sleep(AUDIO_EVERY).await;
    }
    for _ in 0..20 {
        relay.inject(&forger.binding_request(&ufrag)).await;
        relay.inject(&forger.client_hello()).await;
    }
    // close_notify as a warning, handshake_failure as fatal.
    relay.inject(&plaintext_alert(1, 0)).await;
    relay.inject(&plaintext_alert(2, 40)).await;
    assert!(relay.seen().len() > 20, "there were real packets to forge from");
    for reason in ["srtp_unauthenticated", "srtp_replayed", "stun_unauthenticated", "malformed"] {
        eventually(reason, async || match call.server.dropped(reason) {
            0 => Err("not counted".to_owned()),
            _ => Ok(()),
        })
        .await;
    }
    call.assert_undisturbed().await;
}

/// A publisher, over a relay, and a subscriber, with media flowing.
struct Call {
    server: Server,
    publisher: Peer,
    subscriber: Peer,
    audio: Track,
    video: Track,
    /// The server's media port.
    port: u16,
}

impl Call {
    async fn start(room: &str) -> Call {
        let server = Server::start();
        let publisher = Peer::join(&server, room, "publisher", Role::RelayedPublisher).await;
        let subscriber = Peer::join(&server, room, "subscriber", Role::Subscriber).await;
        let (audio, video) = (subscriber.track(false).await, subscriber.track(true).await);
        audio.more(10).await;
        video.more(10).await;
        let (media, _) = publisher.server_media().await;
        Call { server, publisher, subscriber, audio, video, port: media.port() }
    }

    /// Sends from `ports` new sockets by turns; then nothing has come back, and all was counted, but for what the kernel
    /// dropped and datagrams of no bytes.
    async fn send_from_strangers(&self, ports: usize, datagrams: Vec<Vec<u8>>) {
        let (before, lost) = (self.counted(), kernel_drops(self.port));
        let sent = datagrams.iter().filter(|datagram| !datagram.is_empty()).count() as u64;
        let to = SocketAddr::from(([127, 0, 0, 1], self.port));
        let sockets = tokio::task::spawn_blocking(move || send(ports, &datagrams, to)).await.expect("sending works");
        eventually("all strangers being counted", async || {
            let seen = self.counted() - before + kernel_drops(self.port) - lost;
            if seen >= sent { Ok(()) } else { Err(format!("{seen} of {sent}")) }
        })
        .await;
        tokio::time::sleep(ANSWER_TIME).await;
        for socket in sockets {
            let answer = socket.recv_from(&mut [0; 2048]);
            let nothing = answer.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(nothing, "a stranger was answered: {answer:?}");
        }
    }

    fn counted(&self) -> u64 {
        self.server.metric("sfumato_datagrams_dropped_total")
    }

    /// Media still comes, whole but for what sockets' buffers could not hold, and nobody left.
    async fn assert_undisturbed(&mut self) {
        self.audio.more(50).await;
        self.video.more(30).await;
        let relay = self.publisher.relay.as_ref().expect("the publisher is relayed").address().port();
        let ports = [self.port, relay, self.publisher.media_port().await, self.subscriber.media_port().await];
        let lost: u64 = ports.into_iter().map(kernel_drops).sum();
        let (audio, video) = (check_opus(&self.audio.packets()), check_vp8(&self.video.packets()));
        assert!(
            audio.missing + video.missing <= lost,
            "audio {audio:?}, video {video:?}, dropped by the kernel: {lost}"
        );
        for (peer, other) in [(&self.publisher, "subscriber"), (&self.subscriber, "publisher")] {
            assert_ne!(peer.signal.state_of(other), Some(State::Disconnected), "{other} left");
        }
        assert_eq!(self.server.metric("sfumato_participants"), 2);
        self.server.assert_alive();
    }
}

/// Everything a packet can be cut down to.
fn truncations(packet: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..packet.len()).map(|len| packet[..len].to_vec())
}

/// Sends at [`PACE`], from new sockets by turns, which are given back to see whether anything is answered.
#[allow(clippy::disallowed_methods, reason = "on a thread for blocking work, and finer than the runtime's timer")]
fn send(ports: usize, datagrams: &[Vec<u8>], to: SocketAddr) -> Vec<UdpSocket> {
    let bind = || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("sockets can be non-blocking");
        socket
    };
    let sockets: Vec<UdpSocket> = (0..ports).map(|_| bind()).collect();
    let start = Instant::now();
    for (burst, chunk) in datagrams.chunks(BURST).enumerate() {
        for (datagram, socket) in chunk.iter().zip(sockets.iter().cycle().skip(burst * BURST % ports)) {
            socket.send_to(datagram, to).expect("loopback takes datagrams");
        }
        let due = Duration::from_secs(1) * (burst * BURST) as u32 / PACE;
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
    sockets
}
