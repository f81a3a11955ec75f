//! The HTTP side of both protocols: endpoints that open sessions, and the sessions themselves.
//!
//! What always holds: a body is bounded in size and time, and is not read before the token was checked; pages of any origin
//! may ask, and read every header the protocols use.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, LINK, LOCATION, RETRY_AFTER};
use axum::http::header::{HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use tower_http::cors::{Any, CorsLayer};

use super::Protocol;
use super::admission::{self, Asked};
use super::counters::Counters;
use super::ice::IceSession;
use super::refusal::Refusal;
use super::sessions::{Handle, Opening, Owner, Patched, Sessions};
use crate::api::CORS_MAX_AGE;
use crate::config::{ApiKeys, Config, IceServer};
use crate::limits;
use crate::negotiation::read_fragment;
use crate::room::event::Event;
use crate::signalling::place::{self, Denial, Place, Port};
use crate::signalling::token::{self, Claims, TokenError};
use crate::telemetry::traces::JoinTracer;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The bounds of `limits`, or a test's smaller ones.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub sessions: usize,
    /// For a body to arrive.
    pub body: Duration,
    /// For a room to answer.
    pub room: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { sessions: limits::HTTP_SESSIONS, body: limits::HTTP_BODY_TIMEOUT, room: limits::JOIN_TIMEOUT }
    }
}

/// What the handlers share.
pub(super) struct Shared<P> {
    port: P,
    keys: ApiKeys,
    /// Nobody needs a token.
    open: bool,
    auto_create: bool,
    links: Vec<HeaderValue>,
    sessions: Sessions,
    counters: Arc<Counters>,
    tracer: JoinTracer,
    bounds: Bounds,
}

/// The routes of both protocols. They answer for CORS themselves, since their answers to `OPTIONS` say more.
pub fn router<P: Port>(config: &Config, port: P, counters: Arc<Counters>, tracer: JoinTracer) -> Router {
    bounded_router(config, port, counters, tracer, Bounds::default())
}

pub(super) fn bounded_router<P: Port>(
    config: &Config,
    port: P,
    counters: Arc<Counters>,
    tracer: JoinTracer,
    bounds: Bounds,
) -> Router {
    let shared = Arc::new(Shared {
        port,
        keys: config.keys.clone(),
        open: config.development,
        auto_create: config.rooms.auto_create,
        links: config.media.ice_servers.iter().filter_map(link).collect(),
        sessions: Sessions::new(bounds.sessions, bounds.room, counters.clone()),
        counters,
        tracer,
        bounds,
    });
    Router::new()
        .route("/whip/{room}", post(publish::<P>).get(nothing))
        .route("/whep/{room}", post(play::<P>).get(nothing))
        .route("/whep/{room}/{identity}", post(play::<P>).get(nothing))
        .merge(session_routes::<P>(Protocol::Whip))
        .merge(session_routes::<P>(Protocol::Whep))
        .layer(DefaultBodyLimit::max(limits::HTTP_BODY_BYTES))
        .layer(cors())
        .layer(from_fn(tell_options))
        .with_state(shared)
}

/// How a client is told of a STUN or TURN server (RFC 9725, section 4.6). `None` for what fits no header.
fn link(server: &IceServer) -> Option<HeaderValue> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut link = format!("<{}>; rel=\"ice-server\"", server.uri);
    if let Some((username, credential)) = &server.login {
        let credential = std::str::from_utf8(credential.as_bytes()).ok()?;
        link += &format!("; username=\"{}\"; credential=\"{}\"", quoted(username), quoted(credential));
        link += "; credential-type=\"password\"";
    }
    HeaderValue::from_str(&link).ok()
}

fn session_routes<P: Port>(protocol: Protocol) -> Router<Arc<Shared<P>>> {
    let routes = axum::routing::get(move |State(shared): State<Arc<Shared<P>>>, Path(id): Path<String>| async move {
        answer(&shared, protocol, look(&shared, protocol, &id))
    })
    .patch(move |State(shared): State<Arc<Shared<P>>>, Path(id): Path<String>, request: Request| async move {
        let patched = patch(&shared, protocol, &id, request).await;
        answer(&shared, protocol, patched)
    })
    .delete(move |State(shared): State<Arc<Shared<P>>>, Path(id): Path<String>, headers: HeaderMap| async move {
        let ended = end(&shared, protocol, &id, &headers).await;
        answer(&shared, protocol, ended)
    });
    Router::new().route(&protocol.session_path("{id}"), routes)
}

fn cors() -> CorsLayer {
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS];
    // The wildcard for headers does not stand for Authorization (Fetch, section 4.9).
    let headers = [ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH];
    let exposed = [LOCATION, ETAG, LINK, ACCEPT_POST, ACCEPT_PATCH, RETRY_AFTER, WWW_AUTHENTICATE];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(methods)
        .allow_headers(headers)
        .expose_headers(exposed)
        .max_age(CORS_MAX_AGE)
}

/// Answers to `OPTIONS` say what may be posted (RFC 9725, section 4.2).
async fn tell_options(request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS;
    let mut response = next.run(request).await;
    if asks {
        response.headers_mut().insert(ACCEPT_POST, HeaderValue::from_static(SDP));
        response.headers_mut().insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    }
    response
}

/// An endpoint has no representation (RFC 9725, section 4.1).
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

#[derive(Deserialize, Default)]
struct Parameters {
    identity: Option<String>,
}

async fn publish<P: Port>(
    State(shared): State<Arc<Shared<P>>>,
    Path(room): Path<String>,
    Query(Parameters { identity }): Query<Parameters>,
    request: Request,
) -> Response {
    let asked = Asked { protocol: Protocol::Whip, room, watched: None, identity };
    let opened = open(&shared, asked, request).await;
    answer(&shared, Protocol::Whip, opened)
}

#[derive(Deserialize)]
struct Watched {
    room: String,
    identity: Option<String>,
}

async fn play<P: Port>(
    State(shared): State<Arc<Shared<P>>>,
    Path(Watched { room, identity }): Path<Watched>,
    request: Request,
) -> Response {
    let asked = Asked { protocol: Protocol::Whep, room, watched: identity, identity: None };
    let opened = open(&shared, asked, request).await;
    answer(&shared, Protocol::Whep, opened)
}

fn answer<P>(shared: &Shared<P>, protocol: Protocol, outcome: Result<Response, Refusal>) -> Response {
    outcome.unwrap_or_else(|refusal| {
        shared.counters.refused(protocol, refusal.status().as_str());
        refusal.into_response()
    })
}

impl<P> Shared<P> {
    /// The token's claims; `None` where none is needed and none was sent.
    fn claims(&self, headers: &HeaderMap) -> Result<Option<Claims>, Refusal> {
        match token::bearer(headers) {
            None if self.open => Ok(None),
            bearer => Ok(Some(token::verify(bearer.unwrap_or_default(), &self.keys)?)),
        }
    }

    /// Whether a request may touch a session: with the token that opened it, or another of the same participant's.
    fn check_owner(&self, session: &Handle, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(owner) = &session.owner else { return Ok(()) };
        let given = token::bearer(headers).ok_or(TokenError::Missing)?;
        if token::is_same(given, &owner.token) {
            return Ok(());
        }
        let claims = token::verify(given, &self.keys)?;
        let same = claims.room.as_str() == owner.room && claims.identity.as_str() == owner.identity;
        if same { Ok(()) } else { Err(Refusal::Forbidden("the session is another participant's")) }
    }
}

async fn open<P: Port>(shared: &Shared<P>, asked: Asked, request: Request) -> Result<Response, Refusal> {
    let mut trace = shared.tracer.begin(request.headers(), asked.protocol.route());
    let claims = shared.claims(request.headers())?;
    admission::authorize(claims.as_ref(), &asked)?;
    trace.authorised();
    let (room, identity) = admission::who(claims.as_ref(), &asked);
    place::admit(&shared.port, &room, &identity)?;
    if !shared.auto_create {
        // There is no other way to create a room yet.
        return Err(Refusal::NoRoom);
    }
    let owner = claims.as_ref().zip(token::bearer(request.headers())).map(|(claims, token)| Owner {
        room: claims.room.to_string(),
        identity: claims.identity.to_string(),
        token: token.to_owned(),
    });
    let offer = read_body(request, SDP, shared.bounds.body).await?;
    let join = admission::join_request(claims.as_ref(), &asked, offer)?;
    let seat = shared.sessions.reserve()?;
    let (mut place, _joined) = place::take(&shared.port, join, trace, shared.bounds.room).await?;
    let sdp = tokio::time::timeout(shared.bounds.room, answered(&mut place)).await;
    let sdp = sdp.unwrap_or(Err(Denial::Timeout.into()))?;
    let ice = IceSession::new(&sdp).ok_or(Denial::Timeout)?;
    let tag = ice.tag();
    let id = shared.sessions.open(Opening { protocol: asked.protocol, owner, place, ice, seat });
    Ok(created(asked.protocol, &id, &tag, sdp, &shared.links))
}

/// The answer to the offer that the participant joined with.
async fn answered<P: Place>(place: &mut P) -> Result<String, Refusal> {
    loop {
        match place.next().await {
            Some(Event::Answer { sdp, .. }) => return Ok(sdp),
            Some(Event::OfferRefused { reason, .. }) => return Err(Refusal::Malformed(reason)),
            Some(Event::Removed(_)) | None => return Err(Denial::ShuttingDown.into()),
            Some(_) => {}
        }
    }
}

fn created(protocol: Protocol, id: &str, tag: &str, sdp: String, links: &[HeaderValue]) -> Response {
    let location = protocol.session_path(id);
    let named = [(CONTENT_TYPE, SDP), (LOCATION, &location), (ETAG, tag), (ACCEPT_PATCH, FRAGMENT)];
    let mut response = (StatusCode::CREATED, named, sdp).into_response();
    for link in links {
        response.headers_mut().append(LINK, link.clone());
    }
    response
}

/// A session has no representation either, but for being there.
fn look<P>(shared: &Shared<P>, protocol: Protocol, id: &str) -> Result<Response, Refusal> {
    shared.sessions.find(protocol, id).map(|_| StatusCode::NO_CONTENT.into_response())
}

async fn patch<P: Port>(
    shared: &Shared<P>,
    protocol: Protocol,
    id: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let session = shared.sessions.find(protocol, id)?;
    shared.check_owner(&session, request.headers())?;
    let if_match = request.headers().get(IF_MATCH).map(|value| value.to_str().unwrap_or_default().to_owned());
    let body = read_body(request, FRAGMENT, shared.bounds.body).await?;
    let fragment = read_fragment(&body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    match session.patch(if_match.ok_or(Refusal::NoPrecondition)?, fragment).await? {
        Patched::Trickled => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted { tag, fragment } => {
            shared.sessions.count_restart(protocol);
            Ok(([(CONTENT_TYPE, FRAGMENT), (ETAG, &tag)], fragment).into_response())
        }
    }
}

/// Entity tags do not matter here (RFC 9725, section 4.3.1).
async fn end<P: Port>(
    shared: &Shared<P>,
    protocol: Protocol,
    id: &str,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    let session = shared.sessions.find(protocol, id)?;
    shared.check_owner(&session, headers)?;
    session.end().await?;
    Ok(StatusCode::OK.into_response())
}

async fn read_body(request: Request, media_type: &'static str, patience: Duration) -> Result<String, Refusal> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(media_type) {
        return Err(Refusal::MediaType(media_type));
    }
    let body = tokio::time::timeout(patience, Bytes::from_request(request, &()));
    let body = body.await.map_err(|_| Refusal::BodyTimeout)?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::TooLarge,
        _ => Refusal::Body,
    })?;
    String::from_utf8(body.into()).map_err(|_| Refusal::Body)
}
