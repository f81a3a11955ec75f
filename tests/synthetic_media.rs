//! The checks of synthetic media themselves: a stream that is whole passes, and each fault is found.

mod support;

use support::media::{
    Continuity, Numbering, OPUS_PAYLOAD_TYPE, OPUS_STEP, Received, VP8_PAYLOAD_TYPE, VP8_STEP, Vp8Packet, check_opus,
    check_vp8, keyframes, opus_payload,
};

/// Enough to wrap the sequence number, and the timestamp of audio.
const PACKETS: u32 = 100;

#[test]
fn whole_streams_pass_and_a_gap_of_the_source_is_counted() {
    let (mut audio, mut video) = (opus(), vp8());
    assert_eq!(check_opus(&audio), whole(PACKETS as usize));
    assert_eq!(check_vp8(&video), whole(PACKETS as usize));
    assert_eq!(keyframes(&video), 1);
    audio.drain(10..13);
    video.remove(40);
    assert_eq!(check_opus(&audio).missing, 3);
    assert_eq!(check_vp8(&video).missing, 1);
}

#[test]
#[should_panic(expected = "payload of Opus packet 7 was changed")]
fn a_changed_byte_of_audio_is_found() {
    let mut audio = opus();
    audio[7].payload[60] ^= 1;
    check_opus(&audio);
}

#[test]
#[should_panic(expected = "was changed")]
fn a_changed_byte_of_video_is_found() {
    let mut video = vp8();
    video[7].payload[900] ^= 1;
    check_vp8(&video);
}

#[test]
#[should_panic(expected = "a gap is the source's gap")]
fn a_gap_that_is_closed_up_is_found() {
    let mut audio = opus();
    audio.remove(50);
    for one in &mut audio[50..] {
        one.header.sequence_number = one.header.sequence_number.wrapping_sub(1);
    }
    check_opus(&audio);
}

#[test]
#[should_panic(expected = "sequence number went by")]
fn packets_out_of_order_are_found() {
    let mut audio = opus();
    audio.swap(20, 21);
    check_opus(&audio);
}

#[test]
#[should_panic(expected = "packets later")]
fn a_wrong_time_is_found() {
    let mut audio = opus();
    audio[30].header.timestamp = audio[30].header.timestamp.wrapping_add(1);
    check_opus(&audio);
}

#[test]
#[should_panic(expected = "the stream starts with")]
fn a_stream_that_starts_without_a_keyframe_is_found() {
    check_vp8(&vp8()[1..]);
}

#[test]
#[should_panic(expected = "pictures later")]
fn a_picture_id_that_jumps_is_found() {
    let mut video = vp8();
    video.iter_mut().skip(50).for_each(|one| one.payload[3] ^= 0x40);
    check_vp8(&video);
}

fn whole(packets: usize) -> Continuity {
    Continuity { packets, missing: 0 }
}

fn opus() -> Vec<Received> {
    let mut numbering = Numbering::new(1, OPUS_PAYLOAD_TYPE);
    let packet = |index| {
        numbering.advance(OPUS_STEP);
        received(numbering.packet(false, opus_payload(index)))
    };
    (0..PACKETS).map(packet).collect()
}

fn vp8() -> Vec<Received> {
    let mut numbering = Numbering::new(2, VP8_PAYLOAD_TYPE);
    let packet = |index: u32| {
        numbering.advance(VP8_STEP);
        let packet = Vp8Packet { index, keyframe: index == 0, part: 0 };
        received(numbering.packet(true, packet.payload(0x7ff0 + index as u16, index as u8)))
    };
    (0..PACKETS).map(packet).collect()
}

fn received(packet: rtp::Packet) -> Received {
    Received { header: packet.header, payload: packet.payload.to_vec() }
}
