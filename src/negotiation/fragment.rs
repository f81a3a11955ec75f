//! SDP fragments that carry ICE alone: trickled candidates and restarts (RFC 8840, section 4.4 and 9).
//!
//! What always holds: size, lines and candidates are bounded; credentials keep the rules of a whole description's.

use super::OfferError;
use super::parse::{check_bounds, malformed};
use super::transport_attributes::check_ice;
use crate::limits;
use crate::transport::IceCredentials;

/// What a fragment says of the peer's ICE agent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IceFragment {
    /// The generation that the candidates are of.
    pub ice: Option<IceCredentials>,
    /// Well-formed `a=candidate` lines. An ICE-lite agent needs no more of them than that: it learns addresses from checks.
    pub candidates: usize,
    pub end_of_candidates: bool,
}

/// Reads a body of type `application/trickle-ice-sdpfrag`. Attributes of other kinds are passed over.
pub fn read_fragment(text: &str) -> Result<IceFragment, OfferError> {
    check_bounds(text)?;
    let mut fragment = IceFragment::default();
    let (mut ufrag, mut pwd) = (None, None);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let Some(attribute) = line.strip_prefix("a=") else {
            check_type(line)?;
            continue;
        };
        let (key, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match key {
            "ice-ufrag" => drop(ufrag.get_or_insert(value)),
            "ice-pwd" => drop(pwd.get_or_insert(value)),
            "end-of-candidates" => fragment.end_of_candidates = true,
            "candidate" if is_candidate(value) => fragment.candidates += 1,
            "candidate" => return Err(malformed(line)),
            _ => {}
        }
        if fragment.candidates > limits::ICE_CANDIDATES {
            return Err(malformed("too many candidates"));
        }
    }
    fragment.ice = match (ufrag, pwd) {
        (Some(ufrag), Some(pwd)) => Some(check_ice(ufrag, pwd)?),
        (None, None) => None,
        _ => return Err(OfferError::Missing("one of ice-ufrag and ice-pwd")),
    };
    Ok(fragment)
}

/// A line is a letter, an equals sign and a value (RFC 8866, section 5).
fn check_type(line: &str) -> Result<(), OfferError> {
    let mut chars = line.chars();
    match (chars.next(), chars.next()) {
        (Some(letter), Some('=')) if letter.is_ascii_lowercase() => Ok(()),
        _ => Err(malformed(line)),
    }
}

/// RFC 8839, section 5.1: foundation, component, transport, priority, address, port, `typ` and a type, then extensions.
/// What the address is does not matter: it may be a name (mDNS), or of a transport that is not served.
fn is_candidate(value: &str) -> bool {
    let words: Vec<&str> = value.split(' ').collect();
    match words.as_slice() {
        [_, component, _, priority, _, port, "typ", _, ..] => {
            component.parse::<u16>().is_ok() && priority.parse::<u32>().is_ok() && port.parse::<u16>().is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
    const CANDIDATE: &str =
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n";

    #[test]
    fn candidates_and_their_generation_are_read() {
        let mdns = CANDIDATE.replace("192.0.2.1", "8b1f7a3e-93aa-4c3b.local");
        let text = format!("{CREDENTIALS}m=audio 9 RTP/AVP 0\r\na=mid:0\r\n{CANDIDATE}{mdns}a=end-of-candidates\r\n");
        let fragment = read_fragment(&text).unwrap();
        let ice = IceCredentials { ufrag: "EsAw".to_owned(), pwd: "P2uYro0UCOQ4zxjKXaWCBui1".to_owned() };
        assert_eq!(fragment, IceFragment { ice: Some(ice), candidates: 2, end_of_candidates: true });
    }

    #[test]
    fn the_first_credentials_count_and_none_are_none() {
        let twice = format!("{CREDENTIALS}m=audio 9 RTP/AVP 0\na=ice-ufrag:other\na=ice-pwd:{}\n", "x".repeat(22));
        assert_eq!(read_fragment(&twice).unwrap().ice.map(|ice| ice.ufrag).as_deref(), Some("EsAw"));
        assert_eq!(read_fragment("").unwrap(), IceFragment::default());
    }

    #[test]
    fn what_is_not_a_fragment_is_malformed() {
        for text in [
            "hello",
            "a=candidate:1 1 udp 1 192.0.2.1 1 host",
            "a=candidate:1 x udp 1 192.0.2.1 1 typ host",
            "a=candidate:1 1 udp 1 192.0.2.1 65536 typ host",
            "a=ice-ufrag:EsAw",
            "a=ice-ufrag:EsAw\na=ice-pwd:short",
            "a=ice-ufrag:E:Aw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1",
            "a=x\0",
        ] {
            assert!(read_fragment(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn candidates_are_bounded() {
        assert!(read_fragment(&CANDIDATE.repeat(limits::ICE_CANDIDATES)).is_ok());
        assert!(read_fragment(&CANDIDATE.repeat(limits::ICE_CANDIDATES + 1)).is_err());
    }
}
