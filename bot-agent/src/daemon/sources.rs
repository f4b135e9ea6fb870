//! Lists of sources: what is wrong with their files is told when it begins and when it changes.

use std::collections::BTreeSet;

use super::{Daemon, filter::Configured, wishes};
use crate::{config::Config, lists::ListFiles, policy::List};

impl Daemon {
    /// Everything that says something about addresses, with these lists.
    pub(super) fn configured(&self, config: &Config, lists: Vec<List>) -> Configured {
        Configured {
            rules: config.rules.clone(),
            lists,
            onlys: config.onlys.clone(),
            database: self.databases.shared(),
            tiers: config.tiers,
            prefixes: wishes::limits(config).prefixes,
        }
    }

    /// The lists in force are those of `files` from now on.
    pub(super) fn tell_list_files(&mut self, files: ListFiles) {
        let before = std::mem::replace(&mut self.list_files, files);
        let names: BTreeSet<String> = (before.troubles.into_keys())
            .chain(self.list_files.troubles.keys().cloned())
            .collect();
        for name in names {
            let message = self.list_files.troubles.get(&name).cloned();
            self.trouble(&format!("list {name}"), message);
        }
    }
}
