//! Network namespaces joined by veth pairs: each test its own, gone when the test is.
//!
//! Only the network namespace is entered, never a mount namespace: pins made inside are seen
//! outside. The kernel's namespace belongs to a thread, so [`Namespace::run`] uses one of its own.

use std::{
    fs::File,
    os::fd::AsFd,
    process::{Command, Stdio},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace with its loopback up.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

/// The two ends of a veth pair, each in its namespace.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// One end: namespace and interface name (at most 15 bytes).
    pub left: (&'a Namespace, &'a str),
    /// The other.
    pub right: (&'a Namespace, &'a str),
}

impl Namespace {
    /// Makes a namespace; `name` is the test's, and one word more where a test has several.
    pub fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside.
    pub fn ip(&self, arguments: &[&str]) {
        let inside = ["-n", &self.name];
        ip(&[&inside, arguments].concat());
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }

    /// Runs `body` on a thread that is inside.
    pub fn run<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        let handle = File::open(self.path()).expect("the namespace");
        let inside = || {
            move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("setns");
            body()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Interfaces go with it. No panic: it would hide the test's own.
        let deleted = Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !deleted.is_ok_and(|status| status.success()) {
            eprintln!("namespace {} is left behind", self.name);
        }
    }
}

/// Makes a veth pair and sets both ends up.
pub fn veth(ends: Ends<'_>) {
    let Ends { left, right } = ends;
    ip(&[
        "link",
        "add",
        left.1,
        "netns",
        &left.0.name,
        "type",
        "veth",
        "peer",
        "name",
        right.1,
        "netns",
        &right.0.name,
    ]);
    for (namespace, interface) in [left, right] {
        namespace.ip(&["link", "set", interface, "up"]);
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("ip (package iproute2)");
    assert!(
        output.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}
