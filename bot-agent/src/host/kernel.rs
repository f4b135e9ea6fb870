//! The kernel's version.

use std::{fmt, str::FromStr};

/// The oldest kernel that is supported.
pub const MINIMUM: Version = Version { major: 6, minor: 1 };

/// Major and minor number of a kernel release.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Version {
    /// The 6 of 6.1.
    pub major: u32,
    /// The 1 of 6.1.
    pub minor: u32,
}

/// The running kernel's version; `None` when its release string (`uname -r`) does not begin with one.
pub fn version() -> Option<Version> {
    rustix::system::uname()
        .release()
        .to_str()
        .ok()?
        .parse()
        .ok()
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A text that does not begin with `MAJOR.MINOR`.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("no kernel version")]
pub struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(release: &str) -> Result<Self, NoVersion> {
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(|digits| digits.parse().map_err(|_| NoVersion));
        let mut next = || numbers.next().unwrap_or(Err(NoVersion));
        Ok(Self {
            major: next()?,
            minor: next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_distributions_parse_and_compare_by_number() {
        let version = |text: &str| text.parse::<Version>();
        assert_eq!(version("6.1.0-28-amd64"), Ok(MINIMUM));
        assert!(version("6.12+deb13").unwrap() > MINIMUM);
        assert!(version("5.15.0").unwrap() < MINIMUM);
        assert!(version("10.0-rc1").unwrap() > MINIMUM);
        assert_eq!(version("linux"), Err(NoVersion));
        assert_eq!(version("6"), Err(NoVersion));
    }
}
