//! Publications: a track announced by its publisher, matched to a media section of the publisher's session.
//!
//! An announcement and the offer that carries its media race in either order, so both wait for each other here.

use std::collections::HashSet;

use super::model::*;
use crate::negotiation::MediaKind;
use crate::wire::Mid;

pub struct Publication {
    pub info: TrackInfo,
    pub layers: Vec<Layer>,
    /// Set once an offered section was matched: media can flow.
    pub mid: Option<Mid>,
    /// The publisher was told of its first subscriber.
    pub had_subscriber: bool,
}

/// A section of the publisher's offer in which it sends.
#[derive(Clone, PartialEq, Debug)]
pub struct OfferedTrack {
    pub mid: Mid,
    pub kind: MediaKind,
    /// From the section's msid; compared with the announcements' client ids.
    pub track_id: String,
    /// Of the first codec, e.g. `video/VP8`.
    pub mime_type: &'static str,
    pub simulcast: bool,
}

impl Publication {
    pub fn new(id: TrackId, announcement: &Announcement) -> Publication {
        Publication {
            info: TrackInfo {
                id,
                kind: announcement.kind,
                source: announcement.source,
                muted: announcement.muted,
                mid: None,
                mime_type: String::new(),
                simulcast: announcement.layers.len() > 1,
                client_id: announcement.client_id.clone(),
                version: 1,
                opaque: announcement.opaque.clone(),
            },
            layers: announcement.layers.clone(),
            mid: None,
            had_subscriber: false,
        }
    }

    pub fn is_live(&self) -> bool {
        self.mid.is_some()
    }

    fn bind(&mut self, offered: &OfferedTrack) {
        self.mid = Some(offered.mid);
        self.info.mid = Some(offered.mid.to_string());
        self.info.mime_type = offered.mime_type.to_owned();
        self.info.simulcast = offered.simulcast;
        self.info.version += 1;
    }
}

/// Binds waiting publications to offered sections: by client id, else the first waiting one of the same kind (browsers
/// that rename tracks in SDP need the second rule). Gives the indices of those that became live.
pub fn match_offered(publications: &mut [Publication], offered: &[OfferedTrack]) -> Vec<usize> {
    let taken: HashSet<Mid> = publications.iter().filter_map(|p| p.mid).collect();
    let mut live = Vec::new();
    let free: Vec<&OfferedTrack> = offered.iter().filter(|o| !taken.contains(&o.mid)).collect();
    let mut unnamed = Vec::new();
    for section in free {
        match publications.iter().position(|p| p.mid.is_none() && p.info.client_id == section.track_id) {
            Some(index) => {
                publications[index].bind(section);
                live.push(index);
            }
            None => unnamed.push(section),
        }
    }
    for section in unnamed {
        if let Some(index) = publications.iter().position(|p| p.mid.is_none() && p.info.kind == section.kind) {
            publications[index].bind(section);
            live.push(index);
        }
    }
    live
}

/// Live publications whose section is gone, or now carries the track of a waiting announcement.
pub fn ended_by(publications: &[Publication], offered: &[OfferedTrack]) -> Vec<TrackId> {
    let names =
        |p: &Publication, track_id: &str| p.mid.is_none() && !track_id.is_empty() && p.info.client_id == track_id;
    let waiting = |track_id: &str| publications.iter().any(|p| names(p, track_id));
    let ended = publications.iter().filter(|publication| {
        let section = offered.iter().find(|section| Some(section.mid) == publication.mid);
        publication.is_live() && section.is_none_or(|section| waiting(&section.track_id))
    });
    ended.map(|publication| publication.info.id.clone()).collect()
}
