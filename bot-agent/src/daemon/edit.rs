//! Changes of rules, worked out before anything is touched.
//!
//! Pure: from a request and the rules that are, the rules that will be, what the store must do for
//! it, and what to do when the kernel refuses. `filter.rs` carries it out.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    control::{
        protocol::{Failure, FailureCode, Put, Take},
        view::{Changed, RuleView, SHOWN_RULES, Still, Taken},
    },
    policy,
    rules::{
        duration,
        prefix::{ParseError, Prefix},
        rule::{Draft, Origin, Rule, RuleAction, RuleId, Scope},
        set::{Inserted, RuleSet},
        subject::Subject,
        target::Target,
        time::{Deadline, Now},
    },
    store::Change,
};

/// Longest reason, bytes.
const MAX_REASON: usize = 512;

/// A change that is not made yet.
#[derive(Debug)]
pub struct Edit<T> {
    /// The rules afterwards.
    pub rules: RuleSet,
    /// For the store.
    pub changes: Vec<Change>,
    /// For the store, if the kernel refuses.
    pub undo: Vec<Change>,
    /// Rules that are new.
    pub added: Vec<RuleId>,
    /// Rules that go and are not replaced.
    pub removed: Vec<Rule>,
    /// What to answer.
    pub answer: T,
}

/// New rules of operators. A block of single addresses lasts `default` unless the request says.
pub fn put(
    rules: &RuleSet,
    action: RuleAction,
    put: &Put,
    default: Duration,
    now: Now,
) -> Result<Edit<Changed>, Failure> {
    let targets = parse(&put.targets)?;
    for target in &targets {
        target
            .check_width(put.force)
            .map_err(|error| refused(&error))?;
    }
    if put.reason.len() > MAX_REASON {
        return Err(invalid(format!(
            "the reason has {} bytes, {MAX_REASON} are allowed",
            put.reason.len()
        )));
    }
    let deadline = deadline(action, put, &targets, default, now)?;
    let subjects = subjects_of(&targets);
    let prefixes = prefixes_of(&subjects);
    let protected = protected(rules, action, &prefixes, put.force, now)?;

    let mut edit = Edit {
        rules: rules.clone(),
        changes: Vec::new(),
        undo: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
        answer: Changed::default(),
    };
    let mut replaced = 0;
    for subject in &subjects {
        let draft = Draft {
            subject: *subject,
            action,
            scope: scope(action, *subject, put.scope),
            monitor: put.monitor,
            forced: put.force && action == RuleAction::Block,
            deadline,
            reason: put.reason.clone(),
            origin: Origin::Operator,
        };
        let rule = draft.into_rule(edit.rules.reserve_id(), now);
        edit.added.push(rule.id);
        edit.undo.push(Change::Delete(rule.id));
        edit.changes.push(Change::Put(rule.clone()));
        if let Inserted::Replaced(old) = edit.rules.insert(rule, now) {
            replaced += 1;
            edit.changes.push(Change::Delete(old.id));
            edit.undo.push(Change::Put(old));
        }
    }
    // So that no id is ever used twice, whatever is removed before the next start.
    edit.changes.push(Change::NextId(edit.rules.next_id()));
    let shown = edit.added.iter().take(SHOWN_RULES);
    let shown = shown.filter_map(|id| edit.rules.get(*id));
    edit.answer = Changed {
        dry_run: put.dry_run,
        added: edit.added.len() - replaced,
        replaced,
        rules: shown.map(|rule| RuleView::of(rule, now)).collect(),
        protected,
        ..reach(rules, action, &prefixes, put.force, now)
    };
    Ok(edit)
}

/// Rules of operators that go.
pub fn take(
    rules: &RuleSet,
    action: RuleAction,
    take: &Take,
    now: Now,
) -> Result<Edit<Taken>, Failure> {
    let subjects = subjects_of(&parse(&take.targets)?);
    let mut edit = Edit {
        rules: rules.clone(),
        changes: Vec::new(),
        undo: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
        answer: Taken {
            dry_run: take.dry_run,
            ..Taken::default()
        },
    };
    for subject in &subjects {
        let ours = rules
            .about(*subject)
            .find(|rule| rule.action == action && rule.origin == Origin::Operator);
        match ours.and_then(|rule| edit.rules.remove(rule.id)) {
            Some(rule) => {
                edit.changes.push(Change::Delete(rule.id));
                edit.undo.push(Change::Put(rule.clone()));
                edit.removed.push(rule);
            }
            None => edit.answer.unknown.push(*subject),
        }
    }
    let still = subjects.iter().filter_map(|subject| {
        let by = decisive(&edit.rules, subject.prefix()?, now)?;
        (by.action == action).then(|| Still {
            subject: *subject,
            by: RuleView::of(by, now),
        })
    });
    edit.answer.still = still.collect();
    edit.answer.removed = edit.removed.len();
    let shown = edit.removed.iter().take(SHOWN_RULES);
    edit.answer.rules = shown.map(|rule| RuleView::of(rule, now)).collect();
    Ok(edit)
}

/// The rule that decides about all of `prefix`, narrower rules aside.
fn decisive(rules: &RuleSet, prefix: Prefix, now: Now) -> Option<&Rule> {
    let explanation = policy::explain(rules, prefix.address(), now);
    let covering = explanation.covering.iter();
    let best = covering.map(|covering| &covering.rule).find(|rule| {
        let wider = rule.subject.prefix();
        wider.is_some_and(|wider| wider.covers(prefix))
    })?;
    rules.get(best.id)
}

fn parse(words: &[String]) -> Result<Vec<Target>, Failure> {
    if words.is_empty() {
        return Err(invalid("no targets are given".into()));
    }
    words
        .iter()
        .map(|word| word.parse::<Target>())
        .collect::<Result<_, _>>()
        .map_err(|error| invalid(error.to_string()))
}

fn subjects_of(targets: &[Target]) -> BTreeSet<Subject> {
    targets.iter().flat_map(Target::subjects).collect()
}

fn prefixes_of(subjects: &BTreeSet<Subject>) -> BTreeSet<Prefix> {
    let prefixes = subjects.iter().map_while(|subject| subject.prefix());
    prefixes.collect()
}

/// An allow rule exempts from everything, whatever its scope.
fn scope(action: RuleAction, subject: Subject, asked: Option<Scope>) -> Scope {
    match action {
        RuleAction::Allow => Scope::All,
        RuleAction::Block => asked.unwrap_or(subject.default_scope()),
    }
}

fn deadline(
    action: RuleAction,
    put: &Put,
    targets: &[Target],
    default: Duration,
    now: Now,
) -> Result<Option<Deadline>, Failure> {
    let lifetime = match (put.permanent, put.seconds) {
        (true, Some(_)) => {
            return Err(invalid("both an end and no end are asked for".into()));
        }
        (true, None) => return Ok(None),
        (false, Some(0)) => return Err(invalid("a rule of 0 s would be over at once".into())),
        (false, Some(seconds)) => Duration::from_secs(seconds),
        (false, None) if action == RuleAction::Allow => {
            return Err(invalid(
                "say how long with --duration, or --permanent: exemptions have no default".into(),
            ));
        }
        (false, None) if targets.iter().all(Target::is_host) => default,
        (false, None) => {
            return Err(invalid(format!(
                "say how long with --duration, or --permanent: only blocks of single addresses have a default ({})",
                duration::format(default)
            )));
        }
    };
    if lifetime > duration::LONGEST {
        return Err(invalid(format!(
            "{} s are longer than 10 years; for no end at all use --permanent",
            lifetime.as_secs()
        )));
    }
    let deadline = Deadline::after(now, lifetime)
        .ok_or_else(|| invalid("no clock can hold that end".into()))?;
    Ok(Some(deadline))
}

/// Protected addresses that a forced block takes the protection from; a refusal without force when
/// a target lies within one.
fn protected(
    rules: &RuleSet,
    action: RuleAction,
    prefixes: &BTreeSet<Prefix>,
    force: bool,
    now: Now,
) -> Result<Vec<RuleView>, Failure> {
    if action == RuleAction::Allow {
        return Ok(Vec::new());
    }
    let is_protection = |rule: &&Rule| matches!(rule.origin, Origin::Protected(_));
    let mut found = Vec::new();
    for prefix in prefixes {
        if let Some(rule) = rules.covering(*prefix).find(is_protection)
            && !force
        {
            return Err(Failure::new(
                FailureCode::Refused,
                format!(
                    "{prefix} is {}: blocking it may cut this host or you off. With --force it is \
                     blocked all the same, and failsafe ports stop being exempt for it",
                    rule.origin
                ),
            ));
        }
        if force {
            let above = rules.covering(*prefix).filter(is_protection);
            let within = rules.within(*prefix).filter(is_protection);
            found.extend(above.chain(within).map(|rule| RuleView::of(rule, now)));
        }
    }
    found.sort_by_key(|view| (view.subject, view.rule));
    found.dedup();
    found.truncate(SHOWN_RULES);
    Ok(found)
}

/// How many addresses are meant, and which of them stay exempt.
fn reach(
    rules: &RuleSet,
    action: RuleAction,
    prefixes: &BTreeSet<Prefix>,
    force: bool,
    now: Now,
) -> Changed {
    let disjoint = disjoint(prefixes);
    if action == RuleAction::Allow {
        let sizes = disjoint.iter().map(|prefix| prefix.size());
        return Changed {
            addresses: sizes.fold(0, u128::saturating_add),
            ..Changed::default()
        };
    }
    let impact = policy::impact(rules, &disjoint, force, now);
    let exempt_by = impact.exemptions.iter().take(SHOWN_RULES);
    Changed {
        addresses: impact.addresses,
        exempt: impact.exempt,
        exempt_by: exempt_by.map(|rule| RuleView::of(rule, now)).collect(),
        ..Changed::default()
    }
}

/// Without those that another one covers. In order, a prefix comes before all that it covers.
fn disjoint(prefixes: &BTreeSet<Prefix>) -> Vec<Prefix> {
    let mut kept: Vec<Prefix> = Vec::new();
    for prefix in prefixes {
        // An IPv6 prefix around the mapped addresses covers none of them, but stays on top.
        if !kept.last().is_some_and(|last| last.covers(*prefix)) {
            kept.push(*prefix);
        }
    }
    kept
}

fn invalid(message: String) -> Failure {
    Failure::new(FailureCode::Invalid, message)
}

fn refused(error: &ParseError) -> Failure {
    let message = format!("{error}; if that is meant, say so with --force");
    Failure::new(FailureCode::Refused, message)
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;
