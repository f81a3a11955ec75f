//! The open sessions, and the task of each: it holds the participant's place, answers requests one after another, and ends
//! with the participant.
//!
//! What always holds: at most `limits::HTTP_SESSIONS` exist; a session is found only by its identifier of 128 random bits;
//! when its task ends, for whatever reason, it is found no more and the participant leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Protocol;
use super::counters::Counters;
use super::ice::IceSession;
use super::refusal::Refusal;
use crate::limits;
use crate::negotiation::IceFragment;
use crate::room::command::Command;
use crate::room::event::Event;
use crate::room::model::LeaveReason;
use crate::signalling::place::{Denial, Place};

/// How a `PATCH` went well.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Patched {
    Trickled,
    Restarted { tag: String, fragment: String },
}

enum Ask {
    Patch { if_match: String, fragment: IceFragment, reply: oneshot::Sender<Result<Patched, Refusal>> },
    End { reply: oneshot::Sender<()> },
}

/// A session, for those who may talk to it.
#[derive(Clone)]
pub(super) struct Handle {
    protocol: Protocol,
    /// Who opened it; `None` when nobody had to say.
    pub owner: Option<Arc<Owner>>,
    asks: mpsc::Sender<Ask>,
}

/// Whose a session is.
pub(super) struct Owner {
    pub room: String,
    pub identity: String,
    /// Also good once it has expired: who could open a session can end it.
    pub token: String,
}

/// What a session is made of.
pub(super) struct Opening<P> {
    pub protocol: Protocol,
    pub owner: Option<Owner>,
    pub place: P,
    pub ice: IceSession,
    pub seat: OwnedSemaphorePermit,
}

/// All that are open. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sessions {
    open: Arc<Mutex<HashMap<String, Handle>>>,
    seats: Arc<Semaphore>,
    /// For a room to answer.
    patience: Duration,
    counters: Arc<Counters>,
}

impl Sessions {
    pub fn new(most: usize, patience: Duration, counters: Arc<Counters>) -> Sessions {
        Sessions { open: Arc::default(), seats: Arc::new(Semaphore::new(most)), patience, counters }
    }

    /// Room for one more.
    pub fn reserve(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        self.seats.clone().try_acquire_owned().map_err(|_| Denial::ServerFull.into())
    }

    pub fn find(&self, protocol: Protocol, id: &str) -> Result<Handle, Refusal> {
        let found = self.lock().get(id).filter(|handle| handle.protocol == protocol).cloned();
        found.ok_or(Refusal::NoSession)
    }

    /// Starts a session's task. Gives its identifier.
    pub fn open<P: Place>(&self, opening: Opening<P>) -> String {
        let id = format!("{:032x}", rand::random::<u128>());
        let (asks, asked) = mpsc::channel(limits::HTTP_SESSION_REQUESTS);
        let protocol = opening.protocol;
        let handle = Handle { protocol, owner: opening.owner.map(Arc::new), asks };
        self.lock().insert(id.clone(), handle);
        self.counters.opened(protocol);
        let task = Task { place: opening.place, ice: opening.ice, asked, patience: self.patience };
        let end = End { sessions: self.clone(), id: id.clone(), protocol, _seat: opening.seat };
        tokio::spawn(async move {
            let _end = end;
            task.run().await;
        });
        id
    }

    pub fn count_restart(&self, protocol: Protocol) {
        self.counters.restarted(protocol);
    }

    /// Nothing is done under the lock that can panic.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a session unknown, however its task ends.
struct End {
    sessions: Sessions,
    id: String,
    protocol: Protocol,
    _seat: OwnedSemaphorePermit,
}

impl Drop for End {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
        self.sessions.counters.ended(self.protocol);
    }
}

impl Handle {
    /// A fragment of the client's.
    pub async fn patch(&self, if_match: String, fragment: IceFragment) -> Result<Patched, Refusal> {
        let (reply, replied) = oneshot::channel();
        self.asks.send(Ask::Patch { if_match, fragment, reply }).await.map_err(|_| Refusal::NoSession)?;
        replied.await.unwrap_or(Err(Refusal::NoSession))
    }

    /// Ends the session; returns when the participant is gone.
    pub async fn end(&self) -> Result<(), Refusal> {
        let (reply, replied) = oneshot::channel();
        self.asks.send(Ask::End { reply }).await.map_err(|_| Refusal::NoSession)?;
        replied.await.map_err(|_| Refusal::NoSession)
    }
}

/// The room's side of a session is over.
struct Over;

struct Task<P> {
    place: P,
    ice: IceSession,
    asked: mpsc::Receiver<Ask>,
    patience: Duration,
}

impl<P: Place> Task<P> {
    async fn run(mut self) {
        loop {
            tokio::select! {
                event = self.place.next() => if is_last(event.as_ref()) { return },
                ask = self.asked.recv() => match ask {
                    Some(Ask::Patch { if_match, fragment, reply }) => {
                        let Ok(outcome) = self.patch(&if_match, fragment).await else { return };
                        let _ = reply.send(outcome);
                    }
                    Some(Ask::End { reply }) => {
                        self.leave().await;
                        drop(self);
                        let _ = reply.send(());
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    async fn patch(&mut self, if_match: &str, fragment: IceFragment) -> Result<Result<Patched, Refusal>, Over> {
        if !self.ice.matches(if_match) {
            return Ok(Err(Refusal::Stale));
        }
        // Candidates need no more than being read: an ICE-lite server learns addresses from checks.
        let Some(remote) = fragment.ice else { return Ok(Ok(Patched::Trickled)) };
        if !self.place.send(Command::RestartIce(remote)).await {
            return Err(Over);
        }
        let place = &mut self.place;
        let local = async {
            loop {
                match place.next().await {
                    Some(Event::IceRestarted(local)) => return Ok(local),
                    event if is_last(event.as_ref()) => return Err(Over),
                    _ => {}
                }
            }
        };
        let Ok(local) = tokio::time::timeout(self.patience, local).await else {
            return Ok(Err(Denial::Timeout.into()));
        };
        Ok(Ok(match self.ice.restarted(&local?) {
            None => Patched::Trickled,
            Some(fragment) => Patched::Restarted { tag: self.ice.tag(), fragment },
        }))
    }

    async fn leave(&mut self) {
        if !self.place.send(Command::Leave(LeaveReason::ClientLeft)).await {
            return;
        }
        let place = &mut self.place;
        let gone = async { while !is_last(place.next().await.as_ref()) {} };
        let _ = tokio::time::timeout(self.patience, gone).await;
    }
}

fn is_last(event: Option<&Event>) -> bool {
    matches!(event, None | Some(Event::Removed(_)))
}
