//! Sets of port numbers.

use std::fmt;

use bot_common::abi::ports::{PORT_WORDS, PortWord};

/// A set of port numbers: one bit each.
#[derive(Clone, Eq, PartialEq)]
pub struct PortSet(Box<[u64; PORT_WORDS as usize]>);

/// The four sets the kernel asks about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PortSets {
    /// TCP ports this host serves.
    pub served_tcp: PortSet,
    /// UDP ports this host serves.
    pub served_udp: PortSet,
    /// TCP ports on which `ClientHello`s are extracted.
    pub hello: PortSet,
    /// TCP ports that stay open to everyone but forced blocks.
    pub failsafe: PortSet,
}

impl PortSet {
    /// The set without ports.
    pub fn new() -> Self {
        Self(Box::new([0; PORT_WORDS as usize]))
    }

    /// Every port.
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; PORT_WORDS as usize]))
    }

    /// Adds a port.
    pub fn insert(&mut self, port: u16) {
        if let Some(word) = self.0.get_mut(PortWord::index(port) as usize) {
            *word |= PortWord::mask(port);
        }
    }

    /// Whether a port is in the set.
    pub fn contains(&self, port: u16) -> bool {
        self.word(PortWord::index(port)) & PortWord::mask(port) != 0
    }

    /// The 64 ports from `index` * 64 on, lowest bit first; 0 beyond the last word.
    pub fn word(&self, index: u32) -> u64 {
        self.0.get(index as usize).copied().unwrap_or(0)
    }

    /// The ports, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        (0..=u16::MAX).filter(|port| self.contains(*port))
    }

    /// Whether there is no port in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

impl PortSets {
    /// The kernel's entry `index`: all four answers for 64 ports.
    pub fn word(&self, index: u32) -> PortWord {
        PortWord {
            served_tcp: self.served_tcp.word(index),
            served_udp: self.served_udp.word(index),
            hello: self.hello.word(index),
            failsafe: self.failsafe.word(index),
        }
    }
}

impl Default for PortSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Extend<u16> for PortSet {
    fn extend<I: IntoIterator<Item = u16>>(&mut self, ports: I) {
        for port in ports {
            self.insert(port);
        }
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut set = Self::new();
        set.extend(ports);
        set
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            f.write_str("all ports")
        } else {
            f.debug_set().entries(self.iter()).finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_port_has_its_own_bit() {
        for port in [0, 1, 63, 64, 443, 8443, u16::MAX] {
            let set = PortSet::from_iter([port]);
            assert!(set.iter().eq([port]));
        }
        assert_eq!(PortSet::all().iter().count(), 65_536);
        assert!(PortSet::new().is_empty());
    }

    #[test]
    fn the_kernels_words_hold_all_four_sets() {
        let sets = PortSets {
            served_tcp: PortSet::from_iter([443]),
            hello: PortSet::from_iter([443, 8443]),
            failsafe: PortSet::from_iter([22]),
            ..PortSets::default()
        };
        let word = sets.word(PortWord::index(443));
        assert_eq!(word.served_tcp, PortWord::mask(443));
        assert_eq!(word.hello, PortWord::mask(443));
        assert_eq!((word.served_udp, word.failsafe), (0, 0));
        assert_eq!(sets.word(PortWord::index(22)).failsafe, PortWord::mask(22));
        assert_eq!(sets.word(PORT_WORDS), PortWord::default());
    }
}
