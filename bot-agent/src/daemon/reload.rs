//! Reading the configuration again: valid as a whole, or nothing changes.

use std::sync::Arc;

use super::{Daemon, access, networks::objection, rules::failed, wishes};
use crate::{
    config::Config,
    control::protocol::{Failure, FailureCode},
    event::{Body, Note, RuleChange, file::LogFile},
    host,
    lists::ListFiles,
};

impl Daemon {
    /// For SIGHUP, where nobody waits for an answer.
    pub(super) fn reload_and_tell(&mut self) {
        if let Err(failure) = self.reload() {
            self.emit(Body::error(format!(
                "the configuration was not reloaded, the old one stays in force: {failure}"
            )));
        }
    }

    /// Puts the configuration file into force; says what was done.
    pub(super) fn reload(&mut self) -> Result<String, Failure> {
        let config =
            Config::load(&self.config_path, None).map_err(|error| {
                match access::obstacle(&self.config_path) {
                    Some(why) => Failure::new(FailureCode::MissingPrivilege, why),
                    None => Failure::new(FailureCode::BadConfig, error.to_string()),
                }
            })?;
        let before = Arc::clone(&self.config);
        let file = if config.log == before.log {
            None
        } else {
            let opened = wishes::log_file(&config).map(LogFile::open).transpose();
            Some(opened.map_err(|error| {
                let path = config.log.file.clone().unwrap_or_default();
                failed(access::no_log_file(&path, &error))
            })?)
        };

        // A database that cannot be read leaves the one from before: it is no part of the whole.
        let databases = self.databases.clone();
        self.databases.follow(&config.asn_databases);
        let database = self.databases.get().ok();
        if let Some(rule) = database.and_then(|database| objection(&config.rules, database)) {
            self.databases = databases;
            return Err(Failure::new(FailureCode::BadConfig, rule));
        }
        // Rules, lists and ASNs go first: they are what may not fit.
        let present = &self.file_lists;
        let (lists, files) = ListFiles::read(&config.lists, present, &mut self.list_ids);
        let lists = std::mem::replace(&mut self.file_lists, lists);
        self.config = Arc::new(config);
        let (config, now) = (Arc::clone(&self.config), host::now());
        self.follow_feeds(&config);
        let all = self.all_lists(now);
        let configured = self.configured(&config, all);
        let synced = self.filter.configure(configured, now);
        let synced = synced.inspect_err(|_| {
            self.databases = databases;
            self.file_lists = lists;
            self.config = Arc::clone(&before);
            self.follow_feeds(&before);
        })?;
        self.tell_list_files(files);
        self.tell_locks();
        if (&before.proxies, &before.lists) != (&self.config.proxies, &self.config.lists) {
            self.watch_fronts();
        }
        if before.crawlers != self.config.crawlers {
            self.follow_crawlers();
        }
        if let Err(failure) = self.write_settings() {
            self.config = before;
            return Err(failure);
        }
        if let Some(file) = file {
            self.sink
                .reconfigure(self.config.log.budget_per_second, file);
        }
        self.look_at_host();
        self.look_at_databases();
        let added: Vec<Body> = synced
            .added
            .iter()
            .filter_map(|id| self.filter.rules().get(*id))
            .map(|rule| Body::RuleAdded(RuleChange::of(rule)))
            .collect();
        let removed = synced.removed.iter();
        let removed = removed.map(|rule| Body::RuleRemoved(RuleChange::of(rule)));
        self.emit_all(removed);
        self.emit_all(added);
        self.follow_interfaces(&before);

        let message = sentence(&wishes::restarts(&before, &self.config));
        self.emit(Body::Reload(Note {
            message: message.clone(),
        }));
        Ok(message)
    }

    /// Attaches to interfaces that are named now and detaches from those that are named no more.
    fn follow_interfaces(&mut self, before: &Config) {
        let config = Arc::clone(&self.config);
        let gone = before.agent.interfaces.iter();
        for iface in gone.filter(|iface| !config.agent.interfaces.contains(iface)) {
            let datapath = &mut self.filter.enforcer.datapath;
            let removed =
                self.interfaces
                    .remove(datapath, iface, "not in the configuration any more");
            match removed {
                Ok(event) => self.emit_all(event),
                Err(error) => self.emit(Body::error(error.to_string())),
            }
        }
        for iface in &config.agent.interfaces {
            self.interfaces.want(iface, wishes::wish(&config));
        }
        self.look_at_interfaces();
    }
}

fn sentence(restarts: &[&str]) -> String {
    if restarts.is_empty() {
        return "the configuration is in force".into();
    }
    format!(
        "the configuration is in force, except {}: restart the agent for that",
        restarts.join(", ")
    )
}
