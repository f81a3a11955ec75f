//! One HTTP request over a connection of its own (RFC 9112): without TLS, redirects and other finesse.
//!
//! What always holds: an answer is bounded in size, a request in time.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::error::Error;

/// Largest answer, bytes: a session description and some air.
const ANSWER_BYTES: usize = 256 * 1024;
const HTTP_PORT: u16 = 80;

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

/// Sends a request whose URI is absolute.
pub async fn send(mut request: Request<Full<Bytes>>) -> Result<Answer, Error> {
    let uri = request.uri().clone();
    let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
        return Err(Error::Usage(format!("{uri}: only http:// is spoken")));
    };
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(HTTP_PORT));
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    request.headers_mut().insert(HOST, authority.parse().map_err(fault)?);
    *request.uri_mut() = uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>().map_err(fault)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(fault)?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(fault)?;
        read(answer).await
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The end of the connection may be the end of the answer.
        _ = &mut connection => exchange.await,
    }
}

async fn read(answer: Response<Incoming>) -> Result<Answer, Error> {
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(fault)?.to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status: head.status, headers: head.headers, body })
}

fn fault(error: impl std::fmt::Display) -> Error {
    Error::Signalling(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// What a server that answers with `answer` made of a request, and what became of the answer.
    async fn exchange(answer: Vec<u8>) -> (String, Result<Answer, Error>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let len = stream.read(&mut request).await.unwrap();
            // A client that has read enough hangs up.
            let _ = stream.write_all(&answer).await;
            String::from_utf8(request[..len].to_vec()).unwrap()
        };
        let request = Request::post(format!("http://127.0.0.1:{port}/whip/a?b=c")).body(Full::from("v=0")).unwrap();
        tokio::join!(server, send(request))
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn path_host_and_body_are_sent_and_the_answer_read() {
        let answer = b"HTTP/1.1 201 Created\r\nLocation: /session/1\r\nContent-Length: 3\r\n\r\nabc".to_vec();
        let (request, answer) = run(exchange(answer));
        assert!(request.starts_with("POST /whip/a?b=c HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("host: 127.0.0.1:") && request.ends_with("\r\n\r\nv=0"), "{request}");
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (201, "abc"));
        assert_eq!(answer.headers["location"], "/session/1");
    }

    #[test]
    fn an_answer_that_ends_with_the_connection_is_whole() {
        let (_, answer) = run(exchange(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc".to_vec()));
        assert_eq!(answer.unwrap().body, "abc");
    }

    #[test]
    fn an_endless_answer_and_no_answer_are_errors() {
        let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        endless.resize(ANSWER_BYTES + 1_000, b'x');
        assert!(run(exchange(endless)).1.is_err());
        assert!(run(exchange(b"nonsense".to_vec())).1.is_err());
    }
}
