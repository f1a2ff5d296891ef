//! Chores of this repository: `cargo xtask <chore>`.
//!
//! Owns: the command line. Must not know: how a chore is done. Invariant: whatever a chore
//! needs and this machine lacks is installed by the chore, so each works on a fresh clone.

mod demo;
mod guests;
mod host;
mod languages;
mod ordinary;
mod peers;
mod products;
mod sabotage;
mod system;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what building guests needs.
    Setup,
    /// Build the example modules and the guests of the tests to target/guests/*.wasm.
    Guests,
    /// Build the guests in other languages to target/guests/languages/*.wasm, installing what that
    /// takes.
    Languages,
    /// Build everything and run two of the examples.
    Demo,
    /// Build the guests in all languages and run the tests; as root, those from end to end once
    /// more as an ordinary user.
    Test {
        /// Arguments for cargo test. Name a test rather than a package: another selection
        /// of packages can mean to compile the engine again.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// As root, run the end-to-end suite as a user who is not.
    Ordinary {
        /// Arguments for the test program, such as a part of a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
    /// Switch off each protection in turn, and require that its tests notice.
    Sabotage {
        /// Only these protections.
        #[arg(value_name = "PROTECTION")]
        protections: Vec<String>,
    },
    /// Install and build what the benchmarks compare with, as far as this machine can get it.
    Peers,
    /// Build the program as it is shipped, target/dist/greenroom: an eighth less for a call.
    ///
    /// All of it is optimized as a whole, which takes ten minutes.
    Dist,
    /// Build the guests and run the benchmarks; with --page, write docs/performance.md, too.
    ///
    /// What is measured is built as it is shipped. The benchmarks take about two minutes, and three more
    /// with the peers, which `cargo xtask peers` sets up and `--without=peers` leaves out. `--runs=3` does
    /// all of it three times and gives medians.
    Bench {
        /// Arguments for the benchmark: --page, --json, --runs=N, --only=PART, --without=PART, --many=N,
        /// --from=FILE, --profile=WHAT.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse().chore).unwrap_or_else(|error| {
        // No backtrace: what went wrong is on the machine, not in here.
        guests::say(&format!("error: {error:#}"));
        ExitCode::FAILURE
    })
}

fn run(chore: Chore) -> anyhow::Result<ExitCode> {
    match chore {
        Chore::Setup => guests::set_up().map(|_| ExitCode::SUCCESS),
        Chore::Guests => guests::build().map(|()| ExitCode::SUCCESS),
        Chore::Languages => guests::build().and_then(|()| languages::build()).map(|()| ExitCode::SUCCESS),
        Chore::Demo => demo::run(),
        Chore::Test { arguments } => match host::test(&arguments)? {
            // Whoever asks for some tests has seen them.
            ExitCode::SUCCESS if arguments.is_empty() => ordinary::run(&[]),
            ended => Ok(ended),
        },
        Chore::Ordinary { arguments } => ordinary::run(&arguments),
        Chore::Sabotage { protections } => sabotage::run(&protections),
        Chore::Peers => peers::set_up(),
        Chore::Dist => host::dist(),
        Chore::Bench { arguments } => host::bench(&arguments),
    }
}
