//! The RTP streams a publisher sends (RFC 3550): paced by their own clock, a frame as one run, sealed from a constant
//! payload behind a small head.
//!
//! What always holds: the packet rate does not depend on what is asked of the publisher: a keyframe has as many packets as
//! any other picture.

use std::time::{Duration, Instant};

use sfumato::transport::srtp::{MAX_OVERHEAD_BYTES, Outbound, Plain};
use sfumato::wire::rtcp::{SenderInfo, Writer};
use sfumato::wire::rtp::HeaderWriter;
use sfumato::wire::{PayloadType, Ssrc};

use super::format::{self, Kind};
use super::payload::{Head, Picture};
use crate::measure::Totals;
use crate::time::Now;

/// A level, as its extension says it: speech of a near speaker (RFC 6464): voice activity, 30 dB below overload.
const LEVEL: u8 = 0x80 | 30;
/// Longest packet, bytes: what fits the usual MTU with all that is around it.
pub const PACKET_BYTES: usize = 1_400;
/// Lateness that is caught up with.
const LATEST: Duration = Duration::from_millis(50);
/// The constant part of every payload: incompressible to look at, the same for all.
pub const FILLER: [u8; PACKET_BYTES] = {
    let mut bytes = [0; PACKET_BYTES];
    let (mut at, mut state) = (0, 0x2545_f491_u32);
    while at < bytes.len() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes[at] = state as u8;
        at += 1;
    }
    bytes
};

/// How a stream's packets are spread over time.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Between two bursts: a video frame or an audio packet.
    pub every: Duration,
    pub burst: u32,
    /// RTP header and payload, without what SRTP adds.
    pub packet_bytes: usize,
    /// The second half of a burst is a byte longer, as libwebrtc's packets of a frame are.
    pub uneven: bool,
}

/// One stream as negotiated.
#[derive(Clone, Debug)]
pub struct Publication {
    pub kind: Kind,
    pub mid: String,
    pub rid: Option<String>,
    /// Its place among simulcast encodings, low to high.
    pub encoding: u8,
    pub ssrc: u32,
    /// Ids of the header extensions that the server took.
    pub extensions: Vec<u8>,
    pub shape: Shape,
    /// Where in its interval the first burst lies: not all publishers send at once.
    pub phase: Duration,
}

pub struct SendStream {
    publication: Publication,
    payload_type: PayloadType,
    header: HeaderWriter,
    /// Extended; its lower half is on the wire.
    sequence: u64,
    timestamp: u32,
    due: Instant,
    picture: Picture,
    pub keyframe_wanted: bool,
    packets: u32,
    octets: u32,
    /// What payloads carry behind their heads.
    filler: Vec<u8>,
}

impl SendStream {
    pub fn new(now: Instant, publication: Publication) -> SendStream {
        let payload_type = match publication.kind {
            Kind::Audio => format::OPUS,
            Kind::Video => format::VP8,
        };
        SendStream {
            due: now + publication.phase,
            header: HeaderWriter::new(false, payload_type, 0, 0, Ssrc(publication.ssrc)),
            payload_type,
            // Below the half, so that the first rollover is unambiguous (RFC 3711, section 3.3.1).
            sequence: u64::from(rand::random::<u16>() >> 1),
            timestamp: rand::random(),
            picture: Picture {
                id: rand::random::<u16>() & 0x7fff,
                tl0_index: rand::random(),
                encoding: publication.encoding,
                ..Picture::default()
            },
            keyframe_wanted: true,
            packets: 0,
            octets: 0,
            filler: FILLER.to_vec(),
            publication,
        }
    }

    pub fn ssrc(&self) -> Ssrc {
        Ssrc(self.publication.ssrc)
    }

    /// From the next burst on.
    pub fn reshape(&mut self, kind: Kind, shape: Shape) {
        if self.publication.kind == kind {
            self.publication.shape = shape;
        }
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    /// Seals the burst that is due and hands it to `emit`, as runs of equal packets. `transport_sequence` is the
    /// connection's transport-wide number.
    pub fn send(
        &mut self,
        now: Now,
        outbound: &mut Outbound,
        transport_sequence: &mut u16,
        scratch: &mut Vec<u8>,
        totals: &mut Totals,
        mut emit: impl FnMut(&[u8], usize),
    ) {
        let Shape { every, burst, packet_bytes, uneven } = self.publication.shape;
        self.due += every;
        if self.due + LATEST < now.instant {
            // What could not be sent for so long is not made up for in a flood.
            totals.late_bursts += 1;
            self.due = now.instant;
        }
        self.picture.keyframe = std::mem::take(&mut self.keyframe_wanted);
        let longer_from = if uneven { burst.div_ceil(2) } else { burst };
        scratch.clear();
        for index in 0..burst {
            if index == longer_from {
                flush(scratch, longer_from, &mut emit);
            }
            self.picture.first = index == 0;
            let bytes = packet_bytes + usize::from(index >= longer_from);
            self.seal(now, index + 1 == burst, bytes, outbound, transport_sequence, scratch, totals);
        }
        flush(scratch, burst - if longer_from < burst { longer_from } else { 0 }, &mut emit);
        self.timestamp = self.timestamp.wrapping_add(self.ticks(every));
        self.picture.id = (self.picture.id + 1) & 0x7fff;
        self.picture.tl0_index = self.picture.tl0_index.wrapping_add(1);
    }

    fn ticks(&self, time: Duration) -> u32 {
        (u128::from(self.publication.kind.clock()) * time.as_micros() / 1_000_000) as u32
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one packet")]
    fn seal(
        &mut self,
        now: Now,
        last: bool,
        bytes: usize,
        outbound: &mut Outbound,
        transport_sequence: &mut u16,
        scratch: &mut Vec<u8>,
        totals: &mut Totals,
    ) {
        let Publication { kind, ssrc, .. } = self.publication;
        let marker = kind == Kind::Video && last;
        self.header.restart(marker, self.payload_type, self.sequence as u16, self.timestamp, Ssrc(ssrc));
        let Publication { extensions, mid, rid, .. } = &self.publication;
        let names = Names { mid, rid: rid.as_deref(), repaired: false };
        write_extensions(&mut self.header, extensions, names, now, transport_sequence);
        let header = self.header.finish();
        let mut head = match kind {
            Kind::Audio => Head::audio(now.unix),
            Kind::Video => Head::video(self.picture, now.unix),
        };
        let len = bytes.saturating_sub(header.len()).clamp(head.bytes_mut().len(), PACKET_BYTES);
        let payload = self.filler.get_mut(..len).unwrap_or_default();
        let packet = Plain { prefix: head.bytes_mut(), ..Plain::new(self.sequence, header, payload) };
        let start = scratch.len();
        scratch.resize(start + header.len() + len + MAX_OVERHEAD_BYTES, 0);
        let sealed = outbound.seal_rtp(packet, scratch.get_mut(start..).unwrap_or_default());
        scratch.truncate(start + sealed.unwrap_or(0));
        match sealed {
            Ok(_) => totals.sent_packets += 1,
            Err(_) => totals.send_errors += 1,
        }
        self.sequence += 1;
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(len as u32);
    }

    /// Appends what a sender tells once a second. Nothing before the first packet.
    pub fn report(&self, now: Now, writer: &mut Writer<'_>) {
        if self.packets == 0 {
            return;
        }
        let since_burst = (now.instant + self.publication.shape.every).saturating_duration_since(self.due);
        let burst_timestamp = self.timestamp.wrapping_sub(self.ticks(self.publication.shape.every));
        let info = SenderInfo {
            ssrc: self.ssrc(),
            ntp: now.ntp(),
            rtp_timestamp: burst_timestamp.wrapping_add(self.ticks(since_burst)),
            packets: self.packets,
            octets: self.octets,
        };
        writer.sender_report(&info, &[]);
    }
}

/// Hands over what is sealed: `count` packets of equal length.
fn flush(scratch: &mut Vec<u8>, count: u32, emit: &mut impl FnMut(&[u8], usize)) {
    if count > 0 && !scratch.is_empty() {
        emit(scratch, scratch.len() / count as usize);
    }
    scratch.clear();
}

/// How a packet names its stream.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub mid: &'a str,
    pub rid: Option<&'a str>,
    /// It is a retransmission: the rid is that of the stream it repairs (RFC 8852).
    pub repaired: bool,
}

/// Writes the header extensions of these ids. `transport_sequence` is the connection's transport-wide number.
pub fn write_extensions(
    header: &mut HeaderWriter,
    ids: &[u8],
    names: Names<'_>,
    now: Now,
    transport_sequence: &mut u16,
) {
    let rid_here = if names.repaired { format::REPAIRED_RID } else { format::RID };
    for id in ids {
        match *id {
            format::MID => header.extension(*id, names.mid.as_bytes()),
            id if id == rid_here => names.rid.is_none_or(|rid| header.extension(id, rid.as_bytes())),
            format::AUDIO_LEVEL => header.extension(*id, &[LEVEL]),
            format::ABS_SEND_TIME => header.extension(*id, &abs_send_time(now.unix)),
            format::TRANSPORT_CC => {
                let value = transport_sequence.to_be_bytes();
                *transport_sequence = transport_sequence.wrapping_add(1);
                header.extension(*id, &value)
            }
            _ => true,
        };
    }
}

/// Seconds modulo 64 with 18 binary digits after the point.
fn abs_send_time(unix: Duration) -> [u8; 3] {
    let fixed = (unix.as_nanos() << 18) / 1_000_000_000;
    let [_, a, b, c] = ((fixed & 0xff_ffff) as u32).to_be_bytes();
    [a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfumato::transport::srtp::{Profile, Srtp};
    use sfumato::wire::rtp::Header;

    fn publication(uneven: bool) -> Publication {
        Publication {
            kind: Kind::Video,
            mid: "1".to_owned(),
            rid: None,
            encoding: 0,
            ssrc: 77,
            extensions: vec![format::TRANSPORT_CC, format::MID],
            shape: Shape { every: Duration::from_millis(40), burst: 10, packet_bytes: 1_100, uneven },
            phase: Duration::ZERO,
        }
    }

    /// Runs of one burst: their length and that of a packet.
    fn burst(uneven: bool) -> Vec<(usize, usize)> {
        let mut srtp = Srtp::new(Profile::AeadAes128Gcm, &[7; 56], true).unwrap();
        let now = Now::read();
        let mut stream = SendStream::new(now.instant, publication(uneven));
        let (mut runs, mut transport, mut totals) = (Vec::new(), 65_530, Totals::default());
        stream.send(now, &mut srtp.outbound, &mut transport, &mut Vec::new(), &mut totals, |run, segment| {
            let header = Header::parse(&run[run.len() - segment..]).unwrap();
            assert_eq!(header.ssrc, Ssrc(77));
            runs.push((run.len(), segment));
        });
        assert_eq!((totals.sent_packets, transport), (10, 4), "the transport-wide number wraps");
        assert_eq!(stream.due(), now.instant + Duration::from_millis(40));
        runs
    }

    #[test]
    fn a_frame_is_one_run_of_packets_of_the_asked_size() {
        assert_eq!(burst(false), [(10 * 1_116, 1_116)]);
    }

    #[test]
    fn an_uneven_frame_is_two_runs_a_byte_apart() {
        assert_eq!(burst(true), [(5 * 1_116, 1_116), (5 * 1_117, 1_117)]);
    }

    #[test]
    fn abs_send_time_counts_seconds_modulo_64() {
        assert_eq!(abs_send_time(Duration::from_secs(1)), [0x04, 0, 0]);
        assert_eq!(abs_send_time(Duration::from_millis(64_500)), [0x02, 0, 0]);
    }
}
