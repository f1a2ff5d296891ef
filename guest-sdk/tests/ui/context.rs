//! Owns: functions marked `#[context]` whose signature is not one. Each is refused, saying what it lacks.

#[greenroom_guest::module]
pub mod math {
    use greenroom_guest::prelude::*;

    #[context]
    pub fn sync(ctx: Context<(), i64, i64>) {
        drop(ctx);
    }

    #[context]
    pub async fn without(n: u32) -> u32 {
        n
    }

    #[context]
    pub async fn nothing() {}

    #[context]
    pub async fn incomplete(ctx: Context<i64, i64>) {
        drop(ctx);
    }

    #[context]
    pub async fn second(n: u32, ctx: Context<(), i64, i64>) {
        drop((n, ctx));
    }

    #[context]
    pub async fn borrows(ctx: Context<&'static str, i64, Vec<&'static str>>) {
        drop(ctx);
    }

    #[context(fast)]
    pub async fn arguments(ctx: Context<(), i64, i64>) {
        drop(ctx);
    }

    pub async fn unmarked(ctx: Context<(), i64, i64>) {
        drop(ctx);
    }
}

fn main() {}
