//! Header extensions of one section (RFC 8285, section 5): which offered ones are answered, under the offer's ids.
//!
//! What always holds: an id is the offer's; an extension is accepted only for a direction in which the peer offered it
//! and in which this side has a use for it.

use rtc_sdp::description::media::MediaDescription;

use super::MediaKind;
use super::offer::Direction;
use super::parse::values;
use crate::wire::extension::{Extension, ExtensionMap};

/// Where an extension is wanted.
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
    Use {
        extension,
        audio: kinds.0,
        video: kinds.1,
        received: ways.0,
        sent: ways.1,
    }
}

/// The extensions that are answered. What the server learns to do gets a line here.
const USES: [Use; 11] = [
    usage(Extension::Mid, BOTH, EITHER_WAY),
    usage(Extension::Rid, VIDEO, RECEIVED),
    usage(Extension::RepairedRid, VIDEO, RECEIVED),
    // Speakers are told by signalling: towards subscribers the level would only cost bytes.
    usage(Extension::AudioLevel, AUDIO, RECEIVED),
    usage(Extension::AbsCaptureTime, BOTH, EITHER_WAY),
    usage(Extension::DependencyDescriptor, VIDEO, EITHER_WAY),
    usage(Extension::VideoOrientation, VIDEO, EITHER_WAY),
    usage(Extension::ColorSpace, VIDEO, EITHER_WAY),
    usage(Extension::VideoContentType, VIDEO, EITHER_WAY),
    usage(Extension::VideoTiming, VIDEO, SENT),
    // The publisher's wish says nothing about a subscriber's path.
    usage(Extension::PlayoutDelay, VIDEO, SENT),
];

/// One accepted `a=extmap` line.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Mapping {
    pub id: u8,
    pub extension: Extension,
    /// The answered direction, where the offer named one.
    pub direction: Option<Direction>,
}

/// Reads the section's `a=extmap` lines: the accepted ones in the offer's order, and the same as a map.
pub(super) fn read(kind: MediaKind, section: Direction, media: &MediaDescription) -> (Vec<Mapping>, ExtensionMap) {
    let mut mappings = Vec::new();
    let mut map = ExtensionMap::default();
    for value in values(&media.attributes, "extmap") {
        let Some(mapping) = accept(kind, section, value) else {
            continue;
        };
        if map.id(mapping.extension).is_none() && map.insert(mapping.id, mapping.extension) {
            mappings.push(mapping);
        }
    }
    (mappings, map)
}

/// `<id>[/<direction>] <uri> [<attributes>]`
fn accept(kind: MediaKind, section: Direction, value: &str) -> Option<Mapping> {
    let mut parts = value.split_ascii_whitespace();
    let first = parts.next()?;
    let (id, direction) = match first.split_once('/') {
        Some((id, direction)) => (id, Some(Direction::from_name(direction)?)),
        None => (first, None),
    };
    let extension = Extension::from_uri(parts.next()?)?;
    let wanted = USES.iter().find(|u| u.extension == extension)?;
    let offered = direction.unwrap_or(Direction::SendRecv);
    let fits_kind = match kind {
        MediaKind::Audio => wanted.audio,
        MediaKind::Video => wanted.video,
    };
    // An inactive section may be filled by the next offer: the ids are fixed now, for both ways.
    let idle = section == Direction::Inactive;
    let received = wanted.received && offered.sends() && (section.sends() || idle);
    let sent = wanted.sent && offered.receives() && (section.receives() || idle);
    (fits_kind && (received || sent)).then_some(Mapping {
        id: id.parse().ok()?,
        extension,
        direction: direction.map(|_| Direction::of(sent, received)),
    })
}
