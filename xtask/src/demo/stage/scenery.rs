//! What stands on the stage before the story begins: files, hosts and their cable, TLS servers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, mount};

use super::super::place::{Host, ip};
use super::{PATIENCE, PINS, Stage};

/// Addresses of the two hosts on their cable; the first is the server's gateway.
const CABLE: [(Host, &str); 4] = [
    (Host::Clients, "192.0.2.1/24"),
    (Host::Clients, "2001:db8:a::1/64"),
    (Host::Server, "192.0.2.10/24"),
    (Host::Server, "2001:db8:a::10/64"),
];

/// The addresses that clients come from, behind the gateway.
const CLIENTS: [&str; 8] = [
    "198.51.100.7/32",
    "198.51.100.77/32",
    "198.51.100.200/32",
    "203.0.113.20/32",
    "203.0.113.30/32",
    "203.0.113.40/32",
    "203.0.113.50/32",
    "2001:db8:c::20/128",
];

const CHROME: &str = include_str!("../clients/chrome.py");
const SCRAPER: &str = include_str!("../clients/scraper.py");
const SPENT: &str = include_str!("../clients/spent.py");

impl Stage {
    pub(super) fn write_files(&self) -> Result<()> {
        let folder = self.place.folder();
        for path in [&self.tools.bin, &self.place.bpf()] {
            fs::create_dir_all(path)?;
        }
        mount(
            "bpf",
            self.place.bpf(),
            "bpf",
            MountFlags::empty(),
            Some(c"mode=0700"),
        )
        .context("mounting a BPF file system")?;
        let shown = folder.display();
        fs::write(
            folder.join("bot-agent.toml"),
            format!(
                "[agent]\nuser = \"root\"\npin_dir = \"{shown}/bpf/{PINS}\"\n\
                 run_dir = \"{shown}/agent\"\nstate_dir = \"{shown}/state\"\n\n\
                 [control]\nsocket = \"{shown}/agent/control.sock\"\n\n\
                 [log]\nformat = \"human\"\n"
            ),
        )?;
        // curl's usual options, so that the commands of the story stay short.
        fs::write(
            folder.join(".curlrc"),
            "silent\nshow-error\ncacert = cert.pem\nconnect-timeout = 2\nmax-time = 5\n\
             output = /dev/null\ndump-header = -\n\
             resolve = \"shop.example:443:192.0.2.10,[2001:db8:a::10]\"\n\
             resolve = \"partner.example:443:198.51.100.200\"\n",
        )?;
        fs::write(folder.join("chrome.py"), CHROME)?;
        fs::write(folder.join("scraper.py"), SCRAPER)?;
        fs::write(folder.join("spent.py"), SPENT)?;
        // The agent, on the server and with the demo's folders, from wherever it is called.
        let agent = self.tools.bin.join("bot-agent");
        fs::write(
            &agent,
            format!(
                "#!/bin/sh\nexec nsenter --net={} '{}' --config {shown}/bot-agent.toml \"$@\"\n",
                self.place.namespace_file(Host::Server).display(),
                quoted(&self.tools.agent)?
            ),
        )?;
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    pub(super) fn build_network(&self) -> Result<()> {
        let [server, clients] = Host::ALL.map(|host| self.place.namespace(host));
        for (host, name) in [(Host::Server, &server), (Host::Clients, &clients)] {
            ip(&["netns", "add", name])?;
            // Addresses are usable at once, and IPv6 is on whatever the host has.
            let line = "cd /proc/sys/net/ipv6/conf && for place in all default lo; do \
                        echo 0 > $place/disable_ipv6; echo 0 > $place/accept_dad; done";
            let done = self.run(host, line)?;
            if done.code != 0 {
                bail!("the demo needs IPv6: {}", done.text.trim());
            }
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        ip(&[
            "link", "add", "eth0", "netns", &server, "type", "veth", "peer", "name", "eth0",
            "netns", &clients,
        ])?;
        for (host, address) in CABLE {
            let name = self.place.namespace(host);
            ip(&["-n", &name, "address", "add", address, "dev", "eth0"])?;
        }
        for address in CLIENTS {
            ip(&["-n", &clients, "address", "add", address, "dev", "lo"])?;
        }
        for name in [&server, &clients] {
            ip(&["-n", name, "link", "set", "eth0", "up"])?;
        }
        for gateway in ["192.0.2.1", "2001:db8:a::1"] {
            ip(&["-n", &server, "route", "add", "default", "via", gateway])?;
        }
        Ok(())
    }

    pub(super) fn make_certificate(&self) -> Result<()> {
        let made = self.run(
            Host::Clients,
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
             -subj /CN=shop.example -keyout key.pem -out cert.pem -addext \
             subjectAltName=DNS:shop.example,DNS:api.shop.example,DNS:partner.example",
        )?;
        if made.code != 0 {
            bail!("openssl makes no certificate:\n{}", made.text);
        }
        Ok(())
    }

    /// Starts a TLS server and waits until it listens.
    pub(super) fn serve(&mut self, host: Host, accept: &str) -> Result<()> {
        let log = self.place.folder().join(format!("{}.log", host.name()));
        let file = fs::File::create(&log)?;
        let mut command = self.command(host, "openssl");
        command
            .args(["s_server", "-accept", accept, "-www"])
            .args(["-cert", "cert.pem", "-key", "key.pem"])
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut server = command.spawn().context("starting a TLS server")?;
        let start = Instant::now();
        loop {
            self.interrupt.check()?;
            let said = fs::read_to_string(&log)?;
            if said.lines().any(|line| line == "ACCEPT") {
                break;
            }
            if server.try_wait()?.is_some() || start.elapsed() > PATIENCE {
                bail!("openssl does not serve at {accept}:\n{said}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.servers.push(server);
        Ok(())
    }

    /// Waits until the cable carries: the kernel looks at new ones once a second.
    pub(super) fn rehearse(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let line = "curl -4 https://shop.example/ && curl -6 https://shop.example/";
            let tried = self.run(Host::Clients, line)?;
            if tried.code == 0 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("the two hosts do not reach each other: {}", tried.text);
            }
        }
    }
}

/// A path inside single quotes of a shell.
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path that is no text")?;
    Ok(text.replace('\'', r"'\''"))
}
