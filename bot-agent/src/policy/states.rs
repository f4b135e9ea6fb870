//! States: the sets of candidates that occur on the way through the addresses, and the decision that
//! each of them makes.
//!
//! A million entries of a few lists make a few hundred states, so states are remembered by how they
//! came about, and decisions by what they say.

use std::collections::HashMap;

use bot_common::abi::ports::Groups;

use super::{
    candidate::Candidate,
    chain::{Beneath, Link},
    decision::{Decision, decision, graph},
    precedence::Narrowness,
};

/// A set of candidates.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct State(u32);

/// How an entry of a list speaks, apart from its length.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Voice(u32);

/// A set of ASN and country rules.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Network(u32);

impl Network {
    /// No rule.
    pub(super) const NONE: Self = Self(0);
}

/// Decisions that share their ends: each link has the numbers of what lies beneath. Number 0 is nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Chains {
    links: Vec<(Link, Beneath<u32>)>,
}

/// The number of no link.
pub(super) const NOTHING: u32 = 0;

impl Chains {
    /// The first link of a decision, and what lies beneath; `None` where there is none.
    pub fn first(&self, chain: u32) -> Option<(&Link, Beneath<u32>)> {
        let index = usize::try_from(chain.checked_sub(1)?).ok()?;
        let (link, beneath) = self.links.get(index)?;
        Some((link, *beneath))
    }

    /// The chain of packets to a port in these groups.
    pub fn links(&self, chain: u32, groups: Groups) -> impl Iterator<Item = &Link> {
        let mut next = chain;
        std::iter::from_fn(move || {
            loop {
                let (link, beneath) = self.first(next)?;
                let meets = groups.has_all(beneath.ports);
                next = if meets {
                    beneath.then
                } else {
                    beneath.otherwise
                };
                if meets {
                    return Some(link);
                }
            }
        })
    }

    /// One more than the greatest number.
    pub fn count(&self) -> usize {
        self.links.len() + 1
    }
}

/// All states of a compilation.
pub(super) struct States {
    now: u64,
    /// The port groups that a port can be in together.
    signatures: Vec<Groups>,
    /// Of all states, one after the other, each best first.
    candidates: Vec<Candidate>,
    /// By state, where its own begin and end among them.
    extents: Vec<(usize, usize)>,
    /// By state, what is known of its chain without a network.
    chains_of: Vec<Option<u32>>,
    voices: Vec<Candidate>,
    /// Candidates of [`Network`]s, best first.
    networks: Vec<Vec<Candidate>>,
    spoken: HashMap<(State, Voice, u8), State>,
    networked: HashMap<(State, Network), u32>,
    numbers: HashMap<(Link, Beneath<u32>), u32>,
    chains: Chains,
    scratch: Vec<Candidate>,
}

impl States {
    pub(super) fn new(now: u64, signatures: Vec<Groups>) -> Self {
        Self {
            now,
            signatures,
            candidates: Vec::new(),
            extents: vec![(0, 0)],
            chains_of: vec![Some(NOTHING)],
            voices: Vec::new(),
            networks: vec![Vec::new()],
            spoken: HashMap::new(),
            networked: HashMap::new(),
            numbers: HashMap::new(),
            chains: Chains::default(),
            scratch: Vec::new(),
        }
    }

    /// Nothing covers the address.
    pub(super) const EMPTY: State = State(0);

    /// A new way for entries of a list to speak.
    pub(super) fn voice(&mut self, candidate: Candidate) -> Voice {
        self.voices.push(candidate);
        Voice(number(self.voices.len() - 1))
    }

    /// A new set of ASN and country rules.
    pub(super) fn network(&mut self, mut rules: Vec<Candidate>) -> Network {
        if rules.is_empty() {
            return Network::NONE;
        }
        rules.sort_unstable_by_key(Candidate::rank);
        self.networks.push(rules);
        Network(number(self.networks.len() - 1))
    }

    /// `state` and these rules.
    pub(super) fn with_rules(&mut self, state: State, rules: &[Candidate]) -> State {
        if rules.is_empty() {
            return state;
        }
        let start = self.candidates.len();
        let present = self.range(state);
        self.candidates.extend_from_within(present);
        self.candidates.extend_from_slice(rules);
        self.push(start)
    }

    /// `state` and an entry of `bits` that speaks so.
    pub(super) fn with_entry(&mut self, state: State, voice: Voice, bits: u8) -> State {
        if let Some(known) = self.spoken.get(&(state, voice, bits)) {
            return *known;
        }
        let start = self.candidates.len();
        let present = self.range(state);
        let new = self.voices.get(index(voice.0)).copied();
        let new = new.map(|candidate| candidate.at(Narrowness::prefix(bits)));
        for place in present {
            let stays = |old: &&Candidate| !new.is_some_and(|new| old.is_covered_by(&new));
            let old = self.candidates.get(place).filter(stays).copied();
            self.candidates.extend(old);
        }
        self.candidates.extend(new);
        let extended = self.push(start);
        self.spoken.insert((state, voice, bits), extended);
        extended
    }

    /// The number of the chain of `state` within a network.
    pub(super) fn chain(&mut self, state: State, network: Network) -> u32 {
        let known = if network == Network::NONE {
            self.chains_of.get(index(state.0)).copied().flatten()
        } else {
            self.networked.get(&(state, network)).copied()
        };
        if let Some(known) = known {
            return known;
        }
        let range = self.range(state);
        let own = self.candidates.get(range).unwrap_or_default();
        let decision = match self.networks.get(index(network.0)) {
            Some(rules) if !rules.is_empty() => {
                self.scratch.clear();
                self.scratch.extend_from_slice(own);
                self.scratch.extend_from_slice(rules);
                self.scratch.sort_unstable_by_key(Candidate::rank);
                decision(&self.scratch, &self.signatures, self.now)
            }
            _ => decision(own, &self.signatures, self.now),
        };
        let number = self.number(&decision);
        if network == Network::NONE {
            if let Some(place) = self.chains_of.get_mut(index(state.0)) {
                *place = Some(number);
            }
        } else {
            self.networked.insert((state, network), number);
        }
        number
    }

    pub(super) fn into_chains(self) -> Chains {
        self.chains
    }

    fn number(&mut self, decision: &Decision) -> u32 {
        let forks = decision.forks.iter();
        let forks: Vec<_> = forks
            .map(|(groups, chain)| (*groups, chain.as_slice()))
            .collect();
        let (numbers, chains) = (&mut self.numbers, &mut self.chains);
        let mut make = |link, beneath| {
            let next = number(chains.count());
            *numbers.entry((link, beneath)).or_insert_with_key(|key| {
                chains.links.push(*key);
                next
            })
        };
        graph(&forks, &decision.rest, NOTHING, &mut make)
    }

    /// Makes a state of the candidates from `start` on.
    fn push(&mut self, start: usize) -> State {
        if let Some(own) = self.candidates.get_mut(start..) {
            own.sort_unstable_by_key(Candidate::rank);
        }
        self.extents.push((start, self.candidates.len()));
        self.chains_of.push(None);
        State(number(self.extents.len() - 1))
    }

    fn range(&self, state: State) -> std::ops::Range<usize> {
        let (start, end) = self
            .extents
            .get(index(state.0))
            .copied()
            .unwrap_or_default();
        start..end
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// There are fewer states and chains than prefixes, and fewer prefixes than fit in memory.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
