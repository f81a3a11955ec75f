//! Payload descriptors and keyframes of each codec, from bytes written by hand and by other implementations.

use ::rtp::codec::vp8::Vp8Packet;
use ::rtp::codec::vp9::Vp9Packet;
use ::rtp::packetizer::Depacketizer;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::*;

const CODECS: [Codec; 10] = [
    Codec::Opus,
    Codec::Red,
    Codec::Pcmu,
    Codec::Pcma,
    Codec::G722,
    Codec::Vp8,
    Codec::Vp9,
    Codec::H264,
    Codec::H265,
    Codec::Av1,
];

fn noise(random: &mut StdRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill_bytes(&mut bytes);
    bytes
}

#[test]
fn random_vp8_descriptors_read_as_the_oracle_reads_them() {
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..5_000 {
        let payload = noise(&mut random, 16);
        let mut oracle = Vp8Packet::default();
        let rest = oracle.depacketize(&Bytes::from(payload.clone())).unwrap();
        let descriptor = vp8::parse(&payload).unwrap();
        assert_eq!(usize::from(descriptor.len), payload.len() - rest.len());
        assert_eq!(descriptor.picture_id, (oracle.i == 1).then_some(oracle.picture_id));
        assert_eq!(descriptor.tl0_pic_idx, (oracle.l == 1).then_some(oracle.tl0_pic_idx));
        assert_eq!(descriptor.temporal_id, (oracle.t == 1).then_some(oracle.tid));
        assert_eq!(descriptor.layer_sync, oracle.t == 1 && oracle.y == 1);
        assert_eq!(descriptor.starts_frame, oracle.s == 1 && oracle.pid == 0);
    }
}

#[test]
fn random_vp9_descriptors_start_keyframes_as_the_oracle_reads_them() {
    let mut random = StdRng::seed_from_u64(2);
    let mut starts = 0;
    for _ in 0..20_000 {
        let payload = noise(&mut random, 400);
        let mut oracle = Vp9Packet::default();
        if oracle.depacketize(&Bytes::from(payload.clone())).is_err() {
            continue; // a layer number or structure the oracle bounds
        }
        let expected = !oracle.p && oracle.b && (!oracle.l || oracle.sid == 0);
        let descriptor = vp9::parse(&payload).unwrap();
        assert_eq!(vp9::starts_keyframe(&descriptor), expected);
        starts += usize::from(expected);
        assert_eq!(descriptor.picture_id, oracle.i.then_some(oracle.picture_id));
        assert_eq!(descriptor.tl0_pic_idx, (oracle.l && !oracle.f).then_some(oracle.tl0picidx));
        assert_eq!((descriptor.starts_frame, descriptor.ends_frame), (oracle.b, oracle.e));
        assert_eq!((descriptor.inter_picture, descriptor.not_reference_above), (oracle.p, oracle.z));
        if oracle.l {
            assert_eq!(descriptor.layer, Layer { spatial: oracle.sid, temporal: oracle.tid });
            assert_eq!((descriptor.switching_up, descriptor.inter_layer), (oracle.u, oracle.d));
        }
        let references: Vec<_> = vp9::references(&payload).into_iter().take(oracle.pdiff.len()).collect();
        assert_eq!(references, oracle.pdiff);
        let structure = vp9::scalability_structure(&payload);
        assert_eq!(structure.is_some(), oracle.v);
        if let Some(structure) = structure {
            assert_eq!(structure.spatial_layers, oracle.ns + 1);
            // The oracle takes the reserved bits for the G bit too.
            assert!(structure.pictures == oracle.ng || structure.pictures == 0);
            let sizes: Vec<_> = structure.sizes.iter().flatten().copied().collect();
            assert_eq!(sizes, oracle.width.into_iter().zip(oracle.height).collect::<Vec<_>>());
        }
    }
    assert!(starts > 500, "keyframes are met: {starts}");
}

#[test]
fn payloads_of_every_length_are_read_whatever_they_hold() {
    let mut random = StdRng::seed_from_u64(3);
    for len in 0..=1500 {
        let payload = noise(&mut random, len);
        let descriptor_len = random.random_range(0..8);
        let descriptor = noise(&mut random, descriptor_len);
        for codec in CODECS {
            let info = inspect(codec, &payload, None, &mut None);
            assert!(!info.starts_keyframe || codec.is_video());
            assert!(info.descriptor.counters_len() <= len.min(red::HEADERS_BYTES));
            let mut copy = payload.clone();
            info.descriptor.write(&mut copy);
            assert_eq!(copy, payload, "writing what was read changes nothing");
            info.descriptor.write(copy.get_mut(..len / 2).unwrap());
            inspect(codec, &payload, Some(&descriptor), &mut None);
        }
        if let Some(red) = red::parse(&payload) {
            assert!(red.headers.len() + red.primary.len() <= len);
        }
    }
}

#[test]
fn a_dependency_descriptor_decides_over_an_opaque_payload() {
    let (starts, continues) = ([0x80, 0, 1, 0x80].as_slice(), [0x80, 0, 1].as_slice());
    let (key, delta) = ([0x67, 0].as_slice(), [0x41, 0].as_slice());
    assert!(inspect(Codec::H264, delta, Some(starts), &mut None).starts_keyframe);
    assert!(!inspect(Codec::H264, key, Some(continues), &mut None).starts_keyframe);
    assert!(inspect(Codec::H264, key, Some(&[0x80]), &mut None).starts_keyframe, "too short to decide");
    assert!(!inspect(Codec::Opus, key, Some(starts), &mut None).starts_keyframe, "audio has none");
    let vp8 = inspect(Codec::Vp8, &[0x90, 0x80, 0x05, 0x01], Some(starts), &mut None);
    let PayloadDescriptor::Vp8(vp8) = vp8.descriptor else { panic!("{vp8:?}") };
    assert_eq!(vp8.picture_id, Some(5), "counters are read all the same");
}
