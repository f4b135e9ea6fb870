//! The ASN database in use, and the files that it is from.
//!
//! Files that are what they were are not read again. What cannot be read leaves the database from
//! before in place, and why is kept for whoever needs one.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    asn::{Database, UNCONFIGURED},
    rules::set::RuleSet,
    wording::{many_of, verb},
};

/// The database, if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Databases {
    current: Option<Arc<Database>>,
    /// The files as they were when they were last read, well or badly.
    seen: Vec<(PathBuf, Option<Stamp>)>,
    /// Why they could not be read.
    trouble: Option<String>,
}

/// What differs when a file is another one: device, inode, size, time of change in nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

impl Databases {
    /// Reads the files unless they are those of the last time. Whether there is another database
    /// now, or none any more.
    pub(super) fn follow(&mut self, paths: &[PathBuf]) -> bool {
        let seen: Vec<_> = paths
            .iter()
            .map(|path| (path.clone(), stamp(path)))
            .collect();
        if seen == self.seen {
            return false;
        }
        self.seen = seen;
        if paths.is_empty() {
            self.trouble = None;
            return self.current.take().is_some();
        }
        match Database::open(paths) {
            Ok(database) => {
                self.trouble = None;
                self.current = Some(Arc::new(database));
                true
            }
            Err(error) => {
                let rest = if self.current.is_some() {
                    "the ASN database from before stays"
                } else {
                    "there is no ASN database"
                };
                self.trouble = Some(format!("{error}; {rest}"));
                false
            }
        }
    }

    /// The database, or why there is none.
    pub(super) fn get(&self) -> Result<&Database, &str> {
        let why = self.trouble.as_deref().unwrap_or(UNCONFIGURED);
        self.current.as_deref().ok_or(why)
    }

    /// The database, for whoever keeps it.
    pub(super) fn shared(&self) -> Option<Arc<Database>> {
        self.current.clone()
    }

    /// What an operator should look at: files that cannot be read, in whole or in part, and rules
    /// that do nothing.
    pub(super) fn complaints(&self, rules: &RuleSet) -> Option<String> {
        let mut complaints: Vec<String> = self.trouble.iter().cloned().collect();
        let sources = self.current.iter().flat_map(|database| database.sources());
        for source in sources.filter(|source| source.tally.bad > 0) {
            complaints.push(source.to_string());
        }
        complaints.extend(self.idle(rules));
        (!complaints.is_empty()).then(|| complaints.join("; "))
    }

    /// Rules that do nothing because there is no database.
    pub(super) fn idle(&self, rules: &RuleSet) -> Option<String> {
        if self.current.is_some() {
            return None;
        }
        let idle = rules.by_asn().flat_map(|(_, rules)| rules).count()
            + rules.by_country().flat_map(|(_, rules)| rules).count();
        let why = self.trouble.is_none().then_some(UNCONFIGURED);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        (idle > 0).then(|| {
            format!(
                "{} about ASNs and countries {} not in force{why}",
                many_of(idle, "rule"),
                verb(u128::try_from(idle).unwrap_or(u128::MAX), "is", "are"),
            )
        })
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = fs::metadata(path).ok()?;
    Some((
        file.dev(),
        file.ino(),
        file.size(),
        file.ctime(),
        file.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{
        rule::{Draft, Origin, RuleAction, Scope},
        time::{BootId, Now},
    };

    const GOOD: &str = "192.0.2.0,192.0.2.255,64500,Example\n";

    struct World {
        folder: tempfile::TempDir,
        databases: Databases,
    }

    impl World {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                databases: Databases::default(),
            }
        }

        /// Writes a file as another one, as a download does, and follows it.
        fn write(&mut self, content: &str) -> bool {
            let (path, fresh) = (self.folder.path().join("a"), self.folder.path().join("b"));
            fs::write(&fresh, content).unwrap();
            fs::rename(&fresh, &path).unwrap();
            self.databases.follow(&[path])
        }

        fn complaints(&self) -> String {
            let mut rules = RuleSet::default();
            let now = Now {
                wall: "2026-11-22T18:00:00Z".parse().unwrap(),
                boot_ns: 1,
                boot: BootId(1),
            };
            let drafts = ["AS64500", "country:DE", "192.0.2.1"].map(|subject| Draft {
                subject: subject.parse().unwrap(),
                action: RuleAction::Block,
                scope: Scope::Services,
                monitor: false,
                forced: false,
                deadline: None,
                reason: String::new(),
                origin: Origin::Operator,
            });
            rules.sync(|_| true, drafts.into(), now);
            self.databases.complaints(&rules).unwrap_or_default()
        }
    }

    #[test]
    fn without_a_database_it_is_said_what_to_do() {
        let world = World::new();
        let why = world.databases.get().unwrap_err();
        assert!(
            why.contains("`database` in [asn]") && why.contains(".mmdb"),
            "{why}"
        );
        let complaints = world.complaints();
        assert!(
            complaints.starts_with("2 rules about ASNs and countries are not in force: no ASN"),
            "{complaints}"
        );
    }

    #[test]
    fn files_are_read_when_they_are_other_ones() {
        let mut world = World::new();
        assert!(world.write(GOOD));
        assert!(world.databases.get().is_ok());
        assert_eq!(world.complaints(), "");
        let same = world.databases.seen[0].0.clone();
        assert!(!world.databases.follow(std::slice::from_ref(&same)));
        assert!(world.write(GOOD), "another file with the same content");
        assert!(world.databases.follow(&[]), "no file any more");
        assert!(world.databases.get().is_err());
        assert!(!world.databases.follow(&[]));
    }

    #[test]
    fn a_bad_file_leaves_the_database_from_before() {
        let mut world = World::new();
        assert!(!world.write("nonsense\n"));
        let why = world.databases.get().unwrap_err().to_owned();
        assert!(why.contains("there is no ASN database"), "{why}");
        assert!(
            world
                .complaints()
                .ends_with("2 rules about ASNs and countries are not in force")
        );
        assert!(world.write(GOOD));
        assert!(!world.write("nonsense\n"));
        assert!(world.databases.get().is_ok());
        let complaints = world.complaints();
        assert!(
            complaints.contains("1 of 1 lines cannot be read"),
            "{complaints}"
        );
        assert!(
            complaints.ends_with("the ASN database from before stays"),
            "{complaints}"
        );
    }

    #[test]
    fn unreadable_lines_are_told() {
        let mut world = World::new();
        assert!(world.write(&(GOOD.repeat(50) + "nonsense\n")));
        assert!(world.complaints().ends_with("line 51: fewer than 3 fields"));
    }
}
