//! The nine scenes. Each says what it will show, shows it, and checks it.
#![expect(
    clippy::indexing_slicing,
    reason = "JSON values are indexed, and those answer null where nothing is"
)]

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::million;
use super::place::Host::{self, Clients, Server};
use super::stage::{Finished, Stage};
use super::teller::Teller;

/// The blocked network, and the address in its middle that scrapes.
const NETWORK: &str = "198.51.100.0/24";
const SCRAPER: &str = "198.51.100.77";
const SCRAPES: &str = "python3 scraper.py 198.51.100.77";
/// Customers, over IPv4 and IPv6.
pub(super) const CUSTOMER: &str = "curl --interface 203.0.113.20 https://shop.example/";
const CUSTOMER_V6: &str = "curl -6 --interface 2001:db8:c::20 https://shop.example/";
/// What the server itself asks of a host in the blocked network.
const ASKS_PARTNER: &str = "curl https://partner.example/";

/// Exit code of `bot-agent check` for a blocked address.
const BLOCKED: i32 = 1;
/// Exit code of commands that found no agent.
const NOT_RUNNING: i32 = 3;
/// Exit code of curl: no connection in time.
const TIMED_OUT: i32 = 28;

/// A scene as it is played.
type Play = fn(&mut Scene<'_>) -> Result<()>;

/// Tells it all.
pub(crate) fn tell(stage: &mut Stage, teller: &Teller) -> Result<()> {
    opening(teller)?;
    let scenes: [(&str, Play); 9] = [
        ("Who connects?", who_connects),
        ("Monitor: what would be dropped", monitor),
        ("Enforce, with a way back", enforce),
        ("One address in the middle of a /24", refused),
        ("kill -9", killed),
        ("The agent returns and explains", explained),
        ("Neighbours", neighbours),
        ("A million prefixes", million::play),
        ("Rescue, and no trace", rescue),
    ];
    for (number, (title, scene)) in scenes.into_iter().enumerate() {
        let number = number + 1;
        teller.title(&format!("{number}. {title}"))?;
        scene(&mut Scene { stage, teller })
            .with_context(|| format!("scene {number} ({title}) did not go as told"))?;
    }
    Ok(())
}

fn opening(teller: &Teller) -> Result<()> {
    teller.title("bot-agent: a packet filter against bots, on a stage of two hosts")?;
    teller.output(
        "\
         clients                                  server\n\
         203.0.113.0/24     customers             192.0.2.10\n\
         2001:db8:c::/64    customers   eth0 ---- 2001:db8:a::10   XDP filter on eth0\n\
         198.51.100.0/24    scrapers              TLS on port 443",
    )
}

fn who_connects(scene: &mut Scene<'_>) -> Result<()> {
    scene.say(
        "The agent puts an XDP program into the driver of the server's eth0. It begins in \
         monitor mode: it counts and reports, and drops nothing.",
    )?;
    scene.start_agent()?;
    scene.say("\nSome real clients, with the TLS libraries that they always use:")?;
    let mut sources = BTreeMap::from([
        ("203.0.113.20", "shop.example"),
        ("2001:db8:c::20", "shop.example"),
        ("203.0.113.40", "api.shop.example"),
        (SCRAPER, "shop.example"),
    ]);
    scene.succeeds(Clients, CUSTOMER)?;
    scene.succeeds(Clients, CUSTOMER_V6)?;
    scene.succeeds(
        Clients,
        "openssl s_client -brief -bind 203.0.113.40:0 -connect 192.0.2.10:443 \
         -servername api.shop.example -CAfile cert.pem </dev/null",
    )?;
    scene.succeeds(Clients, SCRAPES)?;
    let browser = "203.0.113.50";
    if scene.stage.has_browser() {
        sources.insert(browser, "shop.example");
        scene.succeeds(Clients, "python3 chrome.py 203.0.113.50")?;
    } else {
        scene.say("\n(No client that greets as Chrome does: curl_cffi is not there.)")?;
    }
    let hellos = scene.hellos(&sources)?;
    scene.succeeds(Server, "bot-agent logs --event hello")?;
    let ja4 = |source: &str| hellos.get(source).and_then(|hello| hello["ja4"].as_str());
    for (source, name) in &sources {
        let sni = hellos.get(*source).map(|hello| &hello["sni"]);
        check(
            sni.is_some_and(|sni| sni == *name) && ja4(source).is_some_and(is_ja4),
            &format!("{source} has a JA4 and asked for {name}"),
        )?;
    }
    check(
        ja4("203.0.113.20") == ja4("2001:db8:c::20") && ja4("203.0.113.20") != ja4(SCRAPER),
        "curl's fingerprint does not depend on the address; the scraper's is another",
    )?;
    scene
        .good("Every client has a fingerprint (JA4) and a server name before it gets an answer.")?;
    scene.good("curl has the same one over IPv4 and IPv6; the scraper has another.")?;
    if let Some(hello) = hellos.get(browser) {
        scene.proves(
            hello["pq"] == true,
            "The Chrome-like client offers a post-quantum key share (pq).",
        )?;
    }
    Ok(())
}

fn monitor(scene: &mut Scene<'_>) -> Result<()> {
    scene.say("The operator blocks a network. In monitor mode this is a question, not an act.")?;
    scene.succeeds(
        Server,
        "bot-agent block 198.51.100.0/24 --duration 2h --reason 'scrapes our prices'",
    )?;
    scene.succeeds(Clients, SCRAPES)?;
    let events = scene
        .stage
        .events("would_drop", |event| event["src"] == SCRAPER)?;
    scene.succeeds(Server, "bot-agent logs --event would_drop")?;
    scene.ends(Server, "bot-agent check 198.51.100.77", BLOCKED)?;
    let answer = scene.explain(SCRAPER)?;
    scene.proves(
        events.iter().all(|event| event["src"] == SCRAPER) && answer["effect"] == "would_drop",
        "The scraper still gets its page. Its packets, and nobody else's, would be dropped.",
    )
}

fn enforce(scene: &mut Scene<'_>) -> Result<()> {
    scene.say(
        "Enforcing comes with a deadline in the kernel: whoever locks himself out just waits. \
         Only a new login proves that there is still a way in.",
    )?;
    scene.succeeds(Server, "bot-agent mode enforce --confirm-within 60s")?;
    scene.ends(Server, "bot-agent confirm", 2)?;
    scene.good("Not from the session that set it.")?;
    scene.succeeds(
        Server,
        "setsid --wait bot-agent confirm    # as a new login does",
    )?;
    let mode = scene.json("bot-agent mode")?;
    scene.proves(
        mode["mode"] == "enforce" && mode["until"].is_null(),
        "Confirmed: it stays.",
    )
}

fn refused(scene: &mut Scene<'_>) -> Result<()> {
    scene.fails(Clients, SCRAPES)?;
    scene.ends(
        Clients,
        "curl --interface 198.51.100.77 https://shop.example/",
        TIMED_OUT,
    )?;
    scene.succeeds(Clients, CUSTOMER)?;
    scene.succeeds(Clients, CUSTOMER_V6)?;
    let events = scene
        .stage
        .events("drop", |event| event["src"] == SCRAPER)?;
    scene.succeeds(Server, "bot-agent logs --event drop")?;
    scene.proves(
        events.iter().all(|event| event["src"] == SCRAPER),
        "The scraper is refused, whatever it uses. Everybody else is served.",
    )
}

fn killed(scene: &mut Scene<'_>) -> Result<()> {
    scene.say("The kernel decides by itself. The agent may die at any time:")?;
    scene.kill_agent()?;
    scene.ends(Server, "bot-agent status", NOT_RUNNING)?;
    scene.fails(Clients, SCRAPES)?;
    scene.succeeds(Clients, CUSTOMER)?;
    scene.good("No agent, and still: the scraper is refused, the customer is served.")
}

fn explained(scene: &mut Scene<'_>) -> Result<()> {
    scene.say("The next agent takes over what the kernel has, without a gap:")?;
    scene.start_agent()?;
    let adopted = scene.stage.events("attach", |_| true)?;
    scene.proves(
        adopted.iter().any(|event| event["adopted"] == true),
        "It adopted the running filter.",
    )?;
    scene.say("\nWhy is this address refused? The answer is read from the kernel's own table:")?;
    scene.ends(Server, "bot-agent check 198.51.100.77", BLOCKED)?;
    let answer = scene.explain(SCRAPER)?;
    let rule = &answer["rule"];
    let left = rule["remaining_seconds"].as_u64().unwrap_or(0);
    check(
        answer["effect"] == "drop" && rule["prefix"] == NETWORK,
        "the rule is the block of the network",
    )?;
    check(
        rule["reason"] == "scrapes our prices" && (7_000..7_200).contains(&left),
        "it kept its reason and its end",
    )?;
    check(
        rule["hits"]["packets"]
            .as_u64()
            .is_some_and(|hits| hits > 0),
        "it kept count",
    )?;
    scene.good("Rule, reason, packets and remaining time: nothing was lost.")
}

fn neighbours(scene: &mut Scene<'_>) -> Result<()> {
    scene.say("A block is wide. Somebody in it is a friend:")?;
    let friend = "curl --interface 198.51.100.7 https://shop.example/";
    scene.ends(Clients, friend, TIMED_OUT)?;
    scene.succeeds(
        Server,
        "bot-agent allow 198.51.100.7 --permanent --reason 'uptime probe of a partner'",
    )?;
    scene.succeeds(Clients, friend)?;
    scene.say(
        "\nAnd the server itself asks a host of that network. An operator's block means every \
         packet, answers too; scope `services` means those that want something from this host:",
    )?;
    scene.ends(Server, ASKS_PARTNER, TIMED_OUT)?;
    scene.succeeds(
        Server,
        "bot-agent block 198.51.100.0/24 --duration 2h --scope services --reason 'scrapes our prices'",
    )?;
    scene.succeeds(Server, ASKS_PARTNER)?;
    scene.fails(Clients, SCRAPES)?;
    scene.succeeds(Server, "bot-agent check 198.51.100.7")?;
    scene.good("The friend and the partner get through; the scraper does not.")
}

fn rescue(scene: &mut Scene<'_>) -> Result<()> {
    scene.say("It is night, something looks wrong, and the agent does not even run:")?;
    scene.stop_agent()?;
    scene.succeeds(
        Server,
        "bot-agent bypass --reason 'customers complain' --for 30m",
    )?;
    scene.succeeds(Clients, SCRAPES)?;
    scene.succeeds(Server, "bot-agent resume")?;
    scene.fails(Clients, SCRAPES)?;
    scene.good("Everything passed at once, and the filter came back as it was.")?;
    scene.say("\nTo be rid of it altogether:")?;
    scene.succeeds(Server, "bot-agent detach")?;
    scene.succeeds(Clients, SCRAPES)?;
    let link = scene.succeeds(Server, "ip link show eth0")?;
    scene.proves(
        !scene.stage.is_pinned() && !link.text.contains("xdp"),
        "No program on the interface, nothing pinned. The rules are stored for another day.",
    )
}

/// What a scene does with the stage, on the terminal.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a mut Stage,
    teller: &'a Teller,
}

impl Scene<'_> {
    pub(super) fn say(&self, text: &str) -> Result<()> {
        self.teller.say(text)
    }

    pub(super) fn good(&self, text: &str) -> Result<()> {
        self.teller.good(text)
    }

    /// Something that must be true, and is then said.
    fn proves(&self, truth: bool, what: &str) -> Result<()> {
        check(truth, what)?;
        self.good(what)
    }

    /// Shows a command and what it prints.
    fn show(&self, host: Host, line: &str) -> Result<Finished> {
        self.teller.command(host.name(), line)?;
        let finished = self.stage.run(host, line)?;
        self.teller.output(&finished.text)?;
        Ok(finished)
    }

    /// The same of a command that may take so many seconds, however it ends.
    pub(super) fn show_for(&self, seconds: u32, host: Host, line: &str) -> Result<Finished> {
        self.teller.command(host.name(), line)?;
        let finished = self.stage.run_for(seconds, host, line)?;
        self.teller.output(&finished.text)?;
        Ok(finished)
    }

    pub(super) fn ends(&self, host: Host, line: &str, code: i32) -> Result<Finished> {
        let finished = self.show(host, line)?;
        if finished.code != code {
            bail!("`{line}` ended with {}, not {code}", finished.code);
        }
        Ok(finished)
    }

    pub(super) fn succeeds(&self, host: Host, line: &str) -> Result<Finished> {
        self.ends(host, line, 0)
    }

    fn fails(&self, host: Host, line: &str) -> Result<Finished> {
        self.ends(host, line, 1)
    }

    fn start_agent(&mut self) -> Result<()> {
        let line = "bot-agent run --interface eth0 --xdp native 2>agent.log &";
        self.teller.command(Server.name(), line)?;
        self.stage
            .start_agent(&["run", "--interface", "eth0", "--xdp", "native"])?;
        self.succeeds(Server, "bot-agent logs --event start --event attach")?;
        Ok(())
    }

    fn kill_agent(&mut self) -> Result<()> {
        let pid = self.stage.agent_pid()?;
        self.succeeds(Server, &format!("kill -9 {pid}"))?;
        self.stage.agent_ended()?;
        Ok(())
    }

    fn stop_agent(&mut self) -> Result<()> {
        let pid = self.stage.agent_pid()?;
        self.succeeds(Server, &format!("kill {pid}"))?;
        let status = self.stage.agent_ended()?;
        check(status.success(), "the agent ends in order")
    }

    /// The answer of a command as JSON.
    fn json(&self, line: &str) -> Result<Value> {
        let finished = self.stage.run(Server, &format!("{line} --output json"))?;
        serde_json::from_str(&finished.text)
            .with_context(|| format!("`{line}` answers {:?}", finished.text))
    }

    fn explain(&self, address: &str) -> Result<Value> {
        self.json(&format!("bot-agent check {address}"))
    }

    /// One hello of each source, once all are there.
    fn hellos(&self, sources: &BTreeMap<&str, &str>) -> Result<BTreeMap<String, Value>> {
        let mut found = BTreeMap::new();
        self.stage.events("hello", |event| {
            if let Some(source) = event["src"].as_str() {
                found.insert(source.to_owned(), event.clone());
            }
            sources.keys().all(|source| found.contains_key(*source))
        })?;
        Ok(found)
    }
}

/// Something that must be true and is not worth a line.
pub(super) fn check(truth: bool, what: &str) -> Result<()> {
    if !truth {
        bail!("this is not so: {what}");
    }
    Ok(())
}

/// `t13d1516h2_8daaf6152771_02713d6af862`
fn is_ja4(text: &str) -> bool {
    let parts: Vec<&str> = text.split('_').collect();
    let hash = |part: &str| part.len() == 12 && part.chars().all(|c| c.is_ascii_hexdigit());
    matches!(parts[..], [start, ciphers, extensions]
        if start.len() == 10 && start.starts_with('t') && hash(ciphers) && hash(extensions))
}
