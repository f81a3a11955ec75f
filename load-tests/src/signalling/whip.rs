//! Signalling by plain HTTP: WHIP (RFC 9725) to publish, WHEP (draft-ietf-wish-whep) to play, of any server; players offer, or
//! answer what the server offers to an empty request.
//!
//! What always holds: one connection publishes or plays; what was opened is deleted in the end.

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
    session: Session,
    mut leave: watch::Receiver<bool>,
) -> Result<(), Error> {
    let token = token(context, access, endpoints, &session.plan)?;
    let endpoint = endpoint(context, access, endpoints, &session.plan);
    let answers = endpoints.server_offers && session.plan.watches.is_some();
    let mut talk = Talk { context, access, session, endpoint, token, resource: None };
    let outcome = if answers { talk.answer().await } else { talk.offer().await };
    if outcome.is_ok() {
        // A sender that is gone wants everybody gone.
        let _ = leave.wait_for(|leave| *leave).await;
    }
    talk.session.leave(context);
    if let Some(resource) = &talk.resource {
        // The server may have ended it already.
        let _ = talk.send(Request::delete(resource), String::new()).await;
    }
    outcome
}

/// One session's requests.
struct Talk<'a> {
    context: &'a Context,
    access: &'a Access,
    session: Session,
    endpoint: String,
    token: Option<String>,
    /// What is to be deleted in the end.
    resource: Option<String>,
}

impl Talk<'_> {
    /// Offers; the server answers at once.
    async fn offer(&mut self) -> Result<(), Error> {
        if self.session.plan.watches.is_some() {
            self.session.receive_more(1, 1);
        }
        let (id, offer) = self.session.offer(self.context);
        let started = Instant::now();
        let answer = self.open(offer).await?;
        self.session.on_answer(self.context, self.access, started, id, &answer)
    }

    /// Asks for an offer, and brings the answer: WHEP's mode with the server's offer.
    async fn answer(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        let offer = self.open(String::new()).await?;
        let (answer, setup) = self.session.answer(self.context, self.access, started, &offer)?;
        let Some(resource) = &self.resource else {
            return Err(Error::Signalling(format!("{}: an offer without a Location", self.endpoint)));
        };
        let taken = self.send(Request::patch(resource).header(CONTENT_TYPE, SDP), answer).await?;
        if !taken.status.is_success() {
            return Err(refused(resource, &taken));
        }
        self.session.start(self.context, setup)
    }

    /// Opens the session. Gives the server's description.
    async fn open(&mut self, body: String) -> Result<String, Error> {
        let answer = self.send(Request::post(&self.endpoint).header(CONTENT_TYPE, SDP), body).await?;
        if answer.status != StatusCode::CREATED {
            return Err(refused(&self.endpoint, &answer));
        }
        let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
        self.resource = location.and_then(|location| resolve(&self.endpoint, location));
        Ok(answer.body)
    }

    async fn send(&self, request: Builder, body: String) -> Result<Answer, Error> {
        let request = authorized(request, self.token.as_deref()).body(Full::<Bytes>::from(body));
        let request = request.map_err(|error| Error::Usage(error.to_string()))?;
        let sent = tokio::time::timeout(self.access.timeout, http::send(request)).await;
        sent.map_err(|_| self.access.late("an answer by HTTP"))?
    }
}

fn refused(address: &str, answer: &Answer) -> Error {
    Error::Signalling(format!("{address}: {} {}", answer.status, answer.body.trim()))
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
