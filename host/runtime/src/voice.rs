//! What an actor's guests write, on its way to the broker.
//!
//! Owns: the streams behind standard output and standard error, and how much of them is under way. Must
//! not know: lines, who reads them. Invariant: of what the broker has not shown yet no more is under way
//! than it has agreed to, so that nothing else that the actor says waits behind it; what is flushed has
//! left this process.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use greenroom_transport::{Channel, Packet};
use greenroom_wire::control::{self, OUTPUT_BYTES, OUTPUT_PIECES, Stream, ToBroker};
use tokio::io::AsyncWrite;
use tokio::sync::Semaphore;

/// The way of an actor's output to its broker. Clones share it.
#[derive(Clone, Debug)]
pub struct Voice {
    channel: Arc<Channel>,
    /// How many pieces may be sent now.
    room: Arc<Semaphore>,
}

impl Voice {
    /// One over an actor's control channel.
    pub fn new(channel: Arc<Channel>) -> Self {
        Self { channel, room: Arc::new(Semaphore::new(OUTPUT_PIECES)) }
    }

    /// Notes that the broker has shown a piece.
    pub fn shown(&self) {
        if self.room.available_permits() < OUTPUT_PIECES {
            self.room.add_permits(1);
        }
    }

    /// What is written here is shown as that stream's.
    pub fn speak(&self, stream: Stream) -> Speech {
        Speech { voice: self.clone(), stream, sending: Mutex::default() }
    }

    async fn say(self, stream: Stream, bytes: Vec<u8>) -> io::Result<()> {
        // The semaphore is never closed.
        if let Ok(turn) = self.room.acquire().await {
            turn.forget();
        }
        let bytes = control::encode(&ToBroker::Output { stream, bytes }).map_err(io::Error::other)?;
        self.channel.send(Packet { bytes, attachments: Vec::new() }).await
    }
}

type Sending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A stream of output. One piece of it may have been taken and not sent yet.
pub struct Speech {
    voice: Voice,
    stream: Stream,
    /// Behind a lock that nobody waits for: what is sent cannot be shared among threads, a stream must.
    sending: Mutex<Option<Sending>>,
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl AsyncWrite for Speech {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        let piece = &bytes[..bytes.len().min(OUTPUT_BYTES)];
        if !piece.is_empty() {
            let mut sending: Sending = Box::pin(self.voice.clone().say(self.stream, piece.to_vec()));
            if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                sent?;
            } else {
                *self.sending.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(sending);
            }
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sending = self.sending.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(under_way) = sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(under_way.as_mut().poll(cx));
        *sending = None;
        Poll::Ready(sent)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use greenroom_transport::memory_channel;
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn heard(broker: &Channel) -> (Stream, Vec<u8>) {
        let packet = broker.receive().await.expect("receives").expect("a packet");
        match control::decode(&packet.bytes) {
            Ok(ToBroker::Output { stream, bytes }) => (stream, bytes),
            other => panic!("not output: {other:?}"),
        }
    }

    #[tokio::test]
    async fn what_is_flushed_has_left_in_pieces() {
        let (actor, broker) = memory_channel();
        let voice = Voice::new(Arc::new(actor));
        let (mut out, mut err) = (voice.speak(Stream::Stdout), voice.speak(Stream::Stderr));
        let long = vec![b'x'; OUTPUT_BYTES + 3];
        out.write_all(&long).await.expect("writes");
        out.write_all(b"").await.expect("writes nothing");
        err.write_all(b"oh").await.expect("writes");
        out.flush().await.expect("flushes");
        err.flush().await.expect("flushes");
        assert_eq!(heard(&broker).await, (Stream::Stdout, long[3..].to_vec()));
        assert_eq!(heard(&broker).await, (Stream::Stdout, long[..3].to_vec()));
        assert_eq!(heard(&broker).await, (Stream::Stderr, b"oh".to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_shown_holds_up_the_writer_alone() {
        let (actor, broker) = memory_channel();
        let voice = Voice::new(Arc::new(actor));
        let mut out = voice.speak(Stream::Stdout);
        for n in 0..OUTPUT_PIECES {
            out.write_all(&[n as u8]).await.expect("writes");
            out.flush().await.expect("flushes");
        }
        // One more is taken, and not sent.
        out.write_all(b"more").await.expect("writes");
        let waits = tokio::time::timeout(Duration::from_secs(1), out.flush()).await;
        assert!(waits.is_err(), "nothing has been shown");
        for n in 0..OUTPUT_PIECES {
            assert_eq!(heard(&broker).await.1, [n as u8]);
        }
        voice.shown();
        out.flush().await.expect("flushes");
        assert_eq!(heard(&broker).await.1, b"more");
        // Whoever says more than was asked gains nothing.
        (0..3 * OUTPUT_PIECES).for_each(|_| voice.shown());
        assert_eq!(voice.room.available_permits(), OUTPUT_PIECES);
    }
}
