//! Datagrams that no peer would send: noise of every length and protocol class (RFC 7983), STUN that does not verify
//! (RFC 8489), DTLS that nobody asked for (RFC 6347). The same seed makes the same datagrams.

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// What a datagram on the media port can claim to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    /// First bytes that belong to no protocol of the port.
    Nothing,
}

pub const CLASSES: [Class; 5] = [Class::Stun, Class::Dtls, Class::Rtp, Class::Rtcp, Class::Nothing];

const STUN_COOKIE: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const USE_CANDIDATE: u16 = 0x0025;
const PRIORITY: u16 = 0x0024;
const FINGERPRINT: u16 = 0x8028;
/// RFC 8489, section 14.7.
const FINGERPRINT_XOR: u32 = 0x5354_554e;

pub struct Forger {
    random: StdRng,
}

impl Forger {
    pub fn new(seed: u64) -> Forger {
        Forger { random: StdRng::seed_from_u64(seed) }
    }

    /// `len` random bytes that begin like `class`.
    pub fn noise(&mut self, class: Class, len: usize) -> Vec<u8> {
        let mut bytes = self.bytes(len);
        let first = match class {
            Class::Stun => self.random.random_range(0..=3),
            Class::Dtls => self.random.random_range(20..=63),
            Class::Rtp | Class::Rtcp => self.random.random_range(128..=191),
            Class::Nothing => self.random.random_range(192..=255),
        };
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        match (class, bytes.get_mut(1)) {
            (Class::Rtp, Some(second)) => *second = self.random.random_range(0..64),
            (Class::Rtcp, Some(second)) => *second = self.random.random_range(192..=223),
            _ => {}
        }
        bytes
    }

    /// A Binding request as ICE sends it, for the right user, with an integrity value that cannot verify.
    pub fn binding_request(&mut self, ufrag: &str) -> Vec<u8> {
        let mut attributes = Vec::new();
        attribute(&mut attributes, USERNAME, format!("{ufrag}:strangers").as_bytes());
        attribute(&mut attributes, PRIORITY, &self.bytes(4));
        attribute(&mut attributes, USE_CANDIDATE, &[]);
        if self.random.random_bool(0.9) {
            attribute(&mut attributes, MESSAGE_INTEGRITY, &self.bytes(20));
        }
        let mut message = BINDING_REQUEST.to_be_bytes().to_vec();
        // The length counts the fingerprint too.
        message.extend((attributes.len() as u16 + 8).to_be_bytes());
        message.extend(STUN_COOKIE.to_be_bytes());
        message.extend(self.bytes(12));
        message.extend(attributes);
        let check = crc32(&message) ^ FINGERPRINT_XOR;
        attribute(&mut message, FINGERPRINT, &check.to_be_bytes());
        message
    }

    /// A well-formed ClientHello (RFC 6347, section 4.2.1) that offers DTLS-SRTP.
    pub fn client_hello(&mut self) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend(self.bytes(32));
        // No session, no cookie; ECDHE-ECDSA with AES-128-GCM; no compression.
        body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let extensions: [&[u8]; 4] = [
            &[0, 10, 0, 4, 0, 2, 0, 23],
            &[0, 11, 0, 2, 1, 0],
            &[0, 13, 0, 4, 0, 2, 4, 3],
            &[0, 14, 0, 5, 0, 2, 0, 7, 0],
        ];
        let extensions = extensions.concat();
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let len = (body.len() as u32).to_be_bytes();
        let mut message = vec![1, len[1], len[2], len[3], 0, 0, 0, 0, 0, len[1], len[2], len[3]];
        message.extend(body);
        record(22, &message)
    }

    /// A real packet with one bit of it changed.
    pub fn flipped(&mut self, real: &[u8]) -> Vec<u8> {
        let mut bytes = real.to_vec();
        let at = self.random.random_range(0..bytes.len());
        bytes[at] ^= 1 << self.random.random_range(0..8);
        bytes
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.random.fill_bytes(&mut bytes);
        bytes
    }
}

/// A plaintext alert of epoch 0 (RFC 6347, section 4.1.2.7 asks to discard it once keys exist).
pub fn plaintext_alert(level: u8, description: u8) -> Vec<u8> {
    record(21, &[level, description])
}

/// One plaintext DTLS 1.2 record of epoch 0.
fn record(content_type: u8, fragment: &[u8]) -> Vec<u8> {
    let mut record = vec![content_type, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9];
    record.extend((fragment.len() as u16).to_be_bytes());
    record.extend(fragment);
    record
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// CRC-32 of ISO/IEC 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}
