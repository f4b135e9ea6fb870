//! Lists and locks: what speaks about addresses besides rules, and about which ports.

use std::collections::BTreeMap;

use super::{EnforceError, Filter, Reach, failed, refused};
use crate::{
    control::protocol::{Failure, FailureCode},
    policy::{List, ListId, ListKind, Only, PortGroups, Ports, TooManyPorts, differences},
    rules::{prefix::Prefix, time::Now},
    store::Change,
};

/// Ids of locks begin here; those of lists are counted from 0.
const FIRST_ID: u32 = 1 << 31;

/// Lists, locks, and all that they say together. Clones share the entries.
#[derive(Clone)]
pub(in crate::daemon) struct Spoken {
    lists: Vec<List>,
    /// Those of operators, as they are stored.
    stored: Vec<Only>,
    locks: Vec<Lock>,
    /// The lists, and what locks in force add.
    all: Vec<List>,
    groups: PortGroups,
    /// A lock keeps its id as long as the agent lives.
    ids: BTreeMap<Ports, ListId>,
}

/// A lock, who wants it, and whether it is in force.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Lock {
    pub only: Only,
    /// The configuration; else an operator.
    pub configured: bool,
    /// Its hits count for this.
    pub id: ListId,
    /// Why it is not in force; nothing: it is.
    pub obstacle: Option<String>,
}

impl Spoken {
    /// Nothing yet but the locks of operators, which are stored. `groups` are those of the kernel.
    pub(super) fn at_start(groups: PortGroups, stored: Vec<Only>) -> Self {
        Self {
            lists: Vec::new(),
            stored,
            locks: Vec::new(),
            all: Vec::new(),
            groups,
            ids: BTreeMap::new(),
        }
    }

    /// Other lists and locks. Of two locks of the same ports the configured one counts. An operator's
    /// lock for which there is no room beside lists and configured ones is not in force.
    pub(super) fn with(
        &self,
        lists: Vec<List>,
        configured: Vec<Only>,
        stored: Vec<Only>,
        now: Now,
    ) -> Result<Self, TooManyPorts> {
        let mut next = Self {
            all: lists.clone(),
            lists,
            stored,
            locks: Vec::new(),
            groups: self.groups.clone(),
            ids: self.ids.clone(),
        };
        for only in configured {
            let said = next.says(&only);
            next.add(only, true, said);
        }
        for only in next.stored.clone() {
            if next.locks.iter().any(|lock| lock.only.ports == only.ports) {
                continue;
            }
            let said = next.says(&only);
            let said = said.and_then(|said| next.has_room(said, now));
            next.add(only, false, said);
        }
        next.groups = next.numbered(&next.all, now)?;
        Ok(next)
    }

    /// What a lock adds, or why it is not in force.
    fn says(&mut self, only: &Only) -> Result<Vec<List>, String> {
        let before = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        let fresh = ListId(FIRST_ID.saturating_add(before));
        let id = *self.ids.entry(only.ports.clone()).or_insert(fresh);
        let said = only.says(id, &self.lists);
        said.map_err(|why| why.to_string())
    }

    /// The same, if its ports find a number. That some have to rest is only a matter of time.
    fn has_room(&self, said: Vec<List>, now: Now) -> Result<Vec<List>, String> {
        match self.numbered(self.all.iter().chain(&said), now) {
            Ok(_) | Err(TooManyPorts::Resting { .. }) => Ok(said),
            Err(why @ (TooManyPorts::Sets(_) | TooManyPorts::Overlaps(_))) => Err(why.to_string()),
        }
    }

    fn numbered<'l>(
        &self,
        lists: impl IntoIterator<Item = &'l List>,
        now: Now,
    ) -> Result<PortGroups, TooManyPorts> {
        let sets = lists.into_iter().filter_map(List::ports);
        self.groups.about(sets, now.boot_ns)
    }

    fn add(&mut self, only: Only, configured: bool, said: Result<Vec<List>, String>) {
        let id = self.ids.get(&only.ports).copied();
        let obstacle = said.as_ref().err().cloned();
        self.all.extend(said.into_iter().flatten());
        self.locks.extend(id.map(|id| Lock {
            only,
            configured,
            id,
            obstacle,
        }));
    }

    /// The lists.
    pub(in crate::daemon) fn lists(&self) -> &[List] {
        &self.lists
    }

    /// The locks, in force or not.
    pub(in crate::daemon) fn locks(&self) -> &[Lock] {
        &self.locks
    }

    /// All that speaks.
    pub(super) fn all(&self) -> &[List] {
        &self.all
    }

    /// The numbers of the sets of ports.
    pub(in crate::daemon) fn groups(&self) -> &PortGroups {
        &self.groups
    }

    /// Those of operators, as they are stored.
    pub(super) fn stored(&self) -> &[Only] {
        &self.stored
    }

    /// A new table is in force, which asks about nothing else.
    pub(super) fn settle(&mut self, now: Now) {
        self.groups.settle(now.boot_ns);
    }

    /// The prefixes about which `other` says something else; nothing: more than `most`, or about
    /// other ports.
    pub(super) fn differences(&self, other: &Self, most: usize) -> Option<Vec<Prefix>> {
        let same_ports = self.groups == other.groups;
        same_ports
            .then(|| differences(&self.all, &other.all, most))
            .flatten()
    }
}

impl Filter {
    /// Lists, locks, and the ports that they are about.
    pub(in crate::daemon) fn spoken(&self) -> &Spoken {
        &self.spoken
    }

    /// Locks ports, in place of what an operator locked them to before.
    pub(in crate::daemon) fn lock(&mut self, only: &Only, now: Now) -> Result<(), Failure> {
        self.not_configured(&only.ports)?;
        let others = |other: &&Only| other.ports != only.ports;
        let others = self.spoken.stored().iter().filter(others);
        let stored = others.chain([only]).cloned().collect();
        let next = self.relocked(stored, now)?;
        let lock = next.locks().iter().find(|lock| lock.only == *only);
        if let Some(why) = lock.and_then(|lock| lock.obstacle.as_ref()) {
            return Err(refusal(format!("{why}; nothing was changed")));
        }
        self.change_locks(next, now)
    }

    /// Takes an operator's lock away.
    pub(in crate::daemon) fn unlock(&mut self, ports: &Ports, now: Now) -> Result<(), Failure> {
        let others = self.spoken.stored().iter();
        let others: Vec<Only> = others
            .filter(|other| other.ports != *ports)
            .cloned()
            .collect();
        if others.len() == self.spoken.stored().len() {
            self.not_configured(ports)?;
            return Err(refusal(format!(
                "there is no lock of just the ports {ports}: see `bot-agent only list`"
            )));
        }
        let next = self.relocked(others, now)?;
        self.change_locks(next, now)
    }

    fn not_configured(&self, ports: &Ports) -> Result<(), Failure> {
        let mut locks = self.spoken.locks().iter();
        if locks.any(|lock| lock.configured && lock.only.ports == *ports) {
            return Err(refusal(format!(
                "the lock of port {ports} stands in the configuration ([[only]]): change it there"
            )));
        }
        Ok(())
    }

    /// What is spoken when these are the locks of operators.
    fn relocked(&self, stored: Vec<Only>, now: Now) -> Result<Spoken, Failure> {
        let configured = self.spoken.locks().iter().filter(|lock| lock.configured);
        let configured = configured.map(|lock| lock.only.clone()).collect();
        let lists = self.lists().to_vec();
        let next = self.spoken.with(lists, configured, stored, now);
        next.map_err(|why| refusal(why.to_string()))
    }

    /// Stores other locks of operators, then puts them in force; or nothing changes.
    fn change_locks(&mut self, next: Spoken, now: Now) -> Result<(), Failure> {
        let stored = |spoken: &Spoken| Change::Onlys(spoken.stored().to_vec());
        let before = std::mem::replace(&mut self.spoken, next);
        if let Err(error) = self.store.commit(&[stored(&self.spoken)]) {
            self.spoken = before;
            return Err(failed(format!("nothing was changed: {error}")));
        }
        let Err(error) = self.attempt(&Reach::Everything, now) else {
            return Ok(());
        };
        self.spoken = before;
        let mut failure = refused(&error);
        if let Err(error) = self.store.commit(&[stored(&self.spoken)]) {
            failure.message = format!(
                "{}, but the store could not be taken back ({error}): the change may come at the next start",
                failure.message
            );
        }
        if matches!(error, EnforceError::Table(_)) {
            self.fall_behind(&error, now);
            self.enforce_anew(now);
        }
        Err(failure)
    }

    /// Tells the kernel which ports groups have, before any verdict asks about them.
    pub(super) fn write_groups(&mut self) -> Result<(), EnforceError> {
        let lines = self.spoken.groups().lines();
        self.enforcer.datapath.set_port_groups(&lines)?;
        Ok(())
    }
}

fn refusal(why: String) -> Failure {
    Failure::new(FailureCode::Refused, why)
}

/// Whether a list is that of a lock.
pub(super) fn is_lock(list: &List) -> bool {
    matches!(list.kind(), ListKind::Only { .. })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{policy::Score, rules::time::BootId};

    fn now() -> Now {
        Now {
            wall: Timestamp::UNIX_EPOCH,
            boot_ns: 100_000_000_000,
            boot: BootId(7),
        }
    }

    fn cdn() -> Vec<List> {
        let entry = ("192.0.2.0/24".parse().unwrap(), Score::MAX);
        vec![List::new(ListId(0), "cdn".into(), ListKind::Allow, [entry])]
    }

    fn only(ports: &str) -> Only {
        Only {
            ports: ports.parse().unwrap(),
            from: vec!["cdn".to_owned()],
            monitor: false,
        }
    }

    fn spoken(before: &Spoken, configured: &[&str], stored: &[&str]) -> Spoken {
        let onlys = |texts: &[&str]| texts.iter().map(|text| only(text)).collect();
        let next = before.with(cdn(), onlys(configured), onlys(stored), now());
        next.unwrap()
    }

    /// Ports of the locks, whether they are configured, and whether they are in force.
    fn locks(spoken: &Spoken) -> Vec<(String, bool, bool)> {
        let lock = |lock: &Lock| {
            let in_force = lock.obstacle.is_none();
            (lock.only.ports.to_string(), lock.configured, in_force)
        };
        spoken.locks().iter().map(lock).collect()
    }

    #[test]
    fn of_two_locks_of_the_same_ports_the_configured_one_counts_while_it_is_there() {
        let none = Spoken::at_start(PortGroups::NONE, Vec::new());
        let both = spoken(&none, &["443"], &["443", "25"]);
        let expected = [("443".into(), true, true), ("25".into(), false, true)];
        assert_eq!(locks(&both), expected);
        // The list, and of each lock itself and whom it lets in.
        assert_eq!(both.all().len(), 1 + 2 * 2);
        let stored: Vec<Only> = both.stored().to_vec();
        let alone = both.with(cdn(), Vec::new(), stored, now()).unwrap();
        assert_eq!(locks(&alone)[0], ("443".into(), false, true));
        assert_eq!(alone.locks()[0].id, both.locks()[0].id, "hits go on");
    }

    #[test]
    fn a_lock_without_its_list_stays_known_and_says_nothing() {
        let none = Spoken::at_start(PortGroups::NONE, Vec::new());
        let next = none.with(Vec::new(), vec![only("443")], Vec::new(), now());
        let next = next.unwrap();
        assert_eq!(next.all().len(), 0);
        let why = next.locks()[0].obstacle.as_deref();
        assert_eq!(why, Some("there is no list `cdn`"));
    }

    #[test]
    fn an_operators_lock_that_does_not_fit_beside_the_configured_ones_is_not_in_force() {
        let none = Spoken::at_start(PortGroups::NONE, Vec::new());
        let configured: Vec<String> = (1..=8).map(|port| port.to_string()).collect();
        let configured: Vec<&str> = configured.iter().map(String::as_str).collect();
        let full = spoken(&none, &configured, &["443", "1"]);
        assert_eq!(locks(&full).len(), 9);
        assert_eq!(locks(&full)[8], ("443".into(), false, false));
        let fewer = spoken(&full, &configured[1..], &["443"]);
        assert_eq!(locks(&fewer)[7], ("443".into(), false, true));
    }
}
