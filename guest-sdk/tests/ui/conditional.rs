#[greenroom_guest::module]
pub mod math {
    #[cfg(unix)]
    pub fn sometimes() {}
}

fn main() {}
