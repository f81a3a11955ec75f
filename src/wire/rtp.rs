//! RTP packets (RFC 3550, section 5): a record of offsets parsed once, and a header writer.
//!
//! Header extension elements follow RFC 8285, in both forms. What always holds: every offset in a [`Header`] lies inside the
//! packet it was parsed from; reading and writing allocate nothing.

use super::bytes::be_u16;
use super::extension::{Extension, ExtensionMap};
use super::ids::{PayloadType, Ssrc};

/// Bytes of the header without CSRCs and extensions.
const FIXED_BYTES: usize = 12;
/// Bytes before the first extension element: profile and length.
const EXTENSION_PREAMBLE_BYTES: usize = 4;
/// Where a written header's first element lies.
const ELEMENTS: usize = FIXED_BYTES + EXTENSION_PREAMBLE_BYTES;
/// Profile of the one-byte form (RFC 8285, section 4.2).
const ONE_BYTE_PROFILE: u16 = 0xBEDE;
/// Profile of the two-byte form (RFC 8285, section 4.3); the low four bits are free.
const TWO_BYTE_PROFILE: u16 = 0x1000;

/// Largest header that is written, bytes: room for one element of the greatest length (a dependency descriptor with its
/// structure takes up to 255) beside a mid and the small ones.
pub const WRITTEN_HEADER_BYTES: usize = 320;

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

/// How the elements of an extension block are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// No block, or a profile that is not RFC 8285's.
    Opaque,
    OneByte,
    TwoByte,
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
    /// Extension elements, in units of 4 bytes; they end where the payload begins.
    element_words: u16,
    form: Form,
}

impl Header {
    /// Reads the clear part of a packet; before decryption it says nothing of padding.
    pub fn parse(packet: &[u8]) -> Result<Header, RtpError> {
        let fixed: &[u8; FIXED_BYTES] = packet.first_chunk().ok_or(RtpError::TooShort)?;
        let [flags, type_byte, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        if flags >> 6 != 2 {
            return Err(RtpError::Version);
        }
        let mut header = Header {
            marker: type_byte & 0x80 != 0,
            payload_type: PayloadType(type_byte & 0x7f),
            sequence_number: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: Ssrc(u32::from_be_bytes([i0, i1, i2, i3])),
            has_padding: flags & 0x20 != 0,
            len: FIXED_BYTES + 4 * usize::from(flags & 0x0f),
            element_words: 0,
            form: Form::Opaque,
        };
        if flags & 0x10 != 0 {
            let profile = be_u16(packet, header.len).ok_or(RtpError::TooShort)?;
            let words = be_u16(packet, header.len + 2).ok_or(RtpError::TooShort)?;
            header.element_words = words;
            header.len += EXTENSION_PREAMBLE_BYTES + 4 * usize::from(words);
            header.form = match profile {
                ONE_BYTE_PROFILE => Form::OneByte,
                p if p & 0xfff0 == TWO_BYTE_PROFILE => Form::TwoByte,
                _ => Form::Opaque,
            };
        }
        if packet.len() < header.len {
            return Err(RtpError::TooShort);
        }
        Ok(header)
    }

    /// The payload of the decrypted packet without its padding. An empty payload is legal (padding-only probes).
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Result<&'a [u8], RtpError> {
        let payload = packet.get(self.len..).ok_or(RtpError::TooShort)?;
        if !self.has_padding {
            return Ok(payload);
        }
        // The last byte counts itself, so 0 is as wrong as more than there is (RFC 3550, section 5.1).
        let padding = payload.last().copied().map_or(0, usize::from);
        match payload.len().checked_sub(padding) {
            Some(len) if padding > 0 => payload.get(..len).ok_or(RtpError::Padding),
            _ => Err(RtpError::Padding),
        }
    }

    /// The header extension elements, one-byte and two-byte form; stops at a malformed element. An id 15 in the one-byte
    /// form ends the block without making the packet invalid (RFC 8285, section 4.2).
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Elements<'a> {
        let start = self.len.saturating_sub(4 * usize::from(self.element_words));
        let rest = match self.form {
            Form::Opaque => &[],
            _ => packet.get(start..self.len).unwrap_or(&[]),
        };
        Elements { form: self.form, rest }
    }

    /// The value of one extension, by the peer's map.
    pub fn extension<'a>(&self, packet: &'a [u8], map: &ExtensionMap, wanted: Extension) -> Option<&'a [u8]> {
        let id = map.id(wanted)?;
        self.extensions(packet).find(|(found, _)| *found == id).map(|(_, value)| value)
    }
}

/// Iterates over header extension elements: id and value.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    form: Form,
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        // Left empty by every early return: what is malformed ends the block.
        let mut rest = std::mem::take(&mut self.rest);
        loop {
            let (&first, after) = rest.split_first()?;
            if first == 0 {
                rest = after; // one byte of padding
                continue;
            }
            let (id, len, after) = match self.form {
                // An id 0 with a length is malformed, 15 means stop (section 4.2).
                Form::OneByte if first >> 4 == 0 || first >> 4 == 15 => return None,
                Form::OneByte => (first >> 4, usize::from(first & 0x0f) + 1, after),
                _ => {
                    let (&len, after) = after.split_first()?;
                    (first, usize::from(len), after)
                }
            };
            let (value, after) = after.split_at_checked(len)?;
            self.rest = after;
            return Some((id, value));
        }
    }
}

impl std::iter::FusedIterator for Elements<'_> {}

/// Writes an RTP header into a fixed buffer: no allocation. Chooses the one-byte extension form when every id is below 15 and every
/// value 1 to 16 bytes, else the two-byte form.
pub struct HeaderWriter {
    buffer: [u8; WRITTEN_HEADER_BYTES],
    /// End of the last element; `ELEMENTS` while there is none. Never above the buffer's length.
    len: usize,
    elements: usize,
    two_byte: bool,
}

impl HeaderWriter {
    /// 12 fixed bytes; no CSRCs are written.
    pub fn new(
        marker: bool,
        payload_type: PayloadType,
        sequence_number: u16,
        timestamp: u32,
        ssrc: Ssrc,
    ) -> HeaderWriter {
        let mut writer =
            HeaderWriter { buffer: [0; WRITTEN_HEADER_BYTES], len: ELEMENTS, elements: 0, two_byte: false };
        writer.restart(marker, payload_type, sequence_number, timestamp, ssrc);
        writer
    }

    /// As [`new`](Self::new), in the same buffer: what was written before is forgotten, not cleared.
    pub fn restart(
        &mut self,
        marker: bool,
        payload_type: PayloadType,
        sequence_number: u16,
        timestamp: u32,
        ssrc: Ssrc,
    ) {
        let [s0, s1] = sequence_number.to_be_bytes();
        let [t0, t1, t2, t3] = timestamp.to_be_bytes();
        let [i0, i1, i2, i3] = ssrc.0.to_be_bytes();
        let type_byte = (u8::from(marker) << 7) | (payload_type.0 & 0x7f);
        if let Some(fixed) = self.buffer.first_chunk_mut::<FIXED_BYTES>() {
            *fixed = [0x80, type_byte, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3];
        }
        self.len = ELEMENTS;
        self.elements = 0;
        self.two_byte = false;
    }

    /// Says that the packet ends with padding (RFC 3550, section 5.1).
    pub fn set_padding(&mut self) {
        if let Some(flags) = self.buffer.first_mut() {
            *flags |= 0x20;
        }
    }

    /// Adds one element; an element for which there is no room is left out and `false` returned.
    pub fn extension(&mut self, id: u8, value: &[u8]) -> bool {
        self.element(id, value).is_some()
    }

    /// As [`extension`](Self::extension), giving the written value, so that it can be patched in place.
    pub fn element(&mut self, id: u8, value: &[u8]) -> Option<&mut [u8]> {
        let len = u8::try_from(value.len()).ok()?;
        if id == 0 {
            return None;
        }
        let two_byte = self.two_byte || id >= 15 || !(1..=16).contains(&len);
        // Widening what stands already costs a byte for each element.
        let start = self.len + if two_byte && !self.two_byte { self.elements } else { 0 };
        let value_start = start + if two_byte { 2 } else { 1 };
        let end = value_start + value.len();
        if end.next_multiple_of(4) > WRITTEN_HEADER_BYTES {
            return None;
        }
        if two_byte && !self.two_byte {
            self.widen();
        }
        let (head, body) = self.buffer.get_mut(start..end)?.split_at_mut(value_start - start);
        match head {
            [one] => *one = (id << 4) | len.wrapping_sub(1),
            [two_id, two_len] => (*two_id, *two_len) = (id, len),
            _ => return None,
        }
        body.copy_from_slice(value);
        self.len = end;
        self.elements += 1;
        Some(body)
    }

    /// Rewrites the elements from the one-byte into the two-byte form. Rare: a large dependency descriptor, a large id.
    fn widen(&mut self) {
        let narrow = self.buffer;
        let elements = Elements { form: Form::OneByte, rest: narrow.get(ELEMENTS..self.len).unwrap_or(&[]) };
        self.two_byte = true;
        self.len = ELEMENTS;
        self.elements = 0;
        for (id, value) in elements {
            self.extension(id, value);
        }
    }

    /// The finished header: extension length patched, padded to 32 bits.
    pub fn finish(&mut self) -> &[u8] {
        let mut end = FIXED_BYTES;
        if self.elements > 0 {
            end = self.len.next_multiple_of(4);
            if let Some(padding) = self.buffer.get_mut(self.len..end) {
                padding.fill(0);
            }
            let profile = if self.two_byte { TWO_BYTE_PROFILE } else { ONE_BYTE_PROFILE };
            let words = ((end - ELEMENTS) / 4) as u16; // WRITTEN_HEADER_BYTES / 4 fits
            let preamble = (u32::from(profile) << 16) | u32::from(words);
            if let Some(slot) = self.buffer.get_mut(FIXED_BYTES..ELEMENTS) {
                slot.copy_from_slice(&preamble.to_be_bytes());
            }
            if let Some(flags) = self.buffer.first_mut() {
                *flags |= 0x10;
            }
        }
        self.buffer.get(..end).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests;
