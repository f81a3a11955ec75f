//! The part under test: one source's encodings through the server's own receive streams and rewriter to one subscriber, and the faults that can
//! be put into it on purpose, which the checks must find.

use std::error::Error;
use std::time::Instant;

use rand::rngs::StdRng;
use sfumato::media::forward::{Packet, SendStream, Target};
use sfumato::media::layers::Selection;
use sfumato::media::receive::ReceiveStream;
use sfumato::wire::codec::{Codec, inspect};
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
}

/// The subscriber's stream and what feeds it.
pub struct Forwarder {
    fault: Fault,
    codec: Codec,
    receivers: Vec<ReceiveStream>,
    stream: SendStream,
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
            extensions: ExtensionMap::default(),
        })
    }

    /// What the subscriber wants from now on; `None` pauses.
    pub fn select(&mut self, encoding: Option<usize>) {
        self.stream.select(encoding.map(Selection::all));
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
        if self.fault == Fault::NoKeyframe {
            info.starts_keyframe = true;
        }
        let record = Packet {
            encoding,
            header,
            extended_sequence: receiver.receive(now, &header, packet.len()),
            codec: self.codec,
            info,
            clock: receiver.clock_reference(),
        };
        let Some(out) = self.stream.forward(now, &record, &self.extensions, packet, 0) else { return Ok(None) };
        let payload = packet.get(out.payload).ok_or("the payload lies outside its packet")?;
        let prefix = if self.fault == Fault::NoPictureIds { &[] } else { &*out.prefix };
        let rest = payload.get(prefix.len()..).ok_or("a prefix longer than the payload")?;
        Ok(Some([out.header, prefix, rest].concat()))
    }
}
