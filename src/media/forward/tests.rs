//! Scenarios of forwarding one source to one subscriber.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::media::clock;
use crate::wire::codec::dependency_descriptor::writing::{WrittenFrame, WrittenStructure, WrittenTemplate};
use crate::wire::codec::dependency_descriptor::{self, Indication};
use crate::wire::codec::{self, Layer};
use crate::wire::rtcp::ReceptionReport;
use crate::wire::rtp::HeaderWriter;

mod catch_up;
mod encoder;
mod hostile;
mod model;
mod recovery;
mod scalable;

const MID: u8 = 1;
const LEVEL: u8 = 2;
const DEPENDENCY: u8 = 3;
const ABS_SEND_TIME: u8 = 4;
const PLAYOUT_DELAY: u8 = 7;
const VP8: (Codec, PayloadType) = (Codec::Vp8, PayloadType(100));
const OPUS: (Codec, PayloadType) = (Codec::Opus, PayloadType(109));
const RED: (Codec, PayloadType) = (Codec::Red, PayloadType(63));
const SSRC: Ssrc = Ssrc(0x5ead_beef);

/// The publisher's ids, all different from the subscriber's.
fn source_map() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    map.insert(11, Extension::Mid);
    map.insert(12, Extension::AudioLevel);
    map.insert(13, Extension::DependencyDescriptor);
    map.insert(14, Extension::AbsSendTime);
    map
}

fn send_stream(payload_types: &[(Codec, PayloadType)], seed: u64) -> SendStream {
    let mut extensions = ExtensionMap::default();
    extensions.insert(MID, Extension::Mid);
    extensions.insert(LEVEL, Extension::AudioLevel);
    extensions.insert(DEPENDENCY, Extension::DependencyDescriptor);
    extensions.insert(ABS_SEND_TIME, Extension::AbsSendTime);
    extensions.insert(PLAYOUT_DELAY, Extension::PlayoutDelay);
    let video = payload_types.iter().any(|(codec, _)| codec.is_video());
    let target = Target {
        ssrc: SSRC,
        clock_rate: if video { 90_000 } else { 48_000 },
        payload_types: payload_types.to_vec(),
        extensions,
        mid: Mid::new("7").unwrap(),
    };
    SendStream::new(target, &mut StdRng::seed_from_u64(seed))
}

/// A packet to build: what a publisher sends.
#[derive(Clone)]
pub(super) struct Sent {
    encoding: usize,
    codec: Codec,
    pub(super) ssrc: Ssrc,
    sequence: u64,
    timestamp: u32,
    marker: bool,
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
    padding: u8,
    clock: Option<ClockReference>,
    /// What the server knows of the payload, where it takes more than this packet.
    info: Option<PayloadInfo>,
}

impl Sent {
    fn new(encoding: usize, codec: Codec, sequence: u64, payload: &[u8]) -> Sent {
        Sent {
            encoding,
            codec,
            ssrc: Ssrc(1000 + encoding as u32),
            sequence,
            timestamp: 3_000 * sequence as u32,
            marker: false,
            extensions: Vec::new(),
            payload: payload.to_vec(),
            padding: 0,
            clock: None,
            info: None,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut writer =
            HeaderWriter::new(self.marker, PayloadType(96), self.sequence as u16, self.timestamp, self.ssrc);
        for (id, value) in &self.extensions {
            assert!(writer.extension(*id, value));
        }
        let mut packet = writer.finish().to_vec();
        packet.extend(&self.payload);
        if self.padding > 0 {
            packet[0] |= 0x20;
            packet.resize(packet.len() + usize::from(self.padding), 0);
            *packet.last_mut().unwrap() = self.padding;
        }
        packet
    }

    pub(super) fn record(&self, packet: &[u8]) -> Packet {
        let header = Header::parse(packet).unwrap();
        let descriptor = header.extension(packet, &source_map(), Extension::DependencyDescriptor);
        let payload = header.payload(packet).unwrap();
        Packet {
            encoding: self.encoding,
            header,
            extended_sequence: self.sequence,
            codec: self.codec,
            info: self.info.unwrap_or_else(|| codec::inspect(self.codec, payload, descriptor, &mut None)),
            clock: self.clock,
        }
    }
}

/// What a subscriber receives.
#[derive(Clone, PartialEq, Debug)]
struct Received {
    sequence: u64,
    header: [u8; 12],
    timestamp: u32,
    extensions: Vec<(u8, Vec<u8>)>,
    payload: Vec<u8>,
}

fn forward(stream: &mut SendStream, now: Instant, sent: &Sent) -> Option<Received> {
    let packet = sent.bytes();
    let record = sent.record(&packet);
    let mut scratch = Scratch::default();
    let outgoing = stream.forward(now, &record, &source_map(), &packet, Hop::default(), &mut scratch)?;
    let header = Header::parse(outgoing.header).unwrap();
    assert_eq!(header.len, outgoing.header.len());
    assert_eq!(header.sequence_number, outgoing.extended_sequence as u16);
    assert_eq!((header.ssrc, header.has_padding), (SSRC, false));
    assert!(header.marker || !sent.marker, "a marker is never lost");
    Some(Received {
        sequence: outgoing.extended_sequence,
        header: *outgoing.header.first_chunk().unwrap(),
        timestamp: header.timestamp,
        extensions: header.extensions(outgoing.header).map(|(id, value)| (id, value.to_vec())).collect(),
        payload: [&*outgoing.prefix, &packet[outgoing.payload][outgoing.prefix.len()..]].concat(),
    })
}

/// A VP8 payload with 15-bit picture id and TL0PICIDX that starts a frame.
fn vp8(keyframe: bool, picture_id: u16, tl0: u8) -> Vec<u8> {
    let [high, low] = picture_id.to_be_bytes();
    vec![0x90, 0xc0, high | 0x80, low, tl0, u8::from(!keyframe), 0xab, 0xcd]
}

fn picture_id(received: &Received) -> u16 {
    codec::vp8::parse(&received.payload).unwrap().picture_id.unwrap()
}

fn key(encoding: usize, sequence: u64) -> Sent {
    Sent::new(encoding, Codec::Vp8, sequence, &vp8(true, sequence as u16, 0))
}

pub(super) fn delta(encoding: usize, sequence: u64) -> Sent {
    Sent::new(encoding, Codec::Vp8, sequence, &vp8(false, sequence as u16, 0))
}

#[test]
fn sequence_numbers_begin_below_the_first_rollover() {
    let now = Instant::now();
    let firsts: Vec<_> = (0..200)
        .map(|seed| {
            let mut stream = send_stream(&[OPUS], seed);
            stream.select(Some(Selection::all(0)));
            forward(&mut stream, now, &Sent::new(0, Codec::Opus, 130_000, &[1])).unwrap().sequence
        })
        .collect();
    assert!(firsts.iter().all(|first| *first < 1 << 15));
    assert!(firsts.iter().any(|first| *first > 1 << 14), "random");
}

#[test]
fn video_begins_at_a_keyframe_of_the_wanted_encoding() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    assert_eq!(forward(&mut stream, now, &key(0, 70_000)), None, "nothing is selected");
    stream.select(Some(Selection::all(1)));
    assert_eq!((stream.current(), stream.awaits_keyframe()), (None, Some(1)));
    assert_eq!(forward(&mut stream, now, &delta(1, 70_000)), None);
    assert_eq!(forward(&mut stream, now, &key(0, 70_000)), None, "another encoding's");
    assert!(forward(&mut stream, now, &key(1, 70_001)).is_some());
    assert_eq!((stream.current(), stream.awaits_keyframe()), (Some(1), None));
    assert!(forward(&mut stream, now, &delta(1, 70_002)).is_some());
    assert_eq!((stream.packets(), stream.bytes()), (2, 16));
}

#[test]
fn audio_begins_at_once() {
    let now = Instant::now();
    let mut stream = send_stream(&[OPUS], 1);
    stream.select(Some(Selection::all(0)));
    assert_eq!(stream.awaits_keyframe(), None);
    let mut sent = Sent::new(0, Codec::Opus, 70_000, &[1, 2, 3]);
    sent.marker = true;
    let received = forward(&mut stream, now, &sent).unwrap();
    assert_eq!(received.payload, [1, 2, 3]);
    assert_eq!(received.header[1], 0x80 | OPUS.1.0, "marker and the subscriber's payload type");
}

#[test]
fn the_old_encoding_runs_until_the_keyframe_of_the_new_one() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let first = forward(&mut stream, now, &key(0, 70_000)).unwrap();
    stream.select(Some(Selection::all(2)));
    assert_eq!((stream.current(), stream.awaits_keyframe()), (Some(0), Some(2)));
    let second = forward(&mut stream, now, &delta(0, 70_001)).unwrap();
    assert_eq!(forward(&mut stream, now, &delta(2, 90_000)), None);
    let third = forward(&mut stream, now, &key(2, 90_001)).unwrap();
    assert_eq!([second.sequence, third.sequence], [first.sequence + 1, first.sequence + 2]);
    assert_eq!(stream.current(), Some(2));
    assert_eq!(forward(&mut stream, now, &delta(0, 70_002)), None, "the old one is over");
    assert_eq!(forward(&mut stream, now, &delta(2, 90_000)), None, "older than the switch");
    assert!(clock::is_later(third.timestamp, second.timestamp));
}

#[test]
fn a_switch_can_be_taken_back_while_it_waits() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    forward(&mut stream, now, &key(0, 70_000)).unwrap();
    stream.select(Some(Selection::all(1)));
    stream.select(Some(Selection::all(0)));
    assert_eq!(stream.awaits_keyframe(), None);
    assert_eq!(forward(&mut stream, now, &key(1, 70_000)), None);
    assert!(forward(&mut stream, now, &delta(0, 70_001)).is_some());
}

#[test]
fn a_pause_ends_at_a_keyframe_without_a_gap() {
    let start = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let before = forward(&mut stream, start, &key(0, 70_000)).unwrap();
    stream.select(None);
    assert_eq!((stream.current(), stream.awaits_keyframe()), (None, None));
    assert_eq!(forward(&mut stream, start, &key(0, 70_001)), None);
    stream.select(Some(Selection::all(0)));
    assert_eq!(stream.awaits_keyframe(), Some(0));
    assert_eq!(forward(&mut stream, start, &delta(0, 70_500)), None);
    assert_eq!(forward(&mut stream, start, &key(0, 69_999)), None, "a late one of before");
    let later = start + Duration::from_secs(10);
    let mut sent = key(0, 70_501);
    sent.timestamp = 3_000 * 70_000 + 900_000;
    let after = forward(&mut stream, later, &sent).unwrap();
    assert_eq!(after.sequence, before.sequence + 1);
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(900_000), "the pause is seen in time");
    assert_eq!(picture_id(&after), picture_id(&before) + 1);
}

#[test]
fn an_encoding_that_changes_its_ssrc_waits_for_a_keyframe() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let before = forward(&mut stream, now, &key(0, 90_000)).unwrap();
    let mut sent = delta(0, 66_000); // far below: a new stream has its own numbers
    sent.ssrc = Ssrc(4242);
    assert_eq!(forward(&mut stream, now, &sent), None);
    assert_eq!(stream.awaits_keyframe(), Some(0));
    sent.payload = vp8(true, 5, 5);
    let after = forward(&mut stream, now, &sent).unwrap();
    assert_eq!(after.sequence, before.sequence + 1);
    assert!(clock::is_later(after.timestamp, before.timestamp));
    assert_eq!(stream.awaits_keyframe(), None);
}

#[test]
fn a_straggler_under_the_old_ssrc_does_not_ask_for_keyframes_for_ever() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    forward(&mut stream, now, &key(0, 90_000)).unwrap();
    let mut straggler = delta(0, 66_000);
    straggler.ssrc = Ssrc(4242);
    assert_eq!(forward(&mut stream, now, &straggler), None);
    assert!(forward(&mut stream, now, &delta(0, 90_001)).is_some());
    assert_eq!(stream.awaits_keyframe(), None);
}

#[test]
fn padding_is_dropped_and_padding_alone_leaves_no_gap() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let mut sent = key(0, 70_000);
    sent.padding = 9;
    let first = forward(&mut stream, now, &sent).unwrap();
    assert_eq!(first.payload, sent.payload);
    let mut probe = Sent::new(0, Codec::Vp8, 70_001, &[]);
    probe.padding = 200;
    assert_eq!(forward(&mut stream, now, &probe), None);
    let next = forward(&mut stream, now, &delta(0, 70_002)).unwrap();
    assert_eq!(next.sequence, first.sequence + 1);
}

#[test]
fn malformed_padding_is_dropped_without_harm() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let first = forward(&mut stream, now, &key(0, 70_000)).unwrap();
    let sent = delta(0, 70_001);
    let mut packet = sent.bytes();
    let record = sent.record(&packet);
    packet[0] |= 0x20;
    *packet.last_mut().unwrap() = 255;
    let record = Packet { header: Header::parse(&packet).unwrap(), ..record };
    assert!(stream.forward(now, &record, &source_map(), &packet, Hop::default(), &mut Scratch::default()).is_none());
    let next = forward(&mut stream, now, &delta(0, 70_002)).unwrap();
    assert_eq!(next.sequence, first.sequence + 1);
}

#[test]
fn a_codec_the_subscriber_lacks_is_not_forwarded_and_leaves_no_gap() {
    let now = Instant::now();
    let mut stream = send_stream(&[OPUS], 1);
    stream.select(Some(Selection::all(0)));
    let foreign = Sent::new(0, Codec::G722, 69_999, &[1]);
    assert_eq!(forward(&mut stream, now, &foreign), None);
    let first = forward(&mut stream, now, &Sent::new(0, Codec::Opus, 70_000, &[1])).unwrap();
    assert_eq!(forward(&mut stream, now, &Sent::new(0, Codec::G722, 70_001, &[1])), None);
    let next = forward(&mut stream, now, &Sent::new(0, Codec::Opus, 70_002, &[1])).unwrap();
    assert_eq!(next.sequence, first.sequence + 1);
}

#[test]
fn a_keyframe_in_a_foreign_codec_does_not_disturb_the_encoding_that_runs() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let first = forward(&mut stream, now, &key(0, 70_000)).unwrap();
    stream.select(Some(Selection::all(1)));
    assert_eq!(forward(&mut stream, now, &Sent::new(1, Codec::H264, 90_000, &[0x67, 0])), None);
    assert_eq!(stream.awaits_keyframe(), Some(1));
    let next = forward(&mut stream, now, &delta(0, 70_001)).unwrap();
    assert_eq!(next.sequence, first.sequence + 1);
}

#[test]
fn red_is_cut_to_its_primary_for_a_subscriber_that_has_only_opus() {
    let now = Instant::now();
    let mut stream = send_stream(&[OPUS], 1);
    stream.select(Some(Selection::all(0)));
    let payload = [0x80 | 111, 0x0f, 0x00, 2, 111, 10, 11, 20, 30];
    let first = forward(&mut stream, now, &Sent::new(0, Codec::Red, 70_000, &payload)).unwrap();
    assert_eq!((first.payload.as_slice(), first.header[1]), ([20, 30].as_slice(), OPUS.1.0));
    let empty = [0x80 | 111, 0x0f, 0x00, 2, 111, 10, 11];
    assert_eq!(forward(&mut stream, now, &Sent::new(0, Codec::Red, 70_001, &empty)), None);
    assert_eq!(forward(&mut stream, now, &Sent::new(0, Codec::Red, 70_002, &[0x80])), None);
    let next = forward(&mut stream, now, &Sent::new(0, Codec::Opus, 70_003, &[7])).unwrap();
    assert_eq!((next.sequence, next.payload), (first.sequence + 1, vec![7]), "opus goes as opus");
}

#[test]
fn red_goes_as_red_with_the_subscribers_opus_inside() {
    let now = Instant::now();
    let mut stream = send_stream(&[RED, OPUS], 1);
    stream.select(Some(Selection::all(0)));
    let payload = [0x80 | 111, 0x0f, 0x00, 2, 111, 10, 11, 20, 30];
    let received = forward(&mut stream, now, &Sent::new(0, Codec::Red, 70_000, &payload)).unwrap();
    let (opus, expected_len) = (OPUS.1.0, payload.len());
    assert_eq!(received.header[1], RED.1.0);
    assert_eq!(received.payload, [0x80 | opus, 0x0f, 0x00, 2, opus, 10, 11, 20, 30]);
    assert_eq!(stream.bytes(), expected_len as u64);
    let mut same = send_stream(&[RED, (Codec::Opus, PayloadType(111))], 1);
    same.select(Some(Selection::all(0)));
    let received = forward(&mut same, now, &Sent::new(0, Codec::Red, 70_000, &payload)).unwrap();
    assert_eq!(received.payload, payload);
    let received = forward(&mut same, now, &Sent::new(0, Codec::Opus, 70_001, &[9])).unwrap();
    assert_eq!((received.header[1], received.payload), (111, vec![9]));
}

#[test]
fn end_to_end_extensions_are_copied_under_the_subscribers_ids() {
    let now = Instant::now();
    let mut stream = send_stream(&[OPUS], 1);
    stream.select(Some(Selection::all(0)));
    let mut sent = Sent::new(0, Codec::Opus, 70_000, &[1]);
    sent.extensions = vec![
        (11, b"0".to_vec()),   // the publisher's mid
        (14, vec![1, 2, 3]),   // abs-send-time: of the hop
        (12, vec![0x80 | 30]), // audio level
        (9, vec![9]),          // not in the publisher's map
    ];
    let received = forward(&mut stream, now, &sent).unwrap();
    assert_eq!(received.extensions, [(MID, b"7".to_vec()), (LEVEL, vec![0x80 | 30])]);
}

#[test]
fn mid_is_written_until_the_first_report_on_this_ssrc() {
    let now = Instant::now();
    let mut stream = send_stream(&[OPUS], 1);
    stream.select(Some(Selection::all(0)));
    let mids = |stream: &mut SendStream, sequence| {
        let received = forward(stream, now, &Sent::new(0, Codec::Opus, sequence, &[1])).unwrap();
        received.extensions.len()
    };
    assert_eq!(mids(&mut stream, 70_000), 1);
    let foreign = ReceptionReport { ssrc: 1, fraction_lost: 9, ..ReceptionReport::default() };
    stream.handle_report(now, &foreign);
    assert_eq!((mids(&mut stream, 70_001), stream.fraction_lost()), (1, 0));
    stream.handle_report(now, &ReceptionReport { ssrc: SSRC.0, ..foreign });
    assert_eq!((mids(&mut stream, 70_002), stream.fraction_lost()), (0, 9));
}

#[test]
fn frame_numbers_and_templates_of_the_dependency_descriptor_go_on_after_a_switch() {
    let now = Instant::now();
    let mut stream = send_stream(&[(Codec::Av1, PayloadType(41))], 1);
    let structure = WrittenStructure {
        offset: 0,
        templates: vec![WrittenTemplate {
            layer: Layer::default(),
            indications: vec![Indication::Switch],
            references: vec![1],
        }],
        sizes: vec![],
    };
    let value = WrittenFrame { structure: Some(&structure), ..WrittenFrame::new(0, 0) };
    let mut known = None;
    dependency_descriptor::read(&value.bytes(), &mut known).unwrap();
    let frame = |encoding, sequence, number, key: bool| {
        let mut sent = Sent::new(encoding, Codec::Av1, sequence, &[0x10, 0x30, 1]);
        let structure = Some(&structure).filter(|_| key);
        let value = WrittenFrame { structure, ..WrittenFrame::new(0, number) };
        sent.extensions = vec![(13, value.bytes())];
        sent.info = Some(codec::inspect(Codec::Av1, &sent.payload, Some(&value.bytes()), &mut known.clone()));
        sent
    };
    let number = |received: Received| {
        let (_, value) = received.extensions.into_iter().find(|(id, _)| *id == DEPENDENCY).unwrap();
        (dependency_descriptor::frame_number(&value).unwrap(), value[0] & 0x3f)
    };
    stream.select(Some(Selection::all(0)));
    let next = |stream: &mut SendStream, sent: Sent| forward(stream, now, &sent).map(&number);
    assert_eq!(next(&mut stream, frame(0, 70_000, 500, false)), None);
    assert_eq!(next(&mut stream, frame(0, 70_001, 501, true)), Some((501, 0)));
    assert_eq!(next(&mut stream, frame(0, 70_002, 502, false)), Some((502, 0)));
    stream.select(Some(Selection::all(1)));
    assert_eq!(next(&mut stream, frame(1, 70_002, 9, true)), Some((503, 1)), "and template ids do not meet");
    assert_eq!(next(&mut stream, frame(1, 70_003, 10, false)), Some((504, 1)));
}

#[test]
fn sender_reports_count_what_was_sent_and_lead_to_the_round_trip_time() {
    let start = Instant::now();
    let mut stream = send_stream(&[OPUS], 1);
    stream.select(Some(Selection::all(0)));
    assert_eq!(stream.sender_report(start, 5 << 32), None);
    let received = forward(&mut stream, start, &Sent::new(0, Codec::Opus, 70_000, &[1, 2, 3])).unwrap();
    let first = stream.sender_report(start, 5 << 32).unwrap();
    assert_eq!((first.packets, first.octets, first.rtp_timestamp), (1, 3, received.timestamp));
    let ms = Duration::from_millis;
    stream.sender_report(start + ms(100), 6 << 32);
    let mut report = ReceptionReport {
        ssrc: SSRC.0,
        last_sender_report: clock::ntp_middle(first.ntp),
        delay_since_last: clock::to_short(ms(500)),
        ..ReceptionReport::default()
    };
    stream.handle_report(start + ms(540), &report);
    assert_eq!(stream.round_trip_time(), Some(ms(40)));
    report.last_sender_report = 77;
    stream.handle_report(start + ms(9_000), &report);
    assert_eq!(stream.round_trip_time(), Some(ms(40)), "answers nothing that was sent");
    report.last_sender_report = clock::ntp_middle(first.ntp);
    report.delay_since_last = u32::MAX;
    stream.handle_report(start + ms(9_000), &report);
    assert_eq!(stream.round_trip_time(), Some(Duration::ZERO), "a delay that cannot be");
}

#[test]
fn a_packets_record_is_copied_without_a_call() {
    assert!(size_of::<Packet>() <= 128, "{} bytes: a copy of more is a call of memcpy", size_of::<Packet>());
}

#[test]
fn forwarding_allocates_nothing() {
    let start = Instant::now();
    let mut video = send_stream(&[VP8], 1);
    let mut audio = send_stream(&[RED, OPUS], 1);
    audio.select(Some(Selection::all(0)));
    let source = source_map();
    let mut packets: Vec<(Sent, Vec<u8>)> = Vec::new();
    for n in 0..100 {
        for encoding in 0..2 {
            let mut sent = if n % 10 == 0 { key(encoding, 70_000 + n) } else { delta(encoding, 70_000 + n) };
            sent.extensions =
                vec![(13, vec![0x80, 0, n as u8, if n % 10 == 0 { 0x80 } else { 0 }]), (14, vec![1, 2, 3])];
            packets.push((sent.clone(), sent.bytes()));
        }
        let payload = [0x80 | 111, 0x0f, 0x00, 2, 111, 10, 11, 20, 30];
        let mut sent = Sent::new(0, Codec::Red, 70_000 + n, &payload);
        sent.extensions = vec![(12, vec![30])];
        packets.push((sent.clone(), sent.bytes()));
    }
    let (mut forwarded, mut scratch) = (0, Scratch::default());
    let counts = allocation_counter::measure(|| {
        for (n, (sent, packet)) in packets.iter().enumerate() {
            video.select(Some(Selection::all(n / 70 % 2)));
            let record = sent.record(packet);
            let stream = if sent.codec == Codec::Red { &mut audio } else { &mut video };
            let now = start + Duration::from_millis(n as u64);
            forwarded +=
                usize::from(stream.forward(now, &record, &source, packet, Hop::default(), &mut scratch).is_some());
        }
    });
    assert!(forwarded > 190, "{forwarded}");
    assert_eq!(counts.count_total, 0, "{counts:?}");
    let canary = allocation_counter::measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(9))));
    assert_eq!(canary.count_total, 1, "the counter counts");
}
