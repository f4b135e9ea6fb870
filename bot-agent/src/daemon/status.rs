//! The agent and the filter in one view.

use std::collections::BTreeMap;

use bot_common::abi::counter::{Channel, Counter, Hits};

use super::{Daemon, rules::failed};
use crate::{
    control::{
        network::DatabaseView,
        protocol::{Failure, Response},
        view::{AgentView, HitsView, ListView, PortsView, RuleCounts, Status, TableView, counters},
    },
    host::{self, ports::PortSet},
    rules::{
        rule::{Origin, Rule, RuleAction},
        set::RuleSet,
        time::Now,
    },
    stream::Failure as HelloFailure,
    wording::{many, verb},
};

/// Bytes of a line of the table.
const LINE_BYTES: u64 = 64;

impl Daemon {
    pub(super) fn status(&self) -> Result<Response, Failure> {
        let now = host::now();
        let read = self
            .filter
            .enforcer
            .datapath
            .counters()
            .map_err(|error| failed(error.to_string()))?;
        let mut counters = counters(&read);
        counters.insert("hellos".into(), self.hello_counters());
        let mut notes = lost(&read);
        notes.extend(self.troubles.values().cloned());
        notes.extend(self.feed_notes());
        notes.extend(self.front_notes());
        let is_told = |why: &str| notes.iter().any(|note| note.contains(why));
        if !self.filter.lag().is_none_or(is_told) {
            notes.extend(self.differs());
        }
        notes.extend(self.filter.excess(now));
        Ok(Response::Status(Box::new(Status {
            agent: Some(AgentView {
                version: env!("CARGO_PKG_VERSION").into(),
                pid: std::process::id(),
                since: self.started,
                config: self.config_path.display().to_string(),
            }),
            mode: self.mode.view(now),
            interfaces: self.interfaces.view(),
            rules: Some(count(self.filter.rules())),
            table: self.table_view(now),
            lists: self.list_views()?,
            onlys: self.onlys()?,
            asn: self.databases.get().ok().map(DatabaseView::of),
            counters,
            known_good: Some(self.known_good.len()),
            ports: Some(PortsView {
                served_tcp: ranges(&self.ports.served_tcp),
                served_udp: ranges(&self.ports.served_udp),
                hello: ranges(&self.ports.hello),
                failsafe: ranges(&self.ports.failsafe),
            }),
            notes,
        })))
    }

    /// Why the kernel's table is not what the rules say; nothing: as far as is known, it is.
    pub(super) fn differs(&self) -> Option<String> {
        let lag = self.filter.lag();
        let lag = lag.map(|why| format!("the kernel's table is not what the rules say: {why}"));
        let idle = self.databases.idle(self.filter.rules());
        let both: Vec<String> = lag.into_iter().chain(idle).collect();
        (!both.is_empty()).then(|| both.join("; "))
    }

    /// How full the kernel's table is.
    fn table_view(&self, now: Now) -> Option<TableView> {
        let enforcer = &self.filter.enforcer;
        let usage = enforcer.datapath.usage()?;
        let (used, limits) = enforcer.used(&self.filter.inputs(), now);
        let bytes = |lines: u32| u64::from(lines) * LINE_BYTES;
        Some(TableView {
            prefixes: used.prefixes,
            max_prefixes: limits.prefixes,
            verdicts: used.verdicts,
            max_verdicts: limits.verdicts,
            bytes: bytes(usage.total),
            used_bytes: bytes(usage.used),
            repairs: enforcer.repairs(),
        })
    }

    fn list_views(&self) -> Result<Vec<ListView>, Failure> {
        let hits = self.filter.list_hits();
        let hits = hits.map_err(|error| failed(error.to_string()))?;
        let lists = self.filter.lists().iter();
        Ok(lists
            .map(|list| ListView {
                name: list.name().to_string(),
                entries: list.len(),
                hits: hits.get(&list.id()).copied().unwrap_or_default().into(),
            })
            .collect())
    }

    /// What became of hellos in the agent, as counters without bytes.
    fn hello_counters(&self) -> BTreeMap<String, HitsView> {
        let totals = self.assembler.totals();
        let causes = HelloFailure::ALL.map(|cause| (cause.name(), totals.failed(cause)));
        let all = [
            ("fingerprinted", totals.hellos),
            ("conflicting", totals.conflicting),
        ]
        .into_iter()
        .chain(causes);
        all.filter(|(_, packets)| *packets > 0)
            .map(|(name, packets)| (name.to_owned(), HitsView { packets, bytes: 0 }))
            .collect()
    }
}

/// Reports that did not reach the agent: what it shows of drops and hellos is not all.
pub(super) fn lost(counters: &[(Counter, Hits)]) -> Vec<String> {
    let of = |wanted: Channel| {
        let found = counters
            .iter()
            .find(|(counter, _)| *counter == Counter::Channel(wanted));
        found.map_or(0, |(_, hits)| hits.packets)
    };
    let mut notes = Vec::new();
    let reports = of(Channel::ReportBudget) + of(Channel::ReportRingFull);
    if reports > 0 {
        notes.push(format!(
            "{} {} not sent (budget or full ring): counters are exact, events are not",
            many(reports.into(), "drop report"),
            verb(reports.into(), "was", "were")
        ));
    }
    let hellos = of(Channel::HelloBudget) + of(Channel::HelloRingFull) + of(Channel::FlowSlotBusy);
    if hellos > 0 {
        notes.push(format!(
            "{} of hellos {} not copied (budget, full ring or busy flow table)",
            many(hellos.into(), "segment"),
            verb(hellos.into(), "was", "were")
        ));
    }
    notes
}

/// How many rules of each kind there are.
pub(super) fn count(rules: &RuleSet) -> RuleCounts {
    let mut counts = RuleCounts::default();
    let mut protected = 0;
    for rule in rules.iter() {
        let Rule { action, origin, .. } = rule;
        match (origin, action) {
            (Origin::Protected(_), _) => protected += 1,
            (_, RuleAction::Allow) => counts.allow += 1,
            (_, RuleAction::Block) => counts.block += 1,
        }
    }
    counts.protected = Some(protected);
    counts
}

/// Consecutive ports as ranges: `80`, `8000-8010`.
fn ranges(ports: &PortSet) -> Vec<String> {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports.iter() {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(port) => *last = port,
            _ => ranges.push((port, port)),
        }
    }
    ranges
        .into_iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_shown_as_ranges() {
        let ports: PortSet = [443, 22, 80, 81, 82, 65_535].into_iter().collect();
        assert_eq!(ranges(&ports), ["22", "80-82", "443", "65535"]);
        assert_eq!(ranges(&PortSet::all()), ["0-65535"]);
    }

    #[test]
    fn lost_reports_are_pointed_out() {
        let hits = |packets| Hits { packets, bytes: 0 };
        assert_eq!(
            lost(&[(Counter::Channel(Channel::ReportSent), hits(9))]),
            [""; 0]
        );
        let notes = lost(&[(Counter::Channel(Channel::ReportRingFull), hits(9))]);
        assert!(notes[0].starts_with("9 drop reports"), "{notes:?}");
    }
}
