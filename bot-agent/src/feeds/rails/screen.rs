//! The screen: which entries of an update are taken at all, each looked at by itself.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use super::{
    holes::{Holes, Left},
    reserved,
};
use crate::{
    feeds::{
        entry::{Entry, Parsed},
        rail::Rail,
    },
    rules::{prefix::Prefix, subject::Subject},
};

/// Entries that are shown of those thrown out for one reason.
const SHOWN: usize = 5;

/// What a feed is held to.
#[derive(Clone, Copy, Debug)]
pub struct Screen<'a> {
    /// Entries of which the publisher is less sure are left out, 0 to 100.
    pub min_confidence: u8,
    /// Rails that the feed is trusted to go without.
    pub loosen: &'a BTreeSet<Rail>,
}

/// An update without what must not come into force.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Screened {
    /// The update; an entry that was split is several.
    pub update: Parsed,
    /// What is missing, by reason.
    pub thrown: Vec<Thrown>,
}

/// Entries that were thrown out or cut for one reason.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Thrown {
    /// The reason.
    pub why: Why,
    /// How many.
    pub count: usize,
    /// The first five.
    pub shown: Vec<Subject>,
}

/// Why an entry was thrown out or cut.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The publisher is less sure than is asked for.
    Unsure,
    /// Wider than /8 (IPv4) or /19 (IPv6).
    Wide,
    /// No source on the Internet has such an address.
    Reserved,
    /// Such addresses are in it; they were taken out and the rest stays.
    PartlyReserved,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsure => "below min_confidence",
            Self::Wide => "wider than /8 (IPv4) or /19 (IPv6)",
            Self::Reserved => "reserved, private or otherwise nobody's",
            Self::PartlyReserved => "partly reserved, cut to the rest",
        })
    }
}

/// Throws out what must not come into force. ASNs and countries are judged by what they cover.
pub fn screen(parsed: Parsed, rails: &Screen<'_>) -> Screened {
    let mut pile = Pile {
        kept: Vec::with_capacity(parsed.entries.len()),
        thrown: Vec::new(),
    };
    let wide = !rails.loosen.contains(&Rail::Wide);
    let holes = (!rails.loosen.contains(&Rail::Reserved)).then(reserved::holes);
    for entry in &parsed.entries {
        if entry.confidence < rails.min_confidence {
            pile.throw(Why::Unsure, entry);
            continue;
        }
        match entry.subject {
            Subject::Prefix(prefix) if wide && prefix.is_too_wide() => {
                pile.throw(Why::Wide, entry);
            }
            Subject::Prefix(prefix) => pile.cut(prefix, entry, holes),
            Subject::Asn(_) | Subject::Country(_) => pile.kept.push(*entry),
        }
    }
    let Pile { kept, mut thrown } = pile;
    thrown.sort_unstable_by_key(|thrown| thrown.why);
    let update = Parsed {
        entries: kept,
        ..parsed
    };
    Screened { update, thrown }
}

struct Pile {
    kept: Vec<Entry>,
    thrown: Vec<Thrown>,
}

impl Pile {
    fn cut(&mut self, prefix: Prefix, entry: &Entry, holes: Option<&Holes>) {
        match holes.map_or(Left::All, |holes| holes.subtract(prefix)) {
            Left::All => self.kept.push(*entry),
            Left::Nothing => self.throw(Why::Reserved, entry),
            Left::Parts(parts) => {
                self.throw(Why::PartlyReserved, entry);
                self.kept.extend(parts.into_iter().map(|part| Entry {
                    subject: part.into(),
                    ..*entry
                }));
            }
        }
    }

    fn throw(&mut self, why: Why, entry: &Entry) {
        let known = self.thrown.iter_mut().find(|thrown| thrown.why == why);
        match known {
            Some(thrown) => {
                thrown.count += 1;
                if thrown.shown.len() < SHOWN {
                    thrown.shown.push(entry.subject);
                }
            }
            None => self.thrown.push(Thrown {
                why,
                count: 1,
                shown: vec![entry.subject],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(entries: &[(&str, u8)]) -> Parsed {
        let entries = entries.iter().map(|(text, confidence)| Entry {
            confidence: *confidence,
            ..Entry::sure(text.parse().unwrap())
        });
        Parsed {
            entries: entries.collect(),
            ..Parsed::default()
        }
    }

    fn screened(entries: &[(&str, u8)], loosen: &[Rail]) -> Screened {
        let rails = Screen {
            min_confidence: 50,
            loosen: &loosen.iter().copied().collect(),
        };
        screen(parsed(entries), &rails)
    }

    fn texts(screened: &Screened) -> Vec<String> {
        let entries = screened.update.entries.iter();
        entries.map(|entry| entry.subject.to_string()).collect()
    }

    fn counts(screened: &Screened) -> Vec<(Why, usize)> {
        let thrown = screened.thrown.iter();
        thrown.map(|thrown| (thrown.why, thrown.count)).collect()
    }

    const MIXED: [(&str, u8); 9] = [
        ("8.8.8.8", 100),
        ("10.0.0.0/8", 100),
        ("0.0.0.0/0", 100),
        ("192.168.1.1", 100),
        ("203.0.112.0/22", 100),
        ("2000::/3", 100),
        ("9.9.9.9", 49),
        ("AS64500", 100),
        ("country:DE", 50),
    ];

    #[test]
    fn each_entry_is_taken_cut_or_thrown_out_for_a_reason() {
        let screened = screened(&MIXED, &[]);
        assert_eq!(
            texts(&screened),
            [
                "8.8.8.8",
                "203.0.112.0/24",
                "203.0.114.0/23",
                "AS64500",
                "country:DE"
            ]
        );
        assert_eq!(
            counts(&screened),
            [
                (Why::Unsure, 1),
                (Why::Wide, 2),
                (Why::Reserved, 2),
                (Why::PartlyReserved, 1)
            ]
        );
        let shown: Vec<_> = screened.thrown[2]
            .shown
            .iter()
            .map(Subject::to_string)
            .collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.168.1.1"]);
    }

    #[test]
    fn a_trusted_feed_goes_without_what_was_named() {
        let wide = screened(&MIXED, &[Rail::Wide]);
        assert!(
            texts(&wide).contains(&"128.0.0.0/3".to_owned()),
            "what is left of 0.0.0.0/0"
        );
        assert!(!texts(&wide).contains(&"10.0.0.0/8".to_owned()));
        let reserved = screened(&MIXED, &[Rail::Reserved]);
        assert!(texts(&reserved).contains(&"10.0.0.0/8".to_owned()));
        assert!(!texts(&reserved).contains(&"0.0.0.0/0".to_owned()));
    }

    #[test]
    fn five_are_shown_and_all_are_counted() {
        let hosts: Vec<String> = (0..9).map(|n| format!("10.0.0.{n}")).collect();
        let entries: Vec<(&str, u8)> = hosts.iter().map(|host| (host.as_str(), 100)).collect();
        let screened = screened(&entries, &[]);
        assert_eq!(counts(&screened), [(Why::Reserved, 9)]);
        assert_eq!(screened.thrown[0].shown.len(), 5);
        assert!(screened.update.entries.is_empty());
    }
}
