//! One participant's end on its shard: transport, session, streams in and out, data channels, and its adaptor's ear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::allocation::Sharing;
use super::beat::{Beat, Due};
use super::data::Channels;
use super::downlink::Downlink;
use super::event_queue::EventSender;
use super::inbound::{Inbound, SourceKey};
use super::milestones::Progress;
use super::outbound::Outbound;
use super::send::{LocalEnd, Route};
use crate::congestion::feedback::ArrivalLog;
use crate::media::round_trip::RoundTrip;
use crate::negotiation::Session;
use crate::recorder::{Recorder, Subject};
use crate::room::command::DataProtocol;
use crate::room::participant::ParticipantKey;
use crate::telemetry::quality::SubscriptionCounts;
use crate::transport::Transport;
use crate::wire::Ssrc;

pub struct Peer {
    /// Who it is in its room.
    pub participant: ParticipantKey,
    /// Place of its room in the shard's table.
    pub room: usize,
    /// What the way to it takes; `None` until something is sent whose packets are numbered.
    pub downlink: Option<Box<Downlink>>,
    /// How that is shared out.
    pub sharing: Sharing,
    /// Names, for whoever looks into the call.
    pub subject: Subject,
    pub recorder: Recorder,
    pub transport: Transport,
    pub session: Session,
    pub inbound: Inbound,
    pub outbound: Outbound,
    pub channels: Channels,
    pub data_protocol: Arc<dyn DataProtocol>,
    pub events: EventSender,
    /// How far it has come on its way into the call.
    pub progress: Progress,
    /// Addresses that passed an authenticated check, with the local end they came to.
    pub paths: Vec<(SocketAddr, LocalEnd)>,
    /// Local ufrags under which checks find this peer.
    pub ufrags: Vec<String>,
    /// Sender of this server's RTCP towards the peer.
    pub rtcp_ssrc: Ssrc,
    pub next_report: Instant,
    /// Arrivals of what the peer sends, for transport-wide feedback.
    pub arrivals: ArrivalLog,
    /// How soon it answers requests for packets.
    pub round_trip: RoundTrip,
    /// When packets that are missing are looked at; `None` while none are.
    pub next_nack: Option<Instant>,
    /// When feedback is due; `None` while nothing arrived since the last.
    pub next_feedback: Option<Instant>,
    /// The last batch of packets that had something for the peer.
    pub last_batch: u64,
    /// Its subscriptions as they are counted.
    pub subscription_counts: SubscriptionCounts,
    /// Its room was asked to put it out.
    pub leaving: bool,
    /// An offer was answered.
    pub answered: bool,
    /// When its client should be able to take in what it was told of last; `None` once that was looked at.
    pub settled: Option<Instant>,
}

impl Peer {
    /// Where media goes now.
    pub fn route(&self) -> Option<Route> {
        self.route_to(self.transport.remote_address()?)
    }

    pub fn route_to(&self, to: SocketAddr) -> Option<Route> {
        let (_, local) = self.paths.iter().find(|(address, _)| *address == to)?;
        Some(Route { to, local: *local })
    }

    /// Reads what forwarding a packet of a source needs, and gives a number that follows from it (see [`SendStream::touch`]).
    ///
    /// [`SendStream::touch`]: crate::media::forward::SendStream::touch
    pub fn touch(&self, source: SourceKey) -> u64 {
        let Some(subscription) = self.outbound.get(source) else { return 0 };
        let downlink = self.downlink.as_ref().map_or(0, |downlink| downlink.touch());
        let path = self.paths.first().map_or(0, |(_, local)| local.socket as u64);
        subscription.stream.touch() ^ self.transport.touch(subscription.stream.target().ssrc) ^ downlink ^ path
    }

    /// Remembers where datagrams of an address arrive.
    pub fn learn_path(&mut self, from: SocketAddr, local: LocalEnd) {
        match self.paths.iter_mut().find(|(address, _)| *address == from) {
            Some(path) => path.1 = local,
            None => self.paths.push((from, local)),
        }
    }

    /// When to repeat a request for a packet. Until one was answered, what the peer's own reports say of the round trip is taken.
    pub fn retry_after(&self) -> Duration {
        let reported = self.outbound.subscriptions().filter_map(|subscription| subscription.stream.round_trip_time());
        self.round_trip.retry_after(reported.min())
    }

    /// Gives its client time to take media in: none is sent from a cache for so long.
    pub fn settle_until(&mut self, at: Instant) {
        self.settled = Some(self.settled.map_or(at, |before| before.max(at)));
    }

    pub fn is_settling(&self, now: Instant) -> bool {
        self.settled.is_some_and(|at| now < at)
    }

    /// When the peer wants to be called next: for what is in no hurry, on the beat.
    pub fn poll_timeout(&self, beat: Beat) -> Due {
        let transport = self.transport.poll_timeout();
        if !self.transport.is_connected() {
            return transport.unwrap_or(self.next_report).into();
        }
        let downlink = self.downlink.as_deref();
        let estimate = downlink.and_then(Downlink::poll_timeout);
        let waiting = [self.next_feedback, transport, estimate, self.sharing.poll_timeout()];
        let waiting = waiting.into_iter().flatten().fold(self.next_report, Instant::min);
        let urgent = [self.next_nack, self.settled, downlink.and_then(Downlink::next_send)];
        let waiting = beat.due(waiting);
        urgent.into_iter().flatten().min().filter(|at| *at < waiting.latest).map_or(waiting, Due::from)
    }
}
