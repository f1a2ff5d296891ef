//! Owns: contexts opened with calls, and calls of contexts. Each is refused, naming the other way.

use greenroom_guest::prelude::*;

#[module]
pub mod math {
    use greenroom_guest::prelude::*;

    #[context]
    pub async fn squares(mut ctx: Context<u8, i64, i64>, n: u32) -> Result<u32, Fault> {
        ctx.started(1)?;
        Ok(n)
    }

    pub fn square(x: i64) -> i64 {
        x * x
    }
}

async fn runs_a_context(portal: Portal) {
    let _ = portal.run(math::squares { n: 3 }).await;
}

async fn opens_a_function(portal: Portal) {
    let _ = portal.open_context(math::square { x: 3 });
}

async fn sends_what_is_received_elsewhere(portal: Portal) {
    let (ctx, _first) = portal.open_context(math::squares { n: 3 }).await.unwrap();
    ctx.open_stream().unwrap().send("three").await.unwrap();
}

async fn misreads_the_first_value(portal: Portal) {
    let (_ctx, _first): (_, String) = portal.open_context(math::squares { n: 3 }).await.unwrap();
}

fn main() {}
