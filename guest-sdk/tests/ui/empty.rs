#[greenroom_guest::module]
pub mod math {
    fn private() {}

    pub(crate) fn inner() {}
}

fn main() {}
