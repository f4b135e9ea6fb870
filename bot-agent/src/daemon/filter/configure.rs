//! What the configuration says about addresses: in force as a whole, or nothing changes.

use std::sync::Arc;

use super::{EnforceError, Filter, Reach, inputs, refused};
use crate::{
    asn::Database,
    control::protocol::{Failure, FailureCode},
    policy::{List, Only},
    rules::{
        rule::{Draft, Origin},
        set::Synced,
        time::Now,
    },
};

/// The parts of a configuration that may not fit.
pub(in crate::daemon) struct Configured {
    pub rules: Vec<Draft>,
    pub lists: Vec<List>,
    pub onlys: Vec<Only>,
    pub database: Option<Arc<Database>>,
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
            prefixes,
        } = configured;
        let stored = self.spoken.stored().to_vec();
        let spoken = self.spoken.with(lists, onlys, stored, now);
        let spoken = spoken.map_err(|why| Failure::new(FailureCode::Refused, why.to_string()))?;
        let others = !spoken.says_nothing_either(&self.spoken)
            || database.as_ref().map(Arc::as_ptr) != self.database.as_ref().map(Arc::as_ptr);
        let synced = self
            .rules
            .sync(|origin| *origin == Origin::Config, rules, now);
        let before = (
            std::mem::replace(&mut self.spoken, spoken),
            std::mem::replace(&mut self.database, database),
            self.enforcer.room(),
        );
        if !self.begun {
            return Ok(synced);
        }
        let reach = if others {
            Reach::Everything
        } else {
            Self::reach(self.subjects(&synced))
        };
        let Err(error) = self.fit(prefixes, &reach, now) else {
            return Ok(synced);
        };
        // The limit too, before the kernel is told anything: what was in force fits that one alone.
        self.enforcer.set_room(before.2);
        (self.spoken, self.database) = (before.0, before.1);
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
        let inputs = inputs(&self.rules, &self.spoken, self.database.as_deref());
        self.enforcer.limit_prefixes(prefixes, &inputs, now)?;
        if *reach == Reach::Prefixes(Vec::new()) {
            return Ok(());
        }
        self.attempt(reach, now)
    }
}
