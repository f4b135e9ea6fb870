//! Nanoseconds for one packet, by `BPF_PROG_TEST_RUN` with warm caches, beside a program that does
//! nothing but drop. One JSON object a line; `ratio` is to the bare program of the same round.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program that prints figures"
)]

use bot_common::abi::{
    ports::Groups,
    verdict::{Action, Verdict},
};
use bot_tests::{
    frame::{Frame, client_hello, flag},
    kernel::{Bare, Entry, Kernel},
};

/// The group of ports that are locked.
const LOCKED: Groups = Groups::one(0);

const ROUNDS: usize = 9;
const REPEAT: u32 = 200_000;

fn main() {
    let mut kernel = Kernel::load();
    let bare = Bare::load();
    kernel.rule(
        "198.51.100.0/24",
        Verdict {
            action: Action::Drop as u8,
            ..Verdict::PASS
        },
    );
    kernel.rule("203.0.113.0/24", Verdict::PASS);
    kernel.rule(
        "2001:db8:bad::/48",
        Verdict {
            action: Action::Drop as u8,
            ..Verdict::PASS
        },
    );
    kernel.groups(|port| if port == 443 { LOCKED } else { Groups::NONE });
    let lock = Verdict {
        action: Action::Drop as u8,
        ports: LOCKED,
        ..Verdict::PASS
    };
    kernel.rule("192.88.99.0/24", lock);
    // One packet in many would be copied; the budget keeps the ring out of the figure for the walk.
    kernel.settings(|settings| settings.hellos_per_second = 0);
    let data = |src: &str| {
        Frame::from(src)
            .tcp(443, flag::DATA)
            .sport(40_001)
            .payload(&[0; 200])
            .bytes()
    };
    let hello = Frame::from("192.0.2.9")
        .tcp(443, flag::DATA)
        .payload(&client_hello(517))
        .bytes();
    let cases = [
        ("blocked source, IPv4", data("198.51.100.7")),
        ("blocked source, IPv6", data("2001:db8:bad::7")),
        ("allowed source, IPv4", data("203.0.113.7")),
        (
            "source locked out of 443, TCP data to 443",
            data("192.88.99.7"),
        ),
        (
            "source locked out of 443, TCP data elsewhere",
            Frame::from("192.88.99.7").tcp(8080, flag::DATA).bytes(),
        ),
        ("unknown source, TCP data to 443", data("192.0.2.9")),
        (
            "unknown source, TCP data elsewhere",
            Frame::from("192.0.2.9").tcp(8080, flag::DATA).bytes(),
        ),
        (
            "unknown source, ClientHello 517 B, budget spent",
            hello.clone(),
        ),
    ];
    let mut rounds = vec![Vec::new(); cases.len() + 2];
    for _ in 0..ROUNDS {
        let floor = bare.time(&cases[0].1, REPEAT);
        rounds[cases.len()].push((floor, 1.0));
        for (case, (_, frame)) in cases.iter().enumerate() {
            let ns = kernel.time(Entry::Frags, frame, REPEAT);
            rounds[case].push((ns, ns / floor));
        }
        // Copied to the ring: as many as it holds, drained between rounds.
        kernel.settings(|settings| settings.hellos_per_second = u32::MAX);
        kernel.hellos();
        let ns = kernel.time(Entry::Frags, &hello, 60);
        rounds[cases.len() + 1].push((ns, ns / floor));
        kernel.settings(|settings| settings.hellos_per_second = 0);
    }
    let names = cases.iter().map(|(name, _)| *name);
    let names = names.chain(["bare XDP_DROP", "unknown source, ClientHello 517 B, copied"]);
    let mut figures: Vec<_> = names.zip(rounds).collect();
    // The floor first.
    figures.sort_by_key(|(name, _)| !name.starts_with("bare"));
    for (name, mut figures) in figures {
        figures.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (value, ratio) = figures[ROUNDS / 2];
        println!(
            "{{\"bench\":\"packet\",\"case\":\"{name}\",\"value\":{value:.1},\"unit\":\"ns\",\"ratio\":{ratio:.2}}}"
        );
    }
}
