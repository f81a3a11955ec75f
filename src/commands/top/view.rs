//! The answers of `/debug` as text: one line a room, or some a participant.
//!
//! What always holds: no line is wider and no text longer than asked; a name's control characters are not written.

use serde_json::Value;

/// Of the text, in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size {
    pub width: usize,
    pub height: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Participants,
    Bitrate,
}

impl Order {
    pub fn other(self) -> Order {
        match self {
            Order::Participants => Order::Bitrate,
            Order::Bitrate => Order::Participants,
        }
    }
}

/// Columns of the last seconds that are drawn.
const SPARKS: usize = 20;
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The list of rooms.
pub(super) fn rooms(list: &Value, order: Order, size: Size) -> String {
    let mut rooms: Vec<&Value> = items(list, "rooms").collect();
    if order == Order::Bitrate {
        rooms.sort_by_key(|room| {
            std::cmp::Reverse(number(room, "received_bitrate_bps") + number(room, "sent_bitrate_bps"))
        });
    }
    let total = number(list, "total");
    let participants: u64 = rooms.iter().map(|room| number(room, "participants")).sum();
    let mut lines = vec![format!("rooms: {total}; participants of the {} shown: {participants}", rooms.len())];
    lines.extend(unanswered(list));
    lines.push(format!("{:>6} {:>6} {:>7} {:>7} {:>7}  ROOM", "PEOPLE", "TRACKS", "IN", "OUT", "SHARDS"));
    lines.extend(rooms.into_iter().map(room_line));
    fitted(lines, size)
}

fn room_line(room: &Value) -> String {
    let shards: Vec<String> = items(room, "shards").map(Value::to_string).collect();
    format!(
        "{:>6} {:>6} {:>7} {:>7} {:>7}  {}",
        number(room, "participants"),
        number(room, "tracks"),
        rate(room.get("received_bitrate_bps")),
        rate(room.get("sent_bitrate_bps")),
        shards.join(","),
        text(room, "name"),
    )
}

/// One room's participants.
pub(super) fn room(detail: &Value, size: Size) -> String {
    let (null, participants) = (Value::Null, items(detail, "participants"));
    let summary = detail.get("room").unwrap_or(&null);
    let mut lines = vec![format!(
        "{}: {} participants, in {}, out {}",
        text(summary, "name"),
        number(detail, "total_participants"),
        rate(summary.get("received_bitrate_bps")),
        rate(summary.get("sent_bitrate_bps")),
    )];
    lines.extend(unanswered(detail));
    lines.push(format!(
        "{:<20} {:<8} {:>5} {:>7} {:>7} {:>7} {:>6} {:>6} {:>6} {:>5} {:>4} {:>4}  OUT OF THE LAST {SPARKS} S",
        "PARTICIPANT", "STATE", "SHARD", "IN", "OUT", "WAY", "LOSS<", "LOSS>", "RTT", "NACK", "PLI", "FRZ"
    ));
    participants.for_each(|participant| participant_lines(participant, &mut lines));
    fitted(lines, size)
}

fn participant_lines(participant: &Value, lines: &mut Vec<String>) {
    let media = participant.get("media").unwrap_or(&Value::Null);
    let series = media.get("series").unwrap_or(&Value::Null);
    let last = |name| items(series, name).last();
    let sum = |name: &str| items(series, name).filter_map(Value::as_u64).sum::<u64>();
    lines.push(format!(
        "{:<20.20} {:<8} {:>5} {:>7} {:>7} {:>7} {:>6} {:>6} {:>6} {:>5} {:>4} {:>4}  {}",
        text(participant, "identity"),
        text(participant, "state"),
        number(participant, "shard"),
        rate(last("received_bitrate_bps")),
        rate(last("sent_bitrate_bps")),
        rate(last("estimated_bitrate_bps")),
        percent(last("received_loss_ratio")),
        percent(last("sent_loss_ratio")),
        last("round_trip_time_ms").and_then(Value::as_u64).map_or("-".to_owned(), |ms| format!("{ms}ms")),
        sum("nacked_packets"),
        sum("keyframe_requests"),
        sum("freezes"),
        sparks(items(series, "sent_bitrate_bps").filter_map(Value::as_u64)),
    ));
    if media.is_null() {
        lines.push("    its shard does not answer".to_owned());
    }
    lines.extend(items(media, "published").map(published_line));
    lines.extend(items(media, "subscriptions").map(subscription_line));
}

fn published_line(source: &Value) -> String {
    let encodings = items(source, "encodings").filter(|encoding| encoding.get("active") == Some(&Value::Bool(true)));
    let encodings = encodings.map(|encoding| {
        let rid =
            if encoding.get("rid").is_some_and(Value::is_string) { text(encoding, "rid") + " " } else { String::new() };
        format!("{rid}{} loss {}", rate(encoding.get("bitrate_bps")), percent(encoding.get("loss_ratio")))
    });
    let encodings = encodings.collect::<Vec<_>>().join(", ");
    format!("  < {:<15} {:<10} {encodings}", text(source, "track"), text(source, "mime_type"))
}

fn subscription_line(subscription: &Value) -> String {
    let null = Value::Null;
    let sent = subscription.get("sent").filter(|sent| !sent.is_null());
    let layer = sent.map_or_else(|| "nothing".to_owned(), layer);
    let held = subscription.get("playout_delay_ms").and_then(Value::as_u64);
    let held = held.map_or_else(String::new, |ms| format!(", held back {ms}ms"));
    let short = match subscription.get("bandwidth").and_then(Value::as_str) {
        Some("less") => " for want of bandwidth",
        Some("nothing") => ", PAUSED for want of bandwidth",
        _ => "",
    };
    let frozen = if subscription.get("frozen_now") == Some(&Value::Bool(true)) { ", FROZEN" } else { "" };
    format!(
        "  > {:<15} {:<10} {} loss {}, wants {}, gets {layer}{short}{held}{frozen}",
        text(subscription, "track"),
        text(subscription, "kind"),
        rate(subscription.get("bitrate_bps")),
        percent(Some(subscription.get("loss_ratio").unwrap_or(&null))),
        text(subscription, "wanted"),
    )
}

fn layer(chosen: &Value) -> String {
    let name = if chosen.get("rid").is_some_and(Value::is_string) {
        text(chosen, "rid")
    } else {
        format!("encoding {}", number(chosen, "encoding"))
    };
    let one = |name: &str, short: &str| {
        let layer = chosen.get(name).and_then(Value::as_u64);
        layer.map_or_else(String::new, |layer| format!(" {short}{layer}"))
    };
    name + &one("spatial_layer", "S") + &one("temporal_layer", "T")
}

fn unanswered(answer: &Value) -> Option<String> {
    let shards: Vec<String> = items(answer, "unanswered_shards").map(Value::to_string).collect();
    (!shards.is_empty()).then(|| format!("shards that do not answer: {}", shards.join(", ")))
}

fn items<'a>(value: &'a Value, name: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// What a user may have chosen, without what a terminal would obey.
fn text(value: &Value, name: &str) -> String {
    let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// Bit/s in at most six characters.
fn rate(bits: Option<&Value>) -> String {
    let Some(bits) = bits.and_then(Value::as_f64) else { return "-".to_owned() };
    match bits {
        bits if bits < 1e3 => format!("{bits:.0}"),
        bits if bits < 999.5e3 => format!("{:.0}k", bits / 1e3),
        bits if bits < 99.95e6 => format!("{:.1}M", bits / 1e6),
        bits if bits < 9.995e9 => format!("{:.0}M", bits / 1e6),
        bits => format!("{:.0}G", bits / 1e9),
    }
}

fn percent(ratio: Option<&Value>) -> String {
    ratio.and_then(Value::as_f64).map_or_else(|| "-".to_owned(), |ratio| format!("{:.1}%", ratio * 100.0))
}

/// The newest values, as high as they are of the highest.
fn sparks(values: impl Iterator<Item = u64>) -> String {
    let values: Vec<u64> = values.collect();
    let newest = values.get(values.len().saturating_sub(SPARKS)..).unwrap_or_default();
    let highest = newest.iter().copied().max().unwrap_or(0).max(1);
    let level = |value: &u64| (value * 7 / highest) as usize;
    newest.iter().filter_map(|value| HEIGHTS.get(level(value))).collect()
}

/// Lines within a width and a number; the last tells how many are left out.
fn fitted(lines: Vec<String>, size: Size) -> String {
    let cut = |line: &String| line.chars().take(size.width).collect::<String>().trim_end().to_owned();
    let mut shown: Vec<String> = lines.iter().take(size.height).map(cut).collect();
    if lines.len() > shown.len() && shown.pop().is_some() {
        shown.push(cut(&format!("… {} lines more", lines.len() - shown.len())));
    }
    shown.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const WIDE: Size = Size { width: 200, height: 100 };

    fn list() -> Value {
        let room = |name: &str, participants: u64, out: u64| {
            json!({ "name": name, "participants": participants, "tracks": 1, "shards": [0, 1],
                    "received_bitrate_bps": 2_500_000, "sent_bitrate_bps": out })
        };
        json!({ "total": 7, "rooms": [room("large", 9, 1_000), room("loud\x1b[2J", 2, 90_000_000)], "unanswered_shards": [] })
    }

    fn detail() -> Value {
        json!({
            "room": { "name": "den", "received_bitrate_bps": 1_200_000, "sent_bitrate_bps": null },
            "total_participants": 2,
            "unanswered_shards": [1],
            "participants": [
                { "identity": "anna", "state": "active", "shard": 0, "media": {
                    "series": { "received_bitrate_bps": [0, 1_200_000], "sent_bitrate_bps": [0, 700, 1_400], "estimated_bitrate_bps": [null, 500_000], "received_loss_ratio": [0.05],
                                "sent_loss_ratio": [0.0], "round_trip_time_ms": [null, 42], "nacked_packets": [1, 2],
                                "keyframe_requests": [0, 1], "freezes": [1] },
                    "published": [{ "track": "TR_cam", "mime_type": "video/VP8", "encodings": [
                        { "rid": "q", "active": true, "bitrate_bps": 150_000, "loss_ratio": 0.012 },
                        { "rid": "f", "active": false, "bitrate_bps": 0, "loss_ratio": 0.0 }] }],
                    "subscriptions": [{ "track": "TR_b", "kind": "video", "bitrate_bps": 1_400, "loss_ratio": 0.1, "wanted": "640x360",
                        "sent": { "encoding": 1, "rid": null, "spatial_layer": 1, "temporal_layer": null },
                        "bandwidth": "less", "playout_delay_ms": 340, "frozen_now": true }] } },
                { "identity": "bert", "state": "joined", "shard": 1, "media": null },
            ],
        })
    }

    #[test]
    fn rooms_are_shown_in_the_order_asked_and_names_control_nothing() {
        let text = rooms(&list(), Order::Participants, WIDE);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "rooms: 7; participants of the 2 shown: 11");
        assert_eq!(lines[2], "     9      1    2.5M      1k     0,1  large");
        assert_eq!(lines[3], "     2      1    2.5M   90.0M     0,1  loud·[2J");
        let text = rooms(&list(), Order::Bitrate, WIDE);
        assert!(text.find("loud").unwrap() < text.find("large").unwrap());
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_room_is_shown_with_what_each_sends_and_gets() {
        let text = room(&detail(), WIDE);
        for expected in [
            "den: 2 participants, in 1.2M, out -",
            "shards that do not answer: 1",
            "anna                 active       0    1.2M      1k    500k   5.0%   0.0%   42ms     3    1    1  ▁▄█",
            "  < TR_cam          video/VP8  q 150k loss 1.2%",
            "  > TR_b            video      1k loss 10.0%, wants 640x360, gets encoding 1 S1 for want of bandwidth, held back 340ms, FROZEN",
            "    its shard does not answer",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected:?} is not in\n{text}");
        }
    }

    #[test]
    fn no_line_is_wider_and_no_text_longer_than_the_terminal() {
        for (width, height) in [(80, 24), (20, 5), (1, 2), (40, 1)] {
            for text in
                [rooms(&list(), Order::Participants, Size { width, height }), room(&detail(), Size { width, height })]
            {
                assert!(text.lines().count() <= height, "{text}");
                assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
            }
        }
        assert!(room(&detail(), Size { width: 80, height: 4 }).ends_with("… 5 lines more\n"));
    }

    #[test]
    fn what_makes_no_sense_is_shown_as_nothing() {
        for nonsense in
            [json!(null), json!([1]), json!({ "rooms": 3, "participants": [7, { "media": { "published": [null] } }] })]
        {
            rooms(&nonsense, Order::Bitrate, WIDE);
            room(&nonsense, WIDE);
        }
    }
}
