//! Synthetic RTP whose every payload says what it must be: an index, and bytes that follow from it. A receiver thus
//! finds loss, reordering and corruption by itself. Opus in size and time; VP8 with the payload descriptor that browsers
//! write (RFC 7741, section 4.2) and a keyframe header (RFC 6386, section 9.1).

use rtp::Packet;
use rtp::header::Header;

pub const OPUS_PAYLOAD_TYPE: u8 = 111;
pub const VP8_PAYLOAD_TYPE: u8 = 96;
pub const RTX_PAYLOAD_TYPE: u8 = 97;
/// 20 ms at 48 kHz.
pub const OPUS_STEP: u32 = 960;
/// One picture of 30 a second at 90 kHz.
pub const VP8_STEP: u32 = 3_000;
/// Packets of one keyframe.
pub const KEYFRAME_PACKETS: u8 = 3;

/// 32 kbit/s at 20 ms.
const OPUS_BYTES: usize = 80;
const VP8_BYTES: usize = 1_000;
/// Descriptor with 15-bit picture id, TL0PICIDX and TID.
const DESCRIPTOR_BYTES: usize = 6;
/// Room for a keyframe's header, in every packet.
const FRAME_HEADER_BYTES: usize = 10;
/// The packet's index, whether it is of a keyframe, its place in the picture.
const STAMP_BYTES: usize = 6;

/// A packet as a subscriber got it.
#[derive(Clone, Debug)]
pub struct Received {
    pub header: Header,
    pub payload: Vec<u8>,
}

/// Makes one stream's packets, numbered as RTP wants (RFC 3550, section 5.1).
pub struct Numbering {
    ssrc: u32,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
}

impl Numbering {
    /// Near the end of both number spaces, so that every run sees them wrap.
    pub fn new(ssrc: u32, payload_type: u8) -> Numbering {
        Numbering { ssrc, payload_type, sequence: u16::MAX - 50, timestamp: u32::MAX - 20_000 }
    }

    pub fn advance(&mut self, ticks: u32) {
        self.timestamp = self.timestamp.wrapping_add(ticks);
    }

    pub fn packet(&mut self, marker: bool, payload: Vec<u8>) -> Packet {
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            version: 2,
            marker,
            payload_type: self.payload_type,
            sequence_number: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        Packet { header, payload: payload.into() }
    }
}

pub fn opus_payload(index: u32) -> Vec<u8> {
    let mut payload = index.to_be_bytes().to_vec();
    payload.extend(pattern(index, OPUS_BYTES - payload.len()));
    payload
}

/// One packet of a VP8 picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vp8Packet {
    /// Of all packets of the stream.
    pub index: u32,
    pub keyframe: bool,
    /// Place in its picture, from 0.
    pub part: u8,
}

impl Vp8Packet {
    pub fn payload(self, picture_id: u16, tl0_picture: u8) -> Vec<u8> {
        let start = if self.part == 0 { 0x10 } else { 0 };
        let [high, low] = (picture_id | 0x8000).to_be_bytes();
        let mut payload = vec![0x80 | start, 0xe0, high, low, tl0_picture, 0];
        payload.extend(self.content());
        payload
    }

    fn starts_keyframe(self) -> bool {
        self.keyframe && self.part == 0
    }

    /// What follows the descriptor: what no forwarder may change.
    fn content(self) -> Vec<u8> {
        let mut content = match (self.part, self.keyframe) {
            // Shown keyframe, start code, 640 x 480.
            (0, true) => vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01],
            (0, false) => vec![0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            _ => vec![0xff; FRAME_HEADER_BYTES],
        };
        content.extend(self.index.to_be_bytes());
        content.extend([u8::from(self.keyframe), self.part]);
        content.extend(pattern(self.index, VP8_BYTES - content.len()));
        content
    }

    /// Reads back which packet a payload is and panics when it is not that packet, byte for byte.
    fn read(payload: &[u8]) -> Vp8Packet {
        let content = payload.get(DESCRIPTOR_BYTES..).expect("a payload holds a descriptor");
        let stamp = content.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + STAMP_BYTES);
        let stamp = stamp.expect("a payload holds its stamp");
        let packet = Vp8Packet { index: index_of(stamp), keyframe: stamp[4] == 1, part: stamp[5] };
        assert!(packet.content() == content, "payload of {packet:?} was changed");
        assert_eq!(payload[0] & 0x10 != 0, packet.part == 0, "start of partition of {packet:?}");
        packet
    }
}

/// What a stream lost on its way: packets that never came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Continuity {
    pub packets: usize,
    pub missing: u64,
}

/// Checks an Opus stream as received: order, numbering, times and bytes; panics at the first fault.
pub fn check_opus(received: &[Received]) -> Continuity {
    for pair in received.windows(2) {
        let packets = index_of(&pair[1].payload).wrapping_sub(index_of(&pair[0].payload));
        let ticks = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        assert_eq!(ticks, packets.wrapping_mul(OPUS_STEP), "{packets} packets later");
    }
    check(received, OPUS_PAYLOAD_TYPE, |payload| {
        let index = index_of(payload);
        assert!(payload == opus_payload(index), "payload of Opus packet {index} was changed");
        index
    })
}

/// Checks a VP8 stream as received, likewise: it starts with a keyframe, and picture ids count pictures. Those that it
/// catches up with at its start, a keyframe of a while ago and what followed, are a tick apart.
pub fn check_vp8(received: &[Received]) -> Continuity {
    if let Some(first) = received.first() {
        let first = Vp8Packet::read(&first.payload);
        assert!(first.starts_keyframe(), "the stream starts with {first:?}");
    }
    let mut catches_up = true;
    for pair in received.windows(2) {
        let pictures = picture_id(&pair[1].payload).wrapping_sub(picture_id(&pair[0].payload)) & 0x7fff;
        let ticks = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        catches_up &= ticks == u32::from(pictures);
        if !catches_up {
            assert_eq!(ticks, u32::from(pictures) * VP8_STEP, "{pictures} pictures later");
        }
    }
    check(received, VP8_PAYLOAD_TYPE, |payload| Vp8Packet::read(payload).index)
}

/// A VP8 stream from its first keyframe on in the order it was sent in, as a jitter buffer makes it: what was lost first comes late.
pub fn in_order(received: &[Received]) -> Vec<Received> {
    let mut received = received.to_vec();
    received.sort_by_key(|one| Vp8Packet::read(&one.payload).index);
    let starts = |one: &Received| Vp8Packet::read(&one.payload).starts_keyframe();
    received.into_iter().skip_while(|one| !starts(one)).collect()
}

/// Parts a stream at the changes of its source: where the index of the payload begins anew. Panics unless the stream itself
/// goes on there: under one SSRC, with the next number, later in time.
pub fn parts(received: &[Received], video: bool) -> Vec<Vec<Received>> {
    let index = |one: &Received| match video {
        true => Vp8Packet::read(&one.payload).index,
        false => index_of(&one.payload),
    };
    let mut parts: Vec<Vec<Received>> = Vec::new();
    for (at, one) in received.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &received[before]);
        match (before.filter(|before| index(before) < index(one)), parts.last_mut()) {
            (Some(_), Some(part)) => part.push(one.clone()),
            _ => parts.push(vec![one.clone()]),
        }
    }
    for pair in parts.windows(2) {
        let (before, after) = (&pair[0].last().expect("a packet").header, &pair[1][0].header);
        assert_eq!(before.ssrc, after.ssrc);
        assert_eq!(before.sequence_number.wrapping_add(1), after.sequence_number);
        let ticks = after.timestamp.wrapping_sub(before.timestamp);
        assert!((1..1 << 31).contains(&ticks), "{ticks} ticks later");
    }
    parts
}

/// Keyframes that began in a VP8 stream.
pub fn keyframes(received: &[Received]) -> usize {
    received.iter().filter(|one| Vp8Packet::read(&one.payload).starts_keyframe()).count()
}

/// `index` checks a payload and tells its place in the stream.
fn check(received: &[Received], payload_type: u8, index: impl Fn(&[u8]) -> u32) -> Continuity {
    let mut missing = 0;
    let indices: Vec<u32> = received.iter().map(|one| index(&one.payload)).collect();
    for (pair, indices) in received.windows(2).zip(indices.windows(2)) {
        let (before, after) = (&pair[0].header, &pair[1].header);
        let sequence = after.sequence_number.wrapping_sub(before.sequence_number);
        assert!((1..1 << 15).contains(&sequence), "sequence number went by {sequence}");
        let step = indices[1].wrapping_sub(indices[0]);
        assert_eq!(u32::from(sequence), step, "a gap is the source's gap, and nothing else is one");
        assert_eq!(before.ssrc, after.ssrc);
        assert_eq!(after.payload_type, payload_type);
        missing += u64::from(sequence) - 1;
    }
    Continuity { packets: received.len(), missing }
}

fn index_of(bytes: &[u8]) -> u32 {
    let bytes = bytes.first_chunk().expect("a payload starts with its index");
    u32::from_be_bytes(*bytes)
}

fn picture_id(payload: &[u8]) -> u16 {
    assert_eq!(payload[0] & 0x80, 0x80, "an extended descriptor");
    assert_eq!(payload[1] & 0xe0, 0xe0, "picture id, TL0PICIDX and TID are there");
    u16::from_be_bytes([payload[2], payload[3]]) & 0x7fff
}

/// Bytes that follow from `seed` (xorshift, Marsaglia 2003).
fn pattern(seed: u32, len: usize) -> impl Iterator<Item = u8> {
    let mut state = u64::from(seed) << 1 | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(len)
}
