//! What an offer asks for, section by section, before there is a session: for signalling whose protocol restricts what may
//! be offered.

use super::offer::{self, Asked, Direction, Offer};
use super::{MediaKind, OfferError, parse, track};

/// One audio or video section of an offer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OfferedSection {
    pub kind: MediaKind,
    /// The peer wants to send here.
    pub sends: bool,
    /// The peer wants to receive here.
    pub receives: bool,
    /// The answer would not reject it: it has a codec that is forwarded.
    pub served: bool,
    /// From `a=msid`; empty when absent.
    pub track_id: String,
}

/// Reads an offer as a session would, and gives its audio and video sections that are in use, in order. Nothing is remembered.
pub fn outline(sdp: &str) -> Result<Vec<OfferedSection>, OfferError> {
    let description = parse::parse(sdp)?;
    let offer = Offer::read(&description, None)?;
    let mut sections = Vec::new();
    for (media, slot) in description.media_descriptions.iter().zip(&offer.slots) {
        let kind = match offer::asked(media) {
            Asked::Media(kind) if !offer::is_unused(media) => kind,
            _ => continue,
        };
        let direction = Direction::read(&media.attributes, &description.attributes);
        sections.push(OfferedSection {
            kind,
            sends: direction.sends(),
            receives: direction.receives(),
            served: !slot.is_rejected(),
            track_id: track::read(media)?.track_id,
        });
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    const CHROMIUM: &str = include_str!("fixtures/chromium-1-publish.sdp");

    #[test]
    fn directions_kinds_and_tracks_are_told() {
        let sections = outline(CHROMIUM).unwrap();
        let sent: Vec<_> = sections.iter().filter(|section| section.sends).collect();
        assert!(!sent.is_empty() && sent.iter().all(|section| section.served && !section.track_id.is_empty()));
        assert!(sections.iter().any(|section| section.kind == MediaKind::Audio));
        assert!(sections.iter().any(|section| section.kind == MediaKind::Video));
    }

    #[test]
    fn a_section_without_a_known_codec_is_not_served() {
        let unknown = CHROMIUM.replace("opus/48000", "speex/32000").replace("red/48000", "speex/32000");
        let unknown = unknown.replace("G722/8000", "speex/8000").replace("PCMU/8000", "speex/8000");
        let unknown = unknown.replace("PCMA/8000", "speex/8000");
        let sections = outline(&unknown).unwrap();
        assert!(sections.iter().all(|section| section.served == (section.kind == MediaKind::Video)), "{sections:?}");
    }

    #[test]
    fn what_no_session_takes_is_an_error() {
        let lite = CHROMIUM.replacen("a=msid-semantic", "a=ice-lite\r\na=msid-semantic", 1);
        assert!(matches!(outline(&lite), Err(OfferError::Missing(_))));
        assert!(outline("").is_err());
        let long = "x".repeat(limits::SDP_BYTES + 1);
        assert_eq!(outline(&long), Err(OfferError::TooLong(limits::SDP_BYTES)));
    }
}
