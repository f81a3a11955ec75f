//! RTP packets (RFC 3550, section 5): a record of offsets parsed once, and a header writer.
//!
//! What always holds: every offset in a [`Header`] lies inside the packet it was parsed from.

use super::extension::{Extension, ExtensionMap};
use super::ids::{PayloadType, Ssrc};

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RtpError {
    #[error("too short")]
    TooShort,
    #[error("not version 2")]
    Version,
    #[error("padding longer than the payload")]
    Padding,
}

/// A parsed header: values and offsets, no borrow, so that it can travel beside the buffer.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub marker: bool,
    pub payload_type: PayloadType,
    pub sequence_number: u16,
    pub timestamp: u32,
    pub ssrc: Ssrc,
    pub has_padding: bool,
    /// Bytes from the packet's start to the payload, extensions included.
    pub len: usize,
    // private: where the extension block lies and its form
}

impl Header {
    /// Reads the clear part of a packet; before decryption it says nothing of padding.
    pub fn parse(packet: &[u8]) -> Result<Header, RtpError> {
        todo!("{}", packet.len())
    }

    /// The payload of the decrypted packet without its padding. An empty payload is legal (padding-only probes).
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Result<&'a [u8], RtpError> {
        todo!("{}", packet.len())
    }

    /// The header extension elements, one-byte and two-byte form; stops at a malformed element. An id 15 in the one-byte
    /// form ends the block without making the packet invalid (RFC 8285, section 4.2).
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> impl Iterator<Item = (u8, &'a [u8])> + 'a {
        let _ = packet;
        [].into_iter()
    }

    /// The value of one extension, by the peer's map.
    pub fn extension<'a>(&self, packet: &'a [u8], map: &ExtensionMap, wanted: Extension) -> Option<&'a [u8]> {
        let id = map.id(wanted)?;
        self.extensions(packet)
            .find(|(found, _)| *found == id)
            .map(|(_, value)| value)
    }
}

/// Writes an RTP header into a fixed buffer: no allocation. Chooses the one-byte extension form when every id is below 15 and every
/// value 1 to 16 bytes, else the two-byte form.
pub struct HeaderWriter {/* private: [u8; N], len */}

impl HeaderWriter {
    /// 12 fixed bytes; no CSRCs are written.
    pub fn new(
        marker: bool,
        payload_type: PayloadType,
        sequence_number: u16,
        timestamp: u32,
        ssrc: Ssrc,
    ) -> HeaderWriter {
        todo!("{marker} {payload_type:?} {sequence_number} {timestamp} {ssrc:?}")
    }

    /// Adds one element; an element for which there is no room is left out and `false` returned.
    pub fn extension(&mut self, id: u8, value: &[u8]) -> bool {
        todo!("{id} {}", value.len())
    }

    /// The finished header: extension length patched, padded to 32 bits.
    pub fn finish(&mut self) -> &[u8] {
        todo!()
    }
}
