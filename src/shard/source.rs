//! The media of one rendition of a publication: its encodings as they arrive, and who receives them.

use std::time::{Duration, Instant};

use super::inbound::Repaired;
use super::leg::{Origin, ShardId, SourceDescription, SourceId};
use crate::media::audio_level::AudioLevel;
use crate::media::cache::PacketCache;
use crate::media::forward::Packet;
use crate::media::keyframe::KeyframeGate;
use crate::media::ladder::{Rung, ladder};
use crate::media::layer_rates::{LayerRates, Rate as BandwidthRate};
use crate::media::layers::{Flow, Flowing, Layer, Selection};
use crate::media::nack::Repair;
use crate::media::receive::ReceiveStream;
use crate::media::scalability::Scalability;
use crate::negotiation::{CodecDescription, MediaKind};
use crate::recorder::rate::Rate;
use crate::room::model::{ParticipantId, Rendition, TrackId};
use crate::room::participant::ParticipantKey;
use crate::wire::codec::dependency_descriptor::{Structure, attached_structure, starts_keyframe};
use crate::wire::codec::{Codec, PayloadInfo, inspect};
use crate::wire::extension::{Extension, ExtensionMap};
use crate::wire::rtp::{Header, RtpError};
use crate::wire::{PayloadType, Rid, Ssrc};

/// Silence after which an encoding no longer counts as flowing. Longer than the gap of a static screen share's low layer
/// would be unkind to viewers of a stopped layer; shorter would flap.
const ENCODING_SILENCE: Duration = Duration::from_millis(2_000);

/// How long what layers take is good for: it is asked for by each subscriber.
const LADDER_LIFE: Duration = Duration::from_millis(100);

/// One encoding (RFC 8853) of a source; one RTP stream at a time.
pub struct Encoding {
    pub rid: Option<Rid>,
    /// Set with the first authenticated packet.
    pub stream: Option<ReceiveStream>,
    /// Packets of `stream`.
    pub cache: PacketCache,
    pub keyframes: KeyframeGate,
    /// The newest structure of its dependency descriptors, and the number of the packet that brought it.
    structure: Option<Box<Structure>>,
    described_by: u64,
    scalability: Scalability,
    rates: LayerRates,
    /// In place of `stream` where another shard hands the packets over.
    mirrored: Option<Mirrored>,
    active: bool,
    pub tally: ReceivedTally,
}

/// What was asked of a publisher, and what came of it.
#[derive(Default)]
pub struct ReceivedTally {
    pub nacked: u32,
    pub recovered: u32,
    pub given_up: u32,
    pub keyframes_asked: u32,
    pub rate: Rate,
}

/// What is known of a stream that another shard receives.
struct Mirrored {
    ssrc: Ssrc,
    last_arrival: Instant,
    fraction_lost: u8,
}

pub struct Source {
    pub id: SourceId,
    pub origin: Origin,
    pub publisher: ParticipantKey,
    pub publisher_id: ParticipantId,
    pub track: TrackId,
    pub rendition: Rendition,
    /// The codec of the track's other rendition, where a subscriber may come to get that instead.
    pub other: Option<Codec>,
    pub kind: MediaKind,
    /// It shows a screen and not a camera.
    pub screen: bool,
    pub codecs: Vec<CodecDescription>,
    pub extensions: ExtensionMap,
    pub encodings: Vec<Encoding>,
    pub layers: Vec<Layer>,
    /// Peers that receive it, in no order.
    pub subscribers: Vec<usize>,
    /// Shards with further ones, where the publisher is here.
    pub handed_to: Vec<ShardId>,
    pub level: AudioLevel,
    /// An encoding began or ceased to flow: layers are to be chosen anew.
    pub layers_changed: bool,
    /// Media began to flow where none did: the room is to know.
    pub began: bool,
    /// The encoding that began to flow with a keyframe, since layers were chosen last.
    opened: Option<usize>,
    /// As of the time beside; `None` when it is to be made anew.
    ladder: Vec<Rung>,
    ladder_at: Option<Instant>,
}

impl Source {
    pub fn new(origin: Origin, description: &SourceDescription) -> Source {
        let media = &description.media;
        let mut rids: Vec<Option<Rid>> = media.rids.iter().copied().map(Some).collect();
        if rids.is_empty() {
            rids.push(None);
        }
        let mut layers = description.layers.clone();
        layers.sort_by_key(|layer| layer.quality);
        Source {
            id: description.id,
            origin,
            publisher: description.publisher,
            publisher_id: description.publisher_id.clone(),
            track: description.track.clone(),
            rendition: description.rendition,
            other: description.other,
            kind: media.kind,
            screen: description.screen,
            codecs: media.codecs.clone(),
            extensions: media.extensions.clone(),
            encodings: rids.into_iter().map(Encoding::new).collect(),
            layers,
            subscribers: Vec::new(),
            handed_to: Vec::new(),
            level: AudioLevel::new(),
            layers_changed: false,
            began: false,
            opened: None,
            ladder: Vec::new(),
            ladder_at: None,
        }
    }

    /// The codec of a payload type, unless it is one of repair or unknown.
    pub fn codec(&self, payload_type: PayloadType) -> Option<&CodecDescription> {
        self.codecs.iter().find(|codec| codec.payload_type == payload_type)
    }

    pub fn encoding_of(&self, rid: Option<Rid>) -> Option<usize> {
        match rid {
            Some(_) => self.encodings.iter().position(|encoding| encoding.rid == rid),
            None if self.encodings.len() == 1 => Some(0),
            None => None,
        }
    }

    /// The encoding that a stream of retransmissions repairs.
    pub fn encoding_repaired(&self, repaired: Repaired) -> Option<usize> {
        match (repaired.rid, repaired.media) {
            (None, Some(media)) => self.encodings.iter().position(|encoding| encoding.has_stream(media)),
            (rid, _) => self.encoding_of(rid),
        }
    }

    /// The codec of what is sent again under this payload type (RFC 4588, section 8.6: `apt`).
    pub fn codec_repaired(&self, payload_type: PayloadType) -> Option<&CodecDescription> {
        self.codecs.iter().find(|codec| codec.rtx == Some(payload_type))
    }

    /// The dependency descriptor of a plain packet, where it has one, and its payload.
    pub fn described<'a>(&self, header: &Header, packet: &'a [u8]) -> Result<(Option<&'a [u8]>, &'a [u8]), RtpError> {
        let dependency = header.extension(packet, &self.extensions, Extension::DependencyDescriptor);
        Ok((dependency, header.payload(packet)?))
    }

    /// Somebody receives it, here or on another shard.
    pub fn is_watched(&self) -> bool {
        !self.subscribers.is_empty() || !self.handed_to.is_empty()
    }

    /// Packets of some encoding come.
    pub fn is_flowing(&self) -> bool {
        self.encodings.iter().any(|encoding| encoding.active)
    }

    /// Worst share of packets lost on the way from a publisher here, 0 to 1, of the last report interval, whether they came again or not.
    pub fn loss(&self) -> f32 {
        self.worst(|encoding| encoding.stream.as_ref().map_or(0, ReceiveStream::fraction_lost))
    }

    /// The same of those that did not come again: subscribers miss them too.
    pub fn loss_passed_on(&self) -> f32 {
        self.worst(Encoding::fraction_passed_on)
    }

    fn worst(&self, share: impl Fn(&Encoding) -> u8) -> f32 {
        self.encodings.iter().map(|encoding| f32::from(share(encoding)) / 256.0).fold(0.0, f32::max)
    }

    /// What can be forwarded of it and takes how much, low to high; at most [`LADDER_LIFE`] old.
    pub fn ladder(&mut self, now: Instant) -> &[Rung] {
        let fresh = self.ladder_at.is_some_and(|at| now.saturating_duration_since(at) < LADDER_LIFE);
        if !fresh {
            ladder(now, &self.layers, &self.encodings, &mut self.ladder);
            self.ladder_at = Some(now);
        }
        &self.ladder
    }

    /// What all of a source without layers takes; `None` while that is not known, or nothing flows.
    pub fn bandwidth(&self, now: Instant) -> Option<BandwidthRate> {
        let [encoding] = self.encodings.as_slice() else { return None };
        encoding.rates.rate(now, Selection::all(0).layers).filter(|_| encoding.active)
    }

    /// A packet of an encoding is here: the encoding flows, and so does its layer.
    pub fn observe(&mut self, now: Instant, packet: &Packet, plain: &[u8]) {
        let began = !self.is_flowing();
        let Some(encoding) = self.encodings.get_mut(packet.encoding) else { return };
        let mut changed = !std::mem::replace(&mut encoding.active, true);
        if changed {
            encoding.rates.restart();
            self.began |= began;
            if packet.info.starts_keyframe {
                self.opened = Some(packet.encoding);
            }
        }
        if packet.info.starts_keyframe {
            changed |= encoding.describe(now, packet, &self.extensions, plain);
        }
        changed |= encoding.scalability.observe(now, packet);
        let (spatial, temporal) = (encoding.scalability.spatial_layers(), encoding.scalability.temporal_layers());
        encoding.rates.observe(now, &packet.info, plain.len(), spatial, temporal);
        self.layers_changed |= changed;
    }

    /// Layers are chosen anew. Gives the encoding of which a keyframe is about to be forwarded.
    pub fn take_opened(&mut self) -> Option<usize> {
        self.layers_changed = false;
        self.ladder_at = None;
        self.opened.take()
    }

    /// Notices encodings that fell silent, and what changed in the layers of those that flow.
    pub fn look_for_silence(&mut self, now: Instant) {
        for encoding in &mut self.encodings {
            self.layers_changed |= encoding.scalability.review();
        }
        for encoding in &mut self.encodings {
            let flows =
                encoding.last_arrival().is_some_and(|last| now.saturating_duration_since(last) < ENCODING_SILENCE);
            if encoding.active && !flows {
                encoding.active = false;
                self.layers_changed = true;
            }
        }
    }

    pub fn stream_of(&mut self, ssrc: Ssrc) -> Option<&mut ReceiveStream> {
        self.encodings.iter_mut().filter_map(|e| e.stream.as_mut()).find(|stream| stream.ssrc() == ssrc)
    }
}

impl Flowing for Encoding {
    fn flow(&self) -> Flow<'_> {
        Flow { active: self.active, scalability: &self.scalability, rates: &self.rates }
    }
}

impl Encoding {
    /// The stream of this SSRC, which takes the place of the one before where that had another.
    pub fn stream_for(&mut self, ssrc: Ssrc, clock_rate: u32, repair: Repair) -> &mut ReceiveStream {
        if self.stream.as_ref().is_some_and(|stream| stream.ssrc() != ssrc) {
            self.stream = None;
            (self.structure, self.described_by) = (None, 0);
            self.cache.clear();
        }
        self.stream.get_or_insert_with(|| ReceiveStream::new(ssrc, clock_rate).with_repair(repair))
    }

    /// Packets come, or did a moment ago.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// How many it was seen to have.
    pub fn spatial_layers(&self) -> usize {
        self.scalability.spatial_layers()
    }

    fn has_stream(&self, ssrc: Ssrc) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.ssrc() == ssrc)
    }

    /// A packet is handed over. As with a stream of our own, another SSRC begins anew.
    pub fn mirrored(&mut self, now: Instant, ssrc: Ssrc, fraction_lost: u8) {
        if self.mirrored.as_ref().is_some_and(|mirrored| mirrored.ssrc != ssrc) {
            self.cache.clear();
        }
        self.mirrored = Some(Mirrored { ssrc, last_arrival: now, fraction_lost });
    }

    /// What the forwarding of a packet needs to know of its payload. One that comes late does not bring an old structure back.
    pub fn inspect(
        &mut self,
        codec: Codec,
        extended_sequence: u64,
        dependency: Option<&[u8]>,
        payload: &[u8],
    ) -> PayloadInfo {
        let brings = dependency.and_then(starts_keyframe).unwrap_or(false);
        if brings && extended_sequence < self.described_by {
            return inspect(codec, payload, dependency, &mut None);
        }
        if brings {
            self.described_by = extended_sequence;
        }
        inspect(codec, payload, dependency, &mut self.structure)
    }

    /// What a keyframe says of layers.
    fn describe(&mut self, now: Instant, packet: &Packet, extensions: &ExtensionMap, plain: &[u8]) -> bool {
        let value = packet.header.extension(plain, extensions, Extension::DependencyDescriptor);
        let structure = value.and_then(attached_structure);
        let payload = packet.header.payload(plain).unwrap_or_default();
        self.scalability.describe(now, packet, structure.as_ref(), payload)
    }

    fn last_arrival(&self) -> Option<Instant> {
        match &self.mirrored {
            Some(mirrored) => Some(mirrored.last_arrival),
            None => self.stream.as_ref().and_then(ReceiveStream::last_arrival),
        }
    }

    /// Share of packets lost on the way from the publisher that did not come again, in 1/256, of the last report interval.
    pub fn fraction_passed_on(&self) -> u8 {
        match &self.mirrored {
            Some(mirrored) => mirrored.fraction_lost,
            None => self.stream.as_ref().map_or(0, ReceiveStream::fraction_passed_on),
        }
    }

    pub fn new(rid: Option<Rid>) -> Encoding {
        Encoding {
            rid,
            stream: None,
            cache: PacketCache::default(),
            keyframes: KeyframeGate::new(),
            structure: None,
            described_by: 0,
            scalability: Scalability::default(),
            rates: LayerRates::default(),
            mirrored: None,
            active: false,
            tally: ReceivedTally::default(),
        }
    }
}

impl ReceivedTally {
    /// Packets were asked for again, and others given up.
    pub fn count(&mut self, asked: u32, given_up: u32) {
        self.nacked = self.nacked.saturating_add(asked);
        self.given_up = self.given_up.saturating_add(given_up);
    }
}

/// How a publisher sends packets of a codec again.
pub fn repair_of(codec: &CodecDescription) -> Repair {
    match (codec.nack, codec.rtx) {
        (false, _) => Repair::Never,
        (true, None) => Repair::InPlace,
        (true, Some(_)) => Repair::Apart,
    }
}
