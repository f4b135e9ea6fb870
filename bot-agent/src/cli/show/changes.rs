//! What a command did to rules, or would do.

use super::{networks::network_line, rule};
use crate::{
    control::view::{Changed, Imported, RuleView, SHOWN_RULES, Taken},
    event::render::Safe,
    wording::{grouped, grouped_of, many, many_of, verb},
};

/// Rules that a sentence about many of them names.
const NAMED: usize = 10;

/// What a wide command would do, before it does.
pub(in crate::cli) fn preview(changed: &Changed) -> String {
    let mut lines = if changed.networks.is_empty() {
        vec![preview_of_addresses(changed)]
    } else {
        preview_of_networks(changed)
    };
    if !changed.protected.is_empty() {
        lines.push(named(
            "these stop being protected (failsafe ports too):",
            &changed.protected,
        ));
    }
    lines.extend(changed.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

fn preview_of_addresses(changed: &Changed) -> String {
    let rules = many_of(changed.added + changed.replaced, "rule");
    let text = format!("{rules} for {}", many(changed.addresses, "address"));
    if changed.exempt == 0 {
        return text;
    }
    let stays = verb(changed.exempt, "stays", "stay");
    let exempt = format!("{} of them {stays} exempt", grouped(changed.exempt));
    format!("{text}; {exempt}{}", exempting(changed))
}

/// IPv4 addresses and networks of IPv6 tell more than a sum of both.
fn preview_of_networks(changed: &Changed) -> Vec<String> {
    let count = changed.added + changed.replaced;
    let rules = many_of(count, "rule");
    let mut lines = vec![match changed.networks.len() {
        // The answer has the first of many only.
        about if about < count.min(SHOWN_RULES) => {
            format!("{rules}, {about} of them about networks:")
        }
        _ => format!("{rules} about"),
    }];
    lines.extend(networks(changed).iter().map(|line| format!("  {line}")));
    if changed.exempt > 0 {
        lines.push(exempt_of(changed));
    }
    lines
}

/// A few of the networks that rules are about.
fn networks(changed: &Changed) -> Vec<String> {
    let mut lines: Vec<String> = changed
        .networks
        .iter()
        .take(NAMED)
        .map(network_line)
        .collect();
    if changed.networks.len() > NAMED {
        lines.push("...".into());
    }
    lines
}

/// The sentence about addresses that stay exempt.
fn exempt_of(changed: &Changed) -> String {
    let exempt = format!(
        "{} of {} {} exempt",
        grouped(changed.exempt),
        many(changed.addresses, "address"),
        verb(changed.exempt, "stays", "stay")
    );
    format!("{exempt}{}", exempting(changed))
}

/// What exempts them.
fn exempting(changed: &Changed) -> String {
    let lists = changed.exempt_by_lists.iter().map(|exempting| {
        let prefixes = many_of(exempting.entries, "prefix");
        format!("the list {} ({prefixes})", exempting.list)
    });
    let lists: Vec<String> = lists.collect();
    if lists.is_empty() {
        return named(", by", &changed.exempt_by);
    }
    let lists = lists.join(", ");
    if changed.exempt_by.is_empty() {
        return format!(", by {lists}");
    }
    format!("{}, {lists}", named(", by", &changed.exempt_by))
}

/// What was done.
pub(in crate::cli) fn changed(changed: &Changed) -> String {
    if changed.dry_run {
        return format!("nothing was changed; {}", preview(changed));
    }
    let count = changed.added + changed.replaced;
    let mut lines: Vec<String> = changed.rules.iter().take(NAMED).map(rule).collect();
    if count > NAMED {
        lines.push(format!("and {}", many_of(count - NAMED, "more rule")));
    }
    lines.extend(networks(changed));
    if changed.replaced > 0 {
        lines.push(format!(
            "{} took the place of an earlier one",
            many_of(changed.replaced, "rule")
        ));
    }
    if changed.exempt > 0 {
        lines.push(exempt_of(changed));
    }
    if !changed.protected.is_empty() {
        lines.push(format!(
            "warning: not protected any more, failsafe ports included{}",
            named(":", &changed.protected)
        ));
    }
    lines.extend(changed.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// What became of rules that were imported.
pub(in crate::cli) fn imported(imported: &Imported) -> String {
    let new = imported.added + imported.replaced;
    let mut parts = vec![if imported.dry_run {
        format!(
            "nothing was changed; {} would be made",
            many_of(new, "rule")
        )
    } else {
        format!("{} made", many_of(new, "rule"))
    }];
    let counts = [
        (imported.replaced, "in place of an earlier one"),
        (imported.unchanged, "there already"),
        (imported.expired, "over by now"),
        (imported.others, "not an operator's"),
        (imported.repeated, "repeated by a later line"),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        parts.push(format!("{} {what}", grouped_of(count)));
    }
    let mut text = parts.join(", ");
    if !imported.protected.is_empty() {
        let lost = if imported.dry_run {
            "these stop being protected (failsafe ports too)"
        } else {
            "warning: not protected any more, failsafe ports included"
        };
        text.push_str(&format!("\n{lost}{}", named(":", &imported.protected)));
    }
    text
}

/// What was taken back.
pub(in crate::cli) fn taken(taken: &Taken) -> String {
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
            "and {}",
            many_of(taken.removed - NAMED, "more rule")
        ));
    }
    for still in taken.still.iter().take(NAMED) {
        let by = still.by.as_ref().map(rule);
        let list = still.list.as_ref();
        let list = list.map(|entry| format!("the list {} ({})", entry.list, entry.prefix));
        let what = by.or(list).unwrap_or_default();
        lines.push(format!("{} stays covered by {what}", still.subject));
    }
    if taken.still.len() > NAMED {
        let more = many_of(taken.still.len() - NAMED, "more target");
        let least = if taken.cut { "at least " } else { "" };
        lines.push(format!("and {least}{more} covered still"));
    }
    lines.join("\n")
}

/// Up to [`NAMED`] rules behind a few words.
fn named(words: &str, rules: &[RuleView]) -> String {
    let mut texts: Vec<String> = rules
        .iter()
        .take(NAMED)
        .map(|rule| format!("{} ({})", rule.subject, Safe(&rule.origin)))
        .collect();
    if rules.len() > NAMED {
        texts.push("...".into());
    }
    format!("{words} {}", texts.join(", "))
}
