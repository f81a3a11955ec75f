//! Which protocol a datagram on the media port speaks, by its first bytes (RFC 7983; RFC 5761 for RTCP).
//!
//! What always holds: two bytes decide; nothing is read, kept or logged of a datagram that belongs to no protocol here.

/// What a datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
}

/// `None` for what belongs to none of them (and must be dropped): ZRTP, TURN channels, QUIC, anything else, and an RTP or
/// RTCP packet too short to tell which.
pub fn classify(datagram: &[u8]) -> Option<Protocol> {
    // RFC 7983, section 7.
    match datagram.first()? {
        0..=3 => Some(Protocol::Stun),
        20..=63 => Some(Protocol::Dtls),
        128..=191 => match datagram.get(1)? {
            // RFC 5761, section 4: RTCP packet types; payload types 64 to 95 with the marker bit are not used for RTP.
            192..=223 => Some(Protocol::Rtcp),
            _ => Some(Protocol::Rtp),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_is_classified_as_rfc_7983_says() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Some(Protocol::Stun),
                20..=63 => Some(Protocol::Dtls),
                128..=191 => Some(Protocol::Rtp),
                _ => None,
            };
            assert_eq!(classify(&[first, 96, 0, 0]), expected, "first byte {first}");
        }
    }

    #[test]
    fn the_second_byte_tells_rtcp_from_rtp() {
        for second in 0..=255u8 {
            let rtcp = (192..=223).contains(&second);
            let expected = if rtcp { Protocol::Rtcp } else { Protocol::Rtp };
            assert_eq!(classify(&[0x80, second]), Some(expected), "second byte {second}");
        }
    }

    #[test]
    fn an_empty_or_cut_datagram_is_nothing() {
        assert_eq!(classify(&[]), None);
        assert_eq!(classify(&[0x80]), None);
    }
}
