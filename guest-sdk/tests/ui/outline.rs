#[greenroom_guest::module]
pub mod math;

fn main() {}
