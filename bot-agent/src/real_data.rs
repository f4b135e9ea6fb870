//! Real data for tests: the folder that `BOT_DATA` names. Nothing of it is in the project.

use std::path::PathBuf;

/// A folder of real data, if it is there; a note where it is not. `BOT_DATA` may also name the folder
/// of captures, which lies beside the others.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("BOT_DATA").map(PathBuf::from) else {
        eprintln!("skipped: BOT_DATA is not set");
        return None;
    };
    let folders = [data.join(name), data.join("..").join(name)];
    let found = folders.into_iter().find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no {name} in {}", data.display());
    }
    found
}
