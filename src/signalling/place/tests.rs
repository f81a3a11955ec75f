//! A stand-in for the shards: a room that the test plays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::mpsc;

use super::*;

#[derive(Clone, Copy)]
pub enum Welcome {
    /// With this event.
    Admit(fn() -> Event),
    Refuse(JoinError),
    Gone,
    Silent,
    /// Turned away before the room is asked.
    Shed(Shed),
}

#[derive(Clone)]
pub struct FakeRooms {
    pub welcome: Welcome,
    /// Who was turned away.
    pub shed: Arc<AtomicUsize>,
    pub guests: mpsc::UnboundedSender<Guest>,
}

/// A participant as the room sees it.
pub struct Guest {
    pub request: JoinRequest,
    pub commands: mpsc::UnboundedReceiver<Command>,
    pub events: mpsc::Sender<Event>,
}

pub struct FakePlace {
    commands: mpsc::UnboundedSender<Command>,
    events: mpsc::Receiver<Event>,
}

impl Port for FakeRooms {
    type Place = FakePlace;

    fn may_join(&self, _: &RoomName, _: &Identity) -> Result<(), Shed> {
        match self.welcome {
            Welcome::Shed(reason) => Err(reason),
            _ => Ok(()),
        }
    }

    fn count_shed(&self, _: Shed) {
        self.shed.fetch_add(1, SeqCst);
    }

    async fn join(&self, request: JoinRequest, _watch: JoinWatch) -> Option<FakePlace> {
        let (commands, received) = mpsc::unbounded_channel();
        let (events, events_out) = mpsc::channel(16);
        match self.welcome {
            Welcome::Admit(joined) => events.send(joined()).await.unwrap(),
            Welcome::Refuse(error) => events.send(Event::Refused(error)).await.unwrap(),
            Welcome::Gone | Welcome::Shed(_) => return None,
            Welcome::Silent => {}
        }
        self.guests.send(Guest { request, commands: received, events }).ok()?;
        Some(FakePlace { commands, events: events_out })
    }
}

impl Place for FakePlace {
    async fn send(&mut self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}
