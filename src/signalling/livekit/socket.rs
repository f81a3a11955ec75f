//! The task of one WebSocket: moves frames, events and time to its [`Session`], and does what that says.
//!
//! What always holds: no write waits longer than `limits::SIGNAL_WRITE_TIMEOUT`; when the task ends, for whatever reason,
//! the place at the room is dropped, and with it the participant leaves.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use livekit_protocol as proto;
use prost::Message as _;
use proto::signal_response::Message as Answer;
use tungstenite::error::{CapacityError, Error as WebSocketError};

use super::Place;
use super::counters::{Counters, fault};
use super::session::{Frame, Now, Output, Session, code};
use crate::limits;
use crate::room::event::Event;

/// For the client's half of the closing handshake (RFC 6455, section 7.1.1).
const CLOSE_WAIT: Duration = Duration::from_secs(2);

/// Serves a participant until one side ends it. `first` is the event that let the participant in.
pub(super) async fn run<P: Place>(
    socket: WebSocket,
    mut place: P,
    first: Event,
    mut session: Session,
    counters: Arc<Counters>,
) {
    counters.sessions.inc();
    let mut wire = Wire { socket, counters: counters.clone() };
    let outputs = session.on_event(first);
    if perform(outputs, &mut wire, &mut place, &session).await.is_continue() {
        while step(&mut wire, &mut place, &mut session).await.is_continue() {}
    }
    counters.sessions.dec();
}

/// Tells one message and closes: for a client that is not let in, but should hear why.
pub(super) async fn tell(socket: WebSocket, answer: Answer, counters: Arc<Counters>) {
    let mut wire = Wire { socket, counters };
    if wire.send(encode(answer, false)).await.is_continue() {
        wire.close(code::NORMAL).await;
    }
}

/// Waits for the next thing to happen, and handles it.
async fn step<P: Place>(wire: &mut Wire, place: &mut P, session: &mut Session) -> ControlFlow<()> {
    let deadline = tokio::time::Instant::from_std(session.deadline());
    let outputs = tokio::select! {
        message = wire.socket.recv() => match message {
            Some(Ok(message)) => wire.received(message, session)?,
            Some(Err(error)) => return wire.failed(error).await,
            None => return ControlFlow::Break(()),
        },
        event = place.next() => match event {
            Some(event) => session.on_event(event),
            // The room is gone without a word.
            None => vec![Output::Close(code::GOING_AWAY)],
        },
        () = tokio::time::sleep_until(deadline) => session.on_time(Now::read()),
    };
    perform(outputs, wire, place, session).await
}

async fn perform<P: Place>(outputs: Vec<Output>, wire: &mut Wire, place: &mut P, session: &Session) -> ControlFlow<()> {
    for output in outputs {
        match output {
            Output::Send(answer) => wire.send(encode(*answer, session.speaks_text())).await?,
            Output::SendEncoded(bytes) => wire.send(Message::Binary(bytes)).await?,
            Output::Ping => wire.send(Message::Ping(Default::default())).await?,
            // A room that is gone has its last events still on their way.
            Output::Command(command) => drop(place.send(command).await),
            Output::Fault(cause) => wire.counters.fault(cause),
            Output::Close(code) => {
                wire.close(code).await;
                return ControlFlow::Break(());
            }
        }
    }
    ControlFlow::Continue(())
}

fn encode(answer: Answer, text: bool) -> Message {
    let response = proto::SignalResponse { message: Some(answer) };
    match text {
        false => Message::Binary(response.encode_to_vec().into()),
        // Every message has a JSON form.
        true => Message::Text(serde_json::to_string(&response).unwrap_or_default().into()),
    }
}

struct Wire {
    socket: WebSocket,
    counters: Arc<Counters>,
}

impl Wire {
    fn received(&mut self, message: Message, session: &mut Session) -> ControlFlow<(), Vec<Output>> {
        let frame = match &message {
            Message::Binary(bytes) => Frame::Binary(bytes),
            Message::Text(text) => Frame::Text(text.as_str()),
            Message::Ping(_) | Message::Pong(_) => Frame::Alive,
            Message::Close(_) => return ControlFlow::Break(()),
        };
        if !matches!(frame, Frame::Alive) {
            self.counters.received.inc();
        }
        ControlFlow::Continue(session.on_frame(frame, Now::read()))
    }

    async fn failed(&mut self, error: axum::Error) -> ControlFlow<()> {
        let error = error.into_inner();
        if let Some(WebSocketError::Capacity(CapacityError::MessageTooLong { .. })) = error.downcast_ref() {
            self.counters.fault(fault::TOO_LARGE);
            let frame = CloseFrame { code: code::TOO_LARGE, reason: Utf8Bytes::default() };
            if self.send(Message::Close(Some(frame))).await.is_continue() {
                // The rest of the message cannot be read any more, and closing over it would take the farewell back.
                tokio::time::sleep(CLOSE_WAIT).await;
            }
        } else {
            tracing::debug!(%error, "signalling connection failed");
        }
        ControlFlow::Break(())
    }

    async fn send(&mut self, message: Message) -> ControlFlow<()> {
        let counted = matches!(message, Message::Binary(_) | Message::Text(_));
        match tokio::time::timeout(limits::SIGNAL_WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => {
                self.counters.sent.inc_by(counted.into());
                ControlFlow::Continue(())
            }
            Ok(Err(_)) => ControlFlow::Break(()),
            Err(_) => {
                self.counters.fault(fault::WRITE_TIMEOUT);
                ControlFlow::Break(())
            }
        }
    }

    /// Says goodbye, and gives the client time to say it too: closing at once could take back what was just sent.
    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code, reason: Utf8Bytes::default() };
        if self.send(Message::Close(Some(frame))).await.is_continue() {
            let read_out = async { while let Some(Ok(_)) = self.socket.recv().await {} };
            let _ = tokio::time::timeout(CLOSE_WAIT, read_out).await;
        }
    }
}
