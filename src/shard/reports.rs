//! RTCP both ways (RFC 3550, section 6; RFC 4585), keyframe requests, and what is measured for the room.

use std::time::{Duration, Instant};

use super::inbound::SourceKey;
use super::leg::{Origin, Report as HostReport, RoomKey};
use super::outbound::Subscription;
use super::resend::nacked_numbers;
use super::source::Source;
use super::timers::Owner;
use super::{Arrival, Shard};
use crate::limits;
use crate::media::forward::Viewer;
use crate::media::keyframe::Wish;
use crate::media::receive::ReceiveStream;
use crate::negotiation::MediaKind;
use crate::recorder::decisions::Decision;
use crate::recorder::headers::{self, Direction};
use crate::room::quality::MeasuredNetwork;
use crate::room::speakers::MeasuredLevel;
use crate::telemetry::quality::PathQuality;
use crate::telemetry::traffic::Kind;
use crate::transport::DropReason;
use crate::wire::Ssrc;
use crate::wire::rtcp::{REPORTS_PER_BLOCK, ReceptionReport, Report, Writer, read};

/// How often reports are sent to each peer. Browsers do so about once a second; loss and round-trip time of connection
/// quality are as fresh as this.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Compounds are ended at this size, bytes, to stay under the path MTU with SRTCP's overhead.
pub(super) const COMPOUND_BYTES: usize = 1_100;

impl Shard {
    pub(super) fn handle_rtcp(
        &mut self,
        now: Instant,
        arrival: Arrival,
        datagram: &mut [u8],
    ) -> Result<(), DropReason> {
        let key = self.owner(&arrival)?;
        let peer = self.peers.get_mut(key).ok_or(DropReason::UnknownAddress)?;
        let len = peer.transport.open_rtcp(now, datagram)?;
        self.counters.traffic.received.count(Kind::Rtcp, 1, datagram.len() as u64);
        let compound = datagram.get(..len).ok_or(DropReason::Malformed)?;
        peer.recorder.packet(now, Direction::Received, headers::Kind::Rtcp, compound, len);
        let mut nacked = limits::NACKED_PACKETS;
        for report in read(compound) {
            match report {
                Report::Nack { media, packet_id, bitmask } => {
                    self.resend(now, key, media, nacked_numbers(packet_id, bitmask), &mut nacked);
                }
                other => self.handle_report(now, key, other),
            }
        }
        Ok(())
    }

    fn handle_report(&mut self, now: Instant, key: usize, report: Report<'_>) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        match report {
            Report::Sender(info) => {
                let Some(entry) = self.rooms.get_mut(peer.room) else {
                    return;
                };
                for source in peer.inbound.sources() {
                    if let Some(stream) = entry.sources.get_mut(source).and_then(|s| s.stream_of(info.ssrc)) {
                        stream.handle_sender_report(now, &info);
                    }
                }
            }
            Report::Reception { report, .. } => {
                let speaks = peer.inbound.sources().next().is_some();
                let viewer = if speaks { Viewer::Speaks } else { Viewer::Watches };
                if let Some(subscription) = peer.outbound.by_ssrc(Ssrc(report.ssrc)) {
                    let round_trip = subscription.stream.handle_report(now, &report);
                    if subscription.stream.target().ssrc.0 == report.ssrc {
                        let before = subscription.stream.held_back();
                        subscription.stream.hold_back(now, viewer);
                        peer.recorder.held_back(now, &subscription.stream, before);
                        subscription.observe(now, round_trip, &self.counters.quality);
                    }
                }
            }
            Report::KeyframeRequest { media, fir } => {
                self.counters.keyframe_requests_in.add(1);
                self.counters.firs_in.add(fir.into());
                let mut subscription = peer.outbound.by_ssrc(media);
                if let Some(subscription) = &mut subscription {
                    subscription.tally.keyframe_requests += 1;
                    let freezes = subscription.note_keyframe_request(now, &self.counters.quality);
                    peer.recorder.keyframe_requested(now, subscription.stream.target().ssrc, freezes);
                }
                let needed = subscription.and_then(|s| Some((s.source, s.keyframe_needed()?, s.stream.wish(now))));
                if let Some((source, encoding, wish)) = needed {
                    let room = peer.room;
                    self.request_keyframe(now, room, source, encoding, wish);
                }
            }
            Report::TransportFeedback { fci } => self.learn_downlink(now, key, fci),
            // Every client that estimates by itself sends the other feedback too where it was negotiated; a BYE says nothing that the session
            // does not; what is lost was sent again.
            Report::Nack { .. } | Report::Remb { .. } | Report::Bye { .. } => {}
        }
    }

    /// A subscriber needs a keyframe: asks the publisher, unless that was just done.
    pub(super) fn request_keyframe(
        &mut self,
        now: Instant,
        room: usize,
        source: SourceKey,
        encoding: usize,
        wish: Wish,
    ) {
        let Some(source) = self.rooms.get_mut(room).and_then(|entry| entry.sources.get_mut(source)) else {
            return;
        };
        let publisher = match source.origin {
            Origin::Peer(publisher) => publisher,
            Origin::Shard(shard) => return self.links.request_keyframe(shard, source.id, encoding, wish),
        };
        let Some(encoding) = source.encodings.get_mut(encoding) else {
            return;
        };
        let Some(ssrc) = encoding.stream.as_ref().map(ReceiveStream::ssrc) else {
            return;
        };
        if encoding.keyframes.request(now, wish) {
            encoding.tally.keyframes_asked += 1;
            self.send_picture_loss_indication(now, publisher, ssrc);
        } else if let Some(at) = encoding.keyframes.poll_timeout() {
            self.timers.arm(Owner::Peer(publisher), at);
        }
    }

    pub(super) fn send_picture_loss_indication(&mut self, now: Instant, publisher: usize, media: Ssrc) {
        let Some(peer) = self.peers.get_mut(publisher) else { return };
        peer.recorder.decided(now, Some(media), Decision::KeyframeAsked { times: 1 });
        let sender = peer.rtcp_ssrc;
        self.counters.keyframe_requests_out.add(1);
        self.scratch.clear();
        let mut writer = Writer { out: &mut self.scratch };
        writer.receiver_report(sender, &[]);
        writer.picture_loss_indication(sender, media);
        self.send_compound(now, publisher);
    }

    /// Seals what is in `scratch` and sends it; nothing where there is no way to the peer yet.
    pub(super) fn send_compound(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(route) = peer.route().filter(|_| peer.transport.is_connected()) else {
            return;
        };
        self.sealed.clear();
        match peer.transport.seal_rtcp(&self.scratch, &mut self.sealed) {
            Ok(()) => {
                self.counters.traffic.sent.count(Kind::Rtcp, 1, self.sealed.len() as u64);
                peer.recorder.packet(now, Direction::Sent, headers::Kind::Rtcp, &self.scratch, self.scratch.len());
                self.batch.push_bytes(route, &self.sealed);
            }
            Err(reason) => self.counters.dropped.count(reason),
        }
    }

    /// The periodic reports to one peer, and what is looked at as often.
    pub(super) fn report_to_peer(&mut self, now: Instant, key: usize) {
        self.send_reports(now, key);
        self.observe_subscriptions(now, key);
        self.sample(now, key);
        self.request_awaited_keyframes(now, key);
    }

    fn send_reports(&mut self, now: Instant, key: usize) {
        let ntp = self.wall.ntp(now);
        let Some(peer) = self.peers.get_mut(key) else { return };
        let (rtcp_ssrc, room) = (peer.rtcp_ssrc, peer.room);
        let report = |subscription: &mut Subscription| {
            Some((subscription.stream.sender_report(now, ntp)?, subscription.publisher.clone()))
        };
        let senders: Vec<_> = peer.outbound.subscriptions_mut().filter_map(report).collect();
        let receptions = self.receptions(now, key, room);
        self.scratch.clear();
        for (info, cname) in &senders {
            if self.scratch.len() >= COMPOUND_BYTES {
                self.end_compound(now, key, rtcp_ssrc);
            }
            let mut writer = Writer { out: &mut self.scratch };
            writer.sender_report(info, &[]);
            writer.cname(info.ssrc, cname.as_str());
        }
        for reports in receptions.chunks(REPORTS_PER_BLOCK) {
            if self.scratch.len() >= COMPOUND_BYTES / 2 {
                self.end_compound(now, key, rtcp_ssrc);
            }
            Writer { out: &mut self.scratch }.receiver_report(rtcp_ssrc, reports);
        }
        if !self.scratch.is_empty() {
            self.end_compound(now, key, rtcp_ssrc);
        }
    }

    fn end_compound(&mut self, now: Instant, key: usize, rtcp_ssrc: Ssrc) {
        Writer { out: &mut self.scratch }.cname(rtcp_ssrc, "sfumato");
        self.send_compound(now, key);
        self.scratch.clear();
    }

    /// Tells the peer when its packets arrived, so that it finds the rate of its uplink.
    pub(super) fn send_transport_feedback(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.next_feedback = None;
        let sender = peer.rtcp_ssrc;
        while let Some(feedback) = self.peers.get_mut(key).and_then(|peer| peer.arrivals.feedback(sender)) {
            self.scratch.clear();
            Writer { out: &mut self.scratch }.receiver_report(sender, &[]);
            feedback.write(&mut self.scratch);
            self.send_compound(now, key);
        }
    }

    /// Report blocks about what the peer sends.
    fn receptions(&mut self, now: Instant, key: usize, room: usize) -> Vec<ReceptionReport> {
        let (Some(peer), Some(entry)) = (self.peers.get(key), self.rooms.get_mut(room)) else {
            return Vec::new();
        };
        let mut reports = Vec::new();
        for source in peer.inbound.sources() {
            let Some(source) = entry.sources.get_mut(source) else {
                continue;
            };
            let streams = source.encodings.iter_mut().filter_map(|encoding| encoding.stream.as_mut());
            reports.extend(streams.map(|stream| {
                let report = stream.report(now);
                observe(now, stream, &self.counters.quality.received);
                report
            }));
        }
        reports
    }

    /// Requests that the gates held back and whose time has come.
    pub(super) fn repeat_keyframe_requests(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get(key) else { return };
        let Some(entry) = self.rooms.get_mut(peer.room) else {
            return;
        };
        let mut due = Vec::new();
        for source in peer.inbound.sources() {
            let Some(source) = entry.sources.get_mut(source) else {
                continue;
            };
            for encoding in &mut source.encodings {
                if encoding.keyframes.poll(now) {
                    encoding.tally.keyframes_asked += 1;
                    due.extend(encoding.stream.as_ref().map(ReceiveStream::ssrc));
                }
            }
        }
        for ssrc in due {
            self.send_picture_loss_indication(now, key, ssrc);
        }
    }

    /// Asks for the keyframes a subscriber waits for: when it connects, and again as long as none came.
    pub(super) fn request_awaited_keyframes(&mut self, now: Instant, key: usize) {
        let Some(peer) = self.peers.get(key).filter(|peer| peer.transport.is_connected()) else {
            return;
        };
        let room = peer.room;
        let awaited: Vec<_> = peer
            .outbound
            .subscriptions()
            .filter_map(|subscription| Some((subscription.source, subscription.stream.awaits_keyframe()?)))
            .collect();
        for (source, encoding) in awaited {
            self.begin_picture(now, room, key, source, encoding);
        }
    }

    /// Chooses one subscriber's encoding anew, and asks for the keyframe a switch needs.
    pub(super) fn select_layer(&mut self, now: Instant, room: usize, subscriber: usize, source: SourceKey) {
        if let Some(needed) = self.reselect(now, room, subscriber, source) {
            self.begin_picture(now, room, subscriber, source, needed);
        }
    }

    /// Chooses one subscriber's encoding anew. Gives the encoding a keyframe is needed of.
    fn reselect(&mut self, now: Instant, room: usize, subscriber: usize, source: SourceKey) -> Option<usize> {
        let peer = self.peers.get_mut(subscriber)?;
        let entry = self.rooms.get(room)?;
        let subscription = peer.outbound.get_mut(source)?;
        let before = subscription.stream.chosen();
        let needed = subscription.select(entry.sources.get(source)?);
        peer.recorder.chosen(now, &subscription.stream, before);
        peer.transport.is_connected().then_some(needed?)
    }

    /// Chooses encodings anew for the sources of a room of which one began or ceased to flow.
    pub(super) fn review_layers(&mut self, now: Instant, room: usize) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        let room_key = entry.key;
        let mut affected = Vec::new();
        let mut began = Vec::new();
        for (key, source) in &mut entry.sources {
            if source.kind == MediaKind::Video {
                source.look_for_silence(now);
                if std::mem::take(&mut source.began) && matches!(source.origin, Origin::Peer(_)) {
                    began.push((source.track.clone(), source.rendition));
                }
            }
            if source.layers_changed {
                let opened = source.take_opened();
                affected.extend(source.subscribers.iter().map(|subscriber| (*subscriber, key, opened)));
            }
        }
        self.relimit(now, &mut affected);
        for (subscriber, source, opened) in affected {
            // The keyframe that an encoding begins with need not be asked for.
            if let Some(needed) = self.reselect(now, room, subscriber, source).filter(|needed| Some(*needed) != opened)
            {
                self.begin_picture(now, room, subscriber, source, needed);
            }
        }
        for (track, rendition) in began {
            self.report(now, room_key, HostReport::Flows { track, rendition });
        }
    }

    /// Where subscribers get something else of one source, their ways may be shared out otherwise: adds what changes by that.
    fn relimit(&mut self, now: Instant, affected: &mut Vec<(usize, SourceKey, Option<usize>)>) {
        let mut subscribers: Vec<usize> = affected.iter().map(|(subscriber, ..)| *subscriber).collect();
        subscribers.sort_unstable();
        subscribers.dedup();
        for subscriber in subscribers {
            let changed = self.set_limits_unless_comfortable(now, subscriber);
            affected.extend(changed.into_iter().map(|source| (subscriber, source, None)));
        }
        affected.sort_unstable();
        affected.dedup_by(|(subscriber, source, opened), (kept_subscriber, kept_source, kept_opened)| {
            let same = (*subscriber, *source) == (*kept_subscriber, *kept_source);
            if same {
                *kept_opened = kept_opened.or(*opened);
            }
            same
        });
    }

    /// Tells the room's home how loud and how well connected the participants here are, and looks at layers as often.
    pub(super) fn measure(&mut self, now: Instant, key: RoomKey, levels: bool, networks: bool) {
        let Some(room) = self.by_key.get(&key).copied() else { return };
        if levels {
            let levels = self.levels(now, room);
            self.report(now, key, HostReport::Levels(levels));
            self.review_layers(now, room);
        }
        if networks {
            let networks = self.networks(room);
            self.report(now, key, HostReport::Networks(networks));
        }
    }

    fn levels(&mut self, now: Instant, room: usize) -> Vec<MeasuredLevel> {
        let Some(entry) = self.rooms.get_mut(room) else { return Vec::new() };
        let here = entry.sources.iter_mut().map(|(_, source)| source);
        let audio = here.filter(|source| source.kind == MediaKind::Audio && matches!(source.origin, Origin::Peer(_)));
        let measured = audio.map(|source| (source.publisher, source.level.level(now)));
        let audible = measured.filter(|(_, level)| *level > 0.0);
        audible.map(|(participant, level)| MeasuredLevel { participant, level }).collect()
    }

    fn networks(&self, room: usize) -> Vec<MeasuredNetwork> {
        let Some(entry) = self.rooms.get(room) else { return Vec::new() };
        let mut networks = Vec::new();
        for key in &entry.peers {
            let Some(peer) = self.peers.get(*key) else { continue };
            let received = peer.outbound.subscriptions().filter(|s| s.stream.current().is_some()).map(|subscription| {
                // What the publisher's path lost for good passes through and is not the subscriber's.
                let source = entry.sources.get(subscription.source).map_or(0.0, Source::loss_passed_on);
                (subscription.loss() - source).max(0.0)
            });
            let sent = peer.inbound.sources().filter_map(|source| entry.sources.get(source)).map(Source::loss);
            let round_trips = peer.outbound.subscriptions().filter_map(|s| s.stream.round_trip_time());
            networks.push(MeasuredNetwork {
                participant: peer.participant,
                loss: received.chain(sent).fold(0.0, f32::max),
                round_trip_time: round_trips.min(),
            });
        }
        networks
    }
}

/// A stream was reported on. Of one that pauses there is nothing to tell.
fn observe(now: Instant, stream: &ReceiveStream, quality: &PathQuality) {
    let flows = stream.last_arrival().is_some_and(|last| now.saturating_duration_since(last) < REPORT_INTERVAL);
    if flows {
        quality.loss.observe(f64::from(stream.fraction_lost()) / 256.0);
        quality.jitter.observe_duration(stream.jitter());
    }
}
