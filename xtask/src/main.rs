//! Chores.
//!
fn main() {}
