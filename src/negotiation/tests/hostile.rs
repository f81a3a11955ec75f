//! Damaged offers: whatever arrives gives an error that changes nothing, or an answer that holds to the rules.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

/// Applies a damaged offer to a session in mid-life.
fn survives(session: &mut Session, offer: &str) {
    let before = session.sections().to_vec();
    match session.apply_offer(offer) {
        Err(_) => assert_eq!(session.sections(), before),
        Ok(_) => {
            session.add_track(MediaKind::Video, track(1, &[Codec::Vp8, Codec::Av1]));
            session.add_track(MediaKind::Audio, track(2, &[Codec::Opus]));
            answered(session, offer);
        }
    }
}

fn all_captured() -> Vec<&'static str> {
    captured_sessions().concat()
}

#[test]
fn an_offer_cut_at_any_line() {
    for offer in all_captured() {
        for (at, _) in offer.match_indices('\n') {
            survives(&mut Session::new(7), &offer[..=at]);
        }
    }
}

#[test]
fn a_small_offer_cut_at_any_byte() {
    let offer = offer(&[video("0", "sendonly"), audio("1", "recvonly"), data("2")]);
    for end in 0..=offer.len() {
        survives(&mut Session::new(7), &offer[..end]);
    }
}

#[test]
fn lines_lost_doubled_and_swapped() {
    let mut random = StdRng::seed_from_u64(8829);
    let mut accepted = 0;
    for offer in all_captured() {
        let mut session = applied(offer);
        for _ in 0..100 {
            let mut lines: Vec<&str> = offer.split_inclusive('\n').collect();
            for _ in 0..random.random_range(1..4) {
                let (a, b) = (random.random_range(0..lines.len()), random.random_range(0..lines.len()));
                match random.random_range(0..3) {
                    0 => drop(lines.remove(a)),
                    1 => lines.insert(a, lines[b]),
                    _ => lines.swap(a, b),
                }
            }
            let damaged = lines.concat();
            survives(&mut session, &damaged);
            let mut fresh = Session::new(7);
            survives(&mut fresh, &damaged);
            accepted += usize::from(!fresh.sections().is_empty());
        }
    }
    assert!(accepted > 100, "most damage of single lines still leaves an offer: {accepted}");
}

#[test]
fn bytes_changed() {
    const BYTES: &[u8] = b"\r\n\t\0 :;=/~,-+*0919axvmo\x7f";
    let mut random = StdRng::seed_from_u64(8866);
    for offer in all_captured() {
        let mut session = applied(offer);
        for _ in 0..150 {
            let mut bytes = offer.as_bytes().to_vec();
            for _ in 0..random.random_range(1..20) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = BYTES[random.random_range(0..BYTES.len())];
            }
            let damaged = String::from_utf8(bytes).unwrap();
            survives(&mut session, &damaged);
            survives(&mut Session::new(7), &damaged);
        }
    }
}

#[test]
fn sections_full_of_one_attribute() {
    let lists: [fn(u32) -> String; 6] = [
        |n| format!("a=ssrc-group:SIM {n}\r\n"),
        |n| format!("a=ssrc:{n} cname:a\r\n"),
        |n| format!("a=extmap:{n} urn:x\r\n"),
        |n| format!("a=rid:{n} send\r\n"),
        |n| format!("a=fmtp:{n} apt=96\r\n"),
        |_| "a=rtcp-fb:* nack pli\r\n".to_owned(),
    ];
    for list in lists {
        let section = video("0", "sendonly") + &(0..2500).map(list).collect::<String>();
        let offer = offer(&[section]);
        assert!(offer.len() <= crate::limits::SDP_BYTES);
        survives(&mut Session::new(7), &offer);
    }
}

/// What is read ahead of a session agrees with what the session does, and a fragment is read or refused.
#[test]
fn outlines_and_fragments_of_damaged_offers() {
    let mut random = StdRng::seed_from_u64(9725);
    for offer in all_captured() {
        for _ in 0..50 {
            let mut bytes = offer.as_bytes().to_vec();
            for _ in 0..random.random_range(1..6) {
                let at = random.random_range(0..bytes.len());
                bytes[at] = random.random_range(0..128);
            }
            let damaged = String::from_utf8(bytes).unwrap();
            let taken = Session::new(7).apply_offer(&damaged);
            match outline(&damaged) {
                Ok(sections) if taken.is_err() => assert!(sections.iter().all(|section| !section.served)),
                Ok(_) => {}
                Err(error) => assert_eq!(taken, Err(error)),
            }
            let _ = read_fragment(&damaged);
        }
    }
}
