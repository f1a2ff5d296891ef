//! An application: an actor that greets, and a root that starts it.
//!
//! `greenroom run name=Ada`

use greenroom_guest::prelude::*;

/// What other actors may call: each public function.
#[module]
pub mod greeter {
    use greenroom_guest::current_actor;

    /// Greets somebody.
    pub async fn greet(name: String) -> String {
        format!("Hello, {name}! This is actor `{}`, in a process of its own.", current_actor().id.name)
    }
}

/// What `greenroom run` calls in the root actor; its arguments are those of the command line.
#[greenroom_guest::main]
async fn main(name: String) -> Result<String, Fault> {
    let nursery = Nursery::open();
    let greeter = nursery.start_actor("greeter", [greeter::MODULE]).await?;
    let greeting = greeter.run(greeter::greet { name }).await?;
    greeter.cancel_actor().await?;
    Ok(greeting)
}
