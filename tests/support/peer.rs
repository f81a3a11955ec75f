//! A participant made of the `webrtc` crate, a WebRTC stack of its own: joins a room, publishes synthetic media, receives
//! what is forwarded, talks over data channels.
//!
//! What always holds: it is always the offerer, with one peer connection, as the protocol asks of clients.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::BytesMut;
use livekit_protocol as proto;
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use prost::Message;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodecParameters, RtpCodecKind};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCPeerConnectionState,
    RTCSessionDescription, Registry, SettingEngineBuilder, register_default_interceptors,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::media::{self, Received};
use super::relay::Relay;
use super::server::Server;
use super::signal::{Signal, join_request};
use super::{eventually, within};
use interceptor::KeyframeRequests;

mod interceptor;
pub mod publish;

/// Receive-only sections of each kind that a first offer holds.
const RECEIVE_SECTIONS: usize = 3;

/// What a peer does in the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Sends audio and video, and can receive too.
    Publisher,
    /// The same, over a [`Relay`].
    RelayedPublisher,
    /// The same, with RTX (RFC 4588): what is lost is sent again as a stream of its own.
    RepairingPublisher,
    Subscriber,
}

pub struct Peer {
    pub identity: String,
    pub signal: Signal,
    /// PLI and FIR received for the published video.
    pub keyframe_requests: Arc<AtomicU32>,
    pub relay: Option<Relay>,
    connection: Arc<dyn PeerConnection>,
    events: Arc<Events>,
    channels: Channels,
    negotiation: watch::Receiver<Negotiated>,
    tasks: Vec<JoinHandle<()>>,
}

/// A track that is forwarded to a peer.
#[derive(Clone)]
pub struct Track {
    pub video: bool,
    /// The stream part of `a=msid`.
    pub stream_id: String,
    pub ssrc: u32,
    packets: Arc<Mutex<Vec<Received>>>,
    remote: Arc<dyn TrackRemote>,
}

/// What the last answer said.
#[derive(Clone, Default, Debug)]
pub struct Negotiated {
    pub answers: u32,
    pub sdp: String,
}

/// What the peer connection tells.
#[derive(Default)]
pub struct Events {
    pub connected: watch::Sender<bool>,
    tracks: Mutex<Vec<Track>>,
}

#[derive(Clone)]
struct Channels {
    reliable: Arc<dyn DataChannel>,
    open: Arc<AtomicBool>,
    messages: Arc<Mutex<Vec<proto::DataPacket>>>,
}

impl Peer {
    /// Joins and waits until the transport is connected and the reliable channel is open.
    pub async fn join(server: &Server, room: &str, identity: &str, role: Role) -> Peer {
        let events = Arc::<Events>::default();
        let rtx = role == Role::RepairingPublisher;
        let connection = connect(Arc::clone(&events), rtx).await;
        let (channels, mut tasks) = open_channels(&*connection).await;
        let keyframe_requests = Arc::default();
        let publishes = role != Role::Subscriber;
        if publishes {
            tasks.extend(publish::tracks(&*connection, &events.connected, &keyframe_requests, rtx).await);
        }
        add_receivers(&*connection, RECEIVE_SECTIONS, RECEIVE_SECTIONS).await;
        let offer = offer(&*connection, 1).await;
        let token = server.token(room, identity);
        let signal = Signal::connect(server.address(), &token, &join_request(Some(offer))).await;
        signal.join().await;
        if publishes {
            publish::announcements().into_iter().for_each(|track| signal.send(Request::AddTrack(track)));
        }
        let first = signal.find("the first answer", 0, answer_in).await;
        let relay = match role {
            Role::RelayedPublisher | Role::RepairingPublisher => Some(Relay::to(candidate(&first.sdp)).await),
            _ => None,
        };
        let redirect = relay.as_ref().map(|relay| (candidate(&first.sdp).port(), relay.address().port()));
        let (told, negotiation) = watch::channel(Negotiated::default());
        tasks.push(tokio::spawn(negotiate(signal.clone(), Arc::clone(&connection), redirect, told)));
        let peer = Peer {
            identity: identity.to_owned(),
            signal,
            keyframe_requests,
            relay,
            connection,
            events,
            channels,
            negotiation,
            tasks,
        };
        peer.connected().await;
        peer
    }

    async fn connected(&self) {
        self.events.connected(&self.identity).await;
        eventually("the reliable channel", async || {
            let open = self.channels.open.load(SeqCst);
            if open { Ok(()) } else { Err("not open".to_owned()) }
        })
        .await;
    }

    /// The own participant's server identifier.
    pub async fn sid(&self) -> String {
        self.signal.join().await.participant.expect("a join response names the participant").sid
    }

    pub fn negotiated(&self) -> Negotiated {
        self.negotiation.borrow().clone()
    }

    /// The server's media address and ICE username fragment, from the answer.
    pub async fn server_media(&self) -> (SocketAddr, String) {
        let answer = self.signal.find("the first answer", 0, answer_in).await;
        (candidate(&answer.sdp), attribute(&answer.sdp, "ice-ufrag:").to_owned())
    }

    /// The port that the peer's media socket is bound to.
    pub async fn media_port(&self) -> u16 {
        let local = self.connection.local_description().await.expect("an offer was made");
        candidate(&local.sdp).port()
    }

    /// The track of one kind that is forwarded to this peer, once its first packet came.
    pub async fn track(&self, video: bool) -> Track {
        self.events.track(&self.identity, video).await
    }

    pub async fn send_reliable(&self, packet: &proto::DataPacket) {
        let bytes = BytesMut::from(&packet.encode_to_vec()[..]);
        self.channels.reliable.send(bytes).await.expect("an open channel takes messages");
    }

    /// Data packets received so far.
    pub fn data_packets(&self) -> Vec<proto::DataPacket> {
        self.channels.messages.lock().expect("no holder panics").clone()
    }

    /// Leaves as clients do: says so, then closes.
    pub async fn leave(mut self) {
        self.signal.send(Request::Leave(proto::LeaveRequest {
            reason: proto::DisconnectReason::ClientInitiated.into(),
            ..Default::default()
        }));
        self.tasks.drain(..).for_each(|task| task.abort());
        within("closing the connection", self.connection.close()).await.expect("it closes");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Track {
    /// Packets received so far, oldest first.
    pub fn packets(&self) -> Vec<Received> {
        self.packets.lock().expect("no holder panics").clone()
    }

    /// Waits until `count` packets more than now have come.
    pub async fn more(&self, count: usize) {
        let wanted = self.packets().len() + count;
        eventually("more packets", async || {
            let have = self.packets.lock().expect("no holder panics").len();
            if have >= wanted { Ok(()) } else { Err(format!("{have} of {wanted}")) }
        })
        .await;
    }

    /// Asks for a keyframe.
    pub async fn request_keyframe(&self) {
        let pli = rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication {
            sender_ssrc: 0,
            media_ssrc: self.ssrc,
        };
        self.remote.write_rtcp(vec![Box::new(pli)]).await.expect("the connection is open");
    }
}

impl Events {
    pub async fn connected(&self, who: &str) {
        let mut connected = self.connected.subscribe();
        let connected = connected.wait_for(|connected| *connected);
        within(&format!("{who}'s transport"), connected).await.expect("the sender lives in self");
    }

    /// The track of one kind that is forwarded to the peer, once its first packet came.
    pub async fn track(&self, who: &str, video: bool) -> Track {
        eventually(&format!("{who}: a track with video = {video}"), async || {
            let tracks = self.tracks.lock().expect("no holder panics");
            let track = tracks.iter().find(|track| track.video == video).cloned();
            track.ok_or_else(|| format!("{} tracks", tracks.len()))
        })
        .await
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.connected.send_replace(state == RTCPeerConnectionState::Connected);
    }

    async fn on_track(&self, remote: Arc<dyn TrackRemote>) {
        let track = Track {
            video: remote.kind().await == RtpCodecKind::Video,
            stream_id: remote.stream_id().await.to_string(),
            ssrc: remote.ssrcs().await.first().copied().unwrap_or_default(),
            packets: Arc::default(),
            remote: Arc::clone(&remote),
        };
        let packets = Arc::clone(&track.packets);
        self.tracks.lock().expect("no holder panics").push(track);
        tokio::spawn(async move {
            while let Some(event) = remote.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    packets
                        .lock()
                        .expect("no holder panics")
                        .push(Received { header: packet.header, payload: packet.payload.to_vec() });
                }
            }
        });
    }
}

pub async fn connect(events: Arc<Events>, rtx: bool) -> Arc<dyn PeerConnection> {
    let mut engine = MediaEngine::default();
    let mut codecs = vec![
        (publish::opus(), media::OPUS_PAYLOAD_TYPE, RtpCodecKind::Audio),
        (publish::vp8(), media::VP8_PAYLOAD_TYPE, RtpCodecKind::Video),
    ];
    if rtx {
        codecs.push((publish::rtx(), media::RTX_PAYLOAD_TYPE, RtpCodecKind::Video));
    }
    for (rtp_codec, payload_type, kind) in codecs {
        let codec = RTCRtpCodecParameters { rtp_codec, payload_type };
        engine.register_codec(codec, kind).expect("a new codec");
    }
    // A restart opens another socket, as after a change of network.
    let settings = SettingEngineBuilder::new().with_discard_local_candidates_during_ice_restart(true).build();
    let registry = register_default_interceptors(Registry::new(), &mut engine).expect("new interceptors");
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(engine)
        .with_setting_engine(settings)
        .with_interceptor_registry(registry.with(interceptor::LAST, KeyframeRequests::default()))
        .with_handler(events)
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build()
        .await
        .expect("a peer connection");
    Arc::new(connection)
}

async fn open_channels(connection: &dyn PeerConnection) -> (Channels, Vec<JoinHandle<()>>) {
    let reliable = connection.create_data_channel("_reliable", None).await.expect("a channel");
    let unordered = || RTCDataChannelInit { ordered: false, max_retransmits: Some(0), ..Default::default() };
    let lossy = connection.create_data_channel("_lossy", Some(unordered())).await.expect("a channel");
    let tracks = connection.create_data_channel("_data_track", Some(unordered())).await.expect("a channel");
    let channels = Channels { reliable: Arc::clone(&reliable), open: Arc::default(), messages: Arc::default() };
    let others = [lossy, tracks].map(|channel| tokio::spawn(async move { while channel.poll().await.is_some() {} }));
    let mut tasks = Vec::from(others);
    tasks.push(tokio::spawn(read_reliable(channels.clone())));
    (channels, tasks)
}

async fn read_reliable(channels: Channels) {
    while let Some(event) = channels.reliable.poll().await {
        match event {
            DataChannelEvent::OnOpen => channels.open.store(true, SeqCst),
            DataChannelEvent::OnMessage(message) => {
                let packet = proto::DataPacket::decode(message.data.freeze()).expect("the server sends data packets");
                channels.messages.lock().expect("no holder panics").push(packet);
            }
            _ => {}
        }
    }
}

/// Applies answers, and offers again when the server asks for it.
async fn negotiate(
    signal: Signal,
    connection: Arc<dyn PeerConnection>,
    redirect: Option<(u16, u16)>,
    told: watch::Sender<Negotiated>,
) {
    let (mut id, mut next, mut outstanding, mut wanted) = (1, 0, true, false);
    while let Some(response) = signal.response(next).await {
        next += 1;
        match response {
            Response::Answer(answer) if answer.id == id => {
                let mut sdp = answer.sdp;
                if let Some((server, relay)) = redirect {
                    sdp = sdp.replace(&format!(" 127.0.0.1 {server} "), &format!(" 127.0.0.1 {relay} "));
                }
                let answer = RTCSessionDescription::answer(sdp.clone()).expect("the answer parses");
                connection.set_remote_description(answer).await.expect("the answer applies");
                outstanding = false;
                told.send_modify(|negotiated| {
                    negotiated.answers += 1;
                    negotiated.sdp = sdp;
                });
            }
            Response::MediaSectionsRequirement(more) => {
                add_receivers(&*connection, more.num_audios as usize, more.num_videos as usize).await;
                wanted = true;
            }
            _ => {}
        }
        if wanted && !outstanding {
            (wanted, outstanding) = (false, true);
            id += 1;
            signal.send(Request::Offer(offer(&*connection, id).await));
        }
    }
}

/// An offer that was applied as the local description.
pub async fn offer(connection: &dyn PeerConnection, id: u32) -> proto::SessionDescription {
    let offer = connection.create_offer(None).await.expect("an offer");
    let sdp = offer.sdp.clone();
    connection.set_local_description(offer).await.expect("the own offer applies");
    proto::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() }
}

pub async fn add_receivers(connection: &dyn PeerConnection, audios: usize, videos: usize) {
    let kinds = [(RtpCodecKind::Audio, audios), (RtpCodecKind::Video, videos)];
    for (kind, count) in kinds {
        for _ in 0..count {
            let init = transceiver(RTCRtpTransceiverDirection::Recvonly);
            connection.add_transceiver_from_kind(kind, init).await.expect("a transceiver");
        }
    }
}

fn transceiver(direction: RTCRtpTransceiverDirection) -> Option<RTCRtpTransceiverInit> {
    Some(RTCRtpTransceiverInit { direction, ..Default::default() })
}

fn answer_in(response: &Response) -> Option<proto::SessionDescription> {
    match response {
        Response::Answer(answer) => Some(answer.clone()),
        _ => None,
    }
}

/// The address of the first candidate of a description.
pub fn candidate(sdp: &str) -> SocketAddr {
    let fields: Vec<&str> = attribute(sdp, "candidate:").split_whitespace().collect();
    let address = format!("{}:{}", fields[4], fields[5]);
    address.parse().unwrap_or_else(|_| panic!("no address in {fields:?}"))
}

/// The value of the first attribute whose line starts with `name`.
pub fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let value = sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no a={name} in {sdp}"))
}
