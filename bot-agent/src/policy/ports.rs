//! Port groups: the sets of ports that lists are about, and their numbers in the kernel.
//!
//! Invariant: while the table may refer to a number, its ports stay the same. Another set gets a number
//! that nothing refers to and that has rested, as a verdict gets an id.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
};

use bot_common::abi::{
    ports::{GROUP_LINES, GroupLine, Groups, PORT_GROUPS},
    verdict::MAX_FORKS,
};
use serde::{Deserialize, Serialize};

use super::slots::REST;

/// Different sets that a policy may be about: half of what the kernel has, so that another policy finds
/// free numbers.
pub const MOST_PORT_SETS: usize = PORT_GROUPS as usize / 2;

/// A set of ports: one at least, each once, in order.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "Vec<u16>", into = "Vec<u16>")]
pub struct Ports(Arc<[u16]>);

/// What is no set of ports.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPorts {
    /// None is named.
    #[error("no port is named; ports are 1 to 65535")]
    None,
    /// Port 0, or no number.
    #[error("`{0}` is no port; ports are 1 to 65535")]
    NoPort(String),
}

/// The sets of ports that verdicts may ask about, by number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PortGroups {
    groups: [Group; PORT_GROUPS as usize],
}

/// A number: what the kernel says that it is, and whether that may change.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Group {
    ports: Option<Ports>,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The policy is about it.
    Wanted,
    /// The policy is not about it any more; the table may be.
    Held,
    /// Nothing refers to it since then (`CLOCK_BOOTTIME` ns).
    Free(u64),
}

/// Sets of ports that do not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TooManyPorts {
    /// Too many sets.
    #[error(
        "the policy is about {0} different sets of ports, {MOST_PORT_SETS} are possible: let some of \
         them be about the same ports"
    )]
    Sets(usize),
    /// Few sets, but so many different overlaps.
    #[error(
        "the sets of ports overlap in {0} different ways, {MAX_FORKS} are possible: let some of them be \
         about the same ports"
    )]
    Overlaps(usize),
    /// There is room, but some of it was freed a moment ago.
    #[error("the sets of ports changed a moment ago: try again in {seconds} s")]
    Resting {
        /// When it will do.
        seconds: u64,
    },
}

impl Ports {
    /// The ports, in any order.
    pub fn new(ports: impl IntoIterator<Item = u16>) -> Result<Self, BadPorts> {
        let ports: BTreeSet<u16> = ports.into_iter().collect();
        if ports.contains(&0) {
            return Err(BadPorts::NoPort("0".to_owned()));
        }
        if ports.is_empty() {
            return Err(BadPorts::None);
        }
        Ok(Self(ports.into_iter().collect()))
    }

    /// The ports, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }
}

impl TryFrom<Vec<u16>> for Ports {
    type Error = BadPorts;

    fn try_from(ports: Vec<u16>) -> Result<Self, BadPorts> {
        Self::new(ports)
    }
}

impl From<Ports> for Vec<u16> {
    fn from(ports: Ports) -> Self {
        ports.iter().collect()
    }
}

/// Numbers between commas.
impl FromStr for Ports {
    type Err = BadPorts;

    fn from_str(text: &str) -> Result<Self, BadPorts> {
        let port = |word: &str| {
            let word = word.trim();
            word.parse().map_err(|_| BadPorts::NoPort(word.to_owned()))
        };
        let ports: Result<Vec<u16>, BadPorts> = text.split(',').map(port).collect();
        Self::new(ports?)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join(","))
    }
}

impl PortGroups {
    /// No set.
    pub const NONE: Self = Self {
        groups: [const {
            Group {
                ports: None,
                state: State::Free(0),
            }
        }; PORT_GROUPS as usize],
    };

    /// What the kernel holds, entry by entry, and the groups that the table refers to. The others
    /// are free at once: no packet of the earlier agent's time is in flight.
    pub fn from_lines(lines: &[GroupLine], referred: Groups) -> Self {
        let mut sets: BTreeMap<u8, BTreeSet<u16>> = BTreeMap::new();
        let all = lines.iter().flat_map(|line| line.groups);
        for (port, groups) in (0..=u16::MAX)
            .zip(all)
            .filter(|(_, groups)| !groups.is_none())
        {
            for number in (0..PORT_GROUPS).filter(|number| groups.has_all(Groups::one(*number))) {
                sets.entry(number).or_default().insert(port);
            }
        }
        let mut found = Self::NONE;
        for (number, group) in (0..PORT_GROUPS).zip(&mut found.groups) {
            let ports = sets.remove(&number).unwrap_or_default();
            group.ports = Ports::new(ports).ok();
            if referred.has_all(Groups::one(number)) {
                group.state = State::Held;
            }
        }
        found
    }

    /// The same for a policy about these sets. What the table may refer to stays what it is until
    /// [`Self::settle`].
    pub fn about<'p>(
        &self,
        sets: impl IntoIterator<Item = &'p Ports>,
        now: u64,
    ) -> Result<Self, TooManyPorts> {
        let sets: BTreeSet<&Ports> = sets.into_iter().collect();
        if sets.len() > MOST_PORT_SETS {
            return Err(TooManyPorts::Sets(sets.len()));
        }
        let mut next = self.clone();
        for group in &mut next.groups {
            let is_wanted = group.ports.as_ref().is_some_and(|own| sets.contains(own));
            group.state = match (is_wanted, group.state) {
                (true, _) => State::Wanted,
                (false, State::Wanted) => State::Held,
                (false, state) => state,
            };
        }
        for ports in sets {
            if next.number(ports).is_some() {
                continue;
            }
            let group = next.free(now)?;
            *group = Group {
                ports: Some(ports.clone()),
                state: State::Wanted,
            };
        }
        let overlaps = next.signatures().len();
        if overlaps > MAX_FORKS {
            return Err(TooManyPorts::Overlaps(overlaps));
        }
        Ok(next)
    }

    /// The table refers to nothing any more but what the policy is about.
    pub fn settle(&mut self, now: u64) {
        for group in &mut self.groups {
            if group.state == State::Held {
                group.state = State::Free(now);
            }
        }
    }

    /// The number of a set that the policy is about.
    pub fn number(&self, ports: &Ports) -> Option<Groups> {
        let mut wanted = self.wanted();
        let (number, _) = wanted.find(|(_, other)| *other == ports)?;
        Some(Groups::one(number))
    }

    /// The sets together that a port can be in, those of the policy; few of them before many.
    pub fn signatures(&self) -> Vec<Groups> {
        let mut of: BTreeMap<u16, Groups> = BTreeMap::new();
        for (number, ports) in self.wanted() {
            for port in ports.iter() {
                let groups = of.entry(port).or_default();
                *groups = groups.or(Groups::one(number));
            }
        }
        let signatures: BTreeSet<Groups> = of.into_values().collect();
        let mut signatures: Vec<Groups> = signatures.into_iter().collect();
        signatures.sort_by_key(|groups| groups.0.count_ones());
        signatures
    }

    /// The groups of a port, as the kernel has them.
    pub fn of(&self, port: u16) -> Groups {
        let has = |group: &Group| {
            group
                .ports
                .iter()
                .flat_map(Ports::iter)
                .any(|own| own == port)
        };
        let numbered = (0..PORT_GROUPS).zip(&self.groups);
        let of = numbered.filter(|(_, group)| has(group));
        of.fold(Groups::NONE, |all, (number, _)| all.or(Groups::one(number)))
    }

    /// The ports that are in all of `groups`.
    pub fn ports(&self, groups: Groups) -> Vec<u16> {
        let meant = (0..PORT_GROUPS).zip(&self.groups);
        let mut meant = meant.filter(|(number, _)| groups.has_all(Groups::one(*number)));
        let ports = |group: &Group| group.ports.clone().map_or(Vec::new(), Vec::from);
        let Some((_, first)) = meant.next() else {
            return Vec::new();
        };
        meant.fold(ports(first), |mut all, (_, group)| {
            let others = ports(group);
            all.retain(|port| others.contains(port));
            all
        })
    }

    /// What the kernel is to say, entry by entry.
    pub fn lines(&self) -> Vec<GroupLine> {
        let entries = usize::try_from(GROUP_LINES).unwrap_or(usize::MAX);
        let mut lines = vec![GroupLine::EMPTY; entries];
        for (number, group) in (0..PORT_GROUPS).zip(&self.groups) {
            for port in group.ports.iter().flat_map(Ports::iter) {
                let line = usize::try_from(GroupLine::index(port)).ok();
                let line = line.and_then(|index| lines.get_mut(index));
                let place = line.and_then(|line| line.groups.get_mut(usize::from(port & 31)));
                if let Some(groups) = place {
                    *groups = groups.or(Groups::one(number));
                }
            }
        }
        lines
    }

    fn wanted(&self) -> impl Iterator<Item = (u8, &Ports)> {
        let numbered = (0..PORT_GROUPS).zip(&self.groups);
        numbered
            .filter(|(_, group)| group.state == State::Wanted)
            .filter_map(|(number, group)| Some((number, group.ports.as_ref()?)))
    }

    /// A number that nothing refers to: one without ports if there is one, else the longest free.
    fn free(&mut self, now: u64) -> Result<&mut Group, TooManyPorts> {
        let rest = u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX);
        let rested = |group: &Group| match group.state {
            State::Free(_) if group.ports.is_none() => Some(0),
            State::Free(0) => Some(0),
            State::Free(since) => Some(since.saturating_add(rest)),
            State::Wanted | State::Held => None,
        };
        let free = self.groups.iter_mut();
        let free = free.filter_map(|group| Some((rested(group)?, group)));
        match free.min_by_key(|(at, group)| (*at, group.ports.is_some())) {
            Some((at, group)) if at <= now => Ok(group),
            Some((at, _)) => Err(TooManyPorts::Resting {
                seconds: (at - now).div_ceil(1_000_000_000),
            }),
            // What is held becomes free with the next table.
            None => Err(TooManyPorts::Resting {
                seconds: REST.as_secs(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn ports(text: &str) -> Ports {
        text.parse().unwrap()
    }

    fn about(groups: &PortGroups, texts: &[&str], now: u64) -> Result<PortGroups, TooManyPorts> {
        let sets: Vec<Ports> = texts.iter().map(|text| ports(text)).collect();
        groups.about(&sets, now)
    }

    /// A policy about these sets is in force.
    fn settled(groups: &PortGroups, texts: &[&str], now: u64) -> PortGroups {
        let mut next = about(groups, texts, now).unwrap();
        next.settle(now);
        next
    }

    #[test]
    fn ports_are_numbers_between_commas() {
        assert_eq!(ports("8443, 443,443").to_string(), "443,8443");
        assert_eq!("0".parse::<Ports>(), Err(BadPorts::NoPort("0".into())));
        assert_eq!("".parse::<Ports>(), Err(BadPorts::NoPort(String::new())));
        assert_eq!(
            "443-445".parse::<Ports>().unwrap_err().to_string(),
            "`443-445` is no port; ports are 1 to 65535"
        );
        assert_eq!(Ports::new([]), Err(BadPorts::None));
        let json = serde_json::to_string(&ports("443,80")).unwrap();
        assert_eq!(json, "[80,443]");
        assert_eq!(
            serde_json::from_str::<Ports>(&json).unwrap(),
            ports("80,443")
        );
        assert!(serde_json::from_str::<Ports>("[]").is_err());
    }

    #[test]
    fn a_set_keeps_its_number_and_others_get_free_ones() {
        let first = settled(&PortGroups::NONE, &["443", "80"], 0);
        let number = first.number(&ports("443")).unwrap();
        let second = about(&first, &["443", "25"], SECOND).unwrap();
        assert_eq!(second.number(&ports("443")), Some(number));
        assert_eq!(second.number(&ports("80")), None);
        // The table still asks about port 80.
        let line = second.lines()[GroupLine::index(80) as usize];
        assert_eq!(line.of(80), first.number(&ports("80")).unwrap());
        assert_ne!(second.number(&ports("25")), first.number(&ports("80")));
    }

    #[test]
    fn a_number_rests_before_it_is_another_set() {
        let text = |n: u16| n.to_string();
        let sets = |from: u16| (from..from + 8).map(text).collect::<Vec<_>>();
        let named = |groups: &PortGroups, from: u16, now| {
            let sets = sets(from);
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            about(groups, &sets, now)
        };
        let mut groups = named(&PortGroups::NONE, 100, SECOND).unwrap();
        groups.settle(SECOND);
        // All others at once.
        let mut groups = named(&groups, 200, 2 * SECOND).unwrap();
        groups.settle(2 * SECOND);
        let third = named(&groups, 300, 4 * SECOND);
        assert_eq!(third, Err(TooManyPorts::Resting { seconds: 3 }));
        let third = named(&groups, 300, 7 * SECOND).unwrap();
        // The numbers of the first are taken.
        assert_eq!(
            (third.of(100), third.of(207)),
            (Groups::NONE, groups.of(207))
        );
        assert!(!third.of(300).is_none());
    }

    #[test]
    fn too_many_sets_and_too_many_overlaps_are_refused() {
        let singles: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
        let singles: Vec<&str> = singles.iter().map(String::as_str).collect();
        assert!(about(&PortGroups::NONE, &singles[..8], 0).is_ok());
        assert_eq!(
            about(&PortGroups::NONE, &singles, 0),
            Err(TooManyPorts::Sets(9))
        );
        // Four sets, in each combination of which there is a port.
        let sets: Vec<Ports> = (0..4)
            .map(|bit| Ports::new((1..16).filter(|port| port >> bit & 1 == 1)).unwrap())
            .collect();
        assert_eq!(
            PortGroups::NONE.about(&sets, 0),
            Err(TooManyPorts::Overlaps(15))
        );
        assert!(PortGroups::NONE.about(&sets[..3], 0).is_ok());
    }

    #[test]
    fn signatures_are_the_sets_that_ports_are_in_together() {
        let groups = settled(&PortGroups::NONE, &["443", "80,443", "25"], 0);
        let of = |text| groups.number(&ports(text)).unwrap();
        let both = of("443").or(of("80,443"));
        let signatures = groups.signatures();
        assert_eq!(signatures.len(), 3);
        assert_eq!(signatures.last(), Some(&both));
        assert_eq!(groups.ports(both), [443]);
        assert_eq!(groups.ports(of("80,443")), [80, 443]);
    }

    #[test]
    fn the_next_agent_finds_the_numbers_and_frees_what_the_table_does_not_ask_about() {
        let before = settled(&PortGroups::NONE, &["443", "80,443", "25"], 0);
        let lines = before.lines();
        let number = |text| before.number(&ports(text)).unwrap();
        let found = PortGroups::from_lines(&lines, number("443").or(number("80,443")));
        let after = about(&found, &["80,443"], 0).unwrap();
        assert_eq!(
            after.number(&ports("80,443")),
            before.number(&ports("80,443"))
        );
        assert_eq!(after.lines(), lines, "nothing is written");
    }
}
