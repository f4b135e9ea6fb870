//! Answers as people read them, and as shell pipelines do.
//!
//! Reasons and names may come from anywhere, so all free text goes through [`Safe`].
#![expect(
    clippy::format_push_string,
    reason = "`write!` into a String needs its result thrown away"
)]

mod changes;
mod entries;
mod evidence;
mod feeds;
mod networks;
mod only;
mod state;
mod table;

use std::{io::Write, time::Duration};

use serde::Serialize;

pub(super) use self::{
    changes::{changed, imported, preview, taken},
    entries::{entry_raw, entry_row, entry_table, left_out},
    feeds::{feed, feed_raw, feeds, overlap},
    networks::{address, address_raw, database, file, network, network_raw},
    only::{only, only_raw},
    state::{check, effect_word, event_raw, interface, status, status_raw},
    table::{Table, rule_row, rule_table, summary, summary_raw},
};
use crate::{
    control::{
        protocol::Mode,
        view::{HitsView, ModeView, RuleView},
    },
    event::render::Safe,
    rules::{
        duration,
        rule::{RuleAction, Scope},
    },
    wording::many,
};

/// One JSON object and a line end.
pub(super) fn json(value: &impl Serialize, out: &mut dyn Write) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)?;
    Ok(())
}

/// `monitor`, `enforce` or `bypass`.
pub(super) fn mode_word(mode: &ModeView) -> &'static str {
    match (&mode.bypass, mode.mode) {
        (Some(_), _) => "bypass",
        (None, Mode::Enforce) => "enforce",
        (None, Mode::Monitor) => "monitor",
    }
}

/// The mode in a sentence.
pub(super) fn mode(mode: &ModeView) -> String {
    let base = match mode.mode {
        Mode::Monitor => "monitor: counts and reports what would be dropped, drops nothing",
        Mode::Enforce => "enforce: drops what is blocked",
    };
    let mut text = base.to_owned();
    if let Some(left) = mode.remaining_seconds {
        text.push_str(&format!(
            "\nfalls back to monitor in {} unless `bot-agent confirm` comes from another login session",
            seconds(left)
        ));
    }
    if let Some(bypass) = &mode.bypass {
        let end = bypass
            .remaining_seconds
            .map_or("until `bot-agent resume`".into(), |left| {
                format!("for {} more", seconds(left))
            });
        let why = bypass
            .reason
            .as_deref()
            .map(|reason| format!(": {}", Safe(reason)))
            .unwrap_or_default();
        text = format!("BYPASS, everything passes, {end}{why}\nbelow it: {text}");
    }
    text
}

/// A rule in a line.
pub(super) fn rule(rule: &RuleView) -> String {
    let mut text = format!(
        "{} {} {}{}, {}",
        rule.rule,
        action(rule.action),
        rule.subject,
        qualities(rule),
        lifetime(rule)
    );
    text.push_str(&format!(", by {}", Safe(&rule.origin)));
    if !rule.reason.is_empty() {
        text.push_str(&format!(": {}", Safe(&rule.reason)));
    }
    if let Some(hits) = rule.hits {
        text.push_str(&format!(" ({})", packets(hits)));
    }
    text
}

/// Tab-separated: id, prefix, action, scope, seconds left, packets, origin, reason.
pub(super) fn rule_raw(rule: &RuleView) -> String {
    let left = rule.remaining_seconds.map(|left| left.to_string());
    let packets = rule.hits.map(|hits| hits.packets.to_string());
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}",
        rule.rule.0,
        rule.subject,
        action(rule.action),
        scope(rule.scope),
        left.unwrap_or_default(),
        packets.unwrap_or_default(),
        Safe(&rule.origin),
        Safe(&rule.reason)
    )
}

fn action(action: RuleAction) -> &'static str {
    match action {
        RuleAction::Allow => "allow",
        RuleAction::Block => "block",
    }
}

fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::All => "all",
        Scope::Services => "services",
    }
}

fn qualities(rule: &RuleView) -> String {
    marks(rule.scope, rule.monitor, rule.forced)
}

fn marks(scope: Scope, monitor: bool, forced: bool) -> String {
    let mut text = String::new();
    if scope == Scope::Services {
        text.push_str(" (services)");
    }
    if monitor {
        text.push_str(" (monitor only)");
    }
    if forced {
        text.push_str(" (forced)");
    }
    text
}

fn lifetime(rule: &RuleView) -> String {
    match rule.remaining_seconds {
        Some(left) => format!("for {}", seconds(left)),
        None => "permanent".into(),
    }
}

fn seconds(seconds: u64) -> String {
    duration::format(Duration::from_secs(seconds))
}

fn packets(hits: HitsView) -> String {
    format!(
        "{}, {}",
        many(hits.packets.into(), "packet"),
        many(hits.bytes.into(), "byte")
    )
}

/// A counter of `status`. Reports, segments and hellos are events: bytes say nothing about them.
fn counted(family: &str, name: &str, hits: HitsView) -> String {
    let noun = match family {
        "channel" if name == "report_folded" => "drop",
        "channel" if name.starts_with("report") => "report",
        "channel" => "segment",
        "hellos" => "hello",
        _ => return packets(hits),
    };
    many(hits.packets.into(), noun)
}

/// Columns as wide as their widest cell, two spaces apart, nothing behind the last.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        control::view::{Changed, ExemptingList, RuleCounts, Status},
        rules::rule::RuleId,
    };

    fn view(id: u64, prefix: &str) -> RuleView {
        RuleView {
            rule: RuleId(id),
            action: RuleAction::Block,
            subject: prefix.parse().unwrap(),
            scope: Scope::All,
            monitor: false,
            forced: false,
            until: None,
            remaining_seconds: Some(14_400),
            origin: "operator".into(),
            reason: "scraper\u{1b}[2J".into(),
            created: "2026-11-22T18:00:00Z".parse().unwrap(),
            hits: Some(HitsView {
                packets: 1_234,
                bytes: 5,
            }),
        }
    }

    #[test]
    fn a_rule_is_a_sentence_without_control_characters() {
        assert_eq!(
            rule(&view(3, "198.51.100.0/24")),
            r"#3 block 198.51.100.0/24, for 4h, by operator: scraper\u{1b}[2J (1,234 packets, 5 bytes)"
        );
    }

    #[test]
    fn raw_rules_have_fixed_columns() {
        assert_eq!(
            rule_raw(&view(3, "::1")).split('\t').collect::<Vec<_>>(),
            [
                "3",
                "::1",
                "block",
                "all",
                "14400",
                "1234",
                "operator",
                r"scraper\u{1b}[2J"
            ]
        );
    }

    #[test]
    fn the_preview_names_what_stays_exempt() {
        let preview_of = Changed {
            added: 1,
            addresses: 65_536,
            exempt: 1,
            exempt_by: vec![RuleView {
                origin: "protected (gateway)".into(),
                ..view(1, "10.0.0.1")
            }],
            ..Changed::default()
        };
        let said = preview(&preview_of);
        assert_eq!(
            said,
            "1 rule for 65,536 addresses; 1 of them stays exempt, by 10.0.0.1 (protected (gateway))"
        );
        let lists = ["partners", "crawlers"].map(|name| ExemptingList {
            list: name.into(),
            entries: 2,
        });
        let of_lists = Changed {
            exempt: 4,
            exempt_by: Vec::new(),
            exempt_by_lists: lists.into(),
            ..preview_of
        };
        assert!(
            preview(&of_lists).ends_with(
                "4 of them stay exempt, by the list partners (2 prefixes), the list crawlers (2 prefixes)"
            )
        );
    }

    #[test]
    fn one_of_a_kind_has_no_plural() {
        let one = Changed {
            added: 1,
            addresses: 1,
            ..Changed::default()
        };
        assert_eq!(preview(&one), "1 rule for 1 address");
        let hits = HitsView {
            packets: 1,
            bytes: 60,
        };
        assert_eq!(packets(hits), "1 packet, 60 bytes");
    }

    #[test]
    fn counters_of_events_are_no_packets() {
        let hits = HitsView {
            packets: 4,
            bytes: 2_068,
        };
        assert_eq!(counted("channel", "hello_copied", hits), "4 segments");
        assert_eq!(counted("channel", "report_sent", hits), "4 reports");
        assert_eq!(counted("hellos", "fingerprinted", hits), "4 hellos");
        assert_eq!(
            counted("outcome", "dropped", hits),
            "4 packets, 2,068 bytes"
        );
    }

    #[test]
    fn what_only_the_agent_knows_is_not_said_to_be_none() {
        let status = Status {
            agent: None,
            mode: ModeView {
                mode: Mode::Enforce,
                until: None,
                remaining_seconds: None,
                bypass: None,
            },
            interfaces: Vec::new(),
            rules: Some(RuleCounts {
                block: 2,
                allow: 1,
                protected: None,
            }),
            table: None,
            lists: Vec::new(),
            known_good: None,
            onlys: Vec::new(),
            asn: None,
            counters: BTreeMap::new(),
            ports: None,
            notes: Vec::new(),
        };
        let text = super::status(&status);
        assert!(
            text.contains(
                "2 block, 1 allow by operators; only the agent knows the configured and protected ones"
            ),
            "{text}"
        );
    }

    #[test]
    fn tables_line_up() {
        let (mut table, mut out) = (rule_table(), Vec::new());
        for view in [view(1, "10.0.0.0/8"), view(222, "::1")] {
            table.row(rule_row(&view), &mut out).unwrap();
        }
        assert_eq!(table.end(&mut out).unwrap(), 2);
        let text = String::from_utf8(out).unwrap();
        let columns: Vec<usize> = text
            .lines()
            .map(|line| {
                line.find("operator")
                    .or_else(|| line.find("ORIGIN"))
                    .unwrap()
            })
            .collect();
        assert!(columns.iter().all(|column| *column == columns[0]), "{text}");
    }
}
