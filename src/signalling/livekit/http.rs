//! The HTTP side: who may open a signalling connection, and what the others are told.
//!
//! `/rtc/v1` is the single-connection protocol's WebSocket; `/rtc/v1/validate` tells a browser, which cannot see why its
//! WebSocket failed, whether the token is good and the server takes anybody in; the two-connection protocol's `/rtc` is not served. What always holds: nobody
//! is let in, and no room hears of anybody, before the token was checked.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use serde::Deserialize;

use super::counters::Counters;
use super::join::{self, JoinRequestError};
use super::session::{Now, Session};
use super::socket::{self, Seated};
use super::token::{self, Claims, TokenError};
use super::websocket::Upgrade;
use super::{Port, dev_token, responses};
use crate::api::serve::ConnectionGuard;
use crate::config::{ApiKeys, Config};
use crate::limits;
use crate::signalling::place::{self, Denial};
use crate::telemetry::traces::JoinTracer;

/// Where clients join.
const ROUTE: &str = "/rtc/v1";

const TWO_CONNECTIONS: &str = "the protocol with two peer connections is not served: use a client with a single peer \
    connection, which asks for /rtc/v1";

/// What the handlers share.
pub(super) struct Shared<P> {
    port: P,
    keys: Arc<ApiKeys>,
    auto_create: bool,
    counters: Arc<Counters>,
    tracer: JoinTracer,
}

/// The routes of this protocol, and in development mode the one that hands out tokens.
pub fn router<P: Port>(config: &Config, port: P, counters: Arc<Counters>, tracer: JoinTracer) -> Router {
    let shared = Arc::new(Shared {
        port,
        keys: Arc::new(config.keys.clone()),
        auto_create: config.rooms.auto_create,
        counters,
        tracer,
    });
    let mut router = Router::new()
        .route(ROUTE, get(connect::<P>))
        .route("/rtc/v1/validate", get(validate::<P>))
        .route("/rtc", any(|| std::future::ready((StatusCode::NOT_FOUND, TWO_CONNECTIONS))))
        // A browser's client takes 404 here for a reason to try the same again, without end.
        .route("/rtc/validate", any(|| std::future::ready((StatusCode::FORBIDDEN, TWO_CONNECTIONS))))
        .with_state(shared);
    if config.development {
        router = router.merge(dev_token::routes(config.keys.clone(), config.tls.is_some()));
    }
    router
}

/// Why somebody is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    JoinRequest(#[from] JoinRequestError),
    #[error("the query is malformed")]
    Query,
    /// Clients know this text: it tells a missing room from a missing protocol.
    #[error("requested room does not exist")]
    NoRoom,
    #[error("this is a WebSocket address: an upgrade is required")]
    NoUpgrade,
    #[error(transparent)]
    Denied(#[from] Denial),
}

impl Refusal {
    fn status(self) -> StatusCode {
        let status = match self {
            Self::Token(error) => error.status(),
            Self::JoinRequest(error) => error.status(),
            Self::Denied(denial) => denial.status(),
            Self::Query => 400,
            Self::NoRoom => 404,
            Self::NoUpgrade => 426,
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Parameters {
    access_token: String,
    join_request: String,
}

impl<P> Shared<P> {
    fn refuse(&self, refusal: Refusal) -> Response {
        let status = refusal.status();
        self.counters.refused.with_label_values(&[status.as_str()]).inc();
        let mut response = (status, refusal.to_string()).into_response();
        if let Refusal::Denied(denial) = refusal
            && let Some(seconds) = denial.retry_after()
        {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    /// Checks all that can be checked without a room.
    fn check(&self, headers: &HeaderMap, parameters: &Parameters) -> Result<Claims, Refusal> {
        let given = token::bearer(headers).unwrap_or(&parameters.access_token);
        let claims = token::verify(given, &self.keys)?;
        // There is no other way to create a room yet.
        if !self.auto_create { Err(Refusal::NoRoom) } else { Ok(claims) }
    }
}

async fn validate<P: Port>(
    State(shared): State<Arc<Shared<P>>>,
    headers: HeaderMap,
    query: Result<Query<Parameters>, QueryRejection>,
) -> Response {
    let checked = query.map_err(|_| Refusal::Query).and_then(|Query(parameters)| {
        let claims = shared.check(&headers, &parameters)?;
        // Not counted: it was when the WebSocket was refused.
        shared.port.may_join(&claims.room, &claims.identity).map_err(Denial::from)?;
        if !parameters.join_request.is_empty() {
            join::room_request(&claims, join::decode(&parameters.join_request)?)?;
        }
        Ok(())
    });
    match checked {
        Ok(()) => "success".into_response(),
        Err(refusal) => shared.refuse(refusal),
    }
}

async fn connect<P: Port>(
    State(shared): State<Arc<Shared<P>>>,
    headers: HeaderMap,
    query: Result<Query<Parameters>, QueryRejection>,
    guard: Option<Extension<ConnectionGuard>>,
    upgrade: Result<Upgrade, StatusCode>,
) -> Response {
    match try_connect(&shared, &headers, query, guard, upgrade).await {
        Ok(response) => response,
        Err(refusal) => shared.refuse(refusal),
    }
}

async fn try_connect<P: Port>(
    shared: &Shared<P>,
    headers: &HeaderMap,
    query: Result<Query<Parameters>, QueryRejection>,
    guard: Option<Extension<ConnectionGuard>>,
    upgrade: Result<Upgrade, StatusCode>,
) -> Result<Response, Refusal> {
    let mut trace = shared.tracer.begin(headers, ROUTE);
    let Query(parameters) = query.map_err(|_| Refusal::Query)?;
    let claims = shared.check(headers, &parameters)?;
    trace.authorised();
    place::admit(&shared.port, &claims.room, &claims.identity)?;
    let said = join::decode(&parameters.join_request)?;
    let protocol = said.client_info.as_ref().map_or(0, |client| client.protocol);
    let resumes = said.reconnect;
    let request = join::room_request(&claims, said)?;
    let upgrade = upgrade.map_err(|_| Refusal::NoUpgrade)?;
    let counters = shared.counters.clone();
    if resumes {
        return Ok(upgrade.answer(move |socket| async move {
            let _guard = guard;
            socket::tell(socket, responses::no_resume(protocol), counters).await;
        }));
    }
    // Before the upgrade, so that a refusal is an HTTP status.
    let (place, first) = place::take(&shared.port, request, trace, limits::JOIN_TIMEOUT).await?;
    let session = Session::new(claims.renewal, shared.keys.clone(), protocol, Now::read().instant);
    let seated = Box::new(Seated { place, first: Some(first), session, counters });
    Ok(upgrade.answer(move |socket| async move {
        let _guard = guard;
        socket::run(socket, seated).await;
    }))
}
