//! How clients come into a room: protocols on a small runtime of their own, away from the media thread.
//!
//! What always holds: everything has a timeout; nobody talks to anything but loopback unless it was allowed.

pub mod livekit;
pub mod sdp;
pub mod session;
pub mod token;

use std::sync::Arc;
use std::time::Duration;

use sfumato::transport::Certificate;
use tokio::sync::watch;

use crate::engine::Engine;
use crate::error::Error;
use token::ApiKey;

/// What all clients of a run share.
#[derive(Clone)]
pub struct Context {
    pub room: String,
    pub engine: Engine,
    pub certificate: Arc<Certificate>,
    /// Set when everybody is to leave.
    pub leave: watch::Receiver<bool>,
    pub timeout: Duration,
    pub allow_remote: bool,
}

/// Where the server is, and how to be let in.
#[derive(Clone)]
pub struct Access {
    /// `ws://host:port`
    pub url: String,
    pub key: ApiKey,
}

impl Context {
    pub fn late(&self, what: &'static str) -> Error {
        Error::Timeout(what, self.timeout.as_secs())
    }
}
