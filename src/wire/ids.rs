//! The field's small values as types: Ssrc, PayloadType, Mid, Rid.
//!
//! `Mid` and `Rid` are inline strings of at most 16 bytes (what one header extension element of the one-byte
//! form can carry, RFC 8285), so that they are `Copy` and cost no allocation.

use std::fmt;

/// Synchronisation source (RFC 3550, section 3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ssrc(pub u32);

/// RTP payload type, 7 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PayloadType(pub u8);

/// A short token: printable ASCII, 1 to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    bytes: [u8; 16],
    len: u8,
}

impl Token {
    /// `None` when `text` is empty, longer than 16 bytes or not printable ASCII.
    pub fn new(text: &str) -> Option<Token> {
        Token::from_bytes(text.as_bytes())
    }

    /// As [`Token::new`], from the bytes of a header extension element.
    pub fn from_bytes(text: &[u8]) -> Option<Token> {
        if text.is_empty() || text.len() > 16 || !text.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Token { bytes, len: text.len() as u8 })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or("")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Media section identification (RFC 8843, `a=mid`).
pub type Mid = Token;
/// RTP stream identification (RFC 8851, `a=rid`).
pub type Rid = Token;
