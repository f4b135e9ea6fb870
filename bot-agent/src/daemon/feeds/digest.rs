//! A content understood: unpacked, read, screened, compared with what is in force, judged, and put on
//! the disk. Done beside the loop; nothing here changes what is in force.

use std::sync::Arc;

use serde_json::Value;

use super::feed::About;
use crate::{
    asn::Database,
    config::{Feed as Configured, FeedSource, Rails},
    control::feeds::ThrownView,
    feeds::{
        fetch::Validators,
        folder::{Folder, Staged},
        format::{Tolerance, parse, unpack::unpack},
        rails::{Limits, Screen, Verdict, judge, screen},
        snapshot::Snapshot,
    },
    rules::time::Now,
};

/// Longest content of a file, unpacked. Of web servers `max_bytes` is the limit.
const LONGEST_FILE: u64 = 1 << 30;

/// A content, and everything that decides about it.
pub(super) struct Work {
    pub(super) config: Configured,
    pub(super) rails: Rails,
    pub(super) bytes: Vec<u8>,
    pub(super) validators: Validators,
    pub(super) before: Option<Arc<Snapshot>>,
    pub(super) database: Option<Arc<Database>>,
    pub(super) folder: Option<Folder>,
    pub(super) now: Now,
}

/// What came of it.
#[derive(Debug)]
pub(in crate::daemon) struct Digest {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) verdict: Verdict,
    pub(super) about: About,
    pub(super) validators: Validators,
    /// On the disk, if that can be written.
    pub(super) staged: Option<Staged>,
    /// Why it cannot.
    pub(super) not_staged: Option<String>,
}

/// Does the work. The error says why the content is refused.
pub(super) fn digest(work: Work) -> Result<Digest, String> {
    let Work {
        config,
        rails,
        bytes,
        validators,
        before,
        database,
        folder,
        now,
    } = work;
    let most = match &config.source {
        FeedSource::File(_) => LONGEST_FILE,
        FeedSource::Http(http) | FeedSource::CrowdSec(http) => http.max_bytes,
    };
    let parsed = {
        let content = unpack(&bytes, most).map_err(|error| error.to_string())?;
        let tolerance = Tolerance::new(rails.bad_lines).unwrap_or_default();
        parse(&content, config.format.as_ref(), tolerance).map_err(|error| error.to_string())?
    };
    drop(bytes);
    let screened = screen(
        parsed,
        &Screen {
            min_confidence: config.min_confidence,
            loosen: &config.loosen,
        },
    );
    let update = screened.update;
    let (snapshot, delta) = Snapshot::next(before.as_deref(), &update, now.wall, config.grace);
    let limits = Limits {
        max_change: rails.max_change.into(),
        loosen: &config.loosen,
    };
    let verdict = judge(before.as_deref(), &snapshot, database.as_deref(), &limits);
    let staged = folder.map(|folder| folder.stage(&snapshot, &Value::Null));
    let (staged, not_staged) = match staged.transpose() {
        Ok(staged) => (staged, None),
        Err(error) => (None, Some(error.to_string())),
    };
    Ok(Digest {
        snapshot: Arc::new(snapshot),
        verdict,
        about: About {
            format: Some(update.format.to_owned()),
            added: delta.added,
            removed: delta.removed,
            bad_lines: update.bad,
            bad_shown: update.shown.iter().map(ToString::to_string).collect(),
            networks: update
                .entries
                .iter()
                .filter(|entry| entry.subject.needs_database())
                .count(),
            thrown: screened.thrown.iter().map(ThrownView::of).collect(),
        },
        validators,
        staged,
        not_staged,
    })
}
