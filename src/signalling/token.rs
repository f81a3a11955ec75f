//! Access tokens: JSON Web Tokens (RFC 7519) signed with HS256 and one of the server's keys.
//!
//! What always holds: the algorithm, the signature, the times (with a leeway) and the grant to join are checked before any
//! other claim is believed; names are within `limits::NAME_BYTES`; no error text holds a part of the token.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{ApiKeys, Secret};
use crate::limits;
use crate::room::model::{Grants, Identity, RoomName, TrackSource};

/// How far clocks may be apart.
const LEEWAY: Duration = Duration::from_secs(60);
/// Life of a token that replaces the one a client came with.
const REFRESHED_LIFE: Duration = Duration::from_secs(600);

/// What a checked token says.
#[derive(Clone, Debug)]
pub struct Claims {
    pub room: RoomName,
    pub identity: Identity,
    pub name: String,
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    pub grants: Grants,
    pub subscribe_metrics: bool,
    /// What kind of participant it is, in words that adaptors know; empty for a usual one.
    pub kind: String,
    pub kind_details: Vec<String>,
    pub renewal: Renewal,
}

/// What a refreshed token is made of. Kept for as long as its participant stays, so as text.
#[derive(Clone, Debug)]
pub struct Renewal {
    /// The API key that signed the token.
    key: Box<str>,
    /// All claims as they came, JSON.
    claims: Box<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    #[error("no access token: send it as `Authorization: Bearer` or as `access_token`")]
    Missing,
    #[error("the access token is not a JSON Web Token")]
    Malformed,
    #[error("the access token is signed with another algorithm than HS256")]
    Algorithm,
    #[error("the access token's issuer is no API key of this server")]
    UnknownKey,
    #[error("the access token's signature is not that of its API key's secret")]
    Signature,
    #[error("the access token has expired")]
    Expired,
    #[error("the access token is not valid yet: compare the clocks")]
    NotYet,
    #[error("the access token never expires: it needs an `exp`")]
    NoExpiry,
    #[error("the access token does not allow joining a room (video.roomJoin)")]
    NoJoin,
    #[error("the access token names no identity (sub)")]
    NoIdentity,
    #[error("the access token names no room (video.room)")]
    NoRoom,
    #[error("the access token allows no administration (video.roomList or video.roomAdmin)")]
    NoAdmin,
    #[error("the access token's {0} is longer than allowed")]
    TooLong(&'static str),
}

impl TokenError {
    /// HTTP status to refuse with.
    pub fn status(self) -> u16 {
        match self {
            Self::NoIdentity | Self::NoRoom | Self::TooLong(_) => 400,
            Self::NoAdmin => 403,
            _ => 401,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawClaims {
    sub: String,
    /// Where old tokens have the identity.
    jti: String,
    name: String,
    metadata: String,
    attributes: BTreeMap<String, String>,
    kind: String,
    kind_details: Vec<String>,
    video: Option<RawGrants>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct RawGrants {
    room_join: bool,
    room_list: bool,
    room_admin: bool,
    room: String,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
    can_publish_sources: Option<Vec<String>>,
    can_update_own_metadata: Option<bool>,
    can_subscribe_metrics: Option<bool>,
    hidden: bool,
    recorder: bool,
    agent: bool,
}

/// The token of an `Authorization` header (RFC 6750, section 2.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether two tokens are the same text, in a time that tells nothing of where they differ.
pub fn is_same(one: &str, other: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// Checks a token and reads it.
pub fn verify(token: &str, keys: &ApiKeys) -> Result<Claims, TokenError> {
    let (issuer, all) = authentic(token, keys)?;
    read(&issuer, all)
}

/// Who may look into rooms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Admin {
    /// The only room it may look into; `None`: all.
    room: Option<RoomName>,
}

impl Admin {
    /// Whether it may look into this room, or into all of them.
    pub fn may_see(&self, room: Option<&RoomName>) -> bool {
        self.room.as_ref().is_none_or(|own| room == Some(own))
    }
}

/// Checks a token for administration: the grant to list rooms opens all of them, that to administrate a room only the one it names, if it
/// names one.
pub fn verify_admin(token: &str, keys: &ApiKeys) -> Result<Admin, TokenError> {
    let (_, all) = authentic(token, keys)?;
    let claims: RawClaims = serde_json::from_value(Value::Object(all)).map_err(|_| TokenError::Malformed)?;
    let video = claims.video.filter(|video| video.room_list || video.room_admin).ok_or(TokenError::NoAdmin)?;
    let room = (!video.room_list && !video.room.is_empty()).then(|| RoomName::new(&video.room));
    Ok(Admin { room })
}

/// The issuer and the claims of a token that one of the keys signed and whose time it is.
fn authentic(token: &str, keys: &ApiKeys) -> Result<(String, Map<String, Value>), TokenError> {
    if token.is_empty() {
        return Err(TokenError::Missing);
    }
    if token.len() > limits::TOKEN_BYTES {
        return Err(TokenError::TooLong("text"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(error)?;
    if header.alg != Algorithm::HS256 {
        return Err(TokenError::Algorithm);
    }
    // Unchecked, only to find the secret the signature is then checked with.
    let unchecked: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(error)?;
    let issuer = unchecked.get("iss").and_then(Value::as_str).unwrap_or_default();
    let secret = keys.get(issuer).ok_or(TokenError::UnknownKey)?;

    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    // Tokens are made for one server's keys; an audience says nothing more.
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    let key = DecodingKey::from_secret(secret.as_bytes());
    let all = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).map_err(error)?.claims;
    Ok((issuer.to_owned(), all))
}

fn error(error: jsonwebtoken::errors::Error) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::MissingRequiredClaim(_) => TokenError::NoExpiry,
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    }
}

fn read(issuer: &str, all: Map<String, Value>) -> Result<Claims, TokenError> {
    let text = serde_json::to_string(&all).map_err(|_| TokenError::Malformed)?;
    let renewal = Renewal { key: issuer.into(), claims: text.into() };
    let claims: RawClaims = serde_json::from_value(Value::Object(all)).map_err(|_| TokenError::Malformed)?;
    let video = claims.video.filter(|video| video.room_join).ok_or(TokenError::NoJoin)?;
    let identity = if claims.sub.is_empty() { claims.jti } else { claims.sub };
    check_name("identity", &identity)?;
    check_name("room", &video.room)?;
    check_length("name", &claims.name, limits::NAME_BYTES)?;
    check_length("metadata", &claims.metadata, limits::METADATA_BYTES)?;
    let attributes_bytes: usize = claims.attributes.iter().map(|(key, value)| key.len() + value.len()).sum();
    if attributes_bytes > limits::ATTRIBUTES_BYTES {
        return Err(TokenError::TooLong("attributes"));
    }
    let kind = claims.kind.to_lowercase();
    Ok(Claims {
        room: RoomName::new(&video.room),
        identity: Identity::new(&identity),
        name: claims.name,
        metadata: claims.metadata,
        attributes: claims.attributes,
        grants: grants(&video, &kind),
        subscribe_metrics: video.can_subscribe_metrics.unwrap_or(false),
        kind,
        kind_details: claims.kind_details,
        renewal,
    })
}

fn check_name(what: &'static str, name: &str) -> Result<(), TokenError> {
    match (what, name.is_empty()) {
        ("identity", true) => Err(TokenError::NoIdentity),
        (_, true) => Err(TokenError::NoRoom),
        _ => check_length(what, name, limits::NAME_BYTES),
    }
}

fn check_length(what: &'static str, text: &str, bytes: usize) -> Result<(), TokenError> {
    if text.len() > bytes { Err(TokenError::TooLong(what)) } else { Ok(()) }
}

/// What is not said is allowed, but for changing one's own metadata.
fn grants(video: &RawGrants, kind: &str) -> Grants {
    let publish = video.can_publish.unwrap_or(true);
    Grants {
        publish,
        publish_sources: video.can_publish_sources.iter().flatten().map(|source| track_source(source)).collect(),
        publish_data: video.can_publish_data.unwrap_or(publish),
        subscribe: video.can_subscribe.unwrap_or(true),
        update_own_metadata: video.can_update_own_metadata.unwrap_or(false),
        hidden: video.hidden,
        recorder: video.recorder || kind == "egress",
        agent: video.agent || kind == "agent",
    }
}

/// An unknown source stays a member of the list: without it, a list of one would allow everything.
fn track_source(name: &str) -> TrackSource {
    match name.to_lowercase().as_str() {
        "camera" => TrackSource::Camera,
        "microphone" => TrackSource::Microphone,
        "screen_share" => TrackSource::ScreenShare,
        "screen_share_audio" => TrackSource::ScreenShareAudio,
        _ => TrackSource::Unknown,
    }
}

/// What a new token is to say: everything not said is allowed as by default.
pub struct TokenRequest<'a> {
    pub room: &'a str,
    pub identity: &'a str,
    pub name: &'a str,
    pub life: Duration,
}

/// Signs a token that allows joining a room and changing one's own metadata, valid from `now` on (Unix time).
pub fn mint(key: &str, secret: &Secret, request: &TokenRequest<'_>, now: Duration) -> Option<String> {
    let claims = json!({
        "sub": request.identity,
        "name": request.name,
        "video": {"roomJoin": true, "room": request.room, "canUpdateOwnMetadata": true},
    });
    let Value::Object(claims) = claims else { return None };
    sign(key, secret, claims, now, request.life)
}

/// Signs a token that allows looking into all rooms, valid from `now` on (Unix time).
pub fn mint_admin(key: &str, secret: &Secret, now: Duration, life: Duration) -> Option<String> {
    let Value::Object(claims) = json!({ "video": { "roomList": true, "roomAdmin": true } }) else { return None };
    sign(key, secret, claims, now, life)
}

/// The same token with new times, or `None` when its key is gone.
pub fn refreshed(renewal: &Renewal, keys: &ApiKeys, now: Duration) -> Option<String> {
    let claims = serde_json::from_str(&renewal.claims).ok()?;
    sign(&renewal.key, keys.get(&*renewal.key)?, claims, now, REFRESHED_LIFE)
}

fn sign(key: &str, secret: &Secret, mut claims: Map<String, Value>, now: Duration, life: Duration) -> Option<String> {
    claims.insert("iss".to_owned(), key.into());
    claims.insert("nbf".to_owned(), now.as_secs().into());
    claims.insert("exp".to_owned(), now.saturating_add(life).as_secs().into());
    claims.remove("iat");
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(secret.as_bytes())).ok()
}

/// Unix time as tokens count it.
pub fn unix_now() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
