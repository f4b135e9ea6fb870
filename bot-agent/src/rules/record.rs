//! Rules as lines of JSON, to be kept in a file and made again: what `export` writes and `import`
//! reads.
//!
//! A line says everything about a rule but its identity, which belongs to the store it was in.
//! Unknown fields are refused: what is not understood might change what the rule means.

use std::{
    io::{self, BufRead, Read as _},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    duration,
    prefix::{ParseError, Prefix},
    rule::{Draft, MAX_REASON, Origin, Rule, RuleAction, RuleId, Scope},
    subject::{Asn, Country, Subject},
    time::{Deadline, Now},
};

/// Longest line that may be a rule, bytes.
const LONGEST_LINE: u64 = 64 * 1024;
/// Bad lines that a message names.
const NAMED: usize = 10;
/// The origin of rules that an import makes.
const OPERATOR: &str = "operator";

/// A rule without an identity.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Record {
    /// What it is about.
    pub subject: Subject,
    /// What to do.
    pub action: RuleAction,
    /// Which packets.
    pub scope: Scope,
    /// Only count and report.
    pub monitor: bool,
    /// Beats protection, and may be wider than other rules.
    pub forced: bool,
    /// When it ends; `None`: it does not.
    pub until: Option<Timestamp>,
    /// Why; may be empty.
    pub reason: String,
    /// Who stands behind it, in the words of a list; only an operator's rules can be made again.
    pub origin: String,
    /// When it was made; `None`: not known.
    pub created: Option<Timestamp>,
    /// The line it came from, for messages.
    pub line: Option<usize>,
}

/// The fields as they stand in a line.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<Prefix>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asn: Option<Asn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    country: Option<Country>,
    action: RuleAction,
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default)]
    monitor: bool,
    #[serde(default)]
    forced: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(default)]
    reason: String,
    #[serde(default = "operator")]
    origin: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

/// What is wrong with a rule that is to be made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// It is no rule.
    #[error("{0}")]
    Json(String),
    /// More than a rule can be.
    #[error("longer than {} KiB", LONGEST_LINE / 1024)]
    LongLine,
    /// It covers more than a rule may without being forced.
    #[error("{0}; if that is meant, say \"forced\":true")]
    TooWide(ParseError),
    /// The reason is too long.
    #[error("the reason has {0} bytes, {MAX_REASON} are allowed")]
    LongReason(usize),
    /// It ends too late.
    #[error("{0} is more than 10 years away; for no end at all leave `until` out")]
    TooLate(Timestamp),
}

/// Lines that are no rules.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}", self.summary())]
pub struct BadLines {
    /// Line, counted from 1, and what is wrong there: the first of them, in order.
    pub first: Vec<(usize, RecordError)>,
    /// How many there are altogether.
    pub count: usize,
}

impl BadLines {
    fn summary(&self) -> String {
        let lines = self.first.iter();
        let mut lines: Vec<String> = lines
            .map(|(line, error)| format!("line {line}: {error}"))
            .collect();
        let more = self.count.saturating_sub(self.first.len());
        if more > 0 {
            lines.push(format!("and {more} more bad lines"));
        }
        lines.join("\n")
    }
}

/// Where a record stands at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It can be made a rule.
    Lasts,
    /// Its time is over.
    Over,
    /// It is not an operator's.
    Others,
}

impl Record {
    /// What is wrong with it, whatever rules there are. Nothing, if no rule is made of it.
    pub fn check(&self, now: Now) -> Result<(), RecordError> {
        if self.standing(now) != Standing::Lasts {
            return Ok(());
        }
        if let Some(prefix) = self.subject.prefix()
            && prefix.is_too_wide()
            && !self.forced
        {
            return Err(RecordError::TooWide(ParseError::TooWide {
                given: prefix.to_string(),
                prefix,
            }));
        }
        if self.reason.len() > MAX_REASON {
            return Err(RecordError::LongReason(self.reason.len()));
        }
        match self
            .until
            .map(|until| (until, until.duration_since(now.wall)))
        {
            Some((until, left))
                if Duration::try_from(left).is_ok_and(|left| left > duration::LONGEST) =>
            {
                Err(RecordError::TooLate(until))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it can be made a rule now.
    pub fn standing(&self, now: Now) -> Standing {
        if self.origin != OPERATOR {
            Standing::Others
        } else if self.until.is_some_and(|until| until <= now.wall) {
            Standing::Over
        } else {
            Standing::Lasts
        }
    }

    /// The rule of identity `id`, made when the record says, but not later than now.
    pub fn into_rule(self, id: RuleId, now: Now) -> Rule {
        let draft = Draft {
            subject: self.subject,
            action: self.action,
            scope: self.scope,
            monitor: self.monitor,
            forced: self.forced,
            deadline: self.until.and_then(|until| Deadline::at(now, until)),
            reason: self.reason,
            origin: Origin::Operator,
        };
        Rule {
            created: self.created.unwrap_or(now.wall).min(now.wall),
            ..draft.into_rule(id, now)
        }
    }

    /// Whether an operator's `rule` about the same already says all this. Ends are compared in
    /// whole seconds, as they are written.
    pub fn says(&self, rule: &Rule) -> bool {
        let ends = rule.deadline.map(|deadline| deadline.wall.as_second());
        rule.scope == self.scope
            && rule.monitor == self.monitor
            && rule.forced == self.forced
            && rule.reason == self.reason
            && ends == self.until.map(Timestamp::as_second)
    }
}

impl TryFrom<Fields> for Record {
    type Error = &'static str;

    /// An allow rule exempts from everything, enforced or not: the fields that would say otherwise
    /// mean nothing in it.
    fn try_from(fields: Fields) -> Result<Self, &'static str> {
        let subject = match (fields.prefix, fields.asn, fields.country) {
            (Some(prefix), None, None) => Subject::Prefix(prefix),
            (None, Some(asn), None) => Subject::Asn(asn),
            (None, None, Some(country)) => Subject::Country(country),
            _ => return Err("exactly one of `prefix`, `asn` and `country` is needed"),
        };
        let blocks = fields.action == RuleAction::Block;
        let scope = if blocks {
            fields.scope.unwrap_or(subject.default_scope())
        } else {
            Scope::All
        };
        Ok(Self {
            subject,
            action: fields.action,
            scope,
            monitor: fields.monitor && blocks,
            forced: fields.forced && blocks,
            until: fields.until,
            reason: fields.reason,
            origin: fields.origin,
            created: fields.created,
            line: fields.line,
        })
    }
}

impl From<Record> for Fields {
    fn from(record: Record) -> Self {
        let (prefix, asn, country) = match record.subject {
            Subject::Prefix(prefix) => (Some(prefix), None, None),
            Subject::Asn(asn) => (None, Some(asn), None),
            Subject::Country(country) => (None, None, Some(country)),
        };
        Self {
            prefix,
            asn,
            country,
            action: record.action,
            scope: Some(record.scope),
            monitor: record.monitor,
            forced: record.forced,
            until: record.until,
            reason: record.reason,
            origin: record.origin,
            created: record.created,
            line: record.line,
        }
    }
}

fn operator() -> String {
    OPERATOR.to_owned()
}

/// Reads lines to their end, hands over each rule as it comes, and then tells of all bad lines.
/// What was handed over before must not be made then. Empty lines, and a byte order mark before the
/// first line, are skipped.
pub fn read_lines<E: From<io::Error>>(
    mut lines: impl BufRead,
    now: Now,
    mut record: impl FnMut(Record) -> Result<(), E>,
) -> Result<Result<(), BadLines>, E> {
    let mut bad = BadLines {
        first: Vec::new(),
        count: 0,
    };
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let limit = LONGEST_LINE + 1;
        if lines.by_ref().take(limit).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_whole = line.ends_with(b"\n");
        let parsed = if !is_whole && u64::try_from(line.len()).is_ok_and(|length| length == limit) {
            lines.skip_until(b'\n')?;
            Err(RecordError::LongLine)
        } else {
            parse(&line, number, now)
        };
        match parsed {
            Ok(None) => {}
            // Nothing of a file with a bad line is made.
            Ok(Some(_)) if bad.count > 0 => {}
            Ok(Some(parsed)) => record(parsed)?,
            Err(error) => {
                bad.count += 1;
                if bad.first.len() < NAMED {
                    bad.first.push((number, error));
                }
            }
        }
    }
    Ok(if bad.count == 0 { Ok(()) } else { Err(bad) })
}

fn parse(line: &[u8], number: usize, now: Now) -> Result<Option<Record>, RecordError> {
    let text = match line.strip_prefix("\u{feff}".as_bytes()) {
        Some(rest) if number == 1 => rest,
        Some(_) | None => line,
    };
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    let record: Record = serde_json::from_slice(text).map_err(|error| no_rule(&error))?;
    record.check(now)?;
    Ok(Some(Record {
        line: Some(number),
        ..record
    }))
}

/// The parser counts lines within the text that it was given, of which there is one.
fn no_rule(error: &serde_json::Error) -> RecordError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    RecordError::Json(match text.strip_suffix(&place) {
        Some(what) if error.column() > 0 => format!("{what} (column {})", error.column()),
        Some(what) => what.to_owned(),
        None => text,
    })
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
