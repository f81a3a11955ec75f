//! Which protocol a datagram on the media port speaks, by its first bytes (RFC 7983; RFC 5761 for RTCP).

/// What a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
}

/// `None` for what belongs to none of them (and must be dropped).
pub fn classify(datagram: &[u8]) -> Option<Protocol> {
    todo!("{}", datagram.len())
}
