//! How fast actors are, beside the least that a round trip between two processes costs.
//!
//! Owns: what is measured, in which order, and the verdict. Must not know: how each number is
//! taken. Invariant: an actor's figure and the bare one it is compared with come from one run, in
//! alternating rounds, on the same cores.
//!
//! `cargo bench --workspace --bench actors` prints a table, `-- --json` the same for programs, and
//! `-- --markdown` the page `docs/performance.md`. The exit status is 1 if a limit is not kept.
//! `-- --profile=call` does nothing but call on one core for ten seconds, and `-- --profile=guest`
//! has a guest call a guest, for a profiler to look on; `-- --profile=numbers` and
//! `-- --profile=blocks` have it stream to one. `-- --walls` measures the walls alone.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark speaks through them")]

mod calls;
mod drain;
mod echo;
mod figure;
mod lives;
mod machine;
mod report;
mod stage;
mod streams;
mod walls;

use std::error::Error;
use std::process::ExitCode;

use figure::Figure;
use greenroom::Wall;
use greenroom_tests::Exits;
use machine::Cores;
use stage::Stage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What a profiler can look on.
#[derive(Clone, Copy, Debug)]
enum Profiled {
    Calls(calls::Caller),
    Stream(streams::Flow),
}

/// By the name on the command line.
const PROFILES: [(&str, Profiled); 4] = [
    ("call", Profiled::Calls(calls::Caller::Operator)),
    ("guest", Profiled::Calls(calls::Caller::Guest)),
    ("numbers", Profiled::Stream(streams::Flow::Numbers)),
    ("blocks", Profiled::Stream(streams::Flow::Blocks)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if has(echo::SERVE) {
        return echo::serve();
    }
    if has(drain::SERVE) {
        return drain::serve();
    }
    let profiled = PROFILES.iter().find(|(name, _)| has(&format!("--profile={name}")));
    let measured = match profiled {
        Some((_, profiled)) => profile(*profiled),
        None if has("--walls") => walls(),
        None => measure(),
    };
    let figures = match measured {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let machine = machine::facts();
    if has("--json") {
        println!("{}", report::json(&machine, &figures));
    } else if has("--markdown") {
        print!("{}", report::markdown(&machine, &figures));
    } else {
        print!("{}", report::text(&machine, &figures));
    }
    let broken: Vec<&Figure> = figures.iter().filter(|figure| !figure.is_kept()).collect();
    for figure in &broken {
        eprintln!("error: {} is {}, limit {}", figure.what, figure.shown(), figure.shown_limit());
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure() -> Result<Vec<Figure>> {
    let exits = Exits::record();
    let mut figures = Vec::new();
    for cores in [Cores::One, Cores::All] {
        cores.apply()?;
        figures.extend(run(async {
            let stage = Stage::open()?;
            let mut figures = calls::measure(&stage, cores).await?;
            figures.extend(streams::measure(&stage, cores).await?);
            stage.close().await?;
            Ok(figures)
        })?);
    }
    figures.extend(run(async {
        let stage = Stage::open()?;
        let figures = lives::measure(&stage, &exits).await?;
        stage.close().await?;
        Ok(figures)
    })?);
    figures.extend(walls()?);
    Ok(figures)
}

/// The cost of the walls, which `-- --walls` takes alone.
fn walls() -> Result<Vec<Figure>> {
    run(async {
        let (walled, open) = (Stage::open()?, Stage::open_without(Wall::ALL.into_iter().collect())?);
        let figures = walls::measure(&walled, &open).await?;
        walled.close().await?;
        open.close().await?;
        Ok(figures)
    })
}

fn profile(profiled: Profiled) -> Result<Vec<Figure>> {
    Cores::One.apply()?;
    run(async {
        let stage = Stage::open()?;
        let figure = match profiled {
            Profiled::Calls(caller) => calls::repeat(&stage, caller).await?,
            Profiled::Stream(flow) => streams::repeat(&stage, flow).await?,
        };
        stage.close().await?;
        Ok(vec![figure])
    })
}

/// Runs on one thread, as `greenroom` and its actors do.
fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
