//! The scene with a million prefixes: the agent loads them while it filters, and nft in a network
//! namespace of its own loads the same.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::place::Host::{Clients, Server};
use super::story::{Scene, check};

const PREFIXES: usize = 1_000_000;
/// What takes longer is not waited for.
const PATIENCE_SECONDS: u32 = 120;

/// The list is in the configuration; [`write()`] makes the file.
const LIST: &str = "\n[tables]\nprefixes = 2000000\n\n[[list]]\nname = \"million\"\n";

pub(super) fn play(scene: &mut Scene<'_>) -> Result<()> {
    let folder = scene.stage.folder();
    let listed = write(&folder).context("writing a million prefixes")?;
    scene.say(
        "A list of a million prefixes, as feeds of bad addresses are: 70 % hosts, 20 % /24. The \
         agent puts it in force beside all that it has, at once, while it filters:",
    )?;
    let config = folder.join("bot-agent.toml");
    let file = folder.join("million.txt");
    let text = fs::read_to_string(&config)?;
    let list = format!("{LIST}file = \"{}\"\naction = \"block\"\n", file.display());
    fs::write(config, text + &list)?;
    scene.succeeds(Server, "tail -n 7 bot-agent.toml; wc -l million.txt")?;
    let begin = Instant::now();
    // A debug build on a busy host takes its time.
    let reload = scene.show_for(PATIENCE_SECONDS, Server, "bot-agent reload")?;
    check(reload.code == 0, "the list was loaded")?;
    let seconds = begin.elapsed().as_secs_f64();
    let peak = scene.stage.agent_peak()?;
    scene.good(&format!(
        "In force after {seconds:.1} s; the agent never had more than {peak} MB."
    ))?;
    scene.ends(Server, &format!("bot-agent check {listed}"), 1)?;
    scene.succeeds(Clients, super::story::CUSTOMER)?;
    scene.say("\nThe same list as an interval set of nft, in a network namespace of its own:")?;
    let may = scene.stage.run(Server, "unshare --net nft list ruleset")?;
    if may.code != 0 {
        return scene.say(&format!("(nft cannot run here: {})", may.text.trim()));
    }
    // It takes long, and on a small host there may be no memory for it.
    let line = "python3 spent.py unshare --net nft -f million.nft";
    let nft = scene.show_for(PATIENCE_SECONDS, Server, line)?;
    if nft.code != 0 {
        return scene.say("(It did not come to an end here.)");
    }
    check(!nft.text.is_empty(), "nft's time was measured")?;
    scene.good("Both hold the same million; the agent's is looked up before the kernel has made a packet of it.")
}

/// Writes the list in both forms, and says an address that it has.
fn write(folder: &Path) -> Result<Ipv4Addr> {
    let mut list = BufWriter::new(File::create(folder.join("million.txt"))?);
    let mut set = BufWriter::new(File::create(folder.join("million.nft"))?);
    writeln!(set, "table inet demo {{")?;
    writeln!(
        set,
        " set million {{ type ipv4_addr; flags interval; auto-merge; elements = {{"
    )?;
    let mut random = 0x5eed_u64;
    let mut known = HashSet::with_capacity(PREFIXES);
    let mut example = Ipv4Addr::UNSPECIFIED;
    while known.len() < PREFIXES {
        let (address, bits) = prefix(next(&mut random));
        if !known.insert((address, bits)) {
            continue;
        }
        writeln!(list, "{address}/{bits}")?;
        writeln!(set, "{address}/{bits},")?;
        example = address;
    }
    writeln!(set, "}} }}")?;
    writeln!(set, " chain input {{")?;
    writeln!(
        set,
        "  type filter hook input priority filter; policy accept;"
    )?;
    writeln!(set, "  ip saddr @million drop")?;
    writeln!(set, " }}\n}}")?;
    list.flush()?;
    set.flush()?;
    Ok(example)
}

/// A prefix out of 16.0.0.0 to 99.255.255.255, where nobody of the story lives.
fn prefix(random: u64) -> (Ipv4Addr, u32) {
    let [kind, rest @ ..] = random.to_be_bytes();
    let bits = match kind {
        0..180 => 32,
        180..231 => 24,
        _ => 20 + u32::from(kind % 12),
    };
    let [first, b, c, d, ..] = rest;
    let address = u32::from_be_bytes([16 + first % 84, b, c, d]);
    (
        Ipv4Addr::from_bits(address & (u32::MAX << (32 - bits))),
        bits,
    )
}

/// Splitmix64: the same list every time.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_leaves_the_storys_addresses_alone() {
        let mut random = 1;
        for _ in 0..100_000 {
            let (address, bits) = prefix(next(&mut random));
            assert!((16..100).contains(&address.octets()[0]), "{address}/{bits}");
            assert!((20..=32).contains(&bits), "{address}/{bits}");
            assert_eq!(address.to_bits() & !(u32::MAX << (32 - bits)), 0);
        }
    }
}
