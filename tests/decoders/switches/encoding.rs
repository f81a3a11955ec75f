//! One encoding of the source as `encodings.py` writes it, and its packets as a browser would send them (RFC 7741, RFC 9628,
//! RFC 6184, AV1 RTP specification).
//!
//! Payloads are cut by the `rtp` crate. What it leaves out of the descriptors of VP8 and VP9 (counters, temporal layers, the scalability
//! structure) is written here, in the form Chromium sends.

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use rtc_shared::marshal::Marshal;
use rtp::codec::av1::Av1Payloader;
use rtp::codec::h264::H264Payloader;
use rtp::codec::vp8::Vp8Payloader;
use rtp::codec::vp9::Vp9Payloader;
use rtp::packetizer::Payloader;
use sfumato::wire::codec::Codec;

/// Bytes of payload in a packet, small so that most frames have several.
const PAYLOAD_BYTES: usize = 400;
/// Timestamp units of a frame, at 30 frames per second.
pub const FRAME_UNITS: u32 = 3_000;
/// One padding packet after so many frames, as probing sends them.
const PADDING_EVERY: u32 = 20;
/// VP8 and VP9 come in three temporal layers: how far back each picture of the period refers, and its layer.
const PERIOD: [(u8, u8); 4] = [(0, 4), (2, 1), (1, 2), (2, 1)];

/// A coded picture.
pub struct Frame {
    pub keyframe: bool,
    pub temporal: u8,
    /// Refers to layer 0 alone.
    sync: bool,
    data: Bytes,
}

/// The pictures of one encoding, repeated for ever.
pub struct Encoding {
    frames: Vec<Frame>,
    size: (u16, u16),
}

impl Encoding {
    /// Reads width, height, and for each picture its length, flags, temporal layer and bytes, all big endian.
    pub fn read(path: &Path) -> Result<Encoding, Box<dyn Error>> {
        let bytes = Bytes::from(std::fs::read(path)?);
        let number = |at: usize, len: usize| -> Result<usize, Box<dyn Error>> {
            let part = bytes.get(at..at + len).ok_or("the file ends inside a picture")?;
            Ok(part.iter().fold(0, |value, byte| (value << 8) | usize::from(*byte)))
        };
        let size = (number(0, 2)? as u16, number(2, 2)? as u16);
        let (mut frames, mut at) = (Vec::new(), 4);
        while at < bytes.len() {
            let (len, flags, temporal) = (number(at, 4)?, number(at + 4, 1)?, number(at + 5, 1)? as u8);
            number(at + 6, len)?;
            let data = bytes.slice(at + 6..at + 6 + len);
            frames.push(Frame { keyframe: flags & 1 != 0, sync: flags & 2 != 0, temporal, data });
            at += 6 + len;
        }
        if frames.first().is_none_or(|frame| !frame.keyframe) {
            return Err("an encoding begins with a keyframe".into());
        }
        Ok(Encoding { frames, size })
    }

    /// The picture at a place of the endless source.
    pub fn at(&self, position: u32) -> Option<&Frame> {
        self.frames.get(position as usize % self.frames.len())
    }
}

/// Sends one encoding.
pub struct Sender {
    codec: Codec,
    payloader: Box<dyn Payloader>,
    size: (u16, u16),
    ssrc: u32,
    sequence: u16,
    /// Of position 0.
    pub timestamp: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
}

impl Sender {
    /// Everything that may begin anywhere begins at random.
    pub fn new(codec: Codec, encoding: &Encoding, random: &mut StdRng) -> Result<Sender, Box<dyn Error>> {
        Ok(Sender {
            codec,
            payloader: payloader(codec)?,
            size: encoding.size,
            ssrc: random.random(),
            sequence: random.random(),
            timestamp: random.random(),
            picture_id: random.random_range(0..0x8000),
            tl0_pic_idx: random.random(),
        })
    }

    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The packets of a picture.
    pub fn packets(&mut self, position: u32, frame: &Frame) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        if frame.temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
        }
        let parts = self.payloader.payload(PAYLOAD_BYTES, &frame.data)?;
        let last = parts.len().saturating_sub(1);
        let mut packets = Vec::new();
        for (index, part) in parts.into_iter().enumerate() {
            let payload = match self.codec {
                Codec::Vp8 => self.vp8(frame, &part),
                Codec::Vp9 => self.vp9(frame, &part),
                _ => part,
            };
            packets.push(self.packet(position, index == last, payload)?);
        }
        if position.is_multiple_of(PADDING_EVERY) {
            packets.push(self.padding(position)?);
        }
        Ok(packets)
    }

    /// Picture id of 15 bits, TL0PICIDX, TID and Y (RFC 7741, section 4.2) in place of the single byte.
    fn vp8(&self, frame: &Frame, part: &Bytes) -> Bytes {
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let layer = (frame.temporal << 6) | (u8::from(frame.sync) << 5);
        let first = part.first().copied().unwrap_or(0) | 0x80;
        let descriptor = [first, 0xe0, high, low, self.tl0_pic_idx, layer];
        [&descriptor, part.get(1..).unwrap_or(&[])].concat().into()
    }

    /// Non-flexible mode (RFC 9628, section 4.2), the scalability structure in the first packet of a keyframe.
    fn vp9(&self, frame: &Frame, part: &Bytes) -> Bytes {
        let [i, p, l, b, e, v] = [0x80, 0x40, 0x20, 0x08, 0x04, 0x02];
        let ends = part.first().copied().unwrap_or(0) & (b | e);
        let structure = frame.keyframe && ends & b != 0;
        let mut flags = i | l | ends;
        flags |= if frame.keyframe { 0 } else { p };
        flags |= if structure { v } else { 0 };
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        // U: in this period no picture refers to one of a higher layer before the last of a lower one.
        let layer = (frame.temporal << 5) | 0x10;
        let mut payload = vec![flags, high, low, layer, self.tl0_pic_idx];
        if structure {
            payload.extend(self.scalability_structure());
        }
        payload.extend(part.get(3..).unwrap_or(&[]));
        payload.into()
    }

    /// One spatial layer with its size, and the group of pictures.
    fn scalability_structure(&self) -> Vec<u8> {
        let mut bytes = vec![0x18];
        bytes.extend(self.size.0.to_be_bytes());
        bytes.extend(self.size.1.to_be_bytes());
        bytes.push(PERIOD.len() as u8);
        for (temporal, back) in PERIOD {
            bytes.extend([(temporal << 5) | 0x10 | (1 << 2), back]);
        }
        bytes
    }

    fn packet(&mut self, position: u32, marker: bool, payload: Bytes) -> Result<Vec<u8>, Box<dyn Error>> {
        self.sequence = self.sequence.wrapping_add(1);
        let header = rtp::Header {
            version: 2,
            marker,
            payload_type: 96,
            sequence_number: self.sequence,
            timestamp: self.timestamp.wrapping_add(position.wrapping_mul(FRAME_UNITS)),
            ssrc: self.ssrc,
            ..rtp::Header::default()
        };
        Ok(rtp::Packet { header, payload }.marshal()?.to_vec())
    }

    /// Nothing but padding (RFC 3550, section 5.1).
    fn padding(&mut self, position: u32) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut packet = self.packet(position, false, Bytes::from_static(&[0, 0, 0, 4]))?;
        if let Some(flags) = packet.first_mut() {
            *flags |= 0x20;
        }
        Ok(packet)
    }
}

fn payloader(codec: Codec) -> Result<Box<dyn Payloader>, Box<dyn Error>> {
    Ok(match codec {
        Codec::Vp8 => Box::<Vp8Payloader>::default(),
        Codec::Vp9 => Box::<Vp9Payloader>::default(),
        Codec::H264 => Box::<H264Payloader>::default(),
        Codec::Av1 => Box::<Av1Payloader>::default(),
        other => return Err(format!("{other:?} is no codec of this test").into()),
    })
}
