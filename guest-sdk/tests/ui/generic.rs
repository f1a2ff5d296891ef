//! Owns: generic exported functions. Each is refused: callers could not name the types.

#[greenroom_guest::module]
pub mod math {
    pub fn first<T>(values: Vec<T>) -> T
    where
        T: Clone,
    {
        values[0].clone()
    }
}

fn main() {}
