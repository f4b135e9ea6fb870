//! Forward-confirmed reverse DNS: what is asked next, and what comes of it.
//!
//! Whoever owns an address may give it any name, one of a crawler's too. So a name counts only if the
//! operator's own answer for that name contains the address.

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use bot_common::address::Address;

use super::{
    index::{Crawler, Crawlers},
    name::HostName,
};

/// Names of one address that are looked at; a crawler's machine has one.
const NAMES: usize = 8;

/// What came of an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is this crawler's.
    Verified(Arc<Crawler>),
    /// It is no crawler's that is known.
    NotACrawler,
    /// It could not be found out.
    Unknown,
}

/// What came of an address, and for how long the records say so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The address.
    pub address: Address,
    /// What came of it.
    pub outcome: Outcome,
    /// The shortest life of the records that it is based on; nothing if they do not say.
    pub ttl: Option<Duration>,
}

/// An answer of DNS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply<T> {
    /// There are records.
    Records(Vec<T>, Duration),
    /// There are none; for how long, if the answer says so.
    Nothing(Option<Duration>),
    /// No answer, or one that says nothing: a time-out, SERVFAIL.
    Failed,
}

/// What is asked next.
#[derive(Debug)]
pub enum Question {
    /// Which names the address has.
    Names(AwaitsNames),
    /// Which addresses a name has.
    Addresses(AwaitsAddresses),
}

/// After an answer.
#[derive(Debug)]
pub enum Next {
    /// There is more to ask.
    Ask(AwaitsAddresses),
    /// It is over.
    Done(Finding),
}

/// The names of an address are not known yet.
#[derive(Debug)]
pub struct AwaitsNames {
    address: Address,
}

/// The addresses of a name are not known yet.
#[derive(Debug)]
pub struct AwaitsAddresses {
    address: Address,
    claim: Claim,
    others: VecDeque<Claim>,
    ttl: Duration,
    /// A name before this one could not be asked about.
    failed: bool,
}

/// A name that would be a crawler's.
#[derive(Debug)]
struct Claim {
    host: HostName,
    crawler: Arc<Crawler>,
}

impl AwaitsNames {
    /// The beginning.
    pub fn of(address: Address) -> Self {
        Self { address }
    }

    /// Whose names are asked for.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Goes on with the names. Of those that are no host names nothing can be asked.
    pub fn names(self, reply: Reply<String>, crawlers: &Crawlers) -> Next {
        let address = self.address;
        let (names, ttl) = match reply {
            Reply::Records(names, ttl) => (names, ttl),
            Reply::Nothing(ttl) => return done(address, Outcome::NotACrawler, ttl),
            Reply::Failed => return done(address, Outcome::Unknown, None),
        };
        let mut claims: VecDeque<Claim> = names
            .iter()
            .take(NAMES)
            .filter_map(|name| {
                let host = HostName::parse(name)?;
                let crawler = Arc::clone(crawlers.named(&host)?);
                Some(Claim { host, crawler })
            })
            .collect();
        match claims.pop_front() {
            None => done(address, Outcome::NotACrawler, Some(ttl)),
            Some(claim) => Next::Ask(AwaitsAddresses {
                address,
                claim,
                others: claims,
                ttl,
                failed: false,
            }),
        }
    }
}

impl AwaitsAddresses {
    /// Which name is asked about.
    pub fn host(&self) -> &HostName {
        &self.claim.host
    }

    /// Whose claim it is; only addresses of its family matter.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Goes on with the addresses of the name.
    pub fn addresses(mut self, reply: &Reply<IpAddr>) -> Next {
        match reply {
            Reply::Records(addresses, ttl) => {
                self.ttl = self.ttl.min(*ttl);
                let confirmed = |ip: &IpAddr| Address::from(*ip) == self.address;
                if addresses.iter().any(confirmed) {
                    let outcome = Outcome::Verified(self.claim.crawler);
                    return done(self.address, outcome, Some(self.ttl));
                }
            }
            Reply::Nothing(ttl) => self.ttl = self.ttl.min(ttl.unwrap_or(self.ttl)),
            Reply::Failed => self.failed = true,
        }
        match self.others.pop_front() {
            Some(claim) => Next::Ask(Self { claim, ..self }),
            None if self.failed => done(self.address, Outcome::Unknown, None),
            None => done(self.address, Outcome::NotACrawler, Some(self.ttl)),
        }
    }
}

impl Question {
    /// The address that it is all about.
    pub fn address(&self) -> Address {
        match self {
            Self::Names(state) => state.address(),
            Self::Addresses(state) => state.address(),
        }
    }
}

fn done(address: Address, outcome: Outcome, ttl: Option<Duration>) -> Next {
    Next::Done(Finding {
        address,
        outcome,
        ttl,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The names of `address`, then one reply for each question about a name.
    fn run(address: &str, names: &[&str], replies: &[Reply<IpAddr>]) -> (Finding, usize) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let state = AwaitsNames::of(ip(address).into());
        let mut next = state.names(Reply::Records(names, HOUR), &Crawlers::built_in());
        let mut asked = 0;
        loop {
            match next {
                Next::Done(finding) => return (finding, asked),
                Next::Ask(state) => {
                    next = state.addresses(replies.get(asked).unwrap_or(&Reply::Failed));
                    asked += 1;
                }
            }
        }
    }

    fn records(addresses: &[&str]) -> Reply<IpAddr> {
        Reply::Records(addresses.iter().map(|text| ip(text)).collect(), MINUTE)
    }

    fn verified_as(finding: &Finding) -> Option<&str> {
        match &finding.outcome {
            Outcome::Verified(crawler) => Some(&crawler.name),
            Outcome::NotACrawler | Outcome::Unknown => None,
        }
    }

    #[test]
    fn a_name_that_leads_back_verifies_in_both_families() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let replies = [records(&["198.51.100.1", "2001:db8::2", address])];
            let (finding, asked) = run(address, &["crawl-1.GoogleBot.com."], &replies);
            assert_eq!(verified_as(&finding), Some("Googlebot"));
            assert_eq!((finding.ttl, asked), (Some(MINUTE), 1));
        }
    }

    #[test]
    fn a_forged_name_is_no_crawlers() {
        let elsewhere = [records(&["192.0.2.99"])];
        let (finding, _) = run("192.0.2.1", &["crawl-1.googlebot.com"], &elsewhere);
        assert_eq!(finding.outcome, Outcome::NotACrawler);
        let nowhere = [Reply::Nothing(None)];
        let (finding, _) = run("192.0.2.1", &["www.google.com"], &nowhere);
        assert_eq!(finding.outcome, Outcome::NotACrawler);
    }

    #[test]
    fn names_of_strangers_are_not_asked_about() {
        let names = [
            "evilgooglebot.com",
            r"a\.googlebot.com",
            "googlebot.com.example.net",
        ];
        let (finding, asked) = run("192.0.2.1", &names, &[]);
        assert_eq!((finding.outcome, asked), (Outcome::NotACrawler, 0));
        assert_eq!(finding.ttl, Some(HOUR));
    }

    #[test]
    fn of_many_names_eight_are_looked_at() {
        let names = ["a.googlebot.com"; 100];
        let wrong = vec![records(&["192.0.2.99"]); 100];
        let (finding, asked) = run("192.0.2.1", &names, &wrong);
        assert_eq!((finding.outcome, asked), (Outcome::NotACrawler, 8));
    }

    #[test]
    fn one_name_of_several_is_enough() {
        let replies = [Reply::Failed, records(&["192.0.2.1"])];
        let names = ["host.example.net", "a.googlebot.com", "b.search.msn.com"];
        let (finding, asked) = run("192.0.2.1", &names, &replies);
        assert_eq!((verified_as(&finding), asked), (Some("bingbot"), 2));
    }

    #[test]
    fn what_could_not_be_asked_is_unknown() {
        let replies = [Reply::Failed, records(&["192.0.2.99"])];
        let (finding, _) = run(
            "192.0.2.1",
            &["a.googlebot.com", "b.googlebot.com"],
            &replies,
        );
        assert_eq!(finding.outcome, Outcome::Unknown);

        let state = AwaitsNames::of(ip("192.0.2.1").into());
        let next = state.names(Reply::Failed, &Crawlers::built_in());
        assert!(matches!(next, Next::Done(finding) if finding.outcome == Outcome::Unknown));
    }

    #[test]
    fn an_address_without_a_name_is_no_crawlers() {
        let state = AwaitsNames::of(ip("192.0.2.1").into());
        let next = state.names(Reply::Nothing(Some(MINUTE)), &Crawlers::built_in());
        let Next::Done(finding) = next else {
            panic!("{next:?}")
        };
        assert_eq!(
            (finding.outcome, finding.ttl),
            (Outcome::NotACrawler, Some(MINUTE))
        );
    }

    #[test]
    fn no_reply_of_strangers_verifies() {
        use proptest::prelude::*;
        let reply = prop_oneof![
            Just(Reply::Failed),
            Just(Reply::Nothing(None)),
            prop::collection::vec(any::<u32>(), 0..20).prop_map(|ips| {
                // Any IPv4 address but the one that is asked about.
                let ips = ips.into_iter().filter(|ip| *ip != 0xc000_0201);
                Reply::Records(ips.map(|ip| IpAddr::V4(ip.into())).collect(), MINUTE)
            }),
        ];
        let replies = prop::collection::vec(reply, 0..10);
        let names = prop::collection::vec("[a-z.\\\\]{0,12}(\\.googlebot\\.com\\.?)?", 0..20);
        proptest!(|(names in names, replies in replies)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (finding, asked) = run("192.0.2.1", &names, &replies);
            prop_assert!(verified_as(&finding).is_none());
            prop_assert!(asked <= NAMES);
        });
    }
}
