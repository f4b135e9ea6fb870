//! Verification against a DNS server of the tests' own, on loopback.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Record,
        rdata::{A, AAAA, CNAME, PTR, SOA},
    },
};
use tokio::net::UdpSocket;

use super::*;
use crate::feeds::crawler::verify::Outcome;

/// What a name has, or what the server does when it is asked for it.
#[derive(Clone, Copy)]
enum Has {
    Ptr(&'static str, u32),
    Ip(&'static str, u32),
    Alias(&'static str, u32),
    Code(ResponseCode),
    /// NXDOMAIN, true for so many seconds.
    Nobody(u32),
    Garbage,
    /// The rest is to be had over TCP, where nobody is.
    Cut,
    Silence,
}

use Has::{Alias, Code, Cut, Garbage, Ip, Nobody, Ptr, Silence};

/// A server of a zone, in which several entries for one name are several records; and the number of
/// questions it was asked.
struct Server {
    at: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Server {
    async fn with(zone: &[(&'static str, Has)]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (zone, counter) = (zone.to_vec(), Arc::clone(&asked));
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = answer(&zone, &buffer[..length]) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Self { at, asked }
    }

    fn verifier(&self, limits: Limits) -> Verifier {
        let options = Options {
            server: Some(self.at),
            patience: Duration::from_millis(200),
            limits,
        };
        Verifier::start(Crawlers::built_in(), options).unwrap()
    }
}

fn answer(zone: &[(&str, Has)], question: &[u8]) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries.first().unwrap().clone();
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let owner = query.name().clone();
    let here = zone
        .iter()
        .filter(|(at, _)| name(at).eq_ignore_root(&owner));
    for (_, has) in here {
        let (data, ttl) = match *has {
            Ptr(host, ttl) => (RData::PTR(PTR(name(host))), ttl),
            Alias(host, ttl) => (RData::CNAME(CNAME(name(host))), ttl),
            Ip(text, ttl) => match text.parse().unwrap() {
                IpAddr::V4(ip) => (RData::A(A(ip)), ttl),
                IpAddr::V6(ip) => (RData::AAAA(AAAA(ip)), ttl),
            },
            Code(code) => {
                answer.metadata.response_code = code;
                continue;
            }
            Nobody(ttl) => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                let soa = SOA::new(name("ns.example."), name("root.example."), 1, 1, 1, 1, ttl);
                answer.add_authority(Record::from_rdata(name("example."), ttl, RData::SOA(soa)));
                continue;
            }
            Garbage => return Some(question.to_vec().unwrap()[..6].to_vec()),
            Cut => {
                answer.metadata.truncation = true;
                continue;
            }
            Silence => return None,
        };
        answer.add_answer(Record::from_rdata(owner.clone(), ttl, data));
    }
    answer.to_vec().ok()
}

fn address(text: &str) -> Address {
    text.parse::<IpAddr>().unwrap().into()
}

async fn find(verifier: &mut Verifier, text: &str) -> Finding {
    assert_eq!(verifier.ask(address(text)), Asked::Soon);
    let found = time::timeout(Duration::from_secs(20), verifier.found());
    let finding = found.await.expect("a lookup has an end");
    assert_eq!(finding.address, address(text));
    finding
}

/// What comes of 192.0.2.1 in a zone.
async fn find_in(zone: &[(&'static str, Has)]) -> Finding {
    let server = Server::with(zone).await;
    find(&mut server.verifier(Limits::default()), "192.0.2.1").await
}

const PTR_1: &str = "1.2.0.192.in-addr.arpa.";
const HOST: &str = "crawl-1.googlebot.com.";

#[tokio::test]
async fn a_confirmed_name_verifies_for_the_shortest_life_of_its_records() {
    let server = Server::with(&[
        (PTR_1, Ptr("CRAWL-1.GoogleBot.com.", 3600)),
        (HOST, Ip("198.51.100.1", 900)),
        (HOST, Ip("192.0.2.1", 900)),
    ])
    .await;
    let mut verifier = server.verifier(Limits::default());
    let before = boot_ns();
    let finding = find(&mut verifier, "192.0.2.1").await;
    assert!(matches!(finding.outcome, Outcome::Verified(by) if &*by.name == "Googlebot"));
    assert_eq!(finding.ttl, Some(Duration::from_mins(15)));

    let crawlers: Vec<_> = verifier.verified().collect();
    let [(at, crawler, until_ns)] = crawlers[..] else {
        panic!("{crawlers:?}")
    };
    assert_eq!((at, &*crawler.name), (address("192.0.2.1"), "Googlebot"));
    let life = Duration::from_nanos(until_ns - before);
    assert!((900..910).contains(&life.as_secs()), "{life:?}");

    let asked = server.asked.load(Ordering::Relaxed);
    assert!(matches!(
        verifier.ask(address("192.0.2.1")),
        Asked::Known(_)
    ));
    assert_eq!(server.asked.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn ipv6_and_aliases_are_followed() {
    const PTR_6: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    let server = Server::with(&[
        (PTR_6, Ptr("a.search.msn.com.", 3600)),
        ("a.search.msn.com.", Alias("b.search.msn.com.", 120)),
        ("b.search.msn.com.", Ip("2001:db8::1", 900)),
    ])
    .await;
    let finding = find(&mut server.verifier(Limits::default()), "2001:db8::1").await;
    assert!(matches!(finding.outcome, Outcome::Verified(by) if &*by.name == "bingbot"));
    assert_eq!(finding.ttl, Some(Duration::from_mins(2)));
}

#[tokio::test]
async fn forged_names_are_no_crawlers() {
    let elsewhere = find_in(&[(PTR_1, Ptr(HOST, 60)), (HOST, Ip("198.51.100.1", 60))]).await;
    assert_eq!(elsewhere.outcome, Outcome::NotACrawler);
    let nowhere = find_in(&[(PTR_1, Ptr(HOST, 60)), (HOST, Nobody(60))]).await;
    assert_eq!(nowhere.outcome, Outcome::NotACrawler);
    let stranger = [
        (PTR_1, Ptr("crawl.googlebot.com.example.", 60)),
        ("crawl.googlebot.com.example.", Ip("192.0.2.1", 60)),
    ];
    assert_eq!(find_in(&stranger).await.outcome, Outcome::NotACrawler);
}

#[tokio::test]
async fn a_label_with_a_dot_in_it_is_no_suffix() {
    let forged = [
        (PTR_1, Ptr(r"evil\.googlebot.com.", 60)),
        (r"evil\.googlebot.com.", Ip("192.0.2.1", 60)),
        ("evil.googlebot.com.", Ip("192.0.2.1", 60)),
    ];
    assert_eq!(find_in(&forged).await.outcome, Outcome::NotACrawler);
}

#[tokio::test]
async fn an_address_without_a_name_is_no_crawlers_for_as_long_as_the_zone_says() {
    let finding = find_in(&[(PTR_1, Nobody(300))]).await;
    assert_eq!(finding.outcome, Outcome::NotACrawler);
    assert_eq!(finding.ttl, Some(Duration::from_mins(5)));
}

#[tokio::test]
async fn servers_that_do_not_answer_or_fail_leave_it_unknown() {
    for trouble in [
        Silence,
        Garbage,
        Cut,
        Code(ResponseCode::ServFail),
        Code(ResponseCode::Refused),
    ] {
        let finding = find_in(&[(PTR_1, trouble)]).await;
        assert_eq!(finding.outcome, Outcome::Unknown);
        let finding = find_in(&[(PTR_1, Ptr(HOST, 60)), (HOST, trouble)]).await;
        assert_eq!(finding.outcome, Outcome::Unknown);
    }
}

#[tokio::test]
async fn of_many_names_only_some_are_asked_about() {
    let mut zone = vec![(HOST, Ip("198.51.100.1", 60))];
    zone.extend([(PTR_1, Ptr(HOST, 60)); 60]);
    let server = Server::with(&zone).await;
    let finding = find(&mut server.verifier(Limits::default()), "192.0.2.1").await;
    assert_eq!(finding.outcome, Outcome::NotACrawler);
    assert_eq!(server.asked.load(Ordering::Relaxed), 1 + 8);
}

#[tokio::test]
async fn one_silent_zone_does_not_hold_up_the_others() {
    let server = Server::with(&[
        (PTR_1, Silence),
        ("2.2.0.192.in-addr.arpa.", Ptr(HOST, 60)),
        (HOST, Ip("192.0.2.2", 60)),
    ])
    .await;
    let mut verifier = server.verifier(Limits::default());
    verifier.ask(address("192.0.2.1"));
    verifier.ask(address("192.0.2.2"));
    let first = verifier.found().await;
    assert_eq!(first.address, address("192.0.2.2"));
    assert_eq!(verifier.found().await.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn waiting_may_be_given_up_and_nothing_is_lost() {
    let server = Server::with(&[(PTR_1, Ptr(HOST, 60)), (HOST, Ip("192.0.2.1", 60))]).await;
    let slow = Limits {
        per_second: 50,
        burst: 1,
        ..Limits::default()
    };
    let mut verifier = server.verifier(slow);
    verifier.ask(address("192.0.2.1"));
    let finding = loop {
        let found = time::timeout(Duration::from_millis(1), verifier.found());
        if let Ok(finding) = found.await {
            break finding;
        }
    };
    assert!(matches!(finding.outcome, Outcome::Verified(_)));
    assert_eq!(server.asked.load(Ordering::Relaxed), 2);
}
