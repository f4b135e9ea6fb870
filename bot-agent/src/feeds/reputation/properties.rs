//! Scores against a plain reckoning, entry by entry.

use bot_common::address::Address;
use proptest::prelude::*;

use super::{words::*, *};
use crate::{
    asn::Database,
    feeds::entry::{Entry, Parsed},
    rules::{prefix::Prefix, subject::Subject},
};

fn any_subject() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..16u8, 0..=4u8).prop_map(|(host, wider)| {
            let host: Prefix = format!("192.0.2.{host}").parse().unwrap();
            host.shortened(128 - wider).to_string()
        }),
        2 => (0..16u8, 0..=4u8).prop_map(|(host, wider)| {
            let host: Prefix = format!("2001:db8::{host:x}").parse().unwrap();
            host.shortened(128 - wider).to_string()
        }),
        1 => Just("AS1".to_owned()),
        1 => Just("country:AA".to_owned()),
        1 => Just("::/0".to_owned()),
        1 => Just("0.0.0.0/0".to_owned()),
    ]
}

type Made = (u8, u8, Option<u32>, i64, Vec<(String, u8)>);

fn any_feed() -> impl Strategy<Value = Made> {
    let half_life = proptest::option::of(1..10u32);
    let entries = proptest::collection::vec((any_subject(), 0..=100u8), 0..10);
    (0..3u8, 0..=100u8, half_life, 0..20i64, entries)
}

/// The score of an address, entry by entry.
fn naive(feeds: &[Made], address: Address, database: &Database, now: i64) -> f64 {
    let network = database.lookup(address);
    let mut doubt = 1.0;
    for group in 0..3 {
        let mut heaviest = 0.0f64;
        for (_, weight, half_life, seen, entries) in feeds.iter().filter(|feed| feed.0 == group) {
            // Of a subject that is there twice the surer counts, which is the heavier.
            for (subject, confidence) in entries {
                let covers = match subject.parse().unwrap() {
                    Subject::Prefix(prefix) => prefix.contains(address),
                    Subject::Asn(asn) => network.as_ref().and_then(|n| n.asn) == Some(asn),
                    Subject::Country(country) => {
                        network.as_ref().and_then(|n| n.country) == Some(country)
                    }
                };
                let age = i32::try_from(now - seen).unwrap();
                let decay =
                    half_life.map_or(1.0, |days| 0.5f64.powf(f64::from(age) / f64::from(days)));
                if covers {
                    let weight = f64::from(*weight) / 100.0 * f64::from(*confidence) / 100.0;
                    heaviest = heaviest.max(weight * decay);
                }
            }
        }
        doubt *= 1.0 - heaviest;
    }
    (1.0 - doubt) * 100.0
}

proptest! {
    #[test]
    fn an_address_has_the_same_score_in_the_list_in_the_evidence_and_by_hand(
        feeds in proptest::collection::vec(any_feed(), 0..6),
    ) {
        let database = database();
        let now = 20;
        let configured: Vec<(Feed, Snapshot)> = feeds.iter().zip(0..).map(|(made, n)| {
            let (group, weight, half_life, seen, entries) = made;
            let entries = entries.iter().map(|(text, confidence)| Entry {
                confidence: *confidence,
                ..Entry::sure(text.parse().unwrap())
            });
            let update = Parsed { entries: entries.collect(), ..Parsed::default() };
            let feed = Feed {
                group: format!("group {group}"),
                half_life: half_life.map(|days| DAY * days),
                ..feed(&format!("feed {n}"), weigh(*weight))
            };
            (feed, Snapshot::next(None, &update, at(*seen), DAY).0)
        }).collect();
        let told = told(&configured);
        let weighing: Vec<Weighing<'_>> = told.iter().filter_map(Weighing::of).collect();
        let combined = combine(&weighing, Some(&database), at(now));
        prop_assert!(combined.is_sorted_by_key(|(prefix, _)| (!prefix.is_v4(), *prefix)));
        for text in ["192.0.2.", "198.51.100.", "2001:db8::", "9.9.9."] {
            for host in 0..17 {
                let host = if text.contains(':') { format!("{text}{host:x}") } else { format!("{text}{host}") };
                let address = address(&host);
                let narrowest = combined.iter().filter(|(prefix, _)| prefix.contains(address)).max_by_key(|(prefix, _)| prefix.bits());
                let listed = narrowest.map_or(0, |(_, score)| score.get());
                let evidence = evidence(&told, address, Some(&database), TIERS, at(now));
                prop_assert_eq!(evidence.score.get(), listed, "{}", host);
                let naive = naive(&feeds, address, &database, now);
                prop_assert!((f64::from(listed) - naive).abs() < 0.51, "{} {} {}", host, listed, naive);
            }
        }
    }
}
