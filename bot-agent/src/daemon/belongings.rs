//! The agent's own files: whose they must be for the user that it becomes.
//!
//! A store that root made is not readable for the agent's user, nor the other way round once root
//! has given up the right to look into everything. So each start gives them to whom it becomes.

use std::{ffi::OsStr, path::Path};

use rustix::process::{Gid, Uid};

use super::lock;
use crate::{
    cli::global::Places,
    config::Config,
    event::Body,
    host::{
        ownership::{Belongs, Ids, give},
        privilege::User,
    },
    store,
};

/// Gives the folders and files to `user`, or to root. What cannot be given is told: if it matters,
/// opening it fails with the reason. `new_log_folder`: it was just made, for the log file alone.
pub(super) fn hand_over(
    places: &Places,
    config: &Config,
    user: Option<&User>,
    new_log_folder: bool,
) -> Vec<Body> {
    let owner = Ids {
        uid: Uid::from_raw(user.map_or(0, |user| user.uid)),
        gid: Gid::from_raw(user.map_or(0, |user| user.gid)),
    };
    let mut results = vec![
        (
            places.run_dir.as_path(),
            give(&places.run_dir, owner, true, |name| {
                in_run_dir(name, &places.socket)
            }),
        ),
        (
            places.state_dir.as_path(),
            give(&places.state_dir, owner, true, in_state_dir),
        ),
    ];
    if let Some(file) = &config.log.file
        && let (Some(folder), Some(file)) = (file.parent(), file.file_name())
    {
        let given = give(folder, owner, new_log_folder, |name| {
            in_log_folder(name, file)
        });
        results.push((folder, given));
    }
    let failed = results
        .into_iter()
        .filter_map(|(folder, result)| Some((folder, result.err()?)));
    failed
        .map(|(folder, error)| {
            Body::error(format!(
                "cannot give {} to {}: {error}",
                folder.display(),
                user.map_or("root", |user| &user.name)
            ))
        })
        .collect()
}

fn in_run_dir(name: &str, socket: &Path) -> Belongs {
    let socket = socket.file_stem().and_then(OsStr::to_str);
    if name == lock::FILE {
        Belongs::Ours
    } else if socket.is_some_and(|socket| name.starts_with(socket)) {
        // It is made anew.
        Belongs::Beside
    } else {
        Belongs::Foreign
    }
}

/// Copies of the store are an operator's.
pub(super) fn in_state_dir(name: &str) -> Belongs {
    match name.strip_prefix(store::FILE) {
        Some("") => Belongs::Ours,
        Some(_) => Belongs::Beside,
        None => Belongs::Foreign,
    }
}

/// The log file and its older ones, `FILE.1` and so on.
fn in_log_folder(name: &str, file: &OsStr) -> Belongs {
    let rest = file.to_str().and_then(|file| name.strip_prefix(file));
    match rest {
        Some("") => Belongs::Ours,
        Some(rest) => match rest.strip_prefix('.').map(str::parse::<u32>) {
            Some(Ok(_)) => Belongs::Ours,
            Some(Err(_)) | None => Belongs::Beside,
        },
        None => Belongs::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_files() {
        assert_eq!(in_state_dir("rules.redb"), Belongs::Ours);
        assert_eq!(in_state_dir("rules.redb.damaged"), Belongs::Beside);
        assert_eq!(in_state_dir("notes"), Belongs::Foreign);
        let log = |name| in_log_folder(name, OsStr::new("bot.log"));
        assert_eq!(
            (log("bot.log"), log("bot.log.12")),
            (Belongs::Ours, Belongs::Ours)
        );
        assert_eq!(
            (log("bot.log.gz"), log("syslog")),
            (Belongs::Beside, Belongs::Foreign)
        );
        let run = |name| in_run_dir(name, Path::new("/run/x/control.sock"));
        assert_eq!(
            (run("lock"), run("control.sock")),
            (Belongs::Ours, Belongs::Beside)
        );
        assert_eq!(run("sshd.pid"), Belongs::Foreign);
    }
}
