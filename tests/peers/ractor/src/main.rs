//! Actors in two nodes with ractor_cluster, joined by a Unix socket.
//!
//! Owns: both ends of it. Must not know: what is measured. Invariant: the far actor is found as any
//! is, in a process group; what is streamed are casts, which nothing holds back.

use std::process::ExitCode;
use std::time::Duration;

use peer::{MESSAGE_BYTES, Peer};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg};
use ractor_cluster::{
    BoxRead, BoxWrite, ClusterBidiStream, NodeServer, NodeServerMessage, RactorClusterMessage,
    client_connect_external,
};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

/// The group that the far actor is in.
const GROUP: &str = "far";

/// How often is looked for it; tokio's clock has no finer step.
const LOOK: Duration = Duration::from_millis(1);

#[derive(RactorClusterMessage)]
enum Message {
    #[rpc]
    Square(i64, RpcReplyPort<i64>),
    #[rpc]
    Echo(Vec<u8>, RpcReplyPort<Vec<u8>>),
    Take(Vec<u8>),
    #[rpc]
    Taken(RpcReplyPort<u64>),
}

struct Far;

impl Actor for Far {
    type Msg = Message;
    type State = u64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        taken: &mut u64,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Square(x, reply) => reply.send(x * x)?,
            Message::Echo(bytes, reply) => reply.send(bytes)?,
            Message::Take(_) => *taken += 1,
            Message::Taken(reply) => reply.send(std::mem::take(taken))?,
        }
        Ok(())
    }
}

struct Socket(UnixStream);

impl ClusterBidiStream for Socket {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = self.0.into_split();
        (Box::new(read), Box::new(write))
    }
}

async fn node(name: &str) -> peer::Result<ActorRef<NodeServerMessage>> {
    // Each has a name of its own: several far ends may be there at once.
    let name = format!("{name}{}", std::process::id());
    let server = NodeServer::new(0, "cookie".to_owned(), name, "localhost".to_owned(), None, None);
    Ok(Actor::spawn(None, server, ()).await?.0)
}

struct Ractor;

/// The near ends' node: one for all of them, since actors are known by the number of their node's link.
static NEAR: OnceCell<ActorRef<NodeServerMessage>> = OnceCell::const_new();

impl Peer for Ractor {
    const VERSION: &'static str = "0.16.5";
    type Client = ActorRef<Message>;

    async fn connect(socket: UnixStream) -> peer::Result<ActorRef<Message>> {
        let known = pg::get_members(&GROUP.to_owned());
        let node = NEAR.get_or_try_init(|| node("near")).await?;
        client_connect_external(node, Box::new(Socket(socket))).await?;
        loop {
            let far = pg::get_members(&GROUP.to_owned());
            if let Some(far) =
                far.into_iter().find(|far| known.iter().all(|old| old.get_id() != far.get_id()))
            {
                return Ok(far.into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn serve(socket: UnixStream) -> peer::Result<()> {
        let node = node("far").await?;
        let (far, serving) = Actor::spawn(None, Far, ()).await?;
        pg::join(GROUP.to_owned(), vec![far.get_cell()]);
        let stream = Box::new(Socket(socket));
        node.cast(NodeServerMessage::ConnectionOpenedExternal { stream, is_server: true })?;
        Ok(serving.await?)
    }

    async fn square(client: &ActorRef<Message>, x: i64) -> peer::Result<i64> {
        Ok(ractor::call!(client, Message::Square, x)?)
    }

    async fn echo(client: &ActorRef<Message>, bytes: Vec<u8>) -> peer::Result<usize> {
        Ok(ractor::call!(client, Message::Echo, bytes)?.len())
    }

    async fn pour(client: &ActorRef<Message>, count: u64) -> peer::Result<Option<u64>> {
        for _ in 0..count {
            client.cast(Message::Take(vec![7; MESSAGE_BYTES]))?;
        }
        Ok(Some(ractor::call!(client, Message::Taken)?))
    }
}

fn main() -> ExitCode {
    peer::main::<Ractor>()
}
