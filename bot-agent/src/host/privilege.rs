//! Capabilities: what the agent needs, and how it gets rid of everything else.
//!
//! Credentials belong to threads, so privileges are dropped before the runtime starts any. What
//! remains is `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`, in the permitted and effective sets
//! only, and `no_new_privs`.

use std::{ffi::CString, fs, io};

use caps::{CapSet, Capability, CapsHashSet, errors::CapsError};
use rustix::{
    process::{Gid, Uid},
    thread,
};

/// What the agent keeps, and what it cannot work without.
const NEEDED: [Capability; 3] = [
    Capability::CAP_BPF,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_PERFMON,
];

/// Why privileges could not be dropped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user data base has no such user.
    #[error("there is no user `{0}`; create it (`useradd --system {0}`) or name another")]
    NoSuchUser(String),
    /// The user data base cannot be asked.
    #[error("looking up the user `{user}`: {source}")]
    Lookup {
        /// The user asked for.
        user: String,
        /// The C library's reason.
        source: io::Error,
    },
    /// Other threads would keep their privileges.
    #[error("privileges must be dropped while there is one thread, but there are {0}")]
    Threads(usize),
    /// A step failed; the process must end rather than go on half-privileged.
    #[error("dropping privileges: {step}: {source}")]
    Step {
        /// The step.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A capability set could not be read or written.
    #[error("dropping privileges: {step}: {source}")]
    Capabilities {
        /// The step.
        step: &'static str,
        /// The reason.
        source: CapsError,
    },
}

/// A user to become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// Looks a user and its groups up.
    pub fn find(name: &str) -> Result<Self, Error> {
        let lookup = |errno: nix::Error| Error::Lookup {
            user: name.to_owned(),
            source: errno.into(),
        };
        let user = nix::unistd::User::from_name(name)
            .map_err(lookup)?
            .ok_or_else(|| Error::NoSuchUser(name.to_owned()))?;
        let c_name = CString::new(name).map_err(|_| Error::NoSuchUser(name.to_owned()))?;
        let groups = nix::unistd::getgrouplist(&c_name, user.gid).map_err(lookup)?;
        Ok(Self {
            name: name.to_owned(),
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
        })
    }
}

/// Whether the process runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Names of the needed capabilities that are not in effect. `CAP_SYS_ADMIN` stands in for
/// `CAP_BPF` and `CAP_PERFMON`, as in the kernel.
pub fn missing() -> Vec<&'static str> {
    let effective = caps::read(None, CapSet::Effective).unwrap_or_default();
    missing_in(&effective)
}

fn missing_in(effective: &CapsHashSet) -> Vec<&'static str> {
    let admin = effective.contains(&Capability::CAP_SYS_ADMIN);
    [
        (Capability::CAP_BPF, "CAP_BPF", admin),
        (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN", false),
        (Capability::CAP_PERFMON, "CAP_PERFMON", admin),
    ]
    .into_iter()
    .filter(|(capability, _, stood_in)| !stood_in && !effective.contains(capability))
    .map(|(_, name, _)| name)
    .collect()
}

/// Becomes `user`, with the needed capabilities and nothing else. Needs root and a single thread.
///
/// On an error the process may be half-way: it must end.
pub fn drop_to(user: &User) -> Result<(), Error> {
    single_thread()?;
    // While CAP_SETPCAP is still there.
    confine_bounding_set()?;
    thread::set_keep_capabilities(true).map_err(step("keeping capabilities"))?;
    let groups: Vec<Gid> = user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    thread::set_thread_groups(&groups).map_err(step("setting the groups"))?;
    let gid = Gid::from_raw(user.gid);
    thread::set_thread_res_gid(gid, gid, gid).map_err(step("setting the group"))?;
    let uid = Uid::from_raw(user.uid);
    thread::set_thread_res_uid(uid, uid, uid).map_err(step("setting the user"))?;
    confine()
}

/// Gives up every capability but the needed ones, as the user one is. For a start that is not as
/// root, where the service manager gave the capabilities. Needs a single thread.
pub fn confine() -> Result<(), Error> {
    single_thread()?;
    let permitted =
        caps::read(None, CapSet::Permitted).map_err(capabilities("reading the permitted set"))?;
    let kept: CapsHashSet = NEEDED
        .into_iter()
        .filter(|capability| permitted.contains(capability))
        .collect();
    let nothing = CapsHashSet::new();
    thread::clear_ambient_capability_set().map_err(step("clearing the ambient set"))?;
    for (set, value, what) in [
        (CapSet::Effective, &kept, "setting the effective set"),
        (CapSet::Permitted, &kept, "setting the permitted set"),
        (
            CapSet::Inheritable,
            &nothing,
            "clearing the inheritable set",
        ),
    ] {
        caps::set(None, set, value).map_err(capabilities(what))?;
    }
    thread::set_no_new_privs(true).map_err(step("setting no_new_privs"))
}

fn confine_bounding_set() -> Result<(), Error> {
    let bounding =
        caps::read(None, CapSet::Bounding).map_err(capabilities("reading the bounding set"))?;
    for capability in bounding.into_iter().filter(|it| !NEEDED.contains(it)) {
        caps::drop(None, CapSet::Bounding, capability)
            .map_err(capabilities("narrowing the bounding set"))?;
    }
    Ok(())
}

fn single_thread() -> Result<(), Error> {
    let threads = fs::read_dir("/proc/self/task")
        .map_err(step("counting threads"))?
        .count();
    if threads == 1 {
        Ok(())
    } else {
        Err(Error::Threads(threads))
    }
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Step {
        step,
        source: source.into(),
    }
}

fn capabilities(step: &'static str) -> impl Fn(CapsError) -> Error {
    move |source| Error::Capabilities { step, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let none = CapsHashSet::new();
        assert_eq!(
            missing_in(&none),
            ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]
        );
        let admin = CapsHashSet::from_iter([Capability::CAP_SYS_ADMIN]);
        assert_eq!(missing_in(&admin), ["CAP_NET_ADMIN"]);
        assert!(missing_in(&NEEDED.into_iter().collect()).is_empty());
    }

    #[test]
    fn users_are_found_by_name() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert!(matches!(
            User::find("no-such-user"),
            Err(Error::NoSuchUser(_))
        ));
    }

    #[test]
    fn other_threads_are_not_left_behind() {
        // The test harness runs this test in a thread of its own.
        let root = User::find("root").unwrap();
        assert!(matches!(drop_to(&root), Err(Error::Threads(_))));
    }
}
