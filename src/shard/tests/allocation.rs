//! What a subscriber's way takes, shared out: which encoding it gets of a simulcast publisher when that changes.

use super::pacing::numbered;
use super::paused_layers::{HIGH, LOW, simulcast_to};
use super::resend::report;
use super::*;
use crate::congestion::bitrate::Bitrate;
use crate::room::model::{Quality, TrackId, Wanted};

const MS: Duration = Duration::from_millis(1);
/// Between two packets of each encoding.
const STEP: Duration = Duration::from_millis(20);

/// One stream of Anna's, of which she sends a packet each [`STEP`], a frame of its own.
#[derive(Clone, Copy)]
struct Stream {
    ssrc: Ssrc,
    mid: &'static [u8],
    rid: Option<&'static [u8]>,
    payload_type: u8,
    len: usize,
}

impl Stream {
    const fn track(ssrc: u32, mid: &'static [u8], payload_type: u8, len: usize) -> Stream {
        Stream { ssrc: Ssrc(ssrc), mid, rid: None, payload_type, len }
    }

    const fn encoding((ssrc, rid): (Ssrc, &'static [u8]), len: usize) -> Stream {
        Stream { ssrc, mid: b"0", rid: Some(rid), payload_type: 96, len }
    }

    fn packet(&self, from: &mut End, sequence: u16, keyframe: bool) -> Vec<u8> {
        let timestamp = 1_800 * u32::from(sequence);
        let mut writer = HeaderWriter::new(true, PayloadType(self.payload_type), sequence, timestamp, self.ssrc);
        assert!(writer.extension(1, self.mid) && self.rid.is_none_or(|rid| writer.extension(2, rid)));
        let mut payload = vec![0x10, u8::from(!keyframe)];
        payload.resize(self.len, 0);
        let mut packet = vec![0; 2_048];
        let plain = Plain::new(u64::from(sequence), writer.finish(), &mut payload);
        let len = from.1.outbound.seal_rtp(plain, &mut packet).unwrap();
        packet.truncate(len);
        packet
    }
}

/// Two encodings of about 100 and 420 kbit/s.
const SIMULCAST: [Stream; 2] = [Stream::encoding(LOW, 190), Stream::encoding(HIGH, 990)];
/// A voice, and a camera and a screen of one encoding of about 420 kbit/s each.
const TRACKS: [Stream; 3] =
    [Stream::track(80, b"0", 111, 80), Stream::track(81, b"1", 96, 990), Stream::track(82, b"2", 96, 990)];

/// Anna sends to whoever watches, with keyframes when she is asked for some.
struct Call {
    world: World,
    streams: &'static [Stream],
    sequence: u16,
    asked: u64,
}

/// Packets Bert was sent.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sent {
    audio: u64,
    camera: u64,
    screen: u64,
}

impl Call {
    fn new(world: World, streams: &'static [Stream]) -> Call {
        let mut call = Call { world, streams, sequence: 0, asked: 0 };
        call.step(true);
        call.world.bert_received();
        call
    }

    fn simulcast() -> Call {
        Call::new(simulcast_to(numbered("bert")), &SIMULCAST)
    }

    fn tracks() -> Call {
        let announced =
            |client_id: &str, kind, source| Announcement { client_id: client_id.to_owned(), kind, source, ..camera() };
        let annas = JoinRequest {
            offer: Some(three_sections("sendonly", false)),
            announcements: vec![
                announced("mic", MediaKind::Audio, TrackSource::Microphone),
                camera(),
                announced("screen", MediaKind::Video, TrackSource::ScreenShare),
            ],
            ..request("anna", "sendonly", Vec::new())
        };
        let berts =
            JoinRequest { offer: Some(three_sections("recvonly", true)), ..request("bert", "recvonly", Vec::new()) };
        Call::new(World::of(annas, berts), &TRACKS)
    }

    fn step(&mut self, keyframe: bool) {
        self.sequence += 1;
        for stream in self.streams {
            let packet = stream.packet(&mut self.world.anna, self.sequence, keyframe);
            self.world.receive(&mut [packet]);
        }
    }

    /// Lets time pass. Gives the lengths of what Bert got meanwhile.
    fn lens(&mut self, time: Duration) -> Vec<usize> {
        let (end, mut lens) = (self.world.now + time, Vec::new());
        while self.world.now < end {
            self.world.now += STEP;
            self.world.shard.handle_timeout(self.world.now);
            let asked = self.world.asked();
            let wanted = std::mem::replace(&mut self.asked, asked) != asked;
            self.step(wanted);
            if self.sequence.is_multiple_of(50) {
                // Who says nothing for long is taken for gone.
                let report = report(&mut self.world.bert, &[]);
                self.world.bert_sends(report);
            }
            let got = packets(&mut self.world.shard, self.world.now, &mut self.world.bert);
            // What is padding alone is empty.
            lens.extend(got.iter().map(|(_, payload)| payload.len()).filter(|len| *len > 0));
            self.world.shard.outgoing().clear();
        }
        lens
    }

    /// The same as packets of the low and of the high encoding.
    fn passes(&mut self, time: Duration) -> (usize, usize) {
        let lens = self.lens(time);
        let low = lens.iter().filter(|len| **len < 500).count();
        (low, lens.len() - low)
    }

    /// The same by track.
    fn sends(&mut self, time: Duration) -> Sent {
        let before = self.sent();
        self.lens(time);
        let now = self.sent();
        Sent { audio: now.audio - before.audio, camera: now.camera - before.camera, screen: now.screen - before.screen }
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

    fn bert(&self) -> usize {
        self.world.shard.peer_of(SeatId(1))
    }

    /// Bert's way takes so much from now on.
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

    /// The camera of [`TRACKS`].
    fn camera(&self) -> TrackId {
        let sources = &self.world.shard.rooms[self.world.shard.peers[self.bert()].room].sources;
        sources.iter().find(|(_, s)| s.kind == MediaKind::Video && !s.screen).unwrap().1.track.clone()
    }
}

/// An offer of one audio section and two of video.
fn three_sections(direction: &str, numbered: bool) -> Offer {
    let Offer { id, sdp } = offer(direction);
    let (session, video) = sdp.split_once("m=video").unwrap();
    let session = session.replace("BUNDLE 0", "BUNDLE 0 1 2");
    let number = "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 transport-cc\r\n\
                  a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n";
    let number = if numbered { number } else { "" };
    let of = |mid: u8, track: &str| {
        let video = video.replace("mid:0", &format!("mid:{mid}")).replace("msid:s cam", &format!("msid:s {track}"));
        let video = if numbered { video.replace("SAVPF 96", "SAVPF 96 97") } else { video };
        format!("m=video{video}{number}")
    };
    let audio = of(0, "mic").replace("m=video", "m=audio").replace("96 VP8/90000", "111 opus/48000/2");
    let audio = audio.replace("SAVPF 96 97", "SAVPF 111").replace("SAVPF 96", "SAVPF 111").replace(number, "");
    Offer { id, sdp: format!("{session}{audio}{}{}", of(1, "cam"), of(2, "screen")) }
}

#[test]
fn a_narrow_way_gets_the_low_encoding_and_a_wide_one_the_high_one_again_after_a_while() {
    let mut call = Call::simulcast();
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
    let mut call = Call::simulcast();
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
    let mut call = Call::simulcast();
    call.takes(250);
    call.passes(1_000 * MS);
    let bert = call.world.shard.peer_of(SeatId(1));
    let chosen = |call: &Call| call.world.shard.peers[bert].outbound.subscriptions().next().unwrap().stream.chosen();
    assert_eq!(chosen(&call).unwrap().encoding, 0);
    call.world.shard.peers[bert].downlink = None;
    call.world.shard.share_out(call.world.now, bert);
    assert_eq!(chosen(&call).unwrap().encoding, 1);
}

#[test]
fn where_the_least_does_not_fit_the_camera_is_paused_and_told_once_while_screen_and_audio_go_on() {
    let mut call = Call::tracks();
    call.sends(2_000 * MS);
    assert!(call.told().is_empty());
    call.takes(600);
    let sent = call.sends(1_000 * MS);
    assert_eq!((sent.audio, sent.camera > 45, sent.screen > 45), (50, true, true), "not at once: {sent:?}");
    call.sends(6_000 * MS);
    assert_eq!(call.told(), [true]);
    let sent = call.sends(2_000 * MS);
    assert_eq!(sent, Sent { audio: 100, camera: 0, screen: 100 });
    assert!(call.told().is_empty(), "once");
    call.takes(150);
    call.sends(2_000 * MS);
    assert_eq!(call.told(), [true], "the screen too");
    assert_eq!(call.sends(1_000 * MS), Sent { audio: 50, camera: 0, screen: 0 });
    call.takes(1_100);
    call.sends(2_500 * MS);
    assert_eq!(call.told(), [false, false]);
    assert_eq!(call.sends(1_000 * MS), Sent { audio: 50, camera: 50, screen: 50 });
    let counters = &call.world.shard.counters.quality;
    assert_eq!((counters.bandwidth_falls.get(), counters.bandwidth_rises.get()), (2, 2));
}

#[test]
fn what_is_hidden_takes_nothing_and_comes_back_as_active() {
    let mut call = Call::tracks();
    call.sends(1_000 * MS);
    call.takes(600);
    call.sends(7_000 * MS);
    assert_eq!(call.told(), [true]);
    let tracks = vec![call.camera()];
    let want = |call: &mut Call, wanted| {
        let command = Command::Want { tracks: tracks.clone(), wanted };
        call.world.shard.handle_message(call.world.now, Message::Command { seat: SeatId(1), command });
    };
    want(&mut call, Wanted::NOTHING);
    call.sends(1_000 * MS);
    call.takes(1_000);
    call.sends(100 * MS);
    assert!(call.told().is_empty(), "nobody waits for it");
    want(&mut call, Wanted::quality(Quality::High));
    assert_eq!(call.told(), [false], "shown again, and it fits");
    assert!(call.sends(1_000 * MS).camera > 45);
}

#[test]
fn a_way_on_which_all_is_paused_is_still_listened_to() {
    let probed = |call: &Call| call.world.shard.counters.probe_bytes.get();
    let (mut call, start) = (Call::tracks(), 2_000 * MS);
    call.sends(start);
    let before = probed(&call);
    call.takes(100);
    call.sends(4_000 * MS);
    assert_eq!(call.told(), [true, true]);
    let starving = probed(&call);
    call.sends(5_000 * MS);
    let packets = (probed(&call) - starving) / 290;
    assert!((8..=12).contains(&packets), "{packets} packets of padding, {before} bytes before");
}
