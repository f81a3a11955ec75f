//! STUN and TURN servers that clients are told of, as URIs (RFC 7064, RFC 7065).
//!
//! What always holds: a URI, a username and a credential hold printable ASCII only, so that each fits a header.

use serde::Deserialize;
use serde_json::Value;

use super::Secret;

/// One server for clients to find their addresses by, or to relay through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IceServer {
    /// `stun:host:port`, or `turn:` and `turns:` with the transport.
    pub uri: String,
    /// Of a TURN server: username and long-term credential.
    pub login: Option<(String, Secret)>,
}

/// An item of `rtc.turn_servers`, as configuration files of the protocol's other server have it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TurnServer {
    host: String,
    port: u16,
    /// `udp`, `tcp`, or `tls`.
    protocol: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    credential: String,
}

/// `host:port`, with or without a scheme before it.
pub(super) fn stun(text: &str) -> Result<IceServer, String> {
    let address = text.strip_prefix("stun:").unwrap_or(text);
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() || !is_printable(address) {
        return Err(format!("`{text}` should be a STUN server, as in stun.example.org:3478"));
    }
    Ok(IceServer { uri: format!("stun:{address}"), login: None })
}

/// Errors show no value: it may be a secret.
pub(super) fn turn(value: &Value) -> Result<IceServer, String> {
    const FORM: &str = "should be a list of TURN servers, each with host, port, protocol (udp, tcp or tls), and username \
        and credential where they are needed";
    let server = TurnServer::deserialize(value).map_err(|_| FORM.to_owned())?;
    let (scheme, transport) = match server.protocol.as_str() {
        "udp" => ("turn", "udp"),
        "tcp" => ("turn", "tcp"),
        "tls" => ("turns", "tcp"),
        _ => return Err(FORM.to_owned()),
    };
    let texts = [&server.host, &server.username, &server.credential];
    if server.host.is_empty() || !texts.into_iter().all(|text| is_printable(text)) {
        return Err(FORM.to_owned());
    }
    let login = (!server.username.is_empty()).then(|| (server.username, Secret::new(&server.credential)));
    Ok(IceServer { uri: format!("{scheme}:{}:{}?transport={transport}", server.host, server.port), login })
}

/// No space, no angle bracket that would end a URI in a header, no control character.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stun_servers_are_addresses_with_a_port() {
        for text in ["stun.example.org:3478", "stun:stun.example.org:3478"] {
            assert_eq!(stun(text), Ok(IceServer { uri: "stun:stun.example.org:3478".to_owned(), login: None }));
        }
        for wrong in ["", "stun.example.org", "a b:1", "a>:1", "x:99999", "x\r\n:1"] {
            assert!(stun(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn turn_servers_have_a_transport_and_perhaps_a_login() {
        let given = |protocol| json!({"host": "t.example", "port": 443, "protocol": protocol, "username": "u", "credential": "c"});
        let uri = |value: &Value| turn(value).map(|server| server.uri);
        assert_eq!(uri(&given("udp")), Ok("turn:t.example:443?transport=udp".to_owned()));
        assert_eq!(uri(&given("tcp")), Ok("turn:t.example:443?transport=tcp".to_owned()));
        assert_eq!(uri(&given("tls")), Ok("turns:t.example:443?transport=tcp".to_owned()));
        assert_eq!(turn(&given("udp")).unwrap().login, Some(("u".to_owned(), Secret::new("c"))));
        assert_eq!(turn(&json!({"host": "t", "port": 1, "protocol": "udp"})).unwrap().login, None);
        for wrong in [
            json!("t.example"),
            json!({"host": "t", "port": 1}),
            json!({"host": "", "port": 1, "protocol": "udp"}),
            json!({"host": "t", "port": 1, "protocol": "sctp"}),
            json!({"host": "t", "port": 70000, "protocol": "udp"}),
            json!({"host": "t\n", "port": 1, "protocol": "udp"}),
            json!({"host": "t", "port": 1, "protocol": "udp", "username": "ü"}),
        ] {
            assert!(turn(&wrong).is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", turn(&given("udp")).unwrap()).contains("\"c\""), "no secret shows");
    }
}
