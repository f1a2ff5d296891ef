//! Owns: exported functions that are unsafe or extern. Each is refused.

#[greenroom_guest::module]
pub mod math {
    pub unsafe fn risky() {}

    pub extern "C" fn foreign() {}
}

fn main() {}
