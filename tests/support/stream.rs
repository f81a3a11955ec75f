//! A publisher by WHIP and a player by WHEP, made of the `webrtc` crate and single HTTP requests.
//!
//! What always holds: neither signals in any other way, and neither negotiates again.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::task::JoinHandle;
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};

use super::peer::{Events, Track, add_receivers, attribute, candidate, connect, offer, publish};
use super::server::{Answer, Server};
use super::within;

const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");

/// One session of either protocol.
pub struct Streamer {
    name: String,
    /// Path of the session.
    pub session: String,
    /// Of the session's present ICE.
    pub tag: String,
    /// PLI and FIR received for the published video.
    pub keyframe_requests: Arc<AtomicU32>,
    pub answer: String,
    connection: Arc<dyn PeerConnection>,
    events: Arc<Events>,
    tasks: Vec<JoinHandle<()>>,
}

impl Streamer {
    /// Publishes synthetic audio and video; returns when the transport is connected.
    pub async fn publish(server: &Server, path: &str) -> Streamer {
        let events = Arc::<Events>::default();
        let connection = connect(Arc::clone(&events), false).await;
        let keyframe_requests = Arc::default();
        let tasks = publish::tracks(&*connection, &events.connected, &keyframe_requests, false).await;
        let mut streamer = Streamer::open(server, path, connection, events).await;
        streamer.tasks.extend(tasks);
        streamer.keyframe_requests = keyframe_requests;
        streamer.events.connected(path).await;
        streamer
    }

    /// Watches; returns when the transport is connected, whether somebody publishes or not.
    pub async fn play(server: &Server, path: &str) -> Streamer {
        let events = Arc::<Events>::default();
        let connection = connect(Arc::clone(&events), false).await;
        add_receivers(&*connection, 1, 1).await;
        let streamer = Streamer::open(server, path, connection, events).await;
        streamer.events.connected(path).await;
        streamer
    }

    async fn open(server: &Server, path: &str, connection: Arc<dyn PeerConnection>, events: Arc<Events>) -> Streamer {
        let offer = offer(&*connection, 0).await.sdp;
        let created = server.ask("POST", path, &[SDP], &offer);
        assert_eq!(created.status, 201, "{created:?}");
        assert_eq!(created.header("Content-Type"), Some("application/sdp"));
        let header = |name: &str| created.header(name).unwrap_or_else(|| panic!("no {name}")).to_owned();
        let (session, tag) = (header("Location"), header("ETag"));
        let answer = created.body.clone();
        apply(&*connection, &answer).await;
        let (name, keyframe_requests) = (path.to_owned(), Arc::default());
        Streamer { name, session, tag, keyframe_requests, answer, connection, events, tasks: Vec::new() }
    }

    pub async fn track(&self, video: bool) -> Track {
        self.events.track(&self.name, video).await
    }

    /// The port the media socket is bound to. After a restart those before it are still described.
    pub async fn media_port(&self) -> u16 {
        let local = self.connection.local_description().await.expect("an offer was made");
        let (_, newest) = local.sdp.rsplit_once("a=candidate:").expect("a candidate");
        candidate(&format!("a=candidate:{newest}")).port()
    }

    /// Restarts ICE. What was told before no longer counts at either end.
    pub async fn restart_ice(&mut self, server: &Server) {
        self.connection.restart_ice().await.expect("a restart can be asked for");
        let offer = offer(&*self.connection, 0).await.sdp;
        let credentials = ["ice-ufrag:", "ice-pwd:"].map(|name| format!("a={name}{}\r\n", attribute(&offer, name)));
        let restarted = server.ask("PATCH", &self.session, &[FRAGMENT, ("If-Match", "*")], &credentials.concat());
        assert_eq!(restarted.status, 200, "{restarted:?}");
        self.tag = restarted.header("ETag").expect("a restart has a tag").to_owned();
        for name in ["ice-ufrag:", "ice-pwd:"] {
            let (old, new) = (attribute(&self.answer, name), attribute(&restarted.body, name));
            assert_ne!(old, new, "{name} is new");
            self.answer = self.answer.replace(&format!("a={name}{old}"), &format!("a={name}{new}"));
        }
        apply(&*self.connection, &self.answer).await;
    }

    /// A request to the session with a fragment of SDP.
    pub fn patch(&self, server: &Server, if_match: &str, fragment: &str) -> Answer {
        server.ask("PATCH", &self.session, &[FRAGMENT, ("If-Match", if_match)], fragment)
    }

    /// Ends the session by its address, and closes.
    pub async fn end(self, server: &Server) {
        assert_eq!(server.ask("DELETE", &self.session, &[], "").status, 200);
        self.close().await;
    }

    /// Closes the connection alone.
    pub async fn close(mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        within("closing the connection", self.connection.close()).await.expect("it closes");
    }
}

impl Drop for Streamer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn apply(connection: &dyn PeerConnection, answer: &str) {
    let answer = RTCSessionDescription::answer(answer.to_owned()).expect("the answer parses");
    connection.set_remote_description(answer).await.expect("the answer applies");
}
