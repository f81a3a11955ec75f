//! A recording as JSON: decisions, the last minute's series, and headers field by field (RFC 3550, sections 5.1 and 6.4).

use serde_json::{Value, json};

use super::series::columns;
use crate::recorder::Recording;
use crate::recorder::decisions::Entry;
use crate::recorder::headers::{Direction, Kind, Packet};

pub(super) fn describe(recording: &Recording) -> Value {
    let decisions: Vec<Value> = recording.decisions.iter().map(|entry| decision(recording, entry)).collect();
    let headers = recording.headers.as_ref().map(|headers| {
        let packets: Vec<Value> = headers.packets().map(|packet| describe_packet(recording, &packet)).collect();
        json!({ "dropped": headers.dropped, "packets": packets })
    });
    json!({
        "room": recording.subject.room,
        "identity": recording.subject.identity,
        "id": recording.subject.id,
        "left": recording.left,
        "began_ms": recording.began_unix_ms,
        "decisions": decisions,
        "series": columns(&recording.samples),
        "series_until_ms": recording.began_unix_ms + i64::try_from(recording.sampled.as_millis()).unwrap_or(0),
        "headers": headers,
    })
}

/// Unix time, milliseconds; the stream, where it is about one; what was decided.
fn decision(recording: &Recording, entry: &Entry) -> Value {
    let mut value = json!(entry.decision);
    if let Value::Object(fields) = &mut value {
        fields.insert("time_ms".to_owned(), (recording.began_unix_ms + i64::from(entry.at_ms)).into());
        fields.insert("ssrc".to_owned(), entry.ssrc.map(|ssrc| ssrc.0).into());
    }
    value
}

fn describe_packet(recording: &Recording, packet: &Packet<'_>) -> Value {
    let time_us = recording.began_unix_ms * 1_000 + i64::try_from(packet.at.as_micros()).unwrap_or(0);
    let direction = match packet.direction {
        Direction::Received => "received",
        Direction::Sent => "sent",
    };
    match packet.kind {
        Kind::Rtp => rtp(time_us, direction, packet),
        Kind::Rtcp => json!({
            "time_us": time_us,
            "direction": direction,
            "kind": "rtcp",
            "size": packet.len,
            "ssrc": packet.header.get(4..8).and_then(word),
            "types": rtcp_types(packet.header),
        }),
    }
}

fn rtp(time_us: i64, direction: &str, packet: &Packet<'_>) -> Value {
    let fixed = packet.header.first_chunk::<12>().copied().unwrap_or_default();
    let [flags, type_byte, s0, s1, ..] = fixed;
    json!({
        "time_us": time_us,
        "direction": direction,
        "kind": "rtp",
        "size": packet.len,
        "ssrc": fixed.get(8..12).and_then(word),
        "sequence_number": u16::from_be_bytes([s0, s1]),
        "timestamp": fixed.get(4..8).and_then(word),
        "payload_type": type_byte & 0x7f,
        "marker": type_byte & 0x80 != 0,
        "padding": flags & 0x20 != 0,
        "header_size": packet.header.len(),
    })
}

fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// The packet types of a compound, by the names of IANA's registry.
fn rtcp_types(mut compound: &[u8]) -> Vec<&'static str> {
    let mut types = Vec::new();
    while let Some([_, packet_type, l0, l1]) = compound.first_chunk() {
        types.push(match packet_type {
            200 => "SR",
            201 => "RR",
            202 => "SDES",
            203 => "BYE",
            204 => "APP",
            205 => "RTPFB",
            206 => "PSFB",
            207 => "XR",
            _ => "unknown",
        });
        let len = 4 * (usize::from(u16::from_be_bytes([*l0, *l1])) + 1);
        compound = compound.get(len..).unwrap_or_default();
    }
    types
}
