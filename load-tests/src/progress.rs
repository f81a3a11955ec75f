//! A line on the terminal that says what is going on; nothing where there is no terminal.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{prefix:28} {msg:12} {bar:40} {pos}/{len}";
const REFRESH: Duration = Duration::from_millis(200);

/// One step of a run, shown while it lasts.
pub struct Progress(ProgressBar);

impl Progress {
    /// `what` is done in `steps` steps, for the sake of `whole`.
    pub fn new(whole: &str, what: &'static str, steps: u64) -> Progress {
        let bar = ProgressBar::new(steps);
        // A constant template that parses; without it the default one is shown.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style);
        }
        bar.set_prefix(whole.to_owned());
        bar.set_message(what);
        Progress(bar)
    }

    pub fn advance(&self, steps: u64) {
        self.0.inc(steps);
    }

    /// Shows the seconds of `work` passing.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let start = tokio::time::Instant::now();
        let mut ticks = tokio::time::interval(REFRESH);
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = ticks.tick() => self.0.set_position(start.elapsed().as_secs()),
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
