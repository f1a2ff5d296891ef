//! Owns: a result behind an alias whose error no one can tell. It is refused by its types.

#[greenroom_guest::module]
pub mod math {
    type Answer<T> = Result<T, String>;

    pub fn f() -> Answer<u8> {
        Ok(1)
    }
}

fn main() {}
