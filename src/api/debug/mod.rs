//! `/debug`: what is going on in rooms, and recordings of participants, as JSON and pcapng, for who has a token of an administrator.
//!
//! What always holds: the token is looked at before anything is asked of a shard; a token for one room's administration opens that
//! room alone; at most `limits::DEBUG_REQUESTS` requests are answered at once; an answer is bounded, and a shard that does not answer
//! within `limits::DEBUG_PATIENCE` is named in it.

mod inspector;
mod recording;
mod rooms;
mod series;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::ApiKeys;
use crate::limits;
use crate::recorder::{Recording, pcapng};
use crate::room::model::{Identity, RoomName};
use crate::shard::inspect::Recorded;
use crate::signalling::token::{self, TokenError};
pub use inspector::Inspector;

/// How long headers are recorded where nothing is said.
const RECORDING_TIME: Duration = Duration::from_secs(600);

struct Debug {
    inspector: Inspector,
    keys: ApiKeys,
    places: Semaphore,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the access token is for another room's administration")]
    OtherRoom,
    #[error("too many requests are being answered: try again in a second")]
    Busy,
    #[error(
        "the headers of {} participants of that shard are recorded already: end one",
        limits::RECORDED_PARTICIPANTS
    )]
    RecordersTaken,
    #[error("there is no such room")]
    NoRoom,
    #[error("there is no such participant, and none has left a short while ago")]
    NoParticipant,
    #[error("shards {0:?} did not answer in time")]
    Unanswered(Vec<usize>),
    #[error("{0}")]
    Query(String),
}

/// The routes, for the operations server.
pub fn router(keys: ApiKeys, inspector: Inspector) -> Router {
    let debug = Debug { inspector, keys, places: Semaphore::new(limits::DEBUG_REQUESTS) };
    let participant = "/debug/rooms/{room}/participants/{identity}";
    Router::new()
        .route("/debug/rooms", get(rooms))
        .route("/debug/rooms/{room}", get(room))
        .route(&format!("{participant}/record"), post(record).delete(end_recording))
        .route(&format!("{participant}/recording"), get(recording_json))
        .route(&format!("{participant}/recording.pcapng"), get(recording_pcapng))
        .with_state(Arc::new(debug))
}

type Asked = Result<Query<BTreeMap<String, String>>, QueryRejection>;

async fn rooms(State(debug): State<Arc<Debug>>, headers: HeaderMap, query: Asked) -> Result<Response, Refusal> {
    let _place = debug.admit(&headers, None)?;
    let from = number(&query, "offset")?.unwrap_or(0);
    let most = number(&query, "limit")?.unwrap_or(limits::DEBUG_ROOMS).min(limits::DEBUG_ROOMS);
    if from.saturating_add(most) > limits::DEBUG_ROOMS_REACH {
        return Err(Refusal::Query(format!("`offset` reaches no further than {}", limits::DEBUG_ROOMS_REACH - most)));
    }
    Ok(json_answer(&rooms::list(&debug.inspector, from, most).await))
}

async fn room(
    State(debug): State<Arc<Debug>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    query: Asked,
) -> Result<Response, Refusal> {
    let name = RoomName::new(&name);
    let _place = debug.admit(&headers, Some(&name))?;
    let from = number(&query, "offset")?.unwrap_or(0);
    Ok(json_answer(&rooms::detail(&debug.inspector, &name, from).await?))
}

async fn record(
    State(debug): State<Arc<Debug>>,
    Path(names): Path<(String, String)>,
    headers: HeaderMap,
    query: Asked,
) -> Result<Response, Refusal> {
    let (room, identity, _place) = debug.admit_to(&headers, &names)?;
    let time = number(&query, "seconds")?.map_or(RECORDING_TIME, |seconds| Duration::from_secs(seconds as u64));
    match debug.inspector.record(&room, &identity, Some(time)).await? {
        Recorded::For(time) => Ok(json_answer(&json!({ "recording_seconds": time.as_secs() }))),
        Recorded::Ended => Ok(json_answer(&json!({ "recording_seconds": 0 }))),
        Recorded::Full => Err(Refusal::RecordersTaken),
    }
}

async fn end_recording(
    State(debug): State<Arc<Debug>>,
    Path(names): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (room, identity, _place) = debug.admit_to(&headers, &names)?;
    debug.inspector.record(&room, &identity, None).await?;
    Ok(json_answer(&json!({ "recording_seconds": 0 })))
}

async fn recording_json(
    State(debug): State<Arc<Debug>>,
    Path(names): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (room, identity, _place) = debug.admit_to(&headers, &names)?;
    Ok(json_answer(&recording::describe(&*debug.inspector.recording(&room, &identity).await?)))
}

async fn recording_pcapng(
    State(debug): State<Arc<Debug>>,
    Path(names): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (room, identity, _place) = debug.admit_to(&headers, &names)?;
    let recording: Arc<Recording> = debug.inspector.recording(&room, &identity).await?;
    let name = format!("attachment; filename=\"{}.pcapng\"", recording.subject.id);
    let headers = [(CONTENT_TYPE, "application/x-pcapng"), (CACHE_CONTROL, "no-store")];
    Ok((headers, [(CONTENT_DISPOSITION, name)], pcapng::write(&recording)).into_response())
}

impl Debug {
    /// A place among the requests that are answered at once, for who may see this room, or all of them.
    fn admit(&self, headers: &HeaderMap, room: Option<&RoomName>) -> Result<SemaphorePermit<'_>, Refusal> {
        let admin = token::verify_admin(token::bearer(headers).unwrap_or_default(), &self.keys)?;
        if !admin.may_see(room) {
            return Err(Refusal::OtherRoom);
        }
        self.places.try_acquire().map_err(|_| Refusal::Busy)
    }

    /// The same for one of a room's participants.
    fn admit_to(
        &self,
        headers: &HeaderMap,
        (room, identity): &(String, String),
    ) -> Result<(RoomName, Identity, SemaphorePermit<'_>), Refusal> {
        let room = RoomName::new(room);
        let place = self.admit(headers, Some(&room))?;
        Ok((room, Identity::new(identity), place))
    }
}

/// A number of the query.
fn number(query: &Asked, name: &str) -> Result<Option<usize>, Refusal> {
    let Query(query) = query.as_ref().map_err(|error| Refusal::Query(error.body_text()))?;
    let Some(text) = query.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Refusal::Query(format!("`{name}` is not a number")))
}

fn json_answer(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], format!("{value:#}\n")).into_response()
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::Token(error) => StatusCode::from_u16(error.status()).unwrap_or(StatusCode::UNAUTHORIZED),
            Refusal::OtherRoom => StatusCode::FORBIDDEN,
            Refusal::Busy | Refusal::RecordersTaken => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::NoRoom | Refusal::NoParticipant => StatusCode::NOT_FOUND,
            Refusal::Unanswered(_) => StatusCode::GATEWAY_TIMEOUT,
            Refusal::Query(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut answer = match &self {
            Refusal::Unanswered(shards) => {
                json_answer(&json!({ "error": self.to_string(), "unanswered_shards": shards }))
            }
            other => json_answer(&json!({ "error": other.to_string() })),
        };
        *answer.status_mut() = status;
        let name_and_value = match status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = name_and_value {
            answer.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        answer
    }
}
