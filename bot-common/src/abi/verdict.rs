//! Verdicts: what the kernel does with a packet whose source a rule covers.
//!
//! The prefix store answers `lookup(address) -> VerdictId`; the verdict table gives the id its
//! terms. A table entry that the store refers to is never changed: new terms get a new id, so a
//! reader sees the old verdict or the new one, never a mixture. Ids carry no reasons; the agent
//! knows which rules stand behind an id.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ports::Groups;
use crate::address::Address;

/// Key of the prefix store: a prefix in the mapped address space.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct PrefixKey {
    /// Length in bits, 0 to 128; IPv4 lengths are mapped (+96). Native byte order, as the kernel wants it.
    pub bits: u32,
    /// The address; bits beyond the length are zero.
    pub address: Address,
}

/// Index into the verdict table.
#[derive(
    Clone,
    Copy,
    Debug,
    Eq,
    FromBytes,
    Hash,
    Immutable,
    IntoBytes,
    KnownLayout,
    Ord,
    PartialEq,
    PartialOrd,
)]
#[repr(transparent)]
pub struct VerdictId(u32);

impl VerdictId {
    /// No rule covers the address: the packet passes.
    pub const NONE: Self = Self(0);
    /// The highest id there can be.
    pub const MAX: Self = Self(65_535);

    /// An id from its number; `None` above [`Self::MAX`].
    pub const fn new(id: u32) -> Option<Self> {
        if id <= Self::MAX.0 {
            Some(Self(id))
        } else {
            None
        }
    }

    /// The number, 0 to 65,535 if it came from [`Self::new`].
    #[inline(always)]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// How many verdict ids follow one another at most when deadlines have passed (`then`).
pub const MAX_CHAIN: usize = 8;

/// How many verdict ids follow one another at most because packets are for other ports (`otherwise`).
pub const MAX_FORKS: usize = 8;

/// Terms of a verdict: an entry of the verdict table (24 bytes).
#[derive(Clone, Copy, Debug, Eq, FromBytes, Hash, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct Verdict {
    /// Deadline on `CLOCK_BOOTTIME` in nanoseconds; 0: never. From then on [`Self::then`] applies.
    pub expires: u64,
    /// The verdict that lies beneath, uncovered by expiry.
    pub then: VerdictId,
    /// The verdict of packets that are not for [`Self::ports`], whatever the deadline.
    pub otherwise: VerdictId,
    /// Only packets to a TCP or UDP port that is in all of these groups; none: every packet.
    pub ports: Groups,
    /// An [`Action`] code.
    pub action: u8,
    /// [`Flags`] bits.
    pub flags: u8,
    /// A [`Scope`] code.
    pub scope: u8,
    /// Rate class of throttles and limits; 0 while there are none.
    pub rate_class: u8,
    /// Zero.
    pub reserved: [u8; 2],
}

impl Verdict {
    /// The terms of [`VerdictId::NONE`].
    pub const PASS: Self = Self {
        expires: 0,
        then: VerdictId::NONE,
        otherwise: VerdictId::NONE,
        ports: Groups::NONE,
        action: Action::Pass as u8,
        flags: 0,
        scope: Scope::All as u8,
        rate_class: 0,
        reserved: [0; 2],
    };

    /// Whether the deadline has passed at `now` (`CLOCK_BOOTTIME`, ns).
    #[inline(always)]
    pub const fn expired(&self, now: u64) -> bool {
        self.expires != 0 && now >= self.expires
    }

    /// Whether all bits of `flag` are set.
    #[inline(always)]
    pub const fn has(&self, flag: Flags) -> bool {
        self.flags & flag.0 == flag.0
    }
}

/// What to do with a packet. Codes this program does not know pass (fail open).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Action {
    /// Let it through: an allow rule or a protected address.
    Pass = 0,
    /// Let it through, counted and reported.
    Monitor = 1,
    /// Slow its connections down. Reserved: the program treats it as [`Self::Monitor`].
    Throttle = 2,
    /// Refuse it with an answer. Reserved: the program treats it as [`Self::Monitor`].
    Reject = 3,
    /// Drop it.
    Drop = 4,
    /// Let it through once it has proved itself. Reserved: the program treats it as [`Self::Monitor`].
    Challenge = 5,
}

impl Action {
    /// The action of a code; unknown codes are [`Self::Pass`].
    #[inline(always)]
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Monitor,
            2 => Self::Throttle,
            3 => Self::Reject,
            4 => Self::Drop,
            5 => Self::Challenge,
            _ => Self::Pass,
        }
    }
}

/// Which packets of a source a verdict covers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Scope {
    /// Every packet.
    All = 0,
    /// Packets to the host's served TCP and UDP ports, and bare SYNs to any port: replies to
    /// connections that the host itself opened never match.
    Services = 1,
}

impl Scope {
    /// The scope of a code; unknown codes are the narrower [`Self::Services`].
    #[inline(always)]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::All,
            _ => Self::Services,
        }
    }
}

/// Bits that qualify a verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flags(pub u8);

impl Flags {
    /// The rule only watches: counted and reported as "would drop", also in enforce mode.
    pub const MONITOR_ONLY: Self = Self(1);
    /// The operator said `--force`: failsafe ports, ICMP errors and neighbour discovery do not exempt.
    pub const FORCED: Self = Self(2);
}
