//! A recording as a pcapng file (draft-ietf-opsawg-pcapng): one section, one interface, an enhanced packet block for each packet
//! with its original length, and what was decided as comments on the packet that followed.
//!
//! Packets are of LINKTYPE_WIRESHARK_UPPER_PDU (252): tags say that what follows is RTP or RTCP, so that nothing needs to be guessed,
//! and between whom, by made-up addresses (RFC 5737), since Wireshark tells streams apart by them. The padding bit is cleared (RFC 3550,
//! section 5.1): the padding is cut off, and its length with it. What always holds: no address and no name of a user is written; every
//! block is a multiple of 4 bytes long.

use super::Recording;
use super::decisions::Entry;
use super::headers::{Captured, Direction, Kind, Packet};

const SECTION_HEADER: u32 = 0x0A0D_0D0A;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const LINKTYPE_WIRESHARK_UPPER_PDU: u16 = 252;

/// Options (sections 3.5, 4.1, 4.2 and 4.3).
mod option {
    pub const END: u16 = 0;
    pub const COMMENT: u16 = 1;
    pub const SECTION_APPLICATION: u16 = 4;
    pub const INTERFACE_NAME: u16 = 2;
    pub const INTERFACE_RESOLUTION: u16 = 9;
    pub const PACKET_FLAGS: u16 = 2;
}
/// Timestamps in 10^-6 s.
const MICROSECONDS: u8 = 6;
/// Of `PACKET_FLAGS`, the two lowest bits.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Tags of Wireshark's exported PDUs (epan/exported_pdu.h).
mod tag {
    pub const END: u16 = 0;
    pub const DISSECTOR: u16 = 12;
    pub const IPV4_SOURCE: u16 = 20;
    pub const IPV4_DESTINATION: u16 = 21;
    pub const PORT_TYPE: u16 = 24;
    pub const SOURCE_PORT: u16 = 25;
    pub const DESTINATION_PORT: u16 = 26;
}
const PORT_TYPE_UDP: u32 = 3;
/// Of the first byte of an RTP header.
const PADDING_BIT: u8 = 0x20;
/// Who is who: of TEST-NET-1 (RFC 5737).
const SERVER: ([u8; 4], u32) = ([192, 0, 2, 1], 7_882);
const PARTICIPANT: ([u8; 4], u32) = ([192, 0, 2, 2], 50_000);

/// The whole file. Empty of packets where no headers were recorded.
pub fn write(recording: &Recording) -> Vec<u8> {
    let mut file = File(Vec::new());
    file.section_header();
    file.interface_description();
    if let Some(headers) = &recording.headers {
        file.packets(recording, headers);
    }
    file.0
}

struct File(Vec<u8>);

impl File {
    fn section_header(&mut self) {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        body.extend(1u16.to_le_bytes());
        body.extend(0u16.to_le_bytes());
        // The length of the section is not said.
        body.extend(u64::MAX.to_le_bytes());
        let application = concat!("sfumato/", env!("CARGO_PKG_VERSION"));
        put_option(&mut body, option::SECTION_APPLICATION, application.as_bytes());
        put_option(
            &mut body,
            option::COMMENT,
            b"RTP headers and RTCP of one participant; media is cut off, addresses are made up",
        );
        put_option(&mut body, option::END, &[]);
        self.block(SECTION_HEADER, &body);
    }

    fn interface_description(&mut self) {
        let mut body = Vec::new();
        body.extend(LINKTYPE_WIRESHARK_UPPER_PDU.to_le_bytes());
        body.extend(0u16.to_le_bytes());
        // No bound on what is captured: it is another one for each kind.
        body.extend(0u32.to_le_bytes());
        put_option(&mut body, option::INTERFACE_NAME, b"media");
        put_option(&mut body, option::INTERFACE_RESOLUTION, &[MICROSECONDS]);
        put_option(&mut body, option::END, &[]);
        self.block(INTERFACE_DESCRIPTION, &body);
    }

    fn packets(&mut self, recording: &Recording, headers: &Captured) {
        let mut decisions = recording.decisions.iter().peekable();
        let mut packets = headers.packets().peekable();
        while let Some(packet) = packets.next() {
            let last = packets.peek().is_none();
            let before = |entry: &&Entry| last || u128::from(entry.at_ms) <= packet.at.as_millis();
            let mut comments = Vec::new();
            while let Some(entry) = decisions.next_if(before) {
                comments.push(comment(entry));
            }
            self.packet(recording.began_unix_ms, &packet, &comments);
        }
    }

    fn packet(&mut self, began_unix_ms: i64, packet: &Packet<'_>, comments: &[String]) {
        let tags = tags(packet);
        let unix_micros = u64::try_from(began_unix_ms).unwrap_or(0) * 1_000 + packet.at.as_micros() as u64;
        let (captured, original) = (tags.len() + packet.header.len(), tags.len() + packet.len.max(packet.header.len()));
        let mut body = Vec::new();
        body.extend(0u32.to_le_bytes());
        body.extend(((unix_micros >> 32) as u32).to_le_bytes());
        body.extend((unix_micros as u32).to_le_bytes());
        body.extend((captured as u32).to_le_bytes());
        body.extend((original as u32).to_le_bytes());
        body.extend(&tags);
        body.extend(without_padding_bit(packet));
        pad(&mut body);
        let direction = if packet.direction == Direction::Sent { OUTBOUND } else { INBOUND };
        put_option(&mut body, option::PACKET_FLAGS, &direction.to_le_bytes());
        for comment in comments {
            put_option(&mut body, option::COMMENT, comment.as_bytes());
        }
        put_option(&mut body, option::END, &[]);
        self.block(ENHANCED_PACKET, &body);
    }

    /// Type, length, body, length again (section 3.1).
    fn block(&mut self, block_type: u32, body: &[u8]) {
        let len = (12 + body.len() as u32).to_le_bytes();
        self.0.extend(block_type.to_le_bytes());
        self.0.extend(len);
        self.0.extend(body);
        self.0.extend(len);
    }
}

/// The header of an RTP packet whose padding is not there; what is kept of RTCP as it is.
fn without_padding_bit<'a>(packet: &Packet<'a>) -> impl Iterator<Item = u8> + use<'a> {
    let cleared = if packet.kind == Kind::Rtp { PADDING_BIT } else { 0 };
    let (first, rest) = packet.header.split_at_checked(1).unwrap_or_default();
    first.iter().map(move |flags| flags & !cleared).chain(rest.iter().copied())
}

/// A decision in one line of text.
fn comment(entry: &Entry) -> String {
    let decision = serde_json::to_string(&entry.decision).unwrap_or_default();
    match entry.ssrc {
        Some(ssrc) => format!("ssrc {:#010x}: {decision}", ssrc.0),
        None => decision,
    }
}

/// What stands before a packet: in network order, unlike the rest.
fn tags(packet: &Packet<'_>) -> Vec<u8> {
    let (from, to) = match packet.direction {
        Direction::Received => (PARTICIPANT, SERVER),
        Direction::Sent => (SERVER, PARTICIPANT),
    };
    let dissector: &[u8] = if packet.kind == Kind::Rtcp { b"rtcp" } else { b"rtp\0" };
    let mut tags = Vec::new();
    let mut put = |tag: u16, value: &[u8]| {
        tags.extend(tag.to_be_bytes());
        tags.extend((value.len() as u16).to_be_bytes());
        tags.extend(value);
    };
    put(tag::DISSECTOR, dissector);
    put(tag::IPV4_SOURCE, &from.0);
    put(tag::IPV4_DESTINATION, &to.0);
    put(tag::PORT_TYPE, &PORT_TYPE_UDP.to_be_bytes());
    put(tag::SOURCE_PORT, &from.1.to_be_bytes());
    put(tag::DESTINATION_PORT, &to.1.to_be_bytes());
    put(tag::END, &[]);
    tags
}

/// Values are padded to 4 bytes, which the length does not count.
fn put_option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..value.len().min(usize::from(u16::MAX))).unwrap_or_default();
    body.extend(code.to_le_bytes());
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests;
