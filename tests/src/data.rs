//! Real data for measurements: the folder that `BOT_DATA` names. Nothing of it is in the project.

use std::{env, path::PathBuf};

/// A file of the data folder; `None` with a note where it is not there.
pub fn file(name: &str) -> Option<PathBuf> {
    let Some(folder) = env::var_os("BOT_DATA").map(PathBuf::from) else {
        eprintln!("skipped: {name} (set BOT_DATA to the folder of reference data)");
        return None;
    };
    // The folder may also be one of its parts.
    let places = [folder.join(name), folder.join("..").join(name)];
    let found = places.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not in {}", folder.display());
    }
    found
}
