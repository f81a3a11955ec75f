//! Encodings that stop and begin again, as a publisher's do that is told what is needed: how subscribers come to them, and
//! what the publisher is told.

use super::*;
use crate::room::model::{Layer, Quality, TrackId, Wanted};

pub(super) const LOW: (Ssrc, &[u8]) = (Ssrc(71), b"q");
pub(super) const HIGH: (Ssrc, &[u8]) = (Ssrc(72), b"f");

/// Anna publishes two encodings.
fn simulcast() -> World {
    simulcast_to(request("bert", "recvonly", Vec::new()))
}

pub(super) fn simulcast_to(bert: JoinRequest) -> World {
    let Offer { id, sdp } = offer("sendonly");
    let rids = "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
                a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n";
    let layers = vec![
        Layer { quality: Quality::Low, width: 320, height: 180 },
        Layer { quality: Quality::High, width: 1280, height: 720 },
    ];
    let camera = Announcement { layers, ..camera() };
    let annas = JoinRequest {
        offer: Some(Offer { id, sdp: sdp + rids }),
        announcements: vec![camera],
        ..room_tests::request("anna", room_tests::grants())
    };
    World::of(annas, bert)
}

impl World {
    /// One packet, a frame of its own, of an encoding.
    pub(super) fn send(&mut self, (ssrc, rid): (Ssrc, &[u8]), sequence: u16, keyframe: bool) {
        let mut writer = HeaderWriter::new(true, PayloadType(96), sequence, 3_000 * u32::from(sequence), ssrc);
        assert!(writer.extension(1, b"0") && writer.extension(2, rid));
        let mut payload = vec![0x10, u8::from(!keyframe), sequence as u8];
        let mut packet = vec![0; 200];
        let plain = Plain::new(u64::from(sequence), writer.finish(), &mut payload);
        let len = self.anna.1.outbound.seal_rtp(plain, &mut packet).unwrap();
        packet.truncate(len);
        self.receive(&mut [packet]);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.shard.handle_timeout(self.now);
    }

    /// The low encoding flows on for so long.
    fn low_alone(&mut self, from: u16, frames: u16) {
        for sequence in from..from + frames {
            self.wait(Duration::from_millis(100));
            self.send(LOW, sequence, false);
        }
    }

    fn berts_fills(&mut self) -> Vec<u8> {
        self.bert_received().into_iter().map(|(_, fill, _)| fill).collect()
    }

    /// Anna's camera, and the highest qualities she was told are needed of it, since the last look.
    fn annas_demand(&mut self) -> Vec<(TrackId, Option<Quality>)> {
        let told = std::iter::from_fn(|| self.events[0].try_recv().ok());
        let demand = told.filter_map(|event| match event {
            Event::LayersWanted { track, codecs } => Some((track, codecs[0].highest)),
            _ => None,
        });
        demand.collect()
    }

    fn bert_wants(&mut self, track: &TrackId, quality: Quality) {
        let command = Command::Want { tracks: vec![track.clone()], wanted: Wanted::quality(quality) };
        self.shard.handle_message(self.now, Message::Command { seat: SeatId(1), command });
    }

    pub(super) fn asked(&self) -> u64 {
        self.shard.counters.keyframe_requests_out.get()
    }
}

/// Bert sees the low encoding while the high one, which he is to see again, is paused.
fn high_paused() -> (World, TrackId) {
    let mut world = simulcast();
    world.send(LOW, 1, true);
    world.send(HIGH, 100, true);
    let told = world.annas_demand();
    let [(track, Some(Quality::High))] = told.as_slice() else { panic!("{told:?}") };
    world.bert_wants(track, Quality::Low);
    world.send(LOW, 2, true);
    world.low_alone(3, 60);
    assert_eq!(world.annas_demand(), [(track.clone(), Some(Quality::Low))]);
    world.bert_wants(track, Quality::High);
    assert_eq!(world.annas_demand(), [(track.clone(), Some(Quality::High))]);
    world.bert_received();
    (world, track.clone())
}

#[test]
fn an_encoding_that_begins_again_is_seen_from_its_own_keyframe_and_none_is_asked_for() {
    let (mut world, _) = high_paused();
    let asked = world.asked();
    world.send(LOW, 70, false);
    assert_eq!(world.berts_fills(), [70], "what flows goes on meanwhile");
    world.send(HIGH, 101, true);
    world.send(HIGH, 102, false);
    world.send(LOW, 71, false);
    assert_eq!(world.berts_fills(), [101, 102]);
    assert_eq!(world.asked(), asked);
}

#[test]
fn an_encoding_that_begins_again_without_a_keyframe_is_asked_for_one_and_waited_for() {
    let (mut world, _) = high_paused();
    let asked = world.asked();
    world.send(HIGH, 102, false);
    assert_eq!(world.asked(), asked + 1);
    world.send(LOW, 70, false);
    assert_eq!(world.berts_fills(), [70]);
    world.send(HIGH, 103, true);
    world.send(LOW, 71, false);
    assert_eq!(world.berts_fills(), [103]);
}

#[test]
fn a_newcomer_to_a_paused_track_is_seen_to_at_once() {
    let mut world = simulcast();
    world.send(LOW, 1, true);
    let track = world.annas_demand()[0].0.clone();
    world.shard.handle_message(world.now, Message::Gone { seat: SeatId(1) });
    (0..60).for_each(|_| world.wait(Duration::from_millis(100)));
    assert_eq!(world.annas_demand(), [(track.clone(), None)]);
    let (_events, cleo) =
        enter(&mut world.shard, world.now, 2, request("cleo", "recvonly", Vec::new()), Connected::new(3));
    assert_eq!(world.annas_demand(), [(track, Some(Quality::High))]);
    world.shard.outgoing().clear();
    world.bert = cleo;
    world.send(LOW, 2, true);
    assert_eq!(world.berts_fills(), [2], "from the first packet on");
}
