//! `cargo xtask vm`: the tests that face the kernel, on other kernels.
//!
//! Debian's kernels boot in qemu by software emulation with an initial RAM disk
//! that holds nothing but the test binaries. Packages are unpacked below the
//! target folder; nothing is installed on the host.

mod console;
mod cpio;
mod image;
mod kernel;
mod module;

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::ValueEnum;
use serde_json::Value;

use crate::build;
use crate::packages;
use crate::process;
use crate::progress::seconds;
use crate::setup::{self, Purpose};
use crate::tally::Tally;
use crate::workspace::{Profile, Workspace};

/// Test targets of the crate `bot-tests` that run there; those that exist.
const TESTS: [&str; 7] = [
    "generations",
    "hellos",
    "ports",
    "verdicts",
    "verifier",
    "vlan",
    "walk",
];

/// A whole machine, from power-on to power-off.
const LIMIT: Duration = Duration::from_mins(20);

/// Run the kernel-facing tests on Debian's 6.1 and 6.12 kernels in qemu.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this kernel
    #[arg(long)]
    kernel: Option<Series>,
    /// Arguments for the test binaries: a filter, `--nocapture`, ...
    #[arg(last = true)]
    filter: Vec<String>,
}

/// A long-term kernel series that Debian maintains.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    #[value(name = "6.1")]
    V6_1,
    #[value(name = "6.12")]
    V6_12,
}

impl Series {
    pub(crate) const ALL: [Self; 2] = [Self::V6_1, Self::V6_12];
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        })
    }
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    if let Some(reason) = unsupported() {
        bail!(reason);
    }
    let toolchain = setup::prepare(workspace, Purpose::Test)?;
    build::everything(workspace, &toolchain, Profile::Dev)?;
    let chosen = args.kernel.map_or(Series::ALL.to_vec(), |one| vec![one]);
    let tally = matrix(workspace, &chosen, &args.filter)?;
    println!("{tally}");
    Ok(if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Why this host cannot do it, if it cannot.
pub(crate) fn unsupported() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        Some("other kernels are only tried on x86-64 hosts")
    } else if !packages::is_debian() {
        Some("other kernels come from Debian's archive, which this host does not use")
    } else {
        None
    }
}

/// Boots every kernel and adds up what the tests say.
pub(crate) fn matrix(workspace: &Workspace, series: &[Series], filter: &[String]) -> Result<Tally> {
    let tests = executables(workspace)?;
    if tests.is_empty() {
        bail!(
            "the crate bot-tests has none of the tests {}",
            TESTS.join(", ")
        );
    }
    let folder = workspace.target().join("vm");
    let mut machines = Vec::new();
    for &series in series {
        let kernel = kernel::fetch(workspace, series)?;
        let initrd = folder.join(format!("{series}.cpio"));
        let image = image::Image {
            kernel: &kernel,
            tests: &tests,
            agent: &workspace.agent(Profile::Dev),
            files: &[workspace.object()],
            folders: &[workspace.root().join("tests")],
            arguments: filter,
        };
        image.write(&initrd, &folder.join("stripped"))?;
        machines.push((series, kernel.image, initrd));
    }
    // Tests run one at a time in each machine: two machines, two cores.
    thread::scope(|scope| {
        let running: Vec<_> = machines
            .iter()
            .map(|(series, kernel, initrd)| {
                scope.spawn(|| boot(workspace, *series, kernel, initrd))
            })
            .collect();
        let mut sum = Tally::default();
        for machine in running {
            let outcome = machine.join();
            sum += outcome.map_err(|_| anyhow!("a thread that ran qemu panicked"))??;
        }
        Ok(sum)
    })
}

/// Builds the tests in the same selection as `cargo xtask test` does, so that
/// nothing is compiled twice, and finds the binaries.
fn executables(workspace: &Workspace) -> Result<Vec<(String, PathBuf)>> {
    let mut command = workspace.cargo();
    command
        .args([
            "test",
            "--workspace",
            "--exclude",
            "bot-ebpf",
            "--tests",
            "--no-run",
            "--quiet",
        ])
        .arg("--message-format=json-render-diagnostics")
        .stderr(std::process::Stdio::inherit());
    let output = command.output().context("building the tests")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(test_executable).collect())
}

/// Name and path in one of cargo's messages, when it is about a test of [`TESTS`].
fn test_executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_test = target
        .get("kind")?
        .as_array()?
        .contains(&Value::from("test"));
    let name = target.get("name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    (is_test && TESTS.contains(&name)).then(|| (name.to_owned(), PathBuf::from(path)))
}

fn boot(workspace: &Workspace, series: Series, kernel: &Path, initrd: &Path) -> Result<Tally> {
    let log = workspace.log(&format!("vm-{series}"));
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let mut console = console::Console::default();
    let start = Instant::now();
    let status = process::lines(&mut machine(kernel, initrd), |line| {
        drop(writeln!(file, "{line}"));
        if console.read(line) {
            println!("{series} | {line}");
        }
    })?;
    let outcome = console.finish();
    let time = seconds(start.elapsed());
    println!(
        "{series} | {} on {}: {} ({time})",
        outcome.summary(),
        outcome.kernel,
        outcome.tally
    );
    if outcome.tally.failed > 0 {
        println!("{series} | {status}; everything it said: {}", log.display());
    }
    Ok(outcome.tally)
}

/// qemu under coreutils' `timeout`, which also ends it when it hangs.
fn machine(kernel: &Path, initrd: &Path) -> Command {
    let mut command = Command::new("timeout");
    command
        .arg("--kill-after=10")
        .arg(LIMIT.as_secs().to_string())
        .arg("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-no-reboot"])
        .args([
            "-accel",
            "tcg,thread=multi",
            "-cpu",
            "max",
            "-smp",
            "2",
            "-m",
            "2048",
        ])
        .args(["-display", "none", "-serial", "stdio", "-append"])
        // `panic=-1` reboots at once, which `-no-reboot` turns into an exit.
        .arg("console=ttyS0 quiet loglevel=4 panic=-1 random.trust_cpu=on")
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_where_a_test_binary_is() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["test"],
            "name":"verdicts"},"executable":"/t/verdicts-1"}"#;
        assert_eq!(
            test_executable(message),
            Some(("verdicts".to_owned(), PathBuf::from("/t/verdicts-1")))
        );
    }

    #[test]
    fn other_artifacts_are_not_booted() {
        for message in [
            "",
            "{}",
            r#"{"target":{"kind":["lib"],"name":"verdicts"},"executable":"/t/x"}"#,
            r#"{"target":{"kind":["test"],"name":"cli"},"executable":"/t/x"}"#,
            r#"{"target":{"kind":["test"],"name":"verdicts"},"executable":null}"#,
        ] {
            assert_eq!(test_executable(message), None, "{message}");
        }
    }
}
