//! Whether this process, as the user that it has become, can read the configuration again and write
//! the log file.

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, access},
    io::Errno,
    process::{getegid, geteuid},
};

use crate::config;

/// What it cannot read, and the remedy, in one line; `None`: nothing is in the way.
pub(super) fn obstacle(config: &Path) -> Option<String> {
    let conf_d = config.with_file_name("conf.d");
    let mut paths = vec![config.to_owned(), conf_d];
    paths.extend(config::files(config, None).unwrap_or_default());
    let path = paths.iter().find_map(|path| refused(path))?;
    let rights = if path.is_dir() { "g+rx" } else { "g+r" };
    let (path, group) = (path.display(), group());
    Some(format!(
        "{}, which the agent runs as, cannot read {path}: \
         `chgrp {group} {path} && chmod {rights} {path}` lets it",
        user()
    ))
}

/// Why there is no log file, and the remedy, in one line.
pub(super) fn no_log_file(path: &Path, error: &io::Error) -> String {
    let folder = path.parent().unwrap_or(path).display();
    let user = user();
    let remedy = if error.kind() == io::ErrorKind::NotFound {
        format!("make the folder {folder}, owned by {user}, which the agent runs as")
    } else {
        format!(
            "{user}, which the agent runs as, must own the folder {folder} and the file if there \
             is one, or `log.file` must name another folder, which it owns"
        )
    };
    format!(
        "cannot open the log file {}: {error}; {remedy}",
        path.display()
    )
}

/// The first folder on the way that may not be walked through, or the path itself.
fn refused(path: &Path) -> Option<PathBuf> {
    let denied = |path: &Path, rights| access(path, rights) == Err(Errno::ACCESS);
    let above: Vec<&Path> = path.ancestors().skip(1).collect();
    let closed = above
        .into_iter()
        .rev()
        .find(|folder| denied(folder, Access::EXEC_OK));
    let rights = if path.is_dir() {
        Access::READ_OK | Access::EXEC_OK
    } else {
        Access::READ_OK
    };
    let itself = || denied(path, rights).then_some(path);
    closed.or_else(itself).map(Path::to_owned)
}

fn user() -> String {
    let uid = geteuid();
    let found = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid.as_raw()));
    match found {
        Ok(Some(user)) => format!("the user {}", user.name),
        Ok(None) | Err(_) => format!("uid {}", uid.as_raw()),
    }
}

fn group() -> String {
    let gid = getegid();
    let found = nix::unistd::Group::from_gid(nix::unistd::Gid::from_raw(gid.as_raw()));
    match found {
        Ok(Some(group)) => group.name,
        Ok(None) | Err(_) => gid.as_raw().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_file_that_cannot_be_opened_is_told_with_its_path_and_its_folders_owner() {
        let path = Path::new("/var/log/bots/events.log");
        for kind in [
            io::ErrorKind::NotFound,
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem,
        ] {
            let told = no_log_file(path, &kind.into());
            for part in [
                "/var/log/bots/events.log: ",
                "the folder /var/log/bots",
                &user(),
                "own",
            ] {
                assert!(told.contains(part), "{told}");
            }
        }
    }
}
