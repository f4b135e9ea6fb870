//! Records of the kernel's rings, put into events.

use std::collections::BTreeMap;

use bot_common::{
    abi::{
        counter::Outcome as Fate,
        record::DropReport,
        verdict::{Action as VerdictAction, Flags, Verdict},
    },
    packet::protocol,
};

use crate::{
    event::{Action, Body, Cause, Dropped, Hello},
    stream::FlowKey,
    tls::{ClientHello, Fingerprint, Transport},
};

/// Names of interfaces by index.
pub(super) type Names = BTreeMap<u32, String>;

/// The event of a report; `None` for fates that are none of a rule's.
pub(super) fn dropped(report: &DropReport, cause: Cause, names: &Names) -> Option<Body> {
    let fate = Fate::from_code(report.outcome)?;
    let action = match fate {
        Fate::Dropped => Action::Drop,
        Fate::Monitored | Fate::WouldDropMode | Fate::WouldDropRule => Action::WouldDrop,
        Fate::Allowed
        | Fate::Bypass
        | Fate::FailsafePort
        | Fate::IcmpError
        | Fate::LaterFragment
        | Fate::NeighbourDiscovery
        | Fate::NoRule
        | Fate::OutOfScope
        | Fate::Unreadable => return None,
    };
    let name = names.get(&report.ifindex);
    let dropped = Dropped {
        action,
        src: report.src.to_ip(),
        dst: report.dst.to_ip(),
        sport: report.sport,
        dport: report.dport,
        protocol: protocol_name(report.protocol),
        iface: name.map_or_else(|| format!("#{}", report.ifindex), Clone::clone),
        cause,
        outcome: fate.name().into(),
        count: report.packets,
        bytes: report.bytes,
    };
    Some(match action {
        Action::Drop => Body::Drop(dropped),
        Action::Pass | Action::WouldDrop => Body::WouldDrop(dropped),
    })
}

/// The event of a hello. `action` is what becomes of its source's packets.
pub(super) fn hello(flow: FlowKey, hello: &ClientHello, action: Action, cause: Cause) -> Body {
    let fingerprint = Fingerprint::new(hello, Transport::Tcp);
    Body::Hello(Box::new(Hello {
        action,
        src: flow.src.to_ip(),
        dst: flow.dst.to_ip(),
        sport: flow.sport,
        dport: flow.dport,
        sni: hello.sni(),
        alpn: hello.alpn_names().collect(),
        ja4: fingerprint.ja4().as_str().into(),
        ja4_r: fingerprint.ja4_r(),
        tls: hello.versions().into_iter().map(version_name).collect(),
        pq: hello.offers_post_quantum(),
        cause,
    }))
}

/// What becomes of packets under a verdict in force.
pub(super) fn action(verdict: &Verdict, enforces: bool) -> Action {
    let drops = VerdictAction::from_code(verdict.action) == VerdictAction::Drop;
    match (drops, enforces && !verdict.has(Flags::MONITOR_ONLY)) {
        (false, _) => Action::Pass,
        (true, true) => Action::Drop,
        (true, false) => Action::WouldDrop,
    }
}

fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".into(),
        protocol::UDP => "udp".into(),
        protocol::ICMP => "icmp".into(),
        protocol::ICMPV6 => "icmpv6".into(),
        other => other.to_string(),
    }
}

/// `1.3` for 0x0304, and the number in hexadecimal for what has no name (RFC 8446 §4.2.1).
fn version_name(version: u16) -> String {
    match version {
        0x0304 => "1.3".into(),
        0x0303 => "1.2".into(),
        0x0302 => "1.1".into(),
        0x0301 => "1.0".into(),
        0x0300 => "ssl3".into(),
        other => format!("0x{other:04x}"),
    }
}

#[cfg(test)]
mod tests {
    use bot_common::abi::verdict::VerdictId;
    use zerocopy::FromZeros as _;

    use super::*;

    fn report(outcome: Fate) -> DropReport {
        DropReport {
            src: "198.51.100.7".parse::<std::net::Ipv4Addr>().unwrap().into(),
            dst: "192.0.2.1".parse::<std::net::Ipv4Addr>().unwrap().into(),
            verdict: VerdictId::NONE,
            ifindex: 7,
            packets: 3,
            protocol: protocol::UDP,
            outcome: outcome as u8,
            ..zeroed()
        }
    }

    fn zeroed() -> DropReport {
        DropReport::new_zeroed()
    }

    #[test]
    fn reports_become_events_of_their_fate() {
        let names = Names::from([(7, "eth0".into())]);
        let event = dropped(&report(Fate::Dropped), Cause::default(), &names);
        let Some(Body::Drop(drop)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(
            (drop.iface.as_str(), drop.protocol.as_str()),
            ("eth0", "udp")
        );
        assert_eq!(drop.count, 3);
        let event = dropped(
            &report(Fate::WouldDropMode),
            Cause::default(),
            &Names::new(),
        );
        let Some(Body::WouldDrop(would)) = event else {
            panic!("{event:?}");
        };
        assert_eq!(
            (would.iface.as_str(), would.outcome.as_str()),
            ("#7", "would_drop_mode")
        );
        assert_eq!(
            dropped(&report(Fate::NoRule), Cause::default(), &names),
            None
        );
    }
}
