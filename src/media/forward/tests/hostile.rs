//! Malformed packets of an authenticated publisher, through parsing and rewriting together: padding, extensions and descriptors that lie.

use rand::{Rng, RngCore};

use super::*;
use crate::media::receive::ReceiveStream;
use crate::wire::rtp::WRITTEN_HEADER_BYTES;

const CODECS: [Codec; 7] = [Codec::Opus, Codec::Red, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1];

/// A packet with all the extensions and the payload a publisher may send, and then some bytes changed.
fn mutant(random: &mut StdRng, codec: Codec, sequence: u64, len: usize) -> Vec<u8> {
    let mut payload = match codec {
        Codec::Vp8 => vp8(random.random(), random.random(), random.random()),
        Codec::Red => vec![0x80 | 111, 0x0f, 0x00, 2, 111, 10, 11, 20, 30],
        _ => Vec::new(),
    };
    let start = payload.len().min(len);
    payload.resize(len, 0);
    random.fill_bytes(&mut payload[start..]);
    let mut sent = Sent::new(0, codec, sequence, &payload);
    sent.extensions = vec![(11, vec![b'0']), (12, vec![30]), (13, descriptor(random, sequence as u16))];
    if random.random_ratio(1, 4) {
        let len = random.random_range(0..=255);
        sent.extensions.push((random.random_range(1..=255), vec![7; len]));
    }
    sent.padding = random.random_range(0..3);
    let mut packet = sent.bytes();
    for _ in 0..random.random_range(0..6) {
        let at = random.random_range(0..packet.len().min(80));
        // Numbers and SSRCs that jump would mostly be dropped, and hide what lies behind.
        if !(2..12).contains(&at) || random.random_ratio(1, 50) {
            packet[at] = random.random();
        }
    }
    packet
}

/// A dependency descriptor of three temporal layers, most often with a structure, and sometimes nonsense.
fn descriptor(random: &mut StdRng, number: u16) -> Vec<u8> {
    let template = |temporal| WrittenTemplate {
        layer: Layer { spatial: 0, temporal },
        indications: vec![Indication::Required; 3],
        references: vec![1, 3],
    };
    let written = WrittenStructure { offset: 7, templates: (0..3).map(template).collect(), sizes: vec![(640, 360)] };
    let structure = Some(&written).filter(|_| random.random_ratio(3, 4));
    let mut value = WrittenFrame { structure, ..WrittenFrame::new(random.random_range(6..11), number) }.bytes();
    if random.random_ratio(1, 3) {
        let at = random.random_range(0..value.len());
        value[at] = random.random();
    }
    value
}

#[test]
fn mutated_packets_of_every_length_are_rewritten_or_dropped() {
    let mut random = StdRng::seed_from_u64(9);
    let now = Instant::now();
    let everything: Vec<_> = CODECS.iter().map(|codec| (*codec, PayloadType(*codec as u8 + 96))).collect();
    let source = source_map();
    let (mut forwarded, mut again, mut scratch) = (0, 0, Scratch::default());
    let repaired: Vec<_> = everything.iter().map(|(_, media)| (*media, PayloadType(120))).collect();
    for codec in CODECS {
        let mut whole = send_stream(&everything, 1);
        whole.retransmit_to(RtxTarget { ssrc: Ssrc(5), payload_types: repaired.clone() }, &mut random);
        let mut opus_only = send_stream(&[OPUS], 2);
        let mut receiver = ReceiveStream::new(Ssrc(1000), 90_000);
        let mut given = std::collections::BTreeSet::new();
        let mut structure = None;
        for (sequence, len) in (70_000..).zip(0..=1500) {
            let packet = mutant(&mut random, codec, sequence, len);
            let Ok(header) = Header::parse(&packet) else { continue };
            let payload = header.payload(&packet).unwrap_or(&[]);
            let descriptor = header.extension(&packet, &source, Extension::DependencyDescriptor);
            let record = Packet {
                encoding: 0,
                header,
                extended_sequence: receiver.receive(now, &header, packet.len()),
                codec,
                info: codec::inspect(codec, payload, descriptor, &mut structure),
                clock: None,
            };
            let layers = Layer { spatial: random.random_range(0..8), temporal: random.random_range(0..8) };
            whole.select(Some(Selection { encoding: 0, layers }));
            opus_only.select(Some(Selection::all(0)));
            opus_only.forward(now, &record, &source, &packet, Hop::default(), &mut scratch);
            if random.random_ratio(1, 4) {
                let cut = random.random_range(0..=packet.len());
                whole.forward(now, &record, &source, &packet[..cut], Hop::default(), &mut scratch); // a record beside the wrong buffer
            }
            let Some(outgoing) = whole.forward(now, &record, &source, &packet, Hop::default(), &mut scratch) else {
                continue;
            };
            forwarded += 1;
            assert!(given.insert(outgoing.extended_sequence), "no number is given twice");
            assert!(outgoing.header.len() <= WRITTEN_HEADER_BYTES);
            assert!(outgoing.prefix.len() <= outgoing.payload.len());
            assert!(outgoing.payload.len() <= payload.len() && packet.get(outgoing.payload.clone()).is_some());
            let written = Header::parse(outgoing.header).unwrap();
            assert_eq!((written.len, written.ssrc, written.has_padding), (outgoing.header.len(), SSRC, false));
            let (header_len, carried) = (written.len, outgoing.payload.len());
            let found = whole.find_lost(now, written.sequence_number).unwrap();
            let cut = random.random_range(0..=packet.len());
            let _ = whole.retransmit(
                now,
                &found,
                Cause::Nack,
                &record,
                &source,
                &packet[..cut],
                Hop::default(),
                &mut scratch,
            ); // the wrong buffer again
            // Over budget now and then: each is sent again once or twice.
            let Ok(outgoing) =
                whole.retransmit(now, &found, Cause::Nack, &record, &source, &packet, Hop::default(), &mut scratch)
            else {
                continue;
            };
            again += 1;
            assert_eq!((outgoing.header.len(), outgoing.payload.len()), (header_len, carried + 2));
            assert!(outgoing.prefix.len() <= outgoing.payload.len() && packet.get(outgoing.payload).is_some());
        }
    }
    assert!(forwarded > 1_000 && again > 100, "mutants get through: {forwarded}, and {again} again");
}
