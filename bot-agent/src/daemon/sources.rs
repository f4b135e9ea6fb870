//! Lists and the database of ASNs: read at start, and again with the configuration.

use std::collections::BTreeSet;

use super::Daemon;
use crate::{config::Config, control::protocol::Failure, host};

impl Daemon {
    /// Reads the files of all lists and puts what they say into force. A file that cannot be read keeps
    /// its list as it was; when the whole does not fit, all of them stay what they were.
    pub(super) fn load_lists(&mut self, config: &Config) -> Result<(), Failure> {
        let (lists, files) = self.list_files.read(&config.lists, self.filter.lists());
        let database = self.filter.database().cloned();
        self.filter.replace_sources(lists, database, host::now())?;
        let before = std::mem::replace(&mut self.list_files, files);
        let names: BTreeSet<String> = (before.troubles.into_keys())
            .chain(self.list_files.troubles.keys().cloned())
            .collect();
        for name in names {
            let message = self.list_files.troubles.get(&name).cloned();
            self.trouble(&format!("list {name}"), message);
        }
        Ok(())
    }
}
