//! A signalling connection as a stock client opens it (`/rtc/v1`), without a client's logic: requests go out as they are
//! given, responses are kept in order.
//!
//! What always holds: it pings as clients must, so that a quiet test is not taken for a dead client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use livekit_protocol::signal_request::Message as Request;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{self as proto, wrapped_join_request::Compression};
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::within;

/// Requests waiting to be written; no test sends as many at once.
const REQUESTS: usize = 64;
const PING_EVERY: Duration = Duration::from_secs(4);

#[derive(Clone)]
pub struct Signal {
    requests: mpsc::Sender<Request>,
    received: Arc<Mutex<Vec<Response>>>,
    /// Responses received so far, and whether the connection is closed.
    progress: watch::Receiver<(usize, bool)>,
}

/// The join request of a client that subscribes to everything.
pub fn join_request(publisher_offer: Option<proto::SessionDescription>) -> proto::JoinRequest {
    proto::JoinRequest {
        client_info: Some(proto::ClientInfo {
            sdk: proto::client_info::Sdk::Rust.into(),
            version: "1.0.0".to_owned(),
            protocol: 17,
            os: "test".to_owned(),
            ..Default::default()
        }),
        connection_settings: Some(proto::ConnectionSettings { auto_subscribe: true, ..Default::default() }),
        publisher_offer,
        ..Default::default()
    }
}

/// Path and query of a WebSocket that joins.
pub fn join_path(token: &str, join: &proto::JoinRequest) -> String {
    let wrapped =
        proto::WrappedJoinRequest { compression: Compression::None.into(), join_request: join.encode_to_vec() };
    let join = URL_SAFE_NO_PAD.encode(wrapped.encode_to_vec());
    format!("/rtc/v1?access_token={token}&join_request={join}")
}

impl Signal {
    pub async fn connect(server: SocketAddr, token: &str, join: &proto::JoinRequest) -> Signal {
        Signal::connect_with(server, token, join, &[]).await
    }

    /// The same with further headers.
    pub async fn connect_with(
        server: SocketAddr,
        token: &str,
        join: &proto::JoinRequest,
        headers: &[(&'static str, &str)],
    ) -> Signal {
        let url = format!("ws://{server}{}", join_path(token, join));
        let mut request = url.into_client_request().expect("a good address");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header's value"));
        }
        let (socket, _) = within("the WebSocket", connect_async(request)).await.expect("the server upgrades");
        let (requests, outbox) = mpsc::channel(REQUESTS);
        let (told, progress) = watch::channel((0, false));
        let received = Arc::default();
        tokio::spawn(run(socket, outbox, Arc::clone(&received), told));
        Signal { requests, received, progress }
    }

    pub fn send(&self, request: Request) {
        // A closed connection shows itself to whoever waits for the answer.
        let _ = self.requests.try_send(request);
    }

    /// The first value that `wanted` takes from the responses, received or yet to come, from the `from`th on.
    pub async fn find<T>(&self, what: &str, from: usize, wanted: impl Fn(&Response) -> Option<T>) -> T {
        let mut progress = self.progress.clone();
        let found = async {
            loop {
                let (_, closed) = *progress.borrow_and_update();
                if let Some(value) = self.received().get(from..).and_then(|new| new.iter().find_map(&wanted)) {
                    return value;
                }
                assert!(!closed, "{what}: the connection closed first; received {:#?}", self.received());
                let _ = progress.changed().await;
            }
        };
        within(what, found).await
    }

    /// The `index`th response, or `None` when the connection closed before it came.
    pub async fn response(&self, index: usize) -> Option<Response> {
        let mut progress = self.progress.clone();
        loop {
            let (_, closed) = *progress.borrow_and_update();
            let response = self.received.lock().expect("no holder panics").get(index).cloned();
            if response.is_some() || closed || progress.changed().await.is_err() {
                return response;
            }
        }
    }

    /// Responses received so far: a place from which to [`find`](Self::find) what comes next.
    pub fn position(&self) -> usize {
        self.received().len()
    }

    pub fn received(&self) -> Vec<Response> {
        self.received.lock().expect("no holder panics").clone()
    }

    pub async fn join(&self) -> proto::JoinResponse {
        self.find("the join response", 0, |response| match response {
            Response::Join(join) => Some(join.clone()),
            _ => None,
        })
        .await
    }

    /// The newest state that updates have told of a participant, if any.
    pub fn state_of(&self, identity: &str) -> Option<proto::participant_info::State> {
        let received = self.received();
        let updates = received.iter().rev().filter_map(|response| match response {
            Response::Update(update) => Some(update),
            _ => None,
        });
        let mut infos = updates.flat_map(|update| &update.participants);
        infos.find(|info| info.identity == identity).map(|info| info.state())
    }
}

async fn run(
    mut socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    mut outbox: mpsc::Receiver<Request>,
    received: Arc<Mutex<Vec<Response>>>,
    told: watch::Sender<(usize, bool)>,
) {
    let mut pings = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            request = outbox.recv() => {
                let Some(request) = request else { break };
                if send(&mut socket, request).await.is_none() { break }
            }
            _ = pings.tick() => {
                if send(&mut socket, Request::PingReq(proto::Ping::default())).await.is_none() { break }
            }
            frame = socket.next() => match frame {
                Some(Ok(Frame::Binary(bytes))) => {
                    let response = proto::SignalResponse::decode(bytes).expect("the server speaks protobuf");
                    let count = {
                        let mut received = received.lock().expect("no holder panics");
                        received.extend(response.message);
                        received.len()
                    };
                    told.send_replace((count, false));
                }
                Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    let _ = socket.close(None).await;
    told.send_modify(|(_, closed)| *closed = true);
}

async fn send(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>, request: Request) -> Option<()> {
    let request = proto::SignalRequest { message: Some(request) };
    socket.send(Frame::Binary(request.encode_to_vec().into())).await.ok()
}
