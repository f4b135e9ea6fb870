//! What becomes of categories and scores: `[[policy]]` and `[reputation]`.

use super::{
    error::ConfigError,
    feeds::FeedAction,
    keys::{Keys, wrong},
    layers::{Layers, Lines},
    raw::{self, PolicyWord},
};
use crate::{
    feeds::category::Category,
    policy::{Ports, Score, Tiers},
    rules::rule::Scope,
};

/// A `[[policy]]`: what becomes of the sources of a category.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// The category.
    pub category: Category,
    /// What becomes of them.
    pub action: PolicyAction,
    /// Only for packets to these ports; nothing: to any.
    pub ports: Option<Ports>,
    /// Which packets.
    pub scope: Scope,
    /// Only count and report.
    pub monitor: bool,
}

/// What becomes of the sources of a category.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicyAction {
    /// They are exempt from feeds, ASN and country rules.
    Allow,
    /// Nothing: `check` and the log name the category.
    Pass,
    /// This.
    Act(FeedAction),
}

/// All policies, in the order of the files; of two for the same category and ports the later counts.
pub(super) fn policies(layers: &Layers) -> Result<Vec<Policy>, ConfigError> {
    let mut policies: Vec<Policy> = Vec::new();
    for (policy, _, lines) in layers.entries(|raw| &raw.policy) {
        let policy = checked(policy, lines)?;
        policies.retain(|other| (other.category, &other.ports) != (policy.category, &policy.ports));
        policies.push(policy);
    }
    Ok(policies)
}

fn checked(policy: &raw::Policy, lines: Lines<'_>) -> Result<Policy, ConfigError> {
    let action = match policy.action.get_ref() {
        PolicyWord::Allow => PolicyAction::Allow,
        PolicyWord::Pass => PolicyAction::Pass,
        PolicyWord::Monitor => PolicyAction::Act(FeedAction::Monitor),
        PolicyWord::Throttle => PolicyAction::Act(FeedAction::Throttle),
        PolicyWord::Challenge => PolicyAction::Act(FeedAction::Challenge),
        PolicyWord::Block => PolicyAction::Act(FeedAction::Block),
    };
    let acts = matches!(action, PolicyAction::Act(_));
    if let Some(scope) = policy.scope.as_ref().filter(|_| !acts) {
        let what = "has no meaning where packets pass";
        return Err(wrong("scope", &lines.place(scope), what));
    }
    let ports = policy.ports.as_ref().map(|ports| {
        let place = lines.place(ports);
        let ports = ports.get_ref().iter().copied();
        Ports::new(ports).map_err(|error| wrong("ports", &place, error))
    });
    Ok(Policy {
        category: *policy.category.get_ref(),
        action,
        ports: ports.transpose()?,
        scope: policy
            .scope
            .as_ref()
            .map_or(Scope::Services, |scope| *scope.get_ref()),
        monitor: policy.monitor.as_ref().is_some_and(|it| *it.get_ref()),
    })
}

/// From which scores on what happens, unless configured.
pub(crate) const TIERS: Tiers = Tiers {
    monitor: Score::new(40),
    throttle: Score::new(60),
    challenge: Score::new(75),
    block: Score::new(90),
};

/// `[reputation]`: 0 turns a tier off.
pub(super) fn tiers(keys: &mut Keys<'_>, tiers: &mut Tiers) -> Result<(), ConfigError> {
    tier(
        keys,
        "reputation.monitor",
        |r| &r.reputation.monitor,
        &mut tiers.monitor,
    )?;
    tier(
        keys,
        "reputation.throttle",
        |r| &r.reputation.throttle,
        &mut tiers.throttle,
    )?;
    tier(
        keys,
        "reputation.challenge",
        |r| &r.reputation.challenge,
        &mut tiers.challenge,
    )?;
    tier(
        keys,
        "reputation.block",
        |r| &r.reputation.block,
        &mut tiers.block,
    )?;
    let rising = [tiers.monitor, tiers.throttle, tiers.challenge, tiers.block];
    let rising: Vec<Score> = rising.into_iter().flatten().collect();
    let place = keys
        .places
        .iter()
        .find(|(key, _)| key.starts_with("reputation."));
    match place {
        Some((key, place)) if !rising.is_sorted() => {
            let what = "harder tiers need higher scores: monitor, throttle, challenge, block";
            Err(wrong(key, place, what))
        }
        _ => Ok(()),
    }
}

fn tier<'a>(
    keys: &mut Keys<'a>,
    key: &'static str,
    field: impl Fn(&'a raw::Raw) -> &'a Option<toml::Spanned<u64>>,
    into: &mut Option<Score>,
) -> Result<(), ConfigError> {
    let mut number = into.map_or(0, Score::get);
    keys.number(key, field, 0..=100, &mut number)?;
    *into = Score::new(number).filter(|score| score.get() > 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::from_texts(vec![("a.toml".into(), text.to_owned())]).map(|(config, _)| config)
    }

    #[test]
    fn the_later_policy_for_the_same_counts() {
        let config = parse(
            "[[policy]]\ncategory = \"tor\"\naction = \"block\"\n\
             [[policy]]\ncategory = \"tor\"\naction = \"allow\"\nports = [443]\n\
             [[policy]]\ncategory = \"tor\"\naction = \"throttle\"\nmonitor = true\n",
        )
        .unwrap();
        let policies = config.policies.iter();
        let actions: Vec<_> = policies
            .map(|policy| (policy.action, policy.monitor))
            .collect();
        let throttle = PolicyAction::Act(FeedAction::Throttle);
        assert_eq!(actions, [(PolicyAction::Allow, false), (throttle, true)]);
    }

    #[test]
    fn tiers_can_be_moved_and_turned_off() {
        let tiers = parse("[reputation]\nblock = 95\nchallenge = 0\n")
            .unwrap()
            .tiers;
        assert_eq!(
            tiers,
            Tiers {
                challenge: None,
                block: Score::new(95),
                ..TIERS
            }
        );
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        let policy = |rest: &str| {
            let text = format!("[[policy]]\ncategory = \"tor\"\n{rest}\n");
            parse(&text).unwrap_err().to_string()
        };
        assert!(policy("action = \"pass\"\nscope = \"all\"").starts_with("a.toml:4: scope: "));
        assert!(policy("action = \"block\"\nports = []").starts_with("a.toml:4: ports: "));
        assert!(policy("action = \"block\"\nports = [0]").starts_with("a.toml:4: ports: "));
        assert!(policy("action = \"eat\"").starts_with("a.toml:3: action: "));
    }
}
