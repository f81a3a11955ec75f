//! A track in two codecs, on one shard and on two: Anna publishes VP9 and VP8, Bert decodes VP8 alone, Cleo both.

use super::legs::{ANNA, BERT, CLEO, Legs};
use super::*;
use crate::room::event::CodecDemand;
use crate::room::model::{BackupPlan, BackupPolicy, Quality, TrackId};
use crate::room::renditions::BackupAnnouncement;

const VP8: PayloadType = PayloadType(96);
const VP9: PayloadType = PayloadType(98);

/// A section by its direction, codecs and track.
type Section<'a> = (&'a str, &'a [(PayloadType, &'a str)], &'a str);

/// An offer of sections.
fn offer_of(id: u32, sections: &[Section]) -> Offer {
    let digest = ["AB"; 32].join(":");
    let mids: Vec<String> = (0..sections.len()).map(|mid| mid.to_string()).collect();
    let mut sdp = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n", mids.join(" "));
    for ((direction, codecs, track), mid) in sections.iter().zip(mids) {
        let types: Vec<String> = codecs.iter().map(|(payload_type, _)| payload_type.0.to_string()).collect();
        sdp += &format!(
            "m=video 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=rtcp-mux\r\na={direction}\r\n\
             a=ice-ufrag:remo\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {digest}\r\na=setup:actpass\r\n\
             a=msid:s {track}\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
            types.join(" ")
        );
        for (payload_type, codec) in *codecs {
            sdp += &format!("a=rtpmap:{} {codec}/90000\r\n", payload_type.0);
        }
    }
    Offer { id, sdp }
}

fn joining(identity: &str, offer: Offer, announcements: Vec<Announcement>) -> JoinRequest {
    JoinRequest { offer: Some(offer), announcements, ..room_tests::request(identity, room_tests::grants()) }
}

struct Scene {
    legs: Legs,
    anna: End,
    bert: End,
    cleo: End,
    track: TrackId,
}

/// Everybody is connected, and both of Anna's sections are matched; no media came yet.
fn scene(shards: usize, policy: BackupPolicy) -> Scene {
    let mut legs = Legs::new(shards);
    let backup = Some(BackupPlan { mime_type: "video/VP8", policy });
    let sections: [Section; 2] = [("sendonly", &[(VP9, "VP9")], "cam"), ("sendonly", &[(VP8, "VP8")], "cam-vp8")];
    legs.ask_to_join(joining("anna", offer_of(1, &sections), vec![Announcement { backup, ..camera() }]));
    let reads_vp8 = |id| offer_of(id, &[("recvonly", &[(VP8, "VP8")], "-")]);
    legs.ask_to_join(joining("bert", reads_vp8(1), Vec::new()));
    let reads_both = offer_of(1, &[("recvonly", &[(VP8, "VP8"), (VP9, "VP9")], "-")]);
    legs.ask_to_join(joining("cleo", reads_both, Vec::new()));
    let track = legs.shards[0].homes.values().next().unwrap().sources.keys().next().unwrap().0.clone();

    let announcement = BackupAnnouncement {
        track: track.clone(),
        client_id: "cam-vp8".to_owned(),
        layers: Vec::new(),
        opaque: Bytes::new(),
    };
    legs.told(BERT);
    legs.tell_home(Message::Command { seat: ANNA, command: Command::AnnounceBackup(announcement) });
    let told = legs.told(BERT);
    assert!(told.contains(&"SectionsNeeded 0 0".to_owned()), "there is something to receive now: {told:?}");
    legs.tell_home(Message::Command { seat: BERT, command: Command::Offer(reads_vp8(2)) });
    let [anna, bert, cleo] = [ANNA, BERT, CLEO].map(|seat| legs.connect(seat));
    Scene { legs, anna, bert, cleo, track }
}

impl Scene {
    fn send(&mut self, mid: &[u8], ssrc: Ssrc, payload_type: PayloadType, sequence: u16, descriptor: &[u8]) {
        let time = 3_000 * u32::from(sequence);
        let mut writer = HeaderWriter::new(true, payload_type, sequence, time, ssrc);
        assert!(writer.extension(1, mid));
        let mut payload = [descriptor, &[sequence as u8]].concat();
        let mut packet = vec![0; 200];
        let plain = Plain::new(u64::from(sequence), writer.finish(), &mut payload);
        let len = self.anna.1.outbound.seal_rtp(plain, &mut packet).unwrap();
        packet.truncate(len);
        self.legs.receive(ANNA, self.anna.0, &mut [packet]);
    }

    fn send_vp9(&mut self, sequence: u16, keyframe: bool) {
        self.send(b"0", Ssrc(90), VP9, sequence, &[if keyframe { 0x0c } else { 0x4c }]);
    }

    fn send_vp8(&mut self, sequence: u16, keyframe: bool) {
        self.send(b"1", Ssrc(80), VP8, sequence, &[0x10, u8::from(!keyframe)]);
    }

    /// What Bert and Cleo received since.
    fn packets(&mut self) -> [Vec<(Header, Vec<u8>)>; 2] {
        let seats = [(BERT, &mut self.bert), (CLEO, &mut self.cleo)];
        let packets = seats.map(|(seat, end)| self.legs.packets(seat, end));
        self.legs.discard_sent();
        packets
    }

    /// The same as payload types and the bytes that fill the payloads.
    fn received(&mut self) -> [Vec<(PayloadType, u8)>; 2] {
        self.packets().map(|packets| outline(&packets))
    }

    fn demand(&mut self) -> Vec<Vec<CodecDemand>> {
        let told = std::iter::from_fn(|| self.legs.events[0].try_recv().ok());
        let demand = |event| if let Event::LayersWanted { codecs, .. } = event { Some(codecs) } else { None };
        told.filter_map(demand).collect()
    }
}

fn outline(packets: &[(Header, Vec<u8>)]) -> Vec<(PayloadType, u8)> {
    packets.iter().map(|(header, payload)| (header.payload_type, *payload.last().unwrap())).collect()
}

fn demand(primary: Option<Quality>, backup: Option<Quality>) -> Vec<CodecDemand> {
    let of = |mime: &str, highest| CodecDemand { mime_type: mime.to_owned(), highest };
    vec![of("video/VP9", primary), of("video/VP8", backup)]
}

const HIGH: Option<Quality> = Some(Quality::High);

#[test]
fn each_gets_the_codec_it_decodes_and_the_publisher_is_told_of_both() {
    for shards in [1, 2] {
        let mut scene = scene(shards, BackupPolicy::Both);
        scene.send_vp9(1, true);
        assert_eq!(scene.demand(), [demand(HIGH, HIGH)]);
        scene.send_vp8(101, true);
        scene.send_vp9(2, false);
        scene.send_vp8(102, false);
        assert_eq!(scene.received(), [vec![(VP8, 101), (VP8, 102)], vec![(VP9, 1), (VP9, 2)]], "{shards} shards");

        scene.legs.tell_home(Message::Gone { seat: BERT });
        (0..60).for_each(|_| scene.legs.after(Duration::from_millis(100)));
        assert_eq!(scene.demand(), [demand(HIGH, None)]);
        scene.legs.tell_home(Message::Gone { seat: ANNA });
        scene.legs.tell_home(Message::Gone { seat: CLEO });
        assert_eq!((scene.legs.sum(|c| c.subscriptions.get()), scene.legs.sum(|c| c.tracks.get())), (0, 0));
        let left = |shard: &Shard| shard.rooms.iter().any(|(_, r)| !(r.sources.is_empty() && r.peers.is_empty()));
        assert!(!scene.legs.shards.iter().any(left), "{shards} shards");
    }
}

#[test]
fn with_regression_a_stream_goes_on_in_the_other_codec_from_its_keyframe() {
    for shards in [1, 2] {
        let mut scene = scene(shards, BackupPolicy::PreferBackup);
        scene.send_vp9(1, true);
        scene.send_vp9(2, false);
        let [_, before] = scene.packets();
        assert_eq!(before.len(), 2);
        let asked = scene.legs.sum(|c| c.keyframe_requests_out.get());
        // The first of the backup tells that it is there; all further of the primary is nobody's.
        scene.send_vp8(101, false);
        assert_eq!(scene.legs.sum(|c| c.keyframe_requests_out.get()), asked + 1, "one for Bert and Cleo");
        scene.send_vp9(3, true);
        assert_eq!(scene.received(), [vec![], vec![]]);
        scene.send_vp8(102, true);
        scene.send_vp8(103, false);
        let [berts, after] = scene.packets();
        assert_eq!(outline(&after), [(VP8, 102), (VP8, 103)], "{shards} shards");
        assert_eq!(outline(&berts), [(VP8, 102), (VP8, 103)]);
        let (last, first) = (&before[1].0, &after[0].0);
        assert_eq!((first.ssrc, first.sequence_number), (last.ssrc, last.sequence_number.wrapping_add(1)));
        scene.demand();
        (0..60).for_each(|_| scene.legs.after(Duration::from_millis(100)));
        assert_eq!(scene.demand(), [demand(None, HIGH)], "the primary is off");

        // Unsubscribing and leaving find the stream where it is now.
        let tracks = vec![scene.track.clone()];
        let command = Command::Subscribe { tracks, subscribe: false };
        scene.legs.tell_home(Message::Command { seat: CLEO, command });
        scene.send_vp8(104, false);
        assert_eq!(scene.received(), [vec![(VP8, 104)], vec![]]);
        assert_eq!(scene.legs.sum(|c| c.subscriptions.get()), 1);
    }
}

#[test]
fn a_section_is_answered_with_both_codecs_where_the_track_may_change() {
    for (policy, both) in [(BackupPolicy::PreferBackup, true), (BackupPolicy::Both, false)] {
        let mut legs = Legs::new(1);
        let backup = Some(BackupPlan { mime_type: "video/VP8", policy });
        let sends = offer_of(1, &[("sendonly", &[(VP9, "VP9")], "cam")]);
        legs.ask_to_join(joining("anna", sends, vec![Announcement { backup, ..camera() }]));
        let reads = offer_of(1, &[("recvonly", &[(VP8, "VP8"), (VP9, "VP9")], "-")]);
        legs.ask_to_join(joining("bert", reads, Vec::new()));
        let answer = std::iter::from_fn(|| legs.events[1].try_recv().ok()).find_map(|event| match event {
            Event::Answer { sdp, .. } => Some(sdp),
            _ => None,
        });
        let answer = answer.unwrap();
        assert!(answer.contains("a=rtpmap:98 VP9/90000"), "{answer}");
        assert_eq!(answer.contains("a=rtpmap:96 VP8/90000"), both, "{answer}");
    }
}

#[test]
fn a_track_is_answered_in_the_codec_it_was_announced_in_wherever_its_publisher_is_hosted() {
    let both: &[_] = &[(VP8, "VP8"), (VP9, "VP9")];
    let backup = Some(BackupPlan { mime_type: "video/VP8", policy: BackupPolicy::Both });
    let vp9 = Some("video/VP9");
    let lines = [
        (Announcement { backup, mime_type: vp9, ..camera() }, "m=video 9 UDP/TLS/RTP/SAVPF 98\r\n"),
        (Announcement { mime_type: vp9, ..camera() }, "m=video 9 UDP/TLS/RTP/SAVPF 98 96\r\n"),
        (Announcement { mime_type: Some("video/AV1"), ..camera() }, "m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\n"),
        (camera(), "m=video 9 UDP/TLS/RTP/SAVPF 96 98\r\n"),
    ];
    for shards in [1, 2] {
        for (announcement, line) in &lines {
            for name in ["cam", "renamed"] {
                let mut legs = Legs::new(shards);
                legs.ask_to_join(request("first", "recvonly", Vec::new()));
                let offer = offer_of(1, &[("sendonly", both, name)]);
                legs.ask_to_join(joining("anna", offer, vec![announcement.clone()]));
                let answer = std::iter::from_fn(|| legs.events[1].try_recv().ok()).find_map(|event| match event {
                    Event::Answer { sdp, .. } => Some(sdp),
                    _ => None,
                });
                let answer = answer.unwrap();
                assert!(answer.contains(line), "{line} in {answer}");
            }
        }
    }
}

#[test]
fn another_offer_leaves_the_codec_of_a_track_as_it_is() {
    let both: &[_] = &[(VP8, "VP8"), (VP9, "VP9")];
    let mut legs = Legs::new(1);
    let announcements = [("cam", "video/VP8"), ("cam2", "video/VP9")].map(|(client_id, mime)| Announcement {
        client_id: client_id.into(),
        mime_type: Some(mime),
        ..camera()
    });
    let sections: [Section; 2] = [("sendonly", both, "cam2"), ("sendonly", both, "cam")];
    legs.ask_to_join(joining("anna", offer_of(1, &sections), announcements.to_vec()));
    legs.tell_home(Message::Command { seat: ANNA, command: Command::Offer(offer_of(2, &sections)) });
    let formats = |sdp: &str| -> Vec<String> {
        let lines = sdp.lines().filter_map(|line| line.strip_prefix("m=video 9 UDP/TLS/RTP/SAVPF "));
        lines.map(str::to_owned).collect()
    };
    let answers = std::iter::from_fn(|| legs.events[0].try_recv().ok()).filter_map(|event| match event {
        Event::Answer { sdp, .. } => Some(formats(&sdp)),
        _ => None,
    });
    let expected = vec!["98 96".to_owned(), "96 98".to_owned()];
    assert_eq!(answers.collect::<Vec<_>>(), [expected.clone(), expected]);
}
