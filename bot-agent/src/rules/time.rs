//! Deadlines that survive reboots and clock jumps.
//!
//! The kernel counts on `CLOCK_BOOTTIME`; people and the store count on wall time. A deadline
//! keeps both and the boot it belongs to: within that boot the boot clock decides, so that a clock
//! jump neither ends a block nor prolongs it; after a reboot wall time decides.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One reading of both clocks, taken by a shell and handed to pure code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// Wall time.
    pub wall: Timestamp,
    /// `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
    /// The running boot.
    pub boot: BootId,
}

impl Now {
    /// The same clocks at another time of this boot, not later than now: when a record that is
    /// read now was made.
    #[must_use]
    pub fn at(self, boot_ns: u64) -> Self {
        let ago = Duration::from_nanos(self.boot_ns.saturating_sub(boot_ns));
        Self {
            wall: self.wall.checked_sub(ago).unwrap_or(self.wall),
            boot_ns: boot_ns.min(self.boot_ns),
            boot: self.boot,
        }
    }
}

/// The kernel's random id of a boot (`/proc/sys/kernel/random/boot_id`), as its 128 bits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct BootId(pub u128);

/// When something ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Deadline {
    /// Wall time of the end, as foreseen when it was set.
    pub wall: Timestamp,
    /// The boot in which it was set.
    pub boot: BootId,
    /// The end on that boot's `CLOCK_BOOTTIME`, nanoseconds.
    pub boot_ns: u64,
}

impl Deadline {
    /// The deadline `duration` from now; `None` when a clock cannot hold it.
    pub fn after(now: Now, duration: Duration) -> Option<Self> {
        let wall = now.wall.checked_add(duration).ok()?;
        let boot_ns = now
            .boot_ns
            .checked_add(u64::try_from(duration.as_nanos()).ok()?)?;
        Some(Self {
            wall,
            boot: now.boot,
            boot_ns,
        })
    }

    /// The deadline at a time of the wall clock; `None` when that is over or a clock cannot hold it.
    pub fn at(now: Now, wall: Timestamp) -> Option<Self> {
        let left = Duration::try_from(wall.duration_since(now.wall)).ok()?;
        let ahead = Some(left).filter(|left| !left.is_zero())?;
        Some(Self {
            wall,
            ..Self::after(now, ahead)?
        })
    }

    /// The end on the running boot's `CLOCK_BOOTTIME`, nanoseconds; never 0.
    pub fn on_boot_clock(&self, now: Now) -> u64 {
        if self.boot == now.boot {
            return self.boot_ns.max(1);
        }
        let left = Duration::try_from(self.wall.duration_since(now.wall)).unwrap_or(Duration::ZERO);
        let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
        now.boot_ns.saturating_add(left).max(1)
    }

    /// The same deadline on the running boot's clock, at most `limit` away, so that from now on no
    /// clock jump moves it. The limit is for a wall clock that is wrong after a reboot.
    #[must_use]
    pub fn rebased(self, now: Now, limit: Duration) -> Self {
        if self.boot == now.boot {
            return self;
        }
        let left = u64::try_from(self.remaining(now).min(limit).as_nanos()).unwrap_or(u64::MAX);
        Self {
            wall: self.wall,
            boot: now.boot,
            boot_ns: now.boot_ns.saturating_add(left).max(1),
        }
    }

    /// Time left; zero once it has passed.
    pub fn remaining(&self, now: Now) -> Duration {
        Duration::from_nanos(self.on_boot_clock(now).saturating_sub(now.boot_ns))
    }

    /// Whether it has passed.
    pub fn passed(&self, now: Now) -> bool {
        self.remaining(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn now(wall_seconds: i64, boot_ns: u64, boot: u128) -> Now {
        Now {
            wall: Timestamp::from_second(wall_seconds).unwrap(),
            boot_ns,
            boot: BootId(boot),
        }
    }

    #[test]
    fn a_clock_jump_within_the_boot_changes_nothing() {
        let deadline = Deadline::after(now(1_000_000, 5, 1), HOUR).unwrap();
        assert_eq!(deadline.remaining(now(9_000_000, 5, 1)), HOUR);
    }

    #[test]
    fn after_a_reboot_wall_time_decides() {
        let deadline = Deadline::after(now(1_000_000, 5_000_000_000_000, 1), HOUR).unwrap();
        assert_eq!(deadline.remaining(now(1_001_800, 7, 2)), HOUR / 2);
        assert!(deadline.passed(now(1_003_600, 7, 2)));
    }

    #[test]
    fn a_wrong_clock_after_a_reboot_prolongs_nothing_beyond_the_limit() {
        let deadline = Deadline::after(now(1_000_000, 5, 1), HOUR).unwrap();
        let rebased = deadline.rebased(now(0, 7, 2), HOUR);
        assert_eq!(rebased.remaining(now(0, 7, 2)), HOUR);
        assert_eq!(rebased.remaining(now(5_000_000, 7, 2)), HOUR);
    }

    #[test]
    fn a_time_of_the_wall_clock_is_as_far_away_on_the_boot_clock() {
        let at = |seconds| {
            Deadline::at(
                now(1_000_000, 5, 1),
                Timestamp::from_second(seconds).unwrap(),
            )
        };
        let deadline = at(1_003_600).unwrap();
        assert_eq!(
            deadline,
            Deadline::after(now(1_000_000, 5, 1), HOUR).unwrap()
        );
        assert_eq!((at(1_000_000), at(5)), (None, None));
    }

    #[test]
    fn records_are_dated_back_to_when_they_were_made() {
        let read = now(1_000_000, 5_000_000_000, 1);
        assert_eq!(read.at(3_000_000_000), now(999_998, 3_000_000_000, 1));
        assert_eq!(read.at(6_000_000_000), read);
    }

    #[test]
    fn what_no_clock_can_hold_is_refused() {
        assert_eq!(Deadline::after(now(0, u64::MAX, 1), HOUR), None);
        assert_eq!(
            Deadline::after(now(0, 0, 1), Duration::from_secs(u64::MAX)),
            None
        );
    }
}
