//! What passes one direction of one path: counts by kind of packet, and a series for plots.
//!
//! What always holds: only clear headers are read; what is neither RTP nor RTCP is not counted, since handshakes are random.

use std::time::Duration;

use sfumato::wire::demux::{Protocol, classify};
use sfumato::wire::rtp::Header;
use sfumato_load::client::format;
use sfumato_load::link::Arrivals;

/// What a series is divided into.
pub const SLICE: Duration = Duration::from_millis(100);

/// Packets of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Passed {
    pub packets: u64,
    pub bytes: u64,
    pub lost: u64,
    pub lost_bytes: u64,
}

impl Passed {
    fn note(&mut self, bytes: usize, lost: bool) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.lost += u64::from(lost);
        self.lost_bytes += if lost { bytes as u64 } else { 0 };
    }

    pub fn arrived_bytes(&self) -> u64 {
        self.bytes - self.lost_bytes
    }
}

/// What passed in one [`SLICE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slice {
    pub video: Passed,
    pub repair: Passed,
    /// Longest time from being sent to arriving.
    pub delay: Duration,
}

#[derive(Clone, Debug, Default)]
pub struct Tap {
    pub audio: Passed,
    pub video: Passed,
    pub repair: Passed,
    pub control: Passed,
    pub slices: Vec<Slice>,
}

impl Tap {
    /// Gives what of the datagram belongs in a trace; `None` for what does not.
    pub fn note(&mut self, now: Duration, datagram: &[u8], arrivals: Arrivals) -> Option<[u64; 4]> {
        let (bytes, lost) = (datagram.len(), arrivals.is_lost());
        match classify(datagram)? {
            Protocol::Rtp => {}
            Protocol::Rtcp => {
                self.control.note(bytes, lost);
                return Some([0; 4]);
            }
            Protocol::Stun | Protocol::Dtls => return None,
        }
        let header = Header::parse(datagram).ok()?;
        let index = (now.as_micros() / SLICE.as_micros()) as usize;
        if self.slices.len() <= index {
            self.slices.resize(index + 1, Slice::default());
        }
        let slice = self.slices.get_mut(index)?;
        slice.delay = slice.delay.max(arrivals.first.map_or(Duration::ZERO, |at| at.saturating_sub(now)));
        match header.payload_type {
            format::VP8 => {
                self.video.note(bytes, lost);
                slice.video.note(bytes, lost);
            }
            format::RTX => {
                self.repair.note(bytes, lost);
                slice.repair.note(bytes, lost);
            }
            _ => self.audio.note(bytes, lost),
        }
        let kind = u64::from(header.payload_type.0) << 1 | u64::from(header.marker);
        Some([kind, header.sequence_number.into(), header.timestamp.into(), header.ssrc.0.into()])
    }
}
