//! Owns: `#[context]` where no exported function stands. It is refused, saying where it belongs.

use greenroom_guest::context;

#[context]
pub async fn alone(n: u32) -> u32 {
    n
}

#[greenroom_guest::module]
pub mod math {
    use greenroom_guest::prelude::*;

    pub fn exported() {}

    #[context]
    async fn private(ctx: Context<(), i64, i64>) {
        drop(ctx);
    }
}

fn main() {}
