//! Changes of rules, worked out before anything is touched.
//!
//! Pure: from a request and the rules that are, the changes that make the rules that will be. What
//! the store must do for them, and how it is taken back, follows from those. `filter.rs` carries it
//! out.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    networks::{self, Network, networks},
    still::still,
};
use crate::{
    asn::Database,
    control::{
        protocol::{Failure, FailureCode, Put, Take},
        view::{Changed, RuleView, SHOWN_RULES, Taken},
    },
    policy::{self, Inputs},
    rules::{
        change::{Done, RuleChange, Undo},
        duration,
        prefix::{ParseError, Prefix},
        rule::{Draft, MAX_REASON, Origin, Rule, RuleAction, RuleId, Scope},
        set::RuleSet,
        subject::Subject,
        target::Target,
        time::{Deadline, Now},
    },
    store::Change,
    wording::grouped_of,
};

/// Targets that an answer names of each kind.
const NAMED: usize = 10_000;
/// Protected prefixes that a refusal names; it counts the others.
const NAMED_PROTECTED: usize = 3;

/// A change that is not made yet.
#[derive(Debug)]
pub struct Edit<T> {
    /// For [`RuleSet::apply`]. What is replaced is removed by a change of its own.
    pub changes: Vec<RuleChange>,
    /// Rules that are new.
    pub added: Vec<RuleId>,
    /// Rules that go and are not replaced.
    pub removed: Vec<Rule>,
    /// What to answer.
    pub answer: T,
}

/// What the store must do for a change that was made, which left `next` for the next rule.
pub fn stored(changes: &[RuleChange], next: RuleId) -> Vec<Change> {
    let changes = changes.iter().map(|change| match change {
        RuleChange::Insert(rule) => Change::Put(Arc::clone(rule)),
        RuleChange::Remove(id) => Change::Delete(*id),
    });
    // So that no id is ever used twice, whatever is removed before the next start.
    changes.chain([Change::NextId(next)]).collect()
}

/// What the store must do when the kernel refuses such a change.
pub fn taken_back(undo: &Undo) -> Vec<Change> {
    let done = undo.done().iter().rev();
    done.map(|done| match done {
        Done::Inserted(id, _) => Change::Delete(*id),
        Done::Removed(rule) => Change::Put(Arc::clone(rule)),
    })
    .collect()
}

/// New rules of operators. ASNs and countries need the `database`; where there is none, it is said
/// why. A block of single addresses lasts `default` unless the request says.
pub fn put(
    inputs: &Inputs<'_>,
    database: Result<&Database, &str>,
    action: RuleAction,
    put: &Put,
    default: Duration,
    now: Now,
) -> Result<Edit<Changed>, Failure> {
    let rules = inputs.rules;
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
    let networks = networks(&subjects, database, put.force)?;
    let protected = protected(rules, action, &prefixes, put.force, now)?;

    let (mut changes, mut added, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    let mut replaced = 0;
    for (subject, id) in subjects.iter().zip(rules.next_ids()) {
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
        let rule = draft.into_rule(id, now);
        if let Some(old) = rules.rival(&rule) {
            replaced += 1;
            changes.push(RuleChange::Remove(old.id));
        }
        if shown.len() < SHOWN_RULES {
            shown.push(RuleView::of(&rule, now));
        }
        added.push(rule.id);
        changes.push(RuleChange::Insert(Arc::new(rule)));
    }
    let mut answer = reach(inputs, action, (&prefixes, &networks), put.force, now);
    answer.dry_run = put.dry_run;
    answer.added = added.len() - replaced;
    answer.replaced = replaced;
    answer.rules = shown;
    if networks.is_empty() {
        answer.protected = protected;
    }
    let known = networks.iter().take(SHOWN_RULES);
    answer.networks = known.map(Network::view).collect();
    let notes = networks.iter().filter_map(Network::note);
    answer.notes = notes.take(SHOWN_RULES).collect();
    Ok(Edit {
        changes,
        added,
        removed: Vec::new(),
        answer,
    })
}

/// Rules of operators that go.
pub fn take(
    inputs: &Inputs<'_>,
    action: RuleAction,
    take: &Take,
    now: Now,
) -> Result<Edit<Taken>, Failure> {
    let rules = inputs.rules;
    let subjects = subjects_of(&parse(&take.targets)?);
    let ours = |subject: Subject| {
        let mut about = rules.about(subject);
        about.find(|rule| rule.action == action && rule.origin == Origin::Operator)
    };
    let removed = subjects.iter().filter_map(|subject| ours(*subject));
    let removed: Vec<Rule> = removed.cloned().collect();
    let gone: BTreeSet<RuleId> = removed.iter().map(|rule| rule.id).collect();
    let shown = removed.iter().take(SHOWN_RULES);
    let mut answer = Taken {
        dry_run: take.dry_run,
        removed: removed.len(),
        rules: shown.map(|rule| RuleView::of(rule, now)).collect(),
        ..Taken::default()
    };
    for subject in subjects {
        let is_unknown = ours(subject).is_none();
        let still = subject
            .prefix()
            .and_then(|prefix| still(inputs, prefix, action, &gone, now));
        answer.absent += usize::from(is_unknown && still.is_none());
        let is_full = answer.unknown.len() == NAMED || answer.still.len() == NAMED;
        answer.cut |= is_full && (is_unknown || still.is_some());
        if answer.cut {
            continue;
        }
        if is_unknown {
            answer.unknown.push(subject);
        }
        answer.still.extend(still);
    }
    Ok(Edit {
        changes: gone.into_iter().map(RuleChange::Remove).collect(),
        added: Vec::new(),
        removed,
        answer,
    })
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
    if force {
        let found = prefixes
            .iter()
            .flat_map(|prefix| protection_of(rules, *prefix));
        return Ok(protection_lost(
            rules,
            found.map(|rule| rule.id).collect(),
            now,
        ));
    }
    let over = prefixes.iter();
    let over = over.filter_map(|prefix| Some((*prefix, protection_over(rules, *prefix)?)));
    match protection_refused(over) {
        Some(message) => Err(Failure::new(FailureCode::Refused, message)),
        None => Ok(Vec::new()),
    }
}

/// What to say of prefixes that are protected; `None` where there are none.
fn protection_refused<'a>(mut over: impl Iterator<Item = (Prefix, &'a Origin)>) -> Option<String> {
    let named: Vec<String> = over
        .by_ref()
        .take(NAMED_PROTECTED)
        .map(|(prefix, what)| format!("{prefix} is {what}"))
        .collect();
    let more = over.count();
    let (count, them, stay) = match (named.len(), more) {
        (0, _) => return None,
        (1, _) => (String::new(), "it", "it is"),
        (few, more) => {
            let count = grouped_of(few + more);
            (
                format!("{count} of the prefixes are protected: "),
                "them",
                "they are",
            )
        }
    };
    let named = named.join(", ");
    let rest = match more {
        0 => String::new(),
        more => format!(", and {} more", grouped_of(more)),
    };
    Some(format!(
        "{count}{named}{rest}: blocking {them} may cut this host or you off. With --force {stay} \
         blocked all the same, and failsafe ports stop being exempt for {them}"
    ))
}

/// What protects all of `prefix`, if it is protected.
pub(super) fn protection_over(rules: &RuleSet, prefix: Prefix) -> Option<&Origin> {
    let mut covering = rules.allows_covering(prefix);
    covering
        .find(|rule| rule.origin.is_protection())
        .map(|rule| &rule.origin)
}

/// What a forced block of `prefix` takes protection from.
pub(super) fn protection_of(rules: &RuleSet, prefix: Prefix) -> impl Iterator<Item = &Rule> {
    let above = rules.allows_covering(prefix);
    above
        .chain(rules.allows_within(prefix))
        .filter(|rule| rule.origin.is_protection())
}

/// As it is shown: the first, in order of prefix.
pub(super) fn protection_lost(rules: &RuleSet, ids: BTreeSet<RuleId>, now: Now) -> Vec<RuleView> {
    let mut lost: Vec<&Rule> = ids.into_iter().filter_map(|id| rules.get(id)).collect();
    lost.sort_by_key(|rule| (rule.subject, rule.id));
    let shown = lost.into_iter().take(SHOWN_RULES);
    shown.map(|rule| RuleView::of(rule, now)).collect()
}

/// How many addresses are meant, and which of them stay exempt.
fn reach(
    inputs: &Inputs<'_>,
    action: RuleAction,
    (prefixes, networks): (&BTreeSet<Prefix>, &[Network<'_>]),
    force: bool,
    now: Now,
) -> Changed {
    let disjoint = disjoint(prefixes);
    if !networks.is_empty() {
        return match action {
            RuleAction::Allow => Changed {
                addresses: networks::addresses(&disjoint, networks),
                ..Changed::default()
            },
            RuleAction::Block => networks::reach(inputs, &disjoint, networks, force, now),
        };
    }
    if action == RuleAction::Allow {
        let sizes = disjoint.iter().map(|prefix| prefix.size());
        return Changed {
            addresses: sizes.fold(0, u128::saturating_add),
            ..Changed::default()
        };
    }
    let impact = policy::impact(inputs.rules, &disjoint, force, now);
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
