//! The decision: a verdict, the mode and a packet make an [`Outcome`]. Pure; the kernel program
//! and the agent's `check` run the same code.

use crate::{
    abi::{
        counter::Outcome,
        ports::{Groups, PortWord},
        settings::Mode,
        verdict::{Action, Flags, MAX_CHAIN, MAX_FORKS, Scope, Verdict, VerdictId},
    },
    packet::{Packet, Transport, protocol},
};

/// The verdict that applies: follows `otherwise` past verdicts about other ports, and `then` past
/// expired ones, as far as a policy goes ([`MAX_FORKS`] and [`MAX_CHAIN`] together). Ids that `table`
/// does not know, and longer ways, are no rule at all (fail open).
///
/// `groups` are those of the packet's port, see [`groups_of`]; they and `clock` (`CLOCK_BOOTTIME` ns)
/// are asked only where a verdict needs them.
#[inline(always)]
pub fn in_force(
    first: VerdictId,
    table: impl Fn(VerdictId) -> Option<Verdict>,
    groups: impl Fn() -> Groups,
    clock: impl Fn() -> u64,
) -> (VerdictId, Verdict) {
    let mut id = first;
    for _ in 0..MAX_FORKS + MAX_CHAIN {
        if id == VerdictId::NONE {
            break;
        }
        let Some(verdict) = table(id) else { break };
        if !verdict.ports.is_none() && !groups().has_all(verdict.ports) {
            id = verdict.otherwise;
        } else if verdict.expires == 0 || !verdict.expired(clock()) {
            return (id, verdict);
        } else {
            id = verdict.then;
        }
    }
    (VerdictId::NONE, Verdict::PASS)
}

/// The groups of the port that `packet` is for, by what `ports` says about a port. Packets without a
/// readable TCP or UDP port, later fragments among them, are for no group.
#[inline(always)]
pub fn groups_of(packet: &Packet, ports: impl FnOnce(u16) -> Groups) -> Groups {
    match packet.transport() {
        Transport::Tcp | Transport::Udp => ports(packet.dport),
        Transport::Unreadable | Transport::Icmp | Transport::LaterFragment | Transport::Other => {
            Groups::NONE
        }
    }
}

/// What becomes of `packet` under a verdict in force. `ports` answers for a destination port and
/// is asked only where the verdict needs it; `mode` likewise.
#[inline(always)]
pub fn decide(
    verdict: &Verdict,
    packet: &Packet,
    ports: impl Fn(u16) -> PortWord,
    mode: impl FnOnce() -> Mode,
) -> Outcome {
    let drops = match Action::from_code(verdict.action) {
        Action::Pass => return Outcome::Allowed,
        Action::Monitor | Action::Throttle | Action::Reject | Action::Challenge => false,
        Action::Drop => true,
    };
    let scope = Scope::from_code(verdict.scope);
    if let Some(passed) = exemption(verdict, scope, packet, ports) {
        return passed;
    }
    if !drops {
        return Outcome::Monitored;
    }
    if verdict.has(Flags::MONITOR_ONLY) {
        return Outcome::WouldDropRule;
    }
    match mode() {
        Mode::Bypass => Outcome::Bypass,
        Mode::Monitor => Outcome::WouldDropMode,
        Mode::Enforce => Outcome::Dropped,
    }
}

/// Why a packet of a covered source is not the rule's business; `None`: it is.
#[inline(always)]
fn exemption(
    verdict: &Verdict,
    scope: Scope,
    packet: &Packet,
    ports: impl Fn(u16) -> PortWord,
) -> Option<Outcome> {
    let forced = verdict.has(Flags::FORCED);
    // For scope `all` the source decides whatever stands behind the IP header; for `services`
    // what carries no readable port passes.
    let unless_all = |outcome| match scope {
        Scope::All => None,
        Scope::Services => Some(outcome),
    };
    match packet.transport() {
        Transport::Unreadable => unless_all(Outcome::Unreadable),
        Transport::LaterFragment => unless_all(Outcome::LaterFragment),
        Transport::Other => unless_all(Outcome::OutOfScope),
        Transport::Tcp => {
            let word = ports(packet.dport);
            let mask = PortWord::mask(packet.dport);
            if !forced && word.failsafe & mask != 0 {
                Some(Outcome::FailsafePort)
            } else if packet.is_attempt() || word.served_tcp & mask != 0 {
                None
            } else {
                unless_all(Outcome::OutOfScope)
            }
        }
        Transport::Udp => {
            if ports(packet.dport).served_udp & PortWord::mask(packet.dport) != 0 {
                None
            } else {
                unless_all(Outcome::OutOfScope)
            }
        }
        Transport::Icmp => {
            if !forced && is_icmp_error(packet.protocol, packet.flags) {
                Some(Outcome::IcmpError)
            } else if !forced && is_neighbour_discovery(packet) {
                Some(Outcome::NeighbourDiscovery)
            } else {
                unless_all(Outcome::OutOfScope)
            }
        }
    }
}

/// Errors that a live connection may need: unreachable (packet too big among them), time
/// exceeded, parameter problem (RFC 792, RFC 4443 §3).
#[inline(always)]
const fn is_icmp_error(protocol: u8, kind: u8) -> bool {
    match protocol {
        protocol::ICMP => matches!(kind, 3 | 11 | 12),
        protocol::ICMPV6 => matches!(kind, 1..=4),
        _ => false,
    }
}

/// Router and neighbour solicitations and advertisements from the link itself: the hop limit 255
/// proves that no router forwarded them (RFC 4861 §3.1, §6.1, §7.1).
#[inline(always)]
const fn is_neighbour_discovery(packet: &Packet) -> bool {
    packet.protocol == protocol::ICMPV6
        && matches!(packet.flags, 133..=136)
        && packet.hop_limit == 255
}

/// Whether the packet counts as a hit of its verdict: whether the verdict decided it. What is out of
/// its scope or exempt does not.
#[inline(always)]
pub const fn is_hit(outcome: Outcome) -> bool {
    is_reported(outcome) || matches!(outcome, Outcome::Allowed)
}

/// Whether the outcome is reported to the agent.
#[inline(always)]
pub const fn is_reported(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Monitored | Outcome::WouldDropMode | Outcome::WouldDropRule | Outcome::Dropped
    )
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    const WEB: Groups = Groups::one(0);
    const MAIL: Groups = Groups::one(15);

    fn id(id: u32) -> VerdictId {
        VerdictId::new(id).unwrap()
    }

    /// The id in force in a table of verdicts 1, 2 and so on, for a packet to a port in these groups.
    fn winner(table: &[Verdict], groups: Groups) -> u32 {
        let verdict = |id: VerdictId| table.get(id.get() as usize - 1).copied();
        in_force(id(1), verdict, || groups, || 100).0.get()
    }

    #[test]
    fn what_is_not_for_the_port_is_passed_by_whatever_its_deadline() {
        let web = Verdict {
            expires: 50,
            then: id(2),
            otherwise: id(3),
            ports: WEB,
            ..Verdict::PASS
        };
        let table = [web, Verdict::PASS, Verdict::PASS];
        assert_eq!(winner(&table, WEB), 2, "it is over");
        assert_eq!(winner(&table, WEB.or(MAIL)), 2);
        assert_eq!(winner(&table, MAIL), 3);
        assert_eq!(winner(&table, Groups::NONE), 3);
        let live = Verdict { expires: 0, ..web };
        assert_eq!(winner(&[live], WEB), 1);
        assert_eq!(
            winner(&[live], MAIL),
            0,
            "an id that the table does not know"
        );
    }

    #[test]
    fn a_verdict_of_two_groups_wants_both() {
        let both = Verdict {
            ports: WEB.or(MAIL),
            ..Verdict::PASS
        };
        assert_eq!(winner(&[both], WEB.or(MAIL)), 1);
        assert_eq!((winner(&[both], WEB), winner(&[both], MAIL)), (0, 0));
    }

    #[test]
    fn nothing_is_asked_that_no_verdict_needs() {
        let verdict = |_| Some(Verdict::PASS);
        let asked = Cell::new(false);
        let groups = || {
            asked.set(true);
            WEB
        };
        in_force(id(1), verdict, groups, || {
            asked.set(true);
            0
        });
        assert!(!asked.get());
    }

    proptest! {
        /// Whatever the table holds, the way ends, at a verdict that applies.
        #[test]
        fn any_table_has_an_end(
            verdicts in prop::collection::vec((0u64..3, 0u32..6, 0u32..6, 0u16..4), 5),
            groups in 0u16..4,
        ) {
            let verdict = |&(expires, then, otherwise, ports): &(u64, u32, u32, u16)| Verdict {
                expires,
                then: id(then),
                otherwise: id(otherwise),
                ports: Groups(ports),
                ..Verdict::PASS
            };
            let asked = Cell::new(0);
            let table = |id: VerdictId| {
                asked.set(asked.get() + 1);
                verdicts.get(id.get() as usize - 1).map(verdict)
            };
            let (winner, said) = in_force(id(1), table, || Groups(groups), || 2);
            prop_assert!(asked.get() <= MAX_FORKS + MAX_CHAIN);
            if winner != VerdictId::NONE {
                prop_assert!(Groups(groups).has_all(said.ports) && !said.expired(2));
            }
        }
    }
}
