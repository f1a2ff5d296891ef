#[greenroom_guest::module]
pub mod Math {
    pub fn f() {}
}

fn main() {}
