//! Requests that come in several lines, because they are longer than a line may be.
//!
//! What has come is kept for its connection until the last part does; the owner of the rules then
//! gets one request. All connections together may keep so much and no more.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::protocol::{FailureCode, Import, Request, Response};
use crate::rules::record::Record;

/// Bytes of request lines that all connections together may have kept: some three million rules.
pub(super) const MAX_GATHERED: usize = 512 << 20;

/// What there is room for, in KiB.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes >> 10)))
    }
}

/// The parts that one connection has sent.
#[derive(Debug)]
pub(super) struct Gathered {
    room: Room,
    rules: Vec<Record>,
    held: Option<OwnedSemaphorePermit>,
}

/// What a request is.
#[derive(Debug, PartialEq)]
pub(super) enum Added {
    /// Whole, with the parts that came before; to be carried out.
    Whole(Request),
    /// A part, or none that fits: this is the answer.
    Answered(Response),
}

impl Gathered {
    pub(super) fn new(room: &Room) -> Self {
        Self {
            room: room.clone(),
            rules: Vec::new(),
            held: None,
        }
    }

    /// Keeps `request` if more of it follows. `length` is that of its line. A part that is not the
    /// next one is refused, and with it all that follow: no import is made of less than all its
    /// parts.
    pub(super) fn add(&mut self, request: Request, length: usize) -> Added {
        let Request::Import(mut import) = request else {
            return Added::Whole(request);
        };
        if import.before == 0 {
            self.clear();
        }
        if import.before != self.rules.len() {
            let message = format!(
                "{} rules of this import are said to have come before, {} are kept; begin anew",
                import.before,
                self.rules.len()
            );
            self.clear();
            return Added::Answered(Response::error(FailureCode::Invalid, message));
        }
        if import.more && !self.make_room(length) {
            self.clear();
            let message = "there is no room for so many rules at a time, none of them is kept; \
                           send them in several imports, or wait for other clients";
            return Added::Answered(Response::error(FailureCode::TooLarge, message));
        }
        self.rules.append(&mut import.rules);
        if import.more {
            let count = self.rules.len();
            return Added::Answered(Response::Gathered { count });
        }
        let rules = std::mem::take(&mut self.rules);
        self.clear();
        Added::Whole(Request::Import(Import {
            rules,
            before: 0,
            ..import
        }))
    }

    fn make_room(&mut self, length: usize) -> bool {
        let Ok(kib) = u32::try_from(length.div_ceil(1024)) else {
            return false;
        };
        let Ok(more) = Arc::clone(&self.room.0).try_acquire_many_owned(kib) else {
            return false;
        };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }

    fn clear(&mut self) {
        self.rules = Vec::new();
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(before: usize, addresses: &[&str], more: bool) -> Request {
        let rules = addresses.iter();
        let rules = rules.map(|address| {
            let line = format!(r#"{{"prefix":"{address}","action":"block"}}"#);
            serde_json::from_str(&line).unwrap()
        });
        Request::Import(Import {
            rules: rules.collect(),
            more,
            before,
            dry_run: !more,
        })
    }

    #[track_caller]
    fn is_whole(added: &Added, expected: &[&str]) {
        assert_eq!(*added, Added::Whole(part(0, expected, false)));
    }

    #[track_caller]
    fn is_kept(added: &Added, count: usize) {
        assert_eq!(*added, Added::Answered(Response::Gathered { count }));
    }

    #[track_caller]
    fn is_refused(added: &Added, code: FailureCode) {
        let Added::Answered(answer) = added else {
            panic!("{added:?}");
        };
        assert_eq!(answer.failure().unwrap().code, code);
    }

    #[test]
    fn parts_become_one_request_in_their_order() {
        let mut gathered = Gathered::new(&Room::new(1 << 20));
        is_kept(&gathered.add(part(0, &["::1", "::2"], true), 100), 2);
        is_kept(&gathered.add(part(2, &["::3"], true), 100), 3);
        let between = gathered.add(Request::Status {}, 20);
        assert_eq!(between, Added::Whole(Request::Status {}));
        let whole = gathered.add(part(3, &["::4"], false), 100);
        is_whole(&whole, &["::1", "::2", "::3", "::4"]);
        is_whole(&gathered.add(part(0, &["::5"], false), 100), &["::5"]);
    }

    #[test]
    fn nothing_is_made_of_an_import_with_a_missing_part() {
        let mut gathered = Gathered::new(&Room::new(1 << 20));
        is_kept(&gathered.add(part(0, &["::1"], true), 100), 1);
        let gap = gathered.add(part(2, &["::3"], true), 100);
        is_refused(&gap, FailureCode::Invalid);
        let last = gathered.add(part(3, &["::4"], false), 100);
        is_refused(&last, FailureCode::Invalid);
        is_whole(&gathered.add(part(0, &["::5"], false), 100), &["::5"]);
    }

    #[test]
    fn another_import_begins_anew() {
        let mut gathered = Gathered::new(&Room::new(1 << 20));
        is_kept(&gathered.add(part(0, &["::1"], true), 100), 1);
        is_whole(&gathered.add(part(0, &["::2"], false), 100), &["::2"]);
    }

    #[test]
    fn all_connections_share_the_room_and_give_it_back() {
        let room = Room::new(3 << 10);
        let (mut first, mut second) = (Gathered::new(&room), Gathered::new(&room));
        is_kept(&first.add(part(0, &["::1"], true), 2 << 10), 1);
        let refused = second.add(part(0, &["::2"], true), 2 << 10);
        is_refused(&refused, FailureCode::TooLarge);
        let rest = second.add(part(1, &["::3"], false), 2 << 10);
        is_refused(&rest, FailureCode::Invalid);
        // What comes in one line needs no room: it is not kept.
        is_whole(&second.add(part(0, &["::3"], false), 2 << 10), &["::3"]);
        drop(first);
        is_kept(&second.add(part(0, &["::4"], true), 3 << 10), 1);
    }
}
