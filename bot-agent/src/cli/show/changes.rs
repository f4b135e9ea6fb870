//! What a command did to rules, or would do.
#![expect(
    clippy::format_push_string,
    reason = "`write!` into a String needs its result thrown away"
)]

use super::rule;
use crate::{
    control::view::{Changed, RuleView, Taken},
    event::render::Safe,
    wording::{grouped, many, many_of, verb},
};

/// Rules that a sentence about many of them names.
const NAMED: usize = 10;

/// What a wide command would do, before it does.
pub(in crate::cli) fn preview(changed: &Changed) -> String {
    let count = changed.added + changed.replaced;
    let mut text = format!(
        "{} for {}",
        many_of(count, "rule"),
        many(changed.addresses, "address")
    );
    if changed.exempt > 0 {
        text.push_str(&format!(
            "; {} of them {} exempt",
            grouped(changed.exempt),
            verb(changed.exempt, "stays", "stay")
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
pub(in crate::cli) fn changed(changed: &Changed) -> String {
    if changed.dry_run {
        return format!("nothing was changed; {}", preview(changed));
    }
    let count = changed.added + changed.replaced;
    let mut lines: Vec<String> = changed.rules.iter().take(NAMED).map(rule).collect();
    if count > NAMED {
        lines.push(format!("and {}", many_of(count - NAMED, "more rule")));
    }
    if changed.replaced > 0 {
        lines.push(format!(
            "{} took the place of an earlier one",
            many_of(changed.replaced, "rule")
        ));
    }
    if changed.exempt > 0 {
        let exempt = format!(
            "{} of {} {} exempt",
            grouped(changed.exempt),
            many(changed.addresses, "address"),
            verb(changed.exempt, "stays", "stay")
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
        lines.push(format!(
            "{} stays covered by {}",
            still.subject,
            rule(&still.by)
        ));
    }
    if taken.still.len() > NAMED {
        let more = many_of(taken.still.len() - NAMED, "more target");
        lines.push(format!("and {more} covered still"));
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
