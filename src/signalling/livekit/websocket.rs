//! One WebSocket (RFC 6455) on the server's side, from the opening handshake on.
//!
//! The protocol itself is the library's (`tungstenite`), but for messages that are sent: it copies each into a buffer which keeps the size of
//! the largest for as long as the connection lasts, and what a joining participant is told of a large room is large. They are written to the
//! connection as they are, a header in front, when nothing of the library's is on its way.
//! What always holds: a message is written whole before the next; what is read is bounded by `limits::SIGNAL_MESSAGE_BYTES`.

use std::future::Future;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Buf, Bytes};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message};

use crate::limits;

/// Read at once, bytes: what the library allocates for each connection for good, 128 KiB if not told.
const READ_BUFFER_BYTES: usize = 1024;
/// Longest header of a frame that is not masked (RFC 6455, section 5.2).
const HEADER_BYTES: usize = 10;
/// The only version there is (RFC 6455, section 4.4).
const VERSION: &str = "13";

/// A request to open a WebSocket (RFC 6455, section 4.2.1).
pub(super) struct Upgrade {
    accept: String,
    upgraded: OnUpgrade,
}

/// The request is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoUpgrade;

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Upgrade, StatusCode> {
        Upgrade::read(parts).map_err(|NoUpgrade| StatusCode::UPGRADE_REQUIRED)
    }
}

impl Upgrade {
    fn read(parts: &mut Parts) -> Result<Upgrade, NoUpgrade> {
        let headers = &parts.headers;
        let asks = names(headers, &CONNECTION, "upgrade") && names(headers, &UPGRADE, "websocket");
        let version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == VERSION);
        let key = headers.get(SEC_WEBSOCKET_KEY).filter(|_| asks && version).ok_or(NoUpgrade)?;
        let accept = derive_accept_key(key.as_bytes());
        // HTTP/2 and later have none.
        let upgraded = parts.extensions.remove::<OnUpgrade>().ok_or(NoUpgrade)?;
        Ok(Upgrade { accept, upgraded })
    }

    /// The answer (RFC 6455, section 4.2.2). When it was sent, the connection is served in a task of its own.
    pub fn answer<F>(self, serve: impl FnOnce(WebSocket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let upgraded = self.upgraded;
        tokio::spawn(async move {
            match upgraded.await {
                Ok(upgraded) => serve(WebSocket::new(upgraded).await).await,
                Err(error) => tracing::debug!(%error, "a connection ended before it was a WebSocket"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.extend(HeaderValue::try_from(self.accept).ok().map(|accept| (SEC_WEBSOCKET_ACCEPT, accept)));
        response
    }
}

/// Whether a header, which may be a list and come more than once, has this word in it.
fn names(headers: &HeaderMap, header: &HeaderName, word: &str) -> bool {
    let values = headers.get_all(header).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
}

/// Boxed, as it is moved from future to future, each of which would have room for it.
pub(super) struct WebSocket(Box<WebSocketStream<TokioIo<Upgraded>>>);

impl WebSocket {
    async fn new(upgraded: Upgraded) -> WebSocket {
        let config = WebSocketConfig::default()
            .max_message_size(Some(limits::SIGNAL_MESSAGE_BYTES))
            .max_frame_size(Some(limits::SIGNAL_MESSAGE_BYTES))
            .read_buffer_size(READ_BUFFER_BYTES);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config));
        WebSocket(Box::new(stream.await))
    }

    /// The next message; pings are answered. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        self.0.next().await
    }

    /// Sends a message, and returns when it was handed to the kernel. One that is given up in between leaves nothing to go on with.
    pub async fn send(&mut self, message: Message) -> Result<(), Error> {
        match message {
            Message::Binary(bytes) => self.write(Data::Binary, bytes).await,
            Message::Text(text) => self.write(Data::Text, text.into()).await,
            control => self.0.send(control).await,
        }
    }

    async fn write(&mut self, kind: Data, payload: Bytes) -> Result<(), Error> {
        // An answer to a ping may be under way.
        self.0.flush().await?;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        FrameHeader { opcode: OpCode::Data(kind), ..FrameHeader::default() }
            .format(payload.len() as u64, &mut header)?;
        let connection = self.0.get_mut();
        connection.write_all_buf(&mut header.as_slice().chain(payload)).await?;
        Ok(connection.flush().await?)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn refused(headers: &[(&str, &str)]) -> bool {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        Upgrade::read(&mut parts).is_err()
    }

    #[test]
    fn a_header_is_a_list_of_words_in_any_case() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive"));
        assert!(!names(&headers, &CONNECTION, "upgrade"));
        headers.append(CONNECTION, HeaderValue::from_static("x-upgrade, Upgrade"));
        assert!(names(&headers, &CONNECTION, "upgrade"));
        assert!(!names(&headers, &UPGRADE, "websocket"));
        headers.append(UPGRADE, HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(!names(&headers, &UPGRADE, "websocket"));
    }

    #[test]
    fn a_request_without_a_connection_to_take_over_is_none() {
        let whole = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        assert!(refused(&whole));
    }
}
