//! What is: the agent, an address, an interface, an event.
#![expect(
    clippy::format_push_string,
    reason = "`write!` into a String needs its result thrown away"
)]

use super::{
    counted,
    evidence::evidence,
    mode, mode_word,
    networks::database,
    networks::who,
    only::{only, ports},
    packets, rule, scope, seconds,
};
use crate::{
    control::view::{
        Check, Effect, Interface, KernelVerdict, ListedView, PortsCheck, Status, TableView,
    },
    event::{
        Body, Event,
        render::{Brief, Safe},
    },
    wording::{grouped_of, many, many_of},
};

/// What happens to an address, and why.
pub(in crate::cli) fn check(check: &Check) -> String {
    let state = match (check.effect, &check.mode.bypass) {
        (Effect::Drop, _) => "dropped",
        (Effect::WouldDrop, _) => "passes, would be dropped",
        (Effect::Pass, Some(_)) => "passes (bypass)",
        (Effect::Pass, None) => "passes",
    };
    let mut lines = vec![format!("{}: {state}", check.address)];
    if let Some(announced) = &check.announced {
        let country = announced.country.map(|country| format!(", {country}"));
        let country = country.unwrap_or_default();
        lines.push(format!("  network  {}{country}", who(announced)));
    }
    lines.push(format!("  mode     {}", mode_word(&check.mode)));
    let decides = check.lists.iter().find(|listed| listed.decides);
    match (&check.rule, decides) {
        (Some(view), _) => lines.push(format!("  rule     {}", rule(view))),
        (None, Some(listed)) => lines.push(format!("  list     {}", entry(listed))),
        (None, None) => lines.push("  rule     none".into()),
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
    for these in &check.ports {
        lines.push(format!("  ports    {}", of_ports(these)));
    }
    for view in &check.beneath {
        lines.push(format!("  beneath  {}", rule(view)));
    }
    for listed in check.lists.iter().filter(|listed| !listed.decides) {
        lines.push(format!("  beneath  list {}", entry(listed)));
    }
    lines.extend(check.evidence.as_ref().map(evidence).into_iter().flatten());
    for note in &check.notes {
        lines.push(format!("  note     {note}"));
    }
    lines.join("\n")
}

/// What happens to packets to some ports, and who decides.
fn of_ports(these: &PortsCheck) -> String {
    let state = match these.effect {
        Effect::Drop => "dropped",
        Effect::WouldDrop => "would be dropped",
        Effect::Pass => "passes",
    };
    let mut text = format!("{}: {state}", ports(&these.ports));
    match (&these.rule, &these.list) {
        (Some(view), _) => text.push_str(&format!(", rule {}", rule(view))),
        (None, Some(list)) => text.push_str(&format!(", {}", Safe(list))),
        (None, None) => {}
    }
    if let Some(verdict) = these.kernel.first() {
        text.push_str(&format!(" ({})", kernel_verdict(verdict)));
    }
    text
}

fn entry(listed: &ListedView) -> String {
    format!("{} ({})", Safe(&listed.list), listed.prefix)
}

/// `pass`, `drop` or `would_drop`.
pub(in crate::cli) fn effect_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Drop => "drop",
        Effect::Pass => "pass",
        Effect::WouldDrop => "would_drop",
    }
}

/// An interface in a line.
pub(in crate::cli) fn interface(interface: &Interface) -> String {
    match (&interface.xdp, interface.ifindex) {
        (Some(xdp), _) => {
            let program = interface.program.as_deref().unwrap_or("XDP");
            format!("{} ({xdp}, {program})", Safe(&interface.iface))
        }
        (None, Some(_)) => format!("{} (NOT filtered)", Safe(&interface.iface)),
        (None, None) => format!("{} (no such device now)", Safe(&interface.iface)),
    }
}

/// How full the kernel's table is.
fn table_line(table: &TableView) -> String {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut line = format!(
        "table       {} of {}, {} of {}, {} of {} MiB",
        many_of(table.prefixes, "prefix"),
        grouped_of(table.max_prefixes),
        many_of(table.verdicts, "verdict"),
        grouped_of(table.max_verdicts),
        mebibytes(table.used_bytes),
        mebibytes(table.bytes),
    );
    if table.repairs > 0 {
        line.push_str(&format!(
            ", {} REPAIRED",
            many(table.repairs.into(), "difference")
        ));
    }
    line
}

/// The agent and the filter.
pub(in crate::cli) fn status(status: &Status) -> String {
    let agent = match &status.agent {
        Some(agent) => format!(
            "running since {:.0}, version {}, pid {}, {}",
            agent.since,
            agent.version,
            agent.pid,
            Safe(&agent.config)
        ),
        None => "no answer (the kernel filters on; this is from its tables)".into(),
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
        let kept = format!("rules       {} block, {} allow", rules.block, rules.allow);
        lines.push(match rules.protected {
            Some(protected) => format!("{kept}, {protected} protected"),
            None => format!(
                "{kept} by operators; only the agent knows the configured and protected ones"
            ),
        });
    }
    for (number, list) in status.lists.iter().enumerate() {
        let label = if number == 0 { "lists" } else { "" };
        lines.push(format!(
            "{label:<12}{}: {}, {}",
            Safe(&list.name),
            many_of(list.entries, "prefix"),
            packets(list.hits)
        ));
    }
    for (number, view) in status.onlys.iter().enumerate() {
        let label = if number == 0 { "only" } else { "" };
        lines.push(format!("{label:<12}{}", only(view)));
    }
    if let Some(table) = &status.table {
        lines.push(table_line(table));
    }
    if let Some(asn) = &status.asn {
        lines.push(format!("asn         {}", database(asn)));
    }
    if let Some(known) = status.known_good.filter(|known| *known > 0) {
        let known = many_of(known, "source");
        lines.push(format!("known good  {known} with proved connections"));
    }
    if let Some(found) = &status.ports {
        let list = |ports: &[String]| {
            if ports.is_empty() {
                "none".to_owned()
            } else {
                ports.join(", ")
            }
        };
        lines.push(format!("served      tcp {}", list(&found.served_tcp)));
        lines.push(format!("            udp {}", list(&found.served_udp)));
        lines.push(format!("hellos      tcp {}", list(&found.hello)));
        lines.push(format!("failsafe    tcp {}", list(&found.failsafe)));
    }
    for (family, counters) in &status.counters {
        for (number, (name, hits)) in counters.iter().enumerate() {
            let label = if number == 0 { family.as_str() } else { "" };
            lines.push(format!(
                "{label:<12}{name:<22} {}",
                counted(family, name, *hits)
            ));
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
pub(in crate::cli) fn status_raw(status: &Status) -> String {
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
pub(in crate::cli) fn event_raw(event: &Event) -> String {
    let (src, dst) = match &event.body {
        Body::Drop(dropped) | Body::WouldDrop(dropped) => {
            (dropped.src.to_string(), dropped.dst.to_string())
        }
        Body::Hello(hello) => (hello.src.to_string(), hello.dst.to_string()),
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
