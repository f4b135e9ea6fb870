//! Rails: what keeps a mistaken, broken or hostile publisher from doing harm.
//!
//! An update is [`screen()`]ed entry by entry, then what would come of it is [`judge()`]d as a whole,
//! and before the table is swapped it is compared with sources known to be good
//! ([`newly_dropped`]). Protected addresses and allow entries are not subtracted here: they stand
//! above every feed in the policy, and change without an update.
//!
//! Invariant: each rail is on unless the feed is trusted to go without it, by name.

mod holes;
mod judge;
mod known_good;
mod popular;
mod reserved;
mod screen;
mod size;

pub use self::{
    judge::{Hold, Limits, MAX_CHANGE, Verdict, judge},
    known_good::newly_dropped,
    popular::{Kind, Popular, popular},
    reserved::{Reserved, reserved, reserved_by},
    screen::{Screen, Screened, Thrown, Why, screen},
    size::Size,
};
