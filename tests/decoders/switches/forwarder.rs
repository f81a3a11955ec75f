//! The part under test: one source's encodings through the server's own receive streams and rewriter to one subscriber, and the faults that can
//! be put into it on purpose, which the checks must find.

use std::error::Error;
use std::time::Instant;

use rand::rngs::StdRng;
use sfumato::media::forward::{Hop, Packet, Scratch, SendStream, Target};
use sfumato::media::layers::Selection;
use sfumato::media::receive::ReceiveStream;
use sfumato::wire::codec::{Codec, Layer, PayloadDescriptor, PayloadInfo, inspect};
use sfumato::wire::extension::ExtensionMap;
use sfumato::wire::rtcp::SenderInfo;
use sfumato::wire::rtp::Header;
use sfumato::wire::{Mid, PayloadType, Ssrc};

use crate::encoding::Sender;

/// A fault put in on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// Every packet counts as the start of a keyframe: switches happen anywhere.
    NoKeyframe,
    /// The publisher's picture ids and TL0PICIDX go out as they are.
    NoPictureIds,
    /// Temporal layers 1 and 2 are taken for each other.
    WrongLayers,
}

impl Fault {
    fn spoil(self, info: &mut PayloadInfo) {
        match (self, &mut info.descriptor) {
            (Fault::NoKeyframe, _) => info.starts_keyframe = true,
            (Fault::WrongLayers, PayloadDescriptor::Vp8(vp8)) => vp8.temporal_id = vp8.temporal_id.map(swapped),
            (Fault::WrongLayers, PayloadDescriptor::Vp9(vp9)) => vp9.layer.temporal = swapped(vp9.layer.temporal),
            _ => {}
        }
    }
}

fn swapped(temporal: u8) -> u8 {
    match temporal {
        1 => 2,
        2 => 1,
        other => other,
    }
}

/// What a subscriber wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    pub encoding: usize,
    pub temporal: u8,
}

/// The subscriber's stream and what feeds it.
pub struct Forwarder {
    fault: Fault,
    codec: Codec,
    receivers: Vec<ReceiveStream>,
    stream: SendStream,
    scratch: Scratch,
    extensions: ExtensionMap,
}

impl Forwarder {
    /// Each encoding's sender report says what its timestamp was at `now`.
    pub fn new(codec: Codec, fault: Fault, now: Instant, senders: &[Sender], random: &mut StdRng) -> Option<Forwarder> {
        let target = Target {
            ssrc: Ssrc(0x5ead_beef),
            clock_rate: 90_000,
            payload_types: vec![(codec, PayloadType(100))],
            extensions: ExtensionMap::default(),
            mid: Mid::new("0")?,
        };
        let receivers = senders.iter().map(|sender| {
            let mut receiver = ReceiveStream::new(Ssrc(sender.ssrc()), 90_000);
            let report = SenderInfo {
                ssrc: Ssrc(sender.ssrc()),
                ntp: 3_900_000_000 << 32,
                rtp_timestamp: sender.timestamp,
                packets: 0,
                octets: 0,
            };
            receiver.handle_sender_report(now, &report);
            receiver
        });
        Some(Forwarder {
            fault,
            codec,
            receivers: receivers.collect(),
            stream: SendStream::new(target, random),
            scratch: Scratch::default(),
            extensions: ExtensionMap::default(),
        })
    }

    /// What the subscriber wants from now on; `None` pauses.
    pub fn select(&mut self, wish: Option<Wish>) {
        let layers = |temporal| Layer { spatial: 0, temporal };
        self.stream.select(wish.map(|wish| Selection { encoding: wish.encoding, layers: layers(wish.temporal) }));
    }

    /// The highest temporal layer that is forwarded.
    pub fn temporal(&self) -> Option<u8> {
        self.stream.selected().map(|selection| selection.layers.temporal)
    }

    /// The encoding that the server says is forwarded.
    pub fn current(&self) -> Option<usize> {
        self.stream.current()
    }

    /// A packet of a publisher comes in: the packet that goes out, if one does.
    pub fn handle(&mut self, now: Instant, encoding: usize, packet: &[u8]) -> Result<Option<Vec<u8>>, Box<dyn Error>> {
        let header = Header::parse(packet)?;
        let receiver = self.receivers.get_mut(encoding).ok_or("no such encoding")?;
        let mut info = inspect(self.codec, header.payload(packet)?, None, &mut None);
        self.fault.spoil(&mut info);
        let record = Packet {
            encoding,
            header,
            extended_sequence: receiver.receive(now, &header, packet.len()),
            codec: self.codec,
            info,
            clock: receiver.clock_reference(),
        };
        let Some(out) = self.stream.forward(now, &record, &self.extensions, packet, Hop::default(), &mut self.scratch)
        else {
            return Ok(None);
        };
        let payload = packet.get(out.payload).ok_or("the payload lies outside its packet")?;
        let prefix = if self.fault == Fault::NoPictureIds { &[] } else { &*out.prefix };
        let rest = payload.get(prefix.len()..).ok_or("a prefix longer than the payload")?;
        Ok(Some([out.header, prefix, rest].concat()))
    }
}
