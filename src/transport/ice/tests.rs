//! The agent against a controlling peer written here.

use super::*;
use crate::limits;
use rand::SeedableRng;
use rand::rngs::StdRng;
use stun::{BINDING_ERROR, attribute};

const REMOTE: &str = "peer";

fn credentials(ufrag: &str) -> IceCredentials {
    IceCredentials { ufrag: ufrag.to_owned(), pwd: "the peer's password, 22+".to_owned() }
}

struct Fixture {
    ice: Ice,
    random: StdRng,
    now: Instant,
    events: Vec<IceEvent>,
}

fn fixture() -> Fixture {
    let mut random = StdRng::seed_from_u64(8445);
    let mut ice = Ice::new(&mut random);
    ice.set_remote(credentials(REMOTE), &mut random);
    Fixture { ice, random, now: Instant::now(), events: Vec::new() }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A check with the attributes every agent sends.
fn check(local: &IceCredentials, remote: &str, extra: &[(u16, &[u8])]) -> Vec<u8> {
    let username = format!("{}:{remote}", local.ufrag);
    let mut writer = Writer::new(REQUEST, &[3; 12])
        .attribute(attribute::USERNAME, username.as_bytes())
        .attribute(attribute::ICE_CONTROLLING, &[1; 8])
        .attribute(attribute::PRIORITY, &[1; 4]);
    for (kind, value) in extra {
        writer = writer.attribute(*kind, value);
    }
    writer.finish(&stun::key(&local.pwd))
}

impl Fixture {
    fn receive(&mut self, from: SocketAddr, raw: &[u8]) -> Result<Vec<u8>, DropReason> {
        self.ice.handle(self.now, from, raw, &mut self.events)
    }

    fn check(&mut self, port: u16, extra: &[(u16, &[u8])]) -> Result<Vec<u8>, DropReason> {
        let raw = check(&self.ice.local().clone(), REMOTE, extra);
        self.receive(address(port), &raw)
    }

    fn nominate(&mut self, port: u16) {
        self.check(port, &[(attribute::USE_CANDIDATE, b"")]).unwrap();
    }

    fn events(&mut self) -> Vec<IceEvent> {
        std::mem::take(&mut self.events)
    }
}

#[test]
fn credentials_are_long_enough_and_differ() {
    let mut random = StdRng::seed_from_u64(1);
    let one = Ice::new(&mut random);
    let two = Ice::new(&mut random);
    assert_ne!(one.local(), two.local());
    assert_eq!((one.local().ufrag.len(), one.local().pwd.len()), (UFRAG, PASSWORD));
    assert!(!format!("{:?}", one.local()).contains(&one.local().pwd));
    const UFRAG: usize = 12;
    const PASSWORD: usize = 24;
}

#[test]
fn an_authenticated_check_is_answered_and_its_address_learnt() {
    let mut fixture = fixture();
    let raw = check(&fixture.ice.local().clone(), REMOTE, &[]);
    let answer = fixture.receive(address(1), &raw).unwrap();
    let read = Message::parse(&answer).unwrap();
    assert_eq!((read.kind, read.transaction), (SUCCESS, &[3; 12]));
    assert!(read.is_authentic(&stun::key(&fixture.ice.local().pwd)));
    assert!(answer.len() <= raw.len());
    assert_eq!(fixture.events(), [IceEvent::Learnt(address(1))]);
    assert_eq!(fixture.ice.selected(), Some(address(1)), "usable before nomination");
}

#[test]
fn a_check_that_does_not_authenticate_is_not_answered_and_teaches_nothing() {
    let mut fixture = fixture();
    let local = fixture.ice.local().clone();
    let wrong_password = IceCredentials { pwd: "wrong".to_owned(), ..local.clone() };
    let wrong_ufrag = IceCredentials { ufrag: "AAAAAAAAAAAA".to_owned(), ..local.clone() };
    let no_integrity = {
        let username = format!("{}:{REMOTE}", local.ufrag);
        let raw = Writer::new(REQUEST, &[3; 12]).attribute(attribute::USERNAME, username.as_bytes());
        let mut raw = raw.finish(&stun::key(&local.pwd));
        raw.truncate(raw.len() - 32);
        let length = (raw.len() - 20) as u16;
        raw[2..4].copy_from_slice(&length.to_be_bytes());
        raw
    };
    for raw in [
        check(&wrong_password, REMOTE, &[]),
        check(&wrong_ufrag, REMOTE, &[]),
        check(&local, "other", &[]),
        check(&local, "peerx", &[]),
        no_integrity,
    ] {
        assert_eq!(fixture.receive(address(1), &raw), Err(DropReason::StunUnauthenticated));
    }
    assert_eq!(fixture.events(), []);
    assert_eq!(fixture.ice.selected(), None);
}

#[test]
fn what_is_not_a_binding_request_is_refused() {
    let mut fixture = fixture();
    let key = stun::key(&fixture.ice.local().pwd);
    let success = Writer::new(SUCCESS, &[0; 12]).finish(&key);
    let indication = Writer::new(0x0011, &[0; 12]).finish(&key);
    let allocate = Writer::new(0x0003, &[0; 12]).finish(&key);
    for raw in [success, indication, allocate] {
        assert_eq!(fixture.receive(address(1), &raw), Err(DropReason::StunUnexpected));
    }
    assert_eq!(fixture.receive(address(1), &[0; 20]), Err(DropReason::StunMalformed));
}

#[test]
fn a_check_before_the_peers_description_is_answered() {
    let mut random = StdRng::seed_from_u64(2);
    let mut ice = Ice::new(&mut random);
    let raw = check(&ice.local().clone(), "anyone", &[]);
    let mut events = Vec::new();
    assert!(ice.handle(Instant::now(), address(1), &raw, &mut events).is_ok());
    assert_eq!(events, [IceEvent::Learnt(address(1))]);
}

#[test]
fn a_controlled_peer_is_told_of_the_conflict_and_not_learnt() {
    let mut fixture = fixture();
    let answer = fixture.check(1, &[(attribute::ICE_CONTROLLED, &[9; 8])]).unwrap();
    assert_eq!(Message::parse(&answer).unwrap().kind, BINDING_ERROR);
    assert!(answer.windows(4).any(|code| code == [0, 0, 4, 87]));
    assert_eq!(fixture.events(), []);
}

#[test]
fn an_attribute_that_must_be_understood_is_named_in_the_answer() {
    let mut fixture = fixture();
    let answer = fixture.check(1, &[(0x7ead, b"1234"), (0x9eef, b"5678")]).unwrap();
    assert_eq!(Message::parse(&answer).unwrap().kind, BINDING_ERROR);
    assert!(answer.windows(4).any(|code| code == [0, 0, 4, 20]));
    assert!(answer.windows(2).any(|kind| kind == [0x7e, 0xad]));
    assert!(!answer.windows(2).any(|kind| kind == [0x9e, 0xef]));
    assert_eq!(fixture.events(), []);
}

#[test]
fn no_answer_is_longer_than_its_question() {
    let mut fixture = fixture();
    let local = fixture.ice.local().clone();
    let username = format!("{}:{REMOTE}", local.ufrag);
    let bare = Writer::new(REQUEST, &[3; 12])
        .attribute(attribute::USERNAME, username.as_bytes())
        .finish(&stun::key(&local.pwd));
    let from = "[2001:db8::1]:9".parse().unwrap();
    let outcome = fixture.receive(from, &bare);
    assert!(outcome.is_ok_and(|answer| answer.len() <= bare.len()));
    let mut shorter = bare[..bare.len() - 8].to_vec();
    let length = (shorter.len() - 20) as u16;
    shorter[2..4].copy_from_slice(&length.to_be_bytes());
    // Without FINGERPRINT the request is shorter than the answer with an IPv6 address.
    assert_eq!(fixture.receive(from, &shorter), Err(DropReason::StunMalformed));
    for (kind, value) in [(attribute::ICE_CONTROLLED, &[9u8; 8][..]), (0x7ead, &[][..])] {
        let raw = check(&local, REMOTE, &[(kind, value)]);
        assert!(fixture.receive(from, &raw).unwrap().len() <= raw.len());
    }
}

#[test]
fn the_latest_nomination_wins() {
    let mut fixture = fixture();
    fixture.check(1, &[]).unwrap();
    fixture.nominate(2);
    assert_eq!(fixture.ice.selected(), Some(address(2)));
    fixture.check(1, &[]).unwrap();
    assert_eq!(fixture.ice.selected(), Some(address(2)), "a plain check does not take it back");
    fixture.nominate(1);
    assert_eq!(fixture.ice.selected(), Some(address(1)));
}

#[test]
fn renomination_follows_the_highest_number_only() {
    let mut fixture = fixture();
    let mut nominate = |port, number: u32| {
        let value = number.to_be_bytes();
        fixture.check(port, &[(attribute::NOMINATION, &value), (attribute::USE_CANDIDATE, b"")]).unwrap();
        fixture.ice.selected()
    };
    assert_eq!(nominate(1, 1), Some(address(1)));
    assert_eq!(nominate(2, 2), Some(address(2)));
    assert_eq!(nominate(1, 1), Some(address(2)), "overtaken");
    assert_eq!(nominate(1, 2), Some(address(2)), "repeated");
    assert_eq!(nominate(1, 3), Some(address(1)));
}

#[test]
fn before_nomination_the_address_in_use_is_preferred() {
    let mut fixture = fixture();
    fixture.check(1, &[]).unwrap();
    fixture.check(2, &[]).unwrap();
    fixture.ice.prefer_until_nomination(address(3));
    assert_eq!(fixture.ice.selected(), Some(address(1)), "unknown addresses change nothing");
    fixture.ice.prefer_until_nomination(address(2));
    assert_eq!(fixture.ice.selected(), Some(address(2)));
    fixture.nominate(1);
    fixture.ice.prefer_until_nomination(address(2));
    assert_eq!(fixture.ice.selected(), Some(address(1)));
}

#[test]
fn the_table_is_bounded_and_the_oldest_spare_makes_room() {
    let mut fixture = fixture();
    fixture.nominate(1);
    for port in 2..=limits::ICE_PATHS as u16 {
        fixture.now += Duration::from_millis(1);
        fixture.check(port, &[]).unwrap();
    }
    fixture.events();
    fixture.now += Duration::from_millis(1);
    fixture.check(100, &[]).unwrap();
    let forgotten = IceEvent::Forgotten(address(2));
    assert_eq!(fixture.events(), [forgotten, IceEvent::Learnt(address(100))]);
    assert_eq!(fixture.ice.paths.len(), limits::ICE_PATHS);
    assert_eq!(fixture.ice.selected(), Some(address(1)));
}

#[test]
fn spare_addresses_expire_and_the_selected_stays() {
    let mut fixture = fixture();
    fixture.nominate(1);
    fixture.check(2, &[]).unwrap();
    fixture.events();
    let deadline = fixture.ice.poll_timeout().unwrap();
    fixture.ice.handle_timeout(deadline - Duration::from_millis(1), &mut fixture.events);
    assert_eq!(fixture.events(), []);
    fixture.ice.handle_timeout(deadline, &mut fixture.events);
    assert_eq!(fixture.events(), [IceEvent::Forgotten(address(2))]);
    assert!(fixture.ice.knows(address(1)));
    assert_eq!(fixture.ice.poll_timeout(), None);
}

#[test]
fn a_restart_keeps_the_old_credentials_until_the_new_are_used() {
    let mut fixture = fixture();
    fixture.nominate(1);
    fixture.check(2, &[]).unwrap();
    let old = fixture.ice.local().clone();
    fixture.ice.set_remote(credentials("next"), &mut fixture.random);
    let new = fixture.ice.local().clone();
    assert_ne!(old, new);
    fixture.ice.set_remote(credentials("next"), &mut fixture.random);
    assert_eq!(fixture.ice.local(), &new, "the same description again is no restart");
    fixture.events();

    assert!(fixture.receive(address(1), &check(&old, REMOTE, &[])).is_ok(), "still valid");
    let crossed = check(&old, "next", &[]);
    assert_eq!(fixture.receive(address(1), &crossed), Err(DropReason::StunUnauthenticated));
    assert!(fixture.receive(address(3), &check(&new, "next", &[])).is_ok());
    assert_eq!(fixture.ice.selected(), Some(address(1)), "media stays until the new nomination");
    let late = check(&old, REMOTE, &[]);
    assert_eq!(fixture.receive(address(1), &late), Err(DropReason::StunUnauthenticated));

    let nomination = check(&new, "next", &[(attribute::USE_CANDIDATE, b"")]);
    fixture.receive(address(3), &nomination).unwrap();
    assert_eq!(fixture.ice.selected(), Some(address(3)));
    let learnt = IceEvent::Learnt(address(3));
    let forgotten = [1, 2].map(|port| IceEvent::Forgotten(address(port)));
    assert_eq!(fixture.events(), [learnt, forgotten[0], forgotten[1]]);
}

#[test]
fn after_a_restart_nomination_numbers_begin_anew() {
    let mut fixture = fixture();
    fixture.check(1, &[(attribute::NOMINATION, &9u32.to_be_bytes())]).unwrap();
    fixture.ice.set_remote(credentials("next"), &mut fixture.random);
    let new = fixture.ice.local().clone();
    let raw = check(&new, "next", &[(attribute::NOMINATION, &1u32.to_be_bytes())]);
    fixture.receive(address(2), &raw).unwrap();
    assert_eq!(fixture.ice.selected(), Some(address(2)));
}

#[test]
fn a_mapped_ipv4_address_is_the_plain_one() {
    let mapped = "[::ffff:192.0.2.1]:7".parse().unwrap();
    assert_eq!(canonical(mapped), address(7));
    let v6 = "[2001:db8::1]:7".parse().unwrap();
    assert_eq!(canonical(v6), v6);
}
