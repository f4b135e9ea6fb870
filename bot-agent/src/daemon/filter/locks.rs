//! Lists and locks: what speaks about addresses besides rules, and about which ports.

use std::collections::BTreeMap;

use super::{EnforceError, Filter, Reach, failed, refused};
use crate::{
    control::protocol::{Failure, FailureCode},
    policy::{
        List, ListId, ListKind, NotLocked, Only, PortGroups, Ports, TooManyPorts, differences,
    },
    rules::{prefix::Prefix, time::Now},
    store::Change,
};

/// Ids of locks begin here; those of lists are counted from 0.
const FIRST_ID: u32 = 1 << 31;

/// Lists, locks, and all that they say together. Clones share the entries.
#[derive(Clone)]
pub(in crate::daemon) struct Spoken {
    lists: Vec<List>,
    locks: Vec<Lock>,
    /// The lists, and what locks in force add.
    all: Vec<List>,
    groups: PortGroups,
    /// A lock keeps its id as long as the agent lives.
    ids: BTreeMap<Ports, ListId>,
}

/// A lock, and who wants it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::daemon) struct Lock {
    pub only: Only,
    /// The configuration; else an operator.
    pub configured: bool,
}

impl Spoken {
    /// Nothing yet but the locks of operators, which are stored. `groups` are those of the kernel.
    pub(super) fn at_start(groups: PortGroups, onlys: Vec<Only>) -> Self {
        let locks = onlys.into_iter().map(|only| Lock {
            only,
            configured: false,
        });
        Self {
            lists: Vec::new(),
            locks: locks.collect(),
            all: Vec::new(),
            groups,
            ids: BTreeMap::new(),
        }
    }

    /// Other lists and locks. Of two locks of the same ports the configured one counts.
    pub(super) fn with(
        &self,
        lists: Vec<List>,
        locks: Vec<Lock>,
        now: Now,
    ) -> Result<Self, TooManyPorts> {
        let mut ids = self.ids.clone();
        let mut all = lists.clone();
        let mut kept: Vec<Lock> = Vec::with_capacity(locks.len());
        let (configured, others): (Vec<Lock>, Vec<Lock>) =
            locks.into_iter().partition(|lock| lock.configured);
        for lock in configured.into_iter().chain(others) {
            let is_it = |other: &Lock| other.only.ports == lock.only.ports;
            if kept.iter().any(is_it) {
                continue;
            }
            let fresh =
                ListId(FIRST_ID.saturating_add(u32::try_from(ids.len()).unwrap_or(u32::MAX)));
            let id = *ids.entry(lock.only.ports.clone()).or_insert(fresh);
            all.extend(lock.only.says(id, &lists).into_iter().flatten());
            kept.push(lock);
        }
        let groups = self
            .groups
            .about(all.iter().filter_map(List::ports), now.boot_ns)?;
        Ok(Self {
            lists,
            locks: kept,
            all,
            groups,
            ids,
        })
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

    /// The id for which the hits of a lock count.
    pub(in crate::daemon) fn id(&self, lock: &Lock) -> Option<ListId> {
        self.ids.get(&lock.only.ports).copied()
    }

    /// Why a lock is not in force; nothing: it is.
    pub(in crate::daemon) fn obstacle(&self, lock: &Lock) -> Option<NotLocked> {
        lock.only.sources(&self.lists).err()
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

    /// The locks that the configuration does not know: those that are stored.
    pub(in crate::daemon) fn operator_locks(&self) -> Vec<Lock> {
        let locks = self.spoken.locks().iter();
        locks.filter(|lock| !lock.configured).cloned().collect()
    }

    /// Locks ports, in place of what an operator locked them to before.
    pub(in crate::daemon) fn lock(&mut self, only: &Only, now: Now) -> Result<(), Failure> {
        self.not_configured(&only.ports)?;
        only.sources(self.lists()).map_err(|why| {
            let why = format!("{why}: the lock would drop everyone; nothing was changed");
            Failure::new(FailureCode::Refused, why)
        })?;
        let mut locks = self.operator_locks();
        locks.retain(|lock| lock.only.ports != only.ports);
        locks.push(Lock {
            only: only.clone(),
            configured: false,
        });
        self.change_locks(&locks, now)
    }

    /// Takes an operator's lock away.
    pub(in crate::daemon) fn unlock(&mut self, ports: &Ports, now: Now) -> Result<(), Failure> {
        self.not_configured(ports)?;
        let mut locks = self.operator_locks();
        let before = locks.len();
        locks.retain(|lock| lock.only.ports != *ports);
        if locks.len() == before {
            let what = format!(
                "there is no `only` of just these ports ({ports}): see `bot-agent only list`"
            );
            return Err(Failure::new(FailureCode::Refused, what));
        }
        self.change_locks(&locks, now)
    }

    fn not_configured(&self, ports: &Ports) -> Result<(), Failure> {
        let mut locks = self.spoken.locks().iter();
        if locks.any(|lock| lock.configured && lock.only.ports == *ports) {
            let what = format!(
                "the [[only]] of port {ports} stands in the configuration: change it there"
            );
            return Err(Failure::new(FailureCode::Refused, what));
        }
        Ok(())
    }

    /// Makes these the operator's locks: worked out, stored, then in force, or nothing changes.
    fn change_locks(&mut self, operator: &[Lock], now: Now) -> Result<(), Failure> {
        let configured = self.spoken.locks().iter().filter(|lock| lock.configured);
        let locks = configured
            .cloned()
            .chain(operator.iter().cloned())
            .collect();
        let next = self.spoken.with(self.lists().to_vec(), locks, now);
        let next = next.map_err(|why| Failure::new(FailureCode::Refused, why.to_string()))?;
        let stored =
            |locks: &[Lock]| Change::Onlys(locks.iter().map(|lock| lock.only.clone()).collect());
        let earlier = stored(&self.operator_locks());
        let before = std::mem::replace(&mut self.spoken, next);
        if let Err(error) = self.store.commit(&[stored(operator)]) {
            self.spoken = before;
            return Err(failed(format!("nothing was changed: {error}")));
        }
        let Err(error) = self.attempt(&Reach::Everything, now) else {
            return Ok(());
        };
        self.spoken = before;
        let mut failure = refused(&error);
        if let Err(error) = self.store.commit(&[earlier]) {
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

/// Whether a list is that of a lock.
pub(super) fn is_lock(list: &List) -> bool {
    matches!(list.kind(), ListKind::Only { .. })
}
