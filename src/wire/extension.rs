//! RTP header extensions (RFC 8285): the ones known here, and each peer's map from id to extension.
//!
//! What always holds: in an [`ExtensionMap`] an id belongs to at most one extension and an extension has at most one id.

/// A header extension that Sfumato reads, writes or passes on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Extension {
    /// RFC 9143, `urn:ietf:params:rtp-hdrext:sdes:mid`
    Mid,
    /// RFC 8852, `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`
    Rid,
    /// RFC 8852, `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`
    RepairedRid,
    /// RFC 6464
    AudioLevel,
    AbsSendTime,
    TransportCc,
    AbsCaptureTime,
    DependencyDescriptor,
    VideoOrientation,
    PlayoutDelay,
    ColorSpace,
    VideoContentType,
    VideoTiming,
    VideoLayersAllocation,
}

/// What is known of each extension, in the order of the enum: the value itself, its URI, and whether it is end-to-end.
const TABLE: [(Extension, &str, bool); Extension::COUNT] = [
    (Extension::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid", false),
    (Extension::Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", false),
    (Extension::RepairedRid, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", false),
    (Extension::AudioLevel, "urn:ietf:params:rtp-hdrext:ssrc-audio-level", true),
    (Extension::AbsSendTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", false),
    (Extension::TransportCc, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01", false),
    (Extension::AbsCaptureTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time", true),
    (
        Extension::DependencyDescriptor,
        "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
        true,
    ),
    (Extension::VideoOrientation, "urn:3gpp:video-orientation", true),
    (Extension::PlayoutDelay, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", true),
    (Extension::ColorSpace, "http://www.webrtc.org/experiments/rtp-hdrext/color-space", true),
    (Extension::VideoContentType, "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type", true),
    (Extension::VideoTiming, "http://www.webrtc.org/experiments/rtp-hdrext/video-timing", true),
    // Describes all encodings of the publisher, for the server alone: a subscriber receives one of them.
    (Extension::VideoLayersAllocation, "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00", false),
];

impl Extension {
    pub const COUNT: usize = 14;

    fn index(self) -> usize {
        usize::from(self as u8)
    }

    pub fn uri(self) -> &'static str {
        TABLE.get(self.index()).map_or("", |row| row.1)
    }

    pub fn from_uri(uri: &str) -> Option<Extension> {
        TABLE.iter().find(|row| row.1 == uri).map(|row| row.0)
    }

    /// Whether the value passes from publisher to subscriber unchanged (it describes the media, not the hop).
    pub fn end_to_end(self) -> bool {
        TABLE.get(self.index()).is_some_and(|row| row.2)
    }
}

/// The ids one peer uses in one media section (RFC 8285: 1 to 255, 15 excluded for the one-byte form's sake).
///
/// Small, because every subscription holds one: 14 bytes, of which a look-up by id reads all (one vector compare).
#[derive(Clone, Default, PartialEq, Debug)]
pub struct ExtensionMap {
    /// By [`Extension::index`]; 0 is none.
    ids: [u8; Extension::COUNT],
}

impl ExtensionMap {
    /// False (and nothing changed) when the id is 0, 15 or taken, or the extension has an id already.
    pub fn insert(&mut self, id: u8, extension: Extension) -> bool {
        if id == 0 || id == 15 || self.extension(id).is_some() {
            return false;
        }
        match self.ids.get_mut(extension.index()) {
            Some(slot @ 0) => {
                *slot = id;
                true
            }
            _ => false,
        }
    }

    pub fn id(&self, extension: Extension) -> Option<u8> {
        self.ids.get(extension.index()).copied().filter(|id| *id != 0)
    }

    pub fn extension(&self, id: u8) -> Option<Extension> {
        if id == 0 {
            return None;
        }
        let index = self.ids.iter().position(|found| *found == id)?;
        TABLE.get(index).map(|row| row.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u8, Extension)> + '_ {
        self.ids.iter().zip(&TABLE).filter(|(id, _)| **id != 0).map(|(id, row)| (*id, row.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum_and_its_uris_are_distinct() {
        for (index, (extension, uri, _)) in TABLE.iter().enumerate() {
            assert_eq!(extension.index(), index);
            assert_eq!(extension.uri(), *uri);
            assert_eq!(Extension::from_uri(uri), Some(*extension));
        }
        assert_eq!(Extension::from_uri("urn:ietf:params:rtp-hdrext:toffset"), None);
    }

    #[test]
    fn what_describes_the_hop_is_not_end_to_end() {
        use Extension::*;
        for hop in [Mid, Rid, RepairedRid, AbsSendTime, TransportCc, VideoLayersAllocation] {
            assert!(!hop.end_to_end(), "{hop:?}");
        }
        for media in [AudioLevel, AbsCaptureTime, DependencyDescriptor, VideoOrientation] {
            assert!(media.end_to_end(), "{media:?}");
        }
    }

    #[test]
    fn ids_0_and_15_and_taken_ones_are_refused() {
        let mut map = ExtensionMap::default();
        assert!(!map.insert(0, Extension::Mid));
        assert!(!map.insert(15, Extension::Mid));
        assert_eq!(map, ExtensionMap::default());
        assert!(map.insert(4, Extension::Mid));
        assert!(!map.insert(4, Extension::Rid), "the id is taken");
        assert!(!map.insert(5, Extension::Mid), "the extension has an id");
        assert_eq!(map.id(Extension::Mid), Some(4));
        assert_eq!(map.id(Extension::Rid), None);
    }

    #[test]
    fn look_ups_agree_in_both_directions_for_every_id() {
        for id in (1..=255u8).filter(|id| *id != 15) {
            let mut map = ExtensionMap::default();
            assert!(map.insert(id, Extension::TransportCc));
            assert_eq!(map.extension(id), Some(Extension::TransportCc));
            assert_eq!(map.extension(id.wrapping_add(1)), None);
            assert_eq!(map.extension(0), None);
            assert_eq!(map.iter().collect::<Vec<_>>(), [(id, Extension::TransportCc)]);
        }
    }
}
