//! The whole transport against a peer made of other implementations, in virtual time.

mod connecting;
mod data;
pub(in crate::transport) mod dtls_peer;
mod hostile;
mod link;
mod paths;

use std::net::SocketAddr;
use std::time::Instant;

use super::ice::{BINDING_REQUEST, StunWriter, stun_attribute, stun_key};
use super::srtp::Srtp;
use super::{IceCredentials, Transport};
use link::{Link, Options};

/// A check that nominates, of a peer with this ufrag.
pub(crate) fn nomination(local: &IceCredentials, peer: &str) -> Vec<u8> {
    StunWriter::new(BINDING_REQUEST, &[7; 12])
        .attribute(stun_attribute::USERNAME, format!("{}:{peer}", local.ufrag).as_bytes())
        .attribute(stun_attribute::ICE_CONTROLLING, &[1; 8])
        .attribute(stun_attribute::PRIORITY, &[1; 4])
        .attribute(stun_attribute::USE_CANDIDATE, b"")
        .finish(&stun_key(&local.pwd))
}

/// A connected transport with its peer's address and SRTP session, for tests of what stands on a transport.
pub(crate) struct Connected {
    pub transport: Transport,
    pub address: SocketAddr,
    pub peer: Srtp,
    pub now: Instant,
}

impl Connected {
    /// `port` tells peers apart.
    pub fn new(port: u16) -> Connected {
        let mut link = Link::described(Options::default());
        link.address = link::address(port);
        link.nominate();
        link.run_until(|link| link.is_connected());
        let (address, peer, now) = (link.address, link.peer_srtp(), link.now);
        Connected { transport: link.transport, address, peer, now }
    }
}
