//! Data channels over the whole stack.

use std::time::Duration;

use rtc_sctp::PayloadProtocolIdentifier as Identifier;

use super::link::{Link, Options};
use crate::limits;
use crate::transport::{DataChannel, DtlsRole, TransportEvent};

const RELIABLE: u8 = 0x00;
const REXMIT_UNORDERED: u8 = 0x81;

fn with_channel(role: DtlsRole) -> Link {
    let mut link = Link::connected(Options { role, ..Options::default() });
    link.sctp.connect(link.now);
    link.run_until(|link| link.sctp.connected);
    link.sctp.open(link.now, 1, RELIABLE, 0, "_reliable");
    link.run_until(|link| !link.sctp.received.is_empty());
    link
}

fn messages(link: &Link) -> Vec<(u16, bool, usize)> {
    let messages = link.events.iter().filter_map(|event| match event {
        TransportEvent::Message { channel, binary, message } => Some((*channel, *binary, message.len())),
        _ => None,
    });
    messages.collect()
}

#[test]
fn a_channel_is_opened_and_acknowledged_in_both_roles() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        let link = with_channel(role);
        let opened = TransportEvent::ChannelOpened(DataChannel { id: 1, label: "_reliable".to_owned(), ordered: true });
        assert!(link.events.contains(&opened));
        assert_eq!(link.sctp.received, [(1, Identifier::Dcep, vec![2].into())]);
        assert!(link.elapsed() < Duration::from_millis(500), "no timer was waited for: {:?}", link.elapsed());
    }
}

#[test]
fn messages_of_all_sizes_and_kinds_pass_both_ways() {
    let mut link = with_channel(DtlsRole::Client);
    let sizes = [1, 16 * 1024, 64_000, 65_536];
    for size in sizes {
        let message: Vec<u8> = (0..size).map(|n| (n * 7) as u8).collect();
        let (now, before) = (link.now, link.sctp.received.len());
        link.sctp.send(now, 1, Identifier::Binary, &message);
        assert!(link.transport.send_message(now, 1, true, &message));
        link.run_until(|link| messages(link).last() == Some(&(1, true, size)));
        link.run_until(|link| link.sctp.received.len() > before);
        let (_, identifier, received) = link.sctp.received.last().unwrap();
        assert_eq!((*identifier, &received[..]), (Identifier::Binary, &message[..]));
        let sent = TransportEvent::Message { channel: 1, binary: true, message: message.into() };
        assert!(link.events.contains(&sent));
    }
    let now = link.now;
    link.sctp.send(now, 1, Identifier::String, "text".as_bytes());
    link.sctp.send(now, 1, Identifier::StringEmpty, &[0]);
    link.sctp.send(now, 1, Identifier::BinaryEmpty, &[0]);
    assert!(link.transport.send_message(now, 1, false, b"text"));
    assert!(link.transport.send_message(now, 1, false, b""));
    assert!(link.transport.send_message(now, 1, true, b""));
    link.run_for(Duration::from_secs(1));
    assert_eq!(messages(&link)[sizes.len()..], [(1, false, 4), (1, false, 0), (1, true, 0)]);
    let identifiers: Vec<_> = link.sctp.received.iter().rev().take(3).map(|(_, identifier, _)| *identifier).collect();
    assert_eq!(identifiers, [Identifier::BinaryEmpty, Identifier::StringEmpty, Identifier::String]);
    assert_eq!(link.transport.buffered(1), 0);
}

#[test]
fn a_burst_of_messages_passes_through_loss() {
    let mut link = with_channel(DtlsRole::Client);
    link.loses = |n| n % 11 == 0;
    let (now, count) = (link.now, 200);
    for n in 0..count {
        link.sctp.send(now, 1, Identifier::Binary, &[n as u8; 1500]);
        assert!(link.transport.send_message(now, 1, true, &[n as u8; 1500]));
    }
    link.run_alive_for(Duration::from_secs(60));
    let received = link.sctp.received.iter().filter(|(_, identifier, _)| *identifier == Identifier::Binary);
    let order: Vec<u8> = received.map(|(_, _, message)| message[0]).collect();
    assert_eq!(order, (0..count).map(|n| n as u8).collect::<Vec<_>>());
    assert_eq!(messages(&link).len(), count);
}

#[test]
fn the_parameters_of_the_opener_hold_for_our_direction() {
    let mut link = with_channel(DtlsRole::Client);
    link.sctp.open(link.now, 3, REXMIT_UNORDERED, 0, "_lossy");
    link.run_until(|link| link.sctp.received.len() == 2);
    let opened = TransportEvent::ChannelOpened(DataChannel { id: 3, label: "_lossy".to_owned(), ordered: false });
    assert!(link.events.contains(&opened));
    // With no retransmissions allowed, what is lost is gone and does not hold up what follows.
    link.loses = |_| true;
    assert!(link.transport.send_message(link.now, 3, true, b"lost"));
    link.run_for(Duration::from_millis(10));
    link.loses = |_| false;
    assert!(link.transport.send_message(link.now, 3, true, b"next"));
    link.run_for(Duration::from_millis(100));
    let payloads: Vec<_> = link.sctp.received.iter().map(|(_, _, message)| message.clone()).collect();
    assert!(payloads.iter().any(|message| message == "next"));
    link.run_alive_for(Duration::from_secs(20));
    assert!(!link.sctp.received.iter().any(|(_, _, message)| message == "lost"));
    assert_eq!(link.transport.buffered(3), 0);
}

#[test]
fn sending_is_refused_on_unknown_channels_and_past_the_queue() {
    let mut link = with_channel(DtlsRole::Client);
    assert!(!link.transport.send_message(link.now, 7, true, b"unknown"));
    let too_long = vec![0; limits::DATA_MESSAGE_BYTES as usize + 1];
    assert!(!link.transport.send_message(link.now, 1, true, &too_long));
    let message = vec![0; 50_000];
    let accepted = (0..100).take_while(|_| link.transport.send_message(link.now, 1, true, &message)).count();
    assert_eq!(accepted, limits::DATA_QUEUE_BYTES / message.len());
    assert!(link.transport.buffered(1) <= limits::DATA_QUEUE_BYTES);
    link.run_alive_for(Duration::from_secs(20));
    assert_eq!(link.transport.buffered(1), 0, "all of it was sent");
    assert!(link.transport.send_message(link.now, 1, true, &message));
}

#[test]
fn a_closed_channel_is_reported_and_may_be_opened_again() {
    let mut link = with_channel(DtlsRole::Client);
    let now = link.now;
    link.sctp.association().stream(1).unwrap().close(now).unwrap();
    link.run_until(|link| link.events.contains(&TransportEvent::ChannelClosed { channel: 1 }));
    assert!(!link.transport.send_message(link.now, 1, true, b"closed"));
    link.run_until(|link| link.sctp.closed.contains(&1));
    link.sctp.received.clear();
    link.sctp.open(link.now, 1, RELIABLE, 0, "again");
    link.run_until(|link| !link.sctp.received.is_empty());
    assert!(link.transport.send_message(link.now, 1, true, b"open"));
}

#[test]
fn an_aborted_association_closes_its_channels_and_another_may_follow() {
    let mut link = with_channel(DtlsRole::Client);
    link.sctp.association().abort().unwrap();
    link.run_until(|link| link.events.contains(&TransportEvent::ChannelClosed { channel: 1 }));
    link.sctp.connected = false;
    link.sctp.connect(link.now);
    link.run_until(|link| link.sctp.connected);
    link.sctp.open(link.now, 5, RELIABLE, 0, "after");
    link.run_until(|link| link.sctp.received.len() == 2);
}

#[test]
fn lost_packets_of_the_association_set_up_are_made_up_for() {
    for lost in [1, 2, 3, 4] {
        let mut link = Link::connected(Options::default());
        link.run_for(Duration::from_millis(200));
        link.sctp.connect(link.now);
        let end = link.now + Duration::from_secs(10);
        for _ in 0..lost {
            link.step(end);
        }
        link.loses = |_| true;
        link.step(end);
        link.loses = |_| false;
        link.run_until(|link| link.sctp.connected);
        link.sctp.open(link.now, 1, RELIABLE, 0, "x");
        link.run_until(|link| !link.sctp.received.is_empty());
    }
}
