//! Requests about rules: block, allow, unblock, unallow, list, check.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Daemon,
    check::{Facts, check},
    edit, import,
    timing::Timing,
};
use crate::{
    control::{
        entries::Lists,
        list::Summary,
        network::{AddressFacts, NetworkFacts, Wanted},
        protocol::{Failure, FailureCode, Import, List, Put, Response, Take},
        view::RuleView,
    },
    event::{Body, Kind, RuleChange},
    host, policy,
    rules::rule::{RuleAction, RuleId},
};

impl Daemon {
    pub(super) fn put(
        &mut self,
        action: RuleAction,
        put: &Put,
        timing: Timing,
    ) -> Result<Response, Failure> {
        let now = host::now();
        let edit = edit::put(
            &self.filter.inputs(),
            self.databases.get(),
            action,
            put,
            self.config.block_duration,
            now,
        )?;
        if put.dry_run {
            let changed = self.filter.rehearse(edit, now)?;
            return Ok(Response::Changed(Box::new(changed)));
        }
        let added = edit.added.clone();
        let changed = self.filter.commit(edit, timing, now)?;
        self.tell_added(&added);
        Ok(Response::Changed(Box::new(changed)))
    }

    pub(super) fn import(&mut self, import: Import, timing: Timing) -> Result<Response, Failure> {
        let now = host::now();
        let dry_run = import.dry_run;
        let edit = import::import(self.filter.rules(), self.databases.get(), import, now)?;
        let added = edit.added.clone();
        let imported = if edit.changes.is_empty() {
            edit.answer
        } else if dry_run {
            self.filter.rehearse(edit, now)?
        } else {
            let imported = self.filter.commit(edit, timing, now)?;
            self.tell_added(&added);
            imported
        };
        Ok(Response::Imported(Box::new(imported)))
    }

    fn tell_added(&mut self, added: &[RuleId]) {
        let now = host::now();
        for rule in added.iter().filter_map(|id| self.filter.rules().get(*id)) {
            let body = || Body::RuleAdded(RuleChange::of(rule));
            self.sink.emit_with(now, Kind::RuleAdded, body);
        }
    }

    pub(super) fn take(
        &mut self,
        action: RuleAction,
        take: &Take,
        timing: Timing,
    ) -> Result<Response, Failure> {
        let now = host::now();
        let edit = edit::take(&self.filter.inputs(), action, take, now)?;
        if take.dry_run {
            let taken = self.filter.rehearse(edit, now)?;
            return Ok(Response::Taken(Box::new(taken)));
        }
        let removed = edit.removed.clone();
        let taken = self.filter.commit(edit, timing, now)?;
        let now = host::now();
        for rule in &removed {
            let body = || Body::RuleRemoved(RuleChange::of(rule));
            self.sink.emit_with(now, Kind::RuleRemoved, body);
        }
        Ok(Response::Taken(Box::new(taken)))
    }

    /// One page of rules or entries of lists and where to go on, or their numbers.
    pub(super) fn list(&self, list: &List) -> Result<Vec<Response>, Failure> {
        let names = self.config.lists.iter().map(|list| list.name.as_str());
        if let Some(objection) = list.objection(names) {
            return Err(Failure::new(FailureCode::Invalid, objection));
        }
        if list.summary {
            return Ok(vec![Response::Summary(self.summary(list))]);
        }
        if list.is_of_entries() {
            return Ok(self.entries(list));
        }
        let now = host::now();
        let page = list.page(self.filter.rules());
        let shown: BTreeSet<RuleId> = page.rules.iter().map(|rule| rule.id).collect();
        let hits = self
            .filter
            .hits(|rule| shown.contains(&rule))
            .map_err(|error| failed(error.to_string()))?;
        let mut lines: Vec<Response> = page
            .rules
            .iter()
            .map(|rule| {
                let hits = hits.get(&rule.id).copied();
                Response::Rule(Box::new(RuleView::of(rule, now).with_hits(hits)))
            })
            .collect();
        lines.push(Response::End {
            count: lines.len(),
            next: page.next,
            next_entry: None,
            differs: self.differs(),
        });
        Ok(lines)
    }

    fn entries(&self, list: &List) -> Vec<Response> {
        let page = list.entries(self.lists());
        let entries = page.entries.into_iter();
        let mut lines: Vec<Response> = entries
            .map(|entry| Response::Entry(Box::new(entry)))
            .collect();
        lines.push(Response::End {
            count: lines.len(),
            next: None,
            next_entry: page.next,
            differs: self.differs(),
        });
        lines
    }

    fn summary(&self, list: &List) -> Summary {
        let mut summary = Summary::default();
        if !list.is_of_entries() {
            summary = list.summarize(self.filter.rules());
        }
        if list.is_of_entries() || list.origin.is_none() {
            summary.lists = list.count_entries(self.lists());
            summary.entries = summary.lists.iter().map(|count| count.entries).sum();
        }
        summary.differs = self.differs();
        summary
    }

    fn lists(&self) -> Lists<'_> {
        Lists {
            lists: self.filter.lists(),
            tiers: self.filter.inputs().tiers,
        }
    }

    /// Who has an address, or what an ASN or a country has.
    pub(super) fn asn(&self, of: &str) -> Result<Response, Failure> {
        let invalid = |message: String| Failure::new(FailureCode::Invalid, message);
        let wanted: Wanted = of.parse().map_err(invalid)?;
        let refused = |why: &str| Failure::new(FailureCode::Refused, why);
        let database = self.databases.get().map_err(refused)?;
        Ok(match wanted {
            Wanted::Address(address) => {
                Response::Address(Box::new(AddressFacts::of(address, database)))
            }
            Wanted::Network(subject) => {
                let rules = Some(self.filter.rules());
                let facts = NetworkFacts::of(subject, database, rules, host::now());
                Response::Network(Box::new(facts))
            }
        })
    }

    pub(super) fn check(&self, address: IpAddr) -> Result<Response, Failure> {
        let now = host::now();
        let address = address.into();
        let inputs = self.filter.inputs();
        let explanation = policy::explain(&inputs, address, now);
        let covering: BTreeSet<RuleId> = explanation.rules().map(|rule| rule.id).collect();
        let hits = self
            .filter
            .hits(|rule| covering.contains(&rule))
            .map_err(|error| failed(error.to_string()))?;
        let database = self.databases.get().ok();
        let facts = Facts {
            address,
            announced: database.and_then(|database| database.lookup(address)),
            chain: self
                .filter
                .lookup(address)
                .map_err(|error| failed(error.to_string()))?,
            mode: self.mode.view(now),
            inputs,
            evidence: Some(self.evidence(address, now)),
            notes: Vec::new(),
        };
        let behind = |id| self.filter.behind(id, address, now);
        let check = check(facts, behind, |rule| hits.get(&rule).copied(), now);
        Ok(Response::Check(Box::new(check)))
    }
}

pub(super) fn failed(error: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Failed, error)
}
