//! Owns: patterns in the place of an argument. Each is refused: arguments go by name.

#[greenroom_guest::module]
pub mod math {
    pub fn add((a, b): (i64, i64), _: u8) -> i64 {
        a + b
    }
}

fn main() {}
