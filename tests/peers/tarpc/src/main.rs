//! Calls with tarpc, in bincode over a Unix socket.
//!
//! Owns: both ends of it. Must not know: what is measured. Invariant: tarpc has calls alone, no
//! streams.

use std::process::ExitCode;

use futures_util::StreamExt;
use peer::{Peer, Result};
use serde_bytes::ByteBuf;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};
use tokio::net::UnixStream;
use tokio_util::codec::length_delimited::LengthDelimitedCodec;

#[tarpc::service]
trait Far {
    async fn square(x: i64) -> i64;
    async fn echo(bytes: ByteBuf) -> ByteBuf;
}

#[derive(Clone)]
struct FarEnd;

impl Far for FarEnd {
    async fn square(self, _: context::Context, x: i64) -> i64 {
        x * x
    }

    async fn echo(self, _: context::Context, bytes: ByteBuf) -> ByteBuf {
        bytes
    }
}

struct Tarpc;

impl Peer for Tarpc {
    const VERSION: &'static str = "0.38.0";
    type Client = FarClient;

    async fn connect(socket: UnixStream) -> Result<FarClient> {
        let transport =
            serde_transport::new(LengthDelimitedCodec::builder().new_framed(socket), Bincode::default());
        Ok(FarClient::new(client::Config::default(), transport).spawn())
    }

    async fn serve(socket: UnixStream) -> Result<()> {
        let transport =
            serde_transport::new(LengthDelimitedCodec::builder().new_framed(socket), Bincode::default());
        let replies = BaseChannel::with_defaults(transport).execute(FarEnd.serve());
        replies.for_each(async |reply| drop(tokio::spawn(reply))).await;
        Ok(())
    }

    async fn square(client: &FarClient, x: i64) -> Result<i64> {
        Ok(client.square(context::current(), x).await?)
    }

    async fn echo(client: &FarClient, bytes: Vec<u8>) -> Result<usize> {
        Ok(client.echo(context::current(), ByteBuf::from(bytes)).await?.len())
    }

    async fn pour(_: &FarClient, _: u64) -> Result<Option<u64>> {
        Ok(None)
    }
}

fn main() -> ExitCode {
    peer::main::<Tarpc>()
}
