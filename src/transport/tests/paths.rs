//! Addresses: renomination, consent, ICE restart.

use std::time::Duration;

use super::link::{Link, Options, address};
use crate::limits;
use crate::transport::ice::stun_attribute;
use crate::transport::{CloseReason, DropReason, TransportEvent};

#[test]
fn a_renomination_moves_everything_to_the_new_address() {
    let mut link = Link::connected(Options::default());
    link.sctp.connect(link.now);
    link.run_until(|link| link.sctp.connected);
    link.address = address(2);
    link.nominate();
    link.run_for(Duration::from_millis(50));
    assert_eq!(link.transport.remote_address(), Some(address(2)));
    assert!(link.events.contains(&TransportEvent::AddressLearnt(address(2))));
    link.sent.clear();
    link.sctp.open(link.now, 1, 0, 0, "data");
    link.run_for(Duration::from_millis(500));
    assert!(!link.sent.is_empty());
    assert!(link.sent.iter().all(|(to, _)| *to == address(2)));
}

#[test]
fn numbered_renomination_goes_back_and_forth() {
    let mut link = Link::connected(Options::default());
    for (number, port) in [(1u32, 2), (2, 3), (3, 2), (4, 1)] {
        let check = link.check_bytes(&[(stun_attribute::NOMINATION, &number.to_be_bytes())]);
        link.deliver_now(address(port), &check).unwrap();
        assert_eq!(link.transport.remote_address(), Some(address(port)));
    }
}

#[test]
fn dtls_from_an_address_without_a_check_is_refused() {
    let mut link = Link::described(Options::default());
    link.nominate();
    link.run_for(Duration::from_millis(30));
    assert_eq!(link.deliver_now(address(66), &[22; 100]), Err(DropReason::UnknownAddress));
    assert!(link.sent.iter().all(|(to, _)| *to == address(1)));
}

#[test]
fn silence_ends_the_transport_and_any_authenticated_packet_prevents_it() {
    let mut link = Link::connected(Options::default());
    link.run_alive_for(4 * limits::CONSENT_TIMEOUT);
    assert!(link.transport.is_connected(), "checks keep it");

    let mut peer = link.peer_srtp();
    let packet = vec![0x80, 201, 0, 1, 0, 0, 0, 5];
    link.check();
    link.run_for(Duration::from_millis(30));
    for _ in 0..4 {
        link.run_for(limits::CONSENT_TIMEOUT - Duration::from_secs(1));
        let mut sealed = Vec::new();
        peer.outbound.seal_rtcp(&packet, &mut sealed).unwrap();
        link.transport.open_rtcp(link.now, &mut sealed).unwrap();
    }
    assert!(link.transport.is_connected(), "media keeps it");

    let heard = link.now;
    link.run_for(limits::CONSENT_TIMEOUT - Duration::from_millis(1));
    assert!(link.transport.is_connected());
    assert_eq!(
        link.transport.open_rtcp(link.now, &mut [0x80; 60]),
        Err(DropReason::SrtpUnauthenticated),
        "forgeries do not"
    );
    link.run_for(Duration::from_millis(2));
    assert_eq!(link.events.last(), Some(&TransportEvent::Closed(CloseReason::ConsentExpired)));
    assert!(link.now - heard < limits::CONSENT_TIMEOUT + Duration::from_millis(5));
}

#[test]
fn an_ice_restart_keeps_media_and_moves_to_the_new_address() {
    let mut link = Link::connected(Options::default());
    let old = link.transport.local_ice().clone();
    let old_check = link.check_bytes_with(&old, &[]);
    link.ufrag = "next".to_owned();
    let fingerprint = link.dtls.fingerprint("sha-256");
    assert!(link.describe(vec![fingerprint]));
    assert_ne!(link.transport.local_ice(), &old);
    assert_eq!(link.deliver_now(address(1), &old_check), Ok(()), "both are valid for now");
    assert!(link.transport.is_connected());

    link.address = address(9);
    link.nominate();
    link.run_for(Duration::from_millis(100));
    assert_eq!(link.transport.remote_address(), Some(address(9)));
    assert!(link.events.contains(&TransportEvent::AddressForgotten(address(1))));
    assert_eq!(link.deliver_now(address(1), &old_check), Err(DropReason::StunUnauthenticated));
    assert!(link.transport.is_connected());
    link.run_alive_for(2 * limits::CONSENT_TIMEOUT);
    assert!(link.transport.is_connected());
}

#[test]
fn an_ipv4_mapped_source_is_the_same_address() {
    let mut link = Link::described(Options::default());
    let check = link.check_bytes(&[]);
    link.deliver_now("[::ffff:198.51.100.7]:1".parse().unwrap(), &check).unwrap();
    assert_eq!(link.transport.poll_event(), Some(TransportEvent::AddressLearnt(address(1))));
    assert_eq!(link.transport.poll_transmit(link.now).unwrap().to, address(1));
}

#[test]
fn the_table_of_addresses_is_bounded() {
    let mut link = Link::connected(Options::default());
    for port in 1000..1000 + 4 * limits::ICE_PATHS as u16 {
        let check = link.check_bytes(&[]);
        link.deliver_now(address(port), &check).unwrap();
        while link.transport.poll_transmit(link.now).is_some() {}
    }
    let mut known = std::collections::HashSet::new();
    link.events.extend(std::iter::from_fn(|| link.transport.poll_event()));
    for event in &link.events {
        match event {
            TransportEvent::AddressLearnt(address) => assert!(known.insert(*address)),
            TransportEvent::AddressForgotten(address) => assert!(known.remove(address)),
            _ => {}
        }
    }
    assert_eq!(known.len(), limits::ICE_PATHS);
    assert_eq!(link.transport.remote_address(), Some(address(1)));
}
