//! Headers and extensions, read and written, against another implementation and damaged.

use ::rtp::header as oracle;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rtc_shared::marshal::{Marshal, Unmarshal};

use super::*;

/// A header with marker 0, payload type 96, sequence number 1, timestamp 2, SSRC 3; flags as given.
fn fixed(flags: u8) -> Vec<u8> {
    vec![0x80 | flags, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]
}

/// A packet whose extension block has this profile and these bytes.
fn with_block(profile: u16, elements: &[u8]) -> Vec<u8> {
    let mut packet = fixed(0x10);
    packet.extend(profile.to_be_bytes());
    packet.extend(((elements.len() / 4) as u16).to_be_bytes());
    packet.extend(elements);
    packet
}

fn elements(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let header = Header::parse(packet).unwrap();
    header.extensions(packet).map(|(id, value)| (id, value.to_vec())).collect()
}

/// Touches everything a parsed packet offers, and checks that the offsets lie inside it.
fn exercise(packet: &[u8]) {
    let Ok(header) = Header::parse(packet) else { return };
    assert!(header.len <= packet.len());
    assert!(header.extensions(packet).count() <= header.len);
    if let Ok(payload) = header.payload(packet) {
        assert!(payload.len() <= packet.len() - header.len);
    }
    let cut = packet.get(..packet.len() / 2).unwrap();
    header.extensions(cut).for_each(drop); // a record beside the wrong buffer
    let _ = header.payload(cut);
}

fn random_oracle_packet(random: &mut StdRng) -> ::rtp::packet::Packet {
    let bytes = |random: &mut StdRng, len: usize| {
        let mut value = vec![0; len];
        random.fill_bytes(&mut value);
        Bytes::from(value)
    };
    let mut header = oracle::Header {
        version: 2,
        padding: random.random(),
        marker: random.random(),
        payload_type: random.random_range(0..128),
        sequence_number: random.random(),
        timestamp: random.random(),
        ssrc: random.random(),
        csrc: (0..random.random_range(0..=15)).map(|_| random.random()).collect(),
        ..Default::default()
    };
    let two_byte = random.random_ratio(1, 3);
    let mut ids: Vec<u8> = (1..=14).filter(|_| random.random_ratio(1, 4)).collect();
    if two_byte {
        ids.push(random.random_range(16..=255));
        header.extension_profile = oracle::EXTENSION_PROFILE_TWO_BYTE;
    } else {
        header.extension_profile = oracle::EXTENSION_PROFILE_ONE_BYTE;
    }
    header.extension = !ids.is_empty();
    for id in ids {
        let len = if two_byte { random.random_range(0..=255) } else { random.random_range(1..=16) };
        header.extensions.push(oracle::Extension { id, payload: bytes(random, len) });
    }
    let len = random.random_range(0..1200);
    ::rtp::packet::Packet { header, payload: bytes(random, len) }
}

#[test]
fn random_valid_packets_read_as_the_oracle_wrote_them() {
    let mut random = StdRng::seed_from_u64(1);
    let mut extended = 0;
    for _ in 0..3_000 {
        let expected = random_oracle_packet(&mut random);
        let packet = expected.marshal().unwrap();
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.marker, expected.header.marker);
        assert_eq!(header.payload_type.0, expected.header.payload_type);
        assert_eq!(header.sequence_number, expected.header.sequence_number);
        assert_eq!(header.timestamp, expected.header.timestamp);
        assert_eq!(header.ssrc.0, expected.header.ssrc);
        assert_eq!(header.has_padding, expected.header.padding);
        assert_eq!(header.payload(&packet).unwrap(), &expected.payload[..]);
        let expected_elements = expected.header.extensions.iter().map(|e| (e.id, e.payload.to_vec()));
        assert_eq!(elements(&packet), expected_elements.collect::<Vec<_>>());
        extended += usize::from(expected.header.extension);
    }
    assert!(extended > 1_000, "the generator makes extensions");
}

#[test]
fn random_written_headers_are_read_alike_by_the_oracle() {
    let mut random = StdRng::seed_from_u64(2);
    let mut writer = HeaderWriter::new(false, PayloadType(0), 0, 0, Ssrc(0));
    let (mut narrow, mut wide) = (0, 0);
    for _ in 0..3_000 {
        let (marker, payload_type, sequence) = (random.random(), random.random_range(0..128), random.random());
        let (timestamp, ssrc) = (random.random(), random.random());
        writer.restart(marker, PayloadType(payload_type), sequence, timestamp, Ssrc(ssrc));
        let mut expected = Vec::new();
        for _ in 0..random.random_range(0..6) {
            let id =
                if random.random_ratio(1, 12) { random.random_range(16..=255) } else { random.random_range(1..15) };
            let mut value = vec![0; random.random_range(1..=18)];
            random.fill_bytes(&mut value);
            if writer.extension(id, &value) {
                expected.push((id, value));
            }
        }
        let written = writer.finish().to_vec();
        assert_eq!(written.len() % 4, 0);
        let read = oracle::Header::unmarshal(&mut written.as_slice()).unwrap();
        assert_eq!((read.marker, read.payload_type, read.sequence_number), (marker, payload_type, sequence));
        assert_eq!((read.timestamp, read.ssrc, read.padding), (timestamp, ssrc, false));
        let found = read.extensions.iter().map(|e| (e.id, e.payload.to_vec()));
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(elements(&written), expected);
        if !expected.is_empty() {
            let fits = expected.iter().all(|(id, value)| *id < 15 && value.len() <= 16);
            assert_eq!(read.extension_profile == oracle::EXTENSION_PROFILE_ONE_BYTE, fits);
            *if fits { &mut narrow } else { &mut wide } += 1;
        }
    }
    assert!(narrow > 500 && wide > 500, "both forms are met: {narrow}, {wide}");
}

#[test]
fn random_bytes_of_every_length_are_read_or_refused() {
    let mut random = StdRng::seed_from_u64(3);
    let mut parsed = 0;
    for len in 0..=1500 {
        for flags in [0u8, 0x10, 0x30, 0x3f] {
            let mut packet = vec![0; len];
            random.fill_bytes(&mut packet);
            exercise(&packet);
            if let Some(first) = packet.first_mut() {
                *first = 0x80 | flags;
            }
            if let Some(high) = packet.get_mut(14).filter(|_| flags & 0x0f == 0) {
                *high = 0; // a block that may fit
            }
            exercise(&packet);
            parsed += usize::from(Header::parse(&packet).is_ok());
        }
    }
    assert!(parsed > 2_000, "the sweep gets past the header: {parsed}");
}

#[test]
fn a_truncated_packet_is_too_short_exactly_while_its_header_is_cut() {
    let mut random = StdRng::seed_from_u64(4);
    for _ in 0..40 {
        let packet = random_oracle_packet(&mut random).marshal().unwrap();
        let header_len = Header::parse(&packet).unwrap().len;
        for len in 0..packet.len() {
            let cut = &packet[..len];
            assert_eq!(Header::parse(cut).err() == Some(RtpError::TooShort), len < header_len);
            exercise(cut);
        }
    }
}

#[test]
fn random_mutations_of_valid_packets_are_read_or_refused() {
    let mut random = StdRng::seed_from_u64(5);
    for _ in 0..20_000 {
        let mut packet = random_oracle_packet(&mut random).marshal().unwrap().to_vec();
        for _ in 0..random.random_range(1..8) {
            let at = random.random_range(0..packet.len().min(64));
            packet[at] = random.random();
        }
        exercise(&packet);
    }
}

#[test]
fn other_versions_are_refused() {
    for version in [0u8, 1, 3] {
        let mut packet = fixed(0);
        packet[0] = version << 6;
        assert_eq!(Header::parse(&packet).err(), Some(RtpError::Version));
    }
}

#[test]
fn padding_must_lie_inside_the_payload() {
    let padded = |payload: &[u8]| {
        let mut packet = fixed(0x20);
        packet.extend(payload);
        packet
    };
    let payload = |packet: &[u8]| Header::parse(packet).unwrap().payload(packet).map(<[u8]>::to_vec);
    assert_eq!(payload(&padded(&[7, 8, 0, 2])), Ok(vec![7, 8]));
    assert_eq!(payload(&padded(&[0, 0, 3])), Ok(vec![]), "padding alone");
    assert_eq!(payload(&padded(&[0, 0, 4])), Err(RtpError::Padding), "into the header");
    assert_eq!(payload(&padded(&[7, 8, 0])), Err(RtpError::Padding), "0 does not count itself");
    assert_eq!(payload(&padded(&[])), Err(RtpError::Padding), "nothing to say how much");
    assert_eq!(payload(&fixed(0)), Ok(vec![]));
}

#[test]
fn an_id_of_15_ends_the_one_byte_block_and_the_packet_is_valid() {
    let packet = with_block(ONE_BYTE_PROFILE, &[0x10, 0xaa, 0xf0, 0xbb, 0x20, 0xcc, 0, 0]);
    assert_eq!(elements(&packet), [(1, vec![0xaa])]);
}

#[test]
fn padding_between_elements_is_passed_over() {
    let packet = with_block(ONE_BYTE_PROFILE, &[0, 0x10, 0xaa, 0, 0, 0x21, 0xbb, 0xcc]);
    assert_eq!(elements(&packet), [(1, vec![0xaa]), (2, vec![0xbb, 0xcc])]);
    let packet = with_block(0x1003, &[0, 1, 0, 0, 15, 2, 0xbb, 0xcc]);
    assert_eq!(elements(&packet), [(1, vec![]), (15, vec![0xbb, 0xcc])], "15 is an id like others here");
}

#[test]
fn an_element_past_the_block_ends_it() {
    let mut packet = with_block(ONE_BYTE_PROFILE, &[0x10, 0xaa, 0x2f, 0xbb]);
    packet.extend([0; 32]);
    assert_eq!(elements(&packet), [(1, vec![0xaa])], "payload is not read as a value");
    let mut packet = with_block(TWO_BYTE_PROFILE, &[1, 1, 0xaa, 2]);
    packet.extend([0; 32]);
    assert_eq!(elements(&packet), [(1, vec![0xaa])], "nor as a length");
    let packet = with_block(ONE_BYTE_PROFILE, &[0x01, 0xaa, 0x10, 0xbb]);
    assert_eq!(elements(&packet), [], "id 0 with a length");
}

#[test]
fn an_unknown_profile_is_passed_over_whole() {
    let mut packet = with_block(0xabcd, &[0x10, 0xaa, 0x10, 0xbb]);
    packet.push(9);
    assert_eq!(elements(&packet), []);
    assert_eq!(Header::parse(&packet).unwrap().payload(&packet), Ok([9].as_slice()));
}

#[test]
fn an_extension_is_found_by_the_peers_map() {
    let packet = with_block(ONE_BYTE_PROFILE, &[0x10, 0xaa, 0x20, 0xbb]);
    let header = Header::parse(&packet).unwrap();
    let mut map = ExtensionMap::default();
    map.insert(2, Extension::AudioLevel);
    map.insert(3, Extension::Mid);
    assert_eq!(header.extension(&packet, &map, Extension::AudioLevel), Some([0xbb].as_slice()));
    assert_eq!(header.extension(&packet, &map, Extension::Mid), None, "not in the packet");
    assert_eq!(header.extension(&packet, &map, Extension::Rid), None, "not in the map");
}

#[test]
fn a_large_element_turns_the_earlier_ones_into_the_two_byte_form() {
    let mut writer = HeaderWriter::new(true, PayloadType(96), 1, 2, Ssrc(3));
    assert!(writer.extension(1, &[0xaa]));
    assert!(writer.extension(2, &[0xbb; 16]));
    assert_eq!(writer.finish()[12..14], ONE_BYTE_PROFILE.to_be_bytes());
    assert!(writer.extension(3, &[0xcc; 100]));
    let written = writer.finish().to_vec();
    assert_eq!(written[12..14], TWO_BYTE_PROFILE.to_be_bytes());
    assert_eq!(elements(&written), [(1, vec![0xaa]), (2, vec![0xbb; 16]), (3, vec![0xcc; 100])]);
    assert_eq!(writer.finish(), written, "finishing twice changes nothing");
}

#[test]
fn what_has_no_room_is_left_out_and_the_rest_stands() {
    for len in 0..=300usize {
        let mut writer = HeaderWriter::new(false, PayloadType(96), 1, 2, Ssrc(3));
        assert!(writer.extension(1, &[0xaa]));
        assert!(writer.extension(2, &[0xbb; 16]));
        let fits = writer.extension(3, &vec![0xcc; len]);
        assert_eq!(fits, len <= 255, "{len} bytes");
        let again = writer.extension(4, &vec![0xdd; len]);
        let written = writer.finish();
        assert!(written.len() <= WRITTEN_HEADER_BYTES);
        let header = Header::parse(written).unwrap();
        assert_eq!(header.len, written.len());
        assert_eq!(header.extensions(written).count(), 2 + usize::from(fits) + usize::from(again));
    }
}

#[test]
fn an_element_that_does_not_fit_leaves_the_one_byte_form() {
    let mut writer = HeaderWriter::new(false, PayloadType(96), 1, 2, Ssrc(3));
    for id in 1..=14 {
        assert!(writer.extension(id, &[id; 16]));
    }
    assert!(!writer.extension(16, &[1; 60]), "no room once widened");
    assert!(!writer.extension(0, &[1]));
    let written = writer.finish();
    assert_eq!(written[12..14], ONE_BYTE_PROFILE.to_be_bytes());
    assert_eq!(elements(written).len(), 14);
}

#[test]
fn a_header_without_elements_has_no_block() {
    let mut writer = HeaderWriter::new(true, PayloadType(111), 0x1234, 0x89ab_cdef, Ssrc(0xfeed_f00d));
    assert_eq!(writer.finish(), [0x80, 0x80 | 111, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xed, 0xf0, 0x0d]);
}
