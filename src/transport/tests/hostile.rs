//! What strangers and peers may do to a transport.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::link::{Link, Options, address};
use crate::limits;
use crate::transport::srtp::tests::hex;
use crate::transport::{CloseReason, DropReason, DtlsRole, TransportEvent};

/// A DTLS record of epoch 0.
fn record(content: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, sequence];
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// A complete ClientHello of another client.
fn forged_hello(random: &mut StdRng, message_sequence: u8, cookie: &[u8]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend((0..32).map(|_| random.next_u32() as u8));
    body.push(0);
    body.push(cookie.len() as u8);
    body.extend(cookie);
    body.extend(hex("0002c02b0100"));
    let extensions = hex("000a00040002001d 000b00020100 000d000400020403 00170000 000e0005000200 0100");
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = (body.len() as u32).to_be_bytes();
    let mut message = vec![1, length[1], length[2], length[3], 0, message_sequence, 0, 0, 0];
    message.extend(&length[1..]);
    message.extend(body);
    record(22, random.next_u32() as u8, &message)
}

fn forgeries(random: &mut StdRng) -> Vec<Vec<u8>> {
    let cookie: Vec<u8> = (0..20).map(|_| random.next_u32() as u8).collect();
    let fragment = |kind, sequence, body: &[u8]| {
        let mut message = vec![kind, 0, 2, 0, 0, sequence, 0, 0, 0, 0, 0, body.len() as u8];
        message.extend(body);
        record(22, 3, &message)
    };
    vec![
        forged_hello(random, 0, &[]),
        forged_hello(random, 1, &cookie),
        forged_hello(random, 0, &cookie),
        forged_hello(random, 9, &[]),
        record(21, 1, &[2, 40]),
        record(21, 1, &[1, 0]),
        record(21, 1, &[2]),
        record(23, 1, b"data in clear"),
        record(99, 1, b"?"),
        fragment(1, 0, &[0xfe, 0xfd]),
        fragment(1, 0, b""),
        fragment(2, 40, b"far ahead"),
        vec![22; 13],
        vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
    ]
}

#[test]
fn forged_hellos_and_alerts_from_known_and_unknown_addresses_do_not_stop_a_join() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        let mut random = StdRng::seed_from_u64(9);
        let mut link = Link::described(Options { role, ..Options::default() });
        link.nominate();
        let end = link.now + Duration::from_secs(2);
        let mut thrown = 0;
        while !link.is_connected() {
            assert!(link.step(end), "{role:?}: not connected among forgeries; {:?}", link.events);
            for forgery in forgeries(&mut random) {
                let spoofed = link.deliver_now(address(1), &forgery);
                assert!(!matches!(spoofed, Err(DropReason::UnknownAddress)) || link.events.is_empty());
                assert_eq!(link.deliver_now(address(666), &forgery), Err(DropReason::UnknownAddress));
                thrown += 1;
            }
        }
        assert!(thrown > 50);
        assert!(link.elapsed() < Duration::from_millis(350), "{role:?} {:?}", link.elapsed());
        for _ in 0..100 {
            for forgery in forgeries(&mut random) {
                assert!(link.deliver_now(address(1), &forgery).is_err(), "{forgery:?}");
            }
        }
        link.run_for(Duration::from_secs(1));
        assert!(link.transport.is_connected());
        assert_eq!(link.events.last(), Some(&TransportEvent::Connected));
    }
}

#[test]
fn nothing_is_sent_that_is_longer_than_what_asked_for_it_before_the_cookie() {
    let mut random = StdRng::seed_from_u64(10);
    let mut link = Link::described(Options::default());
    link.peer_dtls_runs = false;
    let check = link.check_bytes(&[]);
    link.deliver_now(address(1), &check).unwrap();
    assert!(link.transport.poll_transmit(link.now).unwrap().bytes.len() <= check.len());
    for _ in 0..200 {
        for forgery in forgeries(&mut random) {
            let _ = link.deliver_now(address(1), &forgery);
            let mut answered = 0;
            while let Some(datagram) = link.transport.poll_transmit(link.now) {
                answered += datagram.bytes.len();
            }
            assert!(answered <= forgery.len(), "{answered} bytes for {}", forgery.len());
        }
        // Not polled: answers do not pile up.
        for _ in 0..50 {
            let _ = link.deliver_now(address(1), &forged_hello(&mut random, 0, &[]));
        }
        assert!(link.transport.poll_transmit(link.now).is_some());
        assert!(link.transport.poll_transmit(link.now).is_none());
    }
}

#[test]
fn strangers_get_no_answer_and_leave_no_trace() {
    let mut link = Link::described(Options::default());
    let mut random = StdRng::seed_from_u64(11);
    let genuine = link.check_bytes(&[]);
    for port in 1..20_000u16 {
        let mut forged = genuine.clone();
        let at = random.random_range(0..forged.len() - 8);
        forged[at] ^= 1 << random.random_range(0..8);
        assert!(link.deliver_now(address(port), &forged).is_err());
        assert!(link.deliver_now(address(port), &[22; 60]).is_err());
    }
    assert_eq!(link.transport.poll_transmit(link.now), None);
    assert_eq!(link.transport.poll_event(), None);
    assert_eq!(link.transport.remote_address(), None);
}

#[test]
fn unpolled_answers_are_bounded() {
    let mut link = Link::described(Options::default());
    let check = link.check_bytes(&[]);
    for _ in 0..1000 {
        link.deliver_now(address(1), &check).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| link.transport.poll_transmit(link.now)).count(), 64);
}

#[test]
fn garbage_of_every_length_and_kind_before_and_after_connecting_changes_nothing() {
    let mut random = StdRng::seed_from_u64(12);
    let mut throw = |link: &mut Link| {
        for len in 0..1500usize {
            for first in [0u8, 1, 20, 21, 22, 23, 25, 63, 128, 200, 255] {
                let mut garbage = vec![0u8; len];
                random.fill_bytes(&mut garbage);
                if let Some(byte) = garbage.first_mut() {
                    *byte = first;
                }
                assert!(link.deliver_now(address(1), &garbage).is_err());
                assert!(link.transport.open_rtcp(link.now, &mut garbage).is_err());
            }
        }
    };
    let mut link = Link::described(Options::default());
    let check = link.check_bytes(&[]);
    link.deliver_now(address(1), &check).unwrap();
    throw(&mut link);
    link.run_until(Link::is_connected);
    throw(&mut link);
    link.run_for(Duration::from_secs(1));
    assert!(link.transport.is_connected());
}

#[test]
fn mutations_of_a_genuine_handshake_never_panic_and_the_genuine_one_still_arrives_elsewhere() {
    let mut random = StdRng::seed_from_u64(13);
    for seed in 0..60 {
        let role = if seed % 2 == 0 { DtlsRole::Client } else { DtlsRole::Server };
        let mut link = Link::described(Options { role, ..Options::default() });
        link.nominate();
        let end = link.now + Duration::from_secs(3);
        // Every datagram of the peer is followed by a copy with bytes changed.
        while !link.is_connected() && link.step(end) {
            for mut copy in link.dtls.poll_transmit() {
                let genuine = copy.clone();
                link.throw(address(1), genuine);
                for _ in 0..random.random_range(1..5) {
                    let at = random.random_range(0..copy.len());
                    copy[at] = random.next_u32() as u8;
                }
                link.throw(address(1), copy);
            }
        }
        assert!(!link.events.iter().any(|event| matches!(event, TransportEvent::Closed(_))), "seed {seed}");
    }
}

#[test]
fn a_bomb_of_handshake_fragments_stays_bounded_and_leaves_the_session_open() {
    let mut link = Link::described(Options::default());
    link.nominate();
    // Up to the cookie, so that fragments are kept at all.
    link.run_for(Duration::from_millis(90));
    let mut too_long = 0;
    for sequence in 0..200u8 {
        for offset in 0..40u16 {
            let [o1, o2] = (offset * 256).to_be_bytes();
            let mut message = vec![11, 0, 0x3c, 0, 0, sequence, 0, o1, o2, 0, 4, 0];
            message.extend([0; 1024]);
            let outcome = link.deliver_now(address(1), &record(22, 1, &message));
            too_long += usize::from(outcome == Err(DropReason::HandshakeTooLong));
        }
    }
    assert!(too_long > 0);
    link.run_for(Duration::from_secs(1));
    assert!(!link.events.iter().any(|event| matches!(event, TransportEvent::Closed(_))));
    link.run_for(limits::CONNECT_TIMEOUT);
}

#[test]
fn a_handshake_that_failed_is_given_up_with_its_reason() {
    let mut link = Link::described(Options::default());
    link.nominate();
    // Our hello and certificate are out; what follows is not the peer's.
    link.run_until(|link| link.sent.iter().any(|(_, len)| *len > 300));
    link.peer_dtls_runs = false;
    link.loses = |_| true;
    let message = |kind: u8, sequence: u8, body: &[u8]| {
        let len = body.len() as u8;
        let mut message = vec![kind, 0, 0, len, 0, sequence, 0, 0, 0, 0, 0, len];
        message.extend(body);
        record(22, 9, &message)
    };
    let mut finished = record(22, 0, &[0; 40]);
    finished[4] = 1;
    for forged in [
        message(11, 2, &[0, 0, 10, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7]),
        message(16, 3, &[2, 1, 1]),
        message(15, 4, &[4, 3, 0, 2, 1, 1]),
        record(20, 9, &[1]),
        finished,
    ] {
        let _ = link.deliver_now(address(1), &forged);
    }
    assert!(link.transport.poll_event().is_none(), "not ended by it");
    assert_eq!(link.deliver_now(address(1), &record(22, 9, &[0; 40])), Err(DropReason::Dtls));
    link.run_for(limits::CONNECT_TIMEOUT);
    assert_eq!(link.events.last(), Some(&TransportEvent::Closed(CloseReason::DtlsFailed)));
}
