//! The desk: which address is asked about, and when. Pure: time comes in, questions go out.
//!
//! Each address is asked about once at a time and, once something is known of it, not before that
//! ends. Questions have a rate, and so many are open at once; so many addresses wait, and more are
//! refused and counted. They are asked about when they come again.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
};

use bot_common::address::Address;

use super::{
    bucket::Bucket,
    findings::Findings,
    index::Crawler,
    verify::{AwaitsNames, Finding, Next, Outcome, Question},
};

/// How much is asked and kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Questions in a second.
    pub per_second: u32,
    /// Questions at once after a pause.
    pub burst: u32,
    /// Questions without an answer yet.
    pub open: usize,
    /// Addresses that wait.
    pub waiting: usize,
    /// Findings that are kept.
    pub findings: usize,
}

/// What is to be asked and what was found.
#[derive(Debug)]
pub struct Desk {
    limits: Limits,
    bucket: Bucket,
    findings: Findings,
    waiting: VecDeque<Question>,
    /// Addresses that wait or are being asked about.
    busy: BTreeSet<Address>,
    refused: u64,
}

/// What became of a wish to know who an address is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asked {
    /// That is known.
    Known(Outcome),
    /// It will be found out.
    Soon,
    /// Too many wait; ask when the address comes again.
    Refused,
    /// It is no address of the Internet; DNS is not told of it.
    Local,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_second: 10,
            burst: 20,
            open: 16,
            waiting: 1000,
            findings: 10_000,
        }
    }
}

impl Desk {
    /// A desk where nothing is known.
    pub fn new(limits: Limits, now_ns: u64) -> Self {
        Self {
            limits,
            bucket: Bucket::new(limits.per_second, limits.burst, now_ns),
            findings: Findings::new(limits.findings),
            waiting: VecDeque::new(),
            busy: BTreeSet::new(),
            refused: 0,
        }
    }

    /// Asks who an address is.
    pub fn ask(&mut self, address: Address, now_ns: u64) -> Asked {
        if !is_of_the_internet(address.to_ip()) {
            return Asked::Local;
        }
        let known = self.findings.get(address, now_ns);
        let due = known.is_none_or(|known| known.is_due(now_ns));
        let known = known.map(|known| Asked::Known(known.outcome.clone()));
        if due && !self.busy.contains(&address) {
            if self.waiting.len() >= self.limits.waiting {
                self.refused += 1;
                return known.unwrap_or(Asked::Refused);
            }
            self.busy.insert(address);
            let question = Question::Names(AwaitsNames::of(address));
            self.waiting.push_back(question);
        }
        known.unwrap_or(Asked::Soon)
    }

    /// The next question that may be asked now. Each is answered with [`Desk::answered`] or
    /// [`Desk::lost`].
    pub fn next(&mut self, now_ns: u64) -> Option<Question> {
        if self.waiting.is_empty() || self.open() >= self.limits.open {
            return None;
        }
        if !self.bucket.take(now_ns) {
            return None;
        }
        self.waiting.pop_front()
    }

    /// When the next question may be asked; `None` if that takes an answer or a new wish.
    pub fn wake_ns(&self) -> Option<u64> {
        let may = !self.waiting.is_empty() && self.open() < self.limits.open;
        may.then(|| self.bucket.ready_ns())
    }

    /// Takes an answer. What is begun is finished before anything new.
    pub fn answered(&mut self, next: Next, now_ns: u64) -> Option<Finding> {
        match next {
            Next::Ask(state) => {
                self.waiting.push_front(Question::Addresses(state));
                None
            }
            Next::Done(finding) => {
                self.busy.remove(&finding.address);
                self.findings.put(finding.clone(), now_ns);
                Some(finding)
            }
        }
    }

    /// Whoever asked about an address is gone.
    pub fn lost(&mut self, address: Address, now_ns: u64) -> Finding {
        let finding = Finding {
            address,
            outcome: Outcome::Unknown,
            ttl: None,
        };
        self.busy.remove(&address);
        self.findings.put(finding.clone(), now_ns);
        finding
    }

    /// Crawlers that are verified at `now_ns`, each with the end of that.
    pub fn verified(&self, now_ns: u64) -> impl Iterator<Item = (Address, &Crawler, u64)> {
        self.findings.verified(now_ns)
    }

    /// Addresses of which something is or was known.
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// Whether nothing was found yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Addresses that were refused because too many waited.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Questions without an answer yet.
    fn open(&self) -> usize {
        self.busy.len().saturating_sub(self.waiting.len())
    }
}

/// Whether its name can be told by others: addresses of this host's own networks are nobody's business.
fn is_of_the_internet(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let local = ip.is_private() || ip.is_loopback() || ip.is_link_local();
            !local && !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            let local = ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local();
            !local && !ip.is_unspecified() && !ip.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::feeds::crawler::{index::Crawlers, verify::Reply};

    const SECOND: u64 = 1_000_000_000;
    const LIMITS: Limits = Limits {
        per_second: 10,
        burst: 20,
        open: 4,
        waiting: 8,
        findings: 100,
    };

    fn address(last: u8) -> Address {
        Address::from_v4([192, 0, 2, last])
    }

    /// Answers a question: the address is Googlebot's.
    fn confirm(question: Question) -> Next {
        let ttl = Duration::from_secs(400);
        match question {
            Question::Names(state) => {
                let names = Reply::Records(vec!["a.googlebot.com".to_owned()], ttl);
                state.names(names, &Crawlers::built_in())
            }
            Question::Addresses(state) => {
                let ip = state.address().to_ip();
                state.addresses(&Reply::Records(vec![ip], ttl))
            }
        }
    }

    /// Asks and answers all that there is to ask at an instant.
    fn work(desk: &mut Desk, now: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        while let Some(question) = desk.next(now) {
            findings.extend(desk.answered(confirm(question), now));
        }
        findings
    }

    #[test]
    fn an_address_is_asked_about_once() {
        let mut desk = Desk::new(LIMITS, 0);
        for _ in 0..100 {
            assert_eq!(desk.ask(address(1), 0), Asked::Soon);
        }
        let question = desk.next(0).unwrap();
        assert_eq!(desk.ask(address(1), 0), Asked::Soon);
        assert!(desk.next(0).is_none());
        assert!(desk.answered(confirm(question), 0).is_none());
        let found = work(&mut desk, 0);
        assert!(matches!(
            &found[..],
            [Finding {
                outcome: Outcome::Verified(_),
                ..
            }]
        ));
        assert!(matches!(
            desk.ask(address(1), 1),
            Asked::Known(Outcome::Verified(_))
        ));
        assert!(desk.next(1).is_none());
        let verified: Vec<_> = desk.verified(1).map(|(at, _, until)| (at, until)).collect();
        assert_eq!(verified, [(address(1), 400 * SECOND)]);
    }

    #[test]
    fn a_verified_crawler_is_asked_about_again_before_its_time_is_over() {
        let mut desk = Desk::new(LIMITS, 0);
        desk.ask(address(1), 0);
        work(&mut desk, 0);
        assert!(matches!(
            desk.ask(address(1), 301 * SECOND),
            Asked::Known(_)
        ));
        assert_eq!(work(&mut desk, 301 * SECOND).len(), 1);
        assert_eq!(desk.verified(700 * SECOND).count(), 1);
        assert_eq!(desk.verified(702 * SECOND).count(), 0);
        assert_eq!(desk.ask(address(1), 702 * SECOND), Asked::Soon);
    }

    #[test]
    fn so_many_questions_are_open_at_once() {
        let mut desk = Desk::new(LIMITS, 0);
        (1..=8).for_each(|last| _ = desk.ask(address(last), 0));
        let mut open: Vec<Question> = std::iter::from_fn(|| desk.next(0)).collect();
        assert_eq!((open.len(), desk.wake_ns()), (4, None));
        let answer = confirm(open.pop().unwrap());
        assert_eq!(desk.answered(answer, 0), None);
        // What is begun goes first.
        assert!(matches!(desk.next(0), Some(Question::Addresses(_))));
        assert!(desk.next(0).is_none());
    }

    #[test]
    fn questions_have_a_rate() {
        let mut desk = Desk::new(LIMITS, 0);
        let mut verified = 0;
        for tenth in 0..100 {
            let now = tenth * SECOND / 10;
            (1..=200).for_each(|last| _ = desk.ask(address(last), now));
            verified += work(&mut desk, now).len();
            assert!(desk.wake_ns().is_none_or(|wake| wake > now));
        }
        // 20 at once and 10 in each of 9.9 seconds, two for each address.
        assert_eq!(verified, 59);
    }

    #[test]
    fn so_many_addresses_wait_and_more_are_refused() {
        let mut desk = Desk::new(LIMITS, 0);
        let asked = (1..=100).map(|last| desk.ask(address(last), 0));
        assert_eq!(asked.filter(|asked| *asked == Asked::Soon).count(), 8);
        assert_eq!(desk.refused(), 92);
        work(&mut desk, 0);
        assert_eq!(desk.ask(address(100), 0), Asked::Soon);
    }

    #[test]
    fn who_is_lost_is_unknown_for_a_minute() {
        let mut desk = Desk::new(LIMITS, 0);
        desk.ask(address(1), 0);
        let question = desk.next(0).unwrap();
        assert_eq!(desk.lost(question.address(), 0).outcome, Outcome::Unknown);
        assert_eq!(
            desk.ask(address(1), 59 * SECOND),
            Asked::Known(Outcome::Unknown)
        );
        assert_eq!(desk.ask(address(1), 60 * SECOND), Asked::Soon);
    }

    #[test]
    fn local_addresses_are_nobodys_business() {
        let mut desk = Desk::new(LIMITS, 0);
        for text in [
            "10.0.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(desk.ask(ip.into(), 0), Asked::Local, "{text}");
        }
        assert!(desk.next(0).is_none());
    }
}
