//! The queue of what a participant's adaptor is told, from its shard to the adaptor's task.
//!
//! What always holds: no more events wait than the queue was made for (`limits::EVENT_QUEUE`), in order; the receiver hears of the end after the last.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

use crate::room::event::Event;

/// Boxed: the channel has places for 64 values from its first turn on, which for events as they are would be the most of what it takes,
/// for each participant.
type Boxed = Box<Event>;

#[derive(Clone)]
pub struct EventSender(mpsc::Sender<Boxed>);

pub struct EventReceiver(mpsc::Receiver<Boxed>);

/// Why an event was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotTaken {
    /// The adaptor does not keep up.
    Full,
    /// It is gone.
    Closed,
}

/// A queue for as many events.
pub fn event_queue(most: usize) -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(most);
    (EventSender(sender), EventReceiver(receiver))
}

impl EventSender {
    pub fn try_send(&self, event: Event) -> Result<(), NotTaken> {
        self.0.try_send(Box::new(event)).map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::Full,
            TrySendError::Closed(_) => NotTaken::Closed,
        })
    }
}

impl EventReceiver {
    /// The next event; `None` after the last. Cancel-safe.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|event| *event)
    }

    pub fn try_recv(&mut self) -> Result<Event, TryRecvError> {
        self.0.try_recv().map(|event| *event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::room::model::LeaveReason;

    #[test]
    fn events_come_in_order_up_to_the_bound_and_end_with_the_sender() {
        let (sender, mut receiver) = event_queue(limits::EVENT_QUEUE);
        let asked = |audio| Event::SectionsNeeded { audio, video: 0 };
        for n in 0..limits::EVENT_QUEUE as u32 {
            assert_eq!(sender.try_send(asked(n)), Ok(()));
        }
        assert_eq!(sender.try_send(asked(0)), Err(NotTaken::Full));
        assert_eq!(receiver.try_recv(), Ok(asked(0)));
        assert_eq!(sender.try_send(Event::Removed(LeaveReason::ClientLeft)), Ok(()));
        drop(sender);
        let told: Vec<Event> = std::iter::from_fn(|| receiver.try_recv().ok()).collect();
        assert_eq!((told.len(), told.first()), (limits::EVENT_QUEUE, Some(&asked(1))));
        assert_eq!(told.last(), Some(&Event::Removed(LeaveReason::ClientLeft)));
        let (sender, receiver) = event_queue(limits::EVENT_QUEUE);
        drop(receiver);
        assert_eq!(sender.try_send(asked(0)), Err(NotTaken::Closed));
    }

    #[test]
    fn a_queue_takes_a_kilobyte_however_much_passed() {
        let mut queue = None;
        let counts = allocation_counter::measure(|| {
            let (sender, mut receiver) = event_queue(limits::EVENT_QUEUE);
            for n in 0..1_000 {
                sender.try_send(Event::SectionsNeeded { audio: n, video: 0 }).unwrap();
                receiver.try_recv().unwrap();
            }
            queue = Some((sender, receiver));
        });
        assert!(counts.bytes_current <= 1_400, "{counts:?}");
    }
}
