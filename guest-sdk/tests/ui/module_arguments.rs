#[greenroom_guest::module(name = "other")]
pub mod math {
    pub fn f() {}
}

fn main() {}
