//! From the first check to media.

use std::time::Duration;

use super::dtls_peer::Library;
use super::link::{Link, Options, address};
use crate::limits;
use crate::transport::srtp::{Plain, Profile};
use crate::transport::{CloseReason, DropReason, DtlsRole, Fingerprint, TransportEvent};

fn options(library: Library, role: DtlsRole) -> Options {
    Options { library, role, ..Options::default() }
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 9, 0, 0, 0, 5]);
    packet
}

/// Media passes both ways.
fn assert_media(link: &mut Link) {
    let mut peer = link.peer_srtp();
    let mut out = Vec::new();
    let mut packet = [0; 64];
    let sealed = link.transport.seal_rtp(Plain::new(77, &rtp(77), &mut b"abcd".to_vec()), &mut packet).unwrap();
    let len = peer.inbound.open_rtp(link.now, 5, 77, 12, &mut packet[..sealed]).unwrap();
    assert_eq!(&packet[12..len], b"abcd");
    let mut report = vec![0x80, 201, 0, 1, 0, 0, 0, 5];
    peer.outbound.seal_rtcp(&report, &mut out).unwrap();
    let len = link.transport.open_rtcp(link.now, &mut out).unwrap();
    assert_eq!(out[..len], report);
    out.clear();
    link.transport.seal_rtcp(&report, &mut out).unwrap();
    let len = peer.inbound.open_rtcp(link.now, &mut out).unwrap();
    report.truncate(len);
    assert_eq!(out[..len], report);
}

#[test]
fn connects_with_both_implementations_in_both_roles() {
    for library in [Library::Dimpl, Library::Rtc] {
        for role in [DtlsRole::Client, DtlsRole::Server] {
            let mut link = Link::described(options(library, role));
            link.nominate();
            link.run_until(Link::is_connected);
            assert!(link.elapsed() < Duration::from_millis(300), "{library:?} {role:?} {:?}", link.elapsed());
            assert_eq!(link.events, [TransportEvent::AddressLearnt(address(1)), TransportEvent::Connected]);
            assert_eq!(link.dtls.seen.keys.as_ref().unwrap().0, Profile::AeadAes128Gcm);
            assert_eq!(link.answered, 1);
            assert_media(&mut link);
        }
    }
}

#[test]
fn the_server_chooses_aes_gcm_whatever_the_client_prefers() {
    let reversed = Options {
        srtp: &[Profile::Aes128CmHmacSha1_80, Profile::AeadAes128Gcm],
        ..options(Library::Rtc, DtlsRole::Client)
    };
    let mut link = Link::connected(reversed);
    assert_eq!(link.dtls.seen.keys.as_ref().unwrap().0, Profile::AeadAes128Gcm);
    assert_media(&mut link);
}

#[test]
fn a_peer_without_aes_gcm_gets_counter_mode() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        let old = Options { srtp: &[Profile::Aes128CmHmacSha1_80], ..options(Library::Rtc, role) };
        let mut link = Link::connected(old);
        assert_eq!(link.dtls.seen.keys.as_ref().unwrap().0, Profile::Aes128CmHmacSha1_80);
        assert_media(&mut link);
    }
}

#[test]
fn connects_through_loss_during_the_handshake() {
    let patterns: [fn(usize) -> bool; 5] =
        [|n| n % 2 == 0, |n| n % 2 == 1, |n| n % 3 == 0, |n| n <= 3, |n| (n * 2_654_435_761) % 100 < 40];
    for role in [DtlsRole::Client, DtlsRole::Server] {
        for (number, loses) in patterns.into_iter().enumerate() {
            let mut link = Link::described(options(Library::Dimpl, role));
            link.loses = loses;
            link.nominate();
            link.run_until(Link::is_connected);
            assert!(link.elapsed() < Duration::from_secs(8), "pattern {number} {role:?} {:?}", link.elapsed());
            link.loses = |_| false;
            assert_media(&mut link);
        }
    }
}

#[test]
fn every_single_lost_datagram_of_the_handshake_is_made_up_for() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        let mut link = Link::connected(options(Library::Dimpl, role));
        link.run_for(Duration::from_millis(100));
        let mut slowest = Duration::ZERO;
        macro_rules! lose {
            ($($n:literal)*) => {$(
                let mut link = Link::described(options(Library::Dimpl, role));
                link.loses = |n| n == $n;
                link.nominate();
                link.run_until(Link::is_connected);
                slowest = slowest.max(link.elapsed());
            )*};
        }
        lose!(1 2 3 4 5 6 7 8 9 10 11 12);
        assert!(slowest < Duration::from_millis(1000), "{role:?} {slowest:?}");
    }
}

#[test]
fn a_client_hello_that_comes_before_the_description_is_kept() {
    let mut link = Link::new(Options::default());
    link.check();
    link.run_for(Duration::from_millis(500));
    assert_eq!(link.answered, 1);
    assert!(!link.dtls.poll_transmit().is_empty() || link.refused.is_empty());
    link.loses = |_| true;
    let fingerprint = link.dtls.fingerprint("sha-256");
    assert!(link.describe(vec![fingerprint]));
    assert!(link.transport.poll_transmit(link.now).is_some(), "answered although it came before");
}

#[test]
fn what_is_kept_before_the_description_is_bounded() {
    let mut link = Link::new(Options::default());
    let check = link.check_bytes(&[]);
    link.deliver_now(address(1), &check).unwrap();
    let outcomes: Vec<_> = (0..100).map(|_| link.deliver_now(address(1), &[22; 1000])).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 8);
    assert_eq!(outcomes[99], Err(DropReason::HandshakeTooLong));
}

#[test]
fn connects_before_nomination() {
    let mut link = Link::described(Options::default());
    link.check();
    link.run_until(Link::is_connected);
    assert_eq!(link.transport.remote_address(), Some(address(1)));
    link.address = address(2);
    link.nominate();
    link.run_for(Duration::from_millis(100));
    assert_eq!(link.transport.remote_address(), Some(address(2)));
}

#[test]
fn any_fingerprint_with_a_trusted_hash_may_match() {
    for hashes in [&["sha-512"][..], &["sha-384"], &["sha-1", "sha-512"], &["md5", "sha-256"]] {
        let some = Options { hashes, ..Options::default() };
        Link::connected(some);
    }
    let mut link = Link::new(Options::default());
    let wrong = Fingerprint { hash: "sha-256".to_owned(), digest: vec![1; 32] };
    let right = link.dtls.fingerprint("sha-256");
    assert!(link.describe(vec![wrong, right]));
    link.nominate();
    link.run_until(Link::is_connected);
}

#[test]
fn a_certificate_that_matches_no_fingerprint_closes_before_any_key() {
    for library in [Library::Dimpl, Library::Rtc] {
        for role in [DtlsRole::Client, DtlsRole::Server] {
            let mut link = Link::new(options(library, role));
            let sha_1 = link.dtls.fingerprint("sha-1");
            let mut other = link.dtls.fingerprint("sha-256");
            other.digest[31] ^= 1;
            assert!(link.describe(vec![sha_1, other]));
            link.nominate();
            let closed = TransportEvent::Closed(CloseReason::FingerprintMismatch);
            link.run_until(|link| link.events.contains(&closed));
            assert!(!link.transport.is_connected());
            assert!(!link.events.contains(&TransportEvent::Connected));
            let packet = link.transport.seal_rtp(Plain::new(1, &rtp(1), &mut []), &mut [0; 64]);
            assert_eq!(packet, Err(DropReason::NotConnected));
            let check = link.check_bytes(&[]);
            assert_eq!(link.deliver_now(address(1), &check), Err(DropReason::NotConnected));
            assert_eq!(link.transport.poll_timeout(), None);
        }
    }
}

#[test]
fn a_peer_that_never_connects_is_given_up() {
    let mut link = Link::described(Options::default());
    link.peer_dtls_runs = false;
    link.nominate();
    link.run_for(limits::CONNECT_TIMEOUT - Duration::from_millis(1));
    assert_eq!(link.events, [TransportEvent::AddressLearnt(address(1))]);
    link.run_for(Duration::from_millis(1));
    assert_eq!(link.events[1..], [TransportEvent::Closed(CloseReason::ConnectTimeout)]);
}

#[test]
fn the_description_may_not_change_the_identity_once_dtls_began() {
    let mut link = Link::connected(Options::default());
    let mut other = link.dtls.fingerprint("sha-256");
    let same = link.parameters(vec![other.clone()]);
    assert!(link.transport.set_remote(link.now, same.clone(), &mut link.random));
    other.digest[0] ^= 1;
    assert!(!link.describe(vec![other]));
    let mut swapped = same;
    swapped.role = DtlsRole::Client;
    assert!(!link.transport.set_remote(link.now, swapped, &mut link.random));
}

#[test]
fn closing_is_told_to_the_peer_and_taken_from_it() {
    for library in [Library::Dimpl, Library::Rtc] {
        let mut link = Link::connected(options(library, DtlsRole::Client));
        link.transport.close(link.now);
        link.run_for(Duration::from_millis(100));
        assert!(link.dtls.seen.closed, "{library:?}");
        assert!(!link.transport.is_connected());

        let mut link = Link::connected(options(library, DtlsRole::Client));
        link.dtls.close(link.now);
        link.run_for(Duration::from_millis(100));
        assert_eq!(link.events.last(), Some(&TransportEvent::Closed(CloseReason::DtlsClosed)));
    }
}
