//! Rails: what keeps a mistaken or hostile feed from doing harm, by name. Each is on unless a feed is
//! trusted to go without it (`loosen`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A rail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rail {
    /// Reserved, private, multicast, documentation and bogon space is subtracted.
    Reserved,
    /// Entries wider than /8 (IPv4) or /19 (IPv6) are thrown out.
    Wide,
    /// An update that covers more of the address space than any real list does is held.
    Coverage,
    /// An update that shrinks or grows by more than a share is held.
    Change,
    /// Networks that too many people share are exempt.
    Popular,
    /// An update that would newly drop more than a few sources known to be good is held.
    KnownGood,
}

impl Rail {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Reserved,
        Self::Wide,
        Self::Coverage,
        Self::Change,
        Self::Popular,
        Self::KnownGood,
    ];

    /// Its name in the configuration and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Wide => "wide",
            Self::Coverage => "coverage",
            Self::Change => "change",
            Self::Popular => "popular",
            Self::KnownGood => "known_good",
        }
    }
}

impl fmt::Display for Rail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_configuration() {
        for rail in Rail::ALL {
            let json = serde_json::to_string(&rail).unwrap();
            assert_eq!(json, format!("\"{rail}\""));
            assert_eq!(serde_json::from_str::<Rail>(&json).unwrap(), rail);
        }
    }
}
