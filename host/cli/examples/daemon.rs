//! A native program that is one actor, for other programs of the user to find: it squares numbers
//! until somebody cancels it.
//!
//! `cargo run --release --example daemon [NAME]`, after `cargo xtask guests`

use greenroom::{HostError, RootOptions, run_daemon};

fn main() -> Result<(), HostError> {
    greenroom::init();
    serve()
}

#[tokio::main(flavor = "current_thread")]
async fn serve() -> Result<(), HostError> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "squarer".to_owned());
    let options = RootOptions::new(&name).module("squares", "target/guests/squares.wasm");
    run_daemon(options, &name).await
}
