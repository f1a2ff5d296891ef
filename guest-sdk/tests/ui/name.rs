//! Owns: functions whose names no interface can have. Each is refused, giving the rule.

#[greenroom_guest::module]
pub mod math {
    pub fn camelCase() {}

    pub fn sha_256() {}

    pub fn payload() {}
}

fn main() {}
