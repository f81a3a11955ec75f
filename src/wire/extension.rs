//! RTP header extensions (RFC 8285): the ones known here, and each peer's map from id to extension.

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

impl Extension {
    pub const COUNT: usize = 14;

    pub fn uri(self) -> &'static str {
        todo!()
    }

    pub fn from_uri(uri: &str) -> Option<Extension> {
        todo!("{uri}")
    }

    /// Whether the value passes from publisher to subscriber unchanged (it describes the media, not the hop).
    pub fn end_to_end(self) -> bool {
        todo!()
    }
}

/// The ids one peer uses in one media section (RFC 8285: 1 to 255, 15 excluded for the one-byte form's sake).
#[derive(Clone, Default, PartialEq, Debug)]
pub struct ExtensionMap {/* private: array by Extension -> Option<u8>, and lookups both ways in O(1) */}

impl ExtensionMap {
    /// False (and nothing changed) when the id is 0, 15 or taken.
    pub fn insert(&mut self, id: u8, extension: Extension) -> bool {
        todo!("{id} {extension:?}")
    }
    pub fn id(&self, extension: Extension) -> Option<u8> {
        todo!("{extension:?}")
    }
    pub fn extension(&self, id: u8) -> Option<Extension> {
        todo!("{id}")
    }
    pub fn iter(&self) -> impl Iterator<Item = (u8, Extension)> + '_ {
        [].into_iter()
    }
}
