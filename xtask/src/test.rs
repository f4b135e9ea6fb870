//! `cargo xtask test`: sets everything up, then runs every check and test.
//!
//! The last line is `N passed, N failed, N skipped`, the sum of what the test
//! runners printed. A check that fails (formatting, lints, documentation,
//! licences) or a runner that breaks off without a summary adds one to
//! `failed`; a check that succeeds adds nothing, because it is no test.

use std::env;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::progress::seconds;
use crate::setup::{self, Purpose};
use crate::tally::Tally;
use crate::workspace::{Profile, Workspace};
use crate::{build, conformance, demo, deny, vm};

/// Set up, build, and run every check and test.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what needs neither root nor an eBPF toolchain
    #[arg(long)]
    fast: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> ExitCode {
    let mut report = Report::default();
    if let Err(error) = every_stage(workspace, args, &mut report) {
        println!("error: {error:#}");
        report.tally.failed += 1;
    }
    report.print();
    if report.tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Is a missing prerequisite a failure and not a reason to skip?
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

fn every_stage(workspace: &Workspace, args: &Args, report: &mut Report) -> Result<()> {
    if !args.fast {
        if !setup::is_root() {
            bail!(
                "these tests load programs into the kernel and make network namespaces: run as \
                 root (sudo -E env PATH=\"$PATH\" cargo xtask test), or `cargo xtask test --fast`"
            );
        }
        let toolchain = setup::prepare(workspace, Purpose::Test)?;
        build::everything(workspace, &toolchain, Profile::Dev)?;
    }
    report.check("formatting", cargo(workspace, &["fmt", "--all", "--check"]))?;
    report.check(
        "lints",
        cargo(
            workspace,
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "--deny",
                "warnings",
            ],
        ),
    )?;
    report.check("documentation", documentation(workspace))?;
    report.check_with("dependencies", || deny::check(workspace))?;
    report.tests("tests", tests(workspace, args.fast))?;
    report.tests(
        "examples in documentation",
        cargo(
            workspace,
            &[
                "test",
                "--quiet",
                "--doc",
                "-p",
                "bot-common",
                "-p",
                "bot-agent",
            ],
        ),
    )?;
    if !args.fast {
        report.tests_with("demo", || demo::trial::run(workspace))?;
        report.tests_with("other kernels", || match vm::unsupported() {
            Some(reason) if !is_ci() => {
                println!("skipped: {reason}");
                Ok(Tally {
                    skipped: 1,
                    ..Tally::default()
                })
            }
            Some(reason) => bail!(reason),
            None => vm::matrix(workspace, &vm::Series::ALL, &[]),
        })?;
    }
    Ok(())
}

/// All tests of the workspace in one run, so that everything is built once.
fn tests(workspace: &Workspace, fast: bool) -> Command {
    let mut command = runner(workspace);
    command.args(["--workspace", "--exclude", "bot-ebpf"]);
    if fast {
        command.args(["--exclude", "bot-tests"]);
    }
    describe_host(workspace, &mut command);
    command
}

/// nextest where it is installed, otherwise cargo's own.
pub(crate) fn runner(workspace: &Workspace) -> Command {
    let mut command = workspace.cargo();
    if process::capture(workspace.cargo().args(["nextest", "--version"])).is_ok() {
        command.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        command.args(["test", "--tests", "--no-fail-fast"]);
    }
    command
}

/// What the tests of the crate `bot-tests` read from their environment.
pub(crate) fn describe_host(workspace: &Workspace, command: &mut Command) {
    command
        .env("BOT_AGENT", workspace.agent(Profile::Dev))
        .env("BOT_PYTHON", workspace.tools().join("python/bin/python3"));
    if let Some(folder) = conformance::folder(workspace) {
        command.env("BOT_DATA", folder);
    }
}

fn documentation(workspace: &Workspace) -> Command {
    let mut command = cargo(
        workspace,
        &[
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ],
    );
    command.env("RUSTDOCFLAGS", "--deny warnings");
    command
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.cargo();
    command.args(arguments);
    command
}

/// What has run so far.
#[derive(Default)]
struct Report {
    tally: Tally,
    stages: Vec<(&'static str, String, Duration)>,
}

impl Report {
    fn check(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        self.check_with(name, || Ok(process::shown(&mut command, |_| {})?.success()))
    }

    fn check_with(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        let start = announce(name);
        let good = work().with_context(|| name)?;
        if !good {
            self.tally.failed += 1;
        }
        let outcome = if good { "ok" } else { "FAILED" };
        self.stages
            .push((name, outcome.to_owned(), start.elapsed()));
        Ok(())
    }

    fn tests(&mut self, name: &'static str, mut command: Command) -> Result<()> {
        self.tests_with(name, || {
            let mut sum = Tally::default();
            let mut summaries = 0_u32;
            let status = process::shown(&mut command, |line| {
                if let Some(tally) = Tally::parse(line) {
                    sum += tally;
                    summaries += 1;
                }
            })?;
            let broken = !status.success() && sum.failed == 0;
            if broken || summaries == 0 {
                println!("{name}: the runner ended with {status} and {summaries} summaries");
                sum.failed += 1;
            }
            Ok(sum)
        })
    }

    fn tests_with(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<Tally>,
    ) -> Result<()> {
        let start = announce(name);
        let tally = work().with_context(|| name)?;
        self.tally += tally;
        self.stages.push((name, tally.to_string(), start.elapsed()));
        Ok(())
    }

    fn print(&self) {
        println!();
        for (name, outcome, time) in &self.stages {
            println!("{name:<26} {outcome} ({})", seconds(*time));
        }
        println!("{}", self.tally);
    }
}

fn announce(name: &str) -> Instant {
    println!("\n== {name}");
    Instant::now()
}
