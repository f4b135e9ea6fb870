//! Standing rules: from the `[[rule]]`s to drafts.

use std::collections::BTreeMap;

use toml::Spanned;

use super::{
    error::ConfigError,
    keys::wrong,
    layers::{Layers, Lines, Place},
    raw::{self, WordOr},
};
use crate::rules::{
    rule::{Draft, Origin, RuleAction, Scope},
    subject::Subject,
    target::Target,
};

/// One draft for each subject of each rule; of two for the same subject and action, the later.
/// Rules about ASNs and countries need a `database`.
pub(super) fn rules(layers: &Layers, database: bool) -> Result<Vec<Draft>, ConfigError> {
    let mut rules: BTreeMap<(Subject, bool), (usize, Draft)> = BTreeMap::new();
    for (index, (rule, place, lines)) in layers.entries(|raw| &raw.rule).enumerate() {
        for draft in drafts(rule, &place, lines, database)? {
            let blocks = draft.action == RuleAction::Block;
            rules.insert((draft.subject, blocks), (index, draft));
        }
    }
    let mut rules: Vec<(usize, Draft)> = rules.into_values().collect();
    rules.sort_by_key(|(index, _)| *index);
    Ok(rules.into_iter().map(|(_, draft)| draft).collect())
}

/// One draft for each subject that a rule names.
fn drafts(
    rule: &raw::Rule,
    place: &Place,
    lines: Lines<'_>,
    database: bool,
) -> Result<Vec<Draft>, ConfigError> {
    let action = *rule.action.get_ref();
    if action == RuleAction::Allow {
        let meaningless = [
            ("scope", rule.scope.as_ref().map(|value| lines.place(value))),
            (
                "monitor",
                rule.monitor.as_ref().map(|value| lines.place(value)),
            ),
        ];
        for (key, place) in meaningless {
            if let Some(place) = place {
                return Err(wrong(
                    key,
                    &place,
                    "has no meaning for an allow rule, which exempts from every block",
                ));
            }
        }
    }
    let set = |field: &Option<Spanned<bool>>| field.as_ref().is_some_and(|value| *value.get_ref());
    let sources: Vec<(&str, Place)> = match rule.source.get_ref() {
        WordOr::Word(word) => vec![(word.as_str(), lines.place(&rule.source))],
        WordOr::List(words) => words
            .iter()
            .map(|word| (word.get_ref().as_str(), lines.place(word)))
            .collect(),
    };
    if sources.is_empty() {
        return Err(wrong("source", place, "names no address"));
    }
    let force = set(&rule.force);
    let mut drafts = Vec::new();
    for (word, place) in sources {
        let target: Target = word
            .parse()
            .map_err(|error| wrong("source", &place, error))?;
        target
            .check_width(force)
            .map_err(|error| format!("{error}; if that is meant, say so with force = true"))
            .map_err(|error| wrong("source", &place, error))?;
        if let Some(named) = target.named().filter(|_| !database) {
            let message = format!("`{named}` needs a database: set `database` in [asn]");
            return Err(wrong("source", &place, message));
        }
        let scope = rule.scope.as_ref().map(|scope| *scope.get_ref());
        drafts.extend(target.subjects().map(|subject| Draft {
            subject,
            action,
            scope: match action {
                RuleAction::Allow => Scope::All,
                RuleAction::Block => scope.unwrap_or(subject.default_scope()),
            },
            monitor: set(&rule.monitor),
            forced: force,
            deadline: None,
            reason: rule.reason.clone().unwrap_or_default(),
            origin: Origin::Config,
        }));
    }
    Ok(drafts)
}
