//! A native program with actors: it opens a root, has two of them work, talks with a third, and
//! takes a failure apart.
//!
//! `cargo run --release --example open_root`, after `cargo xtask guests`

use std::error::Error;

use greenroom::{NurseryExt, PortalExt, RootOptions, kind, kwargs, open_root};
use serde::Deserialize;

/// What a bank refuses with, as this program reads it.
#[derive(Debug, Deserialize)]
enum BankError {
    Overdrawn { account: String, short: u64 },
}

fn main() -> Result<(), Box<dyn Error>> {
    // Where this process was started to be an actor, it is one, and does not come back.
    greenroom::init();
    work()
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it has done")]
async fn work() -> Result<(), Box<dyn Error>> {
    let options = RootOptions::new("native")
        .module("squares", "target/guests/squares.wasm")
        .module("pingpong", "target/guests/pingpong.wasm")
        .module("failing", "target/guests/failing.wasm");
    let root = open_root(options).await?;
    let nursery = root.nursery();

    // Calls that are awaited together run together.
    let left = nursery.start_actor("left", ["squares/math"]).await?;
    let right = nursery.start_actor("right", ["squares/math"]).await?;
    let (nine, sixteen): (i64, i64) = tokio::try_join!(
        left.run("squares/math:square", kwargs! { x: 3 }),
        right.run("squares/math:square", kwargs! { x: 4 }),
    )?;
    println!("{nine} {sixteen}");

    // A context is a dialog: here texts go both ways, and the partner returns how many.
    let partner = nursery.start_actor("partner", ["pingpong/partner"]).await?;
    let (answer, returned) = partner
        .open_context_as::<String, String, String, u32>("pingpong/partner:play", kwargs! {})
        .scope(async |ctx, greeting| {
            println!("{greeting}");
            let stream = ctx.open_stream()?;
            stream.send("ping".to_owned()).await?;
            Ok::<_, Box<dyn Error>>(stream.receive().await?)
        })
        .await?;
    println!("{} after {} ball", answer.unwrap_or_default(), returned.unwrap_or_default());

    // A failure is a value: a standard error by its type, a module's own by the name of its type.
    let bank = nursery.start_actor("bank", ["failing/bank"]).await?;
    let typo = bank.run::<u64>("failing/bank:withdraw", kwargs! { account: "ada" }).await;
    if let Some(bad) = typo.err().and_then(|error| error.downcast::<kind::BadArguments>()) {
        println!("missing: {}", bad.missing.join(", "));
    }
    let broke = bank.run::<u64>("failing/bank:withdraw", kwargs! { account: "ada", amount: 500u64 }).await;
    if let Some(BankError::Overdrawn { account, short }) =
        broke.err().and_then(|error| error.downcast_as("failing::BankError"))
    {
        println!("{account} is short of {short}");
    }

    root.close().await?;
    Ok(())
}
