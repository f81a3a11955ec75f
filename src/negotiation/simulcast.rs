//! Simulcast of one section (RFC 8853) and the RID lines it stands on (RFC 8851).
//!
//! What always holds: an encoding is a stream of `a=simulcast:send` whose identifier also has an `a=rid … send` line; the
//! order is the offer's; the restrictions of an `a=rid` line go back unchanged but for payload types not accepted.

use rtc_sdp::description::media::MediaDescription;

use super::parse::{malformed, value, values};
use super::{CodecDescription, EncodingDescription, OfferError};
use crate::limits;
use crate::wire::Rid;

/// One accepted encoding with what its `a=rid` line says after the direction.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Encoding {
    pub description: EncodingDescription,
    /// Empty, or as offered: `pt=96,97;max-width=1280`.
    pub restrictions: String,
}

/// The encodings the peer offers to send; empty without simulcast.
pub(super) fn read(media: &MediaDescription, codecs: &[CodecDescription]) -> Result<Vec<Encoding>, OfferError> {
    let mut encodings: Vec<Encoding> = Vec::new();
    let rids = read_rids(media)?;
    for stream in sent_streams(value(&media.attributes, "simulcast").unwrap_or_default()) {
        // Of alternatives only one would be sent at a time: the first that has a RID line stands for the stream.
        let Some(encoding) = stream.split(',').find_map(|alternative| read_encoding(&rids, codecs, alternative)) else {
            continue;
        };
        if encodings.iter().any(|e| e.description.rid == encoding.description.rid) {
            return Err(malformed("a RID stands twice in a=simulcast"));
        }
        if encodings.len() >= limits::SDP_ENCODINGS {
            return Err(malformed("too many simulcast encodings"));
        }
        encodings.push(encoding);
    }
    Ok(encodings)
}

/// The list after `send`: `send q;h;f recv …` in either order.
fn sent_streams(simulcast: &str) -> impl Iterator<Item = &str> {
    let mut words = simulcast.split_ascii_whitespace();
    let list = words.find(|w| *w == "send").and_then(|_| words.next()).unwrap_or_default();
    list.split(';').filter(|stream| !stream.is_empty())
}

/// The `a=rid … send` lines: identifier and restrictions.
fn read_rids(media: &MediaDescription) -> Result<Vec<(&str, &str)>, OfferError> {
    let mut rids = Vec::new();
    for line in values(&media.attributes, "rid") {
        let mut words = line.split_ascii_whitespace();
        if let (Some(id), Some("send")) = (words.next(), words.next()) {
            rids.push((id, words.next().unwrap_or_default()));
        }
        // Twice: encodings may have alternatives.
        if rids.len() > 2 * limits::SDP_ENCODINGS {
            return Err(malformed("too many a=rid lines in a section"));
        }
    }
    Ok(rids)
}

/// `~` in front marks an encoding that is paused at first.
fn read_encoding(rids: &[(&str, &str)], codecs: &[CodecDescription], text: &str) -> Option<Encoding> {
    let (paused, id) = match text.strip_prefix('~') {
        Some(id) => (true, id),
        None => (false, text),
    };
    let (_, restrictions) = rids.iter().find(|(rid, _)| *rid == id)?;
    Some(Encoding {
        description: EncodingDescription { rid: Rid::new(id)?, paused },
        restrictions: restrict(restrictions, codecs)?,
    })
}

/// Keeps of `pt=` the accepted payload types; `None` when none is left.
fn restrict(restrictions: &str, codecs: &[CodecDescription]) -> Option<String> {
    let accepted = |p: &&str| p.parse().is_ok_and(|p: u8| codecs.iter().any(|c| c.payload_type.0 == p));
    let mut kept = Vec::new();
    for restriction in restrictions.split(';').filter(|r| !r.is_empty()) {
        match restriction.strip_prefix("pt=") {
            None => kept.push(restriction.to_owned()),
            Some(list) => {
                let list: Vec<&str> = list.split(',').filter(accepted).collect();
                if list.is_empty() {
                    return None;
                }
                kept.push(format!("pt={}", list.join(",")));
            }
        }
    }
    Some(kept.join(";"))
}

/// The answer's `a=rid` and `a=simulcast` values; `None` without simulcast.
pub(super) fn answer(encodings: &[Encoding]) -> Option<(Vec<String>, String)> {
    if encodings.is_empty() {
        return None;
    }
    let rids = encodings.iter().map(|e| format!("{} recv {}", e.description.rid, e.restrictions).trim_end().to_owned());
    let list: Vec<String> = encodings.iter().map(|e| e.description.rid.to_string()).collect();
    Some((rids.collect(), format!("recv {}", list.join(";"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PayloadType;
    use crate::wire::codec::Codec;

    fn media(rids: &[&str], simulcast: &str) -> MediaDescription {
        let media = MediaDescription::default().with_value_attribute("simulcast".to_owned(), simulcast.to_owned());
        rids.iter().fold(media, |m, r| m.with_value_attribute("rid".to_owned(), (*r).to_owned()))
    }

    fn vp8() -> Vec<CodecDescription> {
        vec![CodecDescription {
            payload_type: PayloadType(96),
            codec: Codec::Vp8,
            clock_rate: 90_000,
            fmtp: String::new(),
            nack: false,
            rtx: None,
        }]
    }

    /// Encodings as text: `q` or `~q`, with restrictions in brackets.
    fn encodings(rids: &[&str], simulcast: &str) -> Vec<String> {
        let text = |e: &Encoding| {
            let paused = if e.description.paused { "~" } else { "" };
            match e.restrictions.as_str() {
                "" => format!("{paused}{}", e.description.rid),
                r => format!("{paused}{}[{r}]", e.description.rid),
            }
        };
        read(&media(rids, simulcast), &vp8()).unwrap().iter().map(text).collect()
    }

    #[test]
    fn encodings_stand_in_the_order_offered() {
        assert_eq!(encodings(&["f send", "h send", "q send"], "send q;h;f"), ["q", "h", "f"]);
        assert_eq!(encodings(&["q send", "h send"], "recv x;y send ~q;h"), ["~q", "h"]);
    }

    #[test]
    fn the_first_alternative_with_a_rid_line_stands_for_a_stream() {
        assert_eq!(encodings(&["2 send", "3 send", "4 send"], "send 1,~2,3;4"), ["~2", "4"]);
    }

    #[test]
    fn an_encoding_without_its_rid_line_is_left_out() {
        assert_eq!(encodings(&["q send", "h recv"], "send q;h;f"), ["q"]);
        assert!(encodings(&["q send"], "recv q").is_empty());
        assert!(encodings(&["q send"], "send").is_empty());
        assert!(encodings(&["q send"], "").is_empty());
    }

    #[test]
    fn restrictions_go_back_with_the_accepted_payload_types() {
        let rids = ["q send pt=96,98;max-width=320", "h send pt=98", "f send max-fps=30"];
        assert_eq!(encodings(&rids, "send q;h;f"), ["q[pt=96;max-width=320]", "f[max-fps=30]"]);
    }

    #[test]
    fn the_answer_receives_what_was_offered() {
        let read = read(&media(&["q send", "h send max-fps=5"], "send q;~h"), &vp8()).unwrap();
        let (rids, simulcast) = answer(&read).unwrap();
        assert_eq!(rids, ["q recv", "h recv max-fps=5"]);
        assert_eq!(simulcast, "recv q;h");
        assert_eq!(answer(&[]), None);
    }

    #[test]
    fn a_rid_standing_twice_is_refused() {
        assert!(read(&media(&["q send"], "send q;q"), &vp8()).is_err());
    }

    #[test]
    fn encodings_are_bounded() {
        let ids: Vec<String> = (0..=limits::SDP_ENCODINGS).map(|n| format!("r{n}")).collect();
        let rids: Vec<String> = ids.iter().map(|i| format!("{i} send")).collect();
        let rids: Vec<&str> = rids.iter().map(String::as_str).collect();
        assert_eq!(encodings(&rids, &format!("send {}", ids[1..].join(";"))).len(), limits::SDP_ENCODINGS);
        assert!(read(&media(&rids, &format!("send {}", ids.join(";"))), &vp8()).is_err());
    }

    #[test]
    fn rid_lines_are_bounded() {
        let rids: Vec<String> = (0..=2 * limits::SDP_ENCODINGS).map(|n| format!("r{n} send")).collect();
        let rids: Vec<&str> = rids.iter().map(String::as_str).collect();
        assert_eq!(encodings(&rids[1..], "send r1").len(), 1);
        assert!(read(&media(&rids, "send r1"), &vp8()).is_err());
    }
}
