//! Everything a demo makes outside of its own processes, by name: two network namespaces and one
//! folder under /run with a BPF file system in it.
//!
//! The names are fixed, so that [`Place::clear`] removes whatever a demo left behind, however it
//! ended. The folder is not below the target folder: the agent gives up the right to walk through
//! other people's folders, and a checkout often lies in a home that nobody else may enter.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::mount::{UnmountFlags, unmount};

use crate::process;

/// Environment variable that marks the processes of a demo; its value is the place's name.
pub(crate) const MARK: &str = "BOT_DEMO";

/// How long killed processes may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// The name that all other names begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place(String);

/// The two hosts of the story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Server,
    Clients,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !name.starts_with("bot-demo") || name.len() > 40 || !name.chars().all(plain) {
            return Err("begins with bot-demo; a-z, 0-9 and - only; at most 40".to_owned());
        }
        Ok(Self(name.to_owned()))
    }
}

impl Host {
    pub(crate) const ALL: [Self; 2] = [Self::Server, Self::Clients];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Clients => "clients",
        }
    }
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    pub(crate) fn folder(&self) -> PathBuf {
        Path::new("/run").join(&self.0)
    }

    /// Where the demo's own BPF file system is mounted.
    pub(crate) fn bpf(&self) -> PathBuf {
        self.folder().join("bpf")
    }

    pub(crate) fn namespace(&self, host: Host) -> String {
        format!("{}-{}", self.0, host.name())
    }

    pub(crate) fn namespace_file(&self, host: Host) -> PathBuf {
        Path::new("/run/netns").join(self.namespace(host))
    }

    /// Keeps other demos of the same name away while the answer lives. An abstract socket: no file,
    /// and the kernel takes it back when the process ends.
    pub(crate) fn lock(&self) -> Result<UnixListener> {
        let address = SocketAddr::from_abstract_name(&self.0)?;
        match UnixListener::bind_addr(&address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                bail!("another demo runs; wait for its end")
            }
            result => result.context("locking the demo"),
        }
    }

    /// What there is of this place: nothing after a clean end.
    pub(crate) fn remains(&self) -> Vec<String> {
        let mut remains: Vec<String> = Host::ALL
            .iter()
            .map(|host| self.namespace_file(*host))
            .chain([self.folder()])
            .filter(|path| path.exists())
            .map(|path| path.display().to_string())
            .collect();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        remains.extend(
            mounts_below(&mounts, &self.folder())
                .into_iter()
                .map(|path| format!("{} (mounted)", path.display())),
        );
        remains.extend(
            self.processes()
                .into_iter()
                .map(|pid| format!("process {pid}")),
        );
        remains
    }

    /// Removes everything, in an order that works from any state.
    pub(crate) fn clear(&self) -> Result<()> {
        self.kill()?;
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        for path in mounts_below(&mounts, &self.folder()) {
            unmount(&path, UnmountFlags::DETACH)
                .with_context(|| format!("unmounting {}", path.display()))?;
        }
        for host in Host::ALL {
            if self.namespace_file(host).exists() {
                ip(&["netns", "del", &self.namespace(host)])?;
            }
        }
        match fs::remove_dir_all(self.folder()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(anyhow!(error).context(format!("removing {}", self.folder().display())))
            }
            _ => Ok(()),
        }
    }

    /// Ends every process of a demo of this name, and waits until they are gone.
    pub(crate) fn kill(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let processes = self.processes();
            if processes.is_empty() {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("processes {processes:?} do not end");
            }
            for pid in processes {
                match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => bail!("ending process {pid}: {error}"),
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processes that carry the mark; ended ones that nobody waited for have no environment.
    fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.0);
        let marked = |pid: &i32| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == mark.as_bytes())
            })
        };
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(marked)
            .collect()
    }
}

/// Runs `ip`, out of reach of the terminal's Ctrl-C: it also cleans up after one.
pub(crate) fn ip(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    process::capture(command.args(arguments)).map(drop)
}

/// Mount points in `folder`, newest first, so that they can be unmounted in this order.
fn mounts_below(mounts: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(folder))
        .collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_point_anywhere_else() {
        for name in ["bot-demo", "bot-demo-1a2b"] {
            assert!(name.parse::<Place>().is_ok(), "{name}");
        }
        for name in ["", "netns", "bot-demo/../x", "bot-demo x", "bot-demo."] {
            assert!(name.parse::<Place>().is_err(), "{name}");
        }
    }

    #[test]
    fn only_mounts_of_the_own_folder_newest_first() {
        let mounts = "bpf /sys/fs/bpf bpf rw 0 0\nbpf /run/bot-demo/bpf bpf rw 0 0\n\
                      tmpfs /run/bot-demo/bpf/x tmpfs rw 0 0\nbpf /run/bot-demo-2/bpf bpf rw 0 0\n";
        assert_eq!(
            mounts_below(mounts, Path::new("/run/bot-demo")),
            [
                Path::new("/run/bot-demo/bpf/x"),
                Path::new("/run/bot-demo/bpf")
            ]
        );
    }

    #[test]
    fn a_place_is_locked_once() {
        let place: Place = format!("bot-demo-unit-{}", std::process::id())
            .parse()
            .unwrap();
        let held = place.lock().unwrap();
        assert!(place.lock().is_err());
        drop(held);
        place.lock().unwrap();
    }
}
