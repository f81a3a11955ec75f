//! One signalling connection, sans-IO: frames, events and time in; messages, commands and an end out.
//!
//! What always holds: the room's farewell is told once and is the last message; a client that sends
//! `limits::SIGNAL_MALFORMED` unreadable messages is made to leave; a silent one is given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Answer;

use super::counters::fault;
use super::encoded::encoded;
use super::requests::{self, OwnTracks, Reaction};
use super::responses::{PING_TIMEOUT, responses};
use super::token::{self, Renewal};
use crate::config::ApiKeys;
use crate::limits;
use crate::room::command::Command;
use crate::room::event::Event;
use crate::room::model::{LeaveReason, ParticipantId, ParticipantInfo, TrackInfo};

/// Between WebSocket pings: they keep proxies from ending a quiet connection.
const WEBSOCKET_PING: Duration = Duration::from_secs(10);
/// Silence after which a client is given up. WebSocket pongs count: browsers slow a hidden page's timers, not these.
const IDLE: Duration = Duration::from_secs(PING_TIMEOUT as u64);
/// Between tokens that replace the one a client would reconnect with.
const REFRESH: Duration = Duration::from_secs(300);

/// Close codes of RFC 6455, section 7.4.1.
pub(super) mod code {
    pub const NORMAL: u16 = 1000;
    pub const GOING_AWAY: u16 = 1001;
    pub const PROTOCOL_ERROR: u16 = 1002;
    pub const TOO_LARGE: u16 = 1009;
}

/// The two times a session needs: one to measure by, one to tell.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub instant: Instant,
    /// Milliseconds.
    pub unix_ms: i64,
}

impl Now {
    pub fn read() -> Now {
        Now { instant: Instant::now(), unix_ms: super::unix_ms() }
    }
}

/// What a client sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame<'a> {
    Binary(&'a [u8]),
    Text(&'a str),
    /// A WebSocket ping or pong.
    Alive,
}

/// What to do, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    Send(Box<Answer>),
    /// A message in its binary form, which others may be sent too.
    SendEncoded(Bytes),
    Command(Command),
    Ping,
    /// To be counted as a fault of the client.
    Fault(&'static str),
    /// With this code; nothing follows.
    Close(u16),
}

pub(super) struct Session {
    renewal: Renewal,
    keys: Arc<ApiKeys>,
    protocol: i32,
    /// The client speaks JSON: it began so.
    text: bool,
    id: Option<ParticipantId>,
    own: OwnTracks,
    malformed: u32,
    /// The farewell was told; only the end is awaited.
    leaving: bool,
    heard: Instant,
    ping_at: Instant,
    refresh_at: Instant,
}

impl Session {
    pub fn new(renewal: Renewal, keys: Arc<ApiKeys>, protocol: i32, now: Instant) -> Session {
        Session {
            renewal,
            keys,
            protocol,
            text: false,
            id: None,
            own: OwnTracks::new(),
            malformed: 0,
            leaving: false,
            heard: now,
            ping_at: now + WEBSOCKET_PING,
            refresh_at: now + REFRESH,
        }
    }

    /// When [`on_time`](Self::on_time) is due.
    pub fn deadline(&self) -> Instant {
        self.ping_at.min(self.refresh_at).min(self.heard + IDLE)
    }

    /// Whether messages go out as text.
    pub fn speaks_text(&self) -> bool {
        self.text
    }

    pub fn on_frame(&mut self, frame: Frame<'_>, now: Now) -> Vec<Output> {
        self.heard = now.instant;
        let request = match frame {
            Frame::Alive => return Vec::new(),
            Frame::Binary(bytes) => proto::SignalRequest::decode(bytes).ok(),
            Frame::Text(text) => {
                self.text = true;
                serde_json::from_str::<proto::SignalRequest>(text).ok()
            }
        };
        match request {
            _ if self.leaving => Vec::new(),
            None => self.on_malformed(),
            // A message of a newer protocol has none that this one knows.
            Some(request) => match request.message {
                Some(said) => self.on_request(said, now),
                None => Vec::new(),
            },
        }
    }

    fn on_malformed(&mut self) -> Vec<Output> {
        self.malformed += 1;
        let mut outputs = vec![Output::Fault(fault::MALFORMED)];
        if self.malformed == limits::SIGNAL_MALFORMED {
            // The room's farewell follows.
            outputs.push(Output::Command(Command::Leave(LeaveReason::ProtocolError)));
        }
        outputs
    }

    fn on_request(&mut self, said: proto::signal_request::Message, now: Now) -> Vec<Output> {
        let reactions = requests::react(said, &mut self.own, now.unix_ms);
        let output = |reaction| match reaction {
            Reaction::Command(command) => Output::Command(command),
            Reaction::Answer(answer) => Output::Send(answer),
        };
        reactions.into_iter().map(output).collect()
    }

    pub fn on_event(&mut self, event: Event) -> Vec<Output> {
        self.learn(&event);
        let end = match &event {
            Event::Removed(reason) => Some(close_code(*reason)),
            _ => None,
        };
        let refused = matches!(event, Event::OfferRefused { .. });
        let joined = matches!(event, Event::Joined(_));
        let mut outputs = Vec::new();
        if !self.leaving {
            match self.encoded(&event) {
                Some(bytes) => outputs.push(Output::SendEncoded(bytes)),
                None => outputs.extend(responses(event, self.protocol).into_iter().map(send)),
            }
        }
        if joined {
            outputs.extend(self.refreshed_token());
        }
        if refused && !self.leaving {
            // The client waits for an answer that cannot come.
            self.leaving = true;
            outputs.push(Output::Command(Command::Leave(LeaveReason::ProtocolError)));
        }
        if let Some(code) = end {
            self.leaving = true;
            outputs.push(Output::Close(code));
        }
        outputs
    }

    /// What others are told too. JSON is rare, and made for each.
    fn encoded(&self, event: &Event) -> Option<Bytes> {
        if self.text { None } else { encoded(event, self.protocol) }
    }

    /// Keeps what later requests refer to.
    fn learn(&mut self, event: &Event) {
        match event {
            Event::Joined(joined) => self.id = Some(joined.participant.id.clone()),
            Event::TrackAnnounced { track, .. } => self.learn_track(track),
            Event::TrackEnded { track } => drop(self.own.remove(track)),
            Event::Participants(infos) => {
                if let Some(myself) = infos.iter().find(|info| Some(&info.id) == self.id.as_ref()) {
                    self.forget_ended(myself);
                }
            }
            _ => {}
        }
    }

    fn learn_track(&mut self, track: &TrackInfo) {
        let announced = proto::AddTrackRequest::decode(track.opaque.as_ref()).unwrap_or_default();
        self.own.insert(track.id.clone(), announced);
    }

    /// A track the client ended with an offer is told only by its absence. One that is announced but not matched yet is
    /// absent too: the map is emptied only when it is larger than the room lets it be.
    fn forget_ended(&mut self, myself: &ParticipantInfo) {
        if self.own.len() > limits::TRACKS_PER_PARTICIPANT {
            self.own.retain(|id, _| myself.tracks.iter().any(|track| track.id == *id));
        }
    }

    pub fn on_time(&mut self, now: Now) -> Vec<Output> {
        if now.instant >= self.heard + IDLE {
            return vec![Output::Fault(fault::IDLE), Output::Close(code::GOING_AWAY)];
        }
        let mut outputs = Vec::new();
        if now.instant >= self.ping_at {
            self.ping_at = now.instant + WEBSOCKET_PING;
            outputs.push(Output::Ping);
        }
        if now.instant >= self.refresh_at {
            self.refresh_at = now.instant + REFRESH;
            if !self.leaving {
                outputs.extend(self.refreshed_token());
            }
        }
        outputs
    }

    fn refreshed_token(&self) -> Option<Output> {
        let token = token::refreshed(&self.renewal, &self.keys, token::unix_now())?;
        Some(send(Answer::RefreshToken(token)))
    }
}

fn send(answer: Answer) -> Output {
    Output::Send(Box::new(answer))
}

fn close_code(reason: LeaveReason) -> u16 {
    match reason {
        LeaveReason::ProtocolError => code::PROTOCOL_ERROR,
        LeaveReason::ServerShutdown => code::GOING_AWAY,
        _ => code::NORMAL,
    }
}

#[cfg(test)]
mod tests;
