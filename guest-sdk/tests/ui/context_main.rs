//! Owns: a `main` marked `#[context]`. It is refused: nobody is there to talk with.

#[greenroom_guest::main]
#[greenroom_guest::context]
async fn main(ctx: greenroom_guest::Context<(), i64, i64>) {
    drop(ctx);
}
