//! One short line per step on standard error: `[2/5] bpf-linker 0.13.0 ... 58 s`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Numbers the steps of one command.
pub(crate) struct Progress {
    total: usize,
    current: usize,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, current: 0 }
    }

    /// Runs a step. Its outcome is a remark behind the time: what was there
    /// already, or what was made.
    pub(crate) fn step(
        &mut self,
        title: &str,
        work: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        self.current += 1;
        eprint!("[{}/{}] {title} ... ", self.current, self.total);
        // Only the look of the line depends on it.
        drop(std::io::stderr().flush());
        let start = Instant::now();
        match work() {
            Ok(remark) => {
                eprintln!("{remark} ({})", seconds(start.elapsed()));
                Ok(())
            }
            Err(error) => {
                eprintln!("failed ({})", seconds(start.elapsed()));
                Err(error)
            }
        }
    }
}

/// `58 s`, `0.3 s`: tenths only where they say something.
pub(crate) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{:.0} s", time.as_secs_f64())
    }
}
