//! The store: operator rules and the standing state, in `rules.redb` under the state folder.
//!
//! A commit is all or nothing, and on the disk when it returns: what the agent acknowledges after
//! it survives a crash at any instant. Values are JSON, so that a damaged agent leaves something
//! that people can read. Configured and protected rules are no part of it.

mod bundle;
mod error;
#[cfg(test)]
mod tests;

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use self::bundle::{BUNDLES, Bundle, RULES};
pub use self::error::StoreError;
use crate::{
    policy::Only,
    rules::{
        mode::Mode,
        rule::{Rule, RuleId},
        time::Deadline,
    },
};

/// Name of the file in the state folder.
pub const FILE: &str = "rules.redb";

/// Version of tables, keys and values. Raised when an older agent would misread them. What schema 1
/// lacks are rules about ASNs and countries; what 1 and 2 lack are bundles, in the place of which
/// they have rules one by one. Everything in them reads the same.
const SCHEMA: u32 = 3;
/// Schemas that are taken over.
const EARLIER: [u32; 2] = [1, 2];

/// By name: the values of [`Stored`] besides the rules.
const VALUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("values");

const KEY_SCHEMA: &str = "schema";
const KEY_NEXT_ID: &str = "next_id";
const KEY_MODE: &str = "mode";
const KEY_BYPASS: &str = "bypass";
/// Unknown to agents before locks, which then have none; so it needs no schema of its own.
const KEY_ONLYS: &str = "onlys";

/// Memory for pages; the database of a million rules that came in long lists is about 40 MB.
const CACHE_BYTES: usize = 16 << 20;

/// One change of the stored state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Stores a rule, in place of one with the same identity.
    Put(Arc<Rule>),
    /// Forgets a rule; none of that identity is no error.
    Delete(RuleId),
    /// The identity that the next rule gets.
    NextId(RuleId),
    /// The standing mode.
    Mode(Mode),
    /// The bypass; `None` ends it.
    Bypass(Option<Bypass>),
    /// All locks of operators.
    Onlys(Vec<Only>),
}

/// Everything passes, because an operator said so.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Bypass {
    /// When it ends by itself; `None`: not before `resume`.
    pub until: Option<Deadline>,
    /// Why.
    pub reason: String,
}

/// All that is stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Rules, oldest identity first.
    pub rules: Vec<Rule>,
    /// The identity that the next rule gets.
    pub next_id: RuleId,
    /// The standing mode, if one was ever set.
    pub mode: Option<Mode>,
    /// The bypass, if there is one; its deadline may have passed.
    pub bypass: Option<Bypass>,
    /// The locks of operators.
    pub onlys: Vec<Only>,
}

/// The open store. Another process cannot open it meanwhile.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// `None` after a failed commit, until the next one opens the file again.
    database: Option<Database>,
}

impl Store {
    /// Opens the store in `folder`, both made if they are missing, and verifies every checksum in
    /// it. A damaged file is an error and left as it is.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        make(folder, &path)?;
        let database = open_database(&path)?;
        let mut store = Self {
            path,
            database: Some(database),
        };
        match store.schema()? {
            None => store.write(|values| put(values, KEY_SCHEMA, &SCHEMA), &[])?,
            Some(found) if found == SCHEMA.to_string() => {}
            Some(found) if EARLIER.iter().any(|known| found == known.to_string()) => {
                store.write(|values| put(values, KEY_SCHEMA, &SCHEMA), &[])?;
            }
            Some(found) => {
                return Err(StoreError::Schema {
                    path: store.path,
                    found,
                    known: SCHEMA,
                });
            }
        }
        Ok(store)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads everything.
    pub fn load(&mut self) -> Result<Stored, StoreError> {
        let mut stored = Stored {
            rules: Vec::new(),
            next_id: self.value(KEY_NEXT_ID)?.unwrap_or(RuleId(1)),
            mode: self.value(KEY_MODE)?,
            bypass: self.value(KEY_BYPASS)?.flatten(),
            onlys: self.value(KEY_ONLYS)?.unwrap_or_default(),
        };
        let path = self.path.clone();
        let lift = |error: redb::Error| StoreError::from_redb(&path, error);
        let read = self.database()?.begin_read().map_err(|e| lift(e.into()))?;
        let singles = match read.open_table(RULES) {
            Ok(singles) => Some(singles),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(lift(error.into())),
        };
        if let Some(singles) = singles {
            for entry in singles.iter().map_err(|e| lift(e.into()))? {
                let (id, value) = entry.map_err(|e| lift(e.into()))?;
                let rule = parse(&path, &format!("rule {}", id.value()), value.value())?;
                stored.rules.push(rule);
            }
        }
        let bundles = match read.open_table(BUNDLES) {
            Ok(bundles) => bundles,
            Err(TableError::TableDoesNotExist(_)) => return Ok(stored),
            Err(error) => return Err(lift(error.into())),
        };
        for entry in bundles.iter().map_err(|e| lift(e.into()))? {
            let (first, value) = entry.map_err(|e| lift(e.into()))?;
            let key = format!("rules from {}", first.value());
            let bundle: Bundle = parse(&path, &key, value.value())?;
            stored.rules.extend(bundle.rules(first.value()));
        }
        stored.rules.sort_by_key(|rule| rule.id);
        Ok(stored)
    }

    /// Makes all `changes` or none. They are on the disk when this returns `Ok`. After an error the
    /// stored state is the earlier one (a failed sync of the disk may have written the changes all
    /// the same), and the next commit opens the file anew.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write(
            |values| {
                for change in changes {
                    match change {
                        Change::Put(_) | Change::Delete(_) => {}
                        Change::NextId(id) => put(values, KEY_NEXT_ID, id)?,
                        Change::Mode(mode) => put(values, KEY_MODE, mode)?,
                        Change::Bypass(bypass) => put(values, KEY_BYPASS, bypass)?,
                        Change::Onlys(onlys) => put(values, KEY_ONLYS, onlys)?,
                    }
                }
                Ok(())
            },
            changes,
        )
    }

    fn write(
        &mut self,
        values: impl FnOnce(&mut redb::Table<'_, &str, &[u8]>) -> Result<(), redb::Error>,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let database = self.database()?;
        let written = (|| -> Result<(), redb::Error> {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            values(&mut transaction.open_table(VALUES)?)?;
            bundle::change(&transaction, changes)?;
            Ok(transaction.commit()?)
        })();
        written.map_err(|error| {
            // The database refuses everything after a failed write; only opening it anew helps.
            self.database = None;
            StoreError::from_redb(&self.path, error)
        })
    }

    fn database(&mut self) -> Result<&Database, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        Ok(self.database.insert(database))
    }

    /// The schema as it is written, or `None` in a new file.
    fn schema(&mut self) -> Result<Option<String>, StoreError> {
        Ok(self
            .value::<serde_json::Value>(KEY_SCHEMA)?
            .map(|value| value.to_string()))
    }

    fn value<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, StoreError> {
        let path = self.path.clone();
        let lift = |error: redb::Error| StoreError::from_redb(&path, error);
        let read = self.database()?.begin_read().map_err(|e| lift(e.into()))?;
        let values = match read.open_table(VALUES) {
            Ok(values) => values,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(lift(error.into())),
        };
        let value = values.get(key).map_err(|e| lift(e.into()))?;
        value
            .map(|value| parse(&path, key, value.value()))
            .transpose()
    }
}

/// Makes the folder and an empty file, readable by the agent alone, that a crash does not undo.
fn make(folder: &Path, path: &Path) -> Result<(), StoreError> {
    let at_folder = |source| StoreError::Folder {
        path: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(folder)
        .map_err(at_folder)?;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options
        .open(path)
        .map_err(|source| StoreError::from_io(path.to_owned(), source))?;
    let folder = File::open(folder).map_err(at_folder)?;
    folder.sync_all().map_err(at_folder)
}

fn open_database(path: &Path) -> Result<Database, StoreError> {
    Builder::new()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| StoreError::from_redb(path, error.into()))
}

fn put<T: Serialize>(
    values: &mut redb::Table<'_, &str, &[u8]>,
    key: &str,
    value: &T,
) -> Result<(), redb::Error> {
    values.insert(key, json(value)?.as_slice())?;
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|error| redb::Error::Io(error.into()))
}

fn parse<T: DeserializeOwned>(path: &Path, key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        what: format!("{key}: {error}"),
    })
}
