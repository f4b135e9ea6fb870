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
#[path = "answer_tests.rs"]
mod tests;
