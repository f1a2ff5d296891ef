//! How fast actors are, beside the least that a round trip between two processes costs, and beside
//! what others do for the same.
//!
//! Owns: what is measured, in which order, and the verdict. Must not know: how each number is
//! taken. Invariant: an actor's figure and the bare one it is compared with come from one run, in
//! alternating rounds, on the same cores.
//!
//! `cargo xtask bench` prints a table and writes the same for programs to `target/bench.json`; with
//! `--page` it writes `docs/performance.md` and its charts too. The exit status is 1 if a limit is not
//! kept. Arguments:
//!
//! | | |
//! |---|---|
//! | `--page` | write the page and the charts |
//! | `--json` | print what is written for programs |
//! | `--runs=N` | measure all so often, and give medians |
//! | `--only=PART` | only this: see [`PARTS`] |
//! | `--without=PART` | all but this |
//! | `--many=N` | so many actors at once, too |
//! | `--from=FILE` | measure nothing, and show what an earlier run has written |
//! | `--profile=WHAT` | nothing but that for ten seconds, for a profiler: see [`PROFILES`] |
//! | `--cores=WHERE` | for `--profile`: `one` core, if nothing is said, or `two`, or `free` |

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark speaks through them")]

mod blocking;
mod calls;
mod compute;
mod contexts;
mod drain;
mod echo;
mod figure;
mod growth;
mod lives;
mod machine;
mod many;
mod own;
mod payloads;
mod peers;
mod report;
mod stage;
mod streams;
mod walls;

use std::error::Error;
use std::process::ExitCode;

use figure::{Figure, Section};
use greenroom::Wall;
use greenroom_tests::{Exits, repository};
use machine::Cores;
use report::Report;
use stage::Stage;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What can be measured alone, or left out.
const PARTS: [&str; 7] = ["calls", "payloads", "lives", "many", "compute", "walls", "peers"];

/// What a profiler can look on.
#[derive(Clone, Copy, Debug)]
enum Profiled {
    Calls(calls::Caller),
    Stream(streams::Flow),
}

/// By the name on the command line.
const PROFILES: [(&str, Profiled); 5] = [
    ("call", Profiled::Calls(calls::Caller::Operator)),
    ("crowd", Profiled::Calls(calls::Caller::Crowd)),
    ("guest", Profiled::Calls(calls::Caller::Guest)),
    ("numbers", Profiled::Stream(streams::Flow::Numbers)),
    ("blocks", Profiled::Stream(streams::Flow::Blocks)),
];

/// A name on the command line, and what this program then is: another end.
type End = (&'static str, fn() -> ExitCode);

const ENDS: [End; 4] = [
    (echo::SERVE, echo::serve),
    (drain::SERVE, drain::serve),
    (blocking::SERVE, blocking::serve),
    (blocking::SERVE_DRAIN, blocking::serve_drain),
];

/// The words on the command line.
struct Arguments(Vec<String>);

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    /// What stands behind a name and `=`.
    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    fn number(&self, name: &str) -> Result<Option<usize>> {
        Ok(self.value(name).map(str::parse).transpose()?)
    }

    fn wants(&self, part: &str) -> bool {
        self.value("--only").is_none_or(|only| only == part) && self.value("--without") != Some(part)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    if let Some((_, serve)) = ENDS.iter().find(|(name, _)| arguments.has(name)) {
        return serve();
    }
    match begin(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn begin(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.has(lives::COLD) {
        return run(lives::be_cold()).map(|()| ExitCode::SUCCESS);
    }
    if let Some(subject) = arguments.value("--peer") {
        return run(own::be_peer(subject, &arguments.0[1..])).map(|()| ExitCode::SUCCESS);
    }
    for named in [arguments.value("--only"), arguments.value("--without")].into_iter().flatten() {
        if !PARTS.contains(&named) {
            return Err(format!("there is no part `{named}`: {}", PARTS.join(", ")).into());
        }
    }
    let results = repository().join("target/bench.json");
    let report = match (arguments.value("--profile"), arguments.value("--from")) {
        (Some(name), _) => {
            let profiled = PROFILES.iter().find(|(known, _)| *known == name);
            let Some((_, profiled)) = profiled else { return Err(format!("no profile `{name}`").into()) };
            let named = arguments.value("--cores").unwrap_or("one");
            let cores = Cores::all()?.into_iter().find(|cores| cores.short() == named);
            let Some(cores) = cores else { return Err(format!("no such cores here: `{named}`").into()) };
            let figure = profile(*profiled, cores)?;
            Report { sections: vec![Section::new("Profile", [figure])], ..Report::default() }
        }
        (None, Some(file)) => Report::read(file.as_ref())?,
        (None, None) => {
            let runs = arguments.number("--runs")?.unwrap_or(1).max(1);
            let exits = Exits::record();
            let reports = (0..runs).map(|_| measure(arguments, &exits)).collect::<Result<Vec<_>>>()?;
            let report = Report::of_runs(reports).ok_or("nothing was measured")?;
            report.write(&results)?;
            report
        }
    };
    if arguments.has("--page") {
        report.write_page(&repository().join("docs"))?;
    }
    if arguments.has("--json") {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.text());
    }
    let broken: Vec<&Figure> = report.figures().filter(|figure| !figure.is_kept()).collect();
    for figure in &broken {
        eprintln!("error: {} is {}, limit {}", figure.what, figure.shown(), figure.shown_limit());
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run of all that is asked for.
fn measure(arguments: &Arguments, exits: &Exits) -> Result<Report> {
    let (mut sections, mut curves, mut standings) = (Vec::new(), Vec::new(), Vec::new());
    if arguments.wants("calls") {
        for cores in Cores::all()? {
            sections.extend(talk(cores)?);
        }
    }
    Cores::Free.apply()?;
    if arguments.wants("payloads") {
        sections.extend(run(async {
            let stage = Stage::open()?;
            let (figures, curve) = payloads::measure(&stage).await?;
            curves.push(curve);
            let (opened, more) = contexts::measure(&stage).await?;
            curves.extend(more);
            stage.close().await?;
            Ok([Section::new("Payloads", figures), Section::new("Contexts", opened)])
        })?);
    }
    if arguments.wants("lives") {
        sections.extend(run(async {
            let stage = Stage::open()?;
            let sections = lives::measure(&stage, exits).await?;
            stage.close().await?;
            Ok(sections)
        })?);
    }
    if arguments.wants("many") {
        let (figures, more) = run(many::measure(arguments.number("--many")?))?;
        sections.push(Section::new("Many actors", figures));
        curves.extend(more);
    }
    if arguments.wants("compute") {
        sections.push(Section::new("Computing", computed()?));
    }
    if arguments.wants("walls") {
        sections.push(Section::new("Walls", walls()?));
    }
    if !curves.is_empty() {
        sections.push(Section::new("Growth", curves.iter().map(growth::Curve::figure)));
    }
    if arguments.wants("peers") {
        standings = peers::measure(peers::ROUNDS)?;
    }
    Ok(Report { machine: machine::facts(), runs: 1, sections, curves, peers: standings })
}

/// Calls and streams where the ends are placed so.
fn talk(cores: Cores) -> Result<Vec<Section>> {
    let far = cores.apply()?;
    run(async {
        let stage = machine::at(far, Stage::open)?;
        let called = calls::measure(&stage, cores, far).await?;
        let mut sections = vec![Section::new(&format!("Calls, {}", cores.name()), called)];
        // Both ends of a stream are guests, and far ends: on two cores there are no such figures.
        if cores != Cores::Two {
            let streamed = streams::measure(&stage, cores, far).await?;
            sections.push(Section::new(&format!("Streams, {}", cores.name()), streamed));
        }
        stage.close().await?;
        Ok(sections)
    })
}

/// What a guest computes, on one core.
fn computed() -> Result<Vec<Figure>> {
    let far = Cores::One.apply()?;
    let figures = run(async {
        let stage = machine::at(far, Stage::open)?;
        let figures = compute::measure(&stage).await?;
        stage.close().await?;
        Ok(figures)
    });
    Cores::Free.apply()?;
    figures
}

/// The cost of the walls.
fn walls() -> Result<Vec<Figure>> {
    run(async {
        let (walled, open) = (Stage::open()?, Stage::open_without(Wall::ALL.into_iter().collect())?);
        let figures = walls::measure(&walled, &open).await?;
        walled.close().await?;
        open.close().await?;
        Ok(figures)
    })
}

fn profile(profiled: Profiled, cores: Cores) -> Result<Figure> {
    let far = cores.apply()?;
    run(async {
        let stage = machine::at(far, Stage::open)?;
        let figure = match profiled {
            Profiled::Calls(caller) => calls::repeat(&stage, caller).await?,
            Profiled::Stream(flow) => streams::repeat(&stage, flow).await?,
        };
        stage.close().await?;
        Ok(figure)
    })
}

/// Runs on one thread, as `greenroom` and its actors do.
fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
