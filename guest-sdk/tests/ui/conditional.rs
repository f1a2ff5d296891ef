//! Owns: an exported function under `cfg`. It is refused: the module as a whole may be conditional.

#[greenroom_guest::module]
pub mod math {
    #[cfg(unix)]
    pub fn sometimes() {}
}

fn main() {}
