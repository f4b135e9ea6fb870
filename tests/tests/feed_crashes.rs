//! An agent that is killed while it takes a feed's update: the kernel's table is the old one or the
//! new one, and never some of both.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Instant,
};

use bot_agent::datapath::Pinned;
use bot_common::abi::verdict::{Action, VerdictId};
use bot_tests::{
    feeds::{drops, enforcing, file_feed, hosts, lab_with_clients, show, told, write},
    lab::IFACE,
    privilege::is_root,
    resident::Resident,
};

/// Kills in each of the two tests.
const KILLS: usize = 100;

/// Small tables, so that starts are quick.
const SMALL: &str =
    "[tables]\nverdicts = 1024\n[reports]\nring_bytes = 65536\n[hello]\nring_bytes = 65536\n";

/// Two contents of a feed in turn.
struct Contents {
    /// Addresses that are in both.
    common: u32,
    /// Addresses that are in one only, for each of them.
    own: u32,
}

impl Contents {
    const COMMON: [u8; 4] = [11, 1, 0, 0];
    const OWN: [[u8; 4]; 2] = [[11, 2, 0, 0], [11, 3, 0, 0]];

    fn text(&self, which: usize) -> String {
        hosts(Self::OWN[which], self.own) + &hosts(Self::COMMON, self.common)
    }

    /// Which one the kernel has; the agent is dead.
    #[track_caller]
    fn in_kernel(&self, agent: &Resident<'_>) -> usize {
        let pinned = Pinned::open(&agent.pin_dir()).unwrap();
        let dropped = |first: [u8; 4], count: u32| {
            let first = u32::from(Ipv4Addr::from(first));
            let addresses = (first..first + count).map(|bits| IpAddr::from(Ipv4Addr::from(bits)));
            addresses
                .filter(|address| is_dropped(&pinned, *address))
                .count()
        };
        let [common, one, other, none] = [
            dropped(Self::COMMON, self.common),
            dropped(Self::OWN[0], self.own),
            dropped(Self::OWN[1], self.own),
            dropped([11, 4, 0, 0], self.own),
        ];
        let own = usize::try_from(self.own).unwrap();
        assert_eq!((common, none), (usize::try_from(self.common).unwrap(), 0));
        match [one, other] {
            [found, 0] if found == own => 0,
            [0, found] if found == own => 1,
            mixture => panic!("of {own} each, the table has {mixture:?}"),
        }
    }
}

fn is_dropped(pinned: &Pinned, address: IpAddr) -> bool {
    let id = pinned.verdict_id(address.into());
    let verdict = || pinned.verdict(id).unwrap();
    id != VerdictId::NONE && Action::from_code(verdict().action) == Action::Drop
}

/// Kills the agent at random instants of its updates.
fn kill_at_random(test: &str, contents: &Contents) {
    let lab = lab_with_clients(test, 0);
    let mut agent = Resident::new(&lab.host, "");
    let feed = file_feed(&agent, "bad", "action = \"block\"\nloosen = [\"change\"]");
    agent.configure(&enforcing(&(feed + SMALL)));
    write(&agent, "bad", contents.text(0));
    agent.start(&["-i", IFACE]);
    told(&agent, "bad", "updated", "");
    agent.ok(&["block", "11.5.0.1", "--permanent"]);

    // How long an update takes from the start on.
    let mut took = [1, 0, 1].map(|which| {
        agent.kill();
        write(&agent, "bad", contents.text(which));
        agent.start(&["-i", IFACE]);
        let began = Instant::now();
        told(&agent, "bad", "updated", "");
        began.elapsed()
    });
    took.sort_unstable();
    let window = took[1];
    agent.kill();
    let mut in_force = contents.in_kernel(&agent);
    assert_eq!(in_force, 1);

    let mut updated = 0;
    for round in 0..KILLS {
        write(&agent, "bad", contents.text(1 - in_force));
        agent.start(&["-i", IFACE]);
        let random = RandomState::new().hash_one(round) % 1_000;
        thread::sleep(window * u32::try_from(random).unwrap() / 700);
        agent.kill();
        let found = contents.in_kernel(&agent);
        updated += usize::from(found != in_force);
        in_force = found;
    }
    eprintln!("{updated} of {KILLS} updates were faster, within {window:?}");
    assert!(
        (KILLS / 20..KILLS - KILLS / 20).contains(&updated),
        "{updated} of {KILLS}: the kills were too late or too early"
    );
    agent.start(&["-i", IFACE]);
    agent.ok(&["feeds", "refresh"]);
    assert_eq!(show(&agent, "bad")["state"], "ok");
    assert!(drops(&agent, Ipv4Addr::new(11, 5, 0, 1)));
}

#[test]
fn killed_while_a_few_entries_change_the_table_is_the_old_or_the_new_one() {
    if !is_root("killed_while_a_few_entries_change") {
        return;
    }
    let contents = Contents {
        common: 500,
        own: 100,
    };
    kill_at_random("killed-few", &contents);
}

#[test]
fn killed_while_many_entries_change_the_table_is_the_old_or_the_new_one() {
    if !is_root("killed_while_many_entries_change") {
        return;
    }
    let contents = Contents {
        common: 1_000,
        own: 3_000,
    };
    kill_at_random("killed-many", &contents);
}
