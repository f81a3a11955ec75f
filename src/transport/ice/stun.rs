//! Reading and writing the STUN messages of ICE (RFC 8489, RFC 8445 section 16).
//!
//! Our own rather than `rtc-stun`: this is what every stranger's datagram reaches first, and that codec copies the message
//! and collects its attributes on the heap before anything is authenticated.
//! What always holds: reading borrows, allocates nothing and makes one pass over at most `length` bytes; nothing in a
//! [`Message`] is to be trusted before [`Message::is_authentic`].

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

pub(in crate::transport) const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: u32 = 0x2112_a442;
const FINGERPRINT_XOR: u32 = 0x5354_554e;
const INTEGRITY_BYTES: usize = 20;
/// Type, length and value of MESSAGE-INTEGRITY.
const INTEGRITY_ATTRIBUTE_BYTES: usize = 24;
const FINGERPRINT_ATTRIBUTE_BYTES: usize = 8;
/// Unknown attributes named in a 420 answer; a message with more is answered with these.
const UNKNOWN_NAMED: usize = 8;

pub(in crate::transport) const BINDING_REQUEST: u16 = 0x0001;
pub(in crate::transport) const BINDING_SUCCESS: u16 = 0x0101;
pub(in crate::transport) const BINDING_ERROR: u16 = 0x0111;

/// Attribute types (RFC 8489 section 18.3, RFC 8445 section 16.1).
pub(in crate::transport) mod attribute {
    pub const MAPPED_ADDRESS: u16 = 0x0001;
    pub const USERNAME: u16 = 0x0006;
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub const ERROR_CODE: u16 = 0x0009;
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
    pub const REALM: u16 = 0x0014;
    pub const NONCE: u16 = 0x0015;
    pub const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    pub const PRIORITY: u16 = 0x0024;
    pub const USE_CANDIDATE: u16 = 0x0025;
    pub const FINGERPRINT: u16 = 0x8028;
    pub const ICE_CONTROLLED: u16 = 0x8029;
    #[cfg(test)]
    pub const ICE_CONTROLLING: u16 = 0x802a;
    /// draft-thatcher-ice-renomination, with the number that deployed stacks send.
    pub const NOMINATION: u16 = 0xc001;
}

/// Attributes that must be understood (type below 0x8000) but were not.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::transport) struct Unknown {
    types: [u16; UNKNOWN_NAMED],
    count: usize,
}

impl Unknown {
    fn push(&mut self, kind: u16) {
        if let Some(slot) = self.types.get_mut(self.count) {
            *slot = kind;
            self.count += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn types(&self) -> &[u16] {
        self.types.get(..self.count).unwrap_or_default()
    }
}

/// A STUN message, read in one pass.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Message<'a> {
    raw: &'a [u8],
    pub kind: u16,
    pub transaction: &'a [u8; 12],
    pub username: Option<&'a [u8]>,
    /// Where MESSAGE-INTEGRITY begins, and its value.
    integrity: Option<(usize, &'a [u8])>,
    pub use_candidate: bool,
    pub nomination: Option<u32>,
    /// The peer says that it is controlled too: a role conflict.
    pub is_controlled: bool,
    pub unknown: Unknown,
}

impl<'a> Message<'a> {
    /// `None` for what is not a well-formed STUN message, and where a FINGERPRINT does not match.
    pub fn parse(raw: &'a [u8]) -> Option<Message<'a>> {
        let mut message = Message {
            raw,
            kind: u16_at(raw, 0)?,
            transaction: raw.get(8..HEADER_BYTES)?.try_into().ok()?,
            username: None,
            integrity: None,
            use_candidate: false,
            nomination: None,
            is_controlled: false,
            unknown: Unknown::default(),
        };
        let length = usize::from(u16_at(raw, 2)?);
        let is_stun = message.kind & 0xc000 == 0 && u32_at(raw, 4)? == MAGIC_COOKIE;
        if !is_stun || !length.is_multiple_of(4) || raw.len() != HEADER_BYTES + length {
            return None;
        }
        let mut at = HEADER_BYTES;
        while at < raw.len() {
            at = message.read_attribute(at)?;
        }
        Some(message)
    }

    /// Reads the attribute at `at`, gives where the next one begins.
    fn read_attribute(&mut self, at: usize) -> Option<usize> {
        let kind = u16_at(self.raw, at)?;
        let length = usize::from(u16_at(self.raw, at + 2)?);
        let value = self.raw.get(at + 4..at + 4 + length)?;
        let next = at + 4 + length.next_multiple_of(4);
        if kind == attribute::FINGERPRINT {
            // It is the last one, and covers all before it.
            let covered = self.raw.get(..at)?;
            let matches = next == self.raw.len() && u32_at(value, 0)? == crc32(covered) ^ FINGERPRINT_XOR;
            return (matches && length == 4).then_some(next);
        }
        if self.integrity.is_some() {
            // What follows MESSAGE-INTEGRITY is not covered by it and is ignored (RFC 8489, section 14.5).
            return Some(next);
        }
        match kind {
            attribute::USERNAME => self.username = Some(value),
            attribute::MESSAGE_INTEGRITY if length == INTEGRITY_BYTES => self.integrity = Some((at, value)),
            attribute::MESSAGE_INTEGRITY => return None,
            attribute::USE_CANDIDATE => self.use_candidate = true,
            attribute::ICE_CONTROLLED => self.is_controlled = true,
            attribute::NOMINATION => self.nomination = Some(u32_at(value, 0)?),
            attribute::MAPPED_ADDRESS
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::REALM
            | attribute::NONCE
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::XOR_MAPPED_ADDRESS
            | attribute::PRIORITY => {}
            unknown if unknown < 0x8000 => self.unknown.push(unknown),
            _ => {}
        }
        Some(next)
    }

    /// Whether MESSAGE-INTEGRITY is there and made with this key (the password, RFC 8445 section 7.2.2).
    pub fn is_authentic(&self, key: &hmac::Key) -> bool {
        let Some((at, value)) = self.integrity else {
            return false;
        };
        let Some(expected) = integrity(key, self.raw, at) else {
            return false;
        };
        verify_slices_are_equal(expected.as_ref(), value).is_ok()
    }

    pub fn len(&self) -> usize {
        self.raw.len()
    }
}

/// HMAC-SHA1 over the first `at` bytes, with the length in the header as if the message ended with MESSAGE-INTEGRITY.
fn integrity(key: &hmac::Key, raw: &[u8], at: usize) -> Option<hmac::Tag> {
    let length = (at + INTEGRITY_ATTRIBUTE_BYTES).checked_sub(HEADER_BYTES)?;
    let mut context = hmac::Context::with_key(key);
    context.update(raw.get(..2)?);
    context.update(&u16::try_from(length).ok()?.to_be_bytes());
    context.update(raw.get(4..at)?);
    Some(context.sign())
}

/// The part of USERNAME before the colon of a Binding request, without checking anything else.
pub(in crate::transport) fn local_ufrag(raw: &[u8]) -> Option<&str> {
    if u16_at(raw, 0)? != BINDING_REQUEST || u32_at(raw, 4)? != MAGIC_COOKIE {
        return None;
    }
    let end = HEADER_BYTES + usize::from(u16_at(raw, 2)?);
    let raw = raw.get(..end)?;
    let mut at = HEADER_BYTES;
    while at < raw.len() {
        let length = usize::from(u16_at(raw, at + 2)?);
        if u16_at(raw, at)? == attribute::USERNAME {
            let username = raw.get(at + 4..at + 4 + length)?;
            let colon = username.iter().position(|byte| *byte == b':')?;
            return std::str::from_utf8(username.get(..colon)?).ok();
        }
        at += 4 + length.next_multiple_of(4);
    }
    None
}

/// Writes one message; the answers fit 100 bytes.
pub(in crate::transport) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new(kind: u16, transaction: &[u8; 12]) -> Writer {
        let mut bytes = Vec::with_capacity(100);
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(MAGIC_COOKIE.to_be_bytes());
        bytes.extend(transaction);
        Writer { bytes }
    }

    /// Values are a few bytes long: the length fits 16 bits.
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Writer {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    pub fn xor_mapped_address(self, address: SocketAddr) -> Writer {
        let mut value = Vec::with_capacity(20);
        let port = address.port() ^ (MAGIC_COOKIE >> 16) as u16;
        match address.ip() {
            IpAddr::V4(ip) => {
                value.extend([0, 1]);
                value.extend(port.to_be_bytes());
                value.extend((u32::from(ip) ^ MAGIC_COOKIE).to_be_bytes());
            }
            IpAddr::V6(ip) => {
                value.extend([0, 2]);
                value.extend(port.to_be_bytes());
                let mask = self.bytes.get(4..HEADER_BYTES).unwrap_or_default();
                value.extend(ip.octets().iter().zip(mask).map(|(byte, mask)| byte ^ mask));
            }
        }
        self.attribute(attribute::XOR_MAPPED_ADDRESS, &value)
    }

    /// Without a reason phrase, which nobody reads: the answer stays smaller than the question.
    pub fn error_code(self, code: u16) -> Writer {
        self.attribute(attribute::ERROR_CODE, &[0, 0, (code / 100) as u8, (code % 100) as u8])
    }

    pub fn unknown_attributes(self, unknown: &Unknown) -> Writer {
        let value: Vec<u8> = unknown.types().iter().flat_map(|kind| kind.to_be_bytes()).collect();
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &value)
    }

    /// Adds MESSAGE-INTEGRITY and FINGERPRINT.
    pub fn finish(mut self, key: &hmac::Key) -> Vec<u8> {
        let at = self.bytes.len();
        self.set_length(at + INTEGRITY_ATTRIBUTE_BYTES);
        let tag = hmac::sign(key, &self.bytes);
        let mut done = self.attribute(attribute::MESSAGE_INTEGRITY, tag.as_ref());
        let at = done.bytes.len();
        done.set_length(at + FINGERPRINT_ATTRIBUTE_BYTES);
        let fingerprint = crc32(&done.bytes) ^ FINGERPRINT_XOR;
        done.attribute(attribute::FINGERPRINT, &fingerprint.to_be_bytes()).bytes
    }

    fn set_length(&mut self, total: usize) {
        let length = (total - HEADER_BYTES) as u16;
        if let Some(field) = self.bytes.get_mut(2..4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}

/// The key of MESSAGE-INTEGRITY for a password.
pub(in crate::transport) fn key(password: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut remainder = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let carry = remainder & 1;
            remainder >>= 1;
            if carry == 1 {
                remainder ^= 0xedb8_8320;
            }
            bit += 1;
        }
        table[byte] = remainder;
        byte += 1;
    }
    table
};

/// CRC-32 of ISO 3309, as in Ethernet.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let index = (crc as u8 ^ byte) as usize;
        (crc >> 8) ^ CRC_TABLE.get(index).copied().unwrap_or_default()
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
#[path = "stun_tests.rs"]
mod tests;
