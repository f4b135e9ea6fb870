//! `cargo xtask deny`: dependencies against deny.toml.
//!
//! cargo-deny does it where it is installed. Building that tool takes longer
//! than all tests together, so without it the same file is read here, for its
//! three rules that need no network: accepted licences, a registry as the only
//! source, no wildcard versions.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::licence;
use crate::process;
use crate::workspace::Workspace;

/// Licences, sources and versions of all dependencies against deny.toml.
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(workspace: &Workspace, _args: &Args) -> Result<ExitCode> {
    Ok(if check(workspace)? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints every offence; true when there is none.
pub(crate) fn check(workspace: &Workspace) -> Result<bool> {
    if process::capture(workspace.cargo().args(["deny", "--version"])).is_ok() {
        let mut command = workspace.cargo();
        command.args(["deny", "check", "bans", "licenses", "sources"]);
        return Ok(process::shown(&mut command, |_| {})?.success());
    }
    let file = workspace.root().join("deny.toml");
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let rules: Rules = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
    let json = process::capture(workspace.cargo().args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
    ]))?;
    let metadata: Metadata =
        serde_json::from_str(&json).context("reading the answer of `cargo metadata`")?;
    let offences: Vec<String> = metadata
        .packages
        .iter()
        .flat_map(|package| offences(&rules, package))
        .collect();
    for offence in &offences {
        println!("{offence}");
    }
    println!(
        "{} packages read without cargo-deny, {} offences",
        metadata.packages.len(),
        offences.len()
    );
    Ok(offences.is_empty())
}

/// The part of deny.toml that is read here.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// None for members of the workspace.
    source: Option<String>,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<String>,
}

fn offences(rules: &Rules, package: &Package) -> Vec<String> {
    let who = format!("{} {}", package.name, package.version);
    let mut found = Vec::new();
    let accepted = |name: &str| rules.licenses.allow.iter().any(|allowed| allowed == name);
    match package.license.as_deref() {
        None => found.push(format!("{who}: names no licence")),
        Some(licence) => match licence::satisfied(licence, &accepted) {
            Ok(true) => {}
            Ok(false) => found.push(format!("{who}: licence {licence} is not accepted")),
            Err(error) => found.push(format!("{who}: {error}")),
        },
    }
    if let Some(source) = &package.source {
        if !source.starts_with("registry+") {
            found.push(format!("{who}: comes from {source}"));
        }
    } else {
        // Only our own manifests are ours to change.
        found.extend(
            package
                .dependencies
                .iter()
                .filter(|dependency| dependency.req == "*" && dependency.path.is_none())
                .map(|dependency| format!("{who}: any version of {} will do", dependency.name)),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        toml::from_str("[licenses]\nallow = [\"MIT\"]\n").unwrap()
    }

    fn package(json: &str) -> Package {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_good_dependency() {
        let package = package(
            r#"{"name":"a","version":"1.0.0","license":"MIT OR Zlib",
                "source":"registry+https://registry","dependencies":[]}"#,
        );
        assert_eq!(offences(&rules(), &package), Vec::<String>::new());
    }

    #[test]
    fn licence_source_and_wildcards() {
        let stranger = package(
            r#"{"name":"a","version":"1.0.0","license":"GPL-3.0",
                "source":"git+https://elsewhere","dependencies":[]}"#,
        );
        assert_eq!(offences(&rules(), &stranger).len(), 2);
        let ours = package(
            r#"{"name":"b","version":"0.1.0","license":"MIT","source":null,"dependencies":[
                {"name":"any","req":"*","path":null},
                {"name":"member","req":"*","path":"/x"},
                {"name":"good","req":"^1","path":null}]}"#,
        );
        assert_eq!(
            offences(&rules(), &ours),
            ["b 0.1.0: any version of any will do"]
        );
        let silent = package(
            r#"{"name":"c","version":"1.0.0","license":null,
                "source":"registry+https://registry","dependencies":[]}"#,
        );
        assert_eq!(offences(&rules(), &silent), ["c 1.0.0: names no licence"]);
    }

    #[test]
    fn the_projects_own_rules_can_be_read() {
        let text = include_str!("../../deny.toml");
        let rules: Rules = toml::from_str(text).unwrap();
        assert!(rules.licenses.allow.contains(&"MIT".to_owned()));
    }
}
