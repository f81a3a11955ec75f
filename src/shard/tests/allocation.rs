//! What a subscriber's way takes, shared out: which encoding it gets of a simulcast publisher when that changes.

use super::pacing::numbered;
use super::paused_layers::{HIGH, LOW, simulcast_to};
use super::*;
use crate::congestion::bitrate::Bitrate;

const MS: Duration = Duration::from_millis(1);
/// Between two packets of each encoding.
const STEP: Duration = Duration::from_millis(20);

/// Anna sends two encodings of about 100 and 420 kbit/s to whoever watches, and keyframes when she is asked for some.
struct Call {
    world: World,
    sequence: u16,
    asked: u64,
}

impl Call {
    fn new() -> Call {
        let mut call = Call { world: simulcast_to(numbered("bert")), sequence: 0, asked: 0 };
        call.step(true);
        call.world.bert_received();
        call
    }

    fn step(&mut self, keyframe: bool) {
        self.sequence += 1;
        for (stream, len) in [(LOW, 190), (HIGH, 990)] {
            let packet = part(&mut self.world.anna, stream, self.sequence, keyframe, len);
            self.world.receive(&mut [packet]);
        }
    }

    /// Lets time pass. Gives what Bert got meanwhile: how often the low and the high encoding.
    fn passes(&mut self, time: Duration) -> (usize, usize) {
        let (end, mut low, mut high) = (self.world.now + time, 0, 0);
        while self.world.now < end {
            self.world.now += STEP;
            self.world.shard.handle_timeout(self.world.now);
            let asked = self.world.asked();
            let wanted = std::mem::replace(&mut self.asked, asked) != asked;
            self.step(wanted);
            for (.., len) in self.world.bert_received() {
                if len < 500 { low += 1 } else { high += 1 }
            }
        }
        (low, high)
    }

    /// Bert's way takes so much from now on.
    fn takes(&mut self, kbps: u64) {
        let bert = self.world.shard.peer_of(SeatId(1));
        let downlink = self.world.shard.peers[bert].downlink.as_deref_mut();
        downlink.unwrap().assumed = Some(Bitrate::from_kbps(kbps));
        self.world.shard.share_if_due(self.world.now, bert);
    }
}

/// One packet, a frame of its own, of an encoding.
fn part(from: &mut End, (ssrc, rid): (Ssrc, &[u8]), sequence: u16, keyframe: bool, len: usize) -> Vec<u8> {
    let mut writer = HeaderWriter::new(true, PayloadType(96), sequence, 1_800 * u32::from(sequence), ssrc);
    assert!(writer.extension(1, b"0") && writer.extension(2, rid));
    let mut payload = vec![0x10, u8::from(!keyframe)];
    payload.resize(len, 0);
    let mut packet = vec![0; 2_048];
    let plain = Plain::new(u64::from(sequence), writer.finish(), &mut payload);
    let len = from.1.outbound.seal_rtp(plain, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

#[test]
fn a_narrow_way_gets_the_low_encoding_and_a_wide_one_the_high_one_again_after_a_while() {
    let mut call = Call::new();
    assert_eq!(call.passes(2_000 * MS), (0, 100), "the start is enough");
    call.takes(300);
    let (low, high) = call.passes(200 * MS);
    assert!(low >= 8 && high <= 2, "down at once: {low} low, {high} high");
    assert_eq!(call.passes(2_000 * MS), (100, 0));
    call.takes(440);
    assert_eq!(call.passes(3_000 * MS), (150, 0), "the margin is not there");
    call.takes(600);
    let (low, high) = call.passes(3_000 * MS);
    assert!((50..70).contains(&low) && low + high >= 150, "a second later: {low} low, {high} high");
}

#[test]
fn whose_way_is_narrow_changes_nothing_for_others() {
    let mut call = Call::new();
    let cleo = request("cleo", "recvonly", Vec::new());
    let (_events, mut cleo) = enter(&mut call.world.shard, call.world.now, 2, cleo, Connected::new(3));
    call.passes(2_000 * MS);
    call.takes(300);
    let mut high = 0;
    for _ in 0..100 {
        call.world.now += STEP;
        call.world.shard.handle_timeout(call.world.now);
        call.step(false);
        let got = received(&mut call.world.shard, call.world.now, &mut cleo);
        high += got.iter().filter(|(.., len)| *len > 500).count();
        call.world.shard.outgoing().clear();
    }
    assert_eq!(high, 100, "every packet of the high encoding");
}

#[test]
fn the_first_layers_fit_the_start_and_what_is_not_numbered_has_no_limit() {
    let mut call = Call::new();
    call.takes(250);
    call.passes(1_000 * MS);
    let bert = call.world.shard.peer_of(SeatId(1));
    let chosen = |call: &Call| call.world.shard.peers[bert].outbound.subscriptions().next().unwrap().stream.chosen();
    assert_eq!(chosen(&call).unwrap().encoding, 0);
    call.world.shard.peers[bert].downlink = None;
    call.world.shard.share_out(call.world.now, bert);
    assert_eq!(chosen(&call).unwrap().encoding, 1);
}

const AUDIO: (Ssrc, &[u8], u8) = (Ssrc(80), b"0", 111);
const CAMERA: (Ssrc, &[u8], u8) = (Ssrc(81), b"1", 96);
const SCREEN: (Ssrc, &[u8], u8) = (Ssrc(82), b"2", 96);

/// An offer of one audio section and two of video.
fn three_sections(direction: &str, numbered: bool) -> Offer {
    let Offer { id, sdp } = offer(direction);
    let (session, video) = sdp.split_once("m=video").unwrap();
    let session = session.replace("BUNDLE 0", "BUNDLE 0 1 2");
    let number = "a=rtcp-fb:96 transport-cc\r\n\
                  a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
    let number = if numbered { number } else { "" };
    let of = |mid: u8, track: &str| {
        let video = video.replace("mid:0", &format!("mid:{mid}")).replace("msid:s cam", &format!("msid:s {track}"));
        format!("m=video{video}{number}")
    };
    let audio = of(0, "mic").replace("m=video", "m=audio").replace("96 VP8/90000", "111 opus/48000/2");
    let audio = audio.replace("SAVPF 96", "SAVPF 111").replace(number, "");
    Offer { id, sdp: format!("{session}{audio}{}{}", of(1, "cam"), of(2, "screen")) }
}

/// Anna speaks and sends a camera and a screen, each of one encoding of about 410 kbit/s.
struct Talk {
    world: World,
    sequence: u16,
    asked: u64,
}

/// Packets Bert was sent so far.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sent {
    audio: u64,
    camera: u64,
    screen: u64,
}

impl Talk {
    fn new() -> Talk {
        let microphone = Announcement {
            client_id: "mic".to_owned(),
            kind: MediaKind::Audio,
            source: TrackSource::Microphone,
            ..camera()
        };
        let screen = Announcement { client_id: "screen".to_owned(), source: TrackSource::ScreenShare, ..camera() };
        let annas = JoinRequest {
            offer: Some(three_sections("sendonly", false)),
            announcements: vec![microphone, camera(), screen],
            ..request("anna", "sendonly", Vec::new())
        };
        let berts =
            JoinRequest { offer: Some(three_sections("recvonly", true)), ..request("bert", "recvonly", Vec::new()) };
        let mut talk = Talk { world: World::of(annas, berts), sequence: 0, asked: 0 };
        talk.step(true);
        talk
    }

    fn step(&mut self, keyframe: bool) {
        self.sequence += 1;
        for ((ssrc, mid, payload_type), len) in [(AUDIO, 80), (CAMERA, 990), (SCREEN, 990)] {
            let mut writer = HeaderWriter::new(
                true,
                PayloadType(payload_type),
                self.sequence,
                1_800 * u32::from(self.sequence),
                ssrc,
            );
            assert!(writer.extension(1, mid));
            let mut payload = vec![0x10, u8::from(!keyframe)];
            payload.resize(len, 0);
            let mut packet = vec![0; 2_048];
            let plain = Plain::new(u64::from(self.sequence), writer.finish(), &mut payload);
            let len = self.world.anna.1.outbound.seal_rtp(plain, &mut packet).unwrap();
            packet.truncate(len);
            self.world.receive(&mut [packet]);
        }
    }

    /// Lets time pass. Gives what Bert was sent meanwhile.
    fn passes(&mut self, time: Duration) -> Sent {
        let (end, before) = (self.world.now + time, self.sent());
        while self.world.now < end {
            self.world.now += STEP;
            self.world.shard.handle_timeout(self.world.now);
            let asked = self.world.asked();
            let wanted = std::mem::replace(&mut self.asked, asked) != asked;
            self.step(wanted);
            self.world.shard.outgoing().clear();
        }
        let now = self.sent();
        Sent { audio: now.audio - before.audio, camera: now.camera - before.camera, screen: now.screen - before.screen }
    }

    fn bert(&self) -> usize {
        self.world.shard.peer_of(SeatId(1))
    }

    fn sent(&self) -> Sent {
        let peer = &self.world.shard.peers[self.bert()];
        let sources = &self.world.shard.rooms[peer.room].sources;
        let of = |kind: MediaKind, screen: bool| {
            let subscriptions = peer.outbound.subscriptions();
            let mut of = subscriptions.filter(|s| sources[s.source].kind == kind && sources[s.source].screen == screen);
            of.next().unwrap().stream.packets()
        };
        Sent {
            audio: of(MediaKind::Audio, false),
            camera: of(MediaKind::Video, false),
            screen: of(MediaKind::Video, true),
        }
    }

    fn takes(&mut self, kbps: u64) {
        let bert = self.bert();
        let downlink = self.world.shard.peers[bert].downlink.as_deref_mut();
        downlink.unwrap().assumed = Some(Bitrate::from_kbps(kbps));
        self.world.shard.share_if_due(self.world.now, bert);
    }

    /// What Bert was told since: whether something is paused, each.
    fn told(&mut self) -> Vec<bool> {
        let told = std::iter::from_fn(|| self.world.events[1].try_recv().ok());
        let pauses = told.filter_map(|event| if let Event::TracksPaused(pauses) = event { Some(pauses) } else { None });
        pauses.flatten().map(|pause| pause.paused).collect()
    }

    fn camera(&self) -> crate::room::model::TrackId {
        let sources = &self.world.shard.rooms[self.world.shard.peers[self.bert()].room].sources;
        sources.iter().find(|(_, s)| s.kind == MediaKind::Video && !s.screen).unwrap().1.track.clone()
    }
}

#[test]
fn where_the_least_does_not_fit_the_camera_is_paused_and_told_once_while_screen_and_audio_go_on() {
    let mut talk = Talk::new();
    talk.passes(2_000 * MS);
    assert!(talk.told().is_empty());
    talk.takes(600);
    let sent = talk.passes(1_000 * MS);
    assert_eq!((sent.audio, sent.camera > 45, sent.screen > 45), (50, true, true), "not at once: {sent:?}");
    talk.passes(1_000 * MS);
    assert_eq!(talk.told(), [true]);
    let sent = talk.passes(2_000 * MS);
    assert_eq!(sent, Sent { audio: 100, camera: 0, screen: 100 });
    assert!(talk.told().is_empty(), "once");
    talk.takes(300);
    talk.passes(2_000 * MS);
    assert_eq!(talk.told(), [true], "the screen too");
    assert_eq!(talk.passes(1_000 * MS), Sent { audio: 50, camera: 0, screen: 0 });
    talk.takes(1_100);
    talk.passes(2_500 * MS);
    assert_eq!(talk.told(), [false, false]);
    assert_eq!(talk.passes(1_000 * MS), Sent { audio: 50, camera: 50, screen: 50 });
    let counters = &talk.world.shard.counters.quality;
    assert_eq!((counters.bandwidth_falls.get(), counters.bandwidth_rises.get()), (2, 2));
}

#[test]
fn what_is_hidden_takes_nothing_and_comes_back_as_active() {
    use crate::room::model::{Quality, Wanted};
    let mut talk = Talk::new();
    talk.passes(1_000 * MS);
    talk.takes(600);
    talk.passes(2_500 * MS);
    assert_eq!(talk.told(), [true]);
    let tracks = vec![talk.camera()];
    let want = |talk: &mut Talk, wanted| {
        let command = Command::Want { tracks: tracks.clone(), wanted };
        talk.world.shard.handle_message(talk.world.now, Message::Command { seat: SeatId(1), command });
    };
    want(&mut talk, Wanted::NOTHING);
    talk.passes(1_000 * MS);
    talk.takes(1_000);
    talk.passes(100 * MS);
    assert!(talk.told().is_empty(), "nobody waits for it");
    want(&mut talk, Wanted::quality(Quality::High));
    assert_eq!(talk.told(), [false], "shown again, and it fits");
    assert!(talk.passes(1_000 * MS).camera > 45);
}
