//! What the host is at the moment: served ports and protected addresses.
//!
//! Looking takes milliseconds, so it is done beside the loop, once a second. Where the answer is
//! needed at once (at the start, on reload, when an address changes) the loop waits for it.

use std::{collections::BTreeMap, io};

use bot_common::address::Address;

use tokio::task::{self, JoinHandle};

use super::{Daemon, wishes};
use crate::{
    event::{Body, RuleChange},
    host::{
        self, connections,
        ports::PortSet,
        protected::Finder,
        served::{self, Served},
    },
    rules::{
        prefix::Prefix,
        rule::{Origin, Rule},
    },
};

/// What was seen.
pub(super) struct Look {
    /// Who looked, with what it remembers.
    finder: Finder,
    served: Result<Served, String>,
    protected: Result<Vec<(Prefix, String)>, String>,
    /// Sources with proved connections to the ports that were served before.
    good: Result<BTreeMap<Address, u32>, String>,
}

impl Look {
    /// Looks now, and waits for it.
    fn now(mut finder: Finder, served: &PortSet) -> Self {
        let good = connections::proved(served).map_err(|error| error.to_string());
        let protected = finder.find().map_err(|error| error.to_string());
        let served = served::listening().map_err(|error| error.to_string());
        Self {
            finder,
            served,
            protected,
            good,
        }
    }

    /// Looks in a thread of its own.
    pub(super) fn begin(finder: &Finder, served: &PortSet) -> JoinHandle<Self> {
        let (finder, served) = (finder.clone(), served.clone());
        task::spawn_blocking(move || Self::now(finder, &served))
    }
}

/// Waits for what is seen; for ever when nobody looks.
pub(super) async fn seen(look: Option<&mut JoinHandle<Look>>) -> io::Result<Look> {
    match look {
        Some(look) => look.await.map_err(io::Error::other),
        None => std::future::pending().await,
    }
}

impl Daemon {
    /// Looks, and acts on it at once.
    pub(super) fn look_at_host(&mut self) {
        self.saw(Look::now(self.finder.clone(), &self.ports.served_tcp));
    }

    /// Takes over what was seen.
    pub(super) fn saw(&mut self, look: Look) {
        self.finder = look.finder;
        let result = look.served.and_then(|served| self.serve_ports(&served));
        self.trouble("looking for served ports", result.err());
        let result = look.protected.and_then(|found| self.protect(found));
        self.trouble("looking for protected addresses", result.err());
        let result = look.good.map(|good| self.saw_good(good));
        self.trouble("looking at connections", result.err());
    }

    fn serve_ports(&mut self, served: &Served) -> Result<(), String> {
        let ports = wishes::ports(&self.config, served, self.finder.sshd_ports());
        let set = self.filter.enforcer.datapath.set_ports(&ports);
        set.map_err(|error| error.to_string())?;
        self.ports = ports;
        Ok(())
    }

    fn protect(&mut self, found: Vec<(Prefix, String)>) -> Result<(), String> {
        let drafts = wishes::protected(&self.config, found);
        let (synced, result) = self.filter.sync(Origin::is_protection, drafts, host::now());
        if !self.running {
            // The first look: what every host has is no news.
            return result.map_err(|error| error.to_string());
        }
        let added: Vec<Rule> = synced
            .added
            .iter()
            .filter_map(|id| self.filter.rules().get(*id).cloned())
            .collect();
        self.emit_all(
            synced
                .removed
                .iter()
                .map(|rule| Body::RuleRemoved(RuleChange::of(rule))),
        );
        self.emit_all(
            added
                .iter()
                .map(|rule| Body::RuleAdded(RuleChange::of(rule))),
        );
        result.map_err(|error| error.to_string())
    }
}
