//! A native program without actors of its own: it calls the daemon of the example beside it, and,
//! if it is told to `stop` it, ends it.
//!
//! `cargo run --release --example client [NAME [stop]]`, while the example `daemon` runs

use std::error::Error;
use std::time::Duration;

use greenroom::{Machine, PortalExt, Target, kwargs};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example shows what it has done")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "squarer".to_owned());
    let machine = Machine::open()?;
    let Some(entry) = machine.wait(&name, Some(Duration::from_secs(10))).await? else {
        return Err(format!("nobody serves as `{name}`").into());
    };
    let target = Target::from(&entry);
    let squarer = machine.connect(&target, "client").await?;
    let nine: i64 = squarer.run("squares/math:square", kwargs! { x: 3 }).await?;
    println!("{} says {nine}", squarer.peer());
    if arguments.next().as_deref() == Some("stop") {
        machine.cancel(&target).await?;
        println!("and is gone");
    }
    Ok(())
}
