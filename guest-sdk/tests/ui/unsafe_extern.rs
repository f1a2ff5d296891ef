#[greenroom_guest::module]
pub mod math {
    pub unsafe fn risky() {}

    pub extern "C" fn foreign() {}
}

fn main() {}
