//! What can go wrong with the store, in words for an operator.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Nothing acknowledged is lost by any of these, and none of them changes the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the file's lock.
    #[error("{}: in use by another process; is another bot-agent running?", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is no store, or its checksums do not match.
    #[error(
        "{0}: damaged ({what}); the file is left as it is. Restore it from a backup, or move it \
         away (mv {0} {0}.damaged) to start without stored rules; until then the kernel keeps \
         filtering with its present table",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Written by another version.
    #[error(
        "{}: has schema {found}, this bot-agent knows {known}; run the version that wrote it, or \
         a newer one",
        path.display()
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: String,
        /// Version of this program.
        known: u32,
    },
    /// No space left.
    #[error(
        "{}: no space left on its file system; nothing was changed. Free some space and repeat",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The folder cannot be made or used.
    #[error("state folder {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A fault that the database does not explain further.
    #[error("{}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: Box<redb::Error>,
    },
}

impl StoreError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "two dozen that cannot happen here"
    )]
    pub(super) fn from_redb(path: &Path, error: redb::Error) -> Self {
        let path = path.to_owned();
        match error {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path },
            redb::Error::Corrupted(what) => Self::Damaged { path, what },
            redb::Error::UpgradeRequired(version) => Self::Damaged {
                path,
                what: format!("database format {version}"),
            },
            redb::Error::Io(source) => Self::from_io(path, source),
            source => Self::Database {
                path,
                source: Box::new(source),
            },
        }
    }

    pub(super) fn from_io(path: PathBuf, source: io::Error) -> Self {
        let what = source.to_string();
        if matches!(
            source.kind(),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded
        ) {
            Self::Full { path }
        } else if matches!(
            source.kind(),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ) {
            Self::Damaged { path, what }
        } else {
            Self::Io { path, source }
        }
    }
}
