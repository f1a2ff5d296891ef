#[greenroom_guest::main]
#[greenroom_guest::context]
async fn main(ctx: greenroom_guest::Context<(), i64, i64>) {
    drop(ctx);
}
