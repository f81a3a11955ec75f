//! The media of one publication: its encodings as they arrive, and who receives them.

use std::time::{Duration, Instant};

use super::leg::{Origin, ShardId, SourceDescription, SourceId};
use crate::media::audio_level::AudioLevel;
use crate::media::cache::PacketCache;
use crate::media::forward::Packet;
use crate::media::keyframe::KeyframeGate;
use crate::media::layers::{Flow, Layer};
use crate::media::receive::ReceiveStream;
use crate::media::scalability::Scalability;
use crate::negotiation::{CodecDescription, MediaKind};
use crate::room::model::{ParticipantId, TrackId};
use crate::room::participant::ParticipantKey;
use crate::wire::codec::dependency_descriptor::{Structure, attached_structure};
use crate::wire::extension::{Extension, ExtensionMap};
use crate::wire::{PayloadType, Rid, Ssrc};

/// Silence after which an encoding no longer counts as flowing. Longer than the gap of a static screen share's low layer
/// would be unkind to viewers of a stopped layer; shorter would flap.
const ENCODING_SILENCE: Duration = Duration::from_millis(2_000);

/// One encoding (RFC 8853) of a source; one RTP stream at a time.
pub struct Encoding {
    pub rid: Option<Rid>,
    /// Set with the first authenticated packet.
    pub stream: Option<ReceiveStream>,
    /// Packets of `stream`.
    pub cache: PacketCache,
    pub keyframes: KeyframeGate,
    /// The newest structure of its dependency descriptors.
    pub structure: Option<Box<Structure>>,
    scalability: Scalability,
    /// In place of `stream` where another shard hands the packets over.
    mirrored: Option<Mirrored>,
    active: bool,
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
    pub kind: MediaKind,
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
            kind: media.kind,
            codecs: media.codecs.clone(),
            extensions: media.extensions.clone(),
            encodings: rids.into_iter().map(Encoding::new).collect(),
            layers,
            subscribers: Vec::new(),
            handed_to: Vec::new(),
            level: AudioLevel::new(),
            layers_changed: false,
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

    /// Worst share of packets lost on the way here, 0 to 1, of the last report interval.
    pub fn loss(&self) -> f32 {
        self.encodings.iter().map(|encoding| f32::from(encoding.fraction_lost()) / 256.0).fold(0.0, f32::max)
    }

    /// What there is of each encoding, low to high.
    pub fn flows(&self) -> Vec<Flow<'_>> {
        let encodings = self.encodings.iter();
        encodings.map(|encoding| Flow { active: encoding.active, scalability: &encoding.scalability }).collect()
    }

    /// A packet of an encoding is here: the encoding flows, and so does its layer.
    pub fn observe(&mut self, now: Instant, packet: &Packet, plain: &[u8]) {
        let Some(encoding) = self.encodings.get_mut(packet.encoding) else { return };
        let mut changed = !std::mem::replace(&mut encoding.active, true);
        if packet.info.starts_keyframe {
            changed |= encoding.describe(now, packet, &self.extensions, plain);
        }
        changed |= encoding.scalability.observe(now, packet);
        self.layers_changed |= changed;
    }

    /// Notices encodings that fell silent, and what changed in the layers of those that flow.
    pub fn look_for_silence(&mut self, now: Instant) {
        for encoding in &mut self.encodings {
            self.layers_changed |= encoding.scalability.review();
        }
        if self.encodings.len() < 2 {
            return;
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

impl Encoding {
    /// The stream of this SSRC, which takes the place of the one before where that had another.
    pub fn stream_for(&mut self, ssrc: Ssrc, clock_rate: u32) -> &mut ReceiveStream {
        if self.stream.as_ref().is_some_and(|stream| stream.ssrc() != ssrc) {
            self.stream = None;
            self.structure = None;
            self.cache.clear();
        }
        self.stream.get_or_insert_with(|| ReceiveStream::new(ssrc, clock_rate))
    }

    /// A packet is handed over. As with a stream of our own, another SSRC begins anew.
    pub fn mirrored(&mut self, now: Instant, ssrc: Ssrc, fraction_lost: u8) {
        if self.mirrored.as_ref().is_some_and(|mirrored| mirrored.ssrc != ssrc) {
            self.cache.clear();
        }
        self.mirrored = Some(Mirrored { ssrc, last_arrival: now, fraction_lost });
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

    /// Share of packets lost on the way from the publisher, in 1/256, of the last report interval.
    pub fn fraction_lost(&self) -> u8 {
        match &self.mirrored {
            Some(mirrored) => mirrored.fraction_lost,
            None => self.stream.as_ref().map_or(0, ReceiveStream::fraction_lost),
        }
    }

    fn new(rid: Option<Rid>) -> Encoding {
        Encoding {
            rid,
            stream: None,
            cache: PacketCache::default(),
            keyframes: KeyframeGate::new(),
            structure: None,
            scalability: Scalability::default(),
            mirrored: None,
            active: false,
        }
    }
}
