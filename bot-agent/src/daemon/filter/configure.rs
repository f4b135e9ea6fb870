//! What the configuration says about addresses: in force as a whole, or nothing changes.

use std::sync::Arc;

use super::{EnforceError, Filter, Reach, refused};
use crate::{
    asn::Database,
    control::protocol::{Failure, FailureCode},
    policy::{List, Only, Tiers},
    rules::{
        rule::{Draft, Origin},
        set::Synced,
        subject::Subject,
        time::Now,
    },
};

/// Prefixes of lists that are changed in place. More take a new generation, so that an agent that dies
/// halfway leaves the lists in the kernel that were, or those that should be, and none of both.
const IN_PLACE: usize = 1;

/// The parts of a configuration that may not fit.
pub(in crate::daemon) struct Configured {
    pub rules: Vec<Draft>,
    pub lists: Vec<List>,
    pub onlys: Vec<Only>,
    pub database: Option<Arc<Database>>,
    /// What scores lead to.
    pub tiers: Tiers,
    /// How many prefixes may be named.
    pub prefixes: usize,
}

impl Filter {
    /// Takes what the configuration says, all at once. When that cannot come into force, everything
    /// stays what it was.
    pub(in crate::daemon) fn configure(
        &mut self,
        configured: Configured,
        now: Now,
    ) -> Result<Synced, Failure> {
        let Configured {
            rules,
            lists,
            onlys,
            database,
            tiers,
            prefixes,
        } = configured;
        let stored = self.spoken.stored().to_vec();
        let spoken = self.spoken.with(lists, onlys, stored, now);
        let spoken = spoken.map_err(|why| Failure::new(FailureCode::Refused, why.to_string()))?;
        let same_networks =
            database.as_ref().map(Arc::as_ptr) == self.database.as_ref().map(Arc::as_ptr);
        let few = self.spoken.differences(&spoken, IN_PLACE);
        let few = few.filter(|_| same_networks && tiers == self.tiers);
        let synced = self
            .rules
            .sync(|origin| *origin == Origin::Config, rules, now);
        let before = (
            std::mem::replace(&mut self.spoken, spoken),
            std::mem::replace(&mut self.database, database),
            std::mem::replace(&mut self.tiers, tiers),
            self.enforcer.room(),
        );
        if !self.begun {
            return Ok(synced);
        }
        let reach = match few {
            Some(prefixes) => {
                let entries = prefixes.into_iter().map(Subject::Prefix);
                Self::reach(self.subjects(&synced).into_iter().chain(entries))
            }
            None => Reach::Everything,
        };
        let Err(error) = self.fit(prefixes, &reach, now) else {
            return Ok(synced);
        };
        // The limit too, before the kernel is told anything: what was in force fits that one alone.
        self.enforcer.set_room(before.3);
        (self.spoken, self.database, self.tiers) = (before.0, before.1, before.2);
        for id in &synced.added {
            self.rules.remove(*id);
        }
        for rule in synced.removed {
            self.rules.insert(rule, now);
        }
        if matches!(error, EnforceError::Table(_)) {
            self.fall_behind(&error, now);
            self.enforce_anew(now);
        }
        Err(refused(&error))
    }

    /// Puts the limit in force, then what `reach` takes. A smaller limit is looked at by itself: where
    /// no rule and no list is another one, nothing is worked out that could be refused.
    fn fit(&mut self, prefixes: usize, reach: &Reach, now: Now) -> Result<(), EnforceError> {
        let inputs = inputs!(self);
        self.enforcer.limit_prefixes(prefixes, &inputs, now)?;
        if *reach == Reach::Prefixes(Vec::new()) {
            return Ok(());
        }
        self.attempt(reach, now)
    }
}
