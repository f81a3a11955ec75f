//! A receiver as strict as a browser's, on the `rtp` crate: sorts packets by number, puts pictures together, and gives to the decoder
//! only what is whole and what everything before it since a keyframe came of.

use std::collections::BTreeMap;
use std::error::Error;

use bytes::Bytes;
use rtc_shared::marshal::Unmarshal;
use rtp::codec::av1::Av1Depacketizer;
use rtp::codec::h264::H264Packet;
use rtp::codec::vp8::Vp8Packet;
use rtp::codec::vp9::Vp9Packet;
use rtp::packetizer::Depacketizer;
use sfumato::wire::codec::Codec;

/// The OBU that stands before each temporal unit (AV1 bitstream specification, section 5.6).
const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0];

/// Where a packet came from, as the program knows that drives the server. Checked against the marks in the decoded picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub position: u32,
    pub encoding: usize,
}

/// A whole picture for the decoder.
pub struct Picture {
    pub origin: Origin,
    pub data: Vec<u8>,
}

/// What went wrong or missing, counted. Only `held_back` may be above zero when packets come late.
#[derive(Default, Debug)]
pub struct Tally {
    /// Not whole, or after one that was not, until the next keyframe.
    pub held_back: u64,
    /// Packets of two pictures under one timestamp.
    pub mixed: u64,
    /// Timestamps that do not grow from one picture to the next.
    pub timestamps: u64,
    /// Picture ids or TL0PICIDX that do not go on as a receiver expects, although no packet is missing.
    pub picture_ids: u64,
    /// Sequence numbers given twice.
    pub duplicates: u64,
    /// Sequence numbers that never came.
    pub missing: u64,
}

struct Arrived {
    packet: rtp::Packet,
    origin: Origin,
}

/// The counters of a payload descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Counters {
    picture_id: u16,
    tl0_pic_idx: u8,
    temporal: u8,
}

pub struct Receiver {
    codec: Codec,
    packets: BTreeMap<u64, Arrived>,
    highest: Option<u64>,
    pub tally: Tally,
}

impl Receiver {
    pub fn new(codec: Codec) -> Receiver {
        Receiver { codec, packets: BTreeMap::new(), highest: None, tally: Tally::default() }
    }

    pub fn handle(&mut self, bytes: Vec<u8>, origin: Origin) -> Result<(), Box<dyn Error>> {
        let packet = rtp::Packet::unmarshal(&mut Bytes::from(bytes))?;
        let highest = self.highest.unwrap_or(u64::from(packet.header.sequence_number) + (1 << 16));
        let step = packet.header.sequence_number.wrapping_sub(highest as u16) as i16;
        let number = highest.saturating_add_signed(step.into());
        self.highest = Some(highest.max(number));
        if self.packets.insert(number, Arrived { packet, origin }).is_some() {
            self.tally.duplicates += 1;
        }
        Ok(())
    }

    /// All pictures that can be decoded, in order.
    pub fn finish(mut self) -> Result<(Vec<Picture>, Tally), Box<dyn Error>> {
        let mut assembly = Assembly::new(self.codec, std::mem::take(&mut self.tally));
        let mut run: Vec<Arrived> = Vec::new();
        let mut last = None;
        for (number, arrived) in std::mem::take(&mut self.packets) {
            let gap = last.map_or(0, |last: u64| number - last - 1);
            let new_picture = run.last().is_some_and(|l| l.packet.header.timestamp != arrived.packet.header.timestamp);
            if new_picture || gap > 0 {
                assembly.picture(std::mem::take(&mut run))?;
            }
            if gap > 0 {
                assembly.gap(gap);
            }
            run.push(arrived);
            last = Some(number);
        }
        assembly.picture(run)?;
        Ok((assembly.pictures, assembly.tally))
    }
}

/// Puts pictures together, in the order of sequence numbers.
struct Assembly {
    codec: Codec,
    pictures: Vec<Picture>,
    tally: Tally,
    /// Everything since the last keyframe came.
    unbroken: bool,
    /// No packet is missing since the last picture.
    contiguous: bool,
    /// The last picture and its timestamp.
    before: Option<(Origin, u32)>,
    counters: Option<Counters>,
}

impl Assembly {
    fn new(codec: Codec, tally: Tally) -> Assembly {
        Assembly {
            codec,
            pictures: Vec::new(),
            tally,
            unbroken: false,
            contiguous: false,
            before: None,
            counters: None,
        }
    }

    fn gap(&mut self, packets: u64) {
        self.tally.missing += packets;
        self.unbroken = false;
        self.contiguous = false;
    }

    /// Packets without a gap under one timestamp.
    fn picture(&mut self, run: Vec<Arrived>) -> Result<(), Box<dyn Error>> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let (origin, timestamp, ends) = (first.origin, first.packet.header.timestamp, last.packet.header.marker);
        self.tally.mixed += u64::from(run.iter().any(|arrived| arrived.origin != origin));
        // The rest of a picture in which packets are missing has its timestamp again.
        let rest = self.before == Some((origin, timestamp));
        let later = self.before.is_none_or(|(_, before)| (timestamp.wrapping_sub(before) as i32) > 0);
        self.tally.timestamps += u64::from(!later && !rest);

        let Unpacked { begins, counters, data } = unpack(self.codec, &run)?;
        let keyframe = is_keyframe(self.codec, &data);
        if let (Some(before), Some(now), true) = (self.counters, counters, self.contiguous) {
            self.tally.picture_ids += u64::from(!follows(before, now, self.distances(origin, keyframe)));
        }
        self.before = Some((origin, timestamp));
        self.counters = counters;
        self.contiguous = true;
        self.unbroken = begins && ends && (self.unbroken || keyframe);
        if self.unbroken {
            self.pictures.push(Picture { origin, data });
        } else {
            self.tally.held_back += 1;
        }
        Ok(())
    }

    /// How far picture ids may be from those of the last picture.
    fn distances(&self, origin: Origin, keyframe: bool) -> [u32; 2] {
        let passed = self.before.map_or(0, |(before, _)| origin.position.wrapping_sub(before.position));
        match self.codec {
            // A gap would be taken for missing pictures.
            Codec::Vp8 => [1, 1],
            // References count in picture ids: withheld pictures keep theirs. A keyframe may begin anew.
            _ if keyframe => [passed, 1],
            _ => [passed, passed],
        }
    }
}

/// The id is one of these further than before, and TL0PICIDX counts the pictures of layer 0.
fn follows(before: Counters, now: Counters, distances: [u32; 2]) -> bool {
    let tl0 = before.tl0_pic_idx.wrapping_add(u8::from(now.temporal == 0));
    let distance = u32::from(now.picture_id.wrapping_sub(before.picture_id) & 0x7fff);
    distances.contains(&distance) && now.tl0_pic_idx == tl0
}

/// Reads payloads of one picture, each codec with its own state.
enum Unpacker {
    Vp8(Vp8Packet),
    Vp9(Vp9Packet),
    H264(H264Packet),
    Av1(Av1Depacketizer),
}

/// What a packet, or all packets of a picture, hold.
struct Unpacked {
    /// The first packet begins a picture.
    begins: bool,
    counters: Option<Counters>,
    data: Vec<u8>,
}

impl Unpacker {
    fn new(codec: Codec) -> Unpacker {
        match codec {
            Codec::Vp8 => Unpacker::Vp8(Vp8Packet::default()),
            Codec::Vp9 => Unpacker::Vp9(Vp9Packet::default()),
            Codec::H264 => Unpacker::H264(H264Packet::default()),
            _ => Unpacker::Av1(Av1Depacketizer::new()),
        }
    }

    /// What decoders look for at the start of a picture and RTP leaves out.
    fn preamble(&self) -> &'static [u8] {
        if matches!(self, Unpacker::Av1(_)) { &TEMPORAL_DELIMITER } else { &[] }
    }

    fn read(&mut self, payload: &Bytes) -> Result<Unpacked, Box<dyn Error>> {
        let (data, begins, counters) = match self {
            Unpacker::Vp8(packet) => {
                let data = packet.depacketize(payload)?;
                let Vp8Packet { s, pid, picture_id, tl0_pic_idx, tid: temporal, .. } = *packet;
                (data, s == 1 && pid == 0, Some(Counters { picture_id, tl0_pic_idx, temporal }))
            }
            Unpacker::Vp9(packet) => {
                let data = packet.depacketize(payload)?;
                let Vp9Packet { b, picture_id, tl0picidx: tl0_pic_idx, tid: temporal, .. } = *packet;
                (data, b, Some(Counters { picture_id, tl0_pic_idx, temporal }))
            }
            Unpacker::H264(packet) => (packet.depacketize(payload)?, packet.is_partition_head(payload), None),
            Unpacker::Av1(packet) => (packet.depacketize(payload)?, packet.is_partition_head(payload), None),
        };
        Ok(Unpacked { begins, counters, data: data.to_vec() })
    }
}

/// A whole picture without descriptors.
fn unpack(codec: Codec, run: &[Arrived]) -> Result<Unpacked, Box<dyn Error>> {
    let mut unpacker = Unpacker::new(codec);
    let mut picture: Option<Unpacked> = None;
    for arrived in run {
        let part = unpacker.read(&arrived.packet.payload)?;
        match &mut picture {
            None => picture = Some(Unpacked { data: [unpacker.preamble(), &part.data].concat(), ..part }),
            Some(picture) if picture.counters != part.counters => return Err("one picture, two picture ids".into()),
            Some(picture) => picture.data.extend(part.data),
        }
    }
    picture.ok_or_else(|| "no packets".into())
}

/// Whether decoding can start here, read from the coded picture itself.
fn is_keyframe(codec: Codec, data: &[u8]) -> bool {
    let first = data.first().copied().unwrap_or(0xff);
    match codec {
        Codec::Vp8 => first & 1 == 0,
        // Frame marker 2, profile 0, not an existing frame, frame type 0 (VP9 bitstream specification, section 6.2).
        Codec::Vp9 => first & 0b1111_1100 == 0b1000_0000,
        // With its parameter set in front: by an older one it would be read wrongly.
        Codec::H264 => data.get(4).is_some_and(|header| header & 0x1f == 7),
        // A sequence header behind the temporal delimiter (AV1 bitstream specification, section 5.3.2).
        _ => data.get(2).is_some_and(|header| (header >> 3) & 0x0f == 1),
    }
}
