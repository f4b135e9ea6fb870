//! What is under way, on a terminal and only if it takes longer than a second.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is done sooner needs no bar.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(100);

/// A bar, or a spinner where nobody knows how much there is. Dropped, it is gone from the screen.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Dropped to end the wait for the second to pass.
    ended: Option<Sender<()>>,
    waits: Option<JoinHandle<()>>,
}

impl Progress {
    /// Something has begun; `total` is how much of it there is, if that is known.
    pub(super) fn begin(what: &'static str, total: Option<usize>) -> Self {
        let (template, total) = match total {
            Some(total) => (
                "{msg} {wide_bar} {human_pos}/{human_len} {eta}",
                to_u64(total),
            ),
            None => ("{spinner} {msg} {elapsed}", 0),
        };
        // Written to nothing unless standard error is a terminal.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        let (ended, end) = mpsc::channel::<()>();
        let shown = bar.clone();
        let waits = thread::spawn(move || {
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
                shown.enable_steady_tick(TICK);
            }
        });
        Self {
            bar,
            ended: Some(ended),
            waits: Some(waits),
        }
    }

    /// So much is done.
    pub(super) fn at(&self, done: usize) {
        self.bar.set_position(to_u64(done));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.ended.take());
        if let Some(waits) = self.waits.take() {
            // It cannot panic, and there would be nothing to do about it.
            drop(waits.join());
        }
        self.bar.finish_and_clear();
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
