//! The table under readers: while it changes, packets run through the program on another CPU, and each
//! sees the old policy or the new one.

use std::collections::BTreeMap;

use bot_agent::table::Ranges;
use bot_common::abi::{
    counter::{Counter, Outcome},
    verdict::{Action, Verdict, VerdictId},
};
use bot_tests::{
    flatten::{flatten, prefix},
    frame::{Frame, flag},
    kernel,
    kernel::{Kernel, Writer},
};

const DROP: Verdict = Verdict {
    action: Action::Drop as u8,
    ..Verdict::PASS
};

/// Packets and changes of a race at least; few packets in emulated machines.
fn long() -> (u32, u32) {
    let packets = if kernel::is_emulated() {
        400_000
    } else {
        10_000_000
    };
    (packets, 20)
}

/// A source, and two policies that both drop it.
struct Race {
    kernel: Kernel,
    frame: Vec<u8>,
    policies: [Ranges; 2],
    ids: [VerdictId; 2],
}

impl Race {
    /// The prefixes come and go around the source, which one of `wide` always covers.
    fn new(mut kernel: Kernel, source: &str, wide: &str, narrow: &[&str]) -> Self {
        kernel.settings(|settings| {
            settings.reports_per_second = 0;
            settings.hellos_per_second = 0;
        });
        let ids = [kernel.verdict(DROP), kernel.verdict(DROP)];
        let outer = BTreeMap::from([(prefix(wide), ids[0])]);
        let mut inner = outer.clone();
        inner.extend(narrow.iter().map(|text| (prefix(text), ids[1])));
        let policies = [flatten(&outer), flatten(&inner)];
        kernel.fill(&policies[0]);
        let frame = Frame::from(source).tcp(443, flag::SYN).bytes();
        Self {
            kernel,
            frame,
            policies,
            ids,
        }
    }

    /// Runs packets while `change` takes the table from one policy to the other and back. Returns what
    /// was dropped by the one, by the other, and what passed.
    fn run(&mut self, mut change: impl FnMut(&mut Writer<'_>, &Ranges)) -> [u64; 3] {
        let [mut old, mut new] = self.policies.clone();
        self.kernel.race(&self.frame, long(), |writer| {
            change(writer, &new);
            std::mem::swap(&mut old, &mut new);
        });
        let no_rule = Counter::Outcome(Outcome::NoRule);
        let dropped = self
            .kernel
            .counter(Counter::Outcome(Outcome::Dropped))
            .packets;
        let [old, new] = self.ids.map(|id| self.kernel.hits(id).packets);
        assert_eq!(old + new, dropped);
        [old, new, self.kernel.counter(no_rule).packets]
    }
}

#[test]
fn in_place_a_packet_sees_the_old_policy_or_the_new_one() {
    for (source, wide, narrow) in [
        (
            "198.51.100.7",
            "198.51.0.0/16",
            vec!["198.51.100.7", "198.51.100.9", "198.51.7.0/24"],
        ),
        ("198.51.100.7", "198.0.0.0/8", vec!["198.51.100.0/24"]),
        (
            "2001:db8::7",
            "2001:db8::/32",
            vec!["2001:db8::7", "2001:db8::/64", "2001:db8:1::/48"],
        ),
        (
            "2001:db8::7",
            "2001:d00::/24",
            vec!["2001:db8::/48", "2001:db8::/64", "2001:db8::9"],
        ),
    ] {
        let mut race = Race::new(kernel!(), source, wide, &narrow);
        let [old, new, neither] = race.run(|writer, policy| writer.update(wide, policy));
        assert_eq!(neither, 0, "{source}: packets that saw no policy");
        assert!(old > 0 && new > 0, "{source}: {old} and {new}");
    }
}

#[test]
fn across_generations_a_packet_sees_the_old_policy_or_the_new_one() {
    let narrow = ["198.51.100.7", "198.51.7.0/24"];
    let mut race = Race::new(kernel!(), "198.51.100.7", "198.0.0.0/8", &narrow);
    let [old, new, neither] = race.run(|writer, policy| {
        writer.swap(policy);
    });
    assert_eq!(neither, 0, "packets that saw no policy");
    assert!(old > 0 && new > 0, "{old} and {new}");
}

/// Shortcuts come with each generation and go with the first change in place.
#[test]
fn while_shortcuts_go_a_packet_sees_the_old_policy_or_the_new_one() {
    let wide = "2001:db8:1::/48";
    let narrow = ["2001:db8:1::7", "2001:db8:1:5::/64"];
    let mut race = Race::new(kernel!(), "2001:db8:1::7", wide, &narrow);
    let [old, new, neither] = race.run(|writer, policy| {
        writer.update(wide, policy);
        writer.swap(policy);
    });
    assert_eq!(neither, 0, "packets that saw no policy");
    assert!(old > 0 && new > 0, "{old} and {new}");
}

/// The proof that the tests above can fail.
#[test]
fn a_writer_that_empties_before_it_fills_is_caught() {
    let wide = "198.51.0.0/16";
    let mut race = Race::new(kernel!(), "198.51.100.7", wide, &["198.51.100.7"]);
    let [_, _, neither] = race.run(|writer, policy| {
        writer.update(wide, &Ranges::default());
        writer.update(wide, policy);
    });
    assert!(neither > 0, "nobody saw the gap");
}
