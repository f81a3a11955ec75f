//! What a peer receives: one [`SendStream`] per subscription in a section of its session, and the subscriptions that wait
//! for a section.

use std::collections::HashMap;
use std::time::Instant;

use rand::{Rng, RngCore};

use super::allocation::Share;
use super::inbound::SourceKey;
use super::source::Source;
use super::watch::Watch;
use crate::limits;
use crate::media::forward::{RtxTarget, SendStream, Target};
use crate::media::layers::{Picture, Wanted, choose_within};
use crate::negotiation::{CodecDescription, LocalTrack, MediaKind, Section, Session};
use crate::recorder::rate::Rate;
use crate::room::model::{ParticipantId, Rendition, TrackId};
use crate::telemetry::counters::ShardCounters;
use crate::wire::codec::Codec;
use crate::wire::{Mid, PayloadType, Ssrc};

/// A subscription in place.
pub struct Subscription {
    pub track: TrackId,
    /// Its id is the CNAME of what is sent, in SDP and RTCP alike: tracks of one publisher play in step.
    pub publisher: ParticipantId,
    pub source: SourceKey,
    pub mid: Mid,
    pub wanted: Wanted,
    pub stream: SendStream,
    /// Since when its first picture is waited for; `None` once it was sent, and where that is not measured.
    pub awaited: Option<Instant>,
    pub watch: Watch,
    pub tally: SentTally,
    pub share: Share,
}

/// What a subscriber asked for, and what became of it.
#[derive(Default)]
pub struct SentTally {
    pub nacked: u32,
    pub retransmitted: u32,
    pub keyframe_requests: u32,
    pub rate: Rate,
}

/// A subscription without a section yet.
pub struct Waiting {
    pub track: TrackId,
    pub rendition: Rendition,
    pub source: SourceKey,
    pub publisher: ParticipantId,
    pub kind: MediaKind,
    pub codecs: Vec<CodecDescription>,
    /// A codec that the section should have too, since the track may come to be sent in that.
    pub other: Option<Codec>,
    pub wanted: Wanted,
    /// As of a [`Subscription`].
    pub awaited: Option<Instant>,
}

impl Waiting {
    pub fn new(key: SourceKey, source: &Source, wanted: Wanted) -> Waiting {
        Waiting {
            track: source.track.clone(),
            rendition: source.rendition,
            source: key,
            publisher: source.publisher_id.clone(),
            kind: source.kind,
            codecs: source.codecs.clone(),
            other: source.other,
            wanted,
            awaited: None,
        }
    }

    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.awaited.take_if(|_| wanted.picture == Picture::Nothing);
    }
}

/// How a change to another rendition of a track ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switched {
    /// From this source.
    From(SourceKey),
    /// The section has none of its codecs: nothing changed.
    NoCommonCodec,
}

/// How placing a waiting subscription ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    InSection,
    /// There is a free section of the kind, but it has none of the codecs.
    NoCommonCodec,
    NoFreeSection,
}

#[derive(Default)]
pub struct Outbound {
    /// Indexed by source, so that the fan-out finds a subscription without hashing.
    by_source: Vec<Option<Box<Subscription>>>,
    /// Source by the SSRC it is sent under: a report of each second names all of them.
    by_ssrc: HashMap<Ssrc, SourceKey>,
    pub waiting: Vec<Waiting>,
    /// Set for a peer that negotiates once: its sections are filled at once, and what they carry changes (see
    /// [`stand`](Self::stand)). The name of the stream they make (RFC 8830).
    standing: Option<ParticipantId>,
    /// Of a standing peer, what carries nothing now.
    #[expect(clippy::vec_box, reason = "they move between this and the table, which is a pointer per source")]
    idle: Vec<Box<Subscription>>,
    /// Sections asked of the client since its last offer: audio, video.
    asked: Option<(u32, u32)>,
}

impl Outbound {
    /// `standing` for a peer that negotiates once.
    pub fn new(standing: Option<ParticipantId>) -> Outbound {
        Outbound { standing, ..Outbound::default() }
    }

    pub fn is_standing(&self) -> bool {
        self.standing.is_some()
    }

    pub fn get(&self, source: SourceKey) -> Option<&Subscription> {
        self.by_source.get(source)?.as_deref()
    }

    pub fn get_mut(&mut self, source: SourceKey) -> Option<&mut Subscription> {
        self.by_source.get_mut(source)?.as_deref_mut()
    }

    pub fn subscriptions(&self) -> impl Iterator<Item = &Subscription> {
        self.by_source.iter().flatten().map(Box::as_ref)
    }

    pub fn subscriptions_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.by_source.iter_mut().flatten().map(Box::as_mut)
    }

    /// What is sent under an SSRC, or sent again under it.
    pub fn by_ssrc(&mut self, ssrc: Ssrc) -> Option<&mut Subscription> {
        self.get_mut(*self.by_ssrc.get(&ssrc)?)
    }

    pub fn by_track(&mut self, track: &TrackId) -> Option<&mut Subscription> {
        self.subscriptions_mut().find(|subscription| subscription.track == *track)
    }

    /// Ends a subscription, placed or waiting. Gives its source, and its section if it had one.
    pub fn remove(&mut self, track: &TrackId) -> Option<(SourceKey, Option<Mid>)> {
        if let Some(index) = self.waiting.iter().position(|waiting| waiting.track == *track) {
            return Some((self.waiting.remove(index).source, None));
        }
        let slot = self.by_source.iter_mut().find(|slot| slot.as_ref().is_some_and(|s| s.track == *track))?;
        let subscription = slot.take()?;
        let (source, mid) = (subscription.source, subscription.mid);
        subscription.ssrcs().for_each(|ssrc| _ = self.by_ssrc.remove(&ssrc));
        if !self.is_standing() {
            return Some((source, Some(mid)));
        }
        self.idle.push(subscription);
        Some((source, None))
    }

    /// Fills every section a standing peer receives in with a stream of all its codecs that carries nothing yet; effective
    /// with the next answer. All are one stream, so that a player takes them together. `false` for a peer of another kind.
    pub fn stand(&mut self, session: &mut Session, random: &mut dyn RngCore) -> bool {
        let Some(name) = self.standing.clone() else { return false };
        for (kind, track_id) in [(MediaKind::Audio, "audio"), (MediaKind::Video, "video")] {
            loop {
                let free = free_sections(session, kind).next().map(|section| section.codecs.clone());
                let Some(codecs) = free else { break };
                let (ssrc, rtx) = self.draw_ssrcs(kind, random);
                let track = LocalTrack {
                    stream_id: name.to_string(),
                    track_id: track_id.to_owned(),
                    cname: name.to_string(),
                    ssrc,
                    rtx,
                    codecs: codecs.iter().map(|codec| codec.codec).collect(),
                };
                let Some((mid, stream)) = open(session, kind, track, &codecs, random) else {
                    break;
                };
                self.idle.push(Box::new(Subscription {
                    track: TrackId::new(""),
                    publisher: name.clone(),
                    source: SourceKey::MAX,
                    mid,
                    wanted: Wanted::NOTHING,
                    stream,
                    awaited: None,
                    watch: Watch::default(),
                    tally: SentTally::default(),
                    share: Share::default(),
                }));
            }
        }
        true
    }

    /// Lets an idle stream of a standing peer carry a source from now on, as the same stream to the peer. `false` when it has
    /// none of that kind left.
    pub fn bind(&mut self, session: &Session, waiting: &Waiting) -> bool {
        let section = |mid: Mid| session.sections().iter().find(|section| section.mid == mid);
        let of_kind = |idle: &Subscription| section(idle.mid).is_some_and(|section| section.kind == waiting.kind);
        let Some(index) = self.idle.iter().position(|idle| of_kind(idle)) else {
            return false;
        };
        let mut subscription = self.idle.swap_remove(index);
        if let Some(section) = section(subscription.mid) {
            let payload_types = payload_types(section, &waiting.codecs);
            subscription.stream.retarget(clock_rate(&waiting.codecs), payload_types);
        }
        subscription.track = waiting.track.clone();
        subscription.awaited = waiting.awaited;
        self.carry_from(subscription, waiting);
        true
    }

    /// Lets the stream of a track go on from another rendition, as the same stream to the peer.
    pub fn switch(&mut self, session: &Session, to: &Waiting) -> Switched {
        let slot = self.by_source.iter_mut().find(|slot| slot.as_ref().is_some_and(|s| s.track == to.track));
        let section = |s: &Subscription| session.sections().iter().find(|section| section.mid == s.mid);
        let types = slot.as_ref().and_then(|slot| section(slot.as_deref()?)).map(|s| payload_types(s, &to.codecs));
        let types = types.filter(|types| !types.is_empty());
        let (Some(mut subscription), Some(types)) = (slot.filter(|_| types.is_some()).and_then(Option::take), types)
        else {
            return Switched::NoCommonCodec;
        };
        let former = subscription.source;
        if former != to.source {
            subscription.stream.retarget(clock_rate(&to.codecs), types);
        }
        self.carry_from(subscription, to);
        Switched::From(former)
    }

    fn carry_from(&mut self, mut subscription: Box<Subscription>, waiting: &Waiting) {
        subscription.source = waiting.source;
        subscription.wanted = waiting.wanted;
        subscription.share.renew();
        self.carry(subscription);
    }

    fn carry(&mut self, subscription: Box<Subscription>) {
        let source = subscription.source;
        self.by_ssrc.extend(subscription.ssrcs().map(|ssrc| (ssrc, source)));
        if self.by_source.len() <= source {
            self.by_source.resize_with(source + 1, || None);
        }
        if let Some(slot) = self.by_source.get_mut(source) {
            *slot = Some(subscription);
        }
    }

    /// Subscriptions whose section the peer no longer receives in wait for another one.
    pub fn displaced(&mut self, session: &Session) -> Vec<Subscription> {
        let filled = |mid: Mid| session.sections().iter().any(|s| s.mid == mid && s.local.is_some());
        let displaced = self.by_source.iter_mut().filter_map(|slot| slot.take_if(|s| !filled(s.mid)));
        let displaced: Vec<Subscription> = displaced.map(|subscription| *subscription).collect();
        for subscription in &displaced {
            subscription.ssrcs().for_each(|ssrc| _ = self.by_ssrc.remove(&ssrc));
        }
        displaced
    }

    /// Puts one waiting subscription into a free section of the session; effective with the next answer.
    pub fn place(&mut self, session: &mut Session, waiting: &Waiting, random: &mut dyn RngCore) -> Placed {
        let (ssrc, rtx) = self.draw_ssrcs(waiting.kind, random);
        let track = LocalTrack {
            // One stream per track, named after both, so that a client can tell the publisher from the stream.
            stream_id: format!("{}|{}", waiting.publisher, waiting.track),
            track_id: waiting.track.to_string(),
            cname: waiting.publisher.to_string(),
            ssrc,
            rtx,
            codecs: waiting.codecs.iter().map(|codec| codec.codec).chain(waiting.other).collect(),
        };
        let free = free_sections(session, waiting.kind).count();
        let Some((mid, stream)) = open(session, waiting.kind, track, &waiting.codecs, random) else {
            return if free > 0 { Placed::NoCommonCodec } else { Placed::NoFreeSection };
        };
        if stream.target().payload_types.is_empty() {
            // It has the codec of the other rendition alone.
            session.remove_track(mid);
            return Placed::NoCommonCodec;
        }
        self.carry(Box::new(Subscription {
            track: waiting.track.clone(),
            publisher: waiting.publisher.clone(),
            source: waiting.source,
            mid,
            wanted: waiting.wanted,
            stream,
            awaited: waiting.awaited,
            watch: Watch::default(),
            tally: SentTally::default(),
            share: Share::default(),
        }));
        Placed::InSection
    }

    /// One for a stream, and one for its retransmissions where the kind has any.
    fn draw_ssrcs(&self, kind: MediaKind, random: &mut dyn RngCore) -> (Ssrc, Option<Ssrc>) {
        let ssrc = self.draw_ssrc(random);
        let mut rtx = self.draw_ssrc(random);
        while rtx == ssrc {
            rtx = self.draw_ssrc(random);
        }
        (ssrc, (kind == MediaKind::Video).then_some(rtx))
    }

    /// An SSRC that no present subscription has. That chance draws one of an ended subscription again is left to the guard
    /// in the transport, which never seals one index of an SSRC twice (RFC 3711, section 9.1).
    fn draw_ssrc(&self, random: &mut dyn RngCore) -> Ssrc {
        loop {
            let ssrc = Ssrc(random.random_range(1..u32::MAX));
            let mut taken = self.subscriptions().chain(self.idle.iter().map(Box::as_ref));
            if taken.all(|subscription| subscription.ssrcs().all(|taken| taken != ssrc)) {
                return ssrc;
            }
        }
    }

    /// The client has offered: what was asked of it no longer counts.
    pub fn offered(&mut self) {
        self.asked = None;
    }

    /// How many more sections to ask of the client now, audio and video; `Some((0, 0))` asks for a mere new offer.
    /// `changed`: a section was emptied, which the client learns with the next answer.
    pub fn sections_to_ask(&mut self, session: &Session, changed: bool) -> Option<(u32, u32)> {
        let lacking = |kind| {
            let waiting = self.waiting.iter().filter(|waiting| waiting.kind == kind).count();
            u32::try_from(waiting.saturating_sub(free_sections(session, kind).count())).unwrap_or(0)
        };
        let more = limits::RECEIVE_SECTIONS.saturating_sub(session.sections().len());
        let room = u32::try_from(more).unwrap_or(u32::MAX);
        let audio = lacking(MediaKind::Audio).min(room);
        let needed = (audio, lacking(MediaKind::Video).min(room - audio));
        let more = match self.asked {
            Some((audio, video)) => {
                let more = (needed.0.saturating_sub(audio), needed.1.saturating_sub(video));
                (more != (0, 0)).then_some(more)?
            }
            None if changed || needed != (0, 0) || self.placeable(session) => needed,
            None => return None,
        };
        let (audio, video) = self.asked.unwrap_or_default();
        self.asked = Some((audio + more.0, video + more.1));
        Some(more)
    }

    /// Whether something that waits would find a section at the next offer.
    fn placeable(&self, session: &Session) -> bool {
        self.waiting.iter().any(|waiting| free_sections(session, waiting.kind).next().is_some())
    }
}

impl SentTally {
    /// Packets were asked for again, and so many of them sent.
    pub fn count_nacks(&mut self, asked: usize, sent: u64) {
        self.nacked = self.nacked.saturating_add(u32::try_from(asked).unwrap_or(u32::MAX));
        self.retransmitted = self.retransmitted.saturating_add(u32::try_from(sent).unwrap_or(u32::MAX));
    }
}

impl Subscription {
    fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<> {
        [Some(self.stream.target().ssrc), self.stream.rtx_ssrc()].into_iter().flatten()
    }

    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.awaited.take_if(|_| wanted.picture == Picture::Nothing);
    }

    /// A packet was forwarded. The first is of a keyframe, since video begins with one.
    pub fn sent(&mut self, now: Instant, counters: &ShardCounters) {
        if let Some(since) = self.awaited {
            self.awaited = None;
            counters.first_frame_duration.observe_duration(now.saturating_duration_since(since));
        }
    }

    /// Chooses the encoding anew. Gives the encoding a keyframe is needed of.
    pub fn select(&mut self, source: &Source) -> Option<usize> {
        self.stream.select(choose_within(self.wanted, self.share.limit, &source.layers, &source.encodings));
        self.stream.awaits_keyframe()
    }

    /// What the subscriber sees is broken: the encoding to ask a keyframe of.
    pub fn keyframe_needed(&self) -> Option<usize> {
        self.stream.awaits_keyframe().or(self.stream.current())
    }

    /// Share of packets the subscriber last reported as lost, 0 to 1.
    pub fn loss(&self) -> f32 {
        f32::from(self.stream.fraction_lost()) / 256.0
    }
}

/// Puts a track into a free section of the session, and opens the stream that fills it from a source in these codecs.
fn open(
    session: &mut Session,
    kind: MediaKind,
    track: LocalTrack,
    codecs: &[CodecDescription],
    random: &mut dyn RngCore,
) -> Option<(Mid, SendStream)> {
    let (ssrc, rtx) = (track.ssrc, track.rtx);
    let mid = session.add_track(kind, track)?;
    let section = session.sections().iter().find(|section| section.mid == mid)?;
    let target = Target {
        ssrc,
        clock_rate: clock_rate(codecs),
        payload_types: payload_types(section, codecs),
        extensions: section.extensions.clone(),
        mid,
    };
    let mut stream = SendStream::new(target, random);
    // NACK where there is no RTX is not answered: under the stream's own numbers a packet could only be repeated as it was
    // sealed, which nobody keeps.
    let repaired = section.codecs.iter().filter(|codec| codec.nack);
    let payload_types: Vec<_> = repaired.filter_map(|codec| Some((codec.payload_type, codec.rtx?))).collect();
    if let Some(ssrc) = rtx.filter(|_| !payload_types.is_empty()) {
        stream.retransmit_to(RtxTarget { ssrc, payload_types }, random);
    }
    Some((mid, stream))
}

fn clock_rate(codecs: &[CodecDescription]) -> u32 {
    codecs.first().map_or(90_000, |codec| codec.clock_rate)
}

fn free_sections(session: &Session, kind: MediaKind) -> impl Iterator<Item = &Section> {
    session.sections().iter().filter(move |s| s.kind == kind && s.peer_receives && s.local.is_none())
}

/// The subscriber's payload type for each codec of the source: the same format where there is one, else the first of
/// that codec.
fn payload_types(section: &Section, source: &[CodecDescription]) -> Vec<(Codec, PayloadType)> {
    let mut types: Vec<(Codec, PayloadType)> = Vec::new();
    for codec in source {
        if types.iter().any(|(known, _)| *known == codec.codec) {
            continue;
        }
        let same_codec = || section.codecs.iter().filter(|offered| offered.codec == codec.codec);
        let chosen = same_codec().find(|offered| offered.fmtp == codec.fmtp).or_else(|| same_codec().next());
        types.extend(chosen.map(|offered| (codec.codec, offered.payload_type)));
    }
    // Redundant audio can be stripped to its primary for a peer that does not take it.
    if let Some(opus) = section.codecs.iter().find(|offered| offered.codec == Codec::Opus)
        && !types.iter().any(|(known, _)| *known == Codec::Opus)
        && source.iter().any(|codec| codec.codec == Codec::Red)
    {
        types.push((Codec::Opus, opus.payload_type));
    }
    types
}
