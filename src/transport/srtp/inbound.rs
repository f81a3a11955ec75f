//! Opening what the peer sent (RFC 3711, section 3.3): rollover and replay state per SSRC.
//!
//! What always holds: an SSRC gets state only after one of its packets authenticated, and at most `limits::RECEIVE_STREAMS`
//! have it; a stream that made room for another resumes only above the highest index it had reached.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::cipher::Suite;
use super::replay::{Window, estimate_index};
use crate::limits;
use crate::transport::DropReason;

/// A stream that was silent for so long may make room for a new one: publishers that toggle a camera for hours use many
/// SSRCs, few at a time.
const IDLE: Duration = Duration::from_secs(10);
/// Streams that made room and whose highest index is still known, 16 bytes each.
const RETIRED_STREAMS: usize = 512;

/// The receiving half of an SRTP session.
pub struct Inbound {
    suite: Suite,
    rtp: Streams,
    rtcp: Streams,
}

impl Inbound {
    pub(super) fn new(suite: Suite) -> Inbound {
        Inbound { suite, rtp: Streams::default(), rtcp: Streams::default() }
    }

    /// Decrypts an SRTP packet in place and gives the length of the plain packet. `ssrc`, `sequence` and `header_len` are what
    /// its clear header says.
    pub fn open_rtp(
        &mut self,
        now: Instant,
        ssrc: u32,
        sequence: u16,
        header_len: usize,
        packet: &mut [u8],
    ) -> Result<usize, DropReason> {
        let place = self.rtp.place(now, ssrc)?;
        let index = estimate_index(self.rtp.highest(place, ssrc), sequence).ok_or(DropReason::SrtpReplayed)?;
        self.rtp.check(place, ssrc, index)?;
        let len = self.suite.open_rtp(ssrc, index, header_len, packet)?;
        self.rtp.accept(place, now, ssrc, index);
        Ok(len)
    }

    /// Decrypts an SRTCP packet in place and gives the length of the plain compound.
    pub fn open_rtcp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, DropReason> {
        let (ssrc, index) = self.suite.srtcp_index(packet)?;
        let place = self.rtcp.place(now, ssrc)?;
        self.rtcp.check(place, ssrc, index.into())?;
        let len = self.suite.open_rtcp(ssrc, index, packet)?;
        self.rtcp.accept(place, now, ssrc, index.into());
        Ok(len)
    }

    /// SSRCs with state: RTP and RTCP.
    #[cfg(test)]
    pub(super) fn streams(&self) -> (usize, usize) {
        (self.rtp.live.len(), self.rtcp.live.len())
    }
}

struct Stream {
    ssrc: u32,
    window: Window,
    used: Instant,
}

/// Where the state of an SSRC is, or would go once a packet authenticates.
#[derive(Clone, Copy)]
enum Place {
    Live(usize),
    New,
    Instead(usize),
}

#[derive(Default)]
struct Streams {
    live: Vec<Stream>,
    /// Where the last packet's stream was: packets come in runs.
    recent: usize,
    retired: VecDeque<(u32, u64)>,
}

impl Streams {
    fn place(&mut self, now: Instant, ssrc: u32) -> Result<Place, DropReason> {
        if self.live.get(self.recent).is_some_and(|stream| stream.ssrc == ssrc) {
            return Ok(Place::Live(self.recent));
        }
        if let Some(found) = self.live.iter().position(|stream| stream.ssrc == ssrc) {
            self.recent = found;
            return Ok(Place::Live(found));
        }
        if self.live.len() < limits::RECEIVE_STREAMS {
            return Ok(Place::New);
        }
        let oldest = self.live.iter().enumerate().min_by_key(|(_, stream)| stream.used);
        oldest
            .filter(|(_, stream)| now.saturating_duration_since(stream.used) >= IDLE)
            .map(|(at, _)| Place::Instead(at))
            .ok_or(DropReason::TooManyStreams)
    }

    fn retired(&self, ssrc: u32) -> Option<u64> {
        let found = self.retired.iter().rev().find(|(retired, _)| *retired == ssrc);
        found.map(|(_, highest)| *highest)
    }

    fn highest(&self, place: Place, ssrc: u32) -> Option<u64> {
        match place {
            Place::Live(at) => self.live.get(at).map(|stream| stream.window.highest()),
            Place::New | Place::Instead(_) => self.retired(ssrc),
        }
    }

    fn check(&self, place: Place, ssrc: u32, index: u64) -> Result<(), DropReason> {
        let fresh = match place {
            Place::Live(at) => self.live.get(at).is_none_or(|stream| stream.window.is_fresh(index)),
            Place::New | Place::Instead(_) => self.retired(ssrc).is_none_or(|highest| index > highest),
        };
        if fresh { Ok(()) } else { Err(DropReason::SrtpReplayed) }
    }

    /// Called once the packet has authenticated.
    fn accept(&mut self, place: Place, now: Instant, ssrc: u32, index: u64) {
        let at = match place {
            Place::Live(at) => at,
            Place::New => self.insert(now, ssrc, index),
            Place::Instead(at) => {
                let old = self.live.swap_remove(at);
                if self.retired.len() >= RETIRED_STREAMS {
                    self.retired.pop_front();
                }
                self.retired.push_back((old.ssrc, old.window.highest()));
                self.insert(now, ssrc, index)
            }
        };
        if let Some(stream) = self.live.get_mut(at) {
            stream.window.accept(index);
            stream.used = now;
        }
    }

    fn insert(&mut self, now: Instant, ssrc: u32, index: u64) -> usize {
        let window = match self.retired(ssrc) {
            Some(highest) => Window::after(highest),
            None => Window::starting_at(index),
        };
        self.retired.retain(|(retired, _)| *retired != ssrc);
        // Most peers have one stream, or one of a kind: no room for more in advance.
        if self.live.len() == self.live.capacity() {
            self.live.reserve_exact(1 + self.live.len() / 2);
        }
        self.live.push(Stream { ssrc, window, used: now });
        self.recent = self.live.len() - 1;
        self.recent
    }
}
