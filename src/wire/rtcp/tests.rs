//! Compound packets, read and written, against another implementation and damaged.

use std::collections::VecDeque;

use ::rtcp::Packet as OraclePacket;
use ::rtcp::goodbye::Goodbye;
use ::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use ::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use ::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use ::rtcp::receiver_report::ReceiverReport;
use ::rtcp::reception_report::ReceptionReport as OracleReport;
use ::rtcp::sender_report::SenderReport;
use ::rtcp::source_description::{SdesType, SourceDescription};
use ::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use super::*;

fn random_report(random: &mut StdRng) -> ReceptionReport {
    ReceptionReport {
        ssrc: random.random(),
        fraction_lost: random.random(),
        cumulative_lost: random.random_range(-0x80_0000..=0x7f_ffff),
        extended_highest_sequence: random.random(),
        jitter: random.random(),
        last_sender_report: random.random(),
        delay_since_last: random.random(),
    }
}

fn to_oracle(report: &ReceptionReport) -> OracleReport {
    OracleReport {
        ssrc: report.ssrc,
        fraction_lost: report.fraction_lost,
        total_lost: report.cumulative_lost as u32 & 0xff_ffff,
        last_sequence_number: report.extended_highest_sequence,
        jitter: report.jitter,
        last_sender_report: report.last_sender_report,
        delay: report.delay_since_last,
    }
}

/// One block as the oracle writes it, with what this reader should say of it.
fn random_block(random: &mut StdRng, expected: &mut Vec<Report<'static>>) -> Box<dyn OraclePacket> {
    let (sender, media) = (random.random(), random.random());
    match random.random_range(0..7) {
        0 => {
            let info = SenderInfo {
                ssrc: Ssrc(sender),
                ntp: random.random(),
                rtp_timestamp: random.random(),
                packets: random.random(),
                octets: random.random(),
            };
            expected.push(Report::Sender(info));
            Box::new(SenderReport {
                ssrc: sender,
                ntp_time: info.ntp,
                rtp_time: info.rtp_timestamp,
                packet_count: info.packets,
                octet_count: info.octets,
                reports: random_reports(random, sender, expected),
                ..Default::default()
            })
        }
        1 => Box::new(ReceiverReport {
            ssrc: sender,
            reports: random_reports(random, sender, expected),
            ..Default::default()
        }),
        2 => {
            let sources: Vec<u32> = (0..random.random_range(0..=31)).map(|_| random.random()).collect();
            expected.extend(sources.iter().map(|ssrc| Report::Bye { ssrc: Ssrc(*ssrc) }));
            Box::new(Goodbye { sources, reason: "gone".into() })
        }
        3 => {
            let (packet_id, bitmask) = (random.random(), random.random());
            expected.push(Report::Nack { media: Ssrc(media), packet_id, bitmask });
            Box::new(TransportLayerNack {
                sender_ssrc: sender,
                media_ssrc: media,
                nacks: vec![NackPair { packet_id, lost_packets: bitmask }],
            })
        }
        4 => {
            expected.push(Report::KeyframeRequest { media: Ssrc(media), fir: false });
            Box::new(PictureLossIndication { sender_ssrc: sender, media_ssrc: media })
        }
        5 => {
            expected.push(Report::KeyframeRequest { media: Ssrc(media), fir: true });
            Box::new(FullIntraRequest {
                sender_ssrc: sender,
                media_ssrc: 0,
                fir: vec![FirEntry { ssrc: media, sequence_number: random.random() }],
            })
        }
        _ => {
            let bitrate = u64::from(random.random_range(0..1u32 << 18)) << random.random_range(0..20);
            expected.push(Report::Remb { bitrate });
            Box::new(ReceiverEstimatedMaximumBitrate {
                sender_ssrc: sender,
                bitrate: bitrate as f32,
                ssrcs: vec![media],
            })
        }
    }
}

fn random_reports(random: &mut StdRng, sender: u32, expected: &mut Vec<Report<'static>>) -> Vec<OracleReport> {
    (0..random.random_range(0..=31))
        .map(|_| {
            let report = random_report(random);
            expected.push(Report::Reception { sender: Ssrc(sender), report });
            to_oracle(&report)
        })
        .collect()
}

fn random_compound(random: &mut StdRng) -> (Vec<u8>, Vec<Report<'static>>) {
    let mut expected = Vec::new();
    let blocks: Vec<_> = (0..random.random_range(1..6)).map(|_| random_block(random, &mut expected)).collect();
    (::rtcp::packet::marshal(&blocks).unwrap().to_vec(), expected)
}

#[test]
fn random_compounds_read_as_the_oracle_wrote_them() {
    let mut random = StdRng::seed_from_u64(1);
    for _ in 0..3_000 {
        let (compound, expected) = random_compound(&mut random);
        assert_eq!(read(&compound).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn written_reports_are_read_alike_by_the_oracle() {
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..500 {
        let info = SenderInfo {
            ssrc: Ssrc(random.random()),
            ntp: random.random(),
            rtp_timestamp: random.random(),
            packets: random.random(),
            octets: random.random(),
        };
        let reports: Vec<_> = (0..random.random_range(0..=31)).map(|_| random_report(&mut random)).collect();
        let mut out = Vec::new();
        let mut writer = Writer { out: &mut out };
        writer.sender_report(&info, &reports);
        writer.receiver_report(info.ssrc, &reports);
        let blocks = ::rtcp::packet::unmarshal(&mut out.as_slice()).unwrap();
        let oracle_reports: Vec<_> = reports.iter().map(to_oracle).collect();
        let sender = blocks[0].as_any().downcast_ref::<SenderReport>().unwrap();
        assert_eq!((sender.ssrc, sender.ntp_time), (info.ssrc.0, info.ntp));
        assert_eq!((sender.rtp_time, sender.packet_count), (info.rtp_timestamp, info.packets));
        assert_eq!((sender.octet_count, &sender.reports), (info.octets, &oracle_reports));
        let receiver = blocks[1].as_any().downcast_ref::<ReceiverReport>().unwrap();
        assert_eq!((receiver.ssrc, &receiver.reports), (info.ssrc.0, &oracle_reports));
        assert_eq!(blocks.len(), 2);
    }
}

#[test]
fn written_feedback_is_read_alike_by_the_oracle() {
    let mut out = Vec::new();
    let mut writer = Writer { out: &mut out };
    writer.picture_loss_indication(Ssrc(1), Ssrc(2));
    writer.full_intra_request(Ssrc(1), Ssrc(3), 9);
    writer.bye(Ssrc(4));
    let blocks = ::rtcp::packet::unmarshal(&mut out.as_slice()).unwrap();
    let pli = blocks[0].as_any().downcast_ref::<PictureLossIndication>().unwrap();
    assert_eq!((pli.sender_ssrc, pli.media_ssrc), (1, 2));
    let fir = blocks[1].as_any().downcast_ref::<FullIntraRequest>().unwrap();
    assert_eq!((fir.sender_ssrc, fir.media_ssrc), (1, 0));
    assert_eq!((fir.fir[0].ssrc, fir.fir[0].sequence_number), (3, 9));
    let bye = blocks[2].as_any().downcast_ref::<Goodbye>().unwrap();
    assert_eq!(bye.sources, [4]);
}

/// The numbers a NACK block asks for, as the oracle reads it.
fn asked(out: &[u8]) -> (u32, u32, Vec<u16>) {
    let blocks = ::rtcp::packet::unmarshal(&mut &out[..]).unwrap();
    let nack = blocks[0].as_any().downcast_ref::<TransportLayerNack>().unwrap();
    (nack.sender_ssrc, nack.media_ssrc, nack.nacks.iter().flat_map(NackPair::packet_list).collect())
}

#[test]
fn missing_packets_are_asked_for_alike_by_the_oracle() {
    let mut random = StdRng::seed_from_u64(4);
    for _ in 0..2_000 {
        let mut number = random.random::<u16>();
        let numbers: Vec<u16> = (0..random.random_range(1..=limits::MISSING_PACKETS))
            .map(|_| {
                number = number.wrapping_add(random.random_range(1..40));
                number
            })
            .collect();
        let mut out = Vec::new();
        Writer { out: &mut out }.nack(Ssrc(1), Ssrc(2), numbers.iter().copied());
        assert_eq!(asked(&out), (1, 2, numbers));
    }
}

#[test]
fn neighbours_share_an_entry_and_what_is_too_much_is_left_out() {
    let nack = |numbers: Vec<u16>| {
        let mut out = Vec::new();
        Writer { out: &mut out }.nack(Ssrc(1), Ssrc(2), numbers);
        out
    };
    let seventeen: Vec<u16> = (65_530..=65_535).chain(0..=10).collect();
    let one = nack(seventeen.clone());
    assert_eq!((one.len(), asked(&one).2), (16, seventeen), "over the wrap");
    assert_eq!(nack((0..=17).collect()).len(), 20);
    assert_eq!(asked(&nack(vec![7, 7, 8])).2, [7, 8], "told once");
    let scattered: Vec<u16> = (0..300).map(|n| n * 20).collect();
    let most = nack(scattered.clone());
    assert_eq!(asked(&most).2, scattered[..limits::MISSING_PACKETS]);
    assert_eq!(most.len(), 12 + 4 * limits::MISSING_PACKETS);
}

#[test]
fn a_cname_of_every_length_is_a_valid_block() {
    for len in 0..300 {
        let name = "a".repeat(len);
        let mut out = Vec::new();
        Writer { out: &mut out }.cname(Ssrc(7), &name);
        assert_eq!(out.len() % 4, 0);
        let blocks = ::rtcp::packet::unmarshal(&mut out.as_slice()).unwrap();
        let description = blocks[0].as_any().downcast_ref::<SourceDescription>().unwrap();
        let chunk = &description.chunks[0];
        assert_eq!((chunk.source, chunk.items[0].sdes_type), (7, SdesType::SdesCname));
        assert_eq!(chunk.items[0].text.len(), len.min(255));
    }
}

#[test]
fn more_reports_than_a_count_can_say_are_left_out() {
    let mut out = Vec::new();
    Writer { out: &mut out }.receiver_report(Ssrc(1), &[ReceptionReport::default(); 40]);
    assert_eq!(read(&out).count(), REPORTS_PER_BLOCK);
}

#[test]
fn only_so_many_blocks_are_read() {
    let mut out = Vec::new();
    for ssrc in 0..200 {
        Writer { out: &mut out }.bye(Ssrc(ssrc));
    }
    assert_eq!(read(&out).count(), limits::RTCP_BLOCKS);
    let empty_blocks = [0x80, SOURCE_DESCRIPTION, 0, 0].repeat(10_000);
    let mut reports = read(&empty_blocks);
    assert_eq!(reports.next(), None);
    assert_eq!(reports.blocks, limits::RTCP_BLOCKS, "blocks that say nothing count too");
}

#[test]
fn a_malformed_block_ends_the_reading_after_what_came_before() {
    let mut good = Vec::new();
    Writer { out: &mut good }.bye(Ssrc(1));
    let bad: [&[u8]; 6] = [
        &[0x40, BYE, 0, 0],                            // version 1
        &[0x81, BYE, 0, 9, 0, 0, 0, 1],                // length past the end
        &[0x82, BYE, 0, 1, 0, 0, 0, 1],                // two sources counted, one there
        &[0xa1, BYE, 0, 1, 0, 0, 0, 0],                // padding of 0
        &[0xa1, BYE, 0, 1, 0, 0, 0, 9],                // padding longer than the block
        &[0x81, TRANSPORT_FEEDBACK, 0, 1, 0, 0, 0, 1], // no media source
    ];
    for block in bad {
        let compound = [good.as_slice(), block, good.as_slice()].concat();
        let mut reports = read(&compound);
        assert_eq!(reports.next(), Some(Report::Bye { ssrc: Ssrc(1) }));
        assert_eq!(reports.next(), None, "{block:?}");
        assert_eq!(reports.next(), None, "and stays ended");
    }
}

#[test]
fn padding_is_not_read_as_entries() {
    let compound = [0xa1, TRANSPORT_FEEDBACK, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 0, 0, 0, 0, 4];
    let expected = Report::Nack { media: Ssrc(2), packet_id: 5, bitmask: 0 };
    assert_eq!(read(&compound).collect::<Vec<_>>(), [expected]);
}

#[test]
fn every_entry_of_a_block_is_given() {
    let nacks = [0x81, TRANSPORT_FEEDBACK, 0, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 6, 0, 7, 0, 8];
    let entries: VecDeque<_> = read(&nacks).collect();
    let media = Ssrc(2);
    assert_eq!(entries, [(5, 6), (7, 8)].map(|(packet_id, bitmask)| Report::Nack { media, packet_id, bitmask }));
    let feedback = [0x8f, TRANSPORT_FEEDBACK, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8, 7, 6];
    let fci = Report::TransportFeedback { fci: &[9, 8, 7, 6] };
    assert_eq!(read(&feedback).collect::<Vec<_>>(), [fci]);
}

#[test]
fn a_remb_beyond_64_bits_saturates() {
    let remb = |exponent: u8| {
        let mut block = vec![0x8f, PAYLOAD_FEEDBACK, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0];
        block.extend(*b"REMB");
        block.extend([0, (exponent << 2) | 3, 0xff, 0xff]);
        match read(&block).next() {
            Some(Report::Remb { bitrate }) => bitrate,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(remb(0), 0x3_ffff);
    assert_eq!(remb(46), 0x3_ffff << 46);
    assert_eq!(remb(47), u64::MAX);
    assert_eq!(remb(63), u64::MAX);
}

#[test]
fn random_bytes_and_mutations_of_every_length_are_read_or_refused() {
    let mut random = StdRng::seed_from_u64(3);
    let mut said = 0;
    for len in 0..=1500 {
        let mut noise = vec![0; len];
        random.fill_bytes(&mut noise);
        said += read(&noise).count();
        let (mut compound, _) = random_compound(&mut random);
        for _ in 0..4 {
            let at = random.random_range(0..compound.len());
            compound[at] = random.random();
            said += read(&compound).count();
        }
        said += read(compound.get(..len).unwrap_or(&compound)).count();
    }
    assert!(said > 10_000, "mutants are read, not only refused: {said}");
}
