//! Rules: what operators (and later feeds) say about addresses, before policy makes verdicts of it.
//!
//! Pure: no aya, no tokio, no clock. Whoever needs the time gets a [`time::Now`].

pub mod change;
pub mod duration;
mod index;
pub mod mode;
pub mod prefix;
pub mod record;
pub mod rule;
pub mod set;
pub mod subject;
pub mod target;
pub mod time;
