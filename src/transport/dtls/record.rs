//! DTLS records and handshake fragments (RFC 6347, section 4), as far as they are in clear: a reader that borrows, a writer.

use super::provider::COOKIE_BYTES;

pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION_DATA: u8 = 23;

/// Handshake message types (RFC 5246, section 7.4).
pub(super) mod message {
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    pub const CERTIFICATE: u8 = 11;
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const SERVER_HELLO_DONE: u8 = 14;
    pub const CERTIFICATE_VERIFY: u8 = 15;
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
}

const RECORD_HEADER_BYTES: usize = 13;
const MESSAGE_HEADER_BYTES: usize = 12;
/// Records read from one datagram: a whole flight of certificates has fewer.
const RECORDS: usize = 32;
const USE_SRTP: u16 = 14;
const RANDOM_BYTES: usize = 32;

/// A record whose length fits its datagram.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub content: u8,
    pub epoch: u16,
    /// Header included.
    pub raw: &'a [u8],
    pub body: &'a [u8],
}

/// The records of a datagram, up to the first malformed one.
pub(super) fn records(mut datagram: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; RECORD_HEADER_BYTES] = datagram.first_chunk()?;
        let [content, major, _, e0, e1, .., l0, l1] = *header;
        let end = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([l0, l1]));
        let (raw, rest) = datagram.split_at_checked(end)?;
        datagram = rest;
        (major == 0xfe).then_some(Record {
            content,
            epoch: u16::from_be_bytes([e0, e1]),
            raw,
            body: raw.get(RECORD_HEADER_BYTES..)?,
        })
    })
    .take(RECORDS)
}

/// A fragment of a handshake message that lies inside the message's length.
#[derive(Clone, Copy)]
pub(super) struct Fragment<'a> {
    pub kind: u8,
    pub length: usize,
    pub sequence: u16,
    pub offset: usize,
    pub body: &'a [u8],
}

/// The fragments of a handshake record's body, up to the first malformed one.
pub(super) fn fragments(mut body: &[u8]) -> impl Iterator<Item = Fragment<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; MESSAGE_HEADER_BYTES] = body.first_chunk()?;
        let [kind, n0, n1, n2, s0, s1, o0, o1, o2, f0, f1, f2] = *header;
        let u24 = |a, b, c| u32::from_be_bytes([0, a, b, c]) as usize;
        let (length, offset, fragment) = (u24(n0, n1, n2), u24(o0, o1, o2), u24(f0, f1, f2));
        let (_, after) = body.split_at_checked(MESSAGE_HEADER_BYTES)?;
        let (content, rest) = after.split_at_checked(fragment)?;
        body = rest;
        (offset + fragment <= length).then_some(Fragment {
            kind,
            length,
            sequence: u16::from_be_bytes([s0, s1]),
            offset,
            body: content,
        })
    })
}

/// A whole handshake message as one record of epoch 0.
pub(super) fn write_message(out: &mut Vec<u8>, record_sequence: u64, kind: u8, sequence: u16, body: &[u8]) {
    let length = (body.len() as u32).to_be_bytes();
    let length = length.get(1..).unwrap_or_default();
    write_record_header(out, HANDSHAKE, record_sequence, MESSAGE_HEADER_BYTES + body.len());
    out.push(kind);
    out.extend(length);
    out.extend(sequence.to_be_bytes());
    out.extend([0; 3]);
    out.extend(length);
    out.extend(body);
}

/// ChangeCipherSpec as a record of epoch 0.
pub(super) fn write_change_cipher_spec(out: &mut Vec<u8>, record_sequence: u64) {
    write_record_header(out, CHANGE_CIPHER_SPEC, record_sequence, 1);
    out.push(1);
}

fn write_record_header(out: &mut Vec<u8>, content: u8, sequence: u64, len: usize) {
    out.extend([content, 0xfe, 0xfd, 0, 0]);
    out.extend(sequence.to_be_bytes().iter().skip(2));
    out.extend((len as u16).to_be_bytes());
}

/// HelloVerifyRequest (RFC 6347, section 4.2.1), in the versions that section asks for.
pub(super) fn hello_verify_request(record_sequence: u64, cookie: &[u8; COOKIE_BYTES]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xff, COOKIE_BYTES as u8];
    body.extend(cookie);
    let mut out = Vec::with_capacity(RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES + body.len());
    write_message(&mut out, record_sequence, message::HELLO_VERIFY_REQUEST, 0, &body);
    if let Some(minor) = out.get_mut(2) {
        *minor = 0xff;
    }
    out
}

/// Gives every record of epoch 0 the next number, so that a flight sent again is not taken for a replay.
pub(super) fn renumber(datagram: &mut [u8], next: &mut u64) {
    let mut at = 0;
    while let Some(header) = datagram.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        let header: &mut [u8; RECORD_HEADER_BYTES] = header;
        let [_, _, _, e0, e1, number @ .., l0, l1] = header;
        if (*e0, *e1) == (0, 0) {
            for (byte, value) in number.iter_mut().zip(next.to_be_bytes().iter().skip(2)) {
                *byte = *value;
            }
            *next += 1;
        }
        at += RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([*l0, *l1]));
    }
}

/// The cookie of a ClientHello, of which only the beginning may be there.
pub(super) fn hello_cookie(hello: &[u8]) -> Option<&[u8]> {
    let mut rest = hello.get(2 + RANDOM_BYTES..)?;
    take_u8_prefixed(&mut rest)?;
    take_u8_prefixed(&mut rest)
}

/// The same ClientHello as it was before the peer had a cookie.
pub(super) fn hello_without_cookie(hello: &[u8]) -> Option<Vec<u8>> {
    let session = 2 + RANDOM_BYTES;
    let cookie = session + 1 + usize::from(*hello.get(session)?);
    let after = cookie + 1 + usize::from(*hello.get(cookie)?);
    let mut without = hello.get(..cookie)?.to_vec();
    without.push(0);
    without.extend(hello.get(after..)?);
    Some(without)
}

/// The SRTP profiles a ClientHello offers, by number.
pub(super) fn hello_srtp_profiles(hello: &[u8]) -> Option<impl Iterator<Item = u16> + '_> {
    let mut rest = hello.get(2 + RANDOM_BYTES..)?;
    take_u8_prefixed(&mut rest)?;
    take_u8_prefixed(&mut rest)?;
    take_u16_prefixed(&mut rest)?;
    take_u8_prefixed(&mut rest)?;
    let mut extensions = take_u16_prefixed(&mut rest)?;
    loop {
        let kind = take_u16(&mut extensions)?;
        let mut value = take_u16_prefixed(&mut extensions)?;
        if kind == USE_SRTP {
            let profiles = take_u16_prefixed(&mut value)?;
            let (pairs, _) = profiles.as_chunks::<2>();
            return Some(pairs.iter().map(|pair| u16::from_be_bytes(*pair)));
        }
    }
}

fn take<'a>(from: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(len)?;
    *from = rest;
    Some(taken)
}

fn take_u16(from: &mut &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(take(from, 2)?.try_into().ok()?))
}

fn take_u8_prefixed<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = *take(from, 1)?.first()?;
    take(from, len.into())
}

fn take_u16_prefixed<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_u16(from)?;
    take(from, len.into())
}
