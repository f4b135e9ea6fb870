//! The folder of a BPF file system that holds the pins.
//!
//! systemd mounts `/sys/fs/bpf` with mode 0700: a service user cannot walk through it. So the
//! folder is opened before the privileges are dropped, and is reached through that descriptor
//! afterwards (`/proc/self/fd/N`). Whoever starts as another user than root needs a folder on a
//! path it can walk.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use bot_common::abi::names::LAYOUT_VERSION;
use rustix::fs::{CWD, Mode, OFlags, StatFs};

use super::error::{Error, folder};

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;
/// Where systemd, iproute2 and libbpf expect the BPF file system.
const STANDARD_MOUNT: &str = "/sys/fs/bpf";

/// An open pin folder on a BPF file system that all mount namespaces share.
#[derive(Debug)]
pub struct PinFolder {
    shown: PathBuf,
    handle: OwnedFd,
}

/// The owner that pins shall have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl PinFolder {
    /// Opens the folder at `path`, which is made if it is missing.
    pub fn open(path: &Path) -> Result<Self, Error> {
        check_file_system(path)?;
        make_folders(path)?;
        Self::existing(path)
    }

    /// As [`Self::open`], for root before it drops its privileges: mounts `/sys/fs/bpf` when the
    /// folder belongs there and nothing is mounted (as iproute2 and libbpf do), and gives the
    /// folder and everything in it to `owner`.
    pub fn prepare(path: &Path, owner: Owner) -> Result<Self, Error> {
        mount_standard(path)?;
        let this = Self::open(path)?;
        // The folder itself, not the descriptor's link to it.
        give_to(&this.path().join("."), owner)?;
        Ok(this)
    }

    /// Opens a folder; `None` when there is none.
    pub fn find(path: &Path) -> Result<Option<Self>, Error> {
        match path.try_exists() {
            Ok(true) => Self::existing(path).map(Some),
            Ok(false) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Error::Denied {
                path: path.to_owned(),
            }),
            Err(error) => Err(folder("looking at", path)(error)),
        }
    }

    fn existing(path: &Path) -> Result<Self, Error> {
        check_file_system(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(folder("opening the pin folder", path))?;
        Ok(Self {
            shown: path.to_owned(),
            handle,
        })
    }

    /// A second descriptor of it.
    pub(super) fn duplicate(&self) -> Result<Self, Error> {
        let handle = self.handle.try_clone();
        Ok(Self {
            handle: handle.map_err(folder("opening", &self.shown))?,
            shown: self.shown.clone(),
        })
    }

    /// The path as it was given, for people.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// A path that this process can use whatever its user may walk through.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    /// The folder of this layout version; it need not exist.
    pub(super) fn layout(&self) -> Layout {
        Layout {
            version: LAYOUT_VERSION,
            root: self.path().join(format!("v{LAYOUT_VERSION}")),
        }
    }

    /// The folders of every layout version, oldest first.
    pub(super) fn layouts(&self) -> Result<Vec<Layout>, Error> {
        let mut layouts: Vec<Layout> = names_in(&self.path())
            .map_err(folder("listing", &self.shown))?
            .iter()
            .filter_map(|name| {
                let version = parse_version(name)?;
                let root = self.path().join(name);
                Some(Layout { version, root })
            })
            .collect();
        layouts.sort_by_key(|layout| layout.version);
        Ok(layouts)
    }

    /// What people shall read instead of a path through the descriptor.
    pub(super) fn show(&self, path: &Path) -> PathBuf {
        path.strip_prefix(self.path())
            .map_or_else(|_| path.to_owned(), |rest| self.shown.join(rest))
    }
}

/// The folder of one layout version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Layout {
    /// Its number.
    pub(super) version: u32,
    /// Its path.
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    pub(super) fn links(&self) -> PathBuf {
        self.root.join("links")
    }

    /// Makes the folders that are missing.
    pub(super) fn make(&self) -> Result<(), Error> {
        for path in [self.maps(), self.programs(), self.links()] {
            make_folders(&path)?;
        }
        Ok(())
    }

    /// Removes the tables and programs, and the folders that are empty then; counts the pins.
    pub(super) fn remove(&self) -> Result<usize, Error> {
        let mut removed = 0;
        for path in [self.programs(), self.maps()] {
            for name in names_in(&path).map_err(folder("listing", &path))? {
                let pin = path.join(name);
                fs::remove_file(&pin).map_err(folder("removing", &pin))?;
                removed += 1;
            }
            remove_if_empty(&path)?;
        }
        remove_if_empty(&self.links())?;
        remove_if_empty(&self.root)?;
        Ok(removed)
    }
}

/// Removes a folder unless something is in it or it is a mount point.
pub(super) fn remove_if_empty(path: &Path) -> Result<(), Error> {
    let Err(error) = fs::remove_dir(path) else {
        return Ok(());
    };
    let stays = [
        io::ErrorKind::NotFound,
        io::ErrorKind::DirectoryNotEmpty,
        io::ErrorKind::ResourceBusy,
    ];
    if stays.contains(&error.kind()) {
        Ok(())
    } else {
        Err(folder("removing", path)(error))
    }
}

/// Names in a folder, sorted; none when there is no such folder.
pub(super) fn names_in(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        // Names that are no text are not ours.
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn parse_version(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('v')?;
    let version: u32 = digits.parse().ok()?;
    (version.to_string() == digits).then_some(version)
}

fn make_folders(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(folder("making the folder", path))
}

/// Refuses what is no BPF file system, and one that would vanish with this mount namespace.
fn check_file_system(path: &Path) -> Result<(), Error> {
    let existing = nearest_existing(path);
    let status = rustix::fs::statfs(existing).map_err(folder("looking at", existing))?;
    if !is_bpffs(&status) {
        return Err(Error::NotBpffs {
            path: path.to_owned(),
            mount_point: mount_point_for(path),
        });
    }
    let device = fs::metadata(existing)
        .map_err(folder("looking at", existing))?
        .dev();
    // Where the first process cannot be looked at (hidepid), nothing speaks against the mount.
    match fs::read_to_string("/proc/1/mountinfo") {
        Ok(mounts) if !is_mounted(&mounts, device) => Err(Error::PrivateBpffs {
            path: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn is_bpffs(status: &StatFs) -> bool {
    // The field's type differs between architectures; the magic numbers have 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    #[expect(clippy::cast_sign_loss, reason = "see above")]
    let magic = status.f_type as u32;
    magic == BPF_FS_MAGIC
}

fn nearest_existing(path: &Path) -> &Path {
    path.ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"))
}

fn mount_point_for(path: &Path) -> PathBuf {
    if path.starts_with(STANDARD_MOUNT) {
        STANDARD_MOUNT.into()
    } else {
        path.to_owned()
    }
}

/// Whether a mount of `device` stands in a mountinfo (`proc_pid_mountinfo(5)`): the third field is
/// its major:minor.
fn is_mounted(mountinfo: &str, device: u64) -> bool {
    let device = format!(
        "{}:{}",
        rustix::fs::major(device),
        rustix::fs::minor(device)
    );
    mountinfo
        .lines()
        .any(|line| line.split_whitespace().nth(2) == Some(&device))
}

fn mount_standard(path: &Path) -> Result<(), Error> {
    let target = Path::new(STANDARD_MOUNT);
    if !path.starts_with(target) || !target.is_dir() || !in_first_mount_namespace() {
        return Ok(());
    }
    let status = rustix::fs::statfs(target).map_err(folder("looking at", target))?;
    if is_bpffs(&status) {
        return Ok(());
    }
    let flags = rustix::mount::MountFlags::NOSUID
        | rustix::mount::MountFlags::NODEV
        | rustix::mount::MountFlags::NOEXEC
        | rustix::mount::MountFlags::RELATIME;
    rustix::mount::mount("bpf", target, "bpf", flags, Some(c"mode=0700"))
        .map_err(folder("mounting the BPF file system at", target))?;
    tracing::info!(path = STANDARD_MOUNT, "mounted the BPF file system");
    Ok(())
}

fn in_first_mount_namespace() -> bool {
    let namespace = |process| fs::read_link(format!("/proc/{process}/ns/mnt"));
    matches!((namespace("self"), namespace("1")), (Ok(own), Ok(first)) if own == first)
}

/// Gives a folder and everything in it to `owner`.
fn give_to(path: &Path, owner: Owner) -> Result<(), Error> {
    // What this user put there may be a symbolic link to anywhere.
    std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid))
        .map_err(folder("giving to the agent's user", path))?;
    let is_folder = fs::symlink_metadata(path).is_ok_and(|status| status.is_dir());
    if is_folder {
        for name in names_in(path).map_err(folder("listing", path))? {
            give_to(&path.join(name), owner)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
24 1 0:22 / /sys rw,nosuid shared:2 - sysfs sysfs rw
31 24 0:29 / /sys/fs/bpf rw,nosuid - bpf bpf rw,mode=700
";

    #[test]
    fn mounts_are_known_by_their_device() {
        assert!(is_mounted(MOUNTS, rustix::fs::makedev(0, 29)));
        assert!(!is_mounted(MOUNTS, rustix::fs::makedev(0, 30)));
        assert!(!is_mounted("", rustix::fs::makedev(0, 29)));
    }

    #[test]
    fn the_documentation_names_the_folder_of_this_layout() {
        let page = include_str!("../../../docs/operations.md");
        let named = format!("`/sys/fs/bpf/bot-agent/v{LAYOUT_VERSION}/`");
        assert!(
            page.contains(&named),
            "docs/operations.md does not name {named}"
        );
    }

    #[test]
    fn layout_folders_are_v_and_a_number() {
        assert_eq!(parse_version("v1"), Some(1));
        assert_eq!(parse_version("v12"), Some(12));
        for name in ["v", "v01", "v-1", "1", "w1", "v1x"] {
            assert_eq!(parse_version(name), None, "{name}");
        }
    }

    #[test]
    fn other_file_systems_are_refused_with_the_way_to_mount() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pins");
        let error = PinFolder::open(&path).unwrap_err();
        assert!(matches!(error, Error::NotBpffs { .. }));
        let text = error.to_string();
        assert!(text.contains(&format!("mount -t bpf bpf {}", path.display())));
        assert!(!path.exists());
        assert_eq!(
            mount_point_for(Path::new("/sys/fs/bpf/bot-agent")),
            Path::new("/sys/fs/bpf")
        );
    }
}
