//! Where a guest's output goes.
//!
//! Owns: the stream behind standard output and standard error. Must not know: who reads it.
//! Invariant: what a guest has written and nobody has read yet is bounded, in bytes and in number.

use std::pin::Pin;

use bytes::Bytes;
use greenroom_sabotage::Protection;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{AsyncStdoutStream, IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How much output a guest may have under way before its writes wait.
const BUDGET: usize = 64 * 1024;

/// A stream of bytes. A write of none would take room and cost nothing: it is dropped.
pub(crate) struct Output(AsyncStdoutStream);

impl Output {
    pub(crate) fn new(to: impl AsyncWrite + Send + Sync + 'static) -> Self {
        Self(AsyncStdoutStream::new(BUDGET, to))
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writes(self.0.p2_stream()))
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        self.0.async_stream()
    }
}

struct Writes(Box<dyn OutputStream>);

impl OutputStream for Writes {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.is_empty() && !Protection::EmptyWrites.is_off() {
            return Ok(());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.0.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.0.check_write()
    }
}

impl Pollable for Writes {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        self.0.ready()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Takes what is written, and notes how often.
    struct Counted(Arc<AtomicUsize>);

    impl OutputStream for Counted {
        fn write(&mut self, _: Bytes) -> StreamResult<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn flush(&mut self) -> StreamResult<()> {
            Ok(())
        }

        fn check_write(&mut self) -> StreamResult<usize> {
            Ok(BUDGET)
        }
    }

    impl Pollable for Counted {
        fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            Box::pin(std::future::ready(()))
        }
    }

    #[test]
    fn empty_writes_are_dropped_and_others_arrive() {
        let arrived = Arc::<AtomicUsize>::default();
        let mut stream = Writes(Box::new(Counted(arrived.clone())));
        for _ in 0..100 {
            stream.write(Bytes::new()).expect("it is dropped");
        }
        stream.write(Bytes::from_static(b"text")).expect("there is room");
        assert_eq!(arrived.load(Ordering::Relaxed), 1);
    }
}
