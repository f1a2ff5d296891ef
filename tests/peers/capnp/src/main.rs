//! Cap'n Proto's calls with capnp-rpc, over a Unix socket.
//!
//! Owns: both ends of it. Must not know: what is measured. Invariant: streams are the protocol's own,
//! with its flow control.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{RpcSystem, twoparty};
use peer::{MESSAGE_BYTES, Peer, Result};
use tokio::net::UnixStream;
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use crate::far_capnp::far;

#[expect(clippy::all, clippy::pedantic, reason = "written by capnpc")]
mod far_capnp {
    include!(concat!(env!("OUT_DIR"), "/far_capnp.rs"));
}

struct Capnp;

fn system(socket: UnixStream, side: Side, given: Option<capnp::capability::Client>) -> RpcSystem<Side> {
    let (reader, writer) = socket.into_split();
    let network = twoparty::VatNetwork::new(reader.compat(), writer.compat_write(), side, Default::default());
    RpcSystem::new(Box::new(network), given)
}

impl Peer for Capnp {
    const VERSION: &'static str = "0.27.3";
    type Client = far::Client;

    async fn connect(socket: UnixStream) -> Result<far::Client> {
        let mut system = system(socket, Side::Client, None);
        let client = system.bootstrap(Side::Server);
        tokio::task::spawn_local(system);
        Ok(client)
    }

    async fn serve(socket: UnixStream) -> Result<()> {
        let far: far::Client = capnp_rpc::new_client(Far::default());
        Ok(system(socket, Side::Server, Some(far.client)).await?)
    }

    async fn square(client: &far::Client, x: i64) -> Result<i64> {
        let mut request = client.square_request();
        request.get().set_x(x);
        Ok(request.send().promise.await?.get()?.get_y())
    }

    async fn echo(client: &far::Client, bytes: Vec<u8>) -> Result<usize> {
        let mut request = client.echo_request();
        request.get().set_bytes(&bytes);
        Ok(request.send().promise.await?.get()?.get_bytes()?.len())
    }

    async fn pour(client: &far::Client, count: u64) -> Result<Option<u64>> {
        for _ in 0..count {
            let mut request = client.take_request();
            request.get().set_bytes(&[7; MESSAGE_BYTES]);
            request.send().await?;
        }
        Ok(Some(client.taken_request().send().promise.await?.get()?.get_count()))
    }
}

#[derive(Default)]
struct Far(Cell<u64>);

impl far::Server for Far {
    async fn square(
        self: Rc<Self>,
        params: far::SquareParams,
        mut results: far::SquareResults,
    ) -> std::result::Result<(), capnp::Error> {
        let x = params.get()?.get_x();
        results.get().set_y(x * x);
        Ok(())
    }

    async fn echo(
        self: Rc<Self>,
        params: far::EchoParams,
        mut results: far::EchoResults,
    ) -> std::result::Result<(), capnp::Error> {
        results.get().set_bytes(params.get()?.get_bytes()?);
        Ok(())
    }

    async fn take(self: Rc<Self>, params: far::TakeParams) -> std::result::Result<(), capnp::Error> {
        params.get()?.get_bytes()?;
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    async fn taken(
        self: Rc<Self>,
        _: far::TakenParams,
        mut results: far::TakenResults,
    ) -> std::result::Result<(), capnp::Error> {
        results.get().set_count(self.0.take());
        Ok(())
    }
}

fn main() -> ExitCode {
    peer::main::<Capnp>()
}
