//! `/dev/token`: hands out access tokens, in development mode only. The keys are publicly known there anyway.

use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};

use super::token::{self, TokenRequest};
use crate::config::ApiKeys;
use crate::limits;

/// A working day: a developer's page stays open.
const LIFE: Duration = Duration::from_secs(6 * 3600);

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    room: String,
    identity: String,
    name: String,
}

#[derive(Serialize)]
struct Given {
    token: String,
    identity: String,
    room: String,
    url: String,
}

/// Signs with the first of the keys. `secure`: this server itself speaks TLS.
pub(super) fn routes(keys: ApiKeys, secure: bool) -> Router {
    let handler = move |headers: HeaderMap, query: Result<Query<Asked>, QueryRejection>| {
        std::future::ready(give(&keys, secure, &headers, query))
    };
    Router::new().route("/dev/token", get(handler))
}

fn give(keys: &ApiKeys, secure: bool, headers: &HeaderMap, query: Result<Query<Asked>, QueryRejection>) -> Response {
    match query.map_err(|error| error.body_text()).and_then(|Query(asked)| token(keys, url(headers, secure), asked)) {
        Ok(given) => ([(CACHE_CONTROL, "no-store")], axum::Json(given)).into_response(),
        Err(reason) => (StatusCode::BAD_REQUEST, reason).into_response(),
    }
}

fn token(keys: &ApiKeys, url: String, asked: Asked) -> Result<Given, String> {
    if asked.room.is_empty() {
        return Err("`room` is missing: /dev/token?room=ROOM&identity=NAME".to_owned());
    }
    for (what, text) in [("room", &asked.room), ("identity", &asked.identity), ("name", &asked.name)] {
        if text.len() > limits::NAME_BYTES {
            return Err(format!("`{what}` is longer than {} bytes", limits::NAME_BYTES));
        }
    }
    let identity = match asked.identity.is_empty() {
        true => format!("guest-{:08x}", rand::random::<u32>()),
        false => asked.identity,
    };
    let name = if asked.name.is_empty() { &identity } else { &asked.name };
    let request = TokenRequest { room: &asked.room, identity: &identity, name, life: LIFE };
    let (key, secret) = keys.first_key_value().ok_or("there are no keys")?;
    let token = token::mint(key, secret, &request, token::unix_now()).ok_or("signing failed")?;
    Ok(Given { token, url, identity, room: asked.room })
}

/// Where the asking page came from, as WebSocket address.
fn url(headers: &HeaderMap, secure: bool) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // A proxy that ends TLS says so.
    let scheme = if secure || text("x-forwarded-proto") == Some("https") { "wss" } else { "ws" };
    format!("{scheme}://{}", text(HOST.as_str()).unwrap_or("localhost"))
}
