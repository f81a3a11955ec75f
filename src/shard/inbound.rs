//! Which source and encoding a publisher's packet belongs to: by SSRC once known, else by mid and rid (RFC 8843, section
//! 9.2; RFC 8852), by signalled SSRC, and last by a payload type that only one section uses. What is sent again beside its
//! stream (RFC 4588) is found in the same way, by its own payload types.
//!
//! What always holds: the table of SSRCs has at most `limits::RECEIVE_STREAMS` entries, and only authenticated packets
//! make one.

use crate::limits;
use crate::negotiation::Section;
use crate::wire::extension::{Extension, ExtensionMap};
use crate::wire::rtp::Header;
use crate::wire::{Mid, PayloadType, Rid, Ssrc};

/// A source's place in its room's table.
pub type SourceKey = usize;

/// What an SSRC turned out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    Media {
        source: SourceKey,
        rid: Option<Rid>,
    },
    /// Retransmissions of one encoding (RFC 4588).
    Repair {
        source: SourceKey,
        repaired: Repaired,
    },
}

/// What is said of the stream that another repairs. Neither is said where the source has only one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repaired {
    /// RFC 8852, section 3.
    pub rid: Option<Rid>,
    /// RFC 5576, section 4.2: group of FID semantics.
    pub media: Option<Ssrc>,
}

/// A section a publisher sends in.
struct Lane {
    mid: Mid,
    source: Option<SourceKey>,
    payload_types: Vec<PayloadType>,
    /// Of retransmissions.
    rtx: Vec<PayloadType>,
    ssrcs: Vec<(Ssrc, Option<Ssrc>)>,
    /// Packets without a rid cannot be told apart.
    simulcast: bool,
}

#[derive(Default)]
pub struct Inbound {
    lanes: Vec<Lane>,
    /// Ids of the bundled sections taken together; BUNDLE asks that they agree (RFC 8843, section 9.2).
    extensions: ExtensionMap,
    routes: Vec<(Ssrc, Route)>,
}

impl Inbound {
    /// Takes the sections of a newly applied offer. Known SSRCs stay: senders leave mid and rid out once they were heard.
    pub fn update(&mut self, sections: &[Section]) {
        let sources: Vec<(Mid, Option<SourceKey>)> = self.lanes.iter().map(|lane| (lane.mid, lane.source)).collect();
        self.lanes.clear();
        self.extensions = ExtensionMap::default();
        for section in sections {
            let Some(remote) = &section.remote else { continue };
            for (id, extension) in section.extensions.iter() {
                self.extensions.insert(id, extension);
            }
            self.lanes.push(Lane {
                mid: section.mid,
                source: sources.iter().find(|(mid, _)| *mid == section.mid).and_then(|(_, source)| *source),
                payload_types: section.codecs.iter().map(|codec| codec.payload_type).collect(),
                rtx: section.codecs.iter().filter_map(|codec| codec.rtx).collect(),
                ssrcs: remote.ssrcs.clone(),
                simulcast: remote.encodings.len() > 1,
            });
        }
    }

    /// Media of a section belongs to this source from now on.
    pub fn bind(&mut self, mid: Mid, source: SourceKey) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.mid == mid) {
            lane.source = Some(source);
        }
    }

    pub fn unbind(&mut self, source: SourceKey) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.source == Some(source)) {
            lane.source = None;
        }
        self.routes.retain(|(_, route)| route.source() != source);
    }

    /// Entries in the table of SSRCs.
    #[cfg(test)]
    pub fn streams(&self) -> usize {
        self.routes.len()
    }

    pub fn sources(&self) -> impl Iterator<Item = SourceKey> + '_ {
        self.lanes.iter().filter_map(|lane| lane.source)
    }

    /// The packet's transport-wide sequence number, where the peer numbers its packets.
    pub fn transport_sequence(&self, header: &Header, packet: &[u8]) -> Option<u16> {
        let value = header.extension(packet, &self.extensions, Extension::TransportCc)?;
        Some(u16::from_be_bytes(value.try_into().ok()?))
    }

    /// Where an authenticated packet belongs. `None` when that cannot be told (yet), or the table is full.
    pub fn route(&mut self, header: &Header, packet: &[u8]) -> Option<Route> {
        if let Some((_, route)) = self.routes.iter().find(|(ssrc, _)| *ssrc == header.ssrc) {
            return Some(*route);
        }
        if self.routes.len() >= limits::RECEIVE_STREAMS {
            return None;
        }
        let route = self.learn(header, packet)?;
        self.routes.push((header.ssrc, route));
        Some(route)
    }

    fn learn(&self, header: &Header, packet: &[u8]) -> Option<Route> {
        let token = |wanted| header.extension(packet, &self.extensions, wanted).and_then(Rid::from_bytes);
        let lane = match token(Extension::Mid) {
            Some(mid) => self.lanes.iter().find(|lane| lane.mid == mid)?,
            None => self.lane_without_mid(header)?,
        };
        if lane.payload_types.contains(&header.payload_type) {
            lane.media(token(Extension::Rid))
        } else if lane.rtx.contains(&header.payload_type) {
            lane.repair(header.ssrc, token(Extension::RepairedRid))
        } else {
            None
        }
    }

    fn lane_without_mid(&self, header: &Header) -> Option<&Lane> {
        if let Some(lane) = self.lanes.iter().find(|lane| lane.sends(header.ssrc)) {
            return Some(lane);
        }
        let mut by_type = self.lanes.iter().filter(|lane| lane.has(header.payload_type));
        by_type.next().filter(|_| by_type.next().is_none())
    }
}

impl Route {
    fn source(&self) -> SourceKey {
        match self {
            Route::Media { source, .. } | Route::Repair { source, .. } => *source,
        }
    }
}

impl Lane {
    fn sends(&self, ssrc: Ssrc) -> bool {
        self.ssrcs.iter().any(|(media, repair)| *media == ssrc || *repair == Some(ssrc))
    }

    fn has(&self, payload_type: PayloadType) -> bool {
        self.payload_types.contains(&payload_type) || self.rtx.contains(&payload_type)
    }

    fn media(&self, rid: Option<Rid>) -> Option<Route> {
        let source = self.source.filter(|_| rid.is_some() || !self.simulcast)?;
        Some(Route::Media { source, rid })
    }

    fn repair(&self, ssrc: Ssrc, rid: Option<Rid>) -> Option<Route> {
        let media = self.ssrcs.iter().find(|(_, repair)| *repair == Some(ssrc)).map(|(media, _)| *media);
        let source = self.source.filter(|_| rid.is_some() || media.is_some() || !self.simulcast)?;
        Some(Route::Repair { source, repaired: Repaired { rid, media } })
    }
}

#[cfg(test)]
mod tests;
