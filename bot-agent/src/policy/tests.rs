//! Single cases that deserve a name.
