//! Events: what the agent tells people and log pipelines, one line each.
//!
//! Field names are an interface (`ts`, `event`, `action`, `src`, `dst`, `sport`, `dport`, `rule`,
//! `origin`, `reason`, `ja4`, `sni`, `count`, ...): they are added to, never renamed. Source
//! addresses are in events on purpose; nothing of a packet's payload is, beyond SNI and ALPN.

pub mod budget;
pub mod console;
pub mod file;
pub mod filter;
pub mod recent;
pub mod render;
pub mod sink;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rules::{
    rule::{Rule, RuleAction, RuleId, Scope},
    subject::{self, Subject},
};

/// One line of the event log.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Event {
    /// When it happened, wall time.
    pub ts: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// What happened; the JSON field `event` names the variant.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Body {
    /// An interface is filtered from now on.
    Attach(Attach),
    /// Bypass began or ended.
    Bypass(Bypass),
    /// An interface is not filtered any more.
    Detach(Detach),
    /// Packets were dropped.
    Drop(Dropped),
    /// Something went wrong; the agent goes on.
    Error(Note),
    /// A feed brought something, or did not.
    Feed(FeedChange),
    /// A TLS client said hello.
    Hello(Box<Hello>),
    /// The mode changed.
    Mode(ModeChange),
    /// The configuration was read again.
    Reload(Note),
    /// A rule was made.
    RuleAdded(RuleChange),
    /// A rule ended by its deadline.
    RuleExpired(RuleChange),
    /// A rule was taken back.
    RuleRemoved(RuleChange),
    /// The agent started.
    Start(Note),
    /// The agent stops; the filter stays.
    Stop(Note),
    /// Events of one kind went over their budget and were not written.
    Suppressed(Suppressed),
    /// Packets would have been dropped.
    WouldDrop(Dropped),
}

/// The kind of an event, as `logs --event` takes it.
#[derive(
    Clone,
    Copy,
    Debug,
    Deserialize,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
    clap::ValueEnum,
)]
#[clap(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants of `Body`, which is documented")]
pub enum Kind {
    Attach,
    Bypass,
    Detach,
    Drop,
    Error,
    Feed,
    Hello,
    Mode,
    Reload,
    RuleAdded,
    RuleExpired,
    RuleRemoved,
    Start,
    Stop,
    Suppressed,
    WouldDrop,
}

/// What happens to the packets of the event's source.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They are dropped.
    Drop,
    /// They pass.
    Pass,
    /// They pass, and would be dropped if the mode or the rule enforced.
    WouldDrop,
}

/// The rule behind an event: empty when none covers the source, or none is known any more.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Cause {
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Packets of one source and one outcome within about a second.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Dropped {
    /// Dropped or not.
    pub action: Action,
    /// Source address.
    pub src: IpAddr,
    /// Destination address of the reported packet.
    pub dst: IpAddr,
    /// Source port of the reported packet; 0 where there is none.
    pub sport: u16,
    /// Destination port of the reported packet; 0 where there is none.
    pub dport: u16,
    /// IP protocol: `tcp`, `udp`, `icmp`, `icmpv6` or the number.
    pub protocol: String,
    /// Interface.
    pub iface: String,
    /// The rule.
    #[serde(flatten)]
    pub cause: Cause,
    /// The kernel's counter for it (`dropped`, `would_drop_mode`, `would_drop_rule`, ...).
    pub outcome: String,
    /// Packets, the reported one included.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A `ClientHello`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Hello {
    /// What the source's verdict does with such packets.
    pub action: Action,
    /// Client address.
    pub src: IpAddr,
    /// Server address.
    pub dst: IpAddr,
    /// Client port.
    pub sport: u16,
    /// Server port.
    pub dport: u16,
    /// Server name asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Protocols offered, in order.
    pub alpn: Vec<String>,
    /// JA4 fingerprint.
    pub ja4: String,
    /// JA4 in its readable form.
    pub ja4_r: String,
    /// TLS versions offered, GREASE left out, as the client ordered them.
    pub tls: Vec<String>,
    /// Whether a post-quantum key share was offered.
    pub pq: bool,
    /// The rule that covers the source.
    #[serde(flatten)]
    pub cause: Cause,
}

/// A rule that came or went.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RuleChange {
    /// Its id.
    pub rule: RuleId,
    /// Allow or block.
    pub action: RuleAction,
    /// What it is about: a field `prefix`, `asn` or `country`.
    #[serde(flatten, with = "subject::field")]
    pub subject: Subject,
    /// Which packets.
    pub scope: Scope,
    /// Whether it only watches.
    pub monitor: bool,
    /// When it ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Who made it.
    pub origin: String,
    /// Why; may be empty.
    pub reason: String,
}

/// Monitor or enforce.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ModeChange {
    /// `monitor` or `enforce`.
    pub mode: String,
    /// Falls back to monitor at this time unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What made it change.
    pub reason: String,
}

/// Bypass began or ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Bypass {
    /// Whether everything passes now.
    pub active: bool,
    /// Until when; nothing: until `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// An interface is filtered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Attach {
    /// Interface.
    pub iface: String,
    /// Its index.
    pub ifindex: u32,
    /// `native` or `generic`.
    pub mode: String,
    /// `frags` or `plain`.
    pub program: String,
    /// The link of an earlier agent was taken over: no packet passed unfiltered.
    pub adopted: bool,
}

/// An interface is not filtered any more.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Detach {
    /// Interface.
    pub iface: String,
    /// Why.
    pub reason: String,
}

/// What became of a feed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct FeedChange {
    /// Its name.
    pub feed: String,
    /// What happened.
    pub change: FeedWhat,
    /// Entries in force now.
    pub entries: usize,
    /// Entries that are new.
    #[serde(default)]
    pub added: usize,
    /// Entries that went.
    #[serde(default)]
    pub removed: usize,
    /// The same in words, with what to do.
    pub message: String,
}

/// What happened to a feed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedWhat {
    /// An update is in force.
    Updated,
    /// An update waits for somebody to accept it.
    Held,
    /// An operator stopped updates.
    Paused,
    /// An operator lets updates come again.
    Resumed,
    /// The entries before the last update are in force again.
    RolledBack,
    /// The publisher has had no news for too long.
    Stale,
}

impl FeedWhat {
    /// Its word in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::RolledBack => "rolled_back",
            Self::Stale => "stale",
        }
    }
}

/// A sentence.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Note {
    /// What, where, and what to do.
    pub message: String,
}

/// Events that were not written.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Suppressed {
    /// Their kind.
    pub kind: Kind,
    /// How many since the last such line.
    pub count: u64,
}

impl Event {
    /// An event at `ts`, which is cut to microseconds.
    pub fn at(ts: Timestamp, body: Body) -> Self {
        let ts = Timestamp::from_microsecond(ts.as_microsecond()).unwrap_or(ts);
        Self { ts, body }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// The JSON line, without the line end.
    pub fn to_json(&self) -> String {
        // Every field is a string, a number, a list or a map with string keys: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Source address, where there is one.
    pub fn src(&self) -> Option<IpAddr> {
        match &self.body {
            Body::Drop(dropped) | Body::WouldDrop(dropped) => Some(dropped.src),
            Body::Hello(hello) => Some(hello.src),
            Body::Attach(_)
            | Body::Bypass(_)
            | Body::Detach(_)
            | Body::Error(_)
            | Body::Feed(_)
            | Body::Mode(_)
            | Body::Reload(_)
            | Body::RuleAdded(_)
            | Body::RuleExpired(_)
            | Body::RuleRemoved(_)
            | Body::Start(_)
            | Body::Stop(_)
            | Body::Suppressed(_) => None,
        }
    }
}

impl Body {
    /// An error event.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error(Note {
            message: message.into(),
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Attach(_) => Kind::Attach,
            Self::Bypass(_) => Kind::Bypass,
            Self::Detach(_) => Kind::Detach,
            Self::Drop(_) => Kind::Drop,
            Self::Error(_) => Kind::Error,
            Self::Feed(_) => Kind::Feed,
            Self::Hello(_) => Kind::Hello,
            Self::Mode(_) => Kind::Mode,
            Self::Reload(_) => Kind::Reload,
            Self::RuleAdded(_) => Kind::RuleAdded,
            Self::RuleExpired(_) => Kind::RuleExpired,
            Self::RuleRemoved(_) => Kind::RuleRemoved,
            Self::Start(_) => Kind::Start,
            Self::Stop(_) => Kind::Stop,
            Self::Suppressed(_) => Kind::Suppressed,
            Self::WouldDrop(_) => Kind::WouldDrop,
        }
    }
}

impl Kind {
    /// Stable name, the value of the JSON field `event`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Bypass => "bypass",
            Self::Detach => "detach",
            Self::Drop => "drop",
            Self::Error => "error",
            Self::Feed => "feed",
            Self::Hello => "hello",
            Self::Mode => "mode",
            Self::Reload => "reload",
            Self::RuleAdded => "rule_added",
            Self::RuleExpired => "rule_expired",
            Self::RuleRemoved => "rule_removed",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Suppressed => "suppressed",
            Self::WouldDrop => "would_drop",
        }
    }
}

impl Cause {
    /// The cause that a rule is.
    pub fn of(rule: &Rule) -> Self {
        Self {
            rule: Some(rule.id),
            origin: Some(rule.origin.to_string()),
            reason: (!rule.reason.is_empty()).then(|| rule.reason.clone()),
        }
    }
}

impl RuleChange {
    /// The change that concerns `rule`.
    pub fn of(rule: &Rule) -> Self {
        Self {
            rule: rule.id,
            action: rule.action,
            subject: rule.subject,
            scope: rule.scope,
            monitor: rule.monitor,
            until: rule.deadline.map(|deadline| deadline.wall),
            origin: rule.origin.to_string(),
            reason: rule.reason.clone(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(text: &str, body: Body) -> Event {
        Event::at(text.parse().unwrap(), body)
    }

    pub(crate) fn dropped(src: &str) -> Event {
        at(
            "2026-11-22T18:00:00.123456789Z",
            Body::Drop(Dropped {
                action: Action::Drop,
                src: src.parse().unwrap(),
                dst: "192.0.2.1".parse().unwrap(),
                sport: 40_000,
                dport: 443,
                protocol: "tcp".into(),
                iface: "eth0".into(),
                cause: Cause {
                    rule: Some(RuleId(7)),
                    origin: Some("operator".into()),
                    reason: Some("scraper".into()),
                },
                outcome: "dropped".into(),
                count: 3,
                bytes: 180,
            }),
        )
    }

    pub(crate) fn hello(src: &str, ja4: &str, sni: &str) -> Event {
        at(
            "2026-11-22T18:00:01Z",
            Body::Hello(Box::new(Hello {
                action: Action::Pass,
                src: src.parse().unwrap(),
                dst: "192.0.2.1".parse().unwrap(),
                sport: 40_000,
                dport: 443,
                sni: Some(sni.into()),
                alpn: vec!["h2".into(), "http/1.1".into()],
                ja4: ja4.into(),
                ja4_r: "t13d_r".into(),
                tls: vec!["1.3".into(), "1.2".into()],
                pq: true,
                cause: Cause::default(),
            })),
        )
    }

    #[test]
    fn field_names_are_stable() {
        assert_eq!(
            dropped("198.51.100.7").to_json(),
            r#"{"ts":"2026-11-22T18:00:00.123456Z","event":"drop","action":"drop","src":"198.51.100.7","dst":"192.0.2.1","sport":40000,"dport":443,"protocol":"tcp","iface":"eth0","rule":7,"origin":"operator","reason":"scraper","outcome":"dropped","count":3,"bytes":180}"#
        );
        assert_eq!(
            hello(
                "2001:db8::7",
                "t13d1516h2_8daaf6152771_02713d6af862",
                "a.example"
            )
            .to_json(),
            r#"{"ts":"2026-11-22T18:00:01Z","event":"hello","action":"pass","src":"2001:db8::7","dst":"192.0.2.1","sport":40000,"dport":443,"sni":"a.example","alpn":["h2","http/1.1"],"ja4":"t13d1516h2_8daaf6152771_02713d6af862","ja4_r":"t13d_r","tls":["1.3","1.2"],"pq":true}"#
        );
        assert_eq!(
            at(
                "2026-11-22T18:00:00Z",
                Body::Suppressed(Suppressed {
                    kind: Kind::WouldDrop,
                    count: 9
                })
            )
            .to_json(),
            r#"{"ts":"2026-11-22T18:00:00Z","event":"suppressed","kind":"would_drop","count":9}"#
        );
    }

    #[test]
    fn lines_come_back() {
        for event in [
            dropped("198.51.100.7"),
            hello("2001:db8::7", "t13", "b.example"),
            at("2026-11-22T18:00:00Z", Body::error("the disk is full")),
        ] {
            let back: Event = serde_json::from_str(&event.to_json()).unwrap();
            assert_eq!(back, event);
        }
    }

    #[test]
    fn the_kind_is_the_value_of_the_event_field() {
        for event in [dropped("::1"), hello("::1", "t", "s")] {
            let value: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
            assert_eq!(value["event"], event.kind().name());
            assert_eq!(
                serde_json::to_value(event.kind()).unwrap(),
                event.kind().name()
            );
        }
    }
}
