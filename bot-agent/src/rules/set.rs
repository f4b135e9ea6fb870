//! All rules, by identity, by subject and by deadline.
//!
//! Invariants: no two rules share subject, action and origin (the newer replaces the older), and
//! every deadline is on the running boot's clock.

use std::collections::{BTreeMap, BTreeSet};

use bot_common::address::Address;

use super::{
    prefix::Prefix,
    rule::{Draft, Origin, Rule, RuleId},
    subject::{Asn, Country, Subject},
    time::Now,
};

/// Every rule there is, expired ones included until [`RuleSet::expire`] takes them out.
#[derive(Clone, Debug)]
pub struct RuleSet {
    by_id: BTreeMap<RuleId, Rule>,
    /// Prefixes first, as [`Subject`] orders them.
    by_subject: BTreeMap<Subject, Vec<RuleId>>,
    /// `CLOCK_BOOTTIME` nanoseconds.
    by_deadline: BTreeSet<(u64, RuleId)>,
    next: RuleId,
}

/// What became of an insertion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// The rule is new.
    Added,
    /// The rule took the place of this one.
    Replaced(Rule),
}

/// What [`RuleSet::sync`] changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Synced {
    /// Rules that were not there before, or not like this.
    pub added: Vec<RuleId>,
    /// Rules that are no longer, replaced ones included.
    pub removed: Vec<Rule>,
}

impl Default for RuleSet {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_subject: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            next: RuleId(1),
        }
    }
}

impl RuleSet {
    /// The set of stored `rules`, the next new one to be `next` or above all of them. Returns the
    /// rules whose deadlines had to be moved to the running boot's clock, for the store.
    pub fn load(rules: Vec<Rule>, next: RuleId, now: Now) -> (Self, Vec<Rule>) {
        let mut set = Self {
            next: next.max(RuleId(1)),
            ..Self::default()
        };
        let mut rebased = Vec::new();
        for stored in rules {
            let rule = stored.clone().rebased(now);
            if rule != stored {
                rebased.push(rule.clone());
            }
            set.insert(rule, now);
        }
        (set, rebased)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The rule of an identity.
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.by_id.get(&id)
    }

    /// All rules, oldest identity first.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.by_id.values()
    }

    /// Prefixes with their rules; a prefix comes before all that it covers.
    pub fn by_prefix(&self) -> impl Iterator<Item = (Prefix, impl Iterator<Item = &Rule>)> {
        self.by_subject
            .iter()
            .map_while(|(subject, ids)| Some((subject.prefix()?, self.rules_of(ids))))
    }

    /// ASNs with their rules, in order of number.
    pub fn by_asn(&self) -> impl Iterator<Item = (Asn, impl Iterator<Item = &Rule>)> {
        let asns = self.by_subject.range(Subject::Asn(Asn::MIN)..);
        asns.map_while(|(subject, ids)| match *subject {
            Subject::Asn(asn) => Some((asn, self.rules_of(ids))),
            Subject::Prefix(_) | Subject::Country(_) => None,
        })
    }

    /// Countries with their rules, in order of letters.
    pub fn by_country(&self) -> impl Iterator<Item = (Country, impl Iterator<Item = &Rule>)> {
        // Whatever comes behind the last ASN.
        let countries = self.by_subject.range(Subject::Asn(Asn::MAX)..);
        countries.filter_map(|(subject, ids)| match *subject {
            Subject::Country(country) => Some((country, self.rules_of(ids))),
            Subject::Prefix(_) | Subject::Asn(_) => None,
        })
    }

    /// The rules of exactly this prefix.
    pub fn at(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.about(Subject::Prefix(prefix))
    }

    /// The rules of exactly this subject.
    pub fn about(&self, subject: Subject) -> impl Iterator<Item = &Rule> {
        let ids = self.by_subject.get(&subject).map_or(&[][..], Vec::as_slice);
        self.rules_of(ids)
    }

    fn rules_of<'a>(&'a self, ids: &'a [RuleId]) -> impl Iterator<Item = &'a Rule> {
        ids.iter().filter_map(|id| self.by_id.get(id))
    }

    /// The rules that cover all of `prefix`, widest first.
    pub fn covering(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        (0..=prefix.bits())
            .map(move |bits| prefix.shortened(bits))
            .filter(move |wider| wider.covers(prefix))
            .flat_map(|wider| self.at(wider))
    }

    /// The rules that cover `address`, widest first.
    pub fn covering_address(&self, address: Address) -> impl Iterator<Item = &Rule> {
        self.covering(Prefix::host(address.to_ip()))
    }

    /// The rules of `prefix` and of what it covers, in order of prefix.
    pub fn within(&self, prefix: Prefix) -> impl Iterator<Item = &Rule> {
        self.by_subject
            .range(Subject::Prefix(prefix)..)
            .map_while(|(subject, ids)| Some((subject.prefix()?, ids)))
            .take_while(move |(inner, _)| prefix.encloses(inner.address()))
            .filter(move |(inner, _)| prefix.covers(*inner))
            .flat_map(|(_, ids)| self.rules_of(ids))
    }

    /// The identity that the next rule gets; what the store keeps.
    pub fn next_id(&self) -> RuleId {
        self.next
    }

    /// Takes an identity for a new rule.
    pub fn reserve_id(&mut self) -> RuleId {
        let id = self.next;
        self.next = RuleId(id.0.saturating_add(1));
        id
    }

    /// The rule that [`Self::insert`] of `rule` would replace.
    pub fn rival(&self, rule: &Rule) -> Option<&Rule> {
        self.about(rule.subject)
            .find(|other| other.action == rule.action && other.origin == rule.origin)
    }

    /// Adds `rule`, in place of one with the same identity or the same subject, action and origin.
    pub fn insert(&mut self, rule: Rule, now: Now) -> Inserted {
        let rule = rule.rebased(now);
        let rival = self.rival(&rule).map(|rival| rival.id);
        let replaced = self
            .remove(rule.id)
            .or_else(|| rival.and_then(|rival| self.remove(rival)));
        self.next = self.next.max(RuleId(rule.id.0.saturating_add(1)));
        self.by_subject
            .entry(rule.subject)
            .or_default()
            .push(rule.id);
        if let Some(deadline) = rule.deadline {
            self.by_deadline.insert((deadline.boot_ns, rule.id));
        }
        self.by_id.insert(rule.id, rule);
        replaced.map_or(Inserted::Added, Inserted::Replaced)
    }

    /// Takes the rule out.
    pub fn remove(&mut self, id: RuleId) -> Option<Rule> {
        let rule = self.by_id.remove(&id)?;
        if let Some(ids) = self.by_subject.get_mut(&rule.subject) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_subject.remove(&rule.subject);
            }
        }
        if let Some(deadline) = rule.deadline {
            self.by_deadline.remove(&(deadline.boot_ns, id));
        }
        Some(rule)
    }

    /// When the next rule ends, `CLOCK_BOOTTIME` nanoseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        self.by_deadline.first().map(|(boot_ns, _)| *boot_ns)
    }

    /// Takes out the rules whose deadline has passed, earliest first.
    pub fn expire(&mut self, now: Now) -> Vec<Rule> {
        let past = |deadline: &u64| *deadline <= now.boot_ns;
        let mut ended = Vec::new();
        while let Some((_, id)) = self.by_deadline.first().filter(|(at, _)| past(at)).copied() {
            ended.extend(self.remove(id));
        }
        ended
    }

    /// Makes the rules of the origins that `ours` selects exactly `wanted`. Rules that stay as they
    /// are keep their identity, so nothing about them changes in the kernel.
    pub fn sync(&mut self, ours: impl Fn(&Origin) -> bool, wanted: Vec<Draft>, now: Now) -> Synced {
        let mut stale: BTreeSet<RuleId> = self
            .iter()
            .filter(|rule| ours(&rule.origin))
            .map(|rule| rule.id)
            .collect();
        let mut synced = Synced::default();
        for draft in wanted {
            if let Some(same) = self.about(draft.subject).find(|rule| draft.says(rule)) {
                stale.remove(&same.id);
                continue;
            }
            let rule = draft.into_rule(self.reserve_id(), now);
            synced.added.push(rule.id);
            if let Inserted::Replaced(old) = self.insert(rule, now) {
                stale.remove(&old.id);
                synced.added.retain(|id| *id != old.id);
                synced.removed.push(old);
            }
        }
        let stale = stale.into_iter().filter_map(|id| self.remove(id));
        synced.removed.extend(stale);
        synced
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::rules::{
        rule::{RuleAction, Scope},
        time::{BootId, Deadline},
    };

    fn now(seconds: u64) -> Now {
        Now {
            wall: Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
            boot_ns: (100 + seconds) * 1_000_000_000,
            boot: BootId(1),
        }
    }

    fn draft(prefix: &str, action: RuleAction, origin: Origin) -> Draft {
        Draft {
            subject: prefix.parse().unwrap(),
            action,
            scope: Scope::All,
            monitor: false,
            forced: false,
            deadline: None,
            reason: String::new(),
            origin,
        }
    }

    fn block(set: &mut RuleSet, prefix: &str, seconds: Option<u64>) -> (RuleId, Inserted) {
        let deadline =
            seconds.and_then(|seconds| Deadline::after(now(0), Duration::from_secs(seconds)));
        let draft = Draft {
            deadline,
            ..draft(prefix, RuleAction::Block, Origin::Operator)
        };
        let rule = draft.into_rule(set.reserve_id(), now(0));
        (rule.id, set.insert(rule, now(0)))
    }

    #[test]
    fn a_block_of_the_same_prefix_again_replaces_the_earlier_one() {
        let mut set = RuleSet::default();
        let (first, inserted) = block(&mut set, "10.0.0.0/8", Some(5));
        assert_eq!(inserted, Inserted::Added);
        let (second, inserted) = block(&mut set, "10.0.0.0/8", None);
        assert!(matches!(inserted, Inserted::Replaced(rule) if rule.id == first));
        assert_eq!(set.len(), 1);
        assert!(set.get(second).is_some());
        assert_eq!(set.next_deadline(), None);
    }

    #[test]
    fn rules_of_other_actions_and_origins_stand_beside_it() {
        let mut set = RuleSet::default();
        block(&mut set, "10.0.0.0/8", None);
        for (action, origin) in [
            (RuleAction::Allow, Origin::Operator),
            (RuleAction::Block, Origin::Config),
            (RuleAction::Allow, Origin::Protected("gateway".into())),
            (RuleAction::Allow, Origin::Protected("dns".into())),
        ] {
            let rule = draft("10.0.0.0/8", action, origin).into_rule(set.reserve_id(), now(0));
            assert_eq!(set.insert(rule, now(0)), Inserted::Added);
        }
        assert_eq!(set.at("10.0.0.0/8".parse().unwrap()).count(), 5);
    }

    #[test]
    fn what_covers_and_what_lies_within() {
        let mut set = RuleSet::default();
        for prefix in [
            "::/0",
            "0.0.0.0/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3",
            "11.0.0.0/8",
        ] {
            block(&mut set, prefix, None);
        }
        let texts = |rules: Vec<&Rule>| -> Vec<String> {
            rules.iter().map(|rule| rule.subject.to_string()).collect()
        };
        assert_eq!(
            texts(set.covering("10.1.0.0/16".parse().unwrap()).collect()),
            ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"]
        );
        assert_eq!(
            texts(set.within("10.0.0.0/8".parse().unwrap()).collect()),
            ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"]
        );
        assert_eq!(
            texts(set.within("::/0".parse().unwrap()).collect()),
            ["::/0"]
        );
        let address = Address::from_v6([0x20; 16]);
        assert_eq!(texts(set.covering_address(address).collect()), ["::/0"]);
    }

    #[test]
    fn asns_and_countries_stand_beside_prefixes() {
        let mut set = RuleSet::default();
        let subjects = [
            "country:DE",
            "AS64500",
            "::/0",
            "AS64500",
            "AS4294967295",
            "10.0.0.0/8",
            "country:AA",
            "AS1",
        ];
        for subject in subjects {
            block(&mut set, subject, None);
        }
        let allow = draft("AS1", RuleAction::Allow, Origin::Operator);
        let allow = allow.into_rule(set.reserve_id(), now(0));
        set.insert(allow, now(0));
        assert_eq!(set.len(), 8);

        let prefixes: Vec<_> = set.by_prefix().map(|(p, _)| p.to_string()).collect();
        assert_eq!(prefixes, ["::/0", "10.0.0.0/8"]);
        let asns = set
            .by_asn()
            .map(|(asn, rules)| (asn.number(), rules.count()));
        assert_eq!(
            asns.collect::<Vec<_>>(),
            [(1, 2), (64_500, 1), (u32::MAX, 1)]
        );
        let countries: Vec<_> = set.by_country().map(|(c, _)| c.to_string()).collect();
        assert_eq!(countries, ["AA", "DE"]);
        assert_eq!(set.within("::/0".parse().unwrap()).count(), 1);
        assert_eq!(set.about("AS1".parse().unwrap()).count(), 2);

        for id in [4, 5, 8, 9] {
            assert!(set.remove(RuleId(id)).is_some());
        }
        assert_eq!((set.by_asn().count(), set.by_country().count()), (0, 2));
    }

    #[test]
    fn rules_expire_in_order_and_only_when_due() {
        let mut set = RuleSet::default();
        let (late, _) = block(&mut set, "192.0.2.1", Some(20));
        let (early, _) = block(&mut set, "192.0.2.2", Some(10));
        block(&mut set, "192.0.2.3", None);
        assert_eq!(set.next_deadline(), Some(now(10).boot_ns));
        assert_eq!(set.expire(now(9)), []);
        let ended: Vec<RuleId> = set.expire(now(20)).iter().map(|rule| rule.id).collect();
        assert_eq!(ended, [early, late]);
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn stored_rules_come_back_on_the_new_boot_s_clock() {
        let mut set = RuleSet::default();
        block(&mut set, "192.0.2.1", Some(600));
        let (last, _) = block(&mut set, "192.0.2.2", None);
        let rebooted = Now {
            boot: BootId(2),
            boot_ns: 7,
            ..now(300)
        };
        let (mut loaded, rebased) =
            RuleSet::load(set.iter().cloned().collect(), RuleId(0), rebooted);
        assert_eq!(rebased.len(), 1);
        assert_eq!(loaded.next_deadline(), Some(7 + 300_000_000_000));
        assert!(loaded.reserve_id() > last);
    }

    #[test]
    fn syncing_keeps_what_is_unchanged() {
        let mut set = RuleSet::default();
        let config = |origin: &Origin| *origin == Origin::Config;
        let drafts = |prefixes: &[&str]| {
            let drafts = prefixes.iter();
            drafts
                .map(|prefix| draft(prefix, RuleAction::Block, Origin::Config))
                .collect::<Vec<_>>()
        };
        block(&mut set, "192.0.2.9", None);
        let first = set.sync(config, drafts(&["192.0.2.1", "192.0.2.2"]), now(0));
        assert_eq!(first.added.len(), 2);
        let second = set.sync(config, drafts(&["192.0.2.2", "192.0.2.3"]), now(1));
        assert_eq!(second.added.len(), 1);
        assert_eq!(second.removed.len(), 1);
        assert_eq!(second.removed[0].subject.to_string(), "192.0.2.1");
        assert_eq!(
            set.sync(config, drafts(&["192.0.2.2", "192.0.2.3"]), now(2)),
            Synced::default()
        );
        let changed = Draft {
            monitor: true,
            ..draft("192.0.2.2", RuleAction::Block, Origin::Config)
        };
        let third = set.sync(config, vec![changed], now(3));
        assert_eq!((third.added.len(), third.removed.len()), (1, 2));
        assert_eq!(set.len(), 2);
    }
}
