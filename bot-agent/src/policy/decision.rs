//! Decisions: what holds for an address, by the ports that packets are for.

use bot_common::abi::ports::Groups;

use super::{
    candidate::Candidate,
    chain::{Beneath, Chain, Link, chain},
    precedence::Strength,
};

/// A chain for each kind of packets from an address.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Decision {
    /// For packets to a port of all these groups, unless an earlier one is about more of theirs: those
    /// of many groups first. What says the same as what would come next is left out.
    pub forks: Vec<(Groups, Chain)>,
    /// For all other packets. Empty: nothing speaks about them.
    pub rest: Chain,
}

impl Decision {
    /// The chain of packets to a port in these groups.
    pub fn of(&self, groups: Groups) -> &Chain {
        let fork = self.forks.iter().find(|(own, _)| groups.has_all(*own));
        fork.map_or(&self.rest, |(_, chain)| chain)
    }

    /// All chains, that of the other packets last.
    pub fn chains(&self) -> impl Iterator<Item = &Chain> {
        let forks = self.forks.iter().map(|(_, chain)| chain);
        forks.chain(std::iter::once(&self.rest))
    }
}

/// What all that covers an address, best first, makes of packets. `signatures` are the groups that a
/// port can be in together.
pub(super) fn decision(candidates: &[Candidate], signatures: &[Groups], now: u64) -> Decision {
    let is_plain = |one: &Candidate| one.ports.is_none() && !one.locks();
    if candidates.iter().all(is_plain) {
        return Decision {
            forks: Vec::new(),
            rest: chain(candidates, now),
        };
    }
    let asked = candidates
        .iter()
        .fold(Groups::NONE, |all, one| all.or(one.ports));
    let mut met: Vec<Groups> = signatures.iter().map(|own| own.and(asked)).collect();
    met.retain(|groups| !groups.is_none());
    // Few groups first, so that what a chain is compared with is there.
    met.sort_unstable_by_key(|groups| (groups.0.count_ones(), groups.0));
    met.dedup();
    let mut decision = Decision {
        forks: Vec::with_capacity(met.len()),
        rest: chain(&speaking(candidates, Groups::NONE), now),
    };
    for groups in met {
        let chain = chain(&speaking(candidates, groups), now);
        if *decision.of(groups) != chain {
            decision.forks.insert(0, (groups, chain));
        }
    }
    decision
}

/// What is about packets to a port in these groups. A lock says nothing about an address that it lets
/// in.
fn speaking(candidates: &[Candidate], groups: Groups) -> Vec<Candidate> {
    let admits = |lock: &Candidate| {
        candidates.iter().any(|other| {
            other.locks() && other.class.strength == Strength::Exempt && other.ports == lock.ports
        })
    };
    let about = candidates.iter().filter(|one| one.is_about(groups));
    about
        .filter(|one| !(one.locks() && admits(one)))
        .copied()
        .collect()
}

/// Makes a graph of decisions, from the last link upwards: `make` gives the number of a link above what
/// lies beneath it, `nothing` is that of no link.
///
/// What all packets meet alike stands once, above the fork; so rules above a lock share it.
pub(super) fn graph<N: Copy>(
    forks: &[(Groups, &[Link])],
    rest: &[Link],
    nothing: N,
    make: &mut impl FnMut(Link, Beneath<N>) -> N,
) -> N {
    let Some(((groups, own), others)) = forks.split_first() else {
        let mut beneath = nothing;
        for link in rest.iter().rev() {
            beneath = make(*link, Beneath::all(beneath, nothing));
        }
        return beneath;
    };
    let same = rest
        .split_first()
        .filter(|(first, _)| forks.iter().all(|(_, own)| own.first() == Some(*first)));
    if let Some((first, rest)) = same {
        let tails = forks
            .iter()
            .map(|(groups, own)| (*groups, own.get(1..).unwrap_or_default()));
        let tails: Vec<_> = tails.collect();
        let then = graph(&tails, rest, nothing, make);
        return make(*first, Beneath::all(then, nothing));
    }
    let otherwise = graph(others, rest, nothing, make);
    // Whatever speaks about all packets speaks about these too, so their chain ends no sooner.
    let Some((first, tail)) = own.split_first() else {
        return otherwise;
    };
    let then = graph(&[], tail, nothing, make);
    let ports = *groups;
    make(
        *first,
        Beneath {
            then,
            ports,
            otherwise,
        },
    )
}
