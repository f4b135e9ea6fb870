//! Answers as people read them, and as shell pipelines do.
//!
//! Reasons and names may come from anywhere, so all free text goes through [`Safe`].
#![expect(
    clippy::format_push_string,
    reason = "`write!` into a String needs its result thrown away"
)]

use std::{io::Write, time::Duration};

use serde::Serialize;

use crate::{
    control::{
        protocol::Mode,
        view::{
            Changed, Check, Effect, HitsView, Interface, KernelVerdict, ModeView, RuleView, Status,
            Taken,
        },
    },
    event::{
        Body, Event,
        render::{Brief, Safe},
    },
    rules::{
        duration,
        rule::{RuleAction, Scope},
    },
};

/// Rules that a sentence about many of them names.
const NAMED: usize = 10;

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
        rule.prefix,
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
        rule.prefix,
        action(rule.action),
        scope(rule.scope),
        left.unwrap_or_default(),
        packets.unwrap_or_default(),
        Safe(&rule.origin),
        Safe(&rule.reason)
    )
}

/// A table with a heading.
pub(super) fn rule_table(rules: &[RuleView]) -> String {
    let heading = [
        "RULE", "ACTION", "PREFIX", "ENDS", "PACKETS", "ORIGIN", "REASON",
    ];
    let mut rows = vec![heading.map(String::from)];
    rows.extend(rules.iter().map(|rule| {
        [
            rule.rule.to_string(),
            format!("{}{}", action(rule.action), qualities(rule)),
            rule.prefix.to_string(),
            rule.remaining_seconds.map_or("never".into(), seconds),
            rule.hits
                .map_or(String::new(), |hits| hits.packets.to_string()),
            Safe(&rule.origin).to_string(),
            Safe(&rule.reason).to_string(),
        ]
    }));
    table(&rows)
}

/// What a wide command would do, before it does.
pub(super) fn preview(changed: &Changed) -> String {
    let count = changed.added + changed.replaced;
    let mut text = format!(
        "{} for {} addresses",
        many(count, "rule"),
        grouped(changed.addresses)
    );
    if changed.exempt > 0 {
        text.push_str(&format!(
            "; {} of them stay exempt",
            grouped(changed.exempt)
        ));
        text.push_str(&named(", by", &changed.exempt_by));
    }
    if !changed.protected.is_empty() {
        text.push_str(&named(
            "\nthese stop being protected (failsafe ports too):",
            &changed.protected,
        ));
    }
    text
}

/// What was done.
pub(super) fn changed(changed: &Changed) -> String {
    if changed.dry_run {
        return format!("nothing was changed; {}", preview(changed));
    }
    let count = changed.added + changed.replaced;
    let mut lines: Vec<String> = changed.rules.iter().take(NAMED).map(rule).collect();
    if count > NAMED {
        lines.push(format!("and {} more rules", grouped_count(count - NAMED)));
    }
    if changed.replaced > 0 {
        lines.push(format!(
            "{} took the place of an earlier one",
            many(changed.replaced, "rule")
        ));
    }
    if changed.exempt > 0 {
        let exempt = format!(
            "{} of {} addresses stay exempt",
            grouped(changed.exempt),
            grouped(changed.addresses)
        );
        lines.push(format!("{exempt}{}", named(", by", &changed.exempt_by)));
    }
    if !changed.protected.is_empty() {
        lines.push(format!(
            "warning: not protected any more, failsafe ports included{}",
            named(":", &changed.protected)
        ));
    }
    lines.join("\n")
}

/// What was taken back.
pub(super) fn taken(taken: &Taken) -> String {
    let verb = if taken.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    let mut lines: Vec<String> = taken
        .rules
        .iter()
        .take(NAMED)
        .map(|view| format!("{verb}: {}", rule(view)))
        .collect();
    if taken.removed > NAMED {
        lines.push(format!(
            "and {} more rules",
            grouped_count(taken.removed - NAMED)
        ));
    }
    for unknown in taken.unknown.iter().take(NAMED) {
        lines.push(format!(
            "{unknown}: no operator rule of exactly that target"
        ));
    }
    if taken.unknown.len() > NAMED {
        let more = taken.unknown.len() - NAMED;
        lines.push(format!("and {} more without a rule", grouped_count(more)));
    }
    for still in taken.still.iter().take(NAMED) {
        lines.push(format!(
            "{} stays covered by {}",
            still.prefix,
            rule(&still.by)
        ));
    }
    if taken.still.len() > NAMED {
        let more = taken.still.len() - NAMED;
        lines.push(format!("and {} more stay covered", grouped_count(more)));
    }
    lines.join("\n")
}

/// What happens to an address, and why.
pub(super) fn check(check: &Check) -> String {
    let state = match (check.effect, &check.mode.bypass) {
        (Effect::Drop, _) => "dropped",
        (Effect::WouldDrop, _) => "passes, would be dropped",
        (Effect::Pass, Some(_)) => "passes (bypass)",
        (Effect::Pass, None) => "passes",
    };
    let mut lines = vec![format!("{}: {state}", check.address)];
    lines.push(format!("  mode     {}", mode_word(&check.mode)));
    match &check.rule {
        Some(view) => lines.push(format!("  rule     {}", rule(view))),
        None => lines.push("  rule     none".into()),
    }
    for (number, verdict) in check.kernel.iter().enumerate() {
        let label = if number == 0 {
            "kernel   "
        } else {
            "   then  "
        };
        lines.push(format!("  {label}{}", kernel_verdict(verdict)));
    }
    if check.kernel.is_empty() {
        lines.push("  kernel   no entry covers the address".into());
    }
    for view in &check.beneath {
        lines.push(format!("  beneath  {}", rule(view)));
    }
    for note in &check.notes {
        lines.push(format!("  note     {note}"));
    }
    lines.join("\n")
}

/// `pass`, `drop` or `would_drop`.
pub(super) fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Drop => "drop",
        Effect::Pass => "pass",
        Effect::WouldDrop => "would_drop",
    }
}

/// An interface in a line.
pub(super) fn interface(interface: &Interface) -> String {
    match (&interface.xdp, interface.ifindex) {
        (Some(xdp), _) => {
            let program = interface.program.as_deref().unwrap_or("XDP");
            format!("{} ({xdp}, {program})", Safe(&interface.iface))
        }
        (None, Some(_)) => format!("{} (NOT filtered)", Safe(&interface.iface)),
        (None, None) => format!("{} (no such device now)", Safe(&interface.iface)),
    }
}

/// The agent and the filter.
pub(super) fn status(status: &Status) -> String {
    let agent = match &status.agent {
        Some(agent) => format!(
            "running since {:.0}, version {}, pid {}, {}",
            agent.since,
            agent.version,
            agent.pid,
            Safe(&agent.config)
        ),
        None => "not running (the kernel filters on; this is from its tables)".into(),
    };
    let mut lines = vec![
        format!("agent       {agent}"),
        format!(
            "mode        {}",
            mode(&status.mode).replace('\n', "\n            ")
        ),
    ];
    for (number, view) in status.interfaces.iter().enumerate() {
        let label = if number == 0 { "interfaces" } else { "" };
        lines.push(format!("{label:<12}{}", interface(view)));
    }
    if status.interfaces.is_empty() {
        lines.push("interfaces  none: nothing is filtered".into());
    }
    if let Some(rules) = &status.rules {
        lines.push(format!(
            "rules       {} block, {} allow, {} protected",
            rules.block, rules.allow, rules.protected
        ));
    }
    if let Some(ports) = &status.ports {
        let list = |ports: &[String]| {
            if ports.is_empty() {
                "none".to_owned()
            } else {
                ports.join(", ")
            }
        };
        lines.push(format!("served      tcp {}", list(&ports.served_tcp)));
        lines.push(format!("            udp {}", list(&ports.served_udp)));
        lines.push(format!("hellos      tcp {}", list(&ports.hello)));
        lines.push(format!("failsafe    tcp {}", list(&ports.failsafe)));
    }
    for (family, counters) in &status.counters {
        for (number, (name, hits)) in counters.iter().enumerate() {
            let label = if number == 0 { family.as_str() } else { "" };
            lines.push(format!("{label:<12}{name:<22} {}", packets(*hits)));
        }
    }
    lines.extend(
        status
            .notes
            .iter()
            .map(|note| format!("note        {note}")),
    );
    lines.join("\n")
}

/// Tab-separated keys and values.
pub(super) fn status_raw(status: &Status) -> String {
    let mut lines = vec![
        format!("running\t{}", status.agent.is_some()),
        format!("mode\t{}", mode_word(&status.mode)),
    ];
    for interface in &status.interfaces {
        let xdp = interface.xdp.as_deref().unwrap_or("none");
        lines.push(format!("interface\t{}\t{xdp}", Safe(&interface.iface)));
    }
    for (family, counters) in &status.counters {
        for (name, hits) in counters {
            lines.push(format!(
                "{family}\t{name}\t{}\t{}",
                hits.packets, hits.bytes
            ));
        }
    }
    lines.join("\n")
}

/// Tab-separated: time, kind, source, destination, then what the human line says.
pub(super) fn event_raw(event: &Event) -> String {
    let (src, dst) = match &event.body {
        Body::Drop(dropped) | Body::WouldDrop(dropped) => {
            (dropped.src.to_string(), dropped.dst.to_string())
        }
        Body::Hello(hello) => (hello.src.to_string(), hello.dst.to_string()),
        Body::Attach(_)
        | Body::Bypass(_)
        | Body::Detach(_)
        | Body::Error(_)
        | Body::Mode(_)
        | Body::Reload(_)
        | Body::RuleAdded(_)
        | Body::RuleExpired(_)
        | Body::RuleRemoved(_)
        | Body::Start(_)
        | Body::Stop(_)
        | Body::Suppressed(_) => (String::new(), String::new()),
    };
    let brief = Brief(event).to_string();
    let rest = brief.split_once(' ').map_or("", |(_, rest)| rest.trim());
    format!(
        "{}\t{}\t{src}\t{dst}\t{rest}",
        event.ts,
        event.kind().name()
    )
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn kernel_verdict(verdict: &KernelVerdict) -> String {
    let mut text = format!(
        "verdict {}: {}, scope {}",
        verdict.verdict,
        verdict.action,
        scope(verdict.scope)
    );
    if verdict.monitor {
        text.push_str(", monitor only");
    }
    if verdict.forced {
        text.push_str(", forced");
    }
    if let Some(left) = verdict.remaining_seconds {
        text.push_str(&format!(", for {} more", seconds(left)));
    }
    if let Some(hits) = verdict.hits {
        text.push_str(&format!(", {}", packets(hits)));
    }
    text
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
    let mut text = String::new();
    if rule.scope == Scope::Services {
        text.push_str(" (services)");
    }
    if rule.monitor {
        text.push_str(" (monitor only)");
    }
    if rule.forced {
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
        "{} packets, {} bytes",
        grouped(hits.packets.into()),
        grouped(hits.bytes.into())
    )
}

fn many(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped_count(count))
}

fn grouped_count(count: usize) -> String {
    grouped(u128::try_from(count).unwrap_or(u128::MAX))
}

/// Up to [`NAMED`] rules behind a few words.
fn named(words: &str, rules: &[RuleView]) -> String {
    let mut texts: Vec<String> = rules
        .iter()
        .take(NAMED)
        .map(|rule| format!("{} ({})", rule.prefix, Safe(&rule.origin)))
        .collect();
    if rules.len() > NAMED {
        texts.push("...".into());
    }
    format!("{words} {}", texts.join(", "))
}

/// Columns as wide as their widest cell, two spaces apart, nothing behind the last.
fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::rule::RuleId;

    fn view(id: u64, prefix: &str) -> RuleView {
        RuleView {
            rule: RuleId(id),
            action: RuleAction::Block,
            prefix: prefix.parse().unwrap(),
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
        let preview = preview(&Changed {
            added: 1,
            addresses: 65_536,
            exempt: 1,
            exempt_by: vec![RuleView {
                origin: "protected (gateway)".into(),
                ..view(1, "10.0.0.1")
            }],
            ..Changed::default()
        });
        assert_eq!(
            preview,
            "1 rule for 65,536 addresses; 1 of them stay exempt, by 10.0.0.1 (protected (gateway))"
        );
    }

    #[test]
    fn tables_line_up() {
        let text = rule_table(&[view(1, "10.0.0.0/8"), view(222, "::1")]);
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

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (16_777_216, "16,777,216"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
