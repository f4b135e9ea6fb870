//! Whole tables: what goes in comes out, by lookup, by reading back and after changes.

mod damaged;
mod in_place;
mod publish;
mod whole;
mod world;
