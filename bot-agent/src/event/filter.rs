//! Which events `logs` shows.

use serde::{Deserialize, Serialize};

use super::{Body, Event, Kind};
use crate::rules::prefix::Prefix;

/// All conditions that are set must hold.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of one of these kinds; empty: of any kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Kind>,
    /// From a source in this prefix; for rule events: about an overlapping prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<Prefix>,
    /// With this JA4; a `*` at the end stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
}

impl Filter {
    /// Whether `event` is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        (self.events.is_empty() || self.events.contains(&event.kind()))
            && self.src.is_none_or(|wanted| is_about(event, wanted))
            && self
                .ja4
                .as_deref()
                .is_none_or(|wanted| has_ja4(event, wanted))
    }
}

fn is_about(event: &Event, wanted: Prefix) -> bool {
    match &event.body {
        Body::RuleAdded(change) | Body::RuleExpired(change) | Body::RuleRemoved(change) => {
            let prefix = change.subject.prefix();
            prefix.is_some_and(|prefix| wanted.covers(prefix) || prefix.covers(wanted))
        }
        Body::Drop(dropped) | Body::WouldDrop(dropped) => wanted.contains(dropped.src.into()),
        Body::Hello(hello) => wanted.contains(hello.src.into()),
        Body::Attach(_)
        | Body::Bypass(_)
        | Body::Detach(_)
        | Body::Error(_)
        | Body::Feed(_)
        | Body::Mode(_)
        | Body::Reload(_)
        | Body::Start(_)
        | Body::Stop(_)
        | Body::Suppressed(_) => false,
    }
}

fn has_ja4(event: &Event, wanted: &str) -> bool {
    let Body::Hello(hello) = &event.body else {
        return false;
    };
    match wanted.strip_suffix('*') {
        Some(start) => hello.ja4.starts_with(start),
        None => hello.ja4 == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::{dropped, hello};

    const JA4: &str = "t13d1516h2_8daaf6152771_02713d6af862";

    #[test]
    fn all_conditions_must_hold() {
        let filter = Filter {
            events: vec![Kind::Hello],
            src: Some("198.51.100.0/24".parse().unwrap()),
            ja4: Some(JA4.into()),
        };
        assert!(filter.matches(&hello("198.51.100.7", JA4, "a")));
        assert!(!filter.matches(&hello("203.0.113.7", JA4, "a")));
        assert!(!filter.matches(&hello("198.51.100.7", "t12", "a")));
        assert!(!filter.matches(&dropped("198.51.100.7")));
    }

    #[test]
    fn nothing_set_means_everything() {
        assert!(Filter::default().matches(&dropped("::1")));
    }

    #[test]
    fn a_ja4_may_end_in_a_star() {
        let filter = Filter {
            ja4: Some("t13d1516h2*".into()),
            ..Filter::default()
        };
        assert!(filter.matches(&hello("::1", JA4, "a")));
        assert!(!filter.matches(&hello("::1", "t13d1517h2_x_y", "a")));
    }
}
