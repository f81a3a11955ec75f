//! A session description from a peer, within bounds, as the parser's values (RFC 8866).
//!
//! What always holds: size, lines and sections are bounded before the parser sees the text; no control character
//! passes, so that whatever is echoed into an answer stays on its line.

use std::io::Cursor;

use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::session::SessionDescription;

use super::OfferError;
use crate::limits;

/// Checks the bounds and parses.
pub(super) fn parse(sdp: &str) -> Result<SessionDescription, OfferError> {
    check_bounds(sdp)?;
    SessionDescription::unmarshal(&mut Cursor::new(sdp.as_bytes())).map_err(|error| malformed(&error.to_string()))
}

pub(super) fn check_bounds(sdp: &str) -> Result<(), OfferError> {
    if sdp.len() > limits::SDP_BYTES {
        return Err(OfferError::TooLong(limits::SDP_BYTES));
    }
    let mut sections = 0;
    for (number, line) in sdp.lines().enumerate() {
        if number >= limits::SDP_LINES {
            return Err(OfferError::TooLong(limits::SDP_LINES));
        }
        if line.len() > limits::SDP_LINE_BYTES {
            return Err(OfferError::Malformed(format!("a line over {} bytes", limits::SDP_LINE_BYTES)));
        }
        if line.chars().any(char::is_control) {
            return Err(OfferError::Malformed("a control character".to_owned()));
        }
        sections += usize::from(line.starts_with("m="));
    }
    if sections > limits::SDP_SECTIONS {
        return Err(OfferError::TooManySections(limits::SDP_SECTIONS));
    }
    Ok(())
}

/// An error that quotes what the peer wrote, cut short: it ends up in logs and in replies.
pub(super) fn malformed(what: &str) -> OfferError {
    const QUOTED_CHARS: usize = 100;
    OfferError::Malformed(what.chars().take(QUOTED_CHARS).collect())
}

/// The first value of an attribute.
pub(super) fn value<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a str> {
    values(attributes, key).next()
}

/// All values of an attribute, in order.
pub(super) fn values<'a>(attributes: &'a [Attribute], key: &str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.key == key).filter_map(|a| a.value.as_deref())
}

/// Whether an attribute is present, with or without a value.
pub(super) fn has(attributes: &[Attribute], key: &str) -> bool {
    attributes.iter().any(|a| a.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";

    #[test]
    fn bytes_are_bounded() {
        let line = format!("a=x:{}\r\n", "y".repeat(1000));
        let mut sdp = HEAD.to_owned();
        while sdp.len() + line.len() <= limits::SDP_BYTES {
            sdp.push_str(&line);
        }
        assert!(parse(&sdp).is_ok());
        sdp.push_str(&line);
        assert_eq!(parse(&sdp).err(), Some(OfferError::TooLong(limits::SDP_BYTES)));
    }

    #[test]
    fn lines_are_bounded() {
        let within = format!("{HEAD}{}", "a=x\r\n".repeat(limits::SDP_LINES - 4));
        assert!(parse(&within).is_ok());
        assert_eq!(parse(&format!("{within}a=x\r\n")).err(), Some(OfferError::TooLong(limits::SDP_LINES)));
    }

    #[test]
    fn a_line_is_bounded() {
        let within = format!("{HEAD}a=x{}\r\n", "y".repeat(limits::SDP_LINE_BYTES - 3));
        assert!(parse(&within).is_ok());
        let over = format!("{HEAD}a=x{}\r\n", "y".repeat(limits::SDP_LINE_BYTES - 2));
        assert!(matches!(parse(&over), Err(OfferError::Malformed(_))));
    }

    #[test]
    fn sections_are_bounded() {
        let within = format!("{HEAD}{}", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(limits::SDP_SECTIONS));
        assert!(parse(&within).is_ok());
        let over = format!("{within}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n");
        assert_eq!(parse(&over).err(), Some(OfferError::TooManySections(limits::SDP_SECTIONS)));
    }

    #[test]
    fn a_control_character_is_refused() {
        for character in ["\r", "\0", "\u{85}", "\t"] {
            let sdp = format!("{HEAD}a=tool:x{character}a=setup:active\r\n");
            assert!(matches!(parse(&sdp), Err(OfferError::Malformed(_))), "{character:?}");
        }
    }

    #[test]
    fn a_quote_in_an_error_is_cut_short() {
        let OfferError::Malformed(text) = malformed(&"ü".repeat(1000)) else { panic!() };
        assert_eq!(text.chars().count(), 100);
    }
}
