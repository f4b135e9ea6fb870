//! Counters: one per-CPU array indexed by [`Counter`], and one hit count per verdict.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Packets and bytes; a value of the counter maps, one copy a CPU.
#[derive(
    Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq,
)]
#[repr(C)]
pub struct Hits {
    /// Packets, or events where the counter says so.
    pub packets: u64,
    /// Bytes on the wire, link header included.
    pub bytes: u64,
}

/// Declares a counted enum: its variants, their stable `snake_case` names, and `ALL`.
macro_rules! counted {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Stable name, as it stands in logs, JSON and metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The variant of a code.
            pub fn from_code(code: u8) -> Option<Self> {
                Self::ALL.get(usize::from(code)).copied()
            }
        }
    };
}

counted! {
    /// What became of a packet that has a source address. Exactly one is counted per packet.
    Outcome {
        /// No rule covers the source.
        NoRule = "no_rule",
        /// An allow rule or a protected address covers the source.
        Allowed = "allowed",
        /// A rule of scope `services` covers the source, but the packet is not for a served port.
        OutOfScope = "out_of_scope",
        /// A later fragment under scope `services`: it carries no port and assembles into nothing alone.
        LaterFragment = "later_fragment",
        /// A rule of scope `services` covers the source, but what is behind the IP header cannot be read.
        Unreadable = "unreadable",
        /// Blocked, but to a failsafe port.
        FailsafePort = "failsafe_port",
        /// Blocked, but an ICMP error that a connection may need.
        IcmpError = "icmp_error",
        /// Blocked, but on-link neighbour discovery.
        NeighbourDiscovery = "neighbour_discovery",
        /// Everything passes: bypass.
        Bypass = "bypass",
        /// A monitor verdict: passed and reported.
        Monitored = "monitored",
        /// Would be dropped in enforce mode.
        WouldDropMode = "would_drop_mode",
        /// Would be dropped if the rule were not monitor-only.
        WouldDropRule = "would_drop_rule",
        /// Dropped.
        Dropped = "dropped",
    }
}

counted! {
    /// Why a packet could not be walked to its transport header. Such packets pass unless their
    /// source decides; each is counted.
    Reject {
        /// The frame ends inside the link header or a VLAN tag.
        LinkTruncated = "link_truncated",
        /// More than two VLAN tags.
        VlanDepth = "vlan_depth",
        /// Neither IPv4 nor IPv6 (ARP, LLDP, ...).
        NotIp = "not_ip",
        /// The frame ends inside the IPv4 header or its options.
        Ipv4Truncated = "ipv4_truncated",
        /// `EtherType` says IPv4, the version field does not.
        Ipv4Version = "ipv4_version",
        /// IPv4 header length below 20 bytes.
        Ipv4HeaderLength = "ipv4_header_length",
        /// IPv4 total length shorter than the header or longer than the frame.
        Ipv4TotalLength = "ipv4_total_length",
        /// The frame ends inside the IPv6 header.
        Ipv6Truncated = "ipv6_truncated",
        /// `EtherType` says IPv6, the version field does not.
        Ipv6Version = "ipv6_version",
        /// IPv6 payload length longer than the frame.
        Ipv6PayloadLength = "ipv6_payload_length",
        /// More IPv6 extension headers than are walked.
        ExtensionDepth = "extension_depth",
        /// The packet ends inside an extension header.
        ExtensionTruncated = "extension_truncated",
        /// The packet ends inside the TCP header or its options.
        TcpTruncated = "tcp_truncated",
        /// TCP data offset below 20 bytes.
        TcpHeaderLength = "tcp_header_length",
        /// The packet ends inside the UDP header.
        UdpTruncated = "udp_truncated",
        /// UDP length shorter than its header or longer than the packet.
        UdpLength = "udp_length",
        /// The packet ends inside the ICMP header.
        IcmpTruncated = "icmp_truncated",
    }
}

counted! {
    /// What happened on the way from the program to the agent. Packets are never lost here, reports are.
    Channel {
        /// A drop report was sent.
        ReportSent = "report_sent",
        /// A drop was folded into a report of the same source and outcome within the second.
        ReportFolded = "report_folded",
        /// A report was due, but this CPU's budget for the second was spent.
        ReportBudget = "report_budget",
        /// A report was due, but the ring was full.
        ReportRingFull = "report_ring_full",
        /// A hello segment was copied to the agent.
        HelloCopied = "hello_copied",
        /// A hello segment was due, but this CPU's budget for the second was spent.
        HelloBudget = "hello_budget",
        /// A hello segment was due, but the ring was full.
        HelloRingFull = "hello_ring_full",
        /// A flow's slot was held by another hello in progress.
        FlowSlotBusy = "flow_slot_busy",
        /// A flow sent more segments than one hello may take.
        FlowSegments = "flow_segments",
        /// The bytes of a segment could not be read.
        HelloUnreadable = "hello_unreadable",
    }
}

/// Index into the counter map: all three families behind one another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counter {
    /// The fate of a packet.
    Outcome(Outcome),
    /// A walk that ended early.
    Reject(Reject),
    /// The way to the agent.
    Channel(Channel),
}

/// Entries of the counter map.
#[expect(clippy::cast_possible_truncation, reason = "a few dozen variants")]
pub const COUNTERS: u32 = (Outcome::ALL.len() + Reject::ALL.len() + Channel::ALL.len()) as u32;

impl Counter {
    /// Index into the counter map, below [`COUNTERS`].
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a few dozen variants")]
    pub const fn index(self) -> u32 {
        match self {
            Self::Outcome(outcome) => outcome as u32,
            Self::Reject(reject) => Outcome::ALL.len() as u32 + reject as u32,
            Self::Channel(channel) => {
                (Outcome::ALL.len() + Reject::ALL.len()) as u32 + channel as u32
            }
        }
    }

    /// Every counter, in the order of its index.
    pub fn all() -> impl Iterator<Item = Self> {
        let outcomes = Outcome::ALL.iter().copied().map(Self::Outcome);
        let rejects = Reject::ALL.iter().copied().map(Self::Reject);
        let channels = Channel::ALL.iter().copied().map(Self::Channel);
        outcomes.chain(rejects).chain(channels)
    }

    /// Family and name, as they stand in JSON and metrics.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Outcome(outcome) => ("outcome", outcome.name()),
            Self::Reject(reject) => ("reject", reject.name()),
            Self::Channel(channel) => ("channel", channel.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_index_and_codes_come_back() {
        assert!(Counter::all().map(Counter::index).eq(0..COUNTERS));
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::from_code(*outcome as u8), Some(*outcome));
        }
        assert_eq!(Outcome::from_code(200), None);
    }
}
