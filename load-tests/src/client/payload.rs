//! What synthetic packets carry: codec headers that a server reads (RFC 7741 for VP8, RFC 6716 for Opus' first byte), and
//! behind them a stamp that tells a receiver when the packet was sent.
//!
//! What always holds: a payload's first [`HEAD_BYTES`] bytes hold all that differs from packet to packet.

use std::time::Duration;

use super::format::Kind;

/// Marks a stamp, so that a payload that was damaged or moved is not taken for one.
const MAGIC: u32 = 0x5f0a_10ad;
/// Marker, encoding, and time: nanoseconds of Unix time.
const STAMP_BYTES: usize = 13;
/// VP8 payload descriptor with a 15-bit picture id, TL0PICIDX and TID.
const DESCRIPTOR_BYTES: usize = 6;
/// VP8 payload header, start code and size of a keyframe (RFC 6386, section 9.1); there in every packet.
const FRAME_BYTES: usize = 10;
/// Opus in CELT mode, fullband, 20 ms, mono, one frame.
const OPUS_TOC: u8 = 0xf8;

/// Head of a video payload, the longer one.
pub const HEAD_BYTES: usize = DESCRIPTOR_BYTES + FRAME_BYTES + STAMP_BYTES;

/// Where in a VP8 stream a packet is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture {
    pub id: u16,
    pub tl0_index: u8,
    pub keyframe: bool,
    /// The picture's first packet.
    pub first: bool,
    /// Which simulcast encoding it is of, low to high.
    pub encoding: u8,
}

/// What a receiver reads back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Since the Unix epoch.
    pub sent: Duration,
    pub encoding: u8,
}

/// The first bytes of a payload.
pub struct Head {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Head {
    pub fn audio(sent: Duration) -> Head {
        let mut head = Head { bytes: [0; HEAD_BYTES], len: 0 };
        head.put(&[OPUS_TOC]);
        head.stamp(0, sent);
        head
    }

    pub fn video(picture: Picture, sent: Duration) -> Head {
        let mut head = Head { bytes: [0; HEAD_BYTES], len: 0 };
        let start = if picture.first { 0x10 } else { 0 };
        let [high, low] = (picture.id | 0x8000).to_be_bytes();
        head.put(&[0x80 | start, 0xe0, high, low, picture.tl0_index, 0]);
        match (picture.first, picture.keyframe) {
            // Shown keyframe, start code, 640 x 480.
            (true, true) => head.put(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01]),
            (true, false) => head.put(&[0x11, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (false, _) => head.put(&[0xff; FRAME_BYTES]),
        }
        head.stamp(picture.encoding, sent);
        head
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }

    fn stamp(&mut self, encoding: u8, sent: Duration) {
        self.put(&MAGIC.to_be_bytes());
        self.put(&[encoding]);
        self.put(&nanoseconds(sent).to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            slot.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }
}

/// Reads a payload's stamp; `None` for one that is not as it was made.
pub fn stamp(kind: Kind, payload: &[u8]) -> Option<Stamp> {
    let at = match kind {
        Kind::Audio => 1,
        Kind::Video => DESCRIPTOR_BYTES + FRAME_BYTES,
    };
    let (magic, rest) = payload.get(at..at + STAMP_BYTES)?.split_first_chunk()?;
    let (encoding, sent) = rest.split_first()?;
    let sent = Duration::from_nanos(u64::from_be_bytes(sent.try_into().ok()?));
    (u32::from_be_bytes(*magic) == MAGIC).then_some(Stamp { sent, encoding: *encoding })
}

/// Nanoseconds that fit 64 bits until the year 2554.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfumato::wire::codec::vp8;

    const SENT: Duration = Duration::from_nanos(1_795_000_000_123_456_789);

    #[test]
    fn a_stamp_is_read_back_from_both_kinds() {
        assert_eq!(stamp(Kind::Audio, Head::audio(SENT).bytes_mut()), Some(Stamp { sent: SENT, encoding: 0 }));
        let picture = Picture { id: 0x7fff, tl0_index: 255, encoding: 2, ..Picture::default() };
        let read = stamp(Kind::Video, Head::video(picture, SENT).bytes_mut());
        assert_eq!(read, Some(Stamp { sent: SENT, encoding: 2 }));
    }

    #[test]
    fn a_damaged_or_short_payload_has_no_stamp() {
        let mut head = Head::audio(SENT);
        let mut damaged = head.bytes_mut().to_vec();
        damaged[1] ^= 1;
        assert_eq!(stamp(Kind::Audio, &damaged), None);
        assert_eq!(stamp(Kind::Video, head.bytes_mut()), None, "the stamp lies elsewhere");
        for len in 0..head.bytes_mut().len() {
            assert_eq!(stamp(Kind::Audio, &head.bytes_mut()[..len]), None);
        }
    }

    #[test]
    fn a_server_reads_the_picture_and_finds_only_keyframes_first_packets() {
        for (first, keyframe) in [(true, true), (true, false), (false, true), (false, false)] {
            let picture = Picture { id: 300, tl0_index: 9, keyframe, first, encoding: 0 };
            let mut head = Head::video(picture, SENT);
            let read = vp8::parse(head.bytes_mut()).unwrap();
            assert_eq!((read.picture_id, read.tl0_pic_idx, read.temporal_id), (Some(300), Some(9), Some(0)));
            assert_eq!(usize::from(read.len), DESCRIPTOR_BYTES);
            assert_eq!(vp8::starts_keyframe(&read, head.bytes_mut()), first && keyframe);
        }
    }
}
