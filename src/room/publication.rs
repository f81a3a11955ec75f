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
    /// The codec it was announced in.
    announced_in: Option<&'static str>,
    pub backup: Option<Backup>,
}

/// The rendition of a publication in a second codec; announced when `info.backup` is set.
pub struct Backup {
    pub plan: BackupPlan,
    pub layers: Vec<Layer>,
    /// Set once an offered section was matched.
    pub mid: Option<Mid>,
}

/// What an answer is to have a publisher send in one of its sections.
#[derive(Clone, PartialEq, Debug)]
pub struct CodecPreference {
    /// The section, once matched.
    pub mid: Option<Mid>,
    pub client_id: String,
    pub kind: MediaKind,
    pub mime_type: Option<&'static str>,
    /// No other codec is accepted there: who cannot decode it gets the other rendition.
    pub alone: bool,
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
                backup: None,
            },
            layers: announcement.layers.clone(),
            mid: None,
            had_subscriber: false,
            announced_in: announcement.mime_type,
            backup: announcement.backup.map(|plan| Backup { plan, layers: Vec::new(), mid: None }),
        }
    }

    pub fn is_live(&self) -> bool {
        self.mid.is_some()
    }

    /// The section a rendition is sent in.
    pub fn mid_of(&self, rendition: Rendition) -> Option<Mid> {
        match rendition {
            Rendition::Primary => self.mid,
            Rendition::Backup => self.backup.as_ref().and_then(|backup| backup.mid),
        }
    }

    /// Encodings low to high, as announced; empty when unknown.
    pub fn layers_of(&self, rendition: Rendition) -> &[Layer] {
        match rendition {
            Rendition::Primary => &self.layers,
            Rendition::Backup => self.backup.as_ref().map(|backup| backup.layers.as_slice()).unwrap_or_default(),
        }
    }

    /// MIME type of what a rendition is, or would be, sent in.
    pub fn mime_type_of(&self, rendition: Rendition) -> Option<&str> {
        match rendition {
            Rendition::Primary => Some(&self.info.mime_type),
            Rendition::Backup => self.backup.as_ref().map(|backup| backup.plan.mime_type),
        }
    }

    /// Of each rendition that was announced.
    pub fn codec_preferences(&self) -> impl Iterator<Item = CodecPreference> {
        let preference = |mid, client_id: &str, mime_type| CodecPreference {
            mid,
            client_id: client_id.to_owned(),
            kind: self.info.kind,
            mime_type,
            alone: self.backup.is_some(),
        };
        let primary = preference(self.mid, &self.info.client_id, self.announced_in);
        let backup = self.info.backup.as_ref();
        let mid = self.mid_of(Rendition::Backup);
        let backup = backup.map(|backup| preference(mid, &backup.client_id, Some(backup.mime_type)));
        [primary].into_iter().chain(backup)
    }

    /// The name under which a rendition is awaited in an offer, if it is.
    fn awaited(&self, rendition: Rendition) -> Option<&str> {
        match rendition {
            Rendition::Primary => self.mid.is_none().then_some(self.info.client_id.as_str()),
            Rendition::Backup => {
                let announced = self.info.backup.as_ref()?;
                announced.mid.is_none().then_some(announced.client_id.as_str())
            }
        }
    }

    fn bind(&mut self, rendition: Rendition, offered: &OfferedTrack) {
        match rendition {
            Rendition::Primary => self.bind_primary(offered),
            Rendition::Backup => {
                if let (Some(backup), Some(info)) = (&mut self.backup, &mut self.info.backup) {
                    backup.mid = Some(offered.mid);
                    info.mid = Some(offered.mid.to_string());
                    self.info.version += 1;
                }
            }
        }
    }

    fn bind_primary(&mut self, offered: &OfferedTrack) {
        self.mid = Some(offered.mid);
        self.info.mid = Some(offered.mid.to_string());
        self.info.mime_type = offered.mime_type.to_owned();
        // A client may come to prefer what it announced as its backup.
        if self.backup.as_ref().is_some_and(|backup| backup.plan.mime_type == offered.mime_type) {
            self.backup = None;
        }
        self.info.simulcast = offered.simulcast;
        self.info.version += 1;
    }
}

/// Binds waiting renditions to offered sections: by client id, else the first waiting one of the same kind (browsers
/// that rename tracks in SDP need the second rule). Gives the places of those that became live.
pub fn match_offered(publications: &mut [Publication], offered: &[OfferedTrack]) -> Vec<(usize, Rendition)> {
    let mids = |p: &Publication| [p.mid_of(Rendition::Primary), p.mid_of(Rendition::Backup)];
    let taken: HashSet<Mid> = publications.iter().flat_map(mids).flatten().collect();
    let mut live = Vec::new();
    let free: Vec<&OfferedTrack> = offered.iter().filter(|o| !taken.contains(&o.mid)).collect();
    let mut unnamed = Vec::new();
    for section in free {
        match awaiting(publications, |_, client_id| client_id == section.track_id) {
            Some((index, rendition)) => {
                publications[index].bind(rendition, section);
                live.push((index, rendition));
            }
            None => unnamed.push(section),
        }
    }
    for section in unnamed {
        if let Some((index, rendition)) = awaiting(publications, |p, _| p.info.kind == section.kind) {
            publications[index].bind(rendition, section);
            live.push((index, rendition));
        }
    }
    live
}

/// The first rendition that waits for a section and is the one; primary ones go before backups.
fn awaiting(publications: &[Publication], is: impl Fn(&Publication, &str) -> bool) -> Option<(usize, Rendition)> {
    [Rendition::Primary, Rendition::Backup].into_iter().find_map(|rendition| {
        let index = publications.iter().position(|p| p.awaited(rendition).is_some_and(|client_id| is(p, client_id)))?;
        Some((index, rendition))
    })
}

/// Live renditions whose section is gone, or now carries the track of a waiting announcement.
pub fn ended_by(publications: &[Publication], offered: &[OfferedTrack], rendition: Rendition) -> Vec<TrackId> {
    let waiting = |track_id: &str| !track_id.is_empty() && awaiting(publications, |_, id| id == track_id).is_some();
    let ended = publications.iter().filter(|publication| {
        let Some(mid) = publication.mid_of(rendition) else { return false };
        let section = offered.iter().find(|section| section.mid == mid);
        section.is_none_or(|section| waiting(&section.track_id))
    });
    ended.map(|publication| publication.info.id.clone()).collect()
}
