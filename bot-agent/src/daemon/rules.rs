//! Requests about rules: block, allow, unblock, unallow, list, check.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    Daemon,
    check::{Facts, check},
    edit,
};
use crate::{
    control::{
        protocol::{Failure, FailureCode, List, Put, Response, Take},
        view::RuleView,
    },
    event::{Body, RuleChange},
    host,
    rules::{
        prefix::Prefix,
        rule::{Origin, Rule, RuleAction, RuleId},
        subject::Subject,
    },
};

impl Daemon {
    pub(super) fn put(&mut self, action: RuleAction, put: &Put) -> Result<Response, Failure> {
        let now = host::now();
        let edit = edit::put(
            self.filter.rules(),
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
        let changed = self.filter.commit(edit, now)?;
        let rules = added
            .iter()
            .filter_map(|id| self.filter.rules().get(*id))
            .map(|rule| Body::RuleAdded(RuleChange::of(rule)));
        let bodies: Vec<Body> = rules.collect();
        self.emit_all(bodies);
        Ok(Response::Changed(Box::new(changed)))
    }

    pub(super) fn take(&mut self, action: RuleAction, take: &Take) -> Result<Response, Failure> {
        let now = host::now();
        let edit = edit::take(self.filter.rules(), action, take, now)?;
        if take.dry_run {
            let taken = self.filter.rehearse(edit, now)?;
            return Ok(Response::Taken(Box::new(taken)));
        }
        let removed = edit.removed.clone();
        let taken = self.filter.commit(edit, now)?;
        self.emit_all(
            removed
                .iter()
                .map(|rule| Body::RuleRemoved(RuleChange::of(rule))),
        );
        Ok(Response::Taken(Box::new(taken)))
    }

    pub(super) fn list(&self, list: &List) -> Result<Vec<Response>, Failure> {
        let now = host::now();
        let hits = self
            .filter
            .hits(|_| true)
            .map_err(|error| failed(error.to_string()))?;
        let wanted = |rule: &&Rule| {
            (list.protected || !matches!(rule.origin, Origin::Protected(_)))
                && list.action.is_none_or(|action| rule.action == action)
                && list
                    .overlaps
                    .is_none_or(|wanted| overlaps(rule.subject, wanted))
        };
        let mut lines: Vec<Response> = self
            .filter
            .rules()
            .iter()
            .filter(wanted)
            .map(|rule| {
                let hits = hits.get(&rule.id).copied();
                Response::Rule(Box::new(RuleView::of(rule, now).with_hits(hits)))
            })
            .collect();
        lines.push(Response::End { count: lines.len() });
        Ok(lines)
    }

    pub(super) fn check(&self, address: IpAddr) -> Result<Response, Failure> {
        let now = host::now();
        let address = address.into();
        let covering = self.filter.rules().covering_address(address);
        let covering: BTreeSet<RuleId> = covering.map(|rule| rule.id).collect();
        let hits = self
            .filter
            .hits(|rule| covering.contains(&rule))
            .map_err(|error| failed(error.to_string()))?;
        let facts = Facts {
            address,
            chain: self
                .filter
                .lookup(address)
                .map_err(|error| failed(error.to_string()))?,
            mode: self.mode.view(now),
            rules: self.filter.rules(),
            notes: Vec::new(),
        };
        let behind = |id| self.filter.rule_behind(id, address, now);
        let check = check(facts, behind, |rule| hits.get(&rule).copied(), now);
        Ok(Response::Check(Box::new(check)))
    }
}

/// Whether a rule says something about addresses in `wanted`.
fn overlaps(subject: Subject, wanted: Prefix) -> bool {
    let prefix = subject.prefix();
    prefix.is_some_and(|prefix| wanted.covers(prefix) || prefix.covers(wanted))
}

pub(super) fn failed(error: impl Into<String>) -> Failure {
    Failure::new(FailureCode::Failed, error)
}
