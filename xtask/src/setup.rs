//! `cargo xtask setup`: installs what is missing, and only that.
//!
//! System packages come from the system's package manager (and only through
//! apt without asking, as root); everything else goes below the target folder.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::bpf_linker;
use crate::packages::{self, COMPARED, DEMO, LINKER, Manager, Package, TESTING, TOOLCHAIN};
use crate::process;
use crate::progress::Progress;
use crate::toolchain::{Search, Toolchain};
use crate::unpacked;
use crate::workspace::Workspace;

/// Install what building and testing needs.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what `cargo xtask build` needs
    #[arg(long)]
    build_only: bool,
}

/// What the host is prepared for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Build,
    Bench,
    Demo,
    Test,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let purpose = if args.build_only {
        Purpose::Build
    } else {
        Purpose::Test
    };
    let toolchain = prepare(workspace, purpose)?;
    println!(
        "ready: {} (LLVM {}), bpf-linker {}",
        toolchain.name,
        toolchain.llvm,
        bpf_linker::VERSION
    );
    Ok(ExitCode::SUCCESS)
}

/// Makes the host ready and says with which toolchain.
pub(crate) fn prepare(workspace: &Workspace, purpose: Purpose) -> Result<Toolchain> {
    let mut progress = Progress::new(match purpose {
        Purpose::Build => 3,
        Purpose::Bench | Purpose::Demo => 4,
        Purpose::Test => 6,
    });
    progress.step("eBPF toolchain", || {
        if let Some(found) = Search::new().found {
            return Ok(format!("{}, LLVM {}", found.name, found.llvm));
        }
        // No LLVM version appears in these names.
        install(workspace, &TOOLCHAIN.iter().collect::<Vec<_>>(), 0)?;
        let found = Search::new().require()?;
        Ok(format!("installed {}, LLVM {}", found.name, found.llvm))
    })?;
    let toolchain = Search::new().require()?;
    let llvm = toolchain.llvm;
    progress.step("system packages", || {
        let mut wanted: Vec<&Package> = Vec::new();
        if !bpf_linker::is_installed(workspace, llvm) {
            wanted.extend(LINKER);
        }
        if matches!(purpose, Purpose::Demo | Purpose::Test) {
            wanted.extend(DEMO);
            wanted.extend(COMPARED);
        }
        if purpose == Purpose::Test {
            wanted.extend(TESTING);
        }
        install(workspace, &wanted, llvm)
    })?;
    let title = format!("bpf-linker {} for LLVM {llvm}", bpf_linker::VERSION);
    progress.step(&title, || {
        if bpf_linker::is_installed(workspace, llvm) {
            return Ok("present".to_owned());
        }
        bpf_linker::install(workspace, llvm)?;
        Ok("built".to_owned())
    })?;
    if purpose == Purpose::Test {
        progress.step("bpffs on /sys/fs/bpf", mount_bpffs)?;
    }
    if purpose == Purpose::Bench {
        let compared: Vec<&Package> = COMPARED.iter().collect();
        progress.step("what benches compare with", || {
            // Without them the rest can be measured all the same.
            Ok(install(workspace, &compared, llvm)
                .unwrap_or_else(|error| format!("not available: {error:#}")))
        })?;
    }
    if matches!(purpose, Purpose::Demo | Purpose::Test) {
        progress.step("browser-like TLS client", || Ok(browser_client(workspace)))?;
    }
    if purpose == Purpose::Test {
        progress.step("CrowdSec", || Ok(unpacked::crowdsec(workspace)))?;
    }
    Ok(toolchain)
}

/// Installs what is missing of the list, or says how and stops.
fn install(workspace: &Workspace, wanted: &[&Package], llvm: u32) -> Result<String> {
    if wanted.is_empty() {
        return Ok("nothing needed".to_owned());
    }
    let manager = Manager::of_host()?;
    let missing = manager.missing(wanted, llvm)?;
    if missing.is_empty() {
        return Ok("present".to_owned());
    }
    let advice = manager.advice(wanted, &missing, llvm);
    if manager != Manager::Apt {
        bail!("these packages are missing; install them and run this again:\n{advice}");
    }
    if !is_root() {
        bail!("these packages are missing; run this as root, or install them with\n{advice}");
    }
    packages::apt_install(workspace, &missing)?;
    Ok(format!("installed {}", missing.join(" ")))
}

/// Pins need a BPF file system; most distributions mount it at boot.
fn mount_bpffs() -> Result<String> {
    const PLACE: &str = "/sys/fs/bpf";
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let mounted = mounts
        .lines()
        .any(|line| line.split(' ').nth(1) == Some(PLACE));
    if mounted {
        return Ok("present".to_owned());
    }
    if !is_root() {
        bail!("run as root: mount -t bpf bpf {PLACE}");
    }
    process::capture(Command::new("mount").args(["-t", "bpf", "bpf", PLACE]))?;
    Ok("mounted".to_owned())
}

/// A client that speaks TLS as browsers do. Tests that want it say so when it
/// is not there; without the Python registry everything else still runs.
fn browser_client(workspace: &Workspace) -> String {
    let folder = workspace.tools().join("python");
    let python = folder.join("bin/python3");
    let imports = |python: &std::path::Path| {
        process::capture(Command::new(python).args(["-c", "import curl_cffi"])).is_ok()
    };
    if imports(&python) {
        return "present".to_owned();
    }
    let log = workspace.log("browser-client");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut fetch = Command::new(&python);
    fetch
        .args(["-m", "pip", "install", "--quiet"])
        .args(["--disable-pip-version-check", "curl_cffi>=0.13,<1"]);
    match process::logged(&mut create, &log).and_then(|()| process::logged(&mut fetch, &log)) {
        Ok(()) => "installed curl_cffi".to_owned(),
        Err(_) => format!("not available, see {}", log.display()),
    }
}

/// Root in the sense of the package manager and of mount(2).
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
