//! Locks: some ports are only for the addresses of some lists.

use serde::{Deserialize, Serialize};

use super::{
    list::{List, ListId, ListKind, Score},
    ports::Ports,
};

/// A lock: packets to these ports from anywhere else are dropped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Only {
    /// TCP and UDP ports.
    pub ports: Ports,
    /// Names of the lists whose addresses stay.
    pub from: Vec<String>,
    /// Only count and report.
    #[serde(default)]
    pub monitor: bool,
}

/// A lock that would drop everyone, or more than was meant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotLocked {
    /// Nothing has that name.
    #[error("there is no list `{0}`")]
    Missing(String),
    /// It names nobody.
    #[error("the list `{0}` has no entries")]
    Empty(String),
}

impl Only {
    /// What it is called in events and answers.
    pub fn name(&self) -> String {
        format!("only {}", self.ports)
    }

    /// The lists whose addresses stay. All of them must be there: a lock that misses some would drop
    /// whom it is for.
    pub fn sources<'l>(&self, lists: &'l [List]) -> Result<Vec<&'l List>, NotLocked> {
        let found = self.from.iter().map(|name| named(name, lists));
        found.collect()
    }

    /// What it says, as lists: the lock itself, and whom it lets in. Hits count for `id`.
    pub fn says(&self, id: ListId, lists: &[List]) -> Result<Vec<List>, NotLocked> {
        let sources = self.sources(lists)?;
        let everyone = ["0.0.0.0/0", "::/0"].map(|text| text.parse().ok());
        let everyone = everyone.into_iter().flatten();
        let monitor = self.monitor;
        let lock = List::new(
            id,
            self.name().into(),
            ListKind::Only { monitor },
            everyone.map(|prefix| (prefix, Score::MAX)),
        );
        let admits = sources.into_iter().map(|list| {
            let name = list.name().clone();
            list.with(list.id(), name, ListKind::Admit)
        });
        let all = std::iter::once(lock).chain(admits);
        Ok(all.map(|list| list.about(self.ports.clone())).collect())
    }
}

/// What the list of a proxy's addresses is called.
pub fn list_of_proxy(name: &str) -> String {
    format!("proxy:{name}")
}

/// What a name means: a list, a feed or a proxy.
fn named<'l>(name: &str, lists: &'l [List]) -> Result<&'l List, NotLocked> {
    // A proxy's addresses are a list of the policy, too.
    let of_proxy = list_of_proxy(name);
    let for_ports = format!("{name}:");
    let is_meant = |list: &&List| {
        let known = &**list.name();
        known == name || known == of_proxy || known.starts_with(&for_ports)
    };
    let list = lists.iter().find(is_meant);
    let list = list.ok_or_else(|| NotLocked::Missing(name.to_owned()))?;
    if list.is_empty() {
        return Err(NotLocked::Empty(name.to_owned()));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::simulation::prefix;

    fn list(name: &str, texts: &[&str]) -> List {
        let entries = texts.iter().map(|text| (prefix(text), Score::MAX));
        List::new(ListId(1), name.into(), ListKind::Allow, entries)
    }

    fn only(from: &[&str]) -> Only {
        Only {
            ports: "443,8443".parse().unwrap(),
            from: from.iter().map(ToString::to_string).collect(),
            monitor: false,
        }
    }

    #[test]
    fn a_lock_is_about_everyone_and_lets_its_lists_in() {
        let lists = [list("cdn", &["192.0.2.0/24"]), list("own", &["10.0.0.1"])];
        let said = only(&["cdn", "own"]).says(ListId(9), &lists).unwrap();
        let names: Vec<&str> = said.iter().map(|list| &**list.name()).collect();
        assert_eq!(names, ["only 443,8443", "cdn", "own"]);
        assert!(said.iter().all(|list| list.ports().is_some()));
        assert_eq!(said.iter().map(List::len).collect::<Vec<_>>(), [2, 1, 1]);
        assert_eq!(said[0].id(), ListId(9));
    }

    #[test]
    fn a_lock_without_all_of_its_lists_is_none() {
        let lists = [list("cdn", &["192.0.2.0/24"]), list("none", &[])];
        let error = |from: &[&str]| only(from).says(ListId(9), &lists).unwrap_err();
        assert_eq!(
            error(&["cdn", "nobody"]),
            NotLocked::Missing("nobody".into())
        );
        assert_eq!(
            error(&["none"]).to_string(),
            "the list `none` has no entries"
        );
    }
}
