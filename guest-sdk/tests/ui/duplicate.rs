//! Owns: two functions of one exported name. The second is refused.

#[greenroom_guest::module]
pub mod math {
    pub fn square(x: i64) -> i64 {
        x * x
    }

    pub fn square(x: u64) -> u64 {
        x * x
    }
}

fn main() {}
