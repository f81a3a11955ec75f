//! One handshake: within its time and its place among those allowed, and an answer for who speaks HTTP without TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::Tls;
use super::counters::outcome;
use crate::api::SERVER_NAME;

/// The first byte of a TLS connection: a handshake record's type (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;
/// Told to who asks for `http://` on this port. Its length is counted below.
const PLAIN_HTTP_TEXT: &str = "This port speaks HTTPS: ask for https:// or wss://\n";
/// For such a client to read the answer: closing over what it still sends would take it back.
const LINGER: Duration = Duration::from_secs(1);

impl Tls {
    /// Does the handshake with the certificate of now. `None` when the connection came to nothing, which is counted.
    pub async fn accept(&self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        let (stream, outcome) = self.try_accept(stream).await;
        if let Some(outcome) = outcome {
            self.counters.handshake(outcome);
        }
        stream
    }

    /// The outcome to count; none for who left before saying anything, as health checks of load balancers do.
    async fn try_accept(&self, stream: TcpStream) -> (Option<TlsStream<TcpStream>>, Option<&'static str>) {
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, first_byte(&stream)).await {
            Err(_) => return (None, Some(outcome::TIMED_OUT)),
            Ok(Ok(None) | Err(_)) => return (None, None),
            Ok(Ok(Some(HANDSHAKE_RECORD))) => {}
            Ok(Ok(Some(byte))) if byte.is_ascii_uppercase() => {
                answer_plain_http(stream).await;
                return (None, Some(outcome::PLAIN_HTTP));
            }
            Ok(Ok(Some(_))) => return (None, Some(outcome::FAILED)),
        }
        // Who has not sent anything holds no place, and nobody waiting for one has state.
        let Ok(Ok(_place)) = timeout_at(deadline, self.handshakes.acquire()).await else {
            return (None, Some(outcome::CROWDED_OUT));
        };
        match timeout_at(deadline, TlsAcceptor::from(self.current()).accept(stream)).await {
            Ok(Ok(stream)) => (Some(stream), Some(outcome::COMPLETED)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS handshake failed");
                (None, Some(outcome::FAILED))
            }
            Err(_) => (None, Some(outcome::TIMED_OUT)),
        }
    }
}

/// The first byte, left where it is; `None` when the connection ended before it.
async fn first_byte(stream: &TcpStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let count = stream.peek(&mut byte).await?;
    Ok(byte.first().copied().filter(|_| count > 0))
}

async fn answer_plain_http(mut stream: TcpStream) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nServer: {SERVER_NAME}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{PLAIN_HTTP_TEXT}",
        PLAIN_HTTP_TEXT.len()
    );
    let exchange = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut unread = [0; 4096];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether it was read does not matter.
    let _ = timeout(LINGER, exchange).await;
}
