//! Chains: what holds for packets of one kind from an address now, and what each deadline uncovers.

use bot_common::abi::{
    ports::Groups,
    verdict::{Action, Flags, MAX_CHAIN, Scope, Verdict, VerdictId},
};

use super::{
    candidate::{By, Candidate, Owner, Sharing},
    deadline::NEVER,
};

/// What a verdict says, apart from what lies beneath it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Terms {
    /// What happens to packets.
    pub action: Action,
    /// Which packets.
    pub scope: Scope,
    /// Counted and reported only.
    pub monitor: bool,
    /// Beats failsafe ports and the like.
    pub forced: bool,
    /// Deadline on `CLOCK_BOOTTIME`, nanoseconds, rounded up by less than 1 % of the rule's life;
    /// 0: never.
    pub expires: u64,
}

impl Terms {
    /// The entry of the verdict table, above what is beneath.
    pub fn verdict(self, beneath: Beneath) -> Verdict {
        let flag = |set: bool, flag: Flags| if set { flag.0 } else { 0 };
        Verdict {
            expires: self.expires,
            then: beneath.then,
            otherwise: beneath.otherwise,
            ports: beneath.ports,
            action: self.action as u8,
            flags: flag(self.monitor, Flags::MONITOR_ONLY) | flag(self.forced, Flags::FORCED),
            scope: self.scope as u8,
            rate_class: 0,
            reserved: [0; 2],
        }
    }
}

/// What lies beneath a verdict.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Beneath<T = VerdictId> {
    /// After its deadline.
    pub then: T,
    /// Only packets to a port of all these groups meet the verdict; none: all packets do.
    pub ports: Groups,
    /// What the other packets meet.
    pub otherwise: T,
}

impl<T> Beneath<T> {
    /// All packets meet the verdict, and after its deadline `then`.
    pub(super) const fn all(then: T, nothing: T) -> Self {
        Self {
            then,
            ports: Groups::NONE,
            otherwise: nothing,
        }
    }
}

impl Beneath {
    /// The verdicts that lie beneath.
    pub(super) fn ids(self) -> [VerdictId; 2] {
        [self.then, self.otherwise]
    }

    /// What lies beneath a verdict of the table.
    pub(super) fn of(verdict: &Verdict) -> Self {
        Self {
            then: verdict.then,
            ports: verdict.ports,
            otherwise: verdict.otherwise,
        }
    }
}

/// One verdict of a chain, and the rule or list that it comes from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Link {
    /// Who decides, and counts.
    pub by: By,
    /// With whom it may share the verdict.
    pub sharing: Sharing,
    /// What it says.
    pub terms: Terms,
    /// [`Terms::expires`] is a multiple of 2 to this power.
    pub grain: u8,
}

impl Link {
    /// Whom the hits count for while nothing is shared.
    pub(super) fn owner(&self) -> Owner {
        match self.by {
            By::Rule(rule) => Owner::Rule(rule),
            By::List(list) => Owner::List(list),
        }
    }

    /// Whom they count for then.
    pub(super) fn shared_owner(&self) -> Owner {
        match self.sharing {
            Sharing::Soon(group) | Sharing::Late(group) => Owner::Group(group),
            Sharing::Never => self.owner(),
        }
    }

    /// Whether `later` says the same until another time.
    fn goes_on_as(&self, later: &Self) -> bool {
        let terms = Terms {
            expires: later.terms.expires,
            ..self.terms
        };
        let grain = later.grain;
        Self {
            terms,
            grain,
            ..*self
        } == *later
    }
}

/// The verdict now, then what is uncovered when it ends, and so on; at most [`MAX_CHAIN`] links.
///
/// Where more deadlines follow one another, the chain is cut, and what is behind its last link
/// passes (fail open). The agent compiles again at every deadline, so the cut shows only when the
/// agent is dead for [`MAX_CHAIN`] deadlines of one address. An empty chain says that nothing covers
/// the address.
pub type Chain = Vec<Link>;

/// The chain of everything that speaks about such packets from one address, best first.
pub(super) fn chain(candidates: &[Candidate], now: u64) -> Chain {
    let mut chain = Chain::new();
    let mut at = now;
    while let Some((link, ends)) = decide(candidates, at) {
        // The same, of which another deadline changed nothing.
        let goes_on = chain.pop_if(|last| last.goes_on_as(&link)).is_some();
        if !goes_on && chain.len() == MAX_CHAIN {
            break;
        }
        chain.push(link);
        if ends == NEVER {
            break;
        }
        at = ends;
    }
    chain
}

/// What holds at a time, and until when.
fn decide(candidates: &[Candidate], at: u64) -> Option<(Link, u64)> {
    let live = || candidates.iter().filter(|candidate| candidate.ends.at > at);
    let guard = live().find(|candidate| candidate.guards());
    let is_hidden = |candidate: &&Candidate| guard.is_some() && candidate.is_guarded();
    let speaking = || live().filter(|candidate| !candidate.guards() && !is_hidden(candidate));

    let acts = speaking().find(|candidate| !candidate.watches());
    let watches = speaking().find(|candidate| candidate.watches());
    let (winner, mut ends) = match (acts, watches) {
        (Some(acts), Some(watches)) if acts.exempts() && watches.class < acts.class => {
            (watches, watches.ends.min(acts.ends))
        }
        (Some(acts), _) => (acts, acts.ends),
        (None, Some(watches)) => (watches, watches.ends),
        // A guard of which nothing is seen needs no verdict. It is an entry of a list, and so are
        // all that it hides: none of them ends.
        (None, None) => {
            live().find(is_hidden)?;
            (guard?, guard?.ends)
        }
    };
    let mut services = winner.services;
    if services && winner.action == Action::Drop {
        // Packets that are not for services are somebody else's: a block of everything beneath. What
        // only watches takes no part in this beside what acts.
        let counts = |other: &&Candidate| winner.watches() || !other.watches();
        let other = speaking().find(|other| counts(other) && !other.services);
        if let Some(other) = other {
            services = other.action != Action::Drop;
            ends = ends.min(other.ends);
        }
    }
    let terms = Terms {
        action: winner.action,
        scope: if services {
            Scope::Services
        } else {
            Scope::All
        },
        monitor: winner.monitor,
        forced: winner.forced,
        expires: ends.expires(),
    };
    let link = Link {
        by: winner.by,
        sharing: winner.sharing,
        terms,
        grain: ends.grain,
    };
    Some((link, ends.at))
}
