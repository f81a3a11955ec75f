//! Signalling by plain HTTP: WHIP (RFC 9725) to publish, WHEP (draft-ietf-wish-whep) to play, of any server.
//!
//! What always holds: one connection publishes or plays one participant; what was opened is deleted in the end.

use std::time::Instant;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::http::request::Builder;
use hyper::{Request, StatusCode};
use tokio::sync::watch;

use super::http::{self, Answer};
use super::session::{Plan, Session};
use super::{Access, Context, Endpoints};
use crate::error::Error;

const SDP: &str = "application/sdp";

/// Opens the session, keeps it until told to leave, and deletes it.
pub async fn run(
    context: &Context,
    access: &Access,
    endpoints: &Endpoints,
    mut session: Session,
    mut leave: watch::Receiver<bool>,
) -> Result<(), Error> {
    let token = token(context, access, endpoints, &session.plan)?;
    let endpoint = endpoint(context, access, endpoints, &session.plan);
    if session.plan.watches.is_some() {
        session.receive_more(1, 1);
    }
    let (id, offer) = session.offer(context);
    let started = Instant::now();
    let request = authorized(Request::post(&endpoint), token.as_deref()).header(CONTENT_TYPE, SDP);
    let answer = send(access, request, offer).await?;
    if answer.status != StatusCode::CREATED {
        let Answer { status, body, .. } = answer;
        return Err(Error::Signalling(format!("{endpoint}: {status} {}", body.trim())));
    }
    let resource = answer.headers.get(LOCATION).and_then(|location| resolve(&endpoint, location.to_str().ok()?));
    let outcome = session.on_answer(context, access, started, id, &answer.body);
    if outcome.is_ok() {
        // A sender that is gone wants everybody gone.
        let _ = leave.wait_for(|leave| *leave).await;
    }
    session.leave(context);
    if let Some(resource) = resource {
        let request = authorized(Request::delete(resource), token.as_deref());
        // The server may have ended it already.
        let _ = send(access, request, String::new()).await;
    }
    outcome
}

async fn send(access: &Access, request: Builder, body: String) -> Result<Answer, Error> {
    let request = request.body(Full::<Bytes>::from(body)).map_err(|error| Error::Usage(error.to_string()))?;
    let sent = tokio::time::timeout(access.timeout, http::send(request)).await;
    sent.map_err(|_| access.late("an answer by HTTP"))?
}

fn authorized(request: Builder, token: Option<&str>) -> Builder {
    match token {
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
        None => request,
    }
}

fn token(context: &Context, access: &Access, endpoints: &Endpoints, plan: &Plan) -> Result<Option<String>, Error> {
    if !endpoints.authorizes {
        return Ok(None);
    }
    let token = access.key.token(&context.room, &plan.identity, plan.watches.is_none());
    token.map(Some).ok_or_else(|| Error::Signalling("the token cannot be signed".to_owned()))
}

/// Where a client of this plan posts its offer.
fn endpoint(context: &Context, access: &Access, endpoints: &Endpoints, plan: &Plan) -> String {
    let (template, identity) = match &plan.watches {
        Some(watched) => (&endpoints.whep, watched),
        None => (&endpoints.whip, &plan.identity),
    };
    let path = template.replace("{room}", &context.room).replace("{identity}", identity);
    if path.starts_with('/') { format!("{}{path}", access.url) } else { path }
}

/// The address that a `Location` names: whole, or a path of the same server (RFC 3986, section 5.2, as far as servers use it).
fn resolve(endpoint: &str, location: &str) -> Option<String> {
    if location.contains("://") {
        return Some(location.to_owned());
    }
    let authority = endpoint.find("://").map(|at| at + 3)?;
    let path = endpoint.get(authority..)?.find('/').map_or(endpoint.len(), |at| authority + at);
    let folder = endpoint.get(..path)?;
    if location.starts_with('/') {
        return Some(format!("{folder}{location}"));
    }
    let whole = endpoint.split('?').next()?;
    let parent = whole.get(..whole.rfind('/')?)?;
    Some(format!("{parent}/{location}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_resolved_against_the_endpoint() {
        let endpoint = "http://127.0.0.1:80/whip/room?identity=a/b";
        let resolved = |location| resolve(endpoint, location).unwrap();
        assert_eq!(resolved("/session/1"), "http://127.0.0.1:80/session/1");
        assert_eq!(resolved("session/1"), "http://127.0.0.1:80/whip/session/1");
        assert_eq!(resolved("http://other/1"), "http://other/1");
        assert_eq!(resolve("http://host", "/x").unwrap(), "http://host/x");
    }
}
