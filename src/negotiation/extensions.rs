//! Header extensions of one section (RFC 8285, section 5): which offered ones are answered, under the offer's ids.
//!
//! What always holds: an id is the offer's; every extension of the table is answered wherever it is offered for its kind,
//! also in a section whose direction has no use for it today. Chromium never again offers what one answer left out: RID
//! refused in a section it receives in makes its next simulcast section fail.

use rtc_sdp::description::media::MediaDescription;

use super::MediaKind;
use super::offer::Direction;
use super::parse::values;
use crate::wire::extension::{Extension, ExtensionMap};

/// Where an extension is used.
struct Use {
    extension: Extension,
    audio: bool,
    video: bool,
    /// In packets from the peer.
    received: bool,
    /// In packets to the peer.
    sent: bool,
}

const BOTH: (bool, bool) = (true, true);
const AUDIO: (bool, bool) = (true, false);
const VIDEO: (bool, bool) = (false, true);
const EITHER_WAY: (bool, bool) = (true, true);
const RECEIVED: (bool, bool) = (true, false);
const SENT: (bool, bool) = (false, true);

const fn usage(extension: Extension, kinds: (bool, bool), ways: (bool, bool)) -> Use {
    Use { extension, audio: kinds.0, video: kinds.1, received: ways.0, sent: ways.1 }
}

/// The extensions that are answered. What the server learns to do gets a line here.
const USES: [Use; 12] = [
    usage(Extension::Mid, BOTH, EITHER_WAY),
    usage(Extension::Rid, VIDEO, RECEIVED),
    usage(Extension::RepairedRid, VIDEO, RECEIVED),
    // Speakers are told by signalling: towards subscribers the level would only cost bytes.
    usage(Extension::AudioLevel, AUDIO, RECEIVED),
    usage(Extension::TransportCc, VIDEO, EITHER_WAY),
    usage(Extension::AbsCaptureTime, BOTH, EITHER_WAY),
    usage(Extension::DependencyDescriptor, VIDEO, EITHER_WAY),
    usage(Extension::VideoOrientation, VIDEO, EITHER_WAY),
    usage(Extension::ColorSpace, VIDEO, EITHER_WAY),
    usage(Extension::VideoContentType, VIDEO, EITHER_WAY),
    usage(Extension::VideoTiming, VIDEO, EITHER_WAY),
    // The publisher's wish says nothing about a subscriber's path.
    usage(Extension::PlayoutDelay, VIDEO, SENT),
];

impl Use {
    fn fits(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.audio,
            MediaKind::Video => self.video,
        }
    }

    /// Whether a section offered in this direction has packets to use it in.
    fn serves(&self, offered: Direction) -> bool {
        (self.received && offered.sends()) || (self.sent && offered.receives())
    }
}

/// One answered `a=extmap` line.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Mapping {
    pub id: u8,
    pub extension: Extension,
    /// The answered direction, where the offer named one.
    pub direction: Option<Direction>,
}

/// Reads the section's `a=extmap` lines: the answered ones in the offer's order, and those of them that are of use in
/// the section's direction as a map.
pub(super) fn read(kind: MediaKind, section: Direction, media: &MediaDescription) -> (Vec<Mapping>, ExtensionMap) {
    let mut mappings: Vec<Mapping> = Vec::new();
    let mut map = ExtensionMap::default();
    // Every id and every extension once: the map refuses the rest, also ids that cannot be.
    let mut all = ExtensionMap::default();
    for value in values(&media.attributes, "extmap") {
        let Some((usage, mapping)) = accept(kind, value) else {
            continue;
        };
        if !all.insert(mapping.id, mapping.extension) {
            continue;
        }
        if usage.serves(section) {
            map.insert(mapping.id, mapping.extension);
        }
        mappings.push(mapping);
    }
    mappings.shrink_to_fit();
    (mappings, map)
}

/// `<id>[/<direction>] <uri> [<attributes>]`
fn accept(kind: MediaKind, value: &str) -> Option<(&'static Use, Mapping)> {
    let mut words = value.split_ascii_whitespace();
    let first = words.next()?;
    let (id, direction) = match first.split_once('/') {
        Some((id, direction)) => (id, Some(Direction::from_name(direction)?)),
        None => (first, None),
    };
    let extension = Extension::from_uri(words.next()?)?;
    let usage = USES.iter().find(|u| u.extension == extension && u.fits(kind))?;
    if direction == Some(Direction::Inactive) {
        return None;
    }
    let direction = direction.map(|d| Direction::of(d.receives(), d.sends()));
    Some((usage, Mapping { id: id.parse().ok()?, extension, direction }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
    const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
    const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

    fn media(lines: &[String]) -> MediaDescription {
        lines.iter().fold(MediaDescription::default(), |m, l| m.with_value_attribute("extmap".to_owned(), l.clone()))
    }

    /// Answered lines as `id/direction`, and the ids in the map.
    fn both(kind: MediaKind, section: Direction, lines: &[String]) -> (Vec<String>, Vec<u8>) {
        let (mappings, map) = read(kind, section, &media(lines));
        let text = |m: &Mapping| match m.direction {
            Some(d) => format!("{}/{}", m.id, d.name()),
            None => m.id.to_string(),
        };
        let mut ids: Vec<u8> = map.iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        (mappings.iter().map(text).collect(), ids)
    }

    #[test]
    fn what_has_no_use_in_the_direction_is_answered_but_not_mapped() {
        let lines = [format!("4 {MID}"), format!("10 {RID}")];
        let read = both(MediaKind::Video, Direction::RecvOnly, &lines);
        assert_eq!(read, (vec!["4".to_owned(), "10".to_owned()], vec![4]));
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &lines).1, [4, 10]);
        assert_eq!(both(MediaKind::Video, Direction::SendRecv, &lines).1, [4, 10]);
    }

    #[test]
    fn an_extension_of_another_kind_or_unknown_is_left_out() {
        let lines = [format!("1 {LEVEL}"), format!("2 {RID}"), "3 urn:example:unknown".to_owned(), format!("4 {MID}")];
        assert_eq!(both(MediaKind::Audio, Direction::SendOnly, &lines).0, ["1", "4"]);
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &lines).0, ["2", "4"]);
    }

    #[test]
    fn transport_wide_feedback_is_promised_and_send_times_are_not() {
        let offered = |extension: Extension| [format!("3 {}", extension.uri())];
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &offered(Extension::TransportCc)).0, ["3"]);
        assert!(both(MediaKind::Video, Direction::SendOnly, &offered(Extension::AbsSendTime)).0.is_empty());
    }

    #[test]
    fn a_named_direction_is_answered_turned_round() {
        let line = |direction: &str| [format!("9/{direction} {RID}")];
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &line("sendonly")).0, ["9/recvonly"]);
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &line("recvonly")).0, ["9/sendonly"]);
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &line("sendrecv")).0, ["9/sendrecv"]);
        assert!(both(MediaKind::Video, Direction::SendOnly, &line("inactive")).0.is_empty());
        assert!(both(MediaKind::Video, Direction::SendOnly, &line("sideways")).0.is_empty());
    }

    #[test]
    fn ids_that_cannot_be_or_stand_twice_are_left_out() {
        let lines = ["0", "15", "256", "x", "-1"].map(|id| format!("{id} {MID}"));
        assert!(both(MediaKind::Video, Direction::SendOnly, &lines).0.is_empty());
        let twice = [format!("4 {MID}"), format!("4 {RID}"), format!("5 {MID}"), format!("6 {RID}")];
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &twice).0, ["4", "6"]);
        assert_eq!(both(MediaKind::Video, Direction::SendOnly, &["4".to_owned(), "7 ".to_owned()]).0.len(), 0);
    }
}
