//! When a feed is fetched next, and when its content is too old.
//!
//! Pure: the time (since boot) and randomness come in as arguments. Invariant: however often a feed
//! fails and whatever its server asks for, the next fetch is never more than a day and a bit away,
//! or one period where that is longer.

use std::time::Duration;

use jiff::Timestamp;

/// Wait after the first failure; a shorter period is taken instead. Each further failure doubles it.
pub const FIRST_RETRY: Duration = Duration::from_secs(30);
/// Longest wait after failures. A weekly feed is not left alone for a week because of one bad hour.
pub const LONGEST_RETRY: Duration = Duration::from_hours(6);
/// What a server asks for by `Retry-After` is honoured up to here.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);
/// Periods without news after which a content is stale, unless configured.
pub const MISSED_PERIODS: u32 = 3;

/// At start, feeds without any copy are fetched within this time: something must protect.
const SPREAD_WITHOUT_COPY: Duration = Duration::from_secs(2);
/// At start, feeds whose copy is too old are fetched within this time.
const SPREAD_WITH_COPY: Duration = Duration::from_secs(30);
/// Publishers' stamps are compared with nothing shorter: few make a new file more often than daily,
/// however often they are asked.
const SHORTEST_PUBLISHING: Duration = Duration::from_hours(24);

/// A random number, all of them equally likely.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub u32);

/// When a feed is fetched next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Schedule {
    every: Duration,
    due: Duration,
    failures: u32,
    attempt: Option<Duration>,
    success: Option<Duration>,
}

impl Schedule {
    /// The schedule of a feed at `now`, when the agent starts or the feed is new. `age` is how old
    /// the copy on disk is, if there is one.
    pub fn new(every: Duration, now: Duration, age: Option<Duration>, random: Random) -> Self {
        let left = age.map(|age| random.around(every).saturating_sub(age));
        let wait = match left {
            Some(left) if !left.is_zero() => left,
            Some(_) => random.within(SPREAD_WITH_COPY.min(every / 10)),
            None => random.within(SPREAD_WITHOUT_COPY.min(every / 10)),
        };
        Self {
            every,
            due: now.saturating_add(wait),
            failures: 0,
            attempt: None,
            success: None,
        }
    }

    /// A fetch succeeded, with a new content or without.
    pub fn succeeded(&mut self, now: Duration, random: Random) {
        self.failures = 0;
        self.attempt = Some(now);
        self.success = Some(now);
        self.due = now.saturating_add(random.around(self.every));
    }

    /// A fetch failed; `retry_after` is what the server asked for.
    pub fn failed(&mut self, now: Duration, retry_after: Option<Duration>, random: Random) {
        self.failures = self.failures.saturating_add(1);
        self.attempt = Some(now);
        let backoff = random.around(backoff(self.every, self.failures));
        // Never earlier than asked, and not all clients at that second.
        let asked = retry_after.map(|asked| {
            let asked = asked.min(LONGEST_RETRY_AFTER);
            asked.saturating_add(random.within(asked / 10))
        });
        self.due = now.saturating_add(backoff.max(asked.unwrap_or_default()));
    }

    /// It is to be fetched now, because somebody says so.
    pub fn hurry(&mut self, now: Duration) {
        self.due = self.due.min(now);
    }

    /// Another period, by a new configuration. What is due earlier by it becomes so.
    pub fn set_every(&mut self, every: Duration, now: Duration, random: Random) {
        if self.every != every {
            self.every = every;
            self.due = self.due.min(now.saturating_add(random.around(every)));
        }
    }

    /// When it is fetched next, as time since boot.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Whether it is to be fetched now.
    pub fn is_due(&self, now: Duration) -> bool {
        self.due <= now
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When a fetch ended last in this run, well or badly.
    pub fn last_attempt(&self) -> Option<Duration> {
        self.attempt
    }

    /// When a fetch succeeded last in this run.
    pub fn last_success(&self) -> Option<Duration> {
        self.success
    }
}

/// Whether a content is so old that an operator should look: fetched (or found unchanged) last more
/// than `missed` periods ago, or by the publisher's own stamp made more than `missed` periods ago,
/// there of a day at least. A stamp of the future says nothing.
pub fn is_stale(
    now: Timestamp,
    made: Option<Timestamp>,
    fetched: Timestamp,
    every: Duration,
    missed: u32,
) -> bool {
    let older = |stamp: Timestamp, period: Duration| {
        let age = Duration::try_from(now.duration_since(stamp)).unwrap_or_default();
        age > period.saturating_mul(missed)
    };
    older(fetched, every) || made.is_some_and(|made| older(made, every.max(SHORTEST_PUBLISHING)))
}

/// The wait after so many failures, without jitter.
fn backoff(every: Duration, failures: u32) -> Duration {
    let longest = every.min(LONGEST_RETRY);
    let doubled = 2u32.saturating_pow(failures.saturating_sub(1));
    FIRST_RETRY.saturating_mul(doubled).min(longest)
}

impl Random {
    /// `duration` and up to a tenth more or less.
    fn around(self, duration: Duration) -> Duration {
        let least = duration.saturating_sub(duration / 10);
        least.saturating_add(self.within(duration / 5))
    }

    /// From nothing to `duration`.
    fn within(self, duration: Duration) -> Duration {
        let share = f64::from(self.0) / f64::from(u32::MAX);
        duration.mul_f64(share).min(duration)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const MIDDLE: Random = Random(u32::MAX / 2);
    const START: Duration = Duration::from_secs(1_000_000);

    fn wait(schedule: &Schedule) -> Duration {
        schedule.due().saturating_sub(START)
    }

    /// Whole seconds from the start to the next fetch.
    fn seconds(schedule: &Schedule) -> u64 {
        (wait(schedule) + Duration::from_millis(500)).as_secs()
    }

    fn waits_after_failures(every: Duration, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(every, START, None, MIDDLE);
        let waits = (0..count).map(|_| {
            schedule.failed(START, None, MIDDLE);
            seconds(&schedule)
        });
        waits.collect()
    }

    #[test]
    fn failures_double_the_wait_up_to_the_period() {
        assert_eq!(
            waits_after_failures(HOUR, 9),
            [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
        );
        assert_eq!(waits_after_failures(Duration::from_secs(10), 3), [10; 3]);
    }

    #[test]
    fn a_weekly_feed_is_tried_every_six_hours_at_least() {
        let waits = waits_after_failures(24 * 7 * HOUR, 40);
        assert_eq!(waits.last(), Some(&(6 * 3600)));
    }

    #[test]
    fn a_success_ends_the_failures() {
        let mut schedule = Schedule::new(HOUR, START, None, MIDDLE);
        for _ in 0..5 {
            schedule.failed(START, None, MIDDLE);
        }
        assert_eq!(schedule.failures(), 5);
        schedule.succeeded(START + HOUR, MIDDLE);
        assert_eq!(schedule.failures(), 0);
        assert_eq!(seconds(&schedule), 2 * 3600);
        assert_eq!(schedule.last_success(), Some(START + HOUR));
        schedule.failed(START + 2 * HOUR, None, MIDDLE);
        assert_eq!(schedule.last_attempt(), Some(START + 2 * HOUR));
        assert_eq!(schedule.last_success(), Some(START + HOUR));
    }

    #[test]
    fn a_server_that_asks_for_more_time_gets_it_up_to_a_day() {
        let mut schedule = Schedule::new(HOUR, START, None, MIDDLE);
        for (asked, least) in [(HOUR, HOUR), (1000 * HOUR, 24 * HOUR)] {
            schedule.failed(START, Some(asked), MIDDLE);
            let wait = wait(&schedule);
            assert!(least <= wait && wait <= least + least / 10, "{wait:?}");
        }
        schedule.succeeded(START, MIDDLE);
        schedule.failed(START, Some(Duration::from_secs(1)), MIDDLE);
        assert_eq!(seconds(&schedule), 30, "asking for less does nothing");
    }

    #[test]
    fn at_start_a_fresh_copy_is_kept_and_the_rest_is_fetched_soon() {
        let due = |age| seconds(&Schedule::new(HOUR, START, age, MIDDLE));
        assert_eq!(due(Some(HOUR / 2)), 1800);
        assert_eq!(due(Some(30 * HOUR)), 15);
        assert_eq!(due(None), 1);
    }

    #[test]
    fn an_operator_who_asks_does_not_wait() {
        let mut schedule = Schedule::new(HOUR, START, None, MIDDLE);
        schedule.failed(START, Some(24 * HOUR), MIDDLE);
        assert!(!schedule.is_due(START));
        schedule.hurry(START);
        assert!(schedule.is_due(START));
    }

    #[test]
    fn a_shorter_period_is_followed_at_once() {
        let mut schedule = Schedule::new(24 * HOUR, START, None, MIDDLE);
        schedule.succeeded(START, MIDDLE);
        schedule.set_every(HOUR, START + HOUR, MIDDLE);
        assert_eq!(seconds(&schedule), 2 * 3600);
    }

    #[test]
    fn contents_are_stale_by_their_fetch_or_by_their_own_stamp() {
        let now: Timestamp = "2026-11-22T18:00:00Z".parse().unwrap();
        let ago = |hours| now - HOUR * hours;
        for (made, fetched, stale) in [
            (None, 3, false),
            (None, 4, true),
            (Some(48), 0, false),
            (Some(73), 0, true),
            (Some(1), 4, true),
        ] {
            assert_eq!(
                is_stale(now, made.map(ago), ago(fetched), HOUR, MISSED_PERIODS),
                stale,
                "made {made:?} hours ago, fetched {fetched} hours ago"
            );
        }
        let future = now + HOUR;
        assert!(!is_stale(now, Some(future), future, HOUR, MISSED_PERIODS));
    }

    proptest! {
        #[test]
        fn the_next_fetch_is_never_far_away(
            every in 1u64..40_000_000,
            steps in proptest::collection::vec((any::<u32>(), proptest::option::of(any::<u64>()), any::<bool>()), 1..60),
        ) {
            let every = Duration::from_secs(every);
            let mut schedule = Schedule::new(every, START, None, Random(0));
            let mut now = START;
            for (random, retry_after, good) in steps {
                now = now.max(schedule.due());
                if good {
                    schedule.succeeded(now, Random(random));
                    prop_assert!(schedule.due() >= now + every.mul_f64(0.89));
                } else {
                    schedule.failed(now, retry_after.map(Duration::from_secs), Random(random));
                    prop_assert!(schedule.due() >= now + FIRST_RETRY.min(every).mul_f64(0.89));
                }
                let longest = every.max(LONGEST_RETRY_AFTER);
                prop_assert!(schedule.due() <= now + longest + longest / 10);
            }
        }

        #[test]
        fn periods_are_spread_by_a_tenth(random: u32, every in 10u64..1_000_000) {
            let every = Duration::from_secs(every);
            let mut schedule = Schedule::new(every, START, None, Random(0));
            schedule.succeeded(START, Random(random));
            let wait = wait(&schedule);
            prop_assert!(every.mul_f64(0.9) <= wait && wait <= every.mul_f64(1.1));
        }
    }
}
