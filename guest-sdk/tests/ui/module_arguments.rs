//! Owns: arguments of `#[module]`. They are refused: it takes none.

#[greenroom_guest::module(name = "other")]
pub mod math {
    pub fn f() {}
}

fn main() {}
