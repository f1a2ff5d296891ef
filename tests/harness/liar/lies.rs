//! The lies, one by one.
//!
//! Owns: what is said in each, and what it is to end with. Must not know: how it is seen to. Invariant:
//! an honest actor says none of it.

use std::io;
use std::time::Duration;

use greenroom_transport::{Attachment, Packet, Pipe};
use greenroom_wire::control::{DirGrant, RequestId, SpawnSpec, ToActor, ToBroker};
use greenroom_wire::{ContextId, Message, VERSION};
use tokio::io::AsyncWriteExt;

use super::{Liar, REFUSED, framed, say};
use crate::corpus::{Attack, Wall};

/// One lie.
#[derive(Clone, Copy, Debug)]
pub struct Lie {
    /// What the page tells of it.
    pub attack: Attack,
    /// What it must end with.
    pub fate: Fate,
    pub(super) told: Told,
}

/// What becomes of a liar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The broker kills it, and says why, with this among its words.
    Caught(&'static str),
    /// The same, and its starter is told that it did not come up.
    Doomed(&'static str),
    /// Whoever started it ends it, for a violation with this among its words.
    Ended(&'static str),
    /// It is told why it does not get what it asks for, by the type of the error.
    Refused(&'static str),
    /// Nothing: it hurts nobody but itself.
    Borne,
}

/// What is said, or done.
#[derive(Clone, Copy, Debug)]
pub(super) enum Told {
    Rubbish,
    CutOff,
    Unknown,
    TooLong,
    Nothing,
    HungUp,
    ReadyTwice,
    NotLoaded,
    BeforeReady,
    TwoStarts,
    TwoFinds,
    Taken,
    Measured,
    Invite,
    Descriptors,
    Sibling,
    Flood,
    Grant,
    BeforeHandshake,
    WrongRole,
    SecondWelcome,
    LongFrame,
    BadFrame,
    ToSibling,
    NeverAsked,
    NotOurs,
    AckedTwice,
    NumberAgain,
    Pings,
    Drip,
    Miscount,
    LendsElsewhere,
}

macro_rules! lies {
    ($($id:literal $title:literal $told:ident $fate:ident $(($why:literal))?;)*) => {
        /// All of them: first those told to the broker, then those told to other actors.
        pub const LIES: &[Lie] = &[$(
            Lie {
                attack: Attack { id: $id, title: $title, walls: &[Wall::Protocol], alone: &[Wall::Protocol] },
                fate: Fate::$fate $(($why))?,
                told: Told::$told,
            },
        )*];
    };
}

lies! {
    "proto-01" "send the broker what is no message" Rubbish Caught("cannot decode");
    "proto-02" "send the broker half a message" CutOff Caught("cannot decode");
    "proto-03" "send the broker a message that there is not" Unknown Caught("cannot decode");
    "proto-04" "send the broker a message that is too long" TooLong Caught("truncated");
    "proto-05" "send the broker an empty packet" Nothing Caught("closed its control channel");
    "proto-06" "close the way to the broker, and go on" HungUp Caught("closed its control channel");
    "proto-07" "be ready twice" ReadyTwice Caught("ready, again");
    "proto-08" "be ready, and then not" NotLoaded Caught("cannot be loaded");
    "proto-09" "ask for a child before it is ready" BeforeReady Doomed("before it is ready");
    "proto-10" "start two children under one number" TwoStarts Caught("to start under the number");
    "proto-11" "look for two actors under one number" TwoFinds Caught("to find under the number");
    "proto-12" "take a pipe that it was not sent" Taken Caught("was not sent");
    "proto-13" "answer what it was not asked" Measured Caught("was not asked");
    "proto-14" "invite a program from outside" Invite Caught("only the operator");
    "proto-15" "send the broker descriptors" Descriptors Caught("descriptors");
    "proto-16" "end an actor that is not its own" Sibling Refused("PermissionDenied");
    "proto-17" "ask without end, and take no answers" Flood Borne;
    "proto-18" "grant a child a folder that it does not have" Grant Refused("PermissionDenied");
    "proto-19" "speak before it has greeted" BeforeHandshake Ended("before the handshake");
    "proto-20" "greet as the one who called" WrongRole Ended("no place");
    "proto-21" "greet twice" SecondWelcome Ended("no place");
    "proto-22" "announce a frame of a gigabyte" LongFrame Ended("a frame of 1073741824 bytes");
    "proto-23" "send a frame that is no message" BadFrame Ended("malformed");
    "proto-24" "send a sibling what is no message" ToSibling Borne;
    "proto-25" "answer a call that was never made" NeverAsked Ended("which is not open");
    "proto-26" "make a call under a number of the other side's" NotOurs Ended("does not own its number");
    "proto-27" "acknowledge a call twice" AckedTwice Ended("a second acknowledgement");
    "proto-28" "make two calls under one number" NumberAgain Ended("whose number is not new");
    "proto-29" "ask whether the other side is there, without end, and take no answers" Pings Borne;
    "proto-30" "answer byte by byte, slowly" Drip Borne;
    "proto-31" "miscount what is in the memory that is shared" Miscount Ended("miscounted");
    "proto-32" "lend what lies outside of the memory that is shared" LendsElsewhere Ended("lent where nothing can be");
}

/// How long between two bytes of the slow one.
const DRIP: Duration = Duration::from_millis(50);

fn context(number: u64) -> ContextId {
    ContextId::new(number).unwrap_or_else(|| unreachable!("no lie is told about context 0"))
}

fn start(number: u64) -> Message<'static> {
    // An empty map, for a function that there is not.
    let (context, function, kwargs) = (context(number), "no:where", &[0xa0]);
    Message::Start { context, function, kwargs, deadline_us: None, dialog: false }
}

fn spawn(request: RequestId, dirs: Vec<DirGrant>) -> ToBroker {
    let modules = vec!["faults/faults".to_owned()];
    ToBroker::Spawn {
        request,
        spec: SpawnSpec { name: "child".to_owned(), modules, dirs, ..SpawnSpec::default() },
    }
}

fn find(request: RequestId, name: &str) -> ToBroker {
    ToBroker::Find { request, name: name.to_owned(), wait: true }
}

fn refused<T>(result: Result<T, Box<greenroom_abi::RemoteError>>) {
    match result {
        Ok(_) => say("done"),
        Err(error) => say(&format!("{REFUSED} {}", error.src_type)),
    }
}

impl Told {
    /// Whether it is told before the actor can be called.
    const fn is_early(self) -> bool {
        matches!(self, Self::BeforeReady)
    }

    /// Tells it.
    pub(super) async fn tell(self, liar: &mut Liar) -> io::Result<()> {
        if !self.is_early() {
            liar.ready().await?;
        }
        match self {
            Self::Rubbish => liar.bytes(vec![0xff; 100]).await,
            Self::CutOff => {
                let mut bytes =
                    greenroom_wire::control::encode(&spawn(1, Vec::new())).map_err(io::Error::other)?;
                bytes.truncate(bytes.len() / 2);
                liar.bytes(bytes).await
            }
            // {"Overthrow": 1}
            Self::Unknown => liar.bytes([&[0xa1, 0x69][..], b"Overthrow", &[0x01]].concat()).await,
            Self::TooLong => liar.raw(&vec![0; 160 * 1024]),
            Self::Nothing => liar.raw(&[]),
            Self::HungUp => Ok(rustix::net::shutdown(&liar.raw, rustix::net::Shutdown::Both)?),
            Self::ReadyTwice => liar.ready().await,
            Self::NotLoaded => liar.ask(&ToBroker::LoadFailed { reason: "no".to_owned() }).await,
            Self::BeforeReady => liar.ask(&spawn(1, Vec::new())).await,
            Self::TwoStarts => {
                liar.ask(&spawn(1, Vec::new())).await?;
                liar.ask(&spawn(1, Vec::new())).await
            }
            Self::TwoFinds => {
                liar.ask(&find(1, "nobody")).await?;
                liar.ask(&find(1, "nobody at all")).await
            }
            Self::Taken => liar.ask(&ToBroker::Taken).await,
            Self::Measured => liar.ask(&ToBroker::Measured { tasks: 0 }).await,
            Self::Invite => {
                let (actor, name) = (liar.init.id.uuid.clone(), "friend".to_owned());
                liar.ask(&ToBroker::Invite { request: 1, actor, name }).await
            }
            Self::Descriptors => {
                let bytes = greenroom_wire::control::encode(&find(1, "nobody")).map_err(io::Error::other)?;
                let attachments = vec![greenroom_transport::attach(liar.raw.try_clone()?)];
                liar.channel.send(Packet { bytes, attachments }).await
            }
            Self::Sibling => sibling(liar).await,
            Self::Flood => loop {
                liar.ask(&ToBroker::List { request: 1, name: None }).await?;
            },
            Self::Grant => {
                liar.ask(&spawn(1, vec![DirGrant::writable("/etc")])).await?;
                let answer = |message| match message {
                    ToActor::Spawned { result, .. } => Some(result),
                    _ => None,
                };
                refused(liar.hear(answer).await?.0);
                Ok(())
            }
            Self::BeforeHandshake => liar.frames(&[Message::StartAck { context: context(1) }]).await,
            Self::WrongRole => {
                liar.frames(&[Message::Hello { version: VERSION, max_frame: 128 * 1024 }]).await
            }
            Self::SecondWelcome => {
                liar.greet().await?;
                liar.greet().await
            }
            Self::LongFrame => {
                liar.greet().await?;
                liar.pipe.write_all(&(1_u32 << 30).to_be_bytes()).await
            }
            Self::BadFrame => {
                liar.greet().await?;
                liar.pipe.write_all(&[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]).await
            }
            Self::ToSibling => to_sibling(liar).await,
            Self::NeverAsked => {
                liar.greet().await?;
                liar.frames(&[Message::Return { context: context(7), payload: &[0xf6] }]).await
            }
            Self::NotOurs => {
                liar.greet().await?;
                liar.frames(&[start(7)]).await
            }
            Self::AckedTwice => {
                liar.greet().await?;
                let context = liar.called().await?;
                liar.frames(&[Message::StartAck { context }; 2]).await
            }
            Self::NumberAgain => {
                liar.greet().await?;
                liar.frames(&[start(2), start(2)]).await
            }
            Self::Pings => {
                liar.greet().await?;
                let many = framed(&[Message::Ping { token: 7 }; 1000]);
                loop {
                    liar.pipe.write_all(&many).await?;
                }
            }
            Self::Drip => drip(liar).await,
            Self::Miscount => {
                liar.greet().await?;
                liar.miscount()
            }
            Self::LendsElsewhere => {
                liar.greet().await?;
                liar.frames(&[Message::Lend { context: context(1), place: 1 << 20, size: 1 }]).await
            }
        }
    }
}

/// Would end the actor `sibling`.
async fn sibling(liar: &Liar) -> io::Result<()> {
    liar.ask(&ToBroker::List { request: 1, name: Some("sibling".to_owned()) }).await?;
    let listed = |message| match message {
        ToActor::Listed { result, .. } => result.ok()?.into_iter().next(),
        _ => None,
    };
    let (entry, _) = liar.hear(listed).await?;
    liar.ask(&ToBroker::CancelActor { request: 2, actor: entry.id.uuid }).await?;
    let answer = |message| match message {
        ToActor::Ended { result, .. } => Some(result),
        _ => None,
    };
    refused(liar.hear(answer).await?.0);
    Ok(())
}

/// Has itself introduced to the actor `sibling`, and sends it rubbish in place of a greeting, until
/// the pipe is closed.
async fn to_sibling(liar: &mut Liar) -> io::Result<()> {
    liar.greet().await?;
    liar.ask(&find(1, "sibling")).await?;
    let found = |message| match message {
        ToActor::Found { result, .. } => result.ok().flatten(),
        _ => None,
    };
    let (_, pipes) = liar.hear(found).await?;
    let pipe = Attachment::pipe(pipes).ok_or_else(|| io::Error::other("no pipe came with it"))?;
    let mut pipe = Pipe::from_attachment(pipe)?;
    while pipe.write_all(&[0; 1000]).await.is_ok() {
        tokio::task::yield_now().await;
    }
    say("the sibling has closed the pipe");
    Ok(())
}

/// Answers a call with a value that never ends to come.
async fn drip(liar: &mut Liar) -> io::Result<()> {
    liar.greet().await?;
    let context = liar.called().await?;
    let answer = framed(&[Message::Return { context, payload: &[0; 60_000] }]);
    for byte in answer {
        liar.pipe.write_all(&[byte]).await?;
        tokio::time::sleep(DRIP).await;
    }
    Ok(())
}
