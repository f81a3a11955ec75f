//! Asks shards, several at once, and waits for none longer than `limits::DEBUG_PATIENCE`.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Refusal;
use crate::limits;
use crate::recorder::Recording;
use crate::room::model::{Identity, RoomName};
use crate::shard::directory::Directory;
use crate::shard::inspect::{Question, Recorded};
use crate::shard::mailbox::Message;

#[derive(Clone)]
pub struct Inspector {
    /// Weak: shards end when nobody else can tell them anything.
    shards: Arc<[mpsc::WeakSender<Message>]>,
    directory: Arc<Directory>,
}

/// What several shards said.
pub(super) struct Answers<T> {
    /// With the shard that said it, in their order.
    pub given: Vec<(usize, T)>,
    pub unanswered: Vec<usize>,
}

impl Inspector {
    /// One mailbox per shard, in the order of the directory.
    pub fn new(shards: &[mpsc::Sender<Message>], directory: Arc<Directory>) -> Inspector {
        Inspector { shards: shards.iter().map(mpsc::Sender::downgrade).collect(), directory }
    }

    pub(super) fn shards(&self) -> std::ops::Range<usize> {
        0..self.shards.len()
    }

    /// The shard that is a room's home.
    pub(super) fn home(&self, room: &RoomName) -> Result<usize, Refusal> {
        self.directory.find(room).ok_or(Refusal::NoRoom)
    }

    /// Asks some shards at once, each its own question.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        shards: impl IntoIterator<Item = usize>,
        question: impl Fn(usize, oneshot::Sender<T>) -> Question,
    ) -> Answers<T> {
        let mut asked = JoinSet::new();
        for shard in shards {
            let (answer, wait) = oneshot::channel();
            let (question, mailbox) =
                (question(shard, answer), self.shards.get(shard).and_then(mpsc::WeakSender::upgrade));
            let asking = async move {
                mailbox?.send(Message::Inspect(question)).await.ok()?;
                wait.await.ok()
            };
            asked.spawn(
                async move { (shard, tokio::time::timeout(limits::DEBUG_PATIENCE, asking).await.ok().flatten()) },
            );
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(shard, _)| *shard);
        let unanswered = answers.iter().filter(|(_, answer)| answer.is_none()).map(|(shard, _)| *shard).collect();
        let given = answers.into_iter().filter_map(|(shard, answer)| Some((shard, answer?))).collect();
        Answers { given, unanswered }
    }

    /// Has a participant's headers recorded, or no longer, by whoever hosts it.
    pub(super) async fn record(
        &self,
        room: &RoomName,
        identity: &Identity,
        time: Option<Duration>,
    ) -> Result<Recorded, Refusal> {
        let question = |_, answer| Question::Record { room: room.clone(), identity: identity.clone(), time, answer };
        self.ask(self.shards(), question).await.one()
    }

    /// What was recorded of a participant's latest stay.
    pub(super) async fn recording(&self, room: &RoomName, identity: &Identity) -> Result<Arc<Recording>, Refusal> {
        let question = |_, answer| Question::Recording { room: room.clone(), identity: identity.clone(), answer };
        let mut answers = self.ask(self.shards(), question).await;
        // Who came back is asked for, not who left.
        answers.given.sort_by_key(|(_, recording)| recording.as_ref().map(|r| (r.left, -r.began_unix_ms)));
        answers.one()
    }
}

impl<T> Answers<Option<T>> {
    /// The first that knows the participant.
    fn one(self) -> Result<T, Refusal> {
        let found = self.given.into_iter().find_map(|(_, answer)| answer);
        found.ok_or(match self.unanswered.is_empty() {
            true => Refusal::NoParticipant,
            false => Refusal::Unanswered(self.unanswered),
        })
    }
}
