//! Lists of addresses from files: a million lines must cost little.
//!
//! [`read()`] is pure: bytes in, sorted prefixes out; [`ListFiles`] reads the configured files. Bad
//! lines are counted and the first are shown; a file with too many of them is refused as a whole,
//! because then it is not what it is taken for.

mod ids;
mod load;
mod read;

pub use ids::ListIds;
pub use load::ListFiles;
pub use read::{Entries, read};
