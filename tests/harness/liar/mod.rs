//! A program that the broker starts as an actor, and that lies to it or to other actors.
//!
//! Owns: what an actor process can say that is wholly in the hands of whoever broke into it. Must
//! not know: what becomes of it. Invariant: it tells the one lie that its actor is named after, and
//! then neither listens nor leaves; an actor of another name is an honest one.

mod lies;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use bytes::BytesMut;
use greenroom_broker::{is_zygote, run_zygote};
use greenroom_transport::{Attachment, Channel, Packet, Pipe, channel_from_fd};
use greenroom_wire::control::{self, Init, ToActor, ToBroker};
use greenroom_wire::{Message, VERSION};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use lies::{Fate, LIES, Lie};

/// What the broker's refusal is told with; the error's type follows.
pub const REFUSED: &str = "refused";

/// Being the liar, executed or forked: what its `main` does.
pub fn main() -> ExitCode {
    if is_zygote() {
        return run_zygote(|forked| match lie() {
            Some(lie) => told(play(lie, forked.into_control())),
            None => forked.live(),
        });
    }
    let Some(lie) = lie() else {
        greenroom::init();
        return ExitCode::FAILURE;
    };
    told(executed().and_then(|control| play(lie, control)))
}

/// The lie that this process's actor is named after.
fn lie() -> Option<&'static Lie> {
    let title = std::env::args().next().unwrap_or_default();
    let name = title.rsplit('/').next().unwrap_or_default();
    LIES.iter().find(|lie| lie.attack.id == name)
}

/// The control channel of an actor that was executed.
fn executed() -> io::Result<OwnedFd> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(rustix::io::dup(rustix::stdio::stdin())?)
}

fn told(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Tells the test, through the broker.
#[expect(clippy::print_stdout, reason = "it is what the broker reports of an actor")]
fn say(line: &str) {
    println!("{line}");
}

fn play(lie: &Lie, control: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut liar = Liar::take(control).await?;
        lie.told.tell(&mut liar).await?;
        std::future::pending().await
    })
}

/// What an actor process has to lie with.
#[derive(Debug)]
pub struct Liar {
    raw: OwnedFd,
    channel: Channel,
    init: Init,
    /// The pipe to whoever started it.
    pipe: Pipe,
    /// What that is made of: memory, and the ends of two bells.
    inside: Vec<OwnedFd>,
    input: BytesMut,
}

impl Liar {
    async fn take(control: OwnedFd) -> io::Result<Self> {
        let raw = control.try_clone()?;
        let channel = channel_from_fd(control)?;
        let nothing = || io::Error::other("the broker says nothing");
        let packet = channel.receive().await?.ok_or_else(nothing)?;
        let init = match control::decode(&packet.bytes) {
            Ok(ToActor::Init(init)) => *init,
            other => return Err(io::Error::other(format!("the broker begins with {other:?}"))),
        };
        let (pipe, _) = init.attached(packet.attachments);
        let inside = pipe.iter().map(|part| match part {
            Attachment::Fd(fd) => fd.try_clone(),
            Attachment::Shared(_) | Attachment::Memory(_) => Err(nothing()),
        });
        let inside = inside.collect::<io::Result<Vec<_>>>()?;
        let pipe = Attachment::pipe(pipe).ok_or_else(nothing)?;
        let channel = channel.marked(init.mark.clone());
        Ok(Self { inside, raw, channel, init, pipe: Pipe::from_attachment(pipe)?, input: BytesMut::new() })
    }

    /// Says that it can be called, as any actor does first.
    async fn ready(&self) -> io::Result<()> {
        self.ask(&ToBroker::Ready).await
    }

    /// Writes over all that stands in the memory of its pipe beside the bytes, and has the other side look.
    fn miscount(&self) -> io::Result<()> {
        let [memory, bells @ ..] = &self.inside[..] else { return Err(io::Error::other("no pipe")) };
        rustix::io::pwrite(memory, &[0x7f; 4096], 0)?;
        // Of one it has the end that hears.
        let rung = bells.iter().filter(|bell| rustix::io::write(bell, &[0]).is_ok());
        if rung.count() == 1 { Ok(()) } else { Err(io::Error::other("no bell")) }
    }

    async fn ask(&self, message: &impl Serialize) -> io::Result<()> {
        self.bytes(control::encode(message).map_err(io::Error::other)?).await
    }

    /// Sends the broker whatever it is.
    async fn bytes(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.channel.send(Packet { bytes, attachments: Vec::new() }).await
    }

    /// The broker's next word that `wanted` makes something of.
    async fn hear<T>(
        &self,
        mut wanted: impl FnMut(ToActor) -> Option<T>,
    ) -> io::Result<(T, Vec<Attachment>)> {
        loop {
            let packet = self.channel.receive().await?;
            let packet = packet.ok_or_else(|| io::Error::other("the broker is gone"))?;
            let message = control::decode(&packet.bytes).map_err(io::Error::other)?;
            if let Some(heard) = wanted(message) {
                return Ok((heard, packet.attachments));
            }
        }
    }

    /// Sends the broker a packet beyond what the channel's own end would send.
    fn raw(&self, bytes: &[u8]) -> io::Result<()> {
        rustix::net::send(self.raw.as_fd(), bytes, rustix::net::SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Greets its parent as an honest acceptor does.
    async fn greet(&mut self) -> io::Result<()> {
        self.frames(&[Message::Welcome { version: VERSION, max_frame: 128 * 1024 }]).await
    }

    async fn frames(&mut self, messages: &[Message<'_>]) -> io::Result<()> {
        let bytes = framed(messages);
        self.pipe.write_all(&bytes).await
    }

    /// Waits for a call, and gives its number.
    async fn called(&mut self) -> io::Result<greenroom_wire::ContextId> {
        loop {
            while let Some(frame) = self.frame() {
                if let Ok(Message::Start { context, .. }) = Message::decode(&frame) {
                    return Ok(context);
                }
            }
            if self.pipe.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next frame that has come.
    fn frame(&mut self) -> Option<BytesMut> {
        let length = u32::from_be_bytes(*self.input.first_chunk()?) as usize;
        (self.input.len() >= 4 + length).then(|| self.input.split_to(4 + length).split_off(4))
    }
}

/// Messages as bytes.
fn framed(messages: &[Message<'_>]) -> BytesMut {
    let mut bytes = BytesMut::new();
    messages.iter().for_each(|message| message.encode(&mut bytes));
    bytes
}
