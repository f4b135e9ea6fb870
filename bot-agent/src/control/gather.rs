//! Requests that come in several lines, because they are longer than a line may be.
//!
//! What has come is kept for its connection until the last part does; the owner of the rules then
//! gets one request. All connections together may keep so much and no more.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::protocol::{FailureCode, Import, Put, Request, Response, Take};
use crate::rules::record::Record;

/// Bytes that all connections together may have kept: some four million rules.
pub(super) const MAX_GATHERED: usize = 1 << 30;
/// What an entry takes besides the bytes of its line.
const ENTRY: usize = 64;

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
    kept: Option<Kept>,
    held: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Kept {
    command: Command,
    items: Items,
}

/// Commands that take lists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Command {
    Allow,
    Block,
    Import,
    Unallow,
    Unblock,
}

/// What the list is of.
#[derive(Debug)]
enum Items {
    Targets(Vec<String>),
    Rules(Vec<Record>),
}

impl Items {
    fn len(&self) -> usize {
        match self {
            Self::Targets(targets) => targets.len(),
            Self::Rules(rules) => rules.len(),
        }
    }

    fn targets(self) -> Option<Vec<String>> {
        match self {
            Self::Targets(targets) => Some(targets),
            Self::Rules(_) => None,
        }
    }

    fn rules(self) -> Option<Vec<Record>> {
        match self {
            Self::Rules(rules) => Some(rules),
            Self::Targets(_) => None,
        }
    }
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
            kept: None,
            held: None,
        }
    }

    /// Keeps `request` if more of it follows. `length` is that of its line. A part that is not the
    /// next one is refused, and with it all that follow: nothing is made of less than all parts.
    pub(super) fn add(&mut self, mut request: Request, length: usize) -> Added {
        let Some(part) = part_of(&mut request) else {
            return Added::Whole(request);
        };
        let (command, more, before) = (part.command, part.more, *part.before);
        if before == 0 {
            self.clear();
        }
        let kept = self.kept.as_ref();
        let count = kept.filter(|kept| kept.command == command);
        let count = count.map_or(0, |kept| kept.items.len());
        if before != count {
            let message = format!(
                "{before} entries of this list are said to have come before, {count} are kept; \
                 begin anew"
            );
            self.clear();
            return Added::Answered(Response::error(FailureCode::Invalid, message));
        }
        if more && !self.make_room(length + part.list.len() * ENTRY) {
            self.clear();
            let message = "there is no room for so many entries at a time, none of them is kept; \
                           send them as several lists, or wait for other clients";
            return Added::Answered(Response::error(FailureCode::TooLarge, message));
        }
        let kept = self.kept.take().map(|kept| kept.items);
        let items = match part.list {
            List::Targets(targets) => {
                join(kept.and_then(Items::targets), targets, more).map(Items::Targets)
            }
            List::Rules(rules) => join(kept.and_then(Items::rules), rules, more).map(Items::Rules),
        };
        if let Some(items) = items {
            let count = items.len();
            self.kept = Some(Kept { command, items });
            return Added::Answered(Response::Gathered { count });
        }
        *part.before = 0;
        self.clear();
        Added::Whole(request)
    }

    fn make_room(&mut self, bytes: usize) -> bool {
        let Ok(kib) = u32::try_from(bytes.div_ceil(1024)) else {
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
        self.kept = None;
        self.held = None;
    }
}

/// A request that may be part of a list.
struct Part<'a> {
    command: Command,
    list: List<'a>,
    more: bool,
    before: &'a mut usize,
}

enum List<'a> {
    Targets(&'a mut Vec<String>),
    Rules(&'a mut Vec<Record>),
}

impl List<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Targets(targets) => targets.len(),
            Self::Rules(rules) => rules.len(),
        }
    }
}

fn part_of(request: &mut Request) -> Option<Part<'_>> {
    Some(match request {
        Request::Allow(put) => of_put(Command::Allow, put),
        Request::Block(put) => of_put(Command::Block, put),
        Request::Unallow(take) => of_take(Command::Unallow, take),
        Request::Unblock(take) => of_take(Command::Unblock, take),
        Request::Import(Import {
            rules,
            more,
            before,
            ..
        }) => Part {
            command: Command::Import,
            list: List::Rules(rules),
            more: *more,
            before,
        },
        Request::Asn { .. }
        | Request::Attach { .. }
        | Request::Bypass { .. }
        | Request::Check { .. }
        | Request::Confirm { .. }
        | Request::Detach { .. }
        | Request::Feeds(_)
        | Request::List(_)
        | Request::Logs(_)
        | Request::Mode { .. }
        | Request::Only { .. }
        | Request::OnlyList {}
        | Request::OnlyRemove { .. }
        | Request::Reload {}
        | Request::Resume {}
        | Request::Status {}
        | Request::Version {} => return None,
    })
}

fn of_put(command: Command, put: &mut Put) -> Part<'_> {
    Part {
        command,
        list: List::Targets(&mut put.targets),
        more: put.more,
        before: &mut put.before,
    }
}

fn of_take(command: Command, take: &mut Take) -> Part<'_> {
    Part {
        command,
        list: List::Targets(&mut take.targets),
        more: take.more,
        before: &mut take.before,
    }
}

/// All items so far: given back if more of them follow, or else left in `list`.
fn join<T>(kept: Option<Vec<T>>, list: &mut Vec<T>, more: bool) -> Option<Vec<T>> {
    let mut all = kept.unwrap_or_default();
    all.append(list);
    if more {
        return Some(all);
    }
    *list = all;
    None
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

    fn unblock(before: usize, targets: &[&str], more: bool) -> Request {
        Request::Unblock(Take {
            targets: targets.iter().map(|word| (*word).to_owned()).collect(),
            dry_run: false,
            more,
            before,
        })
    }

    #[test]
    fn lists_of_targets_come_in_parts_too() {
        let mut gathered = Gathered::new(&Room::new(1 << 20));
        is_kept(&gathered.add(unblock(0, &["::1"], true), 100), 1);
        let whole = gathered.add(unblock(1, &["::2"], false), 100);
        assert_eq!(whole, Added::Whole(unblock(0, &["::1", "::2"], false)));
    }

    #[test]
    fn parts_of_one_command_are_none_of_another() {
        let mut gathered = Gathered::new(&Room::new(1 << 20));
        is_kept(&gathered.add(unblock(0, &["::1"], true), 100), 1);
        let Request::Unblock(take) = unblock(1, &["::2"], false) else {
            panic!("it is no other");
        };
        let other = gathered.add(Request::Unallow(take), 100);
        is_refused(&other, FailureCode::Invalid);
        let rest = gathered.add(unblock(1, &["::2"], false), 100);
        is_refused(&rest, FailureCode::Invalid);
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
        // A KiB more than the line has, for the entry.
        is_kept(&first.add(part(0, &["::1"], true), 1 << 10), 1);
        let refused = second.add(part(0, &["::2"], true), 2 << 10);
        is_refused(&refused, FailureCode::TooLarge);
        let rest = second.add(part(1, &["::3"], false), 2 << 10);
        is_refused(&rest, FailureCode::Invalid);
        // What comes in one line needs no room: it is not kept.
        is_whole(&second.add(part(0, &["::3"], false), 2 << 10), &["::3"]);
        drop(first);
        is_kept(&second.add(part(0, &["::4"], true), 2 << 10), 1);
    }
}
