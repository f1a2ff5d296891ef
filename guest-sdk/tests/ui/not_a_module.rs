//! Owns: `#[module]` on what is no module. It is refused, saying where it belongs.

#[greenroom_guest::module]
pub fn square(x: i64) -> i64 {
    x * x
}

fn main() {}
