//! Two ways to end: `ctx.cancel()` ends one task of an actor, and its siblings go on;
//! `cancel_actor()` ends all of them and the process, and each is told who asked for it.
//!
//! `greenroom run cancel.wasm --allow spawn`

use greenroom_guest::kind::ContextCancelled;
use greenroom_guest::prelude::*;

/// What the actor serves.
#[module]
pub mod echo {
    use greenroom_guest::prelude::*;

    /// Sends back what it receives, for as long as something comes.
    #[context]
    pub async fn repeat(mut ctx: Context<(), String, String>) -> Result<(), RemoteActorError> {
        ctx.started(())?;
        let mut stream = ctx.open_stream()?;
        while let Some(words) = stream.receive().await? {
            stream.send(words).await?;
        }
        Ok(())
    }
}

/// A task of the actor's, and the way to talk with it.
struct Line {
    name: &'static str,
    context: RemoteContext<echo::repeat>,
    stream: MsgStream<String, String>,
}

impl Line {
    async fn open(actor: &Portal, name: &'static str) -> Result<Self, RemoteActorError> {
        let (context, ()) = actor.open_context(echo::repeat {}).await?;
        let stream = context.open_stream()?;
        Ok(Self { name, context, stream })
    }

    /// Gives its name, by way of the actor.
    async fn answer(&mut self) -> Result<String, Fault> {
        self.stream.send(self.name.to_owned()).await?;
        let Some(answer) = self.stream.receive().await? else { fault!("`{}` has hung up", self.name) };
        Ok(answer)
    }

    /// What its task ended with, if that is a cancellation.
    async fn cancellation(&self) -> Result<String, Fault> {
        match self.context.wait_for_result().await {
            Ok(()) => fault!("`{}` has ended by itself", self.name),
            Err(error) if error.is::<ContextCancelled>() => Ok(told(self.name, &error)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Who ended what, in words.
fn told(name: &str, error: &RemoteActorError) -> String {
    let canceller = error.canceller.as_ref().map_or("nobody", |actor| actor.name.as_str());
    format!("{name}: {}, as asked by `{canceller}`", error.src_type)
}

/// Ends one of three tasks, then the actor, and tells what became of each.
#[greenroom_guest::main]
async fn main() -> Result<String, Fault> {
    let nursery = Nursery::open();
    let actor = nursery.start_actor("echo", [echo::MODULE]).await?;
    let open = |name| Line::open(&actor, name);
    let mut lines = try_join_all(["first", "second", "third"].map(open)).await?;
    let answers = try_join_all(lines.iter_mut().map(Line::answer)).await?;
    let mut report = vec![format!("answering: {}", answers.join(", "))];

    // Whoever asks through the context knows that the task was cancelled: it is no error here.
    let second = lines.remove(1);
    second.context.cancel().await?;
    let answers = try_join_all(lines.iter_mut().map(Line::answer)).await?;
    report.push(format!("without {}: {}", second.name, answers.join(", ")));

    // Nobody has asked through these contexts, so to them it is one, if by the same actor.
    actor.cancel_actor().await?;
    report.extend(try_join_all(lines.iter().map(Line::cancellation)).await?);
    report.push(format!("the actor: {}", actor.closed().await));
    Ok(report.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_who_asked() {
        let cancelled = RemoteActorError::of(&ContextCancelled { function: "echo:repeat".into() });
        assert_eq!(told("first", &cancelled), "first: ContextCancelled, as asked by `nobody`");
        let root = ActorId { name: "root".into(), uuid: "u".into() };
        let cancelled = RemoteActorError { canceller: Some(root), ..cancelled };
        assert_eq!(told("first", &cancelled), "first: ContextCancelled, as asked by `root`");
    }
}
