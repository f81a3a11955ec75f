//! How clients come into a room: protocols on a small runtime of their own, away from the media thread.
//!
//! What always holds: everything has a timeout; nobody talks to anything but loopback unless it was allowed.

mod http;
pub mod livekit;
pub mod sdp;
pub mod session;
pub mod token;
mod whip;

use std::sync::Arc;
use std::time::Duration;

use sfumato::transport::Certificate;
use tokio::sync::watch;

use crate::engine::Engine;
use crate::error::Error;
use session::Session;
use token::ApiKey;

/// What all clients of a run share.
#[derive(Clone)]
pub struct Context {
    pub room: String,
    pub engine: Engine,
    pub certificate: Arc<Certificate>,
}

/// How clients come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    Livekit,
    Http(Endpoints),
}

/// Addresses to publish to and to play from, below the server's or whole; `{room}` and `{identity}` stand for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    pub whip: String,
    pub whep: String,
    /// The server makes the offers that players answer.
    pub server_offers: bool,
    /// A player watches everybody but the one it names, in one connection, and not one speaker.
    pub others: bool,
    /// Sends access tokens.
    pub authorizes: bool,
}

/// Where the server is, and how to be let in.
#[derive(Clone)]
pub struct Access {
    /// `http://host:port`
    pub url: String,
    pub protocol: Protocol,
    pub key: ApiKey,
    /// For one client to join, and for one request.
    pub timeout: Duration,
    pub allow_remote: bool,
}

impl Access {
    fn late(&self, what: &'static str) -> Error {
        Error::Timeout(what, self.timeout.as_secs())
    }
}

/// Joins, stays until told to leave, and leaves.
pub async fn join(
    context: &Context,
    access: &Access,
    session: Session,
    leave: watch::Receiver<bool>,
) -> Result<(), Error> {
    match &access.protocol {
        Protocol::Livekit => livekit::run(context, access, session, leave).await,
        Protocol::Http(endpoints) => whip::run(context, access, endpoints, session, leave).await,
    }
}
