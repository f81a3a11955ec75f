//! Writing a packet for a subscriber, the first time or again: what of its payload goes out, the header in scratch space, and the first
//! bytes of the payload with the subscriber's counters.
//!
//! What always holds: all that is written follows from the packet and its [`Rewritten`]; nothing changes but the scratch space.

use super::templates::Templates;
use super::{Packet, Rewritten, SendStream};
use crate::wire::codec::dependency_descriptor::{self, DESCRIPTOR_BYTES};
use crate::wire::codec::{Codec, PayloadDescriptor, red};
use crate::wire::extension::{Extension, ExtensionMap};
use crate::wire::rtp::HeaderWriter;
use crate::wire::{PayloadType, Ssrc};

/// What of a packet is forwarded.
pub(super) struct Content<'a> {
    pub payload_type: PayloadType,
    pub payload: &'a [u8],
    /// Where the payload ends in the packet.
    pub end: usize,
    rewrite: Rewrite<'a>,
}

/// What the prefix is made of.
enum Rewrite<'a> {
    Nothing,
    Counters(&'a PayloadDescriptor),
    /// The payload type inside RED's block headers is the publisher's.
    Red {
        headers: &'a [u8],
        from: PayloadType,
        to: PayloadType,
    },
}

impl SendStream {
    /// What to forward of a packet; `None` when there is nothing: only padding, or a codec the subscriber does not have.
    pub(super) fn content<'a>(&self, record: &'a Packet, packet: &'a [u8]) -> Option<Content<'a>> {
        let payload = record.header.payload(packet).ok()?;
        let own = self.target.payload_type(record.codec);
        let (payload_type, content, rewrite) = match record.codec {
            Codec::Red => self.red_content(payload, own)?,
            _ => (own?, payload, Rewrite::Counters(&record.info.descriptor)),
        };
        let end = record.header.len + payload.len();
        (!content.is_empty()).then_some(Content { payload_type, payload: content, end, rewrite })
    }

    /// RED as it is where the subscriber has it, else its primary encoding alone, which comes last in it.
    fn red_content<'a>(
        &self,
        payload: &'a [u8],
        own: Option<PayloadType>,
    ) -> Option<(PayloadType, &'a [u8], Rewrite<'a>)> {
        let red = red::parse(payload)?;
        let opus = self.target.payload_type(Codec::Opus);
        let (payload_type, payload) = match own {
            Some(own) => (own, payload),
            None => (opus?, red.primary),
        };
        let rewrite = match opus {
            Some(to) if own.is_some() && to != red.payload_type => {
                Rewrite::Red { headers: red.headers, from: red.payload_type, to }
            }
            _ => Rewrite::Nothing,
        };
        Some((payload_type, payload, rewrite))
    }

    pub(super) fn write_header(
        &self,
        scratch: &mut Scratch,
        stamp: Stamp,
        record: &Packet,
        rewritten: &Rewritten,
        source: &ExtensionMap,
        packet: &[u8],
    ) {
        let header = &mut scratch.header;
        header.restart(rewritten.marker, stamp.payload_type, stamp.sequence_number, rewritten.timestamp, stamp.ssrc);
        if stamp.hop.padding > 0 {
            header.set_padding();
        }
        self.write_number(header, stamp.hop);
        self.write_extensions(header, record, rewritten, source, packet);
    }

    fn write_number(&self, header: &mut HeaderWriter, hop: Hop) {
        if let (Some(number), Some(id)) = (hop.transport_number, self.target.extensions.id(Extension::TransportCc)) {
            header.extension(id, &number.to_be_bytes());
        }
    }

    /// A packet of padding alone in the stream of retransmissions, as long as may be (RFC 3550, section 5.1): its header and its
    /// padding. `timestamp` is of what was sent before.
    pub(super) fn write_padding<'a>(
        &self,
        scratch: &'a mut Scratch,
        stamp: Stamp,
        timestamp: u32,
    ) -> (&'a [u8], &'a mut [u8]) {
        let Scratch { header, padding, .. } = scratch;
        header.restart(false, stamp.payload_type, stamp.sequence_number, timestamp, stamp.ssrc);
        header.set_padding();
        self.write_number(header, stamp.hop);
        (header.finish(), padding)
    }

    /// Mid, how long to hold pictures back, and the end-to-end extensions, under the subscriber's ids.
    fn write_extensions(
        &self,
        header: &mut HeaderWriter,
        record: &Packet,
        rewritten: &Rewritten,
        source: &ExtensionMap,
        packet: &[u8],
    ) {
        let own = &self.target.extensions;
        if let Some(id) = own.id(Extension::Mid).filter(|_| !self.mid_known) {
            header.extension(id, self.target.mid.as_str().as_bytes());
        }
        if let (Some(id), Some(delay)) = (own.id(Extension::PlayoutDelay), self.cushion.value()) {
            header.extension(id, &delay);
        }
        for (id, value) in record.header.extensions(packet) {
            let known = source.extension(id).filter(|extension| extension.end_to_end());
            let Some((extension, id)) = known.and_then(|extension| Some((extension, own.id(extension)?))) else {
                continue;
            };
            if extension == Extension::DependencyDescriptor {
                write_dependency(header, id, value, rewritten, &self.templates);
            } else {
                header.extension(id, value);
            }
        }
    }
}

/// What a header has that a retransmission has otherwise.
pub(super) struct Stamp {
    pub payload_type: PayloadType,
    pub sequence_number: u16,
    pub ssrc: Ssrc,
    pub hop: Hop,
}

/// What a packet has for the way to this subscriber alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hop {
    /// Bytes it will be padded by (RFC 3550, section 5.1).
    pub padding: u8,
    /// Its transport-wide number; written where the stream [is numbered](SendStream::is_numbered).
    pub transport_number: Option<u16>,
}

/// Bytes of a packet of padding alone: what its last byte can tell.
const PADDING_BYTES: u8 = u8::MAX;

/// The original sequence number in front of a retransmission's payload (RFC 4588, section 4).
pub(super) const ORIGINAL_SEQUENCE_BYTES: usize = 2;

/// Where a packet's header and the first bytes of its payload are written, the same for all subscribers of a thread: it stays in the
/// processor's cache.
pub struct Scratch {
    pub(super) header: HeaderWriter,
    /// Behind room for an original sequence number.
    prefix: [u8; ORIGINAL_SEQUENCE_BYTES + red::HEADERS_BYTES],
    /// Zeros, and their number.
    padding: [u8; PADDING_BYTES as usize],
}

impl Default for Scratch {
    fn default() -> Scratch {
        let header = HeaderWriter::new(false, PayloadType(0), 0, 0, Ssrc(0));
        let mut padding = [0; PADDING_BYTES as usize];
        if let Some(last) = padding.last_mut() {
            *last = PADDING_BYTES;
        }
        Scratch { header, prefix: [0; ORIGINAL_SEQUENCE_BYTES + red::HEADERS_BYTES], padding }
    }
}

impl Scratch {
    /// The header, and so many bytes that go in front of or in the place of the payload's first.
    pub(super) fn written(&mut self, prefix_len: usize) -> Option<(&[u8], &mut [u8])> {
        let prefix = self.prefix.get_mut(ORIGINAL_SEQUENCE_BYTES..ORIGINAL_SEQUENCE_BYTES + prefix_len)?;
        Some((self.header.finish(), prefix))
    }

    /// The same with the original sequence number in front.
    pub(super) fn written_again(&mut self, original: u16, prefix_len: usize) -> Option<(&[u8], &mut [u8])> {
        *self.prefix.first_chunk_mut()? = original.to_be_bytes();
        Some((self.header.finish(), self.prefix.get_mut(..ORIGINAL_SEQUENCE_BYTES + prefix_len)?))
    }

    /// Fills the prefix with the rewritten first bytes of the payload and gives their number, 0 when the payload stays as it is.
    pub(super) fn write_prefix(&mut self, rewritten: &Rewritten, content: &Content<'_>) -> usize {
        let original = match &content.rewrite {
            Rewrite::Nothing => return 0,
            Rewrite::Counters(descriptor) if !rewritten.counters.change(descriptor) => return 0,
            Rewrite::Counters(descriptor) => content.payload.get(..descriptor.counters_len()),
            Rewrite::Red { headers, .. } => Some(*headers),
        };
        let copy = original
            .and_then(|bytes| Some((self.prefix.get_mut(ORIGINAL_SEQUENCE_BYTES..)?.get_mut(..bytes.len())?, bytes)));
        let Some((prefix, bytes)) = copy else { return 0 };
        prefix.copy_from_slice(bytes);
        match content.rewrite {
            Rewrite::Counters(descriptor) => rewritten.counters.apply(*descriptor).write(prefix),
            Rewrite::Red { from, to, .. } => red::set_payload_type(prefix, from, to),
            Rewrite::Nothing => {}
        }
        bytes.len()
    }
}

/// A dependency descriptor with the subscriber's frame number and template ids, which lie where they lay; only a mask of active
/// decode targets takes bytes of its own.
fn write_dependency(header: &mut HeaderWriter, id: u8, value: &[u8], rewritten: &Rewritten, templates: &Templates) {
    let written = match rewritten.announced {
        Some(spatial) => write_masked(header, id, value, templates, templates.active(spatial)),
        None => header.element(id, value),
    };
    let Some(written) = written else { return };
    if let Some(number) = dependency_descriptor::frame_number(value) {
        let number = number.wrapping_add(rewritten.counters.frame_offset);
        dependency_descriptor::set_frame_number(written, number);
        dependency_descriptor::shift_templates(written, rewritten.template_shift);
    }
}

/// A descriptor with a mask of active decode targets; without, where there is no room for it.
fn write_masked<'a>(
    header: &'a mut HeaderWriter,
    id: u8,
    value: &[u8],
    templates: &Templates,
    active: u32,
) -> Option<&'a mut [u8]> {
    let mut masked = [0; DESCRIPTOR_BYTES];
    let len = dependency_descriptor::with_active_targets(value, templates.decode_targets, active, &mut masked);
    header.element(id, len.and_then(|len| masked.get(..len)).unwrap_or(value))
}
