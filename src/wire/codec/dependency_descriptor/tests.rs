//! Descriptors captured from a browser, written by hand, and noise.

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::Indication::{Discardable, NotPresent, Switch};
use super::writing::{WrittenFrame, WrittenStructure, WrittenTemplate};
use super::*;

/// The first packet of a keyframe of AV1 in L3T3, as Chromium sends it, and packets of the frames after it.
const KEYFRAME: &str = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820ac1282503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d";
const FRAMES: [&str; 6] = ["86017340fc", "46017340fc", "c3017540fc", "88017640fc", "860173", "c30175"];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn layer(spatial: u8, temporal: u8) -> Layer {
    Layer { spatial, temporal }
}

/// One spatial layer and three temporal ones (A.6.1 of the specification).
fn l1t3(offset: u8) -> WrittenStructure {
    let template = |temporal, references: &[u32], indications: [Indication; 3]| WrittenTemplate {
        layer: layer(0, temporal),
        indications: indications.to_vec(),
        references: references.to_vec(),
    };
    WrittenStructure {
        offset,
        templates: vec![
            template(0, &[], [Switch; 3]),
            template(0, &[4], [Switch; 3]),
            template(1, &[2], [Switch, Discardable, NotPresent]),
            template(2, &[1], [Discardable, NotPresent, NotPresent]),
        ],
        sizes: vec![(1280, 720)],
    }
}

#[test]
fn a_browsers_descriptors_are_read_in_full() {
    let mut structure = None;
    let key = read(&bytes(KEYFRAME), &mut structure).unwrap();
    assert_eq!((key.frame_number, key.layer, key.starts_frame, key.ends_frame), (0x0172, layer(0, 0), true, true));
    assert_eq!(key.references, 0);
    let known = structure.as_deref().unwrap();
    assert_eq!((known.spatial_layers(), known.temporal_layers(), known.decode_targets()), (3, 3, 9));
    let sizes: Vec<_> = (0..4).map(|spatial| known.size(spatial)).collect();
    assert_eq!(sizes, [Some((120, 67)), Some((240, 135)), Some((480, 270)), None]);
    let read: Vec<_> = FRAMES.map(|hex| read(&bytes(hex), &mut structure).unwrap()).to_vec();
    assert_eq!(read[0].layer, layer(1, 0), "the same superframe, referring to the layer below");
    assert_eq!((read[0].references, read[0].starts_frame, read[0].ends_frame), (1, true, false));
    assert_eq!((read[1].starts_frame, read[1].ends_frame), (false, true));
    assert_eq!((read[2].layer, read[2].frame_number), (layer(0, 2), 0x0175));
    assert_eq!(read[0].indication(layer(0, 2)), NotPresent);
    assert_eq!(read[0].indication(layer(1, 0)), Switch);
    assert_eq!(read[2].indication(layer(0, 2)), Discardable);
    assert_eq!(read[2].indication(layer(0, 1)), NotPresent);
}

#[test]
fn templates_and_what_a_frame_says_of_its_own_agree() {
    let written = l1t3(60);
    let mut structure = None;
    let key = WrittenFrame { structure: Some(&written), ..WrittenFrame::new(60, 7) }.bytes();
    let read_key = read(&key, &mut structure).unwrap();
    assert_eq!(starts_keyframe(&key), Some(true));
    assert_eq!(read_key.indication(layer(0, 0)), Switch);
    let top = read(&WrittenFrame::new(63, 8).bytes(), &mut structure).unwrap();
    assert_eq!((top.layer, top.references), (layer(0, 2), 1));
    assert_eq!(top.indication(layer(3, 7)), Discardable, "more layers than there are: the most there is");
    assert_eq!(top.indication(layer(0, 1)), NotPresent);
    let custom = WrittenFrame { references: Some(&[3, 40]), ..WrittenFrame::new(62, 9) }.bytes();
    let custom = read(&custom, &mut structure).unwrap();
    assert_eq!((custom.references, custom.refers_further), (1 << 2, true));
    assert_eq!(read(&WrittenFrame::new(0, 8).bytes(), &mut structure), None, "no template has this id");
    assert_eq!(read(&WrittenFrame::new(60, 8).bytes(), &mut None), None, "no structure is known");
}

#[test]
fn template_ids_are_moved_together_with_their_offset() {
    let written = l1t3(62);
    let mut key = WrittenFrame { structure: Some(&written), ..WrittenFrame::new(1, 7) }.bytes();
    let before = read(&key, &mut None).unwrap();
    shift_templates(&mut key, 9);
    let mut structure = None;
    assert_eq!(read(&key, &mut structure), Some(before));
    assert_eq!(template_ids(&structure.unwrap()), (7, 4));
    let mut delta = WrittenFrame::new(63, 8).bytes();
    shift_templates(&mut delta, 9);
    assert_eq!(delta, WrittenFrame::new(8, 8).bytes());
    shift_templates(&mut [0xc0, 0], 9);
}

#[test]
fn a_mask_of_active_targets_is_put_in_and_narrowed() {
    let written = l1t3(5);
    let mut out = [0; DESCRIPTOR_BYTES];
    let plain = WrittenFrame { structure: Some(&written), references: Some(&[40]), ..WrittenFrame::new(6, 7) };
    let masked = WrittenFrame { active: Some((3, 0b110)), ..plain };
    let plain = WrittenFrame { active: None, ..masked }.bytes();
    let len = with_active_targets(&plain, 3, 0b110, &mut out).unwrap();
    assert!(out[..len].starts_with(&masked.bytes()) && len <= masked.bytes().len() + 1, "padding may take a byte");
    let len = with_active_targets(&masked.bytes(), 3, 0b011, &mut out).unwrap();
    let narrowed = WrittenFrame { active: Some((3, 0b010)), ..masked }.bytes();
    assert_eq!(out[..len], narrowed, "what the publisher says holds");
    let delta = WrittenFrame::new(6, 9).bytes();
    let len = with_active_targets(&delta, 3, 0b001, &mut out).unwrap();
    assert_eq!(
        out[..len],
        WrittenFrame { active: Some((3, 0b001)), ..WrittenFrame::new(6, 9) }.bytes(),
        "extended fields begin"
    );
    assert_eq!(with_active_targets(&[1, 2], 3, 0, &mut out), None);
}

#[test]
fn a_frame_start_with_a_structure_starts_a_keyframe() {
    assert_eq!(starts_keyframe(&[0x80, 0, 1, 0x80]), Some(true));
    assert_eq!(starts_keyframe(&[0x40, 0, 1, 0x80]), Some(false), "end of the frame");
    assert_eq!(starts_keyframe(&[0x80, 0, 1, 0x40]), Some(false), "active targets only");
    assert_eq!(starts_keyframe(&[0xc0, 0, 1]), Some(false), "mandatory fields only");
    for len in 0..MANDATORY_BYTES {
        assert_eq!(starts_keyframe(&[0x80; 3][..len]), None);
    }
}

#[test]
fn the_frame_number_is_replaced_in_place() {
    let mut value = [0xc1, 0x12, 0x34, 0x80, 0x55];
    assert_eq!(frame_number(&value), Some(0x1234));
    set_frame_number(&mut value, 0xabcd);
    assert_eq!(value, [0xc1, 0xab, 0xcd, 0x80, 0x55]);
    let mut short = [0xc1, 0x12];
    set_frame_number(&mut short, 0);
    assert_eq!((short, frame_number(&short)), ([0xc1, 0x12], None));
}

#[test]
fn every_cut_of_a_structure_is_refused_and_leaves_the_old_one() {
    let key = bytes(KEYFRAME);
    let mut structure = None;
    read(&WrittenFrame { structure: Some(&l1t3(0)), ..WrittenFrame::new(0, 1) }.bytes(), &mut structure).unwrap();
    for len in 0..key.len() {
        let read = read(&key[..len], &mut structure);
        assert!(read.is_none() || len == MANDATORY_BYTES, "{len} bytes");
        assert_eq!(structure.as_deref().map(template_ids), Some((0, 4)), "{len} bytes");
    }
}

#[test]
fn noise_of_every_length_is_read_and_rewritten_or_refused() {
    let mut random = StdRng::seed_from_u64(4);
    let (mut structure, mut structures, mut frames) = (None, 0, 0);
    let mut out = [0; DESCRIPTOR_BYTES];
    for round in 0..40_000 {
        let mut value = vec![0; round % (DESCRIPTOR_BYTES + 1)];
        random.fill_bytes(&mut value);
        if round % 3 == 0 {
            value = bytes(KEYFRAME);
            let at = random.random_range(3..value.len());
            value[at] = random.random();
        }
        frames += usize::from(read(&value, &mut structure).is_some());
        let attached = attached_structure(&value);
        structures += usize::from(attached.is_some());
        assert!(attached.is_none_or(|structure| structure.decode_targets() <= 32 && structure.spatial_layers() <= 4));
        with_active_targets(&value, random.random_range(0..=32), random.random(), &mut out);
        shift_templates(&mut value, random.random());
    }
    assert!(structures > 5_000 && frames > 5_000, "{structures} structures, {frames} frames get through");
}
