//! The part of a start that needs root, while there is one thread; then the privileges go.
//!
//! Everything that can be refused without making anything is refused before anything is made.

use std::{os::unix::net::UnixListener as StdListener, path::Path};

use anyhow::Context as _;
use rustix::process::{Gid, Uid};

use super::{
    access, belongings,
    lock::{self, Lock},
    made::Made,
    start::Start,
};
use crate::{
    cli::global::Places,
    config::Config,
    control::server::bind,
    datapath::{
        AttachError, Error, FreshPins, Owner, PinFolder, check_host, foreign_program, object,
    },
    event::Body,
    host::{
        privilege::{self, User},
        protected::Finder,
    },
    store,
};

/// What was made with root's rights.
pub(super) struct Prepared {
    pub pins: PinFolder,
    pub finder: Finder,
    pub listener: StdListener,
    pub locks: Vec<Lock>,
    pub made: Made,
    pub warnings: Vec<Body>,
}

/// Gets ready, and becomes the agent's user.
pub(super) fn prepare(start: &Start) -> anyhow::Result<Prepared> {
    let Places {
        run_dir,
        socket,
        pin_dir,
        state_dir,
    } = &start.places;
    check_host()?;
    object::OBJECT.ok_or(Error::NotBuilt)?;
    check_interfaces(start)?;
    let mut warnings = Vec::new();
    let user = user(&start.config, &mut warnings)?;
    let finder = Finder::new()?;

    let mut made = Made::default();
    made.folder(run_dir, 0o755)?;
    made.file(run_dir.join(lock::FILE));
    let mut locks = vec![lock::run_dir(run_dir)?];
    let pins = pins(pin_dir, user.as_ref(), &mut locks, &mut made)?;
    made.folder(state_dir, 0o750)?;
    made.file(state_dir.join(store::FILE));
    let log_folder = start.config.log.file.as_deref().and_then(Path::parent);
    let new_log_folder = match log_folder {
        Some(folder) => made.folder(folder, 0o750)?,
        None => false,
    };
    if privilege::is_root() {
        let places = &start.places;
        let handed = belongings::hand_over(places, &start.config, user.as_ref(), new_log_folder);
        warnings.extend(handed);
    }
    let listener = listen(socket, &start.config, user.as_ref())?;
    made.new_file(socket.clone());
    match &user {
        Some(user) => privilege::drop_to(user)?,
        None => privilege::confine()?,
    }
    let unreadable = access::obstacle(&start.config_path);
    warnings.extend(unreadable.map(|why| Body::error(format!("`reload` will fail: {why}"))));
    Ok(Prepared {
        pins,
        finder,
        listener,
        locks,
        made,
        warnings,
    })
}

/// Interfaces of the command line must be there, and none may run somebody else's program.
fn check_interfaces(start: &Start) -> anyhow::Result<()> {
    let pins = PinFolder::find(&start.places.pin_dir)?;
    let replace = start
        .wish
        .map_or(start.config.xdp.replace, |wish| wish.replace);
    let configured = start.config.agent.interfaces.iter();
    for iface in start.interfaces.iter().chain(configured) {
        match foreign_program(iface, pins.as_ref()) {
            Ok(Some(foreign)) if !replace => return Err(foreign.into()),
            // Configured ones may come later.
            Err(error @ AttachError::NoSuchInterface(_)) if start.interfaces.contains(iface) => {
                return Err(error.into());
            }
            Ok(_) | Err(AttachError::NoSuchInterface(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The pin folder, locked before anything in it is given to somebody.
fn pins(
    path: &Path,
    user: Option<&User>,
    locks: &mut Vec<Lock>,
    made: &mut Made,
) -> anyhow::Result<PinFolder> {
    let was_there = path.exists();
    let lock = lock::pin_dir(path)?;
    let pins = if privilege::is_root() {
        let owner = user.map_or(Owner { uid: 0, gid: 0 }, |user| Owner {
            uid: user.uid,
            gid: user.gid,
        });
        PinFolder::prepare(path, owner)?
    } else {
        PinFolder::open(path)?
    };
    made.pins(FreshPins::of(&pins, was_there)?);
    match lock {
        Some(lock) => locks.push(lock),
        None => locks.extend(lock::pin_dir(path)?),
    }
    Ok(pins)
}

/// The user to become: nobody else unless this is root.
fn user(config: &Config, warnings: &mut Vec<Body>) -> anyhow::Result<Option<User>> {
    if !privilege::is_root() || config.agent.user == "root" {
        return Ok(None);
    }
    match User::find(&config.agent.user) {
        Ok(user) => Ok(Some(user)),
        Err(error @ privilege::Error::NoSuchUser(_))
            if config.agent.user == Config::default().agent.user =>
        {
            // A first try on a host without the package: less separated, but confined all the same.
            warnings.push(Body::error(format!(
                "{error}; until then the agent runs as root with its capabilities reduced"
            )));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn listen(socket: &Path, config: &Config, user: Option<&User>) -> anyhow::Result<StdListener> {
    let group = match &config.control.group {
        Some(name) => {
            let group = nix::unistd::Group::from_name(name)
                .with_context(|| format!("cannot look up the group {name}"))?
                .with_context(|| {
                    format!(
                        "there is no group `{name}` (control.group); `groupadd {name}` makes it"
                    )
                })?;
            Some(Gid::from_raw(group.gid.as_raw()))
        }
        None => user.map(|user| Gid::from_raw(user.gid)),
    };
    let owner = user.map(|user| Uid::from_raw(user.uid));
    bind(socket, owner, group)
        .with_context(|| format!("cannot make the control socket {}", socket.display()))
}
