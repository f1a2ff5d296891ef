//! Owns: a module without public functions. It is refused: it would export nothing.

#[greenroom_guest::module]
pub mod math {
    fn private() {}

    pub(crate) fn inner() {}
}

fn main() {}
