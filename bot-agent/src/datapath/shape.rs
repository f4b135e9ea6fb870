//! Shapes of maps. aya 0.14 takes whatever is pinned under a name; a map of another shape would
//! then be read as something it is not, so shapes are compared first.

use std::path::Path;

use aya::maps::{MapError, MapInfo, MapType};
use bot_common::abi::names;

use super::error::Error;

/// What must agree for a pinned map to be the one that is meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Shape {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
}

impl Shape {
    /// The shape a map of the object will get when `entries` overrides its declared size.
    fn declared(map: &aya_obj::Map, entries: Option<u32>) -> Self {
        let entries = entries.unwrap_or_else(|| map.max_entries());
        Self {
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            entries: if map.map_type() == MapType::RingBuf as u32 {
                ring_bytes(entries)
            } else {
                entries
            },
            flags: map.map_flags(),
        }
    }

    /// In words, what differs from what is `wanted`; empty when nothing does.
    fn differences(self, wanted: Self) -> String {
        [
            ("type", self.kind, wanted.kind),
            ("key bytes", self.key, wanted.key),
            ("value bytes", self.value, wanted.value),
            ("entries", self.entries, wanted.entries),
            ("flags", self.flags, wanted.flags),
        ]
        .into_iter()
        .filter(|(_, pinned, wanted)| pinned != wanted)
        .map(|(what, pinned, wanted)| format!("{what} {pinned} instead of {wanted}"))
        .collect::<Vec<_>>()
        .join(", ")
    }

    fn pinned(path: &Path) -> Result<Self, MapError> {
        let info = MapInfo::from_pin(path)?;
        Ok(Self {
            kind: info.map_type()? as u32,
            key: info.key_size(),
            value: info.value_size(),
            entries: info.max_entries(),
            flags: info.map_flags(),
        })
    }
}

/// Bytes of a ring of at least `bytes`: a power of two of pages, as the kernel demands.
fn ring_bytes(bytes: u32) -> u32 {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    bytes
        .div_ceil(page)
        .checked_next_power_of_two()
        .and_then(|pages| pages.checked_mul(page))
        .unwrap_or(1 << 31)
}

/// Refuses pins in `folder` that differ from what the object and `sizes` ask for. Missing pins
/// are fine: they will be made.
pub(super) fn check_pins(
    object: &aya_obj::Object,
    sizes: &[(&'static str, u32)],
    folder: &Path,
) -> Result<(), Error> {
    for name in names::PINNED_MAPS.iter().copied() {
        let map = object.maps.get(name).ok_or(Error::Missing {
            kind: "table",
            name,
        })?;
        let path = folder.join(name);
        if !path.exists() {
            continue;
        }
        let size = sizes.iter().find(|(sized, _)| *sized == name);
        let wanted = Shape::declared(map, size.map(|(_, entries)| *entries));
        let pinned = Shape::pinned(&path).map_err(|source| Error::Map { name, source })?;
        let differences = pinned.differences(wanted);
        if !differences.is_empty() {
            return Err(Error::Shape {
                name,
                path,
                differences,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_both_sides() {
        let pinned = Shape {
            kind: 11,
            key: 20,
            value: 4,
            entries: 1024,
            flags: 1,
        };
        let wanted = Shape {
            entries: 8,
            flags: 0,
            ..pinned
        };
        assert_eq!(pinned.differences(pinned), "");
        assert_eq!(
            pinned.differences(wanted),
            "entries 1024 instead of 8, flags 1 instead of 0"
        );
    }

    #[test]
    fn rings_are_powers_of_two_of_pages() {
        let page = u32::try_from(rustix::param::page_size()).unwrap();
        assert_eq!(ring_bytes(1), page);
        assert_eq!(ring_bytes(page), page);
        assert_eq!(ring_bytes(page + 1), 2 * page);
        assert_eq!(ring_bytes(3 * page), 4 * page);
        assert_eq!(ring_bytes(u32::MAX), 1 << 31);
    }
}
