//! Run-time settings: the one value that switches the whole filter without a reload.
//!
//! Each field is one aligned word with a meaning of its own, so a reader that races with the
//! agent's write sees, per field, the old value or the new one. Deadlines are `CLOCK_BOOTTIME`
//! nanoseconds and are judged by the program itself: they hold when the agent is dead.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// "From now on, without end" for the deadline words.
pub const FOREVER: u64 = u64::MAX;

/// The single entry of the settings map.
#[derive(
    Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq,
)]
#[repr(C)]
pub struct Settings {
    /// Drops are enforced until this time; 0: monitor mode; [`FOREVER`]: enforce without a deadline.
    pub enforce_until: u64,
    /// Everything passes until this time; 0: no bypass; [`FOREVER`]: until `resume`.
    pub bypass_until: u64,
    /// Secret of the flow and report hashes, drawn when the maps are made; never 0 in a live map.
    pub seed: u64,
    /// Reports that each CPU may send in a second.
    pub reports_per_second: u32,
    /// Hello segments that each CPU may copy in a second.
    pub hellos_per_second: u32,
}

/// What the filter does with a drop verdict at a moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Everything passes, nothing is reported.
    Bypass,
    /// Count and report what would be dropped.
    Monitor,
    /// Drop.
    Enforce,
}

impl Settings {
    /// The mode in force at `now` (`CLOCK_BOOTTIME`, ns).
    pub fn mode(&self, now: u64) -> Mode {
        self.mode_by(|| now)
    }

    /// The same by a clock that is asked only where a deadline stands.
    #[inline(always)]
    pub fn mode_by(&self, clock: impl Fn() -> u64) -> Mode {
        if self.bypassed_by(&clock) {
            return Mode::Bypass;
        }
        match self.enforce_until {
            0 => Mode::Monitor,
            FOREVER => Mode::Enforce,
            deadline if clock() < deadline => Mode::Enforce,
            _ => Mode::Monitor,
        }
    }

    /// Whether everything passes.
    #[inline(always)]
    pub fn bypassed_by(&self, clock: impl Fn() -> u64) -> bool {
        self.bypass_until != 0 && clock() < self.bypass_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_fall_back_by_themselves() {
        let settings = |enforce_until, bypass_until| Settings {
            enforce_until,
            bypass_until,
            ..Settings::default()
        };
        assert_eq!(settings(0, 0).mode(5), Mode::Monitor);
        assert_eq!(settings(FOREVER, 0).mode(5), Mode::Enforce);
        assert_eq!(settings(6, 0).mode(5), Mode::Enforce);
        assert_eq!(settings(6, 0).mode(6), Mode::Monitor);
        assert_eq!(settings(FOREVER, 9).mode(8), Mode::Bypass);
        assert_eq!(settings(FOREVER, 9).mode(9), Mode::Enforce);
    }
}
