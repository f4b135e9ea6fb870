//! How long an operator's change takes, part by part, from its request to the kernel. Told at level
//! debug.

use std::time::{Duration, Instant};

/// The clock of one change.
#[derive(Debug)]
pub(super) struct Timing {
    last: Instant,
    /// From the last byte of the request until its turn: reading it as JSON, and waiting.
    waited: Duration,
    /// What the rules and the table will be.
    worked_out: Duration,
    /// Until it is on the disk.
    stored: Duration,
    /// Until every packet meets it.
    published: Duration,
}

impl Timing {
    /// The change whose request was read then has its turn now.
    pub(super) fn since(read: Instant) -> Self {
        let now = Instant::now();
        Self {
            last: now,
            waited: now.duration_since(read),
            worked_out: Duration::ZERO,
            stored: Duration::ZERO,
            published: Duration::ZERO,
        }
    }

    /// It is worked out.
    pub(super) fn worked_out(&mut self) {
        self.worked_out = self.lap();
    }

    /// It is on the disk.
    pub(super) fn stored(&mut self) {
        self.stored = self.lap();
    }

    /// It is in force.
    pub(super) fn published(&mut self) {
        self.published = self.lap();
    }

    /// Tells of a change of so many rules that is in force. `in_force` is the sum without the disk.
    pub(super) fn tell(&self, rules: usize) {
        let in_force = self.waited + self.worked_out + self.published;
        tracing::debug!(
            rules,
            waited_us = self.waited.as_micros(),
            worked_out_us = self.worked_out.as_micros(),
            stored_us = self.stored.as_micros(),
            published_us = self.published.as_micros(),
            in_force_us = in_force.as_micros(),
            "a change is in force"
        );
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.last, now))
    }
}
