//! How many prefixes may be named.
//!
//! As many as `[tables] prefixes` says, or where more are named already, as many as those. So a change
//! that adds none is never refused for the limit, and what is above it can only become less.

use super::full::TableFull;

/// What a policy is measured against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Room {
    limit: usize,
    /// Never less than the limit.
    most: usize,
}

impl Room {
    /// As many as the limit says.
    pub fn of(limit: usize) -> Self {
        Self { limit, most: limit }
    }

    /// At a start: all that there is, until [`Self::settle`] says how much that is.
    pub fn for_what_is_there(limit: usize) -> Self {
        Self {
            limit,
            most: usize::MAX,
        }
    }

    /// What `[tables] prefixes` says.
    pub fn limit(self) -> usize {
        self.limit
    }

    /// As many as may be named.
    pub fn most(self) -> usize {
        self.most
    }

    /// Refuses what names more than may be.
    pub fn check(self, needed: usize) -> Result<(), TableFull> {
        if needed > self.most {
            let capacity = self.limit;
            return Err(TableFull::Prefixes { needed, capacity });
        }
        Ok(())
    }

    /// Another limit. One that is lowered must hold what is named.
    pub fn with_limit(
        self,
        limit: usize,
        named: impl FnOnce() -> usize,
    ) -> Result<Self, TableFull> {
        if limit >= self.limit {
            return Ok(Self {
                limit,
                most: self.most.max(limit),
            });
        }
        let room = Self::of(limit);
        room.check(named())?;
        Ok(room)
    }

    /// A policy that names so many, or fewer, is in force.
    pub fn settle(&mut self, named: usize) {
        self.most = self.most.min(named).max(self.limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(needed: usize, capacity: usize) -> TableFull {
        TableFull::Prefixes { needed, capacity }
    }

    #[test]
    fn a_change_fits_up_to_the_limit() {
        let room = Room::of(5);
        assert_eq!(room.check(5), Ok(()));
        assert_eq!(room.check(6), Err(full(6, 5)));
    }

    #[test]
    fn what_is_above_the_limit_at_a_start_stays_and_can_only_become_less() {
        let mut room = Room::for_what_is_there(5);
        assert_eq!(room.check(9), Ok(()));
        room.settle(9);
        assert_eq!((room.most(), room.limit()), (9, 5));
        assert_eq!(room.check(9), Ok(()), "replaced");
        assert_eq!(room.check(10), Err(full(10, 5)));
        room.settle(8);
        assert_eq!(room.check(8), Ok(()));
        assert_eq!(room.check(9), Err(full(9, 5)), "it was less before");
        room.settle(3);
        assert_eq!(room, Room::of(5));
    }

    #[test]
    fn a_limit_is_lowered_to_what_is_named_and_no_further() {
        let room = Room::of(9);
        assert_eq!(room.with_limit(6, || 6), Ok(Room::of(6)));
        assert_eq!(room.with_limit(6, || 7), Err(full(7, 6)));
        let mut above = Room::for_what_is_there(5);
        above.settle(9);
        assert_eq!(above.with_limit(4, || 8), Err(full(8, 4)));
        assert_eq!(above.with_limit(4, || 4), Ok(Room::of(4)));
    }

    #[test]
    fn a_limit_can_be_raised_to_less_than_is_named() {
        let mut room = Room::for_what_is_there(5);
        room.settle(9);
        let raised = room.with_limit(7, || 9).unwrap();
        assert_eq!((raised.most(), raised.limit()), (9, 7));
        assert_eq!(raised.with_limit(12, || 9), Ok(Room::of(12)));
    }
}
