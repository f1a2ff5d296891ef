//! What others ask for the same.
//!
//! Owns: having each peer's program measure, and reading what it says. Must not know: how a peer works.
//! Invariant: all peers are asked the same, in turn, in rounds; a value is the median of its rounds,
//! and a ratio that of the ratios within them.

mod table;

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Result;
use crate::figure::Times;
use crate::machine::Cores;
use table::{Asked, BASE, PEERS, Peer};

/// How often all are asked.
pub(crate) const ROUNDS: usize = 3;

/// How long a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(45);
const LOOK: Duration = Duration::from_millis(10);

const MEBIBYTE: f64 = (1 << 20) as f64;

/// What is known of a peer.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) name: String,
    /// What is between its two ends.
    pub(crate) between: String,
    pub(crate) version: Option<String>,
    /// Why something or all of it is not known.
    pub(crate) absent: Option<String>,
    /// What it measured, by the keys of [`COLUMNS`]: the median of the rounds, the least and the most.
    pub(crate) values: BTreeMap<String, (f64, f64, f64)>,
}

/// What is known of each, as a heading says it.
pub(crate) const COLUMNS: [(&str, &str); 14] = [
    ("call-one", "call, one core, µs"),
    ("call-one-p99", "p99"),
    ("call-one-ratio", "× tokio"),
    ("call-two", "call, two cores, µs"),
    ("call-two-p99", "p99"),
    ("call-two-ratio", "× tokio"),
    ("call-free", "call, not pinned, µs"),
    ("call-free-p99", "p99"),
    ("call-free-ratio", "× tokio"),
    ("flight", "64 in flight, k/s"),
    ("echo", "echo of 1 MiB, MiB/s"),
    ("stream", "messages of 16 B, k/s"),
    ("spawn", "start to first reply, ms"),
    ("memory", "private memory of one of 8, MiB"),
];

/// One round's values.
type Round = BTreeMap<String, f64>;

/// Asks all of them, so often in turn.
pub(crate) fn measure(rounds: usize) -> Result<Vec<Standing>> {
    let mut standings: Vec<Standing> = PEERS
        .iter()
        .map(|peer| Standing {
            name: peer.name.to_owned(),
            between: peer.between.to_owned(),
            ..Standing::default()
        })
        .collect();
    let mut all: Vec<Vec<Round>> = PEERS.iter().map(|_| Vec::new()).collect();
    for number in 1..=rounds {
        eprintln!("peers: round {number} of {rounds}");
        let mut round: Vec<Round> = PEERS.iter().map(|_| Round::new()).collect();
        for cores in Cores::all()? {
            for (place, peer) in PEERS.iter().enumerate() {
                if standings[place].absent.is_some() {
                    continue;
                }
                if let Err(error) = ask(peer, cores, &mut round[place], &mut standings[place]) {
                    standings[place].absent = Some(error.to_string());
                }
            }
        }
        compare(&mut round);
        for (values, all) in round.into_iter().zip(&mut all) {
            all.push(values);
        }
    }
    for (standing, rounds) in standings.iter_mut().zip(&all) {
        for (key, _) in COLUMNS {
            let mut values: Vec<f64> = rounds.iter().filter_map(|round| round.get(key)).copied().collect();
            values.sort_by(f64::total_cmp);
            if let [least, .., most] | [least @ most] = values.as_slice() {
                standing.values.insert(key.to_owned(), (values[values.len() / 2], *least, *most));
            }
        }
    }
    Ok(standings)
}

/// Divides the times of calls by those of the base, in one round.
fn compare(round: &mut [Round]) {
    let Some(base) = PEERS.iter().position(|peer| peer.name == BASE).map(|base| round[base].clone()) else {
        return;
    };
    for values in round {
        for (key, time) in &base {
            if let Some(own) = values.get(key).copied()
                && key.starts_with("call-")
                && !key.ends_with("-p99")
            {
                values.insert(format!("{key}-ratio"), own / time);
            }
        }
    }
}

/// Has a peer's program measure what it can where its ends are placed so.
fn ask(peer: &Peer, cores: Cores, round: &mut Round, standing: &mut Standing) -> Result<()> {
    let asked: Vec<Asked> = match cores {
        Cores::Free => peer.asked.to_vec(),
        Cores::One if !peer.placed => return Ok(()),
        Cores::Two if !peer.apart => return Ok(()),
        // Where the ends are matters most to calls; nothing else is measured so often.
        Cores::One | Cores::Two => vec![Asked::Call],
    };
    let mut command = peer.command()?;
    let far = cores.apply()?;
    command.arg(far.map_or_else(|| "-".to_owned(), |core| core.to_string()));
    command.args(asked.iter().map(|asked| asked.name()));
    let said = run(command);
    Cores::Free.apply()?;
    for line in said?.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line)?;
        if let Some(version) = line["version"].as_str() {
            standing.version = Some(version.to_owned());
        } else {
            read(&line, cores, round)?;
        }
    }
    Ok(())
}

/// Reads one line of a program.
fn read(line: &Value, cores: Cores, round: &mut Round) -> Result<()> {
    let name = line["measurement"].as_str().ok_or("a measurement without a name")?;
    let numbers =
        |key: &str| -> Option<Vec<u64>> { line[key].as_array()?.iter().map(Value::as_u64).collect() };
    if let Some(samples) = numbers("samples").filter(|samples| !samples.is_empty()) {
        let mut times = Times::default();
        times.extend(samples);
        let (p50, p99) = (times.percentile(50.0), times.percentile(99.0));
        match name {
            "call" => {
                let key = format!("call-{}", cores.short());
                round.insert(format!("{key}-p99"), p99 * 1e6);
                round.insert(key, p50 * 1e6);
            }
            "echo" => drop(round.insert(name.to_owned(), 1.0 / p50)),
            _ => drop(round.insert(name.to_owned(), p50 * 1e3)),
        }
    } else if let (Some(count), Some(nanoseconds)) = (line["count"].as_u64(), line["nanoseconds"].as_u64()) {
        round.insert(name.to_owned(), count as f64 * 1e6 / nanoseconds as f64);
    } else if let Some(bytes) = numbers("bytes").filter(|bytes| !bytes.is_empty()) {
        let mean = bytes.iter().sum::<u64>() as f64 / bytes.len() as f64;
        round.insert(name.to_owned(), mean / MEBIBYTE);
    } else {
        return Err(format!("`{name}` is not understood").into());
    }
    Ok(())
}

/// Runs a program to its end, or for as long as anybody has patience.
fn run(mut command: Command) -> Result<String> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let read = |from: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            // Half of what it said is as good as nothing.
            let read = from.map(|mut from| from.read_to_string(&mut text));
            matches!(read, Some(Ok(_))).then_some(text).unwrap_or_default()
        })
    };
    let out = read(child.stdout.take().map(|out| Box::new(out) as _));
    let err = read(child.stderr.take().map(|err| Box::new(err) as _));
    let end = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status,
            None if Instant::now() > end => {
                child.kill()?;
                child.wait()?;
                return Err("it did not answer in time".into());
            }
            None => std::thread::sleep(LOOK),
        }
    };
    let (out, err) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    if status.success() {
        Ok(out)
    } else {
        let said = err.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said");
        Err(format!("{status}: {said}").into())
    }
}
