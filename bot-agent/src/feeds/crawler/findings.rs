//! Findings that are still true: as long as the records live, within bounds.
//!
//! The number of findings has a cap. At the cap the oldest goes that verified nobody, so that no flood
//! of strangers pushes a crawler out; a verified one goes only when all are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bot_common::address::Address;

use super::{
    index::Crawler,
    verify::{Finding, Outcome},
};

/// How long a finding lives at least, whatever the records say.
const SHORTEST: Duration = Duration::from_mins(1);
/// How long a crawler stays verified at most.
const LONGEST_VERIFIED: Duration = Duration::from_hours(24);
/// How long somebody stays a stranger at most; also where the records do not say.
const LONGEST_STRANGER: Duration = Duration::from_hours(1);

/// What was found, by address.
#[derive(Debug)]
pub(super) struct Findings {
    capacity: usize,
    known: BTreeMap<Address, Known>,
    /// Whether it verified somebody, and when it was found, counted: the first goes first.
    order: BTreeSet<(bool, u64, Address)>,
    count: u64,
}

/// A finding with its end.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) outcome: Outcome,
    found_ns: u64,
    until_ns: u64,
    number: u64,
}

impl Findings {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            known: BTreeMap::new(),
            order: BTreeSet::new(),
            count: 0,
        }
    }

    /// What is known of an address at `now_ns`.
    pub(super) fn get(&self, address: Address, now_ns: u64) -> Option<&Known> {
        let known = self.known.get(&address)?;
        (now_ns < known.until_ns).then_some(known)
    }

    /// Remembers a finding, in place of an earlier one. That it could not be found out is nothing
    /// against a crawler that is verified still.
    pub(super) fn put(&mut self, finding: Finding, now_ns: u64) {
        let address = finding.address;
        if finding.outcome == Outcome::Unknown
            && self.get(address, now_ns).is_some_and(Known::is_verified)
        {
            return;
        }
        self.remove(address);
        self.count += 1;
        let known = Known {
            found_ns: now_ns,
            until_ns: now_ns.saturating_add(nanoseconds(life(&finding))),
            number: self.count,
            outcome: finding.outcome,
        };
        self.order.insert(known.place(address));
        self.known.insert(address, known);
        if self.known.len() > self.capacity
            && let Some((_, _, oldest)) = self.order.pop_first()
        {
            self.known.remove(&oldest);
        }
    }

    /// Crawlers that are verified at `now_ns`, each with the end of that.
    pub(super) fn verified(&self, now_ns: u64) -> impl Iterator<Item = (Address, &Crawler, u64)> {
        // The order has them in a row, at its end.
        let verified = self.order.range((true, 0, Address::default())..);
        verified.filter_map(move |(_, _, address)| match self.get(*address, now_ns)? {
            Known {
                outcome: Outcome::Verified(crawler),
                until_ns,
                ..
            } => Some((*address, crawler.as_ref(), *until_ns)),
            Known { .. } => None,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn remove(&mut self, address: Address) {
        if let Some(known) = self.known.remove(&address) {
            self.order.remove(&known.place(address));
        }
    }
}

impl Known {
    /// Whether it should be found out again while it is still true: a verified crawler that comes in
    /// the last quarter of its time shall not be a stranger for a moment.
    pub(super) fn is_due(&self, now_ns: u64) -> bool {
        let life = self.until_ns.saturating_sub(self.found_ns);
        self.is_verified() && self.until_ns.saturating_sub(now_ns) < life / 4
    }

    fn is_verified(&self) -> bool {
        matches!(self.outcome, Outcome::Verified(_))
    }

    fn place(&self, address: Address) -> (bool, u64, Address) {
        (self.is_verified(), self.number, address)
    }
}

fn life(finding: &Finding) -> Duration {
    match finding.outcome {
        Outcome::Verified(_) => finding
            .ttl
            .unwrap_or(SHORTEST)
            .clamp(SHORTEST, LONGEST_VERIFIED),
        Outcome::NotACrawler => finding
            .ttl
            .unwrap_or(LONGEST_STRANGER)
            .clamp(SHORTEST, LONGEST_STRANGER),
        Outcome::Unknown => SHORTEST,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::feeds::category::Category;

    const SECOND: u64 = 1_000_000_000;

    fn address(last: u8) -> Address {
        Address::from_v4([192, 0, 2, last])
    }

    fn crawler() -> Outcome {
        Outcome::Verified(Arc::new(Crawler {
            name: "bot".into(),
            operator: "".into(),
            category: Category::CrawlerSearch,
            suffixes: Vec::new(),
        }))
    }

    fn put(findings: &mut Findings, last: u8, outcome: Outcome, ttl: Option<u64>, now: u64) {
        let finding = Finding {
            address: address(last),
            outcome,
            ttl: ttl.map(Duration::from_secs),
        };
        findings.put(finding, now);
    }

    /// Seconds for which a finding is known.
    fn life_of(outcome: Outcome, ttl: Option<u64>) -> u64 {
        let mut findings = Findings::new(10);
        put(&mut findings, 1, outcome, ttl, 5);
        let until = findings.known[&address(1)].until_ns;
        assert!(findings.get(address(1), until - 1).is_some());
        assert!(findings.get(address(1), until).is_none());
        (until - 5) / SECOND
    }

    #[test]
    fn findings_live_as_long_as_their_records_within_bounds() {
        assert_eq!(life_of(crawler(), Some(0)), 60);
        assert_eq!(life_of(crawler(), Some(7200)), 7200);
        assert_eq!(life_of(crawler(), Some(u64::from(u32::MAX))), 86_400);
        assert_eq!(life_of(Outcome::NotACrawler, Some(1)), 60);
        assert_eq!(life_of(Outcome::NotACrawler, Some(86_400)), 3600);
        assert_eq!(life_of(Outcome::NotACrawler, None), 3600);
        assert_eq!(life_of(Outcome::Unknown, None), 60);
    }

    #[test]
    fn at_the_cap_the_oldest_stranger_goes_and_crawlers_stay() {
        let mut findings = Findings::new(3);
        put(&mut findings, 1, crawler(), Some(600), 0);
        for last in 2..100 {
            put(
                &mut findings,
                last,
                Outcome::NotACrawler,
                None,
                u64::from(last),
            );
        }
        assert_eq!(findings.len(), 3);
        let known = |last| findings.get(address(last), 100).is_some();
        assert!(known(1) && known(98) && known(99) && !known(97));
    }

    #[test]
    fn when_all_are_crawlers_the_oldest_goes() {
        let mut findings = Findings::new(2);
        for last in 1..=3 {
            put(&mut findings, last, crawler(), Some(600), 0);
        }
        put(&mut findings, 4, Outcome::NotACrawler, None, 0);
        let verified: Vec<Address> = findings.verified(1).map(|(at, _, _)| at).collect();
        assert_eq!(verified, [address(2), address(3)]);
        assert_eq!((findings.known.len(), findings.order.len()), (2, 2));
    }

    #[test]
    fn a_time_out_does_not_take_a_crawler_away_but_an_answer_does() {
        let mut findings = Findings::new(10);
        put(&mut findings, 1, crawler(), Some(600), 0);
        put(&mut findings, 1, Outcome::Unknown, None, SECOND);
        assert_eq!(findings.verified(SECOND).count(), 1);
        put(&mut findings, 1, Outcome::NotACrawler, None, 2 * SECOND);
        assert_eq!(findings.verified(2 * SECOND).count(), 0);
        assert_eq!((findings.known.len(), findings.order.len()), (1, 1));
    }

    #[test]
    fn a_crawler_is_due_in_the_last_quarter_of_its_time() {
        let mut findings = Findings::new(10);
        put(&mut findings, 1, crawler(), Some(400), 0);
        put(&mut findings, 2, Outcome::NotACrawler, Some(400), 0);
        let due = |last, second| findings.known[&address(last)].is_due(second * SECOND);
        assert!(!due(1, 299) && due(1, 301) && !due(2, 399));
    }
}
