//! The pipe between two actors, with a hand on it.
//!
//! Owns: carrying the bytes, holding them back, losing them, and what becomes of them when one end
//! dies. Must not know: what they say. Invariant: what was written before the cut still arrives,
//! as it does through a socket; of what is lost nothing arrives any more.

use std::time::Duration;

use greenroom_transport::{Attachment, Pipe, memory_pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Flow {
    Flowing,
    /// Held for a time.
    Delayed,
    /// Held for good.
    Held,
    Cut,
    Lost,
}

/// A pipe whose bytes pass through the hands of the test; clones are the same pipe.
#[derive(Clone)]
pub(crate) struct Cable(watch::Sender<Flow>);

impl Cable {
    /// A cable and its two ends.
    pub(crate) fn lay() -> (Self, Attachment, Attachment) {
        let ((near, inner_near), (inner_far, far)) = (memory_pipe(), memory_pipe());
        let flow = watch::Sender::new(Flow::Flowing);
        let [near_half, far_half] =
            [inner_near, inner_far].map(|end| tokio::io::split(Pipe::from_attachment(end).expect("a pipe")));
        tokio::spawn(pump(near_half.0, far_half.1, flow.subscribe()));
        tokio::spawn(pump(far_half.0, near_half.1, flow.subscribe()));
        (Self(flow), near, far)
    }

    /// Nothing arrives any more, and nobody is told: a process that was stopped.
    pub(crate) fn hold(&self) {
        self.turn(Flow::Held);
    }

    /// Nothing arrives for so long.
    pub(crate) fn delay(&self, time: Duration) {
        self.turn(Flow::Delayed);
        let flow = self.0.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            flow.send_if_modified(|flow| {
                let delayed = *flow == Flow::Delayed;
                *flow = if delayed { Flow::Flowing } else { *flow };
                delayed
            });
        });
    }

    /// Both ends see the end of file, behind what was written before.
    pub(crate) fn cut(&self) {
        self.turn(Flow::Cut);
    }

    /// Both ends see the end of file, and what was on its way never arrives.
    pub(crate) fn lose(&self) {
        self.turn(Flow::Lost);
    }

    /// What has come to pass is not undone.
    fn turn(&self, next: Flow) {
        self.0.send_if_modified(|flow| {
            let later = next > *flow;
            *flow = next.max(*flow);
            later
        });
    }
}

async fn pump(from: ReadHalf<Pipe>, mut to: WriteHalf<Pipe>, mut flow: watch::Receiver<Flow>) {
    let mut lost = flow.clone();
    tokio::select! {
        biased;
        // Whoever lets go of the cable loses nothing by that.
        Ok(_) = lost.wait_for(|flow| *flow == Flow::Lost) => {}
        () = carry(from, &mut to, &mut flow) => {}
    }
    // The other end may be gone already.
    let _ = to.shutdown().await;
}

async fn carry(mut from: ReadHalf<Pipe>, to: &mut WriteHalf<Pipe>, flow: &mut watch::Receiver<Flow>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let moves = |flow: &Flow| !matches!(flow, Flow::Delayed | Flow::Held);
        let Ok(cut) = flow.wait_for(moves).await.map(|flow| *flow >= Flow::Cut) else {
            break;
        };
        let read = tokio::select! {
            biased;
            read = from.read(&mut buffer) => read,
            () = std::future::ready(()), if cut => break,
            changed = flow.changed() => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
        };
        match read {
            Ok(count) if count > 0 => {
                if to.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
}
