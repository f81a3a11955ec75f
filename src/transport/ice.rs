//! ICE-lite (RFC 8445, section 2.5; RFC 7675 for consent): answers checks, learns addresses, follows nomination.
//!
//! What always holds: this side is controlled and never sends first; a message that does not authenticate is not answered and
//! teaches nothing; an answer is never longer than its question; at most `limits::ICE_PATHS` addresses are known.

mod credentials;
mod stun;

#[cfg(test)]
mod tests;

pub use credentials::IceCredentials;

/// What tests need to play the controlling side.
#[cfg(test)]
pub(in crate::transport) use stun::{
    BINDING_REQUEST, BINDING_SUCCESS, Message as StunMessage, Writer as StunWriter, attribute as stun_attribute,
    key as stun_key,
};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngCore;

use super::DropReason;
use crate::limits;
use credentials::Generation;
use stun::{BINDING_ERROR, BINDING_REQUEST as REQUEST, BINDING_SUCCESS as SUCCESS, Message, Writer};

/// An address without a check for so long is forgotten: clients probe their spare pairs every 25 s at the slowest.
const PATH_TIMEOUT: Duration = Duration::from_secs(60);

/// The local ufrag (before the colon of USERNAME) of a Binding request, read without checking integrity: the key to find whose transport it is
/// for. `None` for anything else. No allocation.
pub fn local_ufrag(message: &[u8]) -> Option<&str> {
    stun::local_ufrag(message)
}

/// An IPv4 address mapped into IPv6 and the plain one are the same peer.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// What an authenticated check changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum IceEvent {
    Learnt(SocketAddr),
    Forgotten(SocketAddr),
}

/// An address from which an authenticated check came.
struct Path {
    address: SocketAddr,
    last_check: Instant,
    /// The generation of credentials its last check used.
    generation: u32,
}

/// The ICE agent of one transport.
pub(super) struct Ice {
    current: Generation,
    /// Until the first check with the current credentials, those before an ICE restart stay valid.
    previous: Option<Generation>,
    paths: Vec<Path>,
    selected: Option<SocketAddr>,
    /// The generation whose check nominated `selected`; before any nomination it is provisional.
    nominated: Option<u32>,
    /// Renomination: the highest number seen in this generation.
    nomination: Option<u32>,
}

impl Ice {
    pub fn new(random: &mut dyn RngCore) -> Ice {
        Ice {
            current: Generation::draw(0, random),
            previous: None,
            paths: Vec::new(),
            selected: None,
            nominated: None,
            nomination: None,
        }
    }

    pub fn local(&self) -> &IceCredentials {
        &self.current.local
    }

    /// Where to send: the nominated address, before any nomination the first that checked.
    pub fn selected(&self) -> Option<SocketAddr> {
        self.selected
    }

    pub fn knows(&self, address: SocketAddr) -> bool {
        self.paths.iter().any(|path| path.address == address)
    }

    /// Before nomination, what arrives on a checked address tells which of them the peer uses.
    pub fn prefer_until_nomination(&mut self, address: SocketAddr) {
        if self.nominated.is_none() && self.knows(address) {
            self.selected = Some(address);
        }
    }

    /// Takes the peer's credentials; changed ones restart ICE.
    pub fn set_remote(&mut self, remote: IceCredentials, random: &mut dyn RngCore) {
        match &self.current.remote {
            Some(known) if *known == remote => {}
            None => self.current.remote = Some(remote),
            Some(_) => {
                let mut next = Generation::draw(self.current.number.wrapping_add(1), random);
                next.remote = Some(remote);
                let replaced = std::mem::replace(&mut self.current, next);
                // A second restart before a check with the first one's credentials: the peer still uses the oldest.
                self.previous.get_or_insert(replaced);
            }
        }
    }

    /// Answers a check. Gives the answer for `from`; `events` get what it changed.
    pub fn handle(
        &mut self,
        now: Instant,
        from: SocketAddr,
        raw: &[u8],
        events: &mut Vec<IceEvent>,
    ) -> Result<Vec<u8>, DropReason> {
        let message = Message::parse(raw).ok_or(DropReason::StunMalformed)?;
        if message.kind != REQUEST {
            return Err(DropReason::StunUnexpected);
        }
        let is_current = self.current.authenticates(&message);
        let earlier = self.previous.as_ref().filter(|_| !is_current);
        if !is_current && !earlier.is_some_and(|previous| previous.authenticates(&message)) {
            return Err(DropReason::StunUnauthenticated);
        }
        let generation = earlier.unwrap_or(&self.current);
        let answer = answer(&message, from, generation);
        if answer.len() > message.len() {
            return Err(DropReason::StunMalformed);
        }
        let number = generation.number;
        if message.unknown.is_empty() && !message.is_controlled {
            if is_current && self.previous.take().is_some() {
                self.nomination = None;
            }
            self.learn(now, from, number, events)?;
            self.nominate(&message, from, number, events);
        }
        Ok(answer)
    }

    fn learn(
        &mut self,
        now: Instant,
        from: SocketAddr,
        generation: u32,
        events: &mut Vec<IceEvent>,
    ) -> Result<(), DropReason> {
        let path = Path { address: from, last_check: now, generation };
        if let Some(known) = self.paths.iter_mut().find(|known| known.address == from) {
            *known = path;
            return Ok(());
        }
        if self.paths.len() >= limits::ICE_PATHS {
            let selected = self.selected;
            let spare = self.paths.iter().enumerate();
            let spare = spare.filter(|(_, path)| Some(path.address) != selected);
            let (oldest, _) = spare.min_by_key(|(_, path)| path.last_check).ok_or(DropReason::TooManyPaths)?;
            let old = self.paths.swap_remove(oldest);
            events.push(IceEvent::Forgotten(old.address));
        }
        self.paths.push(path);
        events.push(IceEvent::Learnt(from));
        self.selected.get_or_insert(from);
        Ok(())
    }

    /// The latest nomination wins (RFC 8445, section 8.1.1, and renomination); a repeated or overtaken number does not.
    fn nominate(&mut self, message: &Message<'_>, from: SocketAddr, generation: u32, events: &mut Vec<IceEvent>) {
        let wins = match message.nomination {
            Some(number) => self.nomination.is_none_or(|highest| number > highest),
            None => message.use_candidate,
        };
        let overtaken = self.nominated.is_some_and(|nominated| nominated > generation);
        if !wins || overtaken {
            return;
        }
        self.nomination = message.nomination.or(self.nomination);
        self.selected = Some(from);
        if self.nominated.replace(generation) != Some(generation) {
            self.forget(|path| path.generation < generation, events);
        }
    }

    fn forget(&mut self, unwanted: impl Fn(&Path) -> bool, events: &mut Vec<IceEvent>) {
        let selected = self.selected;
        self.paths.retain(|path| {
            let keep = Some(path.address) == selected || !unwanted(path);
            if !keep {
                events.push(IceEvent::Forgotten(path.address));
            }
            keep
        });
    }

    /// Forgets addresses that were not checked for long.
    pub fn handle_timeout(&mut self, now: Instant, events: &mut Vec<IceEvent>) {
        self.forget(|path| now.saturating_duration_since(path.last_check) >= PATH_TIMEOUT, events);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let spare = self.paths.iter().filter(|path| Some(path.address) != self.selected);
        spare.map(|path| path.last_check + PATH_TIMEOUT).min()
    }
}

fn answer(message: &Message<'_>, from: SocketAddr, generation: &Generation) -> Vec<u8> {
    let error = |code| Writer::new(BINDING_ERROR, message.transaction).error_code(code);
    let answer = if !message.unknown.is_empty() {
        error(420).unknown_attributes(&message.unknown)
    } else if message.is_controlled {
        // We are lite, hence controlled: the peer has to change its role (RFC 8445, section 7.3.1.1).
        error(487)
    } else {
        Writer::new(SUCCESS, message.transaction).xor_mapped_address(from)
    };
    answer.finish(&generation.key())
}
