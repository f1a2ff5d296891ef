//! Functions that misbehave, each in one way, for the end-to-end suite.
//!
//! The host calls them as `faults:<function>`, directly in a root actor, or through actors in
//! between by `middle:relay`. What each one does is in the file of its group.

mod dialogs;
mod errors;
mod flows;
mod hoard;
mod memory;
mod panics;
mod residency;
mod scene;
mod searches;
mod stuck;
mod traps;
mod trees;

use greenroom_guest::prelude::*;

pub use flows::{branches, flood, quick};

/// One function per way to misbehave, and a few that behave, to compare with.
#[module]
pub mod faults {
    use crate::errors::{MyError, Unencodable};
    use crate::{errors, memory, panics, residency, stuck, traps, trees};
    use greenroom_guest::prelude::*;
    use std::time::Duration;

    /// Gives back what it was given.
    pub fn echo(bytes: ByteBuf) -> ByteBuf {
        bytes
    }

    /// Takes two arguments of different types.
    pub fn typed(x: i64, name: String) -> String {
        format!("{name}={x}")
    }

    /// Takes an argument that may be left out.
    pub fn optional(x: Option<i64>) -> i64 {
        x.unwrap_or(-1)
    }

    /// Waits, and gives how long.
    pub async fn sleep_ms(ms: u64) -> u64 {
        sleep(Duration::from_millis(ms)).await;
        ms
    }

    /// Waits for ever.
    pub async fn wait() {
        std::future::pending::<()>().await;
    }

    /// Who called, as the host states it.
    pub fn caller() -> ActorId {
        current_context().caller()
    }

    /// Panics with the message.
    pub async fn panic(msg: String) {
        panics::at_top(&msg);
    }

    /// Panics three calls down, holding something at every level.
    pub async fn panic_nested(msg: String) {
        panics::nested(3, &msg);
    }

    /// Panics after having waited, holding something whose drop `drops` counts.
    pub async fn panic_later(msg: String, ms: u64) {
        let _guard = residency::CountedDrop;
        sleep(Duration::from_millis(ms)).await;
        panics::at_top(&msg);
    }

    /// Panics in a destructor while the task is being dropped for its cancellation.
    pub async fn panic_in_drop(msg: String) {
        let _guard = panics::PanicsOnDrop(msg);
        std::future::pending::<()>().await;
    }

    /// Fails with an error of its own.
    pub async fn error(code: u32, text: String) -> Result<(), MyError> {
        Err(MyError { code, text })
    }

    /// Gives a result that cannot be encoded.
    pub fn unencodable() -> Unencodable {
        errors::Unencodable
    }

    /// Reads beyond the end of its memory.
    pub fn oob() -> u8 {
        traps::out_of_bounds()
    }

    /// Executes WebAssembly's `unreachable`.
    pub fn unreachable() {
        traps::unreachable();
    }

    /// Divides by zero without Rust's check.
    pub fn divide(by: i32) -> i32 {
        traps::divide(by)
    }

    /// Calls itself until the stack in its memory is full.
    pub fn stack_overflow() -> u64 {
        traps::overflow_stack(0)
    }

    /// Calls itself until the engine's stack is full.
    pub fn call_stack_overflow() -> u64 {
        traps::overflow_call_stack()
    }

    /// Allocates until there is no more.
    pub fn oom() {
        memory::exhaust();
    }

    /// Allocates this many MiB, touches and frees them.
    pub fn allocate(mib: u32) -> u32 {
        memory::allocate(mib)
    }

    /// Never yields and never ends.
    pub fn spin() {
        stuck::spin();
    }

    /// Burns this many milliseconds without yielding.
    pub fn burn(ms: u64) -> u64 {
        stuck::burn(Duration::from_millis(ms));
        ms
    }

    /// Waits for ever; once cancelled, its destructor burns this many milliseconds, logs
    /// `slow drop: done` and counts in `drops`.
    pub async fn slow_drop(ms: u64) {
        let _guard = stuck::SlowDrop(Duration::from_millis(ms));
        std::future::pending::<()>().await;
    }

    /// Writes this many log lines.
    pub fn flood_log(lines: u32) {
        stuck::flood_log(lines);
    }

    /// Writes log lines for ever, yielding now and then.
    pub async fn flood() {
        loop {
            stuck::flood_log(100);
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for ever, counted under the key for as long as it does.
    pub async fn hold(key: String) {
        let _held = residency::Held::new(key);
        std::future::pending::<()>().await;
    }

    /// How many tasks of this instance hold the key.
    pub fn probe(key: String) -> u32 {
        residency::held(&key)
    }

    /// Counts its own calls in this instance.
    pub fn count() -> u32 {
        residency::count()
    }

    /// How many guards this instance has dropped.
    pub fn drops() -> u32 {
        residency::drops()
    }

    /// Waits until another task of this instance sends a signal under the key, and gives it.
    pub async fn await_signal(key: String) -> i64 {
        residency::signal(key).await
    }

    /// Sends the signal; gives whether anybody was waiting.
    pub fn send_signal(key: String, value: i64) -> bool {
        residency::send_signal(&key, value)
    }

    /// Starts a tree of actors, `fanout` below each down to `depth` levels, all of which wait for
    /// ever. Logs `tree: ready` in each actor once all below it can be called.
    pub async fn spawn_tree(depth: u32, fanout: u32) -> Result<(), Fault> {
        trees::spawn(depth, fanout).await
    }

    /// Opens a nursery, starts this many actors in it, and fails in the given way.
    pub async fn abandon_children(children: u32, panic: bool) -> Result<(), Fault> {
        trees::abandon(children, panic).await
    }
}

/// Putting up actors, calling through them, and taking them down. See `scene.rs`.
#[module]
pub mod stage {
    use crate::dialogs::{self, Note, Part, Step};
    use crate::residency;
    use crate::scene::{self, Again, End, Rules, Shot, Whoami};
    use crate::searches;
    use greenroom_guest::kind::Exit;
    use greenroom_guest::prelude::*;
    use std::time::Duration;

    /// Starts a child and keeps it until its end, or this task's. `dirs` are folders of this
    /// actor's own, each with whether the child may write; `beyond` is what it is to other programs;
    /// `limits` are those it has less of.
    pub async fn keep(
        name: String,
        modules: Vec<String>,
        dirs: Option<Vec<(String, bool)>>,
        env: Option<Vec<(String, String)>>,
        beyond: Option<Vec<String>>,
        limits: Option<Vec<(String, u64)>>,
    ) -> Result<(), Fault> {
        let mut options = searches::options(&beyond.unwrap_or_default())?;
        for (name, value) in limits.unwrap_or_default() {
            options = options.limit(name, value);
        }
        for (path, writable) in dirs.unwrap_or_default() {
            options =
                options.dir(if writable { DirGrant::writable(path) } else { DirGrant::read_only(path) });
        }
        for (name, value) in env.unwrap_or_default() {
            options = options.env(name, value);
        }
        scene::keep(name, modules, options).await
    }

    /// Waits until the child of this name can be called.
    pub async fn ready(name: String) -> ActorId {
        scene::ready(name).await
    }

    /// Calls `function`, as `module:function`, in the actor at the end of a path of children, and
    /// gives the result's encoding.
    pub async fn pass(path: Vec<String>, function: String, kwargs: ByteBuf) -> Result<ByteBuf, Fault> {
        scene::pass(path, function, kwargs, None).await
    }

    /// As `pass`, with so many milliseconds for the call of the first actor on the path.
    pub async fn timed(
        path: Vec<String>,
        function: String,
        kwargs: ByteBuf,
        ms: u64,
    ) -> Result<ByteBuf, Fault> {
        scene::pass(path, function, kwargs, Some(Duration::from_millis(ms))).await
    }

    /// How many milliseconds this task has left, if it has a deadline.
    pub fn remaining() -> Option<u64> {
        current_context().remaining().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// How the process of a child ended that runs now.
    pub async fn closed(name: String) -> Result<Exit, Fault> {
        scene::closed(name).await
    }

    /// Keeps children in a supervised nursery until its end, or this task's.
    pub async fn supervise(children: Vec<(String, Option<Again>)>, rules: Rules) -> Result<(), Fault> {
        scene::supervise(children, rules).await
    }

    /// Has a one-shot supervised that always fails, or never, and gives what its nursery comes to.
    pub async fn supervise_shot(fail: bool, rules: Rules) -> Result<(), Fault> {
        scene::supervise_shot(fail, rules).await
    }

    /// Keeps the workers of a cluster until their end, or this task's. Without modules they are
    /// started with those of this suite.
    pub async fn cluster(name: String, modules: Option<Vec<String>>, count: u32) -> Result<(), Fault> {
        scene::cluster(name, modules, count).await
    }

    /// Opens a context with `talk:play` in an actor, a child or any other of the tree, and gives
    /// the notes of this side.
    pub async fn open(
        with: String,
        there: Vec<Step>,
        here: Vec<Step>,
        timeout_ms: Option<u64>,
    ) -> Result<Vec<Note>, Fault> {
        dialogs::open(with, there, here, timeout_ms.map(Duration::from_millis)).await
    }

    /// As `open`, with this side's part in a scope; gives the notes of the other side too.
    pub async fn enclose(
        with: String,
        there: Vec<Step>,
        here: Vec<Step>,
    ) -> Result<(Vec<Note>, Option<Vec<Note>>), Fault> {
        dialogs::enclose(with, there, here).await
    }

    /// Opens a context by name and takes one part of its contract for text.
    pub async fn misread(with: String, part: Part, there: Vec<Step>) -> Result<Vec<Note>, Fault> {
        dialogs::misread(with, part, there).await
    }

    /// Cancels a context while a message of so many MiB is on its way in it; gives how many
    /// milliseconds that took.
    pub async fn pour(with: String, mib: u32) -> Result<u64, Fault> {
        dialogs::pour(with, mib as usize).await
    }

    /// How many numbers the contexts opened here have sent.
    pub fn sent() -> u32 {
        dialogs::sent()
    }

    /// Sends a signal to a context opened here; gives whether it was waiting.
    pub fn send_signal(key: String, value: i64) -> bool {
        residency::send_signal(&key, value)
    }

    /// Cancels a child.
    pub async fn cancel(name: String) -> Result<(), Fault> {
        scene::cancel(name).await
    }

    /// Opens a nursery with daemons and one-shots in it, and ends in the given way.
    pub async fn scope(daemons: u32, shots: Vec<Shot>, at_once: bool, end: End) -> Result<(), Fault> {
        scene::scope(daemons, shots, at_once, end).await
    }

    /// The result of a one-shot, asked for three times.
    pub async fn results(fail: bool) -> Result<Vec<Result<u64, RemoteActorError>>, Fault> {
        scene::results(fail).await
    }

    /// Waits for the result of an actor that has no main task.
    pub async fn daemon_result() -> Result<u64, Fault> {
        scene::daemon_result().await
    }

    /// Who and what the running task is.
    pub fn whoami() -> Whoami {
        scene::whoami()
    }

    /// Waits for ever, counted under the key for as long as it does: as `faults:hold`, in this
    /// module's own instance.
    pub async fn hold(key: String) {
        let _held = residency::Held::new(key);
        std::future::pending::<()>().await;
    }

    /// How many tasks of this instance hold the key.
    pub fn probe(key: String) -> u32 {
        residency::held(&key)
    }

    /// Reads a file.
    pub fn read(path: String) -> Result<String, Fault> {
        std::fs::read_to_string(path).or_fault()
    }

    /// Writes a file.
    pub fn write(path: String, text: String) -> Result<(), Fault> {
        std::fs::write(path, text).or_fault()
    }

    /// An environment variable, if it is set.
    pub fn variable(name: String) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Looking for other actors. See `searches.rs`.
#[module]
pub mod seek {
    use crate::searches::{self, Flood, Told};
    use greenroom_guest::prelude::*;

    /// Finds an actor.
    pub async fn find(name: String) -> Result<Option<ActorId>, Fault> {
        Ok(find_actor(name).await?.map(|portal| portal.actor()))
    }

    /// Waits for an actor, no longer than so many milliseconds if they are given.
    pub async fn wait(name: String, ms: Option<u64>) -> Result<Option<ActorId>, Fault> {
        searches::wait(name, ms).await
    }

    /// Tells of whom it would find.
    pub async fn query(name: String) -> Result<Option<Told>, Fault> {
        Ok(query_actor(name).await?.map(Told::from))
    }

    /// Tells of all there are.
    pub async fn list() -> Result<Vec<Told>, Fault> {
        Ok(list_actors().await?.into_iter().map(Told::from).collect())
    }

    /// Finds an actor and calls `function`, as `module:function`, in it; gives the result's encoding.
    pub async fn call(name: String, function: String, kwargs: ByteBuf) -> Result<ByteBuf, Fault> {
        searches::call(name, function, kwargs).await
    }

    /// Finds an actor, and tries to end it.
    pub async fn cancel(name: String) -> Result<(), Fault> {
        searches::cancel(name).await
    }

    /// Finds an actor, and waits until it is gone.
    pub async fn closed(name: String) -> Result<greenroom_guest::kind::Exit, Fault> {
        searches::closed(name).await
    }

    /// Looks so many times for an actor at once, and keeps what it finds for so long.
    pub async fn flood(name: String, times: u32, keep_ms: u64) -> Flood {
        searches::flood(&name, times, keep_ms).await
    }

    /// Whether this actor may find those of other programs, and whether it may publish.
    pub fn rights() -> (bool, bool) {
        let rights = current_actor().rights;
        (rights.discover, rights.publish)
    }
}

/// Answering in contexts. See `dialogs.rs`.
#[module]
pub mod talk {
    use crate::dialogs::{self, Note, Step};
    use crate::residency;
    use greenroom_guest::prelude::*;

    /// Does what it is told, and gives its notes.
    #[context]
    pub async fn play(ctx: Context<i64, i64, i64>, steps: Vec<Step>) -> Result<Vec<Note>, Fault> {
        dialogs::answer(ctx, steps).await
    }

    /// Has room for many messages, and receives none.
    #[context]
    pub async fn sink(mut ctx: Context<(), (), ByteBuf>) -> Result<(), Fault> {
        ctx.started(())?;
        let _stream = ctx.open_stream()?;
        std::future::pending().await
    }

    /// How many tasks of this instance hold the key.
    pub fn probe(key: String) -> u32 {
        residency::held(&key)
    }

    /// How many guards this instance has dropped.
    pub fn drops() -> u32 {
        residency::drops()
    }

    /// How many numbers the parties of this instance have sent.
    pub fn sent() -> u32 {
        dialogs::sent()
    }

    /// Sends a signal to a party that waits for it; gives whether it was waiting.
    pub fn send_signal(key: String, value: i64) -> bool {
        residency::send_signal(&key, value)
    }
}

/// Passing calls on.
#[module]
pub mod middle {
    use greenroom_guest::prelude::*;

    /// Calls a function in a leaf of its own, which is started with the modules in `enable`
    /// (default: the one called), and gives the result's encoding. An error is passed on.
    pub async fn relay(
        module: String,
        function: String,
        kwargs: ByteBuf,
        enable: Option<Vec<String>>,
    ) -> Result<ByteBuf, Fault> {
        let nursery = Nursery::open();
        let enable = enable.unwrap_or_else(|| vec![module.clone()]);
        let leaf = nursery.start_actor("leaf", enable).with(crate::searches::as_usual()).await?;
        let kwargs = Kwargs::from_payload(kwargs.into_vec());
        let result = leaf.run_encoded(&module, &function, kwargs).await?;
        leaf.cancel_actor().await?;
        Ok(ByteBuf::from(result))
    }
}

/// Takes as much as it is told to, of what is limited.
#[greenroom_guest::module]
pub mod greed {
    use crate::hoard;
    use greenroom_guest::prelude::*;

    /// A result of so many bytes.
    pub fn give(bytes: u32) -> ByteBuf {
        ByteBuf::from(vec![7; bytes as usize])
    }

    /// Logs a line of so many bytes.
    pub fn log_bytes(bytes: u32) {
        log::info!("{}", "x".repeat(bytes as usize));
    }

    /// Writes a line with this text to standard output.
    #[expect(clippy::print_stdout, reason = "it is what is tested")]
    pub fn print(text: String) {
        println!("{text}");
    }

    /// Has so many nurseries open at once.
    pub fn nurseries(count: u32) -> u32 {
        let open: Vec<Nursery> = (0..count).map(|_| Nursery::open()).collect();
        u32::try_from(open.len()).unwrap_or(u32::MAX)
    }

    /// Starts so many children one after the other, each when the last is gone, and gives how many
    /// there were; the first that is refused is the error.
    pub async fn spawn(count: u32) -> Result<u32, Fault> {
        hoard::spawn(count).await
    }

    /// Makes so many calls of another actor at once, with so many bytes each; none ends.
    pub async fn call(with: String, count: u32, bytes: u32) -> Result<(), Fault> {
        hoard::call(&with, count, bytes).await
    }

    /// Takes bytes and does not end.
    pub async fn swallow(bytes: ByteBuf) {
        let _kept = bytes;
        std::future::pending::<()>().await;
    }

    /// Holds so many streams with another actor at once.
    pub async fn stream(with: String, count: u32) -> Result<u32, Fault> {
        hoard::stream(&with, count).await
    }
}

/// Calls a function without arguments in a leaf below a middle actor: three levels, the root
/// being this one. Its failure is this function's. The call may have a deadline.
#[greenroom_guest::main]
async fn main(function: String, deadline_ms: Option<u64>) -> Result<ByteBuf, Fault> {
    let nursery = Nursery::open();
    let middle = nursery.start_actor("middle", [middle::MODULE, faults::MODULE]);
    let middle = middle.with(SpawnOptions::new().grant_spawn()).await?;
    let call = middle::relay { module: "faults".into(), function, kwargs: ByteBuf::new(), enable: None };
    let call = middle.run(call);
    let result = match deadline_ms {
        Some(ms) => call.timeout(std::time::Duration::from_millis(ms)).await?,
        None => call.await?,
    };
    middle.cancel_actor().await?;
    Ok(result)
}
