//! Lists of addresses from files: a million lines must cost little.
//!
//! Pure: bytes in, sorted prefixes out. Bad lines are counted and the first are shown; a file with too
//! many of them is refused as a whole, because then it is not what it is taken for.

mod read;

pub use read::{BadLine, Entries, ReadError, read};
