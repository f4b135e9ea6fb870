//! Rules that come back from a file: worked out as one change, before anything is touched.
//!
//! Pure, like `edit.rs`. Invariant: importing the same again changes nothing.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use super::{
    edit::{Edit, protection_lost, protection_of, protection_over},
    networks::networks,
};
use crate::{
    asn::Database,
    control::{
        protocol::{Failure, FailureCode, Import},
        view::{Imported, RuleView, SHOWN_RULES},
    },
    rules::{
        change::RuleChange,
        record::{Record, Standing},
        rule::{Origin, Rule, RuleAction},
        set::RuleSet,
        subject::Subject,
        time::Now,
    },
};

/// Operators' rules as the records of `import` say, or a refusal that names the first that cannot
/// be. Of several about the same subject and action the last one counts. ASNs and countries need the
/// `database`; where there is none, it is said why.
pub fn import(
    rules: &RuleSet,
    database: Result<&Database, &str>,
    import: Import,
    now: Now,
) -> Result<Edit<Imported>, Failure> {
    let Import {
        rules: records,
        dry_run,
        ..
    } = import;
    let mut answer = Imported {
        dry_run,
        ..Imported::default()
    };
    let mut live = Vec::with_capacity(records.len());
    for (position, record) in records.into_iter().enumerate() {
        check(rules, database, &record, now).map_err(|failure| at(&record, position, &failure))?;
        match record.standing(now) {
            Standing::Lasts => live.push(record),
            Standing::Over => answer.expired += 1,
            Standing::Others => answer.others += 1,
        }
    }
    let repeated = repeated(&live);
    answer.repeated = repeated.len();

    let (mut changes, mut added, mut lost) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut ids = rules.next_ids();
    for (place, record) in live.into_iter().enumerate() {
        if repeated.contains(&place) {
            continue;
        }
        let mut about = rules.about(record.subject);
        match about.find(|rule| is_rival(rule, &record)) {
            Some(old) if record.says(old) => {
                answer.unchanged += 1;
                continue;
            }
            Some(old) => {
                answer.replaced += 1;
                changes.push(RuleChange::Remove(old.id));
            }
            None => answer.added += 1,
        }
        if record.forced
            && let Some(prefix) = record.subject.prefix()
        {
            lost.extend(protection_of(rules, prefix).map(|rule| rule.id));
        }
        let Some(id) = ids.next() else {
            break;
        };
        let rule = record.into_rule(id, now);
        if answer.rules.len() < SHOWN_RULES {
            answer.rules.push(RuleView::of(&rule, now));
        }
        added.push(id);
        changes.push(RuleChange::Insert(Arc::new(rule)));
    }
    answer.protected = protection_lost(rules, lost, now);
    Ok(Edit {
        changes,
        added,
        removed: Vec::new(),
        answer,
    })
}

fn check(
    rules: &RuleSet,
    database: Result<&Database, &str>,
    record: &Record,
    now: Now,
) -> Result<(), Failure> {
    record
        .check(now)
        .map_err(|error| Failure::new(FailureCode::Invalid, error.to_string()))?;
    if record.standing(now) != Standing::Lasts {
        return Ok(());
    }
    let Some(prefix) = record.subject.prefix() else {
        let named = BTreeSet::from([record.subject]);
        return networks(&named, database, record.forced).map(drop);
    };
    if record.action == RuleAction::Block
        && !record.forced
        && let Some(what) = protection_over(rules, prefix)
    {
        let message = format!(
            "{prefix} is {what}: blocking it may cut this host or you off. With \"forced\":true it \
             is blocked all the same, and failsafe ports stop being exempt for it"
        );
        return Err(Failure::new(FailureCode::Refused, message));
    }
    Ok(())
}

/// Names the line of the file, or else the place in the request.
fn at(record: &Record, position: usize, failure: &Failure) -> Failure {
    let place = match record.line {
        Some(line) => format!("line {line}"),
        None => format!("rule {}", position + 1),
    };
    let message = format!("{place}: {}; nothing was changed", failure.message);
    Failure::new(failure.code, message)
}

/// Places of records after which another one is about the same subject and action.
fn repeated(records: &[Record]) -> HashSet<usize> {
    let kinds = records.iter().enumerate();
    let kinds = kinds.map(|(place, record)| (record.subject, record.action, place));
    let mut kinds: Vec<(Subject, RuleAction, usize)> = kinds.collect();
    kinds.sort_unstable_by_key(|(subject, action, place)| {
        (*subject, *action == RuleAction::Allow, *place)
    });
    let pairs = kinds.windows(2).filter_map(|pair| match pair {
        [(subject, action, place), (next, next_action, _)] => {
            (subject == next && action == next_action).then_some(*place)
        }
        _ => None,
    });
    pairs.collect()
}

fn is_rival(rule: &Rule, record: &Record) -> bool {
    rule.action == record.action && rule.origin == Origin::Operator
}

#[cfg(test)]
#[path = "import_tests.rs"]
mod tests;
