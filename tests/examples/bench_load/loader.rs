//! The ways of loading that are compared, each in a process of its own.

use std::{env, ffi::OsString, path::PathBuf, process::Command};

use bot_tests::{
    netns::Namespace,
    spent::{self, Spent},
};

use crate::files::Files;

/// One way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Loader {
    /// An interval set, in a network namespace of its own.
    Nft,
    /// hash:net, in a network namespace of its own.
    Ipset,
    /// `BPF_MAP_TYPE_LPM_TRIE`, in batches.
    Trie,
}

impl Loader {
    /// Every one; ratios are to the first.
    pub(crate) const ALL: [Self; 3] = [Self::Nft, Self::Ipset, Self::Trie];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nft => "nft -f",
            Self::Ipset => "ipset restore",
            Self::Trie => "trie",
        }
    }

    /// Loads once; an error is why it cannot be done here.
    pub(crate) fn run(self, files: &Files) -> Result<Spent, String> {
        spent::settle();
        match self {
            Self::Nft => apart("nft", &["-f".into(), files.nft().into()]),
            Self::Ipset => apart(
                "ipset",
                &["restore".into(), "-f".into(), files.ipset().into()],
            ),
            Self::Trie => spent::until_ready(&mut part("trie", files.list())),
        }
    }
}

/// A part of this program.
fn part(name: &str, file: PathBuf) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg(name).arg(file);
    command
}

/// A program in a network namespace of its own: its sets touch nobody and go with the namespace.
fn apart(program: &str, arguments: &[OsString]) -> Result<Spent, String> {
    let mut command = Command::new(program);
    command.args(arguments);
    if Command::new(program).arg("--version").output().is_err() {
        return Err(format!("no {program} here"));
    }
    let namespace = Namespace::new("load");
    namespace.run(|| spent::of(&mut command))
}
