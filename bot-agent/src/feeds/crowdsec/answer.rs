//! One answer of a Local API: JSON in, decisions out.
//!
//! Scopes and types that a packet filter can do nothing with are counted; so is what is simulated. A
//! decision that cannot be read is counted and the first five are shown.

use std::{borrow::Cow, fmt, time::Duration};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Poll;
use crate::{
    feeds::entry::BadEntry,
    rules::{
        prefix::{Prefix, quoted},
        subject::{Asn, Country, Subject},
    },
};

/// Unreadable decisions that are shown.
const SHOWN: usize = 5;

/// What shall happen.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionType {
    /// Drop.
    Ban,
    /// Challenge.
    Captcha,
    /// Slow down.
    Throttle,
}

/// A decision.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The server's number; 0 when it says none.
    pub id: u64,
    /// About whom.
    pub subject: Subject,
    /// What shall happen.
    pub kind: DecisionType,
    /// For how long from now; nothing once it has ended.
    pub left: Duration,
}

/// An answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What was asked for.
    pub poll: Poll,
    /// Active decisions.
    pub new: Vec<Decision>,
    /// Decisions that have ended or were lifted.
    pub deleted: Vec<Decision>,
    /// New decisions in all, those among them that are ignored or bad.
    pub total: usize,
    /// New decisions that are left out on purpose.
    pub ignored: Ignored,
    /// New decisions that could not be read.
    pub bad: usize,
    /// The first five of them.
    pub shown: Vec<BadEntry>,
}

/// Decisions that are left out on purpose.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Ignored {
    /// Only simulated.
    pub simulated: usize,
    /// About users, sessions or whatever else is no source of packets.
    pub scopes: usize,
    /// Of a type other than ban, captcha and throttle.
    pub types: usize,
}

/// A text that is no answer of a Local API.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is no list of decisions (is the url that of a CrowdSec Local API?): {0}")]
pub struct AnswerError(String);

impl DecisionType {
    /// Its name, as in the answer.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Captcha => "captcha",
            Self::Throttle => "throttle",
        }
    }
}

impl fmt::Display for DecisionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Answer {
    /// Reads an answer. Both lists must be named in it, if only as `null`: nothing else that answers
    /// in JSON may lift all decisions.
    pub fn parse(poll: Poll, json: &[u8]) -> Result<Self, AnswerError> {
        let raw: RawAnswer<'_> =
            serde_json::from_slice(json).map_err(|error| AnswerError(error.to_string()))?;
        let mut answer = Self {
            poll,
            new: Vec::new(),
            deleted: Vec::new(),
            total: 0,
            ignored: Ignored::default(),
            bad: 0,
            shown: Vec::new(),
        };
        for (index, raw) in raw.new.iter().flatten().enumerate() {
            answer.total += 1;
            match raw.read() {
                Ok(decision) => answer.new.push(decision),
                Err(Unused::Simulated) => answer.ignored.simulated += 1,
                Err(Unused::Scope) => answer.ignored.scopes += 1,
                Err(Unused::Type) => answer.ignored.types += 1,
                Err(Unused::Bad(why)) => {
                    answer.bad += 1;
                    if answer.shown.len() < SHOWN {
                        let line = index + 1;
                        answer.shown.push(BadEntry { line, why });
                    }
                }
            }
        }
        // What was not taken in need not be lifted.
        let deleted = raw.deleted.iter().flatten();
        answer.deleted = deleted.filter_map(|raw| raw.read().ok()).collect();
        Ok(answer)
    }
}

#[derive(Deserialize)]
struct RawAnswer<'a> {
    // A function of our own makes a missing field an error.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    new: Option<Vec<RawDecision<'a>>>,
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    deleted: Option<Vec<RawDecision<'a>>>,
}

#[derive(Deserialize)]
struct RawDecision<'a> {
    #[serde(default)]
    id: u64,
    #[serde(borrow)]
    scope: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    duration: Cow<'a, str>,
    #[serde(default)]
    simulated: Option<bool>,
}

/// Why a decision is none for us.
enum Unused {
    Simulated,
    Scope,
    Type,
    Bad(String),
}

impl RawDecision<'_> {
    fn read(&self) -> Result<Decision, Unused> {
        if self.simulated == Some(true) {
            return Err(Unused::Simulated);
        }
        Ok(Decision {
            id: self.id,
            subject: self.subject()?,
            kind: self.kind()?,
            left: duration(&self.duration).ok_or_else(|| {
                let duration = quoted(&self.duration);
                Unused::Bad(format!("`{duration}` is no duration (like 3h59m57.1s)"))
            })?,
        })
    }

    fn subject(&self) -> Result<Subject, Unused> {
        let value = self.value.trim();
        let subject = match self.scope.to_ascii_lowercase().as_str() {
            "ip" => value.parse().ok().map(|ip| Prefix::host(ip).into()),
            "range" => network(value),
            "as" => asn(value).map(Subject::Asn),
            "country" => value.parse::<Country>().ok().map(Subject::Country),
            _ => return Err(Unused::Scope),
        };
        subject.ok_or_else(|| {
            let (value, scope) = (quoted(value), quoted(&self.scope));
            Unused::Bad(format!("`{value}` is no value of the scope {scope}"))
        })
    }

    fn kind(&self) -> Result<DecisionType, Unused> {
        match self.kind.to_ascii_lowercase().as_str() {
            "ban" => Ok(DecisionType::Ban),
            "captcha" => Ok(DecisionType::Captcha),
            "throttle" => Ok(DecisionType::Throttle),
            _ => Err(Unused::Type),
        }
    }
}

/// The server takes and gives ranges with host bits.
fn network(value: &str) -> Option<Subject> {
    let net: IpNet = value.parse().ok()?;
    Some(Prefix::from_net(net).into())
}

/// `64500` or `AS64500`: the server keeps what it was given.
fn asn(value: &str) -> Option<Asn> {
    match value.parse() {
        Ok(number) => Asn::new(number),
        Err(_) => value.parse().ok(),
    }
}

/// A duration as Go writes it (`3h59m57.123s`, `711.29ms`); nothing is left of a negative one.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        sum = sum.checked_add(part(number, unit)?)?;
        rest = tail;
    }
    if text.is_empty() {
        return None;
    }
    Some(if negative { Duration::ZERO } else { sum })
}

fn part(number: &str, unit: &str) -> Option<Duration> {
    let nanoseconds = match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" | "μs" => 1_000,
        "ns" => 1,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let unit = Duration::from_nanos(nanoseconds);
    // Go writes no more than nine digits behind the point.
    let fraction: f64 = format!("0.{fraction}").parse().ok()?;
    let whole = whole.parse().ok()?;
    unit.checked_mul(whole)?.checked_add(unit.mul_f64(fraction))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What Debian's 1.4.6 answers, word for word.
    const REAL: &str = r#"{"deleted":[{"duration":"-53.005827905s","id":1,"origin":"cscli","scenario":"manual 'ban' from 'tests'","scope":"Ip","type":"ban","value":"192.0.2.7"}],"new":[{"duration":"59m4.830452545s","id":3,"origin":"cscli","scenario":"manual 'ban' from 'tests'","scope":"AS","type":"ban","value":"64500"},{"duration":"59m4.830450712s","id":4,"origin":"cscli","scenario":"manual 'throttle' from 'tests'","scope":"Country","type":"throttle","value":"DE"},{"duration":"3h59m58.323857136s","id":13,"origin":"cscli","scenario":"manual 'captcha' from 'tests'","scope":"Range","type":"captcha","value":"203.0.113.7/24"},{"duration":"711.292176ms","id":5,"origin":"cscli","scenario":"manual 'ban' from 'tests'","scope":"Ip","type":"ban","value":"2001:db8::1"}]}"#;

    fn parse(json: &str) -> Answer {
        Answer::parse(Poll::Changes, json.as_bytes()).unwrap()
    }

    fn one(scope: &str, value: &str, kind: &str, duration: &str) -> Answer {
        let decision = serde_json::json!({
            "scope": scope, "value": value, "type": kind, "duration": duration,
        });
        parse(&format!(r#"{{"new":[{decision}],"deleted":null}}"#))
    }

    #[test]
    fn a_real_answer_is_read() {
        let answer = parse(REAL);
        let new = answer.new.iter().map(|decision| {
            let Decision {
                id,
                subject,
                kind,
                left,
            } = decision;
            format!("{id} {subject} {kind} {}", left.as_millis())
        });
        assert_eq!(
            new.collect::<Vec<_>>(),
            [
                "3 AS64500 ban 3544830",
                "4 country:DE throttle 3544830",
                "13 203.0.113.0/24 captcha 14398323",
                "5 2001:db8::1 ban 711",
            ]
        );
        assert_eq!(answer.deleted.len(), 1);
        assert_eq!(answer.deleted[0].id, 1);
        assert_eq!(answer.deleted[0].left, Duration::ZERO);
        assert_eq!((answer.total, answer.bad), (4, 0));
    }

    #[test]
    fn lists_may_be_null_but_not_missing() {
        assert_eq!(parse(r#"{"new":null,"deleted":null}"#).total, 0);
        assert_eq!(parse(r#"{"new":[],"deleted":[]}"#).total, 0);
        for json in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"new":null}"#,
            r#"{"deleted":[]}"#,
            r#"{"message":"access forbidden"}"#,
            "<html>",
            r#"{"new":[{}],"deleted":null}"#,
        ] {
            let error = Answer::parse(Poll::Whole, json.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("Local API"), "{error}");
        }
    }

    #[test]
    fn what_no_packet_filter_can_do_is_counted() {
        let answer = parse(
            r#"{"deleted":null,"new":[
                {"scope":"user","value":"joe","type":"ban","duration":"1h"},
                {"scope":"ip","value":"192.0.2.1","type":"mfa","duration":"1h"},
                {"scope":"ip","value":"192.0.2.1","type":"ban","duration":"1h","simulated":true},
                {"scope":"ip","value":"192.0.2.1","type":"ban","duration":"1h","simulated":false}]}"#,
        );
        let Ignored {
            simulated,
            scopes,
            types,
        } = answer.ignored;
        assert_eq!((simulated, scopes, types), (1, 1, 1));
        assert_eq!((answer.total, answer.new.len(), answer.bad), (4, 1, 0));
    }

    #[test]
    fn case_and_the_ways_to_write_an_asn_do_not_matter() {
        for (scope, value, kind, expected) in [
            ("IP", "192.0.2.1", "Ban", "192.0.2.1"),
            ("Range", "2001:db8::/32", "BAN", "2001:db8::/32"),
            ("as", "AS64500", "ban", "AS64500"),
            ("AS", "64500", "ban", "AS64500"),
            ("country", "de", "ban", "country:DE"),
        ] {
            let answer = one(scope, value, kind, "1h");
            assert_eq!(answer.new[0].subject.to_string(), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_shown() {
        for (scope, value, duration, why) in [
            (
                "ip",
                "junk",
                "1h",
                "line 1: `junk` is no value of the scope ip",
            ),
            (
                "ip",
                "192.0.2.0/24",
                "1h",
                "line 1: `192.0.2.0/24` is no value of the scope ip",
            ),
            ("as", "0", "1h", "line 1: `0` is no value of the scope as"),
            (
                "ip",
                "192.0.2.1",
                "1d",
                "line 1: `1d` is no duration (like 3h59m57.1s)",
            ),
        ] {
            let answer = one(scope, value, "ban", duration);
            assert_eq!((answer.bad, answer.new.len()), (1, 0));
            assert_eq!(answer.shown[0].to_string(), why);
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("1.5s", 1_500),
            ("99999h59m58.5s", 359_999_998_500),
            ("711.292176ms", 711),
            ("15µs", 0),
            ("-13.33684ms", 0),
            ("-1h", 0),
        ] {
            let read = duration(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.as_millis(), milliseconds, "{text}");
        }
        for text in [
            "",
            "-",
            "h",
            "1",
            "1d",
            "1h1",
            "1..5s",
            ".s",
            "1h-1m",
            "99999999999999h",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends_in_an_answer(text: String, bytes: Vec<u8>) {
            drop(Answer::parse(Poll::Whole, &bytes));
            prop_assert!(one(&text, &text, "ban", &text).total == 1);
        }

        #[test]
        fn whole_seconds_are_exact(hours in 0u64..100_000, minutes in 0u64..60, seconds in 0u64..60) {
            let expected = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(duration(&format!("{hours}h{minutes}m{seconds}s")), Some(expected));
        }
    }
}
