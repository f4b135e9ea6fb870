//! Identities of lists: the same for all versions of a list as long as the agent runs, and of no other.

use std::collections::BTreeMap;

use crate::policy::ListId;

/// The identities that were given away, by name.
#[derive(Clone, Debug, Default)]
pub struct ListIds {
    ids: BTreeMap<String, ListId>,
}

impl ListIds {
    /// The identity of the list of this name.
    pub fn of(&mut self, name: &str) -> ListId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = ListId(u32::try_from(self.ids.len()).unwrap_or(u32::MAX));
        self.ids.insert(name.to_owned(), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_identity() {
        let mut ids = ListIds::default();
        let (a, b) = (ids.of("a"), ids.of("b"));
        assert_ne!(a, b);
        assert_eq!((ids.of("a"), ids.of("b")), (a, b));
    }
}
