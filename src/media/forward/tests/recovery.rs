//! Scenarios of sending again what a subscriber was sent.

use super::*;

const RTX: Ssrc = Ssrc(0x0ea7);

fn repaired(payload_types: &[(Codec, PayloadType)], seed: u64) -> SendStream {
    let mut stream = send_stream(payload_types, seed);
    let payload_types = payload_types.iter().map(|(_, media)| (*media, PayloadType(media.0 + 1))).collect();
    stream.retransmit_to(RtxTarget { ssrc: RTX, payload_types }, &mut StdRng::seed_from_u64(seed));
    stream
}

/// What a subscriber receives by a retransmission: its own sequence number, and the packet it carries.
fn again(stream: &mut SendStream, now: Instant, sent: &Sent, sequence: u64) -> Result<(u64, Received), Refusal> {
    let mut packet = sent.bytes();
    let found = stream.find_lost(now, sequence as u16)?;
    assert_eq!((found.input, found.encoding()), (sent.sequence as u32, sent.encoding));
    let (record, mut scratch) = (sent.record(&packet), Scratch::default());
    let out =
        stream.retransmit(now, &found, Cause::Nack, &record, &source_map(), &packet, Hop::default(), &mut scratch)?;
    let header = Header::parse(out.header).unwrap();
    assert_eq!((header.ssrc, header.sequence_number), (RTX, out.extended_sequence as u16));
    assert_eq!(header.len, out.header.len());
    let payload_range = out.payload.clone();
    // As sealing does.
    packet[out.payload.clone()][..out.prefix.len()].swap_with_slice(out.prefix);
    let (original, payload) = packet[out.payload].split_first_chunk::<2>().unwrap();
    let mut fixed: [u8; 12] = *out.header.first_chunk().unwrap();
    fixed[1] -= 1; // the payload type
    fixed[2..4].copy_from_slice(original);
    fixed[8..].copy_from_slice(&SSRC.0.to_be_bytes());
    let carried = Received {
        sequence,
        header: fixed,
        timestamp: header.timestamp,
        extensions: header.extensions(out.header).map(|(id, value)| (id, value.to_vec())).collect(),
        payload: payload.to_vec(),
    };
    packet[payload_range][..out.prefix.len()].swap_with_slice(out.prefix);
    assert_eq!(packet, sent.bytes(), "the cache is as it was");
    Ok((out.extended_sequence, carried))
}

#[test]
fn a_retransmission_carries_the_counters_and_extensions_as_they_were_rewritten() {
    let start = Instant::now();
    let mut stream = repaired(&[VP8], 1);
    let mut sent = Vec::new();
    for n in 0..60u64 {
        let encoding = (n / 20) as usize % 2;
        stream.select(Some(Selection::all(encoding)));
        let mut packet = if n % 20 == 0 { key(encoding, 70_000 + n) } else { delta(encoding, 70_000 + n) };
        packet.marker = n % 3 == 0;
        packet.extensions = vec![(13, vec![0x80, 0, n as u8])];
        if n % 20 == 0 {
            // A structure with the keyframe: a long header.
            packet.extensions[0].1.extend([0x80; 60]);
        }
        let received = forward(&mut stream, start, &packet).unwrap();
        sent.push((packet, received));
    }
    let rewritten = sent.iter().filter(|(packet, received)| packet.payload != received.payload).count();
    assert!(rewritten >= 20, "{rewritten} have other counters than they came with");
    let mut own = Vec::new();
    for round in 1..=3u32 {
        let now = start + round * Duration::from_millis(200);
        for (packet, received) in sent.iter().skip(5 * round as usize).step_by(9) {
            let (number, carried) = again(&mut stream, now, packet, received.sequence).unwrap();
            assert_eq!(carried, *received);
            own.push(number);
        }
    }
    assert!(own.windows(2).all(|pair| pair[1] == pair[0] + 1), "{own:?}");
    assert!(own[0] < 1 << 15);
}

#[test]
fn what_another_source_was_sent_is_gone() {
    let now = Instant::now();
    let mut stream = repaired(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let packet = key(0, 70_000);
    let received = forward(&mut stream, now, &packet).unwrap();
    assert!(again(&mut stream, now, &packet, received.sequence).is_ok());
    stream.retarget(90_000, vec![VP8]);
    let later = now + Duration::from_secs(1);
    assert_eq!(again(&mut stream, later, &packet, received.sequence).unwrap_err(), Refusal::Gone);
    stream.select(Some(Selection::all(0)));
    let packet = key(0, 70_000);
    let received = forward(&mut stream, later, &packet).unwrap();
    assert!(again(&mut stream, later, &packet, received.sequence).is_ok());
}

#[test]
fn the_round_trip_that_was_measured_decides_when_a_packet_may_be_sent_again() {
    let (start, ms) = (Instant::now(), Duration::from_millis);
    let mut stream = repaired(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let packet = key(0, 70_000);
    let received = forward(&mut stream, start, &packet).unwrap();
    let report = stream.sender_report(start, 5 << 32).unwrap();
    let answer = ReceptionReport {
        ssrc: SSRC.0,
        last_sender_report: clock::ntp_middle(report.ntp),
        ..ReceptionReport::default()
    };
    stream.handle_report(start + ms(40), &answer);
    let mut ask = |at: u64| again(&mut stream, start + ms(at), &packet, received.sequence).is_ok();
    assert_eq!([50, 84, 85, 119, 120].map(&mut ask), [true, false, true, false, true], "35 ms apart");
}

#[test]
fn without_a_stream_for_it_nothing_is_sent_again() {
    let now = Instant::now();
    let mut stream = send_stream(&[VP8], 1);
    stream.select(Some(Selection::all(0)));
    let received = forward(&mut stream, now, &key(0, 70_000)).unwrap();
    assert_eq!(stream.find_lost(now, received.sequence as u16).unwrap_err(), Refusal::Gone);
    let other = RtxTarget { ssrc: RTX, payload_types: vec![(PayloadType(1), PayloadType(2))] };
    stream.retransmit_to(other, &mut StdRng::seed_from_u64(1));
    let packet = delta(0, 70_001);
    let received = forward(&mut stream, now, &packet).unwrap();
    assert_eq!(again(&mut stream, now, &packet, received.sequence).unwrap_err(), Refusal::Gone, "its format has none");
}
