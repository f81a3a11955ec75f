//! What is written, read by a reader of its own after the draft's text, and by tshark where that is installed.

use std::process::Command;
use std::time::{Duration, Instant};

use super::super::decisions::Decision;
use super::super::{Recorder, Subject};
use super::*;
use crate::room::model::{Identity, ParticipantId, RoomName};
use crate::wire::rtcp::Writer;
use crate::wire::rtp::HeaderWriter;
use crate::wire::{PayloadType, Ssrc};

const BEGAN_UNIX_MS: i64 = 1_795_369_000_123;

/// Three packets and a decision between the first two.
fn recording() -> Recording {
    let (start, ms) = (Instant::now(), Duration::from_millis);
    let mut recorder = Recorder::new(start);
    recorder.record_headers(start, start + ms(10_000));
    let mut header = HeaderWriter::new(true, PayloadType(96), 4_711, 90_000, Ssrc(0xdead_beef));
    assert!(header.extension(4, b"mid"));
    recorder.packet(start + ms(10), Direction::Received, Kind::Rtp, header.finish(), 1_200);
    recorder.decided(start + ms(15), Some(Ssrc(0x1234)), Decision::LayerSwitched { encoding: 2 });
    let mut header = HeaderWriter::new(false, PayloadType(97), 65_535, 7, Ssrc(0x1234));
    let mut padded = header.finish().to_vec();
    padded[0] |= 0x20;
    recorder.packet(start + ms(20), Direction::Sent, Kind::Rtp, &padded, 1_217);
    let mut compound = Vec::new();
    let mut writer = Writer { out: &mut compound };
    writer.receiver_report(Ssrc(9), &[]);
    writer.picture_loss_indication(Ssrc(9), Ssrc(0xdead_beef));
    recorder.packet(start + ms(30), Direction::Sent, Kind::Rtcp, &compound, compound.len());
    let subject =
        Subject { room: RoomName::new("secret den"), identity: Identity::new("alice"), id: ParticipantId::new("PA_a") };
    recorder.recording(&subject, BEGAN_UNIX_MS)
}

/// Type and body of each block; checks that they follow one another without a gap.
fn blocks(mut file: &[u8]) -> Vec<(u32, &[u8])> {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !file.is_empty() {
        let len = word(file, 4) as usize;
        assert!(len.is_multiple_of(4) && len >= 12, "{len}");
        assert_eq!(word(file, len - 4) as usize, len, "the length is told twice");
        blocks.push((word(file, 0), &file[8..len - 4]));
        file = &file[len..];
    }
    blocks
}

fn options(mut rest: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        let (code, len) = (u16::from_le_bytes([rest[0], rest[1]]), u16::from_le_bytes([rest[2], rest[3]]) as usize);
        if code == 0 {
            assert_eq!((len, rest.len()), (0, 4), "it ends the block");
            return options;
        }
        options.push((code, rest[4..4 + len].to_vec()));
        rest = &rest[4 + len.next_multiple_of(4)..];
    }
}

#[test]
fn a_file_is_a_section_an_interface_and_packets_with_their_times_lengths_and_directions() {
    let file = write(&recording());
    let blocks = blocks(&file);
    assert_eq!(blocks.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [0x0A0D_0D0A, 1, 6, 6, 6]);
    assert_eq!(blocks[0].1[..16], [0x4D, 0x3C, 0x2B, 0x1A, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    assert!(options(&blocks[0].1[16..]).iter().any(|(code, value)| *code == 4 && value.starts_with(b"sfumato/")));
    assert_eq!(blocks[1].1[..8], [252, 0, 0, 0, 0, 0, 0, 0]);
    assert!(options(&blocks[1].1[8..]).contains(&(9, vec![6])));
    let mut seen = Vec::new();
    for (_, body) in &blocks[2..] {
        let word = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
        let micros = (u64::from(word(4)) << 32) | u64::from(word(8));
        let (captured, original) = (word(12) as usize, word(16) as usize);
        let options = options(&body[20 + captured.next_multiple_of(4)..]);
        let flags = options.iter().find(|(code, _)| *code == 2).unwrap().1[0];
        let comments: Vec<_> = options.iter().filter(|(code, _)| *code == 1).collect();
        seen.push((micros - BEGAN_UNIX_MS as u64 * 1_000, original - captured, flags, comments.len()));
    }
    let second = &blocks[3].1[20..];
    let rtp = second.windows(4).position(|bytes| bytes == [0x80, 97, 255, 255]);
    assert!(rtp.is_some(), "without the padding bit");
    // The first header has 12 bytes and an extension block of 8, the second 12.
    assert_eq!(seen, [(10_000, 1_180, 1, 0), (20_000, 1_205, 2, 1), (30_000, 0, 2, 0)]);
}

#[test]
fn nothing_that_names_a_user_is_written() {
    let file = write(&recording());
    for name in ["secret den", "alice", "PA_a"] {
        assert!(!file.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
}

#[test]
fn a_recording_without_headers_is_a_valid_file_without_packets() {
    let subject = Subject { room: RoomName::new("r"), identity: Identity::new("i"), id: ParticipantId::new("PA_a") };
    let file = write(&Recorder::new(Instant::now()).recording(&subject, 0));
    assert_eq!(blocks(&file).len(), 2);
}

/// What tshark reads in some fields; `None` where it is not installed.
fn tshark(file: &[u8], fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let path = std::env::temp_dir().join(format!("sfumato-pcapng-{}.pcapng", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let fields = fields.iter().flat_map(|field| ["-e", *field]);
    let read = Command::new("tshark").arg("-r").arg(&path).args(["-T", "fields"]).args(fields).output();
    let _ = std::fs::remove_file(&path);
    let output = read.ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

#[test]
fn tshark_reads_rtp_and_rtcp_of_it_where_it_is_installed() {
    let fields = [
        "_ws.malformed",
        "rtp.ssrc",
        "rtp.seq",
        "rtp.timestamp",
        "rtp.marker",
        "rtp.p_type",
        "rtcp.psfb.fmt",
        "ip.src",
    ];
    let Some(lines) = tshark(&write(&recording()), &fields) else { return };
    assert!(lines.iter().all(|line| line[0].is_empty()), "malformed: {lines:?}");
    let lines: Vec<_> = lines.into_iter().map(|line| line[1..].to_vec()).collect();
    let marker = |text: &str| matches!(text, "1" | "True");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0][..3], ["0xdeadbeef", "4711", "90000"].map(str::to_owned));
    assert!(marker(&lines[0][3]) && !marker(&lines[1][3]), "{lines:?}");
    assert_eq!((lines[0][4].as_str(), lines[1][1].as_str()), ("96", "65535"));
    assert_eq!(lines[2][5], "1", "a picture loss indication: {lines:?}");
}
