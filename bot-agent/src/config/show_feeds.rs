//! Feeds and policies as TOML. Files with secrets are named; what is in them is never read here.

use std::{path::Path, time::Duration};

use toml::Value;

use super::{
    Feed, FeedSource, Http, Policy, PolicyAction, Role,
    show::{Values, port_list, word, word_list},
};
use crate::{policy::Score, rules::duration};

/// A tier, 0 for one that is off.
pub(super) fn tier(tier: Option<Score>) -> Value {
    Value::from(tier.map_or(0, Score::get))
}

pub(super) fn feed_values(feed: &Feed) -> Values {
    let mut values = vec![("name", Value::from(feed.name.as_str()))];
    match &feed.source {
        FeedSource::File(file) => values.push(("file", text(file))),
        FeedSource::Http(http) => of_http("url", http, &mut values),
        FeedSource::CrowdSec(http) => of_http("crowdsec", http, &mut values),
    }
    let format = feed.format.as_ref();
    values.extend(format.map(|format| ("format", word(format))));
    values.push(("every", time(feed.every)));
    match feed.role {
        Role::Allow => values.push(("action", Value::from("allow"))),
        Role::Guard => values.push(("action", Value::from("guard"))),
        Role::Act(action) => values.push(("action", Value::from(action.name()))),
        Role::Weigh(weight) => values.push(("weight", Value::from(weight.get()))),
        Role::ByCategory => {}
    }
    values.extend(feed.category.map(|it| ("category", Value::from(it.name()))));
    values.push(("group", Value::from(feed.group.as_str())));
    values.push(("min_confidence", Value::from(feed.min_confidence)));
    values.extend(
        feed.half_life
            .map(|half_life| ("half_life", time(half_life))),
    );
    if feed.grace > Duration::ZERO {
        values.push(("grace", time(feed.grace)));
    }
    if !matches!(feed.role, Role::Allow | Role::Guard) {
        values.push(("scope", word(&feed.scope)));
    }
    values.push(("monitor", Value::from(feed.monitor)));
    let loosen = feed.loosen.iter().map(ToString::to_string);
    values.push(("loosen", word_list(loosen)));
    values
}

pub(super) fn policy_values(policy: &Policy) -> Values {
    let action = match policy.action {
        PolicyAction::Allow => "allow",
        PolicyAction::Pass => "pass",
        PolicyAction::Act(action) => action.name(),
    };
    let mut values = vec![
        ("category", Value::from(policy.category.name())),
        ("action", Value::from(action)),
    ];
    values.extend(
        policy
            .ports
            .as_ref()
            .map(|ports| ("ports", port_list(&ports.iter().collect()))),
    );
    if matches!(policy.action, PolicyAction::Act(_)) {
        values.push(("scope", word(&policy.scope)));
    }
    values.push(("monitor", Value::from(policy.monitor)));
    values
}

fn of_http(key: &'static str, http: &Http, values: &mut Values) {
    values.push((key, Value::from(http.url.as_str())));
    if !http.headers.is_empty() {
        let headers = http.headers.iter();
        let headers = headers.map(|(name, file)| (name.clone(), text(file)));
        values.push(("headers", Value::Table(headers.collect())));
    }
    let files = [
        ("bearer", &http.bearer),
        ("basic", &http.basic),
        ("ca", &http.ca),
    ];
    for (key, file) in files {
        values.extend(file.as_ref().map(|file| (key, text(file))));
    }
    values.push(("timeout", time(http.timeout)));
    let most = i64::try_from(http.max_bytes).unwrap_or(i64::MAX);
    values.push(("max_bytes", Value::from(most)));
}

fn time(time: Duration) -> Value {
    Value::from(duration::format(time))
}

fn text(path: &Path) -> Value {
    Value::from(path.display().to_string())
}
