//! Which stream a packet is taken for: media, and what is sent again beside it.

use super::*;
use crate::negotiation::{CodecDescription, EncodingDescription, MediaKind, RemoteTrack};
use crate::wire::codec::Codec;
use crate::wire::rtp::HeaderWriter;

const VP8: PayloadType = PayloadType(96);
const RTX: PayloadType = PayloadType(97);
const MID: u8 = 1;
const RID: u8 = 2;
const REPAIRED: u8 = 3;

fn token(text: &str) -> Rid {
    Rid::new(text).unwrap()
}

/// A camera in VP8 with RTX.
fn section(mid: &str, rids: &[&str], ssrcs: &[(Ssrc, Option<Ssrc>)]) -> Section {
    let mut extensions = ExtensionMap::default();
    for (id, extension) in [(MID, Extension::Mid), (RID, Extension::Rid), (REPAIRED, Extension::RepairedRid)] {
        assert!(extensions.insert(id, extension));
    }
    let encodings = rids.iter().map(|rid| EncodingDescription { rid: token(rid), paused: false }).collect();
    Section {
        mid: token(mid),
        kind: MediaKind::Video,
        codecs: vec![CodecDescription {
            payload_type: VP8,
            codec: Codec::Vp8,
            clock_rate: 90_000,
            fmtp: String::new(),
            nack: true,
            rtx: Some(RTX),
        }],
        extensions,
        remote: Some(RemoteTrack { ssrcs: ssrcs.to_vec(), encodings, ..RemoteTrack::default() }),
        peer_receives: false,
        local: None,
    }
}

fn inbound(sections: &[Section]) -> Inbound {
    let mut inbound = Inbound::default();
    inbound.update(sections);
    sections.iter().enumerate().for_each(|(source, section)| inbound.bind(section.mid, source));
    inbound
}

fn route(inbound: &mut Inbound, payload_type: PayloadType, ssrc: u32, elements: &[(u8, &str)]) -> Option<Route> {
    let mut writer = HeaderWriter::new(false, payload_type, 1, 1, Ssrc(ssrc));
    elements.iter().for_each(|(id, value)| assert!(writer.extension(*id, value.as_bytes())));
    let packet = writer.finish();
    inbound.route(&Header::parse(packet).unwrap(), packet)
}

fn repair(source: SourceKey, rid: Option<&str>, media: Option<u32>) -> Option<Route> {
    Some(Route::Repair { source, repaired: Repaired { rid: rid.map(token), media: media.map(Ssrc) } })
}

#[test]
fn a_repaired_rid_names_the_layer_and_the_ssrc_stands_for_it_from_then_on() {
    let mut inbound = inbound(&[section("0", &["q", "h"], &[]), section("1", &["q", "h"], &[])]);
    let media = route(&mut inbound, VP8, 1, &[(MID, "1"), (RID, "h")]);
    assert_eq!(media, Some(Route::Media { source: 1, rid: Some(token("h")) }));
    let sent_again = repair(1, Some("h"), None);
    assert_eq!(route(&mut inbound, RTX, 2, &[(MID, "1"), (REPAIRED, "h")]), sent_again);
    assert_eq!(route(&mut inbound, RTX, 2, &[]), sent_again);
    assert_eq!(route(&mut inbound, RTX, 3, &[(MID, "1")]), None, "of which layer?");
    assert_eq!(route(&mut inbound, RTX, 3, &[(REPAIRED, "h")]), None, "of which section?");
    assert_eq!(inbound.streams(), 2);
}

#[test]
fn a_group_of_ssrcs_names_the_stream_that_is_repaired() {
    let pairs = [(Ssrc(1), Some(Ssrc(2))), (Ssrc(3), Some(Ssrc(4)))];
    let mut inbound = inbound(&[section("0", &["q", "h"], &pairs), section("1", &[], &[])]);
    assert_eq!(route(&mut inbound, RTX, 4, &[]), repair(0, None, Some(3)));
    assert_eq!(route(&mut inbound, RTX, 2, &[(MID, "0"), (REPAIRED, "q")]), repair(0, Some("q"), Some(1)));
    assert_eq!(route(&mut inbound, RTX, 5, &[]), None, "two sections have the payload type");
}

#[test]
fn the_payload_type_alone_suffices_where_one_section_has_it() {
    let mut inbound = inbound(&[section("0", &[], &[])]);
    assert_eq!(route(&mut inbound, RTX, 2, &[]), repair(0, None, None));
    assert_eq!(route(&mut inbound, VP8, 1, &[]), Some(Route::Media { source: 0, rid: None }));
}

#[test]
fn what_is_neither_media_nor_sent_again_is_not_learnt() {
    let mut inbound = inbound(&[section("0", &[], &[])]);
    assert_eq!(route(&mut inbound, PayloadType(13), 1, &[(MID, "0")]), None);
    assert_eq!(inbound.streams(), 0);
    assert_eq!(route(&mut inbound, VP8, 1, &[(MID, "0")]), Some(Route::Media { source: 0, rid: None }));
}

#[test]
fn an_ended_source_takes_both_of_its_streams_along() {
    let mut inbound = inbound(&[section("0", &[], &[]), section("1", &[], &[])]);
    for (ssrc, mid) in [(1, "0"), (3, "1")] {
        route(&mut inbound, VP8, ssrc, &[(MID, mid)]);
        route(&mut inbound, RTX, ssrc + 1, &[(MID, mid)]);
    }
    inbound.unbind(0);
    assert_eq!(inbound.streams(), 2);
    assert_eq!(route(&mut inbound, RTX, 4, &[]), repair(1, None, None));
    assert_eq!(route(&mut inbound, RTX, 2, &[(MID, "0")]), None, "nothing is bound to it");
}

#[test]
fn streams_of_retransmissions_count_towards_the_bound() {
    let mut inbound = inbound(&[section("0", &[], &[])]);
    for ssrc in 0..2 * limits::RECEIVE_STREAMS as u32 {
        route(&mut inbound, RTX, ssrc, &[(MID, "0")]);
    }
    assert_eq!(inbound.streams(), limits::RECEIVE_STREAMS);
}
