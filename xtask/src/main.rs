//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! One file per command; this one only names them. Everything they make lies
//! below the target folder; nothing but the system's package manager ever
//! writes elsewhere, except for the demo's folder in /run, which goes with it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks on its standard streams"
)]

mod bench;
mod bpf_linker;
mod build;
mod conformance;
mod demo;
mod deny;
mod licence;
mod packages;
mod process;
mod progress;
mod setup;
mod tally;
mod test;
mod toolchain;
mod unpacked;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Everything a contributor or a CI machine runs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare timings in one run; `--write` renders docs/benchmarks.md
    Bench(bench::Args),
    /// Build the kernel program, then the agent with the program inside
    Build(build::Args),
    /// What CI runs: the same as `test`
    Ci(test::Args),
    /// JA4 of every capture of a folder against the folder's own list
    Conformance(conformance::Args),
    /// Watch the filter at work with real clients, in namespaces of its own
    Demo(demo::Args),
    /// Licences, sources and versions of all dependencies against deny.toml
    Deny(deny::Args),
    /// Install what building and testing needs
    Setup(setup::Args),
    /// Set up, build, and run every check and test
    Test(test::Args),
    /// Run the kernel-facing tests on Debian's 6.1 and 6.12 kernels in qemu
    Vm(vm::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Build(args) => build::run(&workspace, &args),
        Command::Conformance(args) => conformance::run(&workspace, &args),
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Deny(args) => deny::run(&workspace, &args),
        Command::Setup(args) => setup::run(&workspace, &args),
        Command::Ci(args) | Command::Test(args) => Ok(test::run(&workspace, &args)),
        Command::Vm(args) => vm::run(&workspace, &args),
    }
}
