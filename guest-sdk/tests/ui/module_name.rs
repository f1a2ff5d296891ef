//! Owns: a module whose name no interface can have. It is refused, giving the rule.

#[greenroom_guest::module]
pub mod Math {
    pub fn f() {}
}

fn main() {}
