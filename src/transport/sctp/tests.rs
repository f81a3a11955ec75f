//! The association against hostile packets of a peer that holds the keys.

use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rtc_sctp::{ClientConfig, StreamEvent as TheirStreamEvent};

use super::*;

const OPEN: [u8; 14] = [3, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, b'h', b'i'];

/// Both ends without anything between them.
struct Pair {
    now: Instant,
    ours: Sctp,
    events: VecDeque<TransportEvent>,
    endpoint: Endpoint,
    theirs: Association,
    /// Everything the peer sent.
    sent: Vec<Bytes>,
    answers: usize,
}

impl Pair {
    fn new() -> Pair {
        let now = Instant::now();
        let config = Arc::new(EndpointConfig::new());
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, config, None);
        let (_, theirs) = endpoint.connect(now, ClientConfig::default(), PEER).unwrap();
        Pair { now, ours: Sctp::new(), events: VecDeque::new(), endpoint, theirs, sent: Vec::new(), answers: 0 }
    }

    fn connected() -> Pair {
        let mut pair = Pair::new();
        pair.pump();
        let mut stream = pair.theirs.open_stream(0, PayloadProtocolIdentifier::Binary).unwrap();
        stream.write_with_ppi(pair.now, &OPEN, PayloadProtocolIdentifier::Dcep).unwrap();
        pair.pump();
        assert!(matches!(pair.events.pop_front(), Some(TransportEvent::ChannelOpened(_))));
        pair
    }

    fn pump(&mut self) {
        loop {
            let mut idle = true;
            while let Some(transmit) = self.theirs.poll_transmit(self.now) {
                let Payload::RawEncode(packets) = transmit.message else {
                    continue;
                };
                for packet in packets {
                    idle = false;
                    self.sent.push(packet.clone());
                    self.ours.handle(self.now, packet, &mut self.events);
                }
            }
            while let Some(packet) = self.ours.poll_transmit(self.now) {
                idle = false;
                self.answers += 1;
                assert!(packet.len() <= SCTP_MTU as usize);
                if let Some((_, DatagramEvent::AssociationEvent(event))) =
                    self.endpoint.handle(self.now, PEER, None, packet)
                {
                    self.theirs.handle_event(event);
                }
            }
            while let Some(event) = self.theirs.poll() {
                if let Event::Stream(TheirStreamEvent::Readable { id }) = event {
                    while let Ok(Some(_)) = self.theirs.stream(id).unwrap().read_sctp() {}
                }
            }
            if idle {
                return;
            }
        }
    }

    fn inject(&mut self, mut packet: Vec<u8>) {
        seal(&mut packet);
        self.ours.handle(self.now, packet.into(), &mut self.events);
        let mut answers = 0;
        while self.ours.poll_transmit(self.now).is_some() {
            answers += 1;
            assert!(answers < 100, "one packet is not answered by hundreds");
        }
    }

    /// A packet of the association with the given chunks.
    fn packet(&self, chunks: &[Vec<u8>]) -> Vec<u8> {
        // The header of any packet but the first, whose verification tag is zero.
        let mut packet = self.sent.last().unwrap()[..12].to_vec();
        packet.extend(chunks.concat());
        packet
    }

    fn established(&self) -> bool {
        self.ours.established.is_some()
    }
}

/// Sets the checksum: CRC-32C (RFC 9260, appendix A).
fn seal(packet: &mut [u8]) {
    let Some(field) = packet.get_mut(8..12) else {
        return;
    };
    field.fill(0);
    let mut crc = u32::MAX;
    for byte in packet.iter() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}

fn chunk(kind: u8, flags: u8, value: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind, flags];
    chunk.extend((value.len() as u16 + 4).to_be_bytes());
    chunk.extend(value);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
    chunk
}

fn data(flags: u8, tsn: u32, stream: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = tsn.to_be_bytes().to_vec();
    value.extend(stream.to_be_bytes());
    value.extend(sequence.to_be_bytes());
    value.extend(53u32.to_be_bytes());
    value.extend(payload);
    chunk(0, flags, &value)
}

/// The TSN of the first DATA chunk the peer sent.
fn first_tsn(pair: &Pair) -> u32 {
    let packet = pair.sent.iter().find(|packet| packet[12] == 0).unwrap();
    u32::from_be_bytes(packet[16..20].try_into().unwrap())
}

#[test]
fn mutated_packets_of_every_kind_never_panic() {
    let mut random = StdRng::seed_from_u64(9260);
    let mut lost = 0;
    for round in 0..150 {
        let mut pair = if round % 10 == 0 { Pair::new() } else { Pair::connected() };
        for message in [&b"one"[..], &[7; 5000]] {
            if let Ok(mut stream) = pair.theirs.stream(0) {
                stream.write_with_ppi(pair.now, message, PayloadProtocolIdentifier::Binary).unwrap();
            }
            pair.pump();
        }
        let samples = pair.sent.clone();
        for _ in 0..150 {
            let mut packet = samples[random.random_range(0..samples.len())].to_vec();
            if random.random_range(0..3) == 0 {
                packet[12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 130, 192][random.random_range(0..14)];
            }
            for _ in 0..random.random_range(0..6) {
                let at = random.random_range(12..packet.len());
                packet[at] = random.next_u32() as u8;
            }
            packet.truncate(random.random_range(8..=packet.len()));
            pair.inject(packet);
        }
        lost += usize::from(!pair.established());
        assert_eq!(pair.ours.contained_panics, 0, "round {round}");
    }
    assert!(lost < 150);
}

#[test]
fn packets_of_every_length_are_survived() {
    let mut pair = Pair::connected();
    for len in 0..200 {
        for fill in [0u8, 1, 0xff] {
            pair.inject(vec![fill; len]);
        }
        let mut packet = pair.packet(&[]);
        packet.resize(12 + len, 0);
        pair.inject(packet);
    }
    assert!(pair.established());
    assert_eq!(pair.ours.contained_panics, 0);
}

#[test]
fn repeated_inits_do_not_pile_up() {
    let mut pair = Pair::new();
    let transmit = pair.theirs.poll_transmit(pair.now).unwrap();
    let Payload::RawEncode(init) = transmit.message else {
        panic!("not an INIT");
    };
    for _ in 0..1000 {
        pair.ours.handle(pair.now, init[0].clone(), &mut pair.events);
        assert!(pair.ours.associations.len() <= CANDIDATES);
    }
    // The last answer is taken up all the same.
    let answers: Vec<Bytes> = std::iter::from_fn(|| pair.ours.poll_transmit(pair.now)).collect();
    let last = answers.last().unwrap().clone();
    if let Some((_, DatagramEvent::AssociationEvent(event))) = pair.endpoint.handle(pair.now, PEER, None, last) {
        pair.theirs.handle_event(event);
    }
    pair.pump();
    assert!(pair.established());
    assert_eq!(pair.ours.associations.len(), 1);
    pair.ours.handle(pair.now, init[0].clone(), &mut pair.events);
    assert_eq!(pair.ours.associations.len(), 1, "a late INIT begins nothing");
}

#[test]
fn a_message_without_an_end_is_cut_off() {
    let mut pair = Pair::connected();
    let first = first_tsn(&pair).wrapping_add(1);
    let payload = [0; 1100];
    let mut sent = 0;
    while pair.established() {
        let flags = if sent == 0 { 2 } else { 0 };
        let packet = pair.packet(&[data(flags, first.wrapping_add(sent), 0, 1, &payload)]);
        pair.inject(packet);
        sent += 1;
        assert!(sent < 4000, "more than 4 MiB are held");
    }
    assert!(pair.events.contains(&TransportEvent::ChannelClosed { channel: 0 }));
}

#[test]
fn crumbs_that_wait_for_a_gap_are_cut_off() {
    let mut pair = Pair::connected();
    let first = first_tsn(&pair).wrapping_add(2);
    let mut sent = 0u32;
    while pair.established() {
        let crumbs: Vec<Vec<u8>> =
            (0..50).map(|n| data(3, first.wrapping_add(sent + n), 0, (sent + n + 2) as u16, b"x")).collect();
        let packet = pair.packet(&crumbs);
        pair.inject(packet);
        sent += 50;
        assert!(sent < 60_000, "{sent} crumbs are held");
    }
}

#[test]
fn a_flood_of_resets_is_cut_off() {
    let mut pair = Pair::connected();
    let last = first_tsn(&pair).wrapping_add(1000);
    for number in 0..10_000u32 {
        let mut value = vec![0, 13, 0, 18];
        value.extend(number.to_be_bytes());
        value.extend([0; 4]);
        value.extend(last.to_be_bytes());
        value.extend([0, 0, 0, 0]);
        let packet = pair.packet(&[chunk(130, 0, &value)]);
        pair.inject(packet);
    }
    assert!(!pair.established());
}

#[test]
fn a_message_over_the_limit_is_not_delivered() {
    let mut pair = Pair::connected();
    for len in [limits::DATA_MESSAGE_BYTES as usize, limits::DATA_MESSAGE_BYTES as usize + 1] {
        let mut stream = pair.theirs.stream(0).unwrap();
        stream.write_with_ppi(pair.now, &vec![1; len], PayloadProtocolIdentifier::Binary).unwrap();
        pair.pump();
    }
    let lens: Vec<usize> = pair
        .events
        .iter()
        .filter_map(|event| match event {
            TransportEvent::Message { message, .. } => Some(message.len()),
            _ => None,
        })
        .collect();
    assert_eq!(lens, [limits::DATA_MESSAGE_BYTES as usize]);
}

#[test]
fn openings_that_cannot_be_are_ignored() {
    let mut pair = Pair::connected();
    let mut opening = |id: u16, message: &[u8]| {
        let mut stream = pair.theirs.open_stream(id, PayloadProtocolIdentifier::Binary).unwrap();
        stream.write_with_ppi(pair.now, message, PayloadProtocolIdentifier::Dcep).unwrap();
        pair.pump();
        pair.events.len()
    };
    let mut long = OPEN.to_vec();
    long[8..10].copy_from_slice(&(limits::NAME_BYTES as u16 + 1).to_be_bytes());
    long.resize(12 + limits::NAME_BYTES + 1, b'x');
    assert_eq!(opening(1, &long), 0, "label too long");
    assert_eq!(opening(2, &OPEN[..13]), 0, "label cut off");
    let mut no_text = OPEN;
    no_text[12] = 0xff;
    assert_eq!(opening(3, &no_text), 0, "label not UTF-8");
    let mut kind = OPEN;
    kind[1] = 0x55;
    assert_eq!(opening(4, &kind), 0, "unknown channel type");
    assert_eq!(opening(5, &[0, 1, 2, 3, 4, 5]), 0, "unknown message");
    assert_eq!(opening(limits::SCTP_STREAMS, &OPEN), 0, "stream past the limit");
    assert_eq!(opening(6, &OPEN), 1);
}

#[test]
fn the_number_of_channels_is_bounded() {
    let mut pair = Pair::connected();
    for id in 1..limits::SCTP_STREAMS {
        let mut stream = pair.theirs.open_stream(id, PayloadProtocolIdentifier::Binary).unwrap();
        stream.write_with_ppi(pair.now, &OPEN, PayloadProtocolIdentifier::Dcep).unwrap();
        pair.pump();
    }
    assert_eq!(pair.ours.channels.len(), usize::from(limits::SCTP_STREAMS));
}
