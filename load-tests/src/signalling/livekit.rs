//! Signalling as the LiveKit client SDKs speak it, version 1: one WebSocket, one peer connection, the client offers.
//!
//! What always holds: a first offer has three sections to receive in of each kind, as stock clients' have; more are offered
//! when the server asks for them. One offer is outstanding at a time.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message;
use proto::signal_request::Message as Request;
use proto::signal_response::Message as Response;
use proto::wrapped_join_request::Compression;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::session::Session;
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
pub async fn run(context: &Context, access: &Access, mut session: Session) -> Result<(), Error> {
    let started = Instant::now();
    let url = url(context, access, &mut session)?;
    let connecting = tokio::time::timeout(context.timeout, connect_async(url)).await;
    let connected = connecting.map_err(|_| context.late("the WebSocket"))?;
    let (mut socket, _) = connected.map_err(|error| Error::Signalling(error.to_string()))?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        // What TCP would hold back to fill a segment is a request somebody waits for.
        stream.set_nodelay(true)?;
    }
    let outcome = talk(context, &mut session, &mut socket, started).await;
    session.leave(context);
    let leave = proto::LeaveRequest { reason: proto::DisconnectReason::ClientInitiated.into(), ..Default::default() };
    // A server that is gone need not be told.
    let _ = tokio::time::timeout(context.timeout, async {
        let _ = send(&mut socket, Request::Leave(leave)).await;
        let _ = socket.close(None).await;
    })
    .await;
    outcome
}

/// Answers the server until told to leave.
async fn talk(context: &Context, session: &mut Session, socket: &mut Socket, started: Instant) -> Result<(), Error> {
    let mut leave = context.leave.clone();
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.tick().await;
    let deadline = tokio::time::Instant::now() + context.timeout;
    loop {
        let request = tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Frame::Binary(bytes))) => answer(context, session, started, &bytes)?,
                Some(Ok(Frame::Close(_)) | Err(_)) | None => {
                    return Err(Error::Signalling("the server closed the connection".to_owned()));
                }
                Some(Ok(_)) => None,
            },
            _ = pings.tick() => Some(Request::PingReq(proto::Ping::default())),
            () = tokio::time::sleep_until(deadline), if !session.is_connected() => {
                return Err(context.late("the answer"));
            }
            _ = leave.changed() => return Ok(()),
        };
        if let Some(request) = request {
            send(socket, request).await?;
        }
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
        connection_settings: Some(proto::ConnectionSettings {
            auto_subscribe: session.plan.subscribes,
            ..Default::default()
        }),
        add_track_requests: session.tracks().map(|(kind, id)| add_track(kind, id)).collect(),
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
    Ok(format!("{}/rtc/v1?access_token={token}&join_request={join}", access.url))
}

fn add_track(kind: Kind, id: &str) -> proto::AddTrackRequest {
    let (kind, source) = match kind {
        Kind::Audio => (proto::TrackType::Audio, proto::TrackSource::Microphone),
        Kind::Video => (proto::TrackType::Video, proto::TrackSource::Camera),
    };
    proto::AddTrackRequest {
        cid: id.to_owned(),
        name: id.to_owned(),
        r#type: kind.into(),
        source: source.into(),
        ..Default::default()
    }
}

fn offer(context: &Context, session: &mut Session) -> proto::SessionDescription {
    let (id, sdp) = session.offer(context);
    proto::SessionDescription { r#type: "offer".to_owned(), sdp, id, ..Default::default() }
}

/// What to send back, if anything.
fn answer(context: &Context, session: &mut Session, started: Instant, bytes: &[u8]) -> Result<Option<Request>, Error> {
    let Ok(response) = proto::SignalResponse::decode(bytes) else {
        return Err(Error::Signalling("the server sent what is no protocol message".to_owned()));
    };
    match response.message {
        Some(Response::Answer(answer)) => session.on_answer(context, started, answer.id, &answer.sdp)?,
        Some(Response::MediaSectionsRequirement(more)) => {
            session.receive_more(more.num_audios as usize, more.num_videos as usize);
            session.offer_wanted = true;
        }
        Some(Response::Leave(leave)) => {
            return Err(Error::Signalling(format!("the server ended the session: {:?}", leave.reason())));
        }
        _ => {}
    }
    Ok(session.may_offer().then(|| Request::Offer(offer(context, session))))
}

async fn send(socket: &mut Socket, request: Request) -> Result<(), Error> {
    let request = proto::SignalRequest { message: Some(request) };
    let sent = socket.send(Frame::Binary(request.encode_to_vec().into())).await;
    sent.map_err(|error| Error::Signalling(error.to_string()))
}
