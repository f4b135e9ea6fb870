//! Locks: `only`, and what keeps one from being in force.

use super::{Daemon, rules::failed};
use crate::{
    control::{
        protocol::{Failure, Response},
        view::OnlyView,
    },
    host,
    policy::{List, Only, Ports},
    wording::many_of,
};

impl Daemon {
    /// Locks ports to the addresses of some lists.
    pub(super) fn only(&mut self, only: &Only) -> Result<Response, Failure> {
        let now = host::now();
        self.filter.lock(only, now)?;
        self.tell_locks();
        let sources = only.sources(self.filter.lists()).unwrap_or_default();
        let stay = sources.iter().map(|list| {
            let entries = many_of(list.len(), "prefix");
            format!("{} ({entries})", list.name())
        });
        let stay: Vec<String> = stay.collect();
        let enforces = self.mode.view(now).enforces() && !only.monitor;
        let others = if enforces {
            "are dropped"
        } else {
            "would be dropped, and are only reported now"
        };
        let message = format!(
            "port {} is only for {}: packets from all others {others}; allow rules, protected addresses and \
             failsafe ports stay open",
            only.ports,
            stay.join(", "),
        );
        Ok(Response::Ok { message })
    }

    /// Opens ports again that an operator locked.
    pub(super) fn only_remove(&mut self, ports: &Ports) -> Result<Response, Failure> {
        self.filter.unlock(ports, host::now())?;
        self.tell_locks();
        let message = format!("port {ports} is for everyone again");
        Ok(Response::Ok { message })
    }

    /// All locks, in force or not.
    pub(super) fn onlys(&self) -> Result<Vec<OnlyView>, Failure> {
        let hits = self.filter.list_hits();
        let hits = hits.map_err(|error| failed(error.to_string()))?;
        let spoken = self.filter.spoken();
        let views = spoken.locks().iter().map(|lock| {
            let sources = lock.only.sources(spoken.lists()).unwrap_or_default();
            let hits = hits.get(&lock.id);
            OnlyView {
                ports: lock.only.ports.clone().into(),
                from: lock.only.from.clone(),
                monitor: lock.only.monitor,
                origin: if lock.configured {
                    "config"
                } else {
                    "operator"
                }
                .into(),
                prefixes: sources.into_iter().map(List::len).sum(),
                hits: hits.copied().unwrap_or_default().into(),
                obstacle: lock.obstacle.clone(),
            }
        });
        Ok(views.collect())
    }

    /// Tells of locks that are not in force.
    pub(super) fn tell_locks(&mut self) {
        let spoken = self.filter.spoken();
        let wrong = spoken.locks().iter().filter_map(|lock| {
            let why = lock.obstacle.as_ref()?;
            let name = lock.only.name();
            let message = format!("{name} is not in force, its ports are open to everyone: {why}");
            Some((name, message))
        });
        let wrong: Vec<(String, String)> = wrong.collect();
        let is_over = |doing: &&String| {
            doing.starts_with("only ") && !wrong.iter().any(|(name, _)| name == *doing)
        };
        let over: Vec<String> = self.troubles.keys().filter(is_over).cloned().collect();
        for doing in over {
            self.trouble(&doing, None);
        }
        for (doing, message) in wrong {
            self.trouble(&doing, Some(message));
        }
    }
}
