//! Contracts: a context declares the types it starts with, sends, receives and returns. A value of
//! another type is caught by whoever can see it first, and ends that context only.
//!
//! `greenroom run typed.wasm`

use greenroom_guest::kind::MsgTypeError;
use greenroom_guest::prelude::*;

/// What the actor serves.
#[module]
pub mod math {
    use greenroom_guest::prelude::*;

    /// Squares the numbers it receives. It starts with a text, and gives how many there were.
    #[context]
    pub async fn squares(mut ctx: Context<String, i64, i64>) -> Result<u32, Fault> {
        ctx.started("numbers, please".to_owned())?;
        let mut stream = ctx.open_stream()?;
        let mut count = 0;
        while let Some(x) = stream.receive().await? {
            let Some(square) = i64::checked_mul(x, x) else { fault!("{x} squared is too large") };
            stream.send(square).await?;
            count += 1;
        }
        Ok(count)
    }

    /// A number in words.
    pub fn nine() -> String {
        "nine".to_owned()
    }
}

/// What a caller gets of a dialog: the answer to its one message, and the result.
type Dialog<Sends, Output> = Result<(Option<Sends>, Output), Fault>;

/// Opens `math:squares` by name, as somebody would who is mistaken about its types, sends one
/// message and waits for the end.
async fn talk<First, Sends, Receives, Output>(actor: &Portal, message: Receives) -> Dialog<Sends, Output>
where
    First: serde::de::DeserializeOwned + 'static,
    Sends: serde::de::DeserializeOwned + 'static,
    Receives: serde::Serialize + 'static,
    Output: serde::de::DeserializeOwned + 'static,
{
    let opened = actor.open_context_from_ns::<First, Sends, Receives, Output>("math", "squares", kwargs! {});
    let (context, _first) = opened.await?;
    let mut stream = context.open_stream()?;
    stream.send(message).await?;
    let answer = stream.receive().await?;
    stream.close();
    Ok((answer, context.wait_for_result().await?))
}

/// As somebody would who knows the types, but passes on a value that it has not read.
async fn talk_unread(actor: &Portal) -> Dialog<i64, u32> {
    let (context, _first) = actor.open_context(math::squares {}).await?;
    let mut stream = context.open_stream()?;
    let nine = actor.run_encoded("math", "nine", kwargs! {}).await?;
    stream.send_encoded(nine).await?;
    let answer = stream.receive().await?;
    stream.close();
    Ok((answer, context.wait_for_result().await?))
}

/// Which part of the contract was broken, and who saw it.
fn caught<T>(outcome: Result<T, Fault>) -> Result<String, Fault> {
    let Err(fault) = outcome else { fault!("nobody has seen that the contract is broken") };
    let error = fault.as_remote();
    let Some(MsgTypeError { part, expected, .. }) = error.downcast() else { return Err(fault) };
    // An error that has come from no other actor was raised here.
    let by = error.src_actor.as_ref().map_or("the caller", |actor| actor.name.as_str());
    Ok(format!("{part}: caught by {by}, who declares `{expected}`"))
}

/// Breaks the contract in every way, then keeps it, and tells who noticed.
#[greenroom_guest::main]
async fn main() -> Result<String, Fault> {
    let nursery = Nursery::open();
    let actor = nursery.start_actor("math", [math::MODULE]).await?;
    let (bystander, _first) = actor.open_context(math::squares {}).await?;
    let mut stream = bystander.open_stream()?;

    let mut report = vec![
        caught(talk::<u32, i64, i64, u32>(&actor, 3).await)?,
        caught(talk::<String, bool, i64, u32>(&actor, 3).await)?,
        caught(talk::<String, i64, i64, bool>(&actor, 3).await)?,
        caught(talk::<String, i64, bool, u32>(&actor, true).await)?,
        caught(talk_unread(&actor).await)?,
    ];

    let (answer, count) = talk::<String, i64, i64, u32>(&actor, 3).await?;
    report.push(format!("kept: {answer:?}, {count} in all"));

    // A context that was open all the time has not noticed anything.
    stream.send(4).await?;
    let answer = stream.receive().await?;
    stream.close();
    report.push(format!("beside: {answer:?}, {} in all", bystander.wait_for_result().await?));
    actor.cancel_actor().await?;
    Ok(report.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach() -> RemoteActorError {
        RemoteActorError::of(&MsgTypeError {
            function: "math:squares".into(),
            part: "result".into(),
            expected: "bool".into(),
            reason: "it is a number".into(),
        })
    }

    #[test]
    fn tells_who_caught_it() {
        let here: Result<(), _> = Err(breach().into());
        assert_eq!(caught(here).expect("a breach"), "result: caught by the caller, who declares `bool`");
        let math = ActorId { name: "math".into(), uuid: "u".into() };
        let there: Result<(), _> = Err(breach().relayed_by(&math).into());
        assert_eq!(caught(there).expect("a breach"), "result: caught by math, who declares `bool`");
    }

    #[test]
    fn passes_on_what_is_no_breach() {
        assert!(caught(Ok(())).is_err());
        let other: Result<(), _> = Err(Fault::msg("gone"));
        assert_eq!(caught(other).expect_err("no breach").as_remote().message, "gone");
    }
}
