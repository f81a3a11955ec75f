//! Access tokens (RFC 7519, HS256), signed as an application's back end would with its API key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

/// Longer than any run.
const LIFE: Duration = Duration::from_secs(6 * 3_600);

/// An API key with its secret.
#[derive(Clone)]
pub struct ApiKey {
    pub key: String,
    pub secret: String,
}

impl ApiKey {
    /// A token that lets `identity` join `room`, and publish if it is to. `None` when signing fails.
    pub fn token(&self, room: &str, identity: &str, publishes: bool) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let video = json!({ "roomJoin": true, "room": room, "canPublish": publishes, "canSubscribe": true });
        let claims =
            json!({ "iss": self.key, "sub": identity, "nbf": now, "exp": now + LIFE.as_secs(), "video": video });
        encode(&Header::default(), &claims, &EncodingKey::from_secret(self.secret.as_bytes())).ok()
    }
}
