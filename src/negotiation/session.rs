//! One peer's session: what successive offers and answers leave behind (RFC 3264, section 8; RFC 8829, section 5.2.2).
//!
//! What always holds: an offer that is refused changes nothing; a section keeps its place, mid and kind for as long as it is
//! in use; a local track stands only in a section that the peer receives in and has a codec for.

use super::offer::{Offer, Slot};
use super::{LocalParameters, LocalTrack, MediaKind, OfferError, Section, answer, codecs, parse};
use crate::transport::{DtlsRole, RemoteParameters};
use crate::wire::Mid;
use crate::wire::codec::Codec;

/// One peer's session: the state that offers and answers change.
pub struct Session {
    id: u64,
    /// Answers written so far.
    version: u64,
    /// The last applied offer, with the local tracks in its sections.
    offer: Offer,
    /// The peer's transport as last told; it outlives an offer in which every section is rejected.
    remote: Option<RemoteParameters>,
    /// What the peer offers to send is declined.
    only_sends: bool,
}

impl Session {
    /// `id` is the numeric session id of the `o=` line; its highest bit is dropped (RFC 8829, section 5.2.1).
    pub fn new(id: u64) -> Session {
        Session { id: id & (u64::MAX >> 1), version: 0, offer: Offer::default(), remote: None, only_sends: false }
    }

    /// This side will send and never receive: a section offered both ways is answered as sendonly.
    pub fn only_send(&mut self) {
        self.only_sends = true;
    }

    /// Applies an offer and gives the transport parameters it carries. A `LocalTrack` in a section that the peer no longer
    /// receives in, or no longer has a codec for, is dropped; otherwise local tracks stay where they are.
    pub fn apply_offer(&mut self, sdp: &str) -> Result<RemoteParameters, OfferError> {
        let description = parse::parse(sdp)?;
        let mut offer = Offer::read(&description, self.remote.as_ref().map(|r| r.role))?;
        check_slots(&self.offer.slots, &offer.slots)?;
        if self.only_sends {
            offer.decline_media();
        }
        let remote = offer.transport.take().or_else(|| self.remote.clone());
        let remote = remote.ok_or(OfferError::Missing("a section that can be served"))?;
        for section in &mut offer.sections {
            let previous = self.offer.sections.iter_mut().find(|s| s.mid == section.mid);
            let track = previous.and_then(|s| s.local.take());
            section.local = track.filter(|t| can_carry(section, t));
        }
        self.offer = offer;
        self.remote = Some(remote.clone());
        Ok(remote)
    }

    /// The audio and video sections in use, in order. A section that either side rejected is not among them.
    pub fn sections(&self) -> &[Section] {
        &self.offer.sections
    }

    /// Whether the offer has an SCTP section (`m=application … webrtc-datachannel`).
    pub fn has_data(&self) -> bool {
        self.offer.has_data()
    }

    /// Puts a track into a section that the peer receives in and nothing fills, whose codecs include one of the track's; takes
    /// effect with the next answer. `None` when there is no such section. Where it takes the place of a track that was announced
    /// there, its stream id must differ from that track's: browsers fire a `track` event for a new stream only.
    pub fn add_track(&mut self, kind: MediaKind, track: LocalTrack) -> Option<Mid> {
        let free = |s: &&mut Section| s.kind == kind && s.local.is_none() && can_carry(s, &track);
        // Sections the peer does not send in come first: one used both ways goes when the peer's own track goes.
        let section = self.offer.sections.iter_mut().filter(free).min_by_key(|s| s.remote.is_some())?;
        section.local = Some(track);
        Some(section.mid)
    }

    /// Puts a codec of a section before the others, so that it is what the peer sends there, or `alone` in their place. Takes
    /// effect with the next answer; nothing changes where the section has no such codec.
    pub fn prefer_codec(&mut self, mid: Mid, codec: Codec, alone: bool) {
        let Some(section) = self.offer.sections.iter_mut().find(|s| s.mid == mid) else { return };
        section.codecs.sort_by_key(|description| description.codec != codec);
        if alone && section.codecs.first().is_some_and(|first| first.codec == codec) {
            section.codecs.retain(|description| description.codec == codec);
        }
    }

    /// Empties a section; it can be used again.
    pub fn remove_track(&mut self, mid: Mid) {
        if let Some(section) = self.offer.sections.iter_mut().find(|s| s.mid == mid) {
            section.local = None;
        }
    }

    /// The answer to the last applied offer.
    pub fn answer(&mut self, local: &LocalParameters) -> String {
        self.version = self.version.saturating_add(1);
        let identity = answer::Identity { id: self.id, version: self.version };
        let role = self.remote.as_ref().map_or(DtlsRole::Server, |r| r.role);
        answer::write(identity, &self.offer, role, local)
    }
}

fn can_carry(section: &Section, track: &LocalTrack) -> bool {
    section.peer_receives && !codecs::narrow(&section.codecs, &track.codecs).is_empty()
}

/// Sections are added or rejected, never removed or reordered. The slot of a rejected one may be used again, under
/// another mid and for another kind (RFC 8829, section 5.2.2).
fn check_slots(old: &[Slot], new: &[Slot]) -> Result<(), OfferError> {
    let stays = |(old, new): (&Slot, &Slot)| {
        let same_mid = new.mid == old.mid || (new.mid.is_none() && new.is_rejected());
        old.is_rejected() || (same_mid && new.line.media == old.line.media)
    };
    if new.len() < old.len() || !old.iter().zip(new).all(stays) {
        return Err(OfferError::SectionsChanged);
    }
    Ok(())
}
