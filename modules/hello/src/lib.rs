//! One module, one actor, one call.
//!
//! `greenroom run hello.wasm --allow spawn name=World`

use greenroom_guest::prelude::*;

/// What other actors may call.
#[module]
pub mod greeter {
    use greenroom_guest::current_actor;

    /// Greets somebody.
    pub async fn greet(name: String) -> String {
        format!("Hello, {name}! This is actor `{}`.", current_actor().id.name)
    }
}

/// Starts an actor that greets, and has it greet.
#[greenroom_guest::main]
async fn main(name: Option<String>) -> Result<String, RemoteActorError> {
    let name = name.unwrap_or_else(|| "World".to_owned());
    let nursery = Nursery::open();
    let greeter = nursery.start_actor("greeter", [greeter::MODULE]).await?;
    let greeting = greeter.run(greeter::greet { name }).await?;
    greeter.cancel_actor().await?;
    Ok(greeting)
}
