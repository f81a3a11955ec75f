//! One client's session description over its offers and answers, whatever protocol carries them.
//!
//! What always holds: sections are only added, never moved; media starts with the first answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;

use super::sdp::{Answer, AnsweredSection, Answering, Offer, Section, SentTrack, Use};
use super::{Access, Context};
use crate::client::Setup;
use crate::client::format::Kind;
use crate::client::ice::Credentials;
use crate::client::send::{Publication, Shape};
use crate::engine::ClientKey;
use crate::error::Error;

/// Sections of one session, as many as a large room takes.
const SECTIONS: usize = 1_024;
/// `ice-char` (RFC 8839, section 5.4).
const ICE_CHARS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What one client is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub identity: String,
    /// Which of the scenario's rooms it joins.
    pub room: usize,
    pub tracks: Vec<TrackPlan>,
    /// Whom it watches, where each connection watches one.
    pub watches: Option<String>,
    /// Every so many-th packet of a stream is decrypted; 0 is none.
    pub verify_every: u32,
    /// Where in its interval its first burst lies, as a share of the interval.
    pub phase: f64,
    /// The simulcast layer it wants of every video; the server's choice without one.
    pub wish: Option<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    Low,
    Medium,
    High,
}

#[derive(Clone, Debug)]
pub struct TrackPlan {
    pub kind: Kind,
    pub encodings: Vec<Encoding>,
}

#[derive(Clone, Debug)]
pub struct Encoding {
    pub rid: Option<String>,
    pub shape: Shape,
}

pub struct Session {
    pub plan: Plan,
    credentials: Credentials,
    number: u64,
    sections: Vec<Section>,
    /// Id of the latest offer.
    offer_id: u32,
    outstanding: bool,
    pub offer_wanted: bool,
    client: Option<ClientKey>,
}

impl Session {
    pub fn new(plan: Plan) -> Session {
        let mut random = rand::rng();
        let mut token = |chars: usize| -> String {
            (0..chars)
                .filter_map(|_| ICE_CHARS.get(random.random_range(0..ICE_CHARS.len())))
                .map(|c| char::from(*c))
                .collect()
        };
        let credentials = Credentials { ufrag: token(8), password: token(24) };
        let sections = plan.tracks.iter().map(sent_section).collect();
        Session {
            plan,
            credentials,
            number: random.random_range(1..1 << 62),
            sections,
            offer_id: 0,
            outstanding: false,
            offer_wanted: false,
            client: None,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.client.is_some()
    }

    /// The tracks it publishes.
    pub fn tracks(&self) -> impl Iterator<Item = (Kind, &SentTrack)> {
        self.sections.iter().filter_map(|section| match &section.usage {
            Use::Send(track) => Some((section.kind, track)),
            Use::Receive => None,
        })
    }

    /// Adds sections to receive in.
    pub fn receive_more(&mut self, audios: usize, videos: usize) {
        for (kind, count) in [(Kind::Audio, audios), (Kind::Video, videos)] {
            let room = SECTIONS.saturating_sub(self.sections.len());
            self.sections.extend((0..count.min(room)).map(|_| Section { kind, usage: Use::Receive }));
        }
    }

    /// Whether an offer is wanted and none is outstanding.
    pub fn may_offer(&self) -> bool {
        self.offer_wanted && !self.outstanding
    }

    /// The next offer, and its id.
    pub fn offer(&mut self, context: &Context) -> (u32, String) {
        self.offer_id += 1;
        (self.outstanding, self.offer_wanted) = (true, false);
        let offer = Offer {
            session: self.number,
            version: self.offer_id,
            credentials: &self.credentials,
            fingerprint: context.certificate.fingerprint(),
            sections: &self.sections,
        };
        (self.offer_id, offer.write())
    }

    /// `started`: when signalling's first byte was about to leave.
    pub fn on_answer(
        &mut self,
        context: &Context,
        access: &Access,
        started: Instant,
        id: u32,
        sdp: &str,
    ) -> Result<(), Error> {
        if id != self.offer_id {
            return Ok(());
        }
        self.outstanding = false;
        let answer = Answer::read(sdp).map_err(Error::Signalling)?;
        if self.client.is_none() {
            let setup = self.setup(access, started, answer)?;
            self.start(context, setup)?;
        }
        Ok(())
    }

    /// Answers a server's offer, as one that only receives. The client starts when the server has the answer.
    pub fn answer(
        &self,
        context: &Context,
        access: &Access,
        started: Instant,
        offer: &str,
    ) -> Result<(String, Setup), Error> {
        let offer = Answer::read(offer).map_err(Error::Signalling)?;
        let (credentials, fingerprint) = (&self.credentials, context.certificate.fingerprint());
        let answer = Answering { session: self.number, credentials, fingerprint, offer: &offer }.write();
        let feedback = offer.sections.iter().any(AnsweredSection::offers_numbers);
        Ok((answer, Setup { feedback, ..self.setup(access, started, offer)? }))
    }

    pub fn start(&mut self, context: &Context, setup: Setup) -> Result<(), Error> {
        self.client = Some(context.engine.add(setup)?);
        Ok(())
    }

    fn setup(&self, access: &Access, started: Instant, answer: Answer) -> Result<Setup, Error> {
        let allowed = |address: &&SocketAddr| access.allow_remote || address.ip().is_loopback();
        let Some(server) = answer.candidates.iter().find(allowed).copied() else {
            let candidates = &answer.candidates;
            return Err(Error::Usage(format!("no candidate on loopback (--allow-remote?) in {candidates:?}")));
        };
        let publications = self.publications(&answer);
        Ok(Setup {
            started,
            server,
            local: self.credentials.clone(),
            feedback: answer.sections.iter().any(AnsweredSection::numbers_packets),
            remote: answer.remote,
            fingerprints: answer.fingerprints,
            role: answer.role,
            publications,
            verify_every: self.plan.verify_every,
        })
    }

    /// The streams that the answer takes.
    fn publications(&self, answer: &Answer) -> Vec<Publication> {
        let mut publications = Vec::new();
        for (mid, (section, plan)) in self.sections.iter().zip(&self.plan.tracks).enumerate() {
            let mid = mid.to_string();
            let Some(answered) = answer.section(&mid).filter(|answered| answered.receives) else { continue };
            let Use::Send(track) = &section.usage else { continue };
            for (index, ((rid, ssrc), encoding)) in (0u8..).zip(track.encodings.iter().zip(&plan.encodings)) {
                if rid.as_ref().is_some_and(|rid| !answered.rids.contains(rid)) {
                    continue;
                }
                publications.push(Publication {
                    kind: section.kind,
                    mid: mid.clone(),
                    rid: rid.clone(),
                    encoding: index,
                    ssrc: *ssrc,
                    extensions: answered.extensions.clone(),
                    shape: encoding.shape,
                    phase: Duration::from_secs_f64(encoding.shape.every.as_secs_f64() * self.plan.phase),
                });
            }
        }
        publications
    }

    pub fn leave(&mut self, context: &Context) {
        if let Some(client) = self.client.take() {
            // An engine that is gone has left already.
            let _ = context.engine.remove(client);
        }
    }
}

fn sent_section(track: &TrackPlan) -> Section {
    let mut random = rand::rng();
    let encodings = track.encodings.iter().map(|encoding| (encoding.rid.clone(), random.random_range(1..u32::MAX)));
    let id = format!("{}-{:08x}", track.kind.name(), rand::random::<u32>());
    Section { kind: track.kind, usage: Use::Send(SentTrack { id, encodings: encodings.collect(), repair: None }) }
}
