//! Greenroom and bare sockets as programs that are asked and answer as peers are.
//!
//! Owns: the measurements that all peers have, for those that are at home here. Must not know: whom
//! they are compared with. Invariant: the counts are those of `tests/peers/common`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom::{CallOptions, StreamOptions, payload};
use greenroom_tests::Memory;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};

use crate::Result;
use crate::blocking::Blocking;
use crate::calls;
use crate::drain::{Drain, Writes};
use crate::echo::Echo;
use crate::figure::Times;
use crate::machine;
use crate::payloads;
use crate::stage::{self, Square, Stage};
use crate::streams::PourBlocks;

/// How long something is repeated that is measured, and how often it is done before.
const LASTING: Duration = Duration::from_millis(400);
const WARM_UP: usize = 500;

/// How many round trips are made between two looks at the clock.
const AT_ONCE: usize = 100;

/// Calls on their way at once.
const FLYING: usize = 64;
const FLOWN: u32 = 20_000;

/// The large payload, and how often it goes there and back before it counts.
const LARGE: usize = 1 << 20;
const FIRST_LARGE: usize = 5;

/// Messages of a stream, those that come before, and the length of each.
const MESSAGES: u32 = 100_000;
const FIRST_MESSAGES: u32 = 10_000;
const MESSAGE_BYTES: usize = 16;

/// Processes that are started one after the other, and those that are alike and alive together.
const STARTS: usize = 12;
const ALIKE: usize = 8;

/// What is measured here, by the name that it is asked for with.
#[derive(Clone, Copy)]
enum Subject {
    Blocking,
    Tokio,
    Operator,
    Guests,
}

const SUBJECTS: [(&str, Subject); 4] = [
    ("blocking", Subject::Blocking),
    ("tokio", Subject::Tokio),
    ("operator", Subject::Operator),
    ("guests", Subject::Guests),
];

/// What came of one measurement.
enum Measured {
    Samples(Times),
    Rate(u64, Duration),
    Bytes(Vec<u64>),
}

/// Does as a peer's program does: `subject core measurement...`.
pub(crate) async fn be_peer(subject: &str, arguments: &[String]) -> Result<()> {
    let Some((_, subject)) = SUBJECTS.iter().find(|(name, _)| *name == subject) else {
        return Err(format!("there is no `{subject}`").into());
    };
    let [core, measurements @ ..] = arguments else { return Err("no core".into()) };
    let far = if core == "-" { None } else { Some(core.parse()?) };
    let version = match subject {
        Subject::Blocking => Some("Rust's standard library".to_owned()),
        Subject::Tokio => machine::locked("tokio").map(|version| format!("tokio {version}")),
        Subject::Operator | Subject::Guests => Some(env!("CARGO_PKG_VERSION").to_owned()),
    };
    println!("{}", json!({ "version": version }));
    for name in measurements {
        let measured = match subject {
            Subject::Blocking => blocking(name, far)?,
            Subject::Tokio => tokio(name, far).await?,
            Subject::Operator => operator(name, far).await?,
            Subject::Guests => guests(name, far).await?,
        };
        println!("{}", line(name, &measured));
    }
    Ok(())
}

fn line(name: &str, measured: &Measured) -> Value {
    match measured {
        Measured::Samples(times) => json!({ "measurement": name, "samples": times.samples() }),
        Measured::Rate(count, took) => {
            json!({ "measurement": name, "count": count, "nanoseconds": took.as_nanos() as u64 })
        }
        Measured::Bytes(bytes) => json!({ "measurement": name, "bytes": bytes }),
    }
}

fn unknown<T>(name: &str) -> Result<T> {
    Err(format!("there is no measurement `{name}`").into())
}

fn private_bytes(pids: impl IntoIterator<Item = i32>) -> Result<Measured> {
    let of = |pid| Ok(Memory::of(pid).ok_or("a process is gone")?.private);
    Ok(Measured::Bytes(pids.into_iter().map(of).collect::<Result<_>>()?))
}

fn blocking(name: &str, far: Option<usize>) -> Result<Measured> {
    let start = || machine::at(far, Blocking::start);
    let (mut times, end) = (Times::default(), Instant::now() + LASTING);
    match name {
        "call" | "echo" | "flight" => {
            let mut echo = start()?;
            echo.round_trips(WARM_UP, &mut Times::default())?;
            let began = Instant::now();
            let measured = match name {
                "flight" => Measured::Rate(echo.flood(FLYING, LASTING)? as u64, began.elapsed()),
                "call" => {
                    while Instant::now() < end {
                        echo.round_trips(AT_ONCE, &mut times)?;
                    }
                    Measured::Samples(times)
                }
                _ => {
                    echo.large(LARGE, FIRST_LARGE, &mut Times::default())?;
                    while Instant::now() < end {
                        echo.large(LARGE, 1, &mut times)?;
                    }
                    Measured::Samples(times)
                }
            };
            echo.stop()?;
            Ok(measured)
        }
        "stream" => {
            let mut drain = machine::at(far, Blocking::start_drain)?;
            drain.pour(FIRST_MESSAGES)?;
            let took = drain.pour(MESSAGES)?;
            drain.stop()?;
            Ok(Measured::Rate(MESSAGES.into(), took))
        }
        "spawn" => {
            for _ in 0..STARTS {
                let began = Instant::now();
                let mut echo = start()?;
                echo.round_trips(1, &mut Times::default())?;
                times.add(began.elapsed());
                echo.stop()?;
            }
            Ok(Measured::Samples(times))
        }
        "memory" => {
            let mut alike = (0..ALIKE).map(|_| start()).collect::<Result<Vec<_>>>()?;
            for echo in &mut alike {
                echo.round_trips(1, &mut Times::default())?;
            }
            let measured = private_bytes(alike.iter().map(|echo| echo.pid().cast_signed()))?;
            alike.into_iter().try_for_each(Blocking::stop)?;
            Ok(measured)
        }
        other => unknown(other),
    }
}

async fn tokio(name: &str, far: Option<usize>) -> Result<Measured> {
    let start = || machine::at(far, Echo::start);
    let (mut times, end) = (Times::default(), Instant::now() + LASTING);
    match name {
        "call" | "echo" | "flight" => {
            let mut echo = start()?;
            echo.round_trips(WARM_UP, &mut Times::default()).await?;
            let began = Instant::now();
            let measured = match name {
                "flight" => Measured::Rate(echo.flood(FLYING, LASTING).await? as u64, began.elapsed()),
                "call" => {
                    while Instant::now() < end {
                        echo.round_trips(AT_ONCE, &mut times).await?;
                    }
                    Measured::Samples(times)
                }
                _ => {
                    echo.large(LARGE, FIRST_LARGE, &mut Times::default()).await?;
                    while Instant::now() < end {
                        echo.large(LARGE, 1, &mut times).await?;
                    }
                    Measured::Samples(times)
                }
            };
            echo.stop()?;
            Ok(measured)
        }
        "stream" => {
            let mut drain = machine::at(far, Drain::start)?;
            drain.pour(FIRST_MESSAGES, MESSAGE_BYTES, Writes::Each).await?;
            let took = drain.pour(MESSAGES, MESSAGE_BYTES, Writes::Each).await?;
            drain.stop()?;
            Ok(Measured::Rate(MESSAGES.into(), took))
        }
        "spawn" => {
            for _ in 0..STARTS {
                let began = Instant::now();
                let mut echo = start()?;
                echo.round_trips(1, &mut Times::default()).await?;
                times.add(began.elapsed());
                echo.stop()?;
            }
            Ok(Measured::Samples(times))
        }
        "memory" => {
            let mut alike = (0..ALIKE).map(|_| start()).collect::<Result<Vec<_>>>()?;
            for echo in &mut alike {
                echo.round_trips(1, &mut Times::default()).await?;
            }
            let measured = private_bytes(alike.iter().map(|echo| echo.pid().cast_signed()))?;
            alike.into_iter().try_for_each(Echo::stop)?;
            Ok(measured)
        }
        other => unknown(other),
    }
}

/// A native program that calls a guest.
async fn operator(name: &str, far: Option<usize>) -> Result<Measured> {
    let stage = machine::at(far, Stage::open)?;
    // What the first of a program has to load is no peer's business; `lives` measures it.
    let portal = stage.start("far").await?;
    let kwargs = stage::arguments(&Square { x: 12 })?;
    calls::round_trips(&portal, &kwargs, WARM_UP, &mut Times::default()).await?;
    let mut times = Times::default();
    let (began, end) = (Instant::now(), Instant::now() + LASTING);
    let measured = match name {
        "call" => {
            while Instant::now() < end {
                calls::round_trips(&portal, &kwargs, AT_ONCE, &mut times).await?;
            }
            Measured::Samples(times)
        }
        "flight" => {
            let count = calls::flood(&portal, &kwargs, FLYING, LASTING).await?;
            Measured::Rate(count as u64, began.elapsed())
        }
        "echo" => {
            let kwargs = payloads::payload(LARGE)?;
            payloads::echoes(&portal, &kwargs, LARGE, FIRST_LARGE, &mut Times::default()).await?;
            while Instant::now() < end {
                payloads::echoes(&portal, &kwargs, LARGE, 1, &mut times).await?;
            }
            Measured::Samples(times)
        }
        "stream" => {
            pour(&portal, FIRST_MESSAGES).await?;
            let began = Instant::now();
            pour(&portal, MESSAGES).await?;
            Measured::Rate(MESSAGES.into(), began.elapsed())
        }
        "spawn" => {
            for _ in 0..STARTS {
                let began = Instant::now();
                let started = stage.start("started").await?;
                stage::square(&started).await?;
                times.add(began.elapsed());
                started.cancel_actor().await.map_err(stage::failed)?;
            }
            Measured::Samples(times)
        }
        "memory" => {
            portal.cancel_actor().await.map_err(stage::failed)?;
            let mut alike = Vec::new();
            for number in 0..ALIKE {
                let portal = stage.start(&format!("alike_{number}")).await?;
                stage::square(&portal).await?;
                alike.push(portal);
            }
            let pids = stage::actors();
            if pids.len() != ALIKE {
                return Err(format!("{} processes for {ALIKE} actors", pids.len()).into());
            }
            private_bytes(pids)?
        }
        other => return unknown(other),
    };
    stage.close().await?;
    Ok(measured)
}

/// Sends messages to a guest, and waits until it has counted them.
async fn pour(portal: &greenroom::Portal, count: u32) -> Result<()> {
    let nothing = stage::arguments(&serde_json::Map::new())?;
    let opened = portal.open_context("bench:blocks", nothing, CallOptions::default()).await;
    let (context, _) = opened.map_err(stage::failed)?;
    let stream = context.open_stream(StreamOptions::default()).map_err(stage::failed)?;
    let message = Bytes::from(payload::encode(&ByteBuf::from(vec![7; MESSAGE_BYTES]))?);
    for _ in 0..count {
        stream.send(message.clone()).await.map_err(stage::failed)?;
    }
    stream.close();
    let arrived: u64 = payload::decode(&context.wait_for_result().await.map_err(stage::failed)?)?;
    if arrived == u64::from(count) { Ok(()) } else { Err(format!("{arrived} arrived of {count}").into()) }
}

/// A guest that calls a guest.
async fn guests(name: &str, far: Option<usize>) -> Result<Measured> {
    let stage = machine::at(far, Stage::open)?;
    let middle = stage.start("near").await?;
    let measured = match name {
        "call" => {
            let mut times = Times::default();
            times.extend(calls::between_guests(&middle, WARM_UP as u32, FLOWN / 4).await?);
            Measured::Samples(times)
        }
        "flight" => {
            let order = serde_json::json!({ "flying": FLYING, "calls": FLOWN });
            let took: u64 = stage::call(&middle, "flood_leaf", stage::arguments(&order)?).await?;
            let count = FLOWN / FLYING as u32 * FLYING as u32;
            Measured::Rate(count.into(), Duration::from_nanos(took))
        }
        "stream" => {
            let order = PourBlocks { warm_up: FIRST_MESSAGES, messages: MESSAGES, size: MESSAGE_BYTES };
            let took: u64 = stage::call(&middle, "pour_blocks", stage::arguments(&order)?).await?;
            Measured::Rate(MESSAGES.into(), Duration::from_nanos(took))
        }
        other => return unknown(other),
    };
    stage.close().await?;
    Ok(measured)
}
