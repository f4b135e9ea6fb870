//! The compiler: from rules and lists that overlap to disjoint pieces, each with one chain of
//! verdicts.
//!
//! The kernel looks up one id per address, so each piece carries the answer of all that covers it:
//! the winner, and what each deadline uncovers. Work is one merge over sorted inputs ([`merge`]) and
//! one sweep per family ([`Sweep`]); a region costs what lies in it and above it, not the whole.

use bot_common::abi::verdict::Action;

use super::{
    candidate::{Act, Candidate},
    family::Family,
    inputs::Inputs,
    list::{List, ListKind, Tiers},
    merge::{Part, Rules, Says, Voices, merge},
    named::{Tally, rules_of},
    networks::{Coming, Networks},
    states::{Chains, State, States},
    sweep::Sweep,
};
use crate::{
    asn::Database,
    rules::{prefix::Prefix, set::RuleSet, time::Now},
};

/// Addresses that have one chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece<A> {
    /// First address.
    pub first: A,
    /// Last address.
    pub last: A,
    /// The number of their chain in [`Compiled::chains`], never that of nothing.
    pub chain: u32,
}

/// What the table should say, about everything or about a region.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Compiled {
    /// IPv4, sorted and disjoint; neighbours with the same chain are one.
    pub v4: Vec<Piece<u32>>,
    /// IPv6, alike.
    pub v6: Vec<Piece<u128>>,
    /// The chains of both.
    pub chains: Chains,
    /// How many different prefixes rules and lists name, protection aside; `None` for a region.
    pub prefixes: Option<usize>,
}

/// Compiles everything that is alive `now`.
pub fn compile(inputs: &Inputs<'_>, now: Now) -> Compiled {
    let mut compilation = Compilation::new(inputs, now);
    let (v4, named_v4) = compilation.everything();
    let (v6, named_v6) = compilation.everything();
    Compiled {
        v4,
        v6,
        chains: compilation.states.into_chains(),
        prefixes: Some(named_v4 + named_v6),
    }
}

/// Compiles what is alive `now` about a region: what [`compile`] says, clipped to it. An IPv6 region
/// holds no IPv4 address.
pub fn compile_within(inputs: &Inputs<'_>, region: Prefix, now: Now) -> Compiled {
    let mut compilation = Compilation::new(inputs, now);
    let v4 = u32::of(region).map(|(first, bits)| compilation.region(region, first, bits));
    let v6 = u128::of(region).map(|(first, bits)| compilation.region(region, first, bits));
    Compiled {
        v4: v4.unwrap_or_default(),
        v6: v6.unwrap_or_default(),
        chains: compilation.states.into_chains(),
        prefixes: None,
    }
}

struct Compilation<'a> {
    rules: &'a RuleSet,
    /// Only if there are rules that need it.
    database: Option<&'a Database>,
    networks: Networks<'a>,
    lists: Vec<(&'a List, Voices)>,
    states: States,
    now: Now,
}

impl<'a> Compilation<'a> {
    fn new(inputs: &Inputs<'a>, now: Now) -> Self {
        let mut states = States::new(now.boot_ns, inputs.ports.signatures());
        let lists = inputs.lists.iter();
        let lists = lists
            .map(|list| (list, voices(list, inputs, &mut states)))
            .collect();
        Self {
            rules: inputs.rules,
            database: inputs.database.filter(|_| has_networks(inputs.rules)),
            networks: Networks::new(inputs.rules, now),
            lists,
            states,
            now,
        }
    }

    /// All pieces of a family, and how many prefixes are named in it.
    fn everything<A: Family>(&mut self) -> (Vec<Piece<A>>, usize) {
        let rules = Rules::new(rules_of(self.rules.iter(), self.now));
        let lists = self.lists.iter().map(|(list, voices)| {
            let column = A::column(list);
            Part {
                column,
                places: 0..column.len(),
                voices,
            }
        });
        let lists: Vec<_> = lists.collect();
        let coming = Coming::new(self.database.map_or(&[], A::ranges), A::FIRST);
        let (states, networks) = (&mut self.states, &mut self.networks);
        let everything = (A::FIRST, A::LAST);
        let sweep = Sweep::new(states, networks, coming, everything, States::EMPTY);
        run(sweep, &rules, &lists)
    }

    /// The pieces of a region.
    fn region<A: Family>(&mut self, region: Prefix, first: A, bits: u8) -> Vec<Piece<A>> {
        let outside = self.covering(region, first, bits);
        let inside = rules_of(self.rules.within(region), self.now);
        let inside = inside.filter(|(inner, length, _)| (*inner, *length) != (first, bits));
        let rules = Rules::new(inside);
        let lists = self.lists.iter().map(|(list, voices)| {
            let column = A::column(list);
            Part {
                column,
                places: column.within(first, bits),
                voices,
            }
        });
        let lists: Vec<_> = lists.collect();
        let coming = Coming::new(self.database.map_or(&[], A::ranges), first);
        let (states, networks) = (&mut self.states, &mut self.networks);
        let region = (first, first.last_of(bits));
        let sweep = Sweep::new(states, networks, coming, region, outside);
        run(sweep, &rules, &lists).0
    }

    /// The state of all that covers the whole region.
    fn covering<A: Family>(&mut self, region: Prefix, first: A, bits: u8) -> State {
        let rules = rules_of::<A>(self.rules.covering(region), self.now);
        let rules: Vec<Candidate> = rules.map(|(.., candidate)| candidate).collect();
        let mut state = self.states.with_rules(States::EMPTY, &rules);
        for (list, voices) in &self.lists {
            // Widest first, as the sweep meets them.
            let entries: Vec<_> = A::column(list).covering(first, bits).collect();
            for entry in entries.iter().rev() {
                if let Some(voice) = voices.of(entry.score) {
                    state = self.states.with_entry(state, voice, entry.bits);
                }
            }
        }
        state
    }
}

/// The pieces, and how many different prefixes were on the way.
fn run<A: Family>(
    mut sweep: Sweep<'_, '_, A>,
    rules: &Rules<A>,
    lists: &[Part<'_, A>],
) -> (Vec<Piece<A>>, usize) {
    let mut tally = Tally::default();
    merge(rules, lists, |next| {
        tally.add(&next);
        sweep.enter(next.first, next.bits, |states, around| match next.says {
            Says::Rules(rules) => states.with_rules(around, rules),
            Says::Entry(Some(voice)) => states.with_entry(around, voice, next.bits),
            Says::Entry(None) => around,
        });
    });
    (sweep.finish(), tally.prefixes())
}

fn has_networks(rules: &RuleSet) -> bool {
    rules.by_asn().next().is_some() || rules.by_country().next().is_some()
}

/// The ways in which a list's entries speak.
fn voices(list: &List, inputs: &Inputs<'_>, states: &mut States) -> Voices {
    let tiers = inputs.tiers;
    let mut voice = |tier| {
        let act = Act::of(list.kind(), tier);
        let candidate = Candidate::of_list(list, act, inputs.ports)?;
        Some(states.voice(candidate))
    };
    match list.kind() {
        ListKind::Score { .. } => {
            Voices::ByTier(tiers, Tiers::ACTIONS.map(|tier| (tier, voice(tier))))
        }
        ListKind::Allow
        | ListKind::VerifiedCrawler
        | ListKind::Popular
        | ListKind::Only { .. }
        | ListKind::Admit
        | ListKind::Category { .. } => Voices::Same(voice(Action::Pass)),
    }
}
