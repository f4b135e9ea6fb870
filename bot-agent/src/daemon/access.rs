//! Whether this process, as the user that it has become, can read the configuration again.

use std::path::{Path, PathBuf};

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
