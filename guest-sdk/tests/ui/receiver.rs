//! Owns: an exported function with `self`. It is refused.

#[greenroom_guest::module]
pub mod math {
    pub fn alone(self) -> u8 {
        0
    }
}

fn main() {}
