//! Owns: a module in a file of its own. It is refused: the macro cannot see into it.

#[greenroom_guest::module]
pub mod math;

fn main() {}
