//! The pieces around the state machine, and what is assumed of it.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::record::{self, message};
use super::session::{DtlsEvent, Session};
use super::*;
use crate::transport::DropReason;
use crate::transport::srtp::Profile;
use crate::transport::tests::dtls_peer::{DtlsPeer, Library};

const COOKIE: [u8; COOKIE_BYTES] = [7; COOKIE_BYTES];

fn pair(library: Library) -> (Session, DtlsPeer, Instant) {
    pair_in_role(library, DtlsRole::Server)
}

/// `role` is ours.
fn pair_in_role(library: Library, role: DtlsRole) -> (Session, DtlsPeer, Instant) {
    let now = Instant::now();
    let theirs = match role {
        DtlsRole::Client => DtlsRole::Server,
        DtlsRole::Server => DtlsRole::Client,
    };
    let peer = DtlsPeer::new(library, theirs, now, &Profile::PREFERENCE);
    let fingerprints = vec![peer.fingerprint("sha-256")];
    let mut session = Session::new(role, Arc::new(Certificate::generate()), fingerprints, COOKIE);
    if role == DtlsRole::Client {
        session.start(now);
    }
    (session, peer, now)
}

/// Passes datagrams until both are silent; gives those that went to the peer.
fn pump(session: &mut Session, peer: &mut DtlsPeer, now: Instant) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    loop {
        let before = sent.len();
        for datagram in peer.poll_transmit() {
            session.handle(now, &datagram).unwrap();
        }
        while let Some(datagram) = session.poll_transmit() {
            peer.handle(now, &datagram);
            sent.push(datagram);
        }
        if sent.len() == before {
            return sent;
        }
    }
}

fn first_hello(library: Library) -> Vec<u8> {
    let (_, mut peer, _) = pair(library);
    peer.poll_transmit().remove(0)
}

#[test]
fn fingerprints_are_read_and_printed() {
    let certificate = Certificate::generate();
    let text = certificate.fingerprint().to_string();
    assert!(text.starts_with("sha-256 ") && text.len() == 8 + 95);
    assert_eq!(text.parse::<Fingerprint>().as_ref(), Ok(certificate.fingerprint()));
    let lower = "SHA-256 ab:cd:01".parse::<Fingerprint>().unwrap();
    assert_eq!((lower.hash.as_str(), &lower.digest[..]), ("sha-256", &[0xab, 0xcd, 1][..]));
    assert_eq!(lower.to_string(), "sha-256 AB:CD:01");
    let long = format!("sha-256 {}", ["00"; 65].join(":"));
    for wrong in ["", "sha-256", "sha-256 ", "sha-256 AB:C", "sha-256 AB:+1", "sha-256 AB::CD", "sha-256 ABCD", &long] {
        assert_eq!(wrong.parse::<Fingerprint>(), Err(()), "{wrong:?}");
    }
}

#[test]
fn every_certificate_is_another_p256_certificate() {
    let (one, two) = (Certificate::generate(), Certificate::generate());
    assert_ne!(one.fingerprint(), two.fingerprint());
    let encoded = one.certificate.certificate[0].to_vec();
    let prime256v1 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    assert!(encoded.windows(prime256v1.len()).any(|oid| oid == prime256v1));
    assert!(one.fingerprint().matches(&encoded));
    assert!(!two.fingerprint().matches(&encoded));
}

#[test]
fn a_truncated_digest_does_not_match() {
    let certificate = Certificate::generate();
    let encoded = certificate.certificate.certificate[0].to_vec();
    let mut fingerprint = certificate.fingerprint().clone();
    for len in 0..32 {
        fingerprint.digest.truncate(len);
        assert!(!fingerprint.matches(&encoded));
        fingerprint = certificate.fingerprint().clone();
    }
}

#[test]
fn protected_records_carry_counters_as_nonces() {
    for library in [Library::Dimpl, Library::Rtc] {
        let (mut session, mut peer, now) = pair(library);
        let mut sent = pump(&mut session, &mut peer, now);
        for n in 0..50u8 {
            assert!(session.send(now, &[n; 30]));
            sent.extend(pump(&mut session, &mut peer, now));
        }
        let protected = sent.iter().flat_map(|datagram| record::records(datagram)).filter(|record| record.epoch == 1);
        let nonces: Vec<u64> =
            protected.map(|record| u64::from_be_bytes(record.body[..8].try_into().unwrap())).collect();
        assert_eq!(nonces, (0..51).collect::<Vec<_>>(), "{library:?}");
        assert_eq!(peer.seen.data.len(), 50);
    }
}

#[test]
fn a_handshake_that_is_over_leaves_little_behind() {
    for (library, role) in
        [(Library::Dimpl, DtlsRole::Server), (Library::Dimpl, DtlsRole::Client), (Library::Rtc, DtlsRole::Server)]
    {
        let mut kept = None;
        let during = allocation_counter::measure(|| {
            let (mut session, mut peer, now) = pair_in_role(library, role);
            pump(&mut session, &mut peer, now);
            assert!(matches!(session.poll_event(), Some(DtlsEvent::Connected { .. })));
            kept = Some(session);
        });
        // Of the certificate, of which a process has one.
        let mut one = None;
        let certificate = allocation_counter::measure(|| one = Some(Certificate::generate()));
        let bytes = during.bytes_current - certificate.bytes_current;
        assert!((1_000..7_000).contains(&bytes), "{library:?} {role:?}: {bytes} bytes");
    }
}

#[test]
fn data_and_alerts_pass_both_ways_after_a_handshake_and_a_repeated_record_once() {
    for (library, role) in
        [(Library::Dimpl, DtlsRole::Server), (Library::Dimpl, DtlsRole::Client), (Library::Rtc, DtlsRole::Server)]
    {
        let (mut session, mut peer, now) = pair_in_role(library, role);
        pump(&mut session, &mut peer, now);
        assert!(matches!(session.poll_event(), Some(DtlsEvent::Connected { .. })));
        assert!(session.send(now, b"there"));
        pump(&mut session, &mut peer, now);
        assert_eq!(peer.seen.data, [b"there".to_vec()], "{library:?} {role:?}");
        peer.send(now, b"back");
        let record = peer.poll_transmit().remove(0);
        for _ in 0..3 {
            let _ = session.handle(now, &record);
        }
        let seen: Vec<DtlsEvent> = std::iter::from_fn(|| session.poll_event()).collect();
        assert!(
            matches!(&seen[..], [DtlsEvent::Data(data)] if data[..] == b"back"[..]),
            "{library:?} {role:?}: {seen:?}"
        );
    }
}

#[test]
fn plain_records_are_never_sent_under_a_number_twice() {
    let (mut session, mut peer, mut now) = pair(Library::Dimpl);
    let hello = peer.poll_transmit().remove(0);
    session.handle(now, &hello).unwrap();
    session.handle(now, &hello).unwrap();
    let mut sent: Vec<_> = std::iter::from_fn(|| session.poll_transmit()).collect();
    assert_eq!(sent.len(), 1);
    peer.handle(now, &sent[0]);
    session.handle(now, &peer.poll_transmit()[0]).unwrap();
    for _ in 0..5 {
        sent.extend(std::iter::from_fn(|| session.poll_transmit()));
        now = session.poll_timeout().unwrap();
        session.handle_timeout(now);
    }
    let numbers: Vec<u8> =
        sent.iter().flat_map(|datagram| record::records(datagram)).map(|record| record.raw[10]).collect();
    assert!(numbers.len() > 20);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

#[test]
fn a_hello_without_srtp_is_not_taken_and_another_may_follow() {
    let (mut session, mut peer, now) = pair(Library::Rtc);
    let mut none = DtlsPeer::new(Library::Rtc, DtlsRole::Client, now, &[]);
    pump(&mut session, &mut none, now);
    assert!(none.seen.keys.is_none());
    assert!(session.poll_event().is_none());
    pump(&mut session, &mut peer, now);
    assert!(matches!(session.poll_event(), Some(DtlsEvent::Connected { .. })));
}

#[test]
fn a_hello_is_read_and_rewritten() {
    for library in [Library::Dimpl, Library::Rtc] {
        let (mut session, mut peer, now) = pair(library);
        let first = peer.poll_transmit().remove(0);
        session.handle(now, &first).unwrap();
        peer.handle(now, &session.poll_transmit().unwrap());
        let second = peer.poll_transmit().remove(0);
        let body = |datagram: &[u8]| {
            let record = record::records(datagram).next().unwrap();
            let fragment = record::fragments(record.body).next().unwrap();
            assert_eq!(fragment.kind, message::CLIENT_HELLO);
            fragment.body.to_vec()
        };
        let (first, second) = (body(&first), body(&second));
        assert_eq!(record::hello_cookie(&first), Some(&[][..]));
        assert_eq!(record::hello_cookie(&second), Some(&COOKIE[..]));
        assert_eq!(record::hello_without_cookie(&second), Some(first.clone()));
        assert!(record::hello_srtp_profiles(&second).unwrap().any(|profile| profile == 7));
        for len in 0..second.len() {
            let cut = &second[..len];
            record::hello_cookie(cut);
            record::hello_without_cookie(cut);
            let profiles = record::hello_srtp_profiles(cut).into_iter().flatten();
            assert!(profiles.count() <= 8);
        }
    }
}

#[test]
fn mutated_handshake_messages_never_panic() {
    let mut random = StdRng::seed_from_u64(6347);
    let (mut connected, mut spoilt) = (0, 0);
    for round in 0..400 {
        let role = if round % 2 == 0 { DtlsRole::Server } else { DtlsRole::Client };
        let (mut session, mut peer, now) = pair_in_role(Library::Dimpl, role);
        let mut mutated = false;
        let victim = random.random_range(0..4);
        for turn in 0..12 {
            for mut datagram in peer.poll_transmit() {
                if turn == victim {
                    // Behind the headers of record and message, so that it gets as far as the parser of messages.
                    for _ in 0..random.random_range(1..4) {
                        let at = random.random_range(25.min(datagram.len() - 1)..datagram.len());
                        let byte = random.next_u32() as u8;
                        mutated |= datagram[at] != byte;
                        datagram[at] = byte;
                    }
                }
                let _ = session.handle(now, &datagram);
            }
            while let Some(datagram) = session.poll_transmit() {
                peer.handle(now, &datagram);
            }
        }
        let keys =
            std::iter::from_fn(|| session.poll_event()).any(|event| matches!(event, DtlsEvent::Connected { .. }));
        connected += usize::from(keys);
        spoilt += usize::from(mutated && !keys);
        assert_eq!(session.contained_panics, 0, "round {round}");
    }
    assert!(connected > 20 && spoilt > 100, "{connected} connected, {spoilt} spoilt");
}

#[test]
fn a_second_handshake_is_not_begun() {
    let (mut session, mut peer, now) = pair(Library::Dimpl);
    let sent = pump(&mut session, &mut peer, now);
    let finished = sent.iter().flat_map(|datagram| record::records(datagram)).find(|record| record.epoch == 1);
    let mut protected = finished.unwrap().raw.to_vec();
    assert_eq!(protected[0], record::HANDSHAKE);
    for sequence in 0..200u8 {
        protected[10] = sequence;
        assert_eq!(session.handle(now, &protected), Err(DropReason::Dtls));
    }
    assert!(session.send(now, b"still connected"));
}

#[test]
fn truncated_and_extended_datagrams_are_read_as_far_as_they_go() {
    let hello = first_hello(Library::Dimpl);
    for len in 0..hello.len() {
        assert_eq!(record::records(&hello[..len]).count(), 0, "{len} bytes");
        let (mut session, _, now) = pair(Library::Dimpl);
        assert_eq!(session.handle(now, &hello[..len]), Err(DropReason::Dtls));
        assert!(session.poll_transmit().is_none());
    }
    let mut many = hello.repeat(100);
    assert_eq!(record::records(&many).count(), 32);
    many.truncate(hello.len() + 5);
    assert_eq!(record::records(&many).count(), 1);
}

#[test]
fn a_fragment_that_leaves_its_message_is_malformed() {
    let mut body = vec![11, 0, 0, 10, 0, 0, 0, 0, 8, 0, 0, 3];
    body.extend([0; 3]);
    assert_eq!(record::fragments(&body).count(), 0);
    body[8] = 7;
    assert_eq!(record::fragments(&body).count(), 1);
    for len in 0..body.len() {
        assert_eq!(record::fragments(&body[..len]).count(), 0);
    }
}
