//! Signalling as the LiveKit client SDKs speak it, version 1: one WebSocket, one peer connection, the client offers.
//!
//! What always holds: a first offer has three sections to receive in of each kind, as stock clients' have; more are offered
//! when the server asks for them. One offer is outstanding at a time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{FutureExt, SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use proto::wrapped_join_request::Compression;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::sdp::SentTrack;
use super::session::{Layer, Session};
use super::{Access, Context};
use crate::client::format::Kind;
use crate::error::Error;

const PING_EVERY: Duration = Duration::from_secs(5);
/// Sections to receive in that a first offer has, of each kind.
const FIRST_SECTIONS: usize = 3;
/// The version of the protocol.
const PROTOCOL: i32 = 17;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Joins, keeps the connection until told to leave, and leaves.
pub async fn run(
    context: &Context,
    access: &Access,
    mut session: Session,
    leave: watch::Receiver<bool>,
) -> Result<(), Error> {
    let started = Instant::now();
    let url = url(context, access, &mut session)?;
    let connecting = tokio::time::timeout(access.timeout, connect_async(url)).await;
    let connected = connecting.map_err(|_| access.late("the WebSocket"))?;
    let (mut socket, _) = connected.map_err(|error| Error::Signalling(error.to_string()))?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        // What TCP would hold back to fill a segment is a request somebody waits for.
        stream.set_nodelay(true)?;
    }
    let mut talk = Talk { context, access, session, started, wished: HashSet::new() };
    let outcome = talk.run(&mut socket, leave).await;
    let mut session = talk.session;
    session.leave(context);
    let leave = proto::LeaveRequest { reason: proto::DisconnectReason::ClientInitiated.into(), ..Default::default() };
    // A server that is gone need not be told.
    let _ = tokio::time::timeout(access.timeout, async {
        let _ = send(&mut socket, Request::Leave(leave)).await;
        let _ = socket.close(None).await;
    })
    .await;
    outcome
}

/// One connection's talk with the server.
struct Talk<'a> {
    context: &'a Context,
    access: &'a Access,
    session: Session,
    /// When the first byte was about to leave.
    started: Instant,
    /// Tracks for which the wished layer was asked.
    wished: HashSet<String>,
}

impl Talk<'_> {
    /// Answers the server until told to leave.
    async fn run(&mut self, socket: &mut Socket, mut leave: watch::Receiver<bool>) -> Result<(), Error> {
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.tick().await;
        let deadline = tokio::time::Instant::now() + self.access.timeout;
        loop {
            let requests = tokio::select! {
                frame = socket.next() => match frame {
                    Some(Ok(Frame::Binary(bytes))) => self.on_message(&bytes)?,
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => {
                        return Err(Error::Signalling("the server closed the connection".to_owned()));
                    }
                    Some(Ok(_)) => Vec::new(),
                },
                _ = pings.tick() => vec![Request::PingReq(proto::Ping::default())],
                () = tokio::time::sleep_until(deadline), if !self.session.is_connected() => {
                    return Err(self.access.late("the answer"));
                }
                _ = leave.wait_for(|leave| *leave).map(|_| ()) => return Ok(()),
            };
            for request in requests {
                send(socket, request).await?;
            }
        }
    }

    /// What to send back, if anything.
    fn on_message(&mut self, bytes: &[u8]) -> Result<Vec<Request>, Error> {
        let Ok(response) = proto::SignalResponse::decode(bytes) else {
            return Err(Error::Signalling("the server sent what is no protocol message".to_owned()));
        };
        let mut requests = Vec::new();
        match response.message {
            Some(Response::Join(join)) => requests.extend(self.wish(&join.other_participants)),
            Some(Response::Update(update)) => requests.extend(self.wish(&update.participants)),
            Some(Response::Answer(answer)) => {
                self.session.on_answer(self.context, self.access, self.started, answer.id, &answer.sdp)?;
            }
            Some(Response::MediaSectionsRequirement(more)) => {
                self.session.receive_more(more.num_audios as usize, more.num_videos as usize);
                self.session.offer_wanted = true;
            }
            Some(Response::Leave(leave)) => {
                return Err(Error::Signalling(format!("the server ended the session: {:?}", leave.reason())));
            }
            _ => {}
        }
        if self.session.may_offer() {
            requests.push(Request::Offer(offer(self.context, &mut self.session)));
        }
        Ok(requests)
    }

    /// Asks for the wished layer of video tracks that are new.
    fn wish(&mut self, participants: &[proto::ParticipantInfo]) -> Option<Request> {
        let quality = quality(self.session.plan.wish?);
        let tracks = participants.iter().flat_map(|participant| &participant.tracks);
        let videos = tracks.filter(|track| track.r#type() == proto::TrackType::Video).map(|track| track.sid.clone());
        let track_sids: Vec<String> = videos.filter(|sid| self.wished.insert(sid.clone())).collect();
        let settings = proto::UpdateTrackSettings { track_sids, quality: quality.into(), ..Default::default() };
        (!settings.track_sids.is_empty()).then_some(Request::TrackSetting(settings))
    }
}

fn quality(layer: Layer) -> proto::VideoQuality {
    match layer {
        Layer::Low => proto::VideoQuality::Low,
        Layer::Medium => proto::VideoQuality::Medium,
        Layer::High => proto::VideoQuality::High,
    }
}

fn url(context: &Context, access: &Access, session: &mut Session) -> Result<String, Error> {
    session.receive_more(FIRST_SECTIONS, FIRST_SECTIONS);
    let join = proto::JoinRequest {
        client_info: Some(proto::ClientInfo {
            sdk: proto::client_info::Sdk::Rust.into(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            os: "linux".to_owned(),
            ..Default::default()
        }),
        connection_settings: Some(proto::ConnectionSettings { auto_subscribe: true, ..Default::default() }),
        add_track_requests: session.tracks().map(|(kind, track)| add_track(kind, track)).collect(),
        publisher_offer: Some(offer(context, session)),
        ..Default::default()
    };
    let compression = Compression::None.into();
    let wrapped = proto::WrappedJoinRequest { compression, join_request: join.encode_to_vec() };
    let join = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
    let token = access
        .key
        .token(&context.room, &session.plan.identity, !session.plan.tracks.is_empty())
        .ok_or_else(|| Error::Signalling("the token cannot be signed".to_owned()))?;
    let server = access.url.replacen("http", "ws", 1);
    Ok(format!("{server}/rtc/v1?access_token={token}&join_request={join}"))
}

fn add_track(kind: Kind, track: &SentTrack) -> proto::AddTrackRequest {
    let (kind, source) = match kind {
        Kind::Audio => (proto::TrackType::Audio, proto::TrackSource::Microphone),
        Kind::Video => (proto::TrackType::Video, proto::TrackSource::Camera),
    };
    let mut request = proto::AddTrackRequest {
        cid: track.id.clone(),
        name: track.id.clone(),
        r#type: kind.into(),
        source: source.into(),
        ..Default::default()
    };
    if kind == proto::TrackType::Video {
        request.layers = layers(track.encodings.len());
        (request.width, request.height) = (WIDTH, WIDTH * 9 / 16);
    }
    request
}

/// Of the highest layer.
const WIDTH: u32 = 1280;

/// Each layer is half as wide as the next higher one; a single one is the highest.
fn layers(count: usize) -> Vec<proto::VideoLayer> {
    let layer = |index: usize| {
        let width = WIDTH >> (count - 1 - index);
        let quality = if count == 1 { Layer::High } else { [Layer::Low, Layer::Medium, Layer::High][index.min(2)] };
        proto::VideoLayer {
            quality: self::quality(quality).into(),
            width,
            height: width * 9 / 16,
            ..Default::default()
        }
    };
    (0..count).map(layer).collect()
}

fn offer(context: &Context, session: &mut Session) -> proto::SessionDescription {
    let (id, sdp) = session.offer(context);
    proto::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() }
}

async fn send(socket: &mut Socket, request: Request) -> Result<(), Error> {
    let request = proto::SignalRequest { message: Some(request) };
    let sent = socket.send(Frame::Binary(request.encode_to_vec().into())).await;
    sent.map_err(|error| Error::Signalling(error.to_string()))
}
