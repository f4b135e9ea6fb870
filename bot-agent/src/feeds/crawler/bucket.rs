//! A token bucket: so many a second, and so many at once after a pause. Pure: time comes in.

const SECOND_NS: u64 = 1_000_000_000;

/// The bucket. Credit is kept as time, in nanoseconds: a token costs the time in which it grows.
#[derive(Debug)]
pub(super) struct Bucket {
    cost: u64,
    most: u64,
    credit: u64,
    seen: u64,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(per_second: u32, burst: u32, now_ns: u64) -> Self {
        let cost = SECOND_NS / u64::from(per_second.max(1));
        let most = cost.saturating_mul(u64::from(burst.max(1)));
        Self {
            cost,
            most,
            credit: most,
            seen: now_ns,
        }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now_ns: u64) -> bool {
        let since = now_ns.saturating_sub(self.seen);
        self.seen = self.seen.max(now_ns);
        self.credit = self.credit.saturating_add(since).min(self.most);
        let left = self.credit.checked_sub(self.cost);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }

    /// When there will be a token.
    pub(super) fn ready_ns(&self) -> u64 {
        let missing = self.cost.saturating_sub(self.credit);
        self.seen.saturating_add(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, now_ns: u64) -> usize {
        (0..1000).filter(|_| bucket.take(now_ns)).count()
    }

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let mut bucket = Bucket::new(10, 20, 7);
        assert_eq!(taken(&mut bucket, 7), 20);
        assert_eq!(taken(&mut bucket, 7 + SECOND_NS / 10 - 1), 0);
        assert_eq!(bucket.ready_ns(), 7 + SECOND_NS / 10);
        assert_eq!(taken(&mut bucket, 7 + SECOND_NS / 10), 1);
        assert_eq!(taken(&mut bucket, 7 + SECOND_NS / 10 + SECOND_NS), 10);
        assert_eq!(taken(&mut bucket, 100 * SECOND_NS), 20);
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(10, 1, SECOND_NS);
        assert_eq!(taken(&mut bucket, SECOND_NS), 1);
        assert_eq!(taken(&mut bucket, 0), 0);
        assert_eq!(taken(&mut bucket, SECOND_NS), 0);
    }
}
