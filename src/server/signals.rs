//! SIGTERM and SIGINT, counted: the first asks the server to end in its own time, the second to end at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the process was asked to end. Cheap to clone.
#[derive(Clone)]
pub struct Signals(watch::Receiver<u32>);

impl Signals {
    /// Begins to listen. Must run inside a tokio runtime.
    pub fn listen() -> Signals {
        let (count, counted) = watch::channel(0);
        let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        // Without handlers the signals end the process as they always do.
        if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                    count.send_modify(|count| *count += 1);
                }
            });
        }
        Signals(counted)
    }

    /// Waits until so many have come; for ever if they cannot.
    pub async fn reached(&self, count: u32) {
        let mut counted = self.0.clone();
        if counted.wait_for(|come| *come >= count).await.is_err() {
            std::future::pending().await
        }
    }
}
