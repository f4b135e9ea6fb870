//! Names of autonomous systems: one text each, all in one allocation.

use std::collections::HashMap;

use crate::rules::subject::Asn;

/// Longest name that is kept, bytes. The longest in a table of the whole Internet has about 100.
const LONGEST: usize = 200;

/// Collects names; the first one of an ASN stays.
#[derive(Debug, Default)]
pub(super) struct Builder {
    places: HashMap<Asn, (u32, u32)>,
    text: String,
}

/// The names.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Where each begins and ends in the text, in order of ASN.
    places: Vec<(Asn, u32, u32)>,
    text: String,
}

impl Builder {
    /// Remembers a name. Control characters become spaces; what is too long is cut.
    pub(super) fn add(&mut self, asn: Asn, name: &str) {
        let name = name.trim();
        if name.is_empty() || self.places.contains_key(&asn) {
            return;
        }
        let Ok(start) = u32::try_from(self.text.len()) else {
            return;
        };
        for char in name.chars() {
            let char = if char.is_control() { ' ' } else { char };
            if self.text.len() - start as usize + char.len_utf8() > LONGEST {
                break;
            }
            self.text.push(char);
        }
        if let Ok(end) = u32::try_from(self.text.len()) {
            self.places.insert(asn, (start, end));
        }
    }

    pub(super) fn finish(self) -> Names {
        let places = self.places.into_iter();
        let mut places: Vec<(Asn, u32, u32)> = places
            .map(|(asn, (start, end))| (asn, start, end))
            .collect();
        places.sort_unstable();
        let mut text = self.text;
        text.shrink_to_fit();
        Names { places, text }
    }
}

impl Names {
    /// The name of an ASN; empty where none is known.
    pub(super) fn get(&self, asn: Asn) -> &str {
        let found = self.places.binary_search_by_key(&asn, |(asn, ..)| *asn);
        let place = found.ok().and_then(|index| self.places.get(index));
        place
            .and_then(|(_, start, end)| self.text.get(*start as usize..*end as usize))
            .unwrap_or_default()
    }

    pub(super) fn bytes(&self) -> usize {
        self.text.capacity() + self.places.capacity() * size_of::<(Asn, u32, u32)>()
    }
}
