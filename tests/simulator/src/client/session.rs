//! What a model client negotiates: the sections of its offers, and what the answers make of them.
//!
//! What always holds: sections are only added; one offer is outstanding at a time.

use rand::Rng;
use rand::rngs::StdRng;
use sfumato::transport::Fingerprint;
use sfumato_load::client::format::Kind;
use sfumato_load::client::ice::Credentials;
use sfumato_load::signalling::sdp::{Answer, Offer, Section, SentTrack, Use};

use super::Plan;
use super::sender::Lane;

/// Letters of ICE credentials (RFC 8839, section 5.4).
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

pub struct Negotiation {
    pub credentials: Credentials,
    sections: Vec<Section>,
    offer_id: u32,
    outstanding: bool,
    /// The server asked for another offer.
    wanted: bool,
    /// What is sent, once the first answer came.
    pub lanes: Vec<Lane>,
}

impl Negotiation {
    pub fn new(plan: &Plan, random: &mut StdRng) -> Negotiation {
        let mut token = |letters: usize| -> String {
            let letter = |_| LETTERS.get(random.random_range(0..LETTERS.len())).copied().map_or('A', char::from);
            (0..letters).map(letter).collect()
        };
        let credentials = Credentials { ufrag: token(8), password: token(24) };
        let mut negotiation = Negotiation {
            credentials,
            sections: Vec::new(),
            offer_id: 0,
            outstanding: false,
            wanted: false,
            lanes: Vec::new(),
        };
        if plan.audio {
            negotiation.send(Kind::Audio, &[None], random);
        }
        if plan.video.is_some() {
            let rids: &[Option<&str>] = if plan.simulcast { &[Some("q"), Some("h"), Some("f")] } else { &[None] };
            negotiation.send(Kind::Video, rids, random);
        }
        negotiation.receive(plan.audios, plan.videos);
        negotiation
    }

    /// Simulcast encodings have rids; a single one has none, and an SSRC for its retransmissions that is told.
    fn send(&mut self, kind: Kind, rids: &[Option<&str>], random: &mut StdRng) {
        let encoding = |rid: &Option<&str>| (rid.map(str::to_owned), random.random_range(1..u32::MAX));
        let encodings: Vec<_> = rids.iter().map(encoding).collect();
        let single = kind == Kind::Video && encodings.len() == 1;
        let repair = single.then(|| random.random_range(1..u32::MAX));
        let id = kind.name().to_owned();
        self.sections.push(Section { kind, usage: Use::Send(SentTrack { id, encodings, repair }) });
    }

    fn receive(&mut self, audios: usize, videos: usize) {
        let section = |kind| Section { kind, usage: Use::Receive };
        self.sections.extend((0..audios).map(|_| section(Kind::Audio)));
        self.sections.extend((0..videos).map(|_| section(Kind::Video)));
    }

    /// The server asks for more sections, or for a mere offer.
    pub fn ask(&mut self, audios: usize, videos: usize) {
        self.receive(audios, videos);
        self.wanted = true;
    }

    /// Kinds and track ids of what is published.
    pub fn tracks(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.sections.iter().filter_map(|section| match &section.usage {
            Use::Send(track) => Some((section.kind, track.id.as_str())),
            Use::Receive => None,
        })
    }

    /// The first offer, or the one that was asked for, unless one is outstanding.
    pub fn offer(&mut self, fingerprint: &Fingerprint) -> Option<(u32, String)> {
        if self.outstanding || (self.offer_id > 0 && !self.wanted) {
            return None;
        }
        self.offer_id += 1;
        (self.outstanding, self.wanted) = (true, false);
        let Negotiation { credentials, sections, offer_id: version, .. } = &*self;
        Some((*version, Offer { session: 7, version: *version, credentials, fingerprint, sections }.write()))
    }

    /// The answer to the offer that is outstanding; `None` to another.
    pub fn answered(&mut self, id: u32, sdp: &str) -> Result<Option<Answer>, String> {
        if id != self.offer_id {
            return Ok(None);
        }
        self.outstanding = false;
        Answer::read(sdp).map(Some)
    }

    /// What is sent from now on, by the first answer.
    pub fn settle(&mut self, answer: &Answer) {
        for (mid, section) in self.sections.iter().enumerate() {
            let mid = mid.to_string();
            let (Use::Send(track), Some(answered)) = (&section.usage, answer.section(&mid)) else { continue };
            if !answered.receives {
                continue;
            }
            for (encoding, (rid, ssrc)) in (0..).zip(&track.encodings) {
                // Those of simulcast are told by their repaired-rid: any number that nobody else has will do.
                let repair = track.repair.unwrap_or(!ssrc);
                self.lanes.push(Lane {
                    kind: section.kind,
                    mid: mid.clone(),
                    rid: rid.clone(),
                    ssrc: *ssrc,
                    repair: Some(repair).filter(|_| answered.repairs_loss()),
                    extensions: answered.extensions.clone(),
                    encoding,
                });
            }
        }
    }
}
