//! Contracts: a context declares the types that it starts with, sends, receives and returns. A value
//! of another type is an error where it is first noticed, and ends that context only.
//!
//! `greenroom run typed.wasm --allow spawn`

use greenroom_guest::kind::MsgTypeError;
use greenroom_guest::{Contract, prelude::*};
use serde::{Serialize, de::DeserializeOwned};

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
type Dialog<Sends, Output> = Result<(Sends, Output), Fault>;

/// Opens `math:squares` by name and talks with it as somebody would who takes its types for these.
async fn by_name<First, Sends, Receives, Output>(math: &Portal, message: Receives) -> Dialog<Sends, Output>
where
    First: DeserializeOwned + 'static,
    Sends: DeserializeOwned + 'static,
    Receives: Serialize + 'static,
    Output: DeserializeOwned + 'static,
{
    let opened = math.open_context_from_ns::<First, Sends, Receives, Output>("math", "squares", kwargs! {});
    let (context, _first) = opened.await?;
    let stream = context.open_stream()?;
    stream.send(message).await?;
    end(context, stream).await
}

/// Opens it with the types it has, and passes on a value that nobody here has decoded.
async fn unread(math: &Portal) -> Dialog<i64, u32> {
    let (context, _first) = math.open_context(math::squares {}).await?;
    let stream = context.open_stream()?;
    let nine = math.run_encoded("math", "nine", kwargs! {}).await?;
    stream.send_encoded(nine).await?;
    end(context, stream).await
}

/// The rest of a dialog, once its message is sent.
async fn end<C>(
    context: RemoteContext<C>,
    mut stream: MsgStream<C::Receives, C::Sends>,
) -> Dialog<C::Sends, C::Output>
where
    C: Contract<Sends: DeserializeOwned, Output: DeserializeOwned>,
{
    let answer = stream.receive().await?;
    stream.close();
    // If there was no answer, the result tells why.
    let result = context.wait_for_result().await?;
    let Some(answer) = answer else { fault!("it has ended without an answer") };
    Ok((answer, result))
}

/// Which part of the contract was broken, and where that was noticed.
fn breach<T>(dialog: Result<T, Fault>) -> Result<String, Fault> {
    let Err(fault) = dialog else { fault!("nobody has noticed that the contract is broken") };
    let error = fault.as_remote();
    let Some(MsgTypeError { part, expected, .. }) = error.downcast() else { return Err(fault) };
    // What has come from no other actor was raised in this one.
    let side = if error.src_actor.is_some() { "callee" } else { "caller" };
    Ok(format!("{part}: raised at the {side}, which declares `{expected}`"))
}

/// Breaks the contract in every way, then keeps it, and tells what came of each.
#[greenroom_guest::main]
async fn main() -> Result<String, Fault> {
    let nursery = Nursery::open();
    let math = nursery.start_actor("math", [math::MODULE]).await?;
    // A context that is open beside all the others.
    let (beside, _first) = math.open_context(math::squares {}).await?;
    let stream = beside.open_stream()?;

    let mut report = vec![
        breach(by_name::<bool, i64, i64, u32>(&math, 3).await)?,
        breach(by_name::<String, bool, i64, u32>(&math, 3).await)?,
        breach(by_name::<String, i64, i64, bool>(&math, 3).await)?,
        breach(by_name::<String, i64, bool, u32>(&math, true).await)?,
        breach(unread(&math).await)?,
    ];

    let (nine, count) = by_name::<String, i64, i64, u32>(&math, 3).await?;
    report.push(format!("kept: 3 squared is {nine}; {count} in all"));

    stream.send(4).await?;
    let (sixteen, count) = end(beside, stream).await?;
    report.push(format!("beside: 4 squared is {sixteen}; {count} in all"));
    math.cancel_actor().await?;
    Ok(report.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> RemoteActorError {
        RemoteActorError::of(&MsgTypeError {
            function: "math:squares".into(),
            part: "result".into(),
            expected: "bool".into(),
            reason: "it is a number".into(),
        })
    }

    #[test]
    fn tells_where_it_was_noticed() {
        let here: Result<(), _> = Err(broken().into());
        assert_eq!(breach(here).expect("a breach"), "result: raised at the caller, which declares `bool`");
        let math = ActorId { name: "math".into(), uuid: "u".into() };
        let there: Result<(), _> = Err(broken().relayed_by(&math).into());
        assert_eq!(breach(there).expect("a breach"), "result: raised at the callee, which declares `bool`");
    }

    #[test]
    fn passes_on_what_is_no_breach() {
        assert!(breach(Ok(())).is_err());
        let other: Result<(), _> = Err(Fault::msg("gone"));
        assert_eq!(breach(other).expect_err("no breach").as_remote().message, "gone");
    }
}
