//! Asks the operations port of a server, over HTTP/1.0: an answer ends with its connection.
//!
//! What always holds: an answer takes no longer than [`TIMEOUT`] and is no longer than [`ANSWER_BYTES`].

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::ApiKeys;
use crate::signalling::token;

const TIMEOUT: Duration = Duration::from_secs(4);
/// Fifty participants with everything they receive take about one.
const ANSWER_BYTES: u64 = 16 << 20;
/// Of a token; each request gets a new one.
const LIFE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("`{0}` is no address such as http://127.0.0.1:6789")]
    Url(String),
    #[error("no answer from {0}: {1}")]
    Unanswered(String, io::Error),
    #[error("{0} refuses ({1}): {2}")]
    Refused(String, u16, String),
    #[error("what answers at {0} is not this server")]
    Foreign(String),
    #[error("there is no key to sign a token with")]
    NoKey,
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

pub(super) struct Client {
    /// Host and port.
    authority: String,
    keys: ApiKeys,
}

impl Client {
    pub fn new(url: &str, keys: ApiKeys) -> Result<Client, ClientError> {
        let authority = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let plain = |text: &&str| text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
        let authority = authority.filter(plain).ok_or_else(|| ClientError::Url(url.to_owned()))?;
        Ok(Client { authority: authority.to_owned(), keys })
    }

    pub async fn rooms(&self) -> Result<Value, ClientError> {
        self.get("/debug/rooms").await
    }

    pub async fn room(&self, name: &str) -> Result<Value, ClientError> {
        self.get(&format!("/debug/rooms/{}", quoted(name))).await
    }

    async fn get(&self, path: &str) -> Result<Value, ClientError> {
        let (key, secret) = self.keys.first_key_value().ok_or(ClientError::NoKey)?;
        let token = token::mint_admin(key, secret, token::unix_now(), LIFE).ok_or(ClientError::NoKey)?;
        let asked = tokio::time::timeout(TIMEOUT, self.exchange(path, &token)).await;
        let answer = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let answer = answer.map_err(|error| ClientError::Unanswered(self.authority.clone(), error))?;
        let foreign = || ClientError::Foreign(self.authority.clone());
        let (status, body) = parse(&answer).ok_or_else(foreign)?;
        let said: Value = serde_json::from_str(body).map_err(|_| foreign())?;
        if status == 200 {
            return Ok(said);
        }
        let reason = said.get("error").and_then(Value::as_str).unwrap_or_default();
        Err(ClientError::Refused(self.authority.clone(), status, reason.to_owned()))
    }

    async fn exchange(&self, path: &str, token: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(&self.authority).await?;
        let request =
            format!("GET {path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n", self.authority);
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_[]:".contains(&byte))
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The status and the body of an answer.
fn parse(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.strip_prefix("HTTP/")?.split_whitespace().nth(1)?.parse().ok()?, body))
}

/// As one segment of a path (RFC 3986, section 2.1).
fn quoted(name: &str) -> String {
    let quote = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(quote).collect()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::signalling::token::tests::keys;
    use crate::signalling::token::verify_admin;

    #[test]
    fn only_plain_http_with_a_port_is_taken() {
        for url in ["http://127.0.0.1:6789", "http://127.0.0.1:6789/", "http://[::1]:6789", "http://media-1.example:80"]
        {
            assert!(Client::new(url, keys()).is_ok(), "{url}");
        }
        for url in [
            "127.0.0.1:6789",
            "https://127.0.0.1:6789",
            "http://127.0.0.1",
            "http://a b:1",
            "http://a:0",
            "http://a:1/x",
        ] {
            assert!(matches!(Client::new(url, keys()), Err(ClientError::Url(_))), "{url}");
        }
    }

    /// Answers one request with `answer`; gives the request.
    async fn server(answer: &'static str) -> (Client, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap()), keys()).unwrap();
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4_096];
            let count = stream.read(&mut asked).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        (client, served)
    }

    #[tokio::test]
    async fn a_room_of_any_name_is_asked_for_with_a_token_of_an_administrator() {
        let (client, served) = server("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"rooms\": []}").await;
        assert_eq!(client.room("a/b ..é").await.unwrap(), serde_json::json!({ "rooms": [] }));
        let asked = served.await.unwrap();
        assert!(asked.starts_with("GET /debug/rooms/a%2Fb%20%2E%2E%C3%A9 HTTP/1.0\r\n"), "{asked}");
        let token = asked.lines().find_map(|line| line.strip_prefix("Authorization: Bearer ")).unwrap();
        assert!(verify_admin(token, &keys()).unwrap().may_see(None));
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_reason_and_a_foreign_answer_as_one() {
        let (client, _served) = server("HTTP/1.1 404 Not Found\r\n\r\n{\"error\": \"there is no such room\"}").await;
        let error = client.room("x").await.unwrap_err().to_string();
        assert!(error.contains("404") && error.ends_with("there is no such room"), "{error}");
        let (client, _served) = server("HTTP/1.1 200 OK\r\n\r\n<html>").await;
        assert!(matches!(client.rooms().await, Err(ClientError::Foreign(_))));
    }
}
