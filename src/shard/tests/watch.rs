//! Scenarios of what is told of media quality: each report once, freezes from the wish for a keyframe to the keyframe, layers, delays.

use super::super::source::Encoding;
use super::super::watch::shown;
use super::resend::{report, sealed_rtcp};
use super::*;
use crate::telemetry::histogram::Snapshot;
use crate::telemetry::quality::{Quality, ShownLayer};
use crate::wire::rtcp::{ReceptionReport, Writer};

const FRAME: Duration = Duration::from_millis(40);

/// Anna's camera at 25 pictures a second, as Bert watches it.
struct Watched {
    world: World,
    sequence: u16,
}

impl Watched {
    fn new() -> Watched {
        let mut watched = Watched { world: World::new(), sequence: 0 };
        // Their transports took the place of others, which wanted to be called later.
        for seat in [SeatId(0), SeatId(1)] {
            let key = watched.world.shard.peer_of(seat);
            watched.world.shard.arm_peer(key);
        }
        watched.frame(true);
        watched
    }

    fn frame(&mut self, keyframe: bool) {
        self.world.now += FRAME;
        self.world.shard.handle_timeout(self.world.now);
        self.sequence += 1;
        let packet = self.world.sealed(self.sequence, keyframe);
        self.world.receive(&mut [packet]);
        self.world.shard.outgoing().clear();
    }

    fn seconds(&mut self, seconds: u32) {
        (0..25 * seconds).for_each(|_| self.frame(false));
    }

    fn media(&self) -> Ssrc {
        let bert = self.world.shard.peer_of(SeatId(1));
        self.world.shard.peers[bert].outbound.subscriptions().next().unwrap().stream.target().ssrc
    }

    fn bert_wants_a_keyframe(&mut self) {
        let (media, mut compound) = (self.media(), Vec::new());
        let mut writer = Writer { out: &mut compound };
        writer.receiver_report(Ssrc(5), &[]);
        writer.picture_loss_indication(Ssrc(5), media);
        let datagram = sealed_rtcp(&mut self.world.bert, &compound);
        self.world.bert_sends(datagram);
    }

    fn quality(&self) -> &Quality {
        &self.world.shard.counters.quality
    }

    fn frozen(&self) -> Duration {
        Duration::from_micros(self.quality().frozen.get())
    }
}

/// How many values are above a bound and no higher than the next.
fn above(snapshot: &Snapshot, bound: f64) -> u64 {
    let index = snapshot.bounds.iter().position(|known| *known == bound).unwrap();
    snapshot.buckets[index + 1]
}

#[test]
fn a_subscribers_report_is_told_once_with_its_loss_and_jitter() {
    let mut watched = Watched::new();
    watched.seconds(1);
    let block = ReceptionReport {
        ssrc: watched.media().0,
        fraction_lost: 8, // 3 %
        jitter: 90 * 25,  // 25 ms
        ..ReceptionReport::default()
    };
    let mut compound = Vec::new();
    Writer { out: &mut compound }.receiver_report(Ssrc(5), &[block]);
    for _ in 0..3 {
        let datagram = sealed_rtcp(&mut watched.world.bert, &compound);
        watched.world.bert_sends(datagram);
    }
    let loss = watched.quality().sent.loss.snapshot();
    assert_eq!((loss.count(), above(&loss, 0.02)), (1, 1), "however often it is said");
    let jitter = watched.quality().sent.jitter.snapshot();
    assert_eq!((jitter.count(), above(&jitter, 0.02)), (1, 1));
    // No sender report was answered by it.
    assert_eq!(watched.quality().round_trip_time.snapshot().count(), 0);

    watched.seconds(1);
    let media = watched.media();
    let datagram = report(&mut watched.world.bert, &[(media, 0)]);
    watched.world.bert_sends(datagram);
    assert_eq!(watched.quality().sent.loss.snapshot().count(), 2);
    // Nothing was sent since: there is nothing to report on.
    watched.world.now += Duration::from_secs(1);
    let datagram = report(&mut watched.world.bert, &[(media, 0)]);
    watched.world.bert_sends(datagram);
    assert_eq!(watched.quality().sent.loss.snapshot().count(), 2);
}

#[test]
fn a_lie_about_jitter_weighs_no_more_than_ten_seconds() {
    let mut watched = Watched::new();
    let block = ReceptionReport { ssrc: watched.media().0, jitter: u32::MAX, ..ReceptionReport::default() };
    let mut compound = Vec::new();
    Writer { out: &mut compound }.receiver_report(Ssrc(5), &[block]);
    let datagram = sealed_rtcp(&mut watched.world.bert, &compound);
    watched.world.bert_sends(datagram);
    assert_eq!(watched.quality().sent.jitter.snapshot().sum, 10.0);
}

#[test]
fn what_a_publisher_sends_is_told_with_each_report_as_long_as_it_flows() {
    let mut watched = Watched::new();
    watched.seconds(5);
    // One packet of 25 is lost.
    watched.sequence += 1;
    watched.seconds(1);
    let loss = watched.quality().received.loss.snapshot();
    assert!((5..=6).contains(&loss.count()), "{loss:?}");
    assert_eq!(above(&loss, 0.02), 1, "{loss:?}");
    let told = loss.count();
    for _ in 0..5 {
        watched.world.now += Duration::from_secs(1);
        watched.world.shard.handle_timeout(watched.world.now);
    }
    assert!(watched.quality().received.loss.snapshot().count() <= told + 1, "silence is not told");
}

#[test]
fn a_freeze_is_counted_once_and_lasts_until_the_keyframe() {
    let mut watched = Watched::new();
    watched.bert_wants_a_keyframe();
    assert_eq!(watched.quality().freezes.get(), 0, "the keyframe is on its way to him");
    watched.seconds(6);
    watched.bert_wants_a_keyframe();
    watched.seconds(1);
    watched.bert_wants_a_keyframe();
    watched.seconds(1);
    assert_eq!(watched.quality().freezes.get(), 1);
    watched.frame(true);
    watched.bert_wants_a_keyframe();
    watched.seconds(2);
    assert_eq!(watched.quality().freezes.get(), 1, "it crossed the keyframe");
    assert_eq!(watched.frozen(), Duration::from_secs(2) + FRAME);
    watched.seconds(6);
    watched.bert_wants_a_keyframe();
    watched.seconds(2);
    assert_eq!(watched.quality().freezes.get(), 2);
    assert!(watched.frozen() > Duration::from_millis(2_900), "a long freeze is told while it lasts");
}

#[test]
fn a_picture_that_stopped_is_not_waited_for() {
    let mut watched = Watched::new();
    watched.seconds(6);
    watched.bert_wants_a_keyframe();
    for _ in 0..20 {
        watched.world.now += Duration::from_secs(1);
        watched.world.shard.handle_timeout(watched.world.now);
    }
    assert_eq!(watched.quality().freezes.get(), 1);
    assert!(watched.frozen() <= Duration::from_secs(1), "{:?}", watched.frozen());
}

#[test]
fn subscriptions_are_told_by_what_is_forwarded() {
    let mut watched = Watched::new();
    let count = |watched: &Watched, layer: &str| {
        watched.quality().layers.iter().find(|(known, _)| *known == layer).map(|(_, count)| count)
    };
    watched.seconds(2);
    assert_eq!((count(&watched, "single"), count(&watched, "none")), (Some(1), Some(0)));
    let bert = watched.world.shard.peer_of(SeatId(1));
    for subscription in watched.world.shard.peers[bert].outbound.subscriptions_mut() {
        subscription.stream.select(None);
    }
    watched.seconds(2);
    assert_eq!((count(&watched, "single"), count(&watched, "none")), (Some(0), Some(1)));
    let (now, gone) = (watched.world.now, Message::Gone { seat: SeatId(1) });
    watched.world.shard.handle_message(now, gone);
    assert_eq!(count(&watched, "none"), Some(0), "who leaves takes it along");
}

#[test]
fn layers_are_named_by_what_was_announced_else_by_their_place() {
    use crate::media::layers::{Layer, Quality as Named, Selection};
    let mut world = World::new();
    let bert = world.shard.peer_of(SeatId(1));
    let packet = world.sealed(1, true);
    world.receive(&mut [packet]);
    let source = &mut world.shard.rooms[0].sources[0];
    let stream = &mut world.shard.peers[bert].outbound.subscriptions_mut().next().unwrap().stream;
    assert_eq!(shown(source, stream), Some(ShownLayer::Single));
    source.encodings.push(Encoding::new(None));
    assert_eq!(shown(source, stream), Some(ShownLayer::Low));
    source.layers = [Named::Medium, Named::High].map(|quality| Layer { quality, width: 1, height: 1 }).to_vec();
    assert_eq!(shown(source, stream), Some(ShownLayer::Medium));
    stream.select(Some(Selection::all(0)));
    assert_eq!(shown(source, stream), Some(ShownLayer::Medium));
    stream.select(None);
    assert_eq!(shown(source, stream), Some(ShownLayer::None));
    source.kind = MediaKind::Audio;
    assert_eq!(shown(source, stream), None);
}

#[test]
fn the_age_of_what_was_forwarded_is_that_of_the_oldest_packet_somebody_got() {
    let mut world = World::new();
    assert_eq!(world.shard.take_oldest_sent(), None);
    let first = world.now;
    let arrival = Arrival { from: world.anna.0, socket: 0, local_ip: None };
    for sequence in 1..=3 {
        let mut packet = world.sealed(sequence, sequence == 1);
        world.shard.handle_datagram(world.now, arrival, &mut packet);
        world.now += Duration::from_micros(100);
    }
    while world.shard.forward(world.now) {}
    assert_eq!(world.shard.take_oldest_sent(), Some(first));
    assert_eq!(world.shard.take_oldest_sent(), None, "it is told once");
    // Nobody gets a stream that nobody watches.
    let bert = world.shard.peer_of(SeatId(1));
    world.shard.peers[bert].outbound.subscriptions_mut().for_each(|subscription| subscription.stream.select(None));
    let packet = world.sealed(4, false);
    world.receive(&mut [packet]);
    assert_eq!(world.shard.take_oldest_sent(), None);
}

#[test]
fn packets_are_counted_by_kind_both_ways() {
    use crate::telemetry::traffic::Kind;
    let mut watched = Watched::new();
    watched.seconds(2);
    watched.bert_wants_a_keyframe();
    let counters = &watched.world.shard.counters;
    let (received, sent) = (&counters.traffic.received, &counters.traffic.sent);
    assert_eq!(received.sum(&[Kind::Video]), (counters.packets_in.get(), counters.bytes_in.get()));
    assert_eq!(sent.sum(&[Kind::Video]), (counters.packets_out.get(), counters.bytes_out.get()));
    assert_eq!(sent.sum(&[Kind::Video]).0, 51);
    assert_eq!(received.sum(&[Kind::Rtcp]).0, 1);
    assert!(sent.sum(&[Kind::Rtcp]).0 >= 2, "reports to both each second");
    assert_eq!(sent.sum(&[Kind::Audio, Kind::Rtx]), (0, 0));
}
