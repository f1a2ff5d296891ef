//! Owns: `impl Trait` in an exported signature. It is refused: callers name each type too.

#[greenroom_guest::module]
pub mod math {
    pub fn any(value: impl Into<u64>) -> impl Iterator<Item = u64> {
        std::iter::once(value.into())
    }
}

fn main() {}
