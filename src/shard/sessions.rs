//! Offers of clients and the answers to them: sections that publish, sections to receive in, and asking for more.

use std::time::Instant;

use super::Shard;
use super::joining::ANSWERED_SETTLING;
use super::leg::{OfferedSection, Report, SectionMedia};
use super::outbound::{Placed, Waiting};
use super::peer::Peer;
use crate::negotiation::{LocalParameters, MediaKind, OfferError, Section, Session};
use crate::room::command::Offer;
use crate::room::event::Event;
use crate::room::model::{LeaveReason, TrackId};
use crate::room::publication::{CodecPreference, OfferedTrack};
use crate::transport::IceCredentials;
use crate::wire::Mid;
use crate::wire::codec::Codec;

impl Shard {
    /// Applies an offer, lets the room match what it publishes, fills its free sections and answers.
    pub(super) fn offer(&mut self, now: Instant, key: usize, offer: &Offer, codecs: Vec<CodecPreference>) {
        if let Err(error) = self.apply_offer(now, key, offer, codecs) {
            self.counters.offers_refused.add(1);
            self.note_offer(now, key, false);
            if let Some(Peer { progress, .. }) = self.peers.get(key) {
                tracing::debug!(room = %progress.room(), participant = %progress.participant(), %error, "offer refused");
            }
            self.report_offered(now, key, false);
            self.tell(key, Event::OfferRefused { id: offer.id, reason: error.to_string() });
            if self.peers.get(key).is_some_and(|peer| !peer.answered) {
                self.doomed.push((key, LeaveReason::ProtocolError));
            }
            return;
        }
        self.give_back_displaced(key);
        self.report_offered(now, key, true);
        self.stand(now, key);
        self.place_waiting(now, key);
        self.answer(now, key, offer.id);
        self.note_offer(now, key, true);
        self.ask_for_sections(key, false);
        self.flush(now, key);
    }

    fn apply_offer(
        &mut self,
        now: Instant,
        key: usize,
        offer: &Offer,
        codecs: Vec<CodecPreference>,
    ) -> Result<(), OfferError> {
        let Some(peer) = self.peers.get_mut(key) else {
            return Ok(());
        };
        let remote = peer.session.apply_offer(&offer.sdp)?;
        if !peer.transport.set_remote(now, remote, self.random.as_mut()) {
            // The session has the new offer and the transport cannot follow: there is no way back.
            self.doomed.push((key, LeaveReason::ProtocolError));
            return Err(OfferError::Missing("the fingerprint and DTLS role of the offer before"));
        }
        prefer_codecs(&mut peer.session, codecs);
        peer.inbound.update(peer.session.sections());
        peer.outbound.offered();
        if peer.transport.is_connected() {
            peer.settle_until(now + ANSWERED_SETTLING);
        }
        self.register_ufrag(key);
        Ok(())
    }

    /// Has the room match what the peer publishes now.
    fn report_offered(&mut self, now: Instant, key: usize, applied: bool) {
        let Some((room, participant)) = self.seat_of(key) else { return };
        let Some(peer) = self.peers.get(key) else { return };
        let sections = applied.then(|| peer.session.sections().iter().filter_map(offered_section).collect());
        self.report(now, room, Report::Offered { participant, sections });
        self.settle(now, room);
    }

    /// Subscriptions in sections that the peer stopped receiving in wait for another.
    fn give_back_displaced(&mut self, key: usize) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let Some(entry) = self.rooms.get_mut(peer.room) else { return };
        for subscription in peer.outbound.displaced(&peer.session) {
            if let Some(source) = entry.sources.get_mut(subscription.source) {
                source.subscribers.retain(|other| *other != key);
                peer.outbound.waiting.push(Waiting::new(subscription.source, source, subscription.wanted));
            }
        }
    }

    /// Fills the sections of a peer that negotiates once, and lets the room choose what they carry.
    fn stand(&mut self, now: Instant, key: usize) {
        let Some((room, participant)) = self.seat_of(key) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !peer.outbound.stand(&mut peer.session, self.random.as_mut()) {
            return;
        }
        let receiving = peer.session.sections().iter().filter(|section| section.local.is_some());
        let codecs = receiving.flat_map(|s| s.codecs.iter().map(|codec| (s.kind, mime_type(codec.codec)))).collect();
        self.report(now, room, Report::Receives { participant, codecs });
        self.settle(now, room);
    }

    /// Takes the peer's new ICE credentials; answers with the ones to use from now on.
    pub(super) fn restart_ice(&mut self, key: usize, remote: IceCredentials) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.transport.restart_ice(remote, self.random.as_mut());
        let local = peer.transport.local_ice().clone();
        self.register_ufrag(key);
        self.tell(key, Event::IceRestarted(local));
    }

    /// Fills free sections with what waits for one.
    fn place_waiting(&mut self, now: Instant, key: usize) {
        let Some((room, subscriber)) = self.seat_of(key) else { return };
        let Some(peer) = self.peers.get_mut(key) else { return };
        let here = peer.room;
        let Some(entry) = self.rooms.get_mut(here) else { return };
        let mut placed = Vec::new();
        let mut failed = Vec::new();
        for waiting in std::mem::take(&mut peer.outbound.waiting) {
            match peer.outbound.place(&mut peer.session, &waiting, self.random.as_mut()) {
                Placed::InSection => placed.push(waiting.source),
                Placed::NoCommonCodec => failed.push((waiting.track, waiting.rendition)),
                Placed::NoFreeSection => peer.outbound.waiting.push(waiting),
            }
        }
        for source in &placed {
            if let Some(source) = entry.sources.get_mut(*source) {
                source.subscribers.push(key);
            }
        }
        for (track, rendition) in failed {
            self.counters.subscriptions.subtract(1);
            self.report(now, room, Report::ForwardingFailed { subscriber, track, rendition });
        }
        self.number_packets(now, key);
        self.select_layers(now, here, key, &placed);
    }

    fn answer(&mut self, now: Instant, key: usize, id: u32) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        let local = LocalParameters {
            ice: peer.transport.local_ice().clone(),
            fingerprint: self.certificate.fingerprint().clone(),
            candidates: self.candidates.clone(),
        };
        let sdp = peer.session.answer(&local);
        peer.answered = true;
        peer.progress.answered(now);
        let sent = peer.session.sections().iter().filter_map(|section| Some((section.mid, section.local.as_ref()?)));
        let tracks_by_mid = sent.map(|(mid, local)| (mid.to_string(), TrackId::new(&local.track_id))).collect();
        self.tell(key, Event::Answer { id, sdp, tracks_by_mid });
    }

    /// Asks the client to offer again when something waits for a section, or a section was emptied.
    pub(super) fn ask_for_sections(&mut self, key: usize, changed: bool) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        if !peer.answered {
            return;
        }
        if let Some((audio, video)) = peer.outbound.sections_to_ask(&peer.session, changed) {
            self.tell(key, Event::SectionsNeeded { audio, video });
        }
    }
}

/// Has tracks sent in the codecs they were announced in: those of known sections, then by name, then by kind, as the room
/// matches them.
fn prefer_codecs(session: &mut Session, mut announced: Vec<CodecPreference>) {
    type Sent = (Mid, MediaKind, String);
    let rules: [fn(&CodecPreference, &Sent) -> bool; 3] = [
        |announced, (mid, ..)| announced.mid == Some(*mid),
        |announced, (.., track_id)| announced.mid.is_none() && announced.client_id == *track_id,
        |announced, (_, kind, _)| announced.mid.is_none() && announced.kind == *kind,
    ];
    let sent = session.sections().iter().filter_map(|s| Some((s.mid, s.kind, s.remote.as_ref()?.track_id.clone())));
    let mut sent: Vec<Sent> = sent.collect();
    for rule in rules {
        sent.retain(|section| {
            let Some(index) = announced.iter().position(|announced| rule(announced, section)) else { return true };
            let announced = announced.remove(index);
            if let Some(codec) = announced.mime_type.and_then(codec_of) {
                session.prefer_codec(section.0, codec, announced.alone);
            }
            false
        });
    }
}

fn offered_section(section: &Section) -> Option<OfferedSection> {
    let remote = section.remote.as_ref()?;
    let track = OfferedTrack {
        mid: section.mid,
        kind: section.kind,
        track_id: remote.track_id.clone(),
        mime_type: mime_type(section.codecs.first()?.codec),
        simulcast: remote.encodings.len() > 1,
    };
    let media = SectionMedia {
        kind: section.kind,
        codecs: section.codecs.clone(),
        extensions: section.extensions.clone(),
        rids: remote.encodings.iter().map(|encoding| encoding.rid).collect(),
    };
    Some(OfferedSection { track, media })
}

/// The IANA media type of a codec; redundant audio counts as the Opus it carries.
pub(super) fn mime_type(codec: Codec) -> &'static str {
    match codec {
        Codec::Opus | Codec::Red => "audio/opus",
        Codec::Pcmu => "audio/PCMU",
        Codec::Pcma => "audio/PCMA",
        Codec::G722 => "audio/G722",
        Codec::Vp8 => "video/VP8",
        Codec::Vp9 => "video/VP9",
        Codec::H264 => "video/H264",
        Codec::H265 => "video/H265",
        Codec::Av1 => "video/AV1",
    }
}

/// The video codec of an IANA media type.
pub(super) fn codec_of(mime: &str) -> Option<Codec> {
    [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::H265, Codec::Av1].into_iter().find(|codec| mime_type(*codec) == mime)
}
