//! What a section says about the track the peer sends: `a=msid` (RFC 8830) and `a=ssrc` lines (RFC 5576).
//!
//! What always holds: an SSRC that only repairs another (RTX, FEC) is never given as media.

use rtc_sdp::description::media::MediaDescription;

use super::parse::{malformed, values};
use super::{OfferError, RemoteTrack};
use crate::limits;
use crate::wire::Ssrc;

/// Reads the track, without its simulcast encodings.
pub(super) fn read(media: &MediaDescription) -> Result<RemoteTrack, OfferError> {
    let (stream_id, track_id) = read_msid(media);
    Ok(RemoteTrack { stream_id, track_id, ssrcs: read_ssrcs(media)?, encodings: Vec::new() })
}

/// Stream and track identifiers; `-` stands for no stream. `a=ssrc … msid:` is the older form.
fn read_msid(media: &MediaDescription) -> (String, String) {
    let older = || values(&media.attributes, "ssrc").find_map(|v| v.split_once(' ')?.1.strip_prefix("msid:"));
    let msid = values(&media.attributes, "msid").next().or_else(older).unwrap_or_default();
    let mut words = msid.split_ascii_whitespace();
    let mut next = || words.next().unwrap_or_default().to_owned();
    let (stream_id, track_id) = (next(), next());
    (if stream_id == "-" { String::new() } else { stream_id }, track_id)
}

/// Media SSRCs in the order they are first named, each with its RTX partner.
fn read_ssrcs(media: &MediaDescription) -> Result<Vec<(Ssrc, Option<Ssrc>)>, OfferError> {
    let mut named: Vec<Ssrc> = Vec::new();
    for value in values(&media.attributes, "ssrc") {
        let Some(ssrc) = value.split(' ').next().and_then(|s| s.parse().ok()).map(Ssrc) else {
            continue;
        };
        if named.contains(&ssrc) {
            continue;
        }
        // Twice: each encoding may have a repair stream.
        if named.len() >= 2 * limits::SDP_ENCODINGS {
            return Err(malformed("too many SSRCs in a section"));
        }
        named.push(ssrc);
    }
    let rtx = read_pairs(media, "FID")?;
    let fec = read_pairs(media, "FEC-FR")?;
    let repairs = |s: &Ssrc| rtx.iter().chain(&fec).any(|(_, repair)| repair == s);
    let partner = |s: Ssrc| rtx.iter().find(|(primary, _)| *primary == s).map(|(_, repair)| *repair);
    Ok(named.iter().filter(|s| !repairs(s)).map(|s| (*s, partner(*s))).collect())
}

/// The groups of two SSRCs with these semantics: primary and repair.
fn read_pairs(media: &MediaDescription, semantics: &str) -> Result<Vec<(Ssrc, Ssrc)>, OfferError> {
    let mut pairs = Vec::new();
    for value in values(&media.attributes, "ssrc-group") {
        let mut words = value.split_ascii_whitespace();
        if words.next() != Some(semantics) {
            continue;
        }
        let mut next = || words.next()?.parse().ok().map(Ssrc);
        if let (Some(primary), Some(repair)) = (next(), next()) {
            if pairs.len() >= limits::SDP_ENCODINGS {
                return Err(malformed("too many SSRC groups in a section"));
            }
            pairs.push((primary, repair));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(attributes: &[&str]) -> MediaDescription {
        attributes.iter().fold(MediaDescription::default(), |media, a| {
            let (key, value) = a.split_once(':').unwrap();
            media.with_value_attribute(key.to_owned(), value.to_owned())
        })
    }

    #[test]
    fn repair_streams_are_partners_and_not_media() {
        let media = media(&[
            "ssrc-group:FID 1 2",
            "ssrc-group:FEC-FR 1 3",
            "ssrc-group:SIM 1 4",
            "ssrc:1 cname:a",
            "ssrc:1 msid:s t",
            "ssrc:2 cname:a",
            "ssrc:3 cname:a",
            "ssrc:4 cname:a",
        ]);
        let track = read(&media).unwrap();
        assert_eq!(track.ssrcs, [(Ssrc(1), Some(Ssrc(2))), (Ssrc(4), None)]);
        assert_eq!((track.stream_id.as_str(), track.track_id.as_str()), ("s", "t"));
    }

    #[test]
    fn msid_of_the_section_goes_before_that_of_the_ssrc() {
        let track = read(&media(&["ssrc:1 msid:old older", "msid:new newer"])).unwrap();
        assert_eq!((track.stream_id.as_str(), track.track_id.as_str()), ("new", "newer"));
    }

    #[test]
    fn no_stream_and_no_track_are_empty() {
        let track = read(&media(&["msid:- camera"])).unwrap();
        assert_eq!((track.stream_id.as_str(), track.track_id.as_str()), ("", "camera"));
        assert_eq!(read(&media(&["msid:alone"])).unwrap().track_id, "");
        assert_eq!(read(&media(&[])).unwrap(), RemoteTrack::default());
    }

    #[test]
    fn a_malformed_ssrc_is_passed_over() {
        let track = read(&media(&["ssrc:x cname:a", "ssrc:4294967296 cname:a", "ssrc-group:FID 7", "ssrc:7"])).unwrap();
        assert_eq!(track.ssrcs, [(Ssrc(7), None)]);
    }

    #[test]
    fn ssrcs_and_groups_are_bounded() {
        let most = 2 * limits::SDP_ENCODINGS;
        let lines: Vec<String> = (0..=most).map(|n| format!("ssrc:{n} cname:a")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&media(&lines[1..])).unwrap().ssrcs.len(), most);
        assert!(read(&media(&lines)).is_err());
        let groups: Vec<String> = (0..=limits::SDP_ENCODINGS).map(|n| format!("ssrc-group:FID {n} 9{n}")).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        assert!(read(&media(&groups[1..])).is_ok());
        assert!(read(&media(&groups)).is_err());
    }
}
