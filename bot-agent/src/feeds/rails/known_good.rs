//! Sources known to be good, asked about a policy before it comes into force.

use bot_common::{abi::verdict::Action, address::Address};

use crate::{
    policy::{Inputs, explain},
    rules::time::Now,
};

/// Those of `sources` whose packets, to any port or to some, `after` drops and `before` does not, each once,
/// in order.
pub fn newly_dropped(
    before: &Inputs<'_>,
    after: &Inputs<'_>,
    sources: impl Iterator<Item = Address>,
    now: Now,
) -> Vec<Address> {
    let newly = |source: &Address| drops(after, *source, now) && !drops(before, *source, now);
    let mut dropped: Vec<Address> = sources.filter(newly).collect();
    dropped.sort_unstable();
    dropped.dedup();
    dropped
}

fn drops(inputs: &Inputs<'_>, source: Address, now: Now) -> bool {
    let explanation = explain(inputs, source, now);
    let mut decides = explanation.chains().filter_map(|chain| chain.first());
    decides.any(|link| link.terms.action == Action::Drop && !link.terms.monitor)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        policy::{List, ListId, ListKind, Score, Tiers},
        rules::{rule::Scope, set::RuleSet, time::BootId},
    };

    const NOW: Now = Now {
        wall: Timestamp::UNIX_EPOCH,
        boot_ns: 1,
        boot: BootId(1),
    };

    fn category(action: Action, monitor: bool, prefixes: &[&str]) -> List {
        let kind = ListKind::Category {
            action,
            scope: Scope::Services,
            monitor,
        };
        list(kind, prefixes)
    }

    fn list(kind: ListKind, prefixes: &[&str]) -> List {
        let entries = prefixes
            .iter()
            .map(|text| (text.parse().unwrap(), Score::MAX));
        List::new(ListId(1), "list".into(), kind, entries)
    }

    fn newly(before: &[List], after: &[List]) -> Vec<String> {
        let rules = RuleSet::default();
        let inputs = |lists| Inputs {
            lists,
            ..Inputs::of_rules(&rules)
        };
        let sources = ["198.51.100.2", "192.0.2.1", "192.0.2.1", "2001:db8::1"];
        let sources = sources.map(|text| text.parse::<std::net::IpAddr>().unwrap().into());
        let dropped = newly_dropped(&inputs(before), &inputs(after), sources.into_iter(), NOW);
        dropped
            .iter()
            .map(|source| source.to_ip().to_string())
            .collect()
    }

    #[test]
    fn who_was_dropped_before_is_not_newly_dropped() {
        let one = [category(Action::Drop, false, &["192.0.2.0/24"])];
        let both = [category(
            Action::Drop,
            false,
            &["192.0.2.1", "198.51.100.0/24"],
        )];
        assert_eq!(newly(&[], &one), ["192.0.2.1"]);
        assert_eq!(newly(&one, &both), ["198.51.100.2"]);
        assert!(newly(&both, &one).is_empty());
    }

    #[test]
    fn what_only_watches_slows_down_or_is_guarded_drops_nobody() {
        let everybody = ["0.0.0.0/0", "::/0"];
        for list in [
            category(Action::Drop, true, &everybody),
            category(Action::Throttle, false, &everybody),
            category(Action::Monitor, false, &everybody),
        ] {
            assert!(newly(&[], &[list]).is_empty());
        }
        let guarded = [
            category(Action::Drop, false, &everybody),
            list(ListKind::Popular, &["192.0.2.0/24", "2001:db8::/32"]),
        ];
        assert_eq!(newly(&[], &guarded), ["198.51.100.2"]);
    }

    #[test]
    fn scores_drop_from_their_tier_on() {
        let rules = RuleSet::default();
        let kind = ListKind::Score {
            scope: Scope::Services,
            monitor: false,
        };
        let scores = [list(kind, &["192.0.2.1"])];
        let before = Inputs::of_rules(&rules);
        let after = |block| Inputs {
            lists: &scores,
            tiers: Tiers {
                block: Score::new(block),
                ..Tiers::default()
            },
            ..before
        };
        let source: std::net::IpAddr = "192.0.2.1".parse().unwrap();
        let sources = || std::iter::once(source.into());
        assert_eq!(newly_dropped(&before, &after(100), sources(), NOW).len(), 1);
        assert!(newly_dropped(&before, &before, sources(), NOW).is_empty());
    }
}
