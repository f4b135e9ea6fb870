//! Requests and responses as they stand on the wire.
//!
//! The tests lock the format: fields and variants are added, never renamed; unknown fields in a
//! request are refused, so that a typo is never a silent default.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use super::list::List;
use super::{
    entries::{EntryCursor, EntryView},
    feeds::{FeedView, Feeds, OverlapView},
    list::Summary,
    network::{AddressFacts, NetworkFacts},
    view::{Changed, Check, Imported, Interface, ModeView, OnlyView, RuleView, Status, Taken},
};
pub use crate::rules::mode::Mode;
use crate::{
    event::{Event, filter::Filter},
    policy::Ports,
    rules::{
        record::Record,
        rule::{RuleId, Scope},
    },
};

/// Raised when a client could misread an answer.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest request line, bytes.
pub const MAX_REQUEST: usize = 1 << 20;

/// Targets that a client puts into one request, or one part of it: any of them fits
/// [`MAX_REQUEST`].
pub const MAX_TARGETS: usize = 10_000;

/// What a client asks for; the field `command` names the variant.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "command")]
pub enum Request {
    /// Make allow rules.
    Allow(Put),
    /// Who has an address, or what an ASN or a country has.
    Asn {
        /// An address, an ASN (`AS64500`) or a country (`country:DE`).
        of: String,
    },
    /// Filter an interface.
    Attach {
        /// Its name.
        iface: String,
        /// How.
        #[serde(default)]
        xdp: XdpMode,
        /// Take the place of a program that is not ours.
        #[serde(default)]
        replace: bool,
    },
    /// Make block rules.
    Block(Put),
    /// Let everything pass.
    Bypass {
        /// Why; required.
        reason: String,
        /// For how long; nothing: until `resume`.
        #[serde(default)]
        seconds: Option<u64>,
    },
    /// Explain what happens to an address.
    Check {
        /// The address.
        address: IpAddr,
    },
    /// Keep enforcing after `mode` with `confirm_within_seconds`.
    Confirm {
        /// Accept this from the session that set it.
        #[serde(default)]
        same_session: bool,
    },
    /// Stop filtering an interface.
    Detach {
        /// Its name; nothing: all of them.
        #[serde(default)]
        iface: Option<String>,
    },
    /// Show feeds, or decide about them.
    Feeds(Feeds),
    /// Make rules that were exported.
    Import(Import),
    /// Rules, one `rule` line each, or entries of lists, one `entry` line each, then `end`; or
    /// `summary`.
    List(List),
    /// Events, one `event` line each, then `end` unless following.
    Logs(Logs),
    /// Show or change the mode.
    Mode {
        /// The mode to set; nothing: only show.
        #[serde(default)]
        set: Option<Mode>,
        /// Fall back to monitor after this time unless `confirm` comes.
        #[serde(default)]
        confirm_within_seconds: Option<u64>,
    },
    /// Lock ports to the addresses of some lists, in place of an earlier lock of the same ports.
    Only {
        /// TCP and UDP ports.
        ports: Ports,
        /// Names of the lists whose addresses stay.
        from: Vec<String>,
        /// Only count and report.
        #[serde(default)]
        monitor: bool,
    },
    /// Show locks.
    OnlyList {},
    /// Open the ports of a lock again.
    OnlyRemove {
        /// Just those of the lock.
        ports: Ports,
    },
    /// Read the configuration again.
    Reload {},
    /// End bypass.
    Resume {},
    /// Describe the agent.
    Status {},
    /// Take allow rules back.
    Unallow(Take),
    /// Take block rules back.
    Unblock(Take),
    /// Name versions.
    Version {},
}

/// Rules to make.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the documented request"
)]
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    /// Addresses, CIDRs, ranges `a-b`, ASNs (`AS64500`) and countries (`country:DE`).
    pub targets: Vec<String>,
    /// For how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Without end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub permanent: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Only count and report.
    #[serde(default, skip_serializing_if = "is_false")]
    pub monitor: bool,
    /// Which packets; nothing: all for addresses, services for ASNs and countries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Also protected addresses and very wide networks.
    #[serde(default, skip_serializing_if = "is_false")]
    pub force: bool,
    /// Only say what would happen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// More targets follow in another request: these are only kept until then, or until the
    /// connection ends. Of the other fields those of the last request count.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// How many targets of the same list came in requests before; 0 begins another list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: usize,
}

/// Rules to make as they were exported: all of them, or none.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// The rules.
    pub rules: Vec<Record>,
    /// More rules follow in another request: these are only kept until then, or until the
    /// connection ends.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// How many rules of the same list came in requests before; 0 begins another list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: usize,
    /// Only say what would happen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
}

/// Rules to take back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    /// Addresses, CIDRs, ranges, ASNs and countries, as the rules were made.
    pub targets: Vec<String>,
    /// Only say what would happen.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dry_run: bool,
    /// More targets follow in another request: these are only kept until then, or until the
    /// connection ends. Of the other fields those of the last request count.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// How many targets of the same list came in requests before; 0 begins another list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: usize,
}

/// Which events to show.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Logs {
    /// Stay connected and show events as they come.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follow: bool,
    /// Not older than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    /// At most so many of the past; nothing: 100 without `since_seconds`, all with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Conditions.
    #[serde(default)]
    pub filter: Filter,
}

/// Where in the network stack to filter.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum XdpMode {
    /// In the driver if it can, else generic.
    #[default]
    Auto,
    /// In the driver only.
    Native,
    /// Behind the driver.
    Generic,
}

/// A line from the agent. `rule`, `entry` and `event` are items; every other line ends an answer.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Who has an address.
    Address(Box<AddressFacts>),
    /// Interfaces that are filtered now.
    Attached(Vec<Interface>),
    /// Rules were made, or would be.
    Changed(Box<Changed>),
    /// What happens to an address.
    Check(Box<Check>),
    /// Nothing more follows.
    End {
        /// Items before this line.
        count: usize,
        /// Rules may follow this one: it is the `after` of the next page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<RuleId>,
        /// Entries of lists may follow this one: it is the `after_entry` of the next page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_entry: Option<EntryCursor>,
        /// Of rules: why the kernel's table is not what they say; nothing: it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        differs: Option<String>,
    },
    /// An item: an entry of a list.
    Entry(Box<EntryView>),
    /// The request failed; nothing was changed unless the message says so.
    Error(Failure),
    /// An item: an event.
    Event(Box<Event>),
    /// Feeds.
    Feeds(Vec<FeedView>),
    /// Part of a list is kept until the rest of it comes.
    Gathered {
        /// How many, together with those before.
        count: usize,
    },
    /// Rules were imported, or would be.
    Imported(Box<Imported>),
    /// The mode, after the change.
    Mode(ModeView),
    /// What an ASN or a country has.
    Network(Box<NetworkFacts>),
    /// Done; a sentence about it.
    Ok {
        /// The sentence.
        message: String,
    },
    /// The locks.
    Onlys(Vec<OnlyView>),
    /// What two feeds have in common.
    Overlap(Box<OverlapView>),
    /// An item: a rule.
    Rule(Box<RuleView>),
    /// The agent.
    Status(Box<Status>),
    /// How many rules and entries of lists there are.
    Summary(Summary),
    /// Rules were taken back, or would be.
    Taken(Box<Taken>),
    /// Versions.
    Version(Version),
}

/// Why a request failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind, for programs.
    pub code: FailureCode,
    /// What, where, and what to do.
    pub message: String,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The configuration is wrong.
    BadConfig,
    /// Too many clients.
    Busy,
    /// Tried and failed.
    Failed,
    /// The interface has an XDP program of somebody else.
    ForeignProgram,
    /// The request is no request, or a value in it is wrong.
    Invalid,
    /// The kernel is too old or lacks something.
    KernelTooOld,
    /// A privilege is missing.
    MissingPrivilege,
    /// Possible, but only with `force`, or not in this state.
    Refused,
    /// The request line is longer than allowed; the connection is closed.
    TooLarge,
}

/// Versions of the agent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Version {
    /// Of the program.
    pub version: String,
    /// Of this protocol.
    pub protocol: u32,
    /// Of the kernel tables.
    pub layout: u32,
}

impl Response {
    /// Whether more lines of the same answer follow.
    pub fn is_item(&self) -> bool {
        matches!(self, Self::Entry(_) | Self::Event(_) | Self::Rule(_))
    }

    /// The failure, if the request failed.
    pub fn failure(&self) -> Option<&Failure> {
        if let Self::Error(failure) = self {
            Some(failure)
        } else {
            None
        }
    }

    /// The end of an answer of `count` items.
    pub fn end(count: usize) -> Self {
        Self::End {
            count,
            next: None,
            next_entry: None,
            differs: None,
        }
    }

    /// A failure.
    pub fn error(code: FailureCode, message: impl Into<String>) -> Self {
        Self::Error(Failure::new(code, message))
    }

    /// The line, with its end.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_else(|error| {
            format!(r#"{{"error":{{"code":"failed","message":"no JSON: {error}"}}}}"#).into_bytes()
        });
        line.push(b'\n');
        line
    }
}

impl Failure {
    /// A failure.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl Version {
    /// Of this program.
    pub fn ours() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL_VERSION,
            layout: bot_common::abi::names::LAYOUT_VERSION,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{
            entries::EntryAction,
            list::{Family, OriginName},
        },
        event::Kind,
        rules::rule::RuleAction,
    };

    const RECORD: &str = r#"{"prefix":"192.0.2.7","action":"block","scope":"all","monitor":false,"forced":false,"until":"2026-11-29T18:00:00Z","reason":"","origin":"operator","created":"2026-11-22T18:00:00Z","line":17}"#;

    fn parse(line: &str) -> Request {
        serde_json::from_str(line).unwrap()
    }

    /// Both ways: what is written is what is documented, and what is documented is understood.
    #[track_caller]
    fn is(request: &Request, line: &str) {
        assert_eq!(serde_json::to_string(request).unwrap(), line);
        assert_eq!(&parse(line), request);
    }

    #[test]
    fn requests_about_locks_have_their_documented_form() {
        is(
            &Request::Only {
                ports: "8443,443".parse().unwrap(),
                from: vec!["cdn".into()],
                monitor: false,
            },
            r#"{"command":"only","ports":[443,8443],"from":["cdn"],"monitor":false}"#,
        );
        is(&Request::OnlyList {}, r#"{"command":"only_list"}"#);
        is(
            &Request::OnlyRemove {
                ports: "443".parse().unwrap(),
            },
            r#"{"command":"only_remove","ports":[443]}"#,
        );
        assert!(
            serde_json::from_str::<Request>(r#"{"command":"only_remove","ports":[]}"#).is_err()
        );
    }

    #[test]
    fn requests_have_their_documented_form() {
        is(&Request::Status {}, r#"{"command":"status"}"#);
        is(
            &Request::Block(Put {
                targets: vec!["198.51.100.0/24".into(), "2001:db8::1-2001:db8::9".into()],
                seconds: Some(14_400),
                permanent: false,
                reason: "scraper".into(),
                monitor: true,
                scope: Some(Scope::Services),
                force: false,
                dry_run: false,
                more: false,
                before: 0,
            }),
            r#"{"command":"block","targets":["198.51.100.0/24","2001:db8::1-2001:db8::9"],"seconds":14400,"reason":"scraper","monitor":true,"scope":"services"}"#,
        );
        is(
            &Request::Asn {
                of: "AS64500".into(),
            },
            r#"{"command":"asn","of":"AS64500"}"#,
        );
        is(
            &Request::Unblock(Take {
                targets: vec!["198.51.100.7".into()],
                dry_run: false,
                more: true,
                before: 10_000,
            }),
            r#"{"command":"unblock","targets":["198.51.100.7"],"more":true,"before":10000}"#,
        );
        is(
            &Request::Check {
                address: "2001:db8::1".parse().unwrap(),
            },
            r#"{"command":"check","address":"2001:db8::1"}"#,
        );
        is(
            &Request::Mode {
                set: Some(Mode::Enforce),
                confirm_within_seconds: Some(60),
            },
            r#"{"command":"mode","set":"enforce","confirm_within_seconds":60}"#,
        );
        is(
            &Request::Logs(Logs {
                follow: true,
                since_seconds: Some(600),
                limit: None,
                filter: Filter {
                    events: vec![Kind::Hello, Kind::WouldDrop],
                    src: Some("198.51.100.0/24".parse().unwrap()),
                    ja4: Some("t13*".into()),
                },
            }),
            r#"{"command":"logs","follow":true,"since_seconds":600,"filter":{"events":["hello","would_drop"],"src":"198.51.100.0/24","ja4":"t13*"}}"#,
        );
        is(
            &Request::List(List {
                action: Some(RuleAction::Block),
                origin: Some(OriginName::Operator),
                family: Some(Family::V6),
                within: Some("2001:db8::/32".parse().unwrap()),
                after: Some(RuleId(1_000)),
                limit: Some(1_000),
                ..List::default()
            }),
            r#"{"command":"list","action":"block","origin":"operator","family":6,"within":"2001:db8::/32","after":1000,"limit":1000}"#,
        );
        is(
            &Request::Import(Import {
                rules: vec![serde_json::from_str(RECORD).unwrap()],
                more: true,
                before: 4_000,
                dry_run: false,
            }),
            &format!(r#"{{"command":"import","rules":[{RECORD}],"more":true,"before":4000}}"#),
        );
        is(
            &Request::Attach {
                iface: "eth0".into(),
                xdp: XdpMode::Native,
                replace: true,
            },
            r#"{"command":"attach","iface":"eth0","xdp":"native","replace":true}"#,
        );
    }

    #[test]
    fn what_may_be_left_out_has_its_documented_default() {
        let Request::Block(put) = parse(r#"{"command":"block","targets":["192.0.2.1"]}"#) else {
            panic!("no block request");
        };
        assert_eq!(put.scope, None);
        assert_eq!(
            (put.seconds, put.permanent, put.force),
            (None, false, false)
        );
        assert_eq!(
            parse(r#"{"command":"attach","iface":"eth0"}"#),
            Request::Attach {
                iface: "eth0".into(),
                xdp: XdpMode::Auto,
                replace: false
            }
        );
        assert_eq!(
            parse(r#"{"command":"mode"}"#),
            Request::Mode {
                set: None,
                confirm_within_seconds: None
            }
        );
    }

    #[test]
    fn a_typo_is_refused_and_named() {
        for (line, named) in [
            (r#"{"command":"status","verbose":true}"#, "verbose"),
            (r#"{"command":"bloc","targets":[]}"#, "bloc"),
            (r#"{"command":"block","targets":[],"durtion":4}"#, "durtion"),
            (r#"{"command":"mode","sett":"enforce"}"#, "sett"),
            (r#"{"command":"list","famly":4}"#, "famly"),
            (r#"{"command":"import","rules":[],"dryrun":true}"#, "dryrun"),
            (r#"{"command":"logs","filter":{"source":"::1"}}"#, "source"),
            (r#"{"targets":[]}"#, "command"),
        ] {
            let error = serde_json::from_str::<Request>(line).unwrap_err();
            assert!(error.to_string().contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn responses_have_their_documented_form() {
        let lines = [
            (
                Response::error(FailureCode::ForeignProgram, "eth0 is taken"),
                r#"{"error":{"code":"foreign_program","message":"eth0 is taken"}}"#,
            ),
            (
                Response::End {
                    count: 1_000,
                    next: Some(RuleId(1_017)),
                    next_entry: None,
                    differs: None,
                },
                r#"{"end":{"count":1000,"next":1017}}"#,
            ),
            (
                Response::End {
                    count: 2,
                    next: None,
                    next_entry: None,
                    differs: Some("why".into()),
                },
                r#"{"end":{"count":2,"differs":"why"}}"#,
            ),
            (
                Response::End {
                    count: 0,
                    next: None,
                    next_entry: Some(EntryCursor {
                        list: "bad".into(),
                        prefix: "192.0.2.0/24".parse().unwrap(),
                    }),
                    differs: None,
                },
                r#"{"end":{"count":0,"next_entry":{"list":"bad","prefix":"192.0.2.0/24"}}}"#,
            ),
            (
                Response::Entry(Box::new(EntryView {
                    prefix: "192.0.2.7".parse().unwrap(),
                    action: EntryAction::Throttle,
                    scope: Scope::Services,
                    list: "bad".into(),
                    score: Some(70),
                    monitor: false,
                })),
                r#"{"entry":{"prefix":"192.0.2.7","action":"throttle","scope":"services","list":"bad","score":70}}"#,
            ),
            (
                Response::Gathered { count: 4_000 },
                r#"{"gathered":{"count":4000}}"#,
            ),
            (Response::end(3), r#"{"end":{"count":3}}"#),
            (
                Response::Ok {
                    message: "done".into(),
                },
                r#"{"ok":{"message":"done"}}"#,
            ),
        ];
        for (response, line) in lines {
            assert_eq!(response.to_line(), format!("{line}\n").into_bytes());
            assert_eq!(serde_json::from_str::<Response>(line).unwrap(), response);
        }
    }
}
