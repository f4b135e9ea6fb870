//! Ctrl-C, SIGTERM and a closed terminal end the story, never the clean-up.
//!
//! A thread waits for the signals and ends the demo's processes: whatever the story waits for is
//! over then, and the story sees why. Signals are handled, not blocked: programs that the demo
//! starts would inherit a blocked one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::place::Place;

/// Watches from its making to the end of the process.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    /// Number of the first signal that came; 0 before that.
    seen: Arc<AtomicI32>,
}

/// The error of a story that was ended by a signal.
#[derive(Debug)]
pub(crate) struct Interrupted(i32);

impl Interrupt {
    pub(crate) fn watch(place: &Place) -> Result<Self> {
        let mut signals =
            Signals::new([SIGHUP, SIGINT, SIGTERM]).context("watching for signals")?;
        let seen = Arc::new(AtomicI32::new(0));
        let (place, told) = (place.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for signal in &mut signals {
                let first = told.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst);
                if first.is_ok() {
                    // The clean-up tries again and says what is wrong.
                    drop(place.kill());
                }
            }
        });
        Ok(Self { seen })
    }

    /// An error once a signal has come.
    pub(crate) fn check(&self) -> Result<()> {
        match self.seen.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(Interrupted(signal).into()),
        }
    }
}

impl Interrupted {
    /// What a shell reports for a command that the signal ended.
    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted (signal {})", self.0)
    }
}

impl std::error::Error for Interrupted {}
