//! Publishing and playback by plain HTTP: WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep), for encoders and players that
//! speak no signalling protocol of their own.
//!
//! `POST /whip/{room}` makes a participant that publishes at most one audio and one video track; `POST /whep/{room}` makes
//! a hidden one that watches whoever publishes, `/whep/{room}/{identity}` that participant. Both answer with a session,
//! whose address nobody can guess: `PATCH` trickles candidates or restarts ICE, `DELETE` ends it.
//!
//! What always holds: nobody is let in before the token was checked; a session ends with its participant, and from then on
//! its address answers 404; neither kind of client ever negotiates again.
//!
//! The way of a request: `http` checks what HTTP can tell, `admission` token and offer; a place at the room is taken; then
//! `sessions` runs a task that holds it, and `ice` keeps what the session's ICE is at.

mod admission;
mod counters;
mod http;
mod ice;
mod refusal;
mod sessions;
#[cfg(test)]
mod tests;

pub use counters::Counters;
pub use http::router;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    /// Publishing.
    Whip,
    /// Playback.
    Whep,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Whip => "whip",
            Self::Whep => "whep",
        }
    }

    /// Where sessions are opened, without a name.
    fn route(self) -> &'static str {
        match self {
            Self::Whip => "/whip/{room}",
            Self::Whep => "/whep/{room}",
        }
    }

    /// Where a session is found.
    fn session_path(self, id: &str) -> String {
        format!("/{}-sessions/{id}", self.name())
    }
}
