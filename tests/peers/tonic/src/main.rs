//! gRPC with tonic, over a Unix socket, its messages and its service written by hand.
//!
//! Owns: both ends of it. Must not know: what is measured. Invariant: what `tonic-build` would write
//! for these three methods, and no more.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use peer::{MESSAGE_BYTES, Peer, Result};
use tokio::net::UnixStream;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

const SQUARE: &str = "/peer.Far/Square";
const ECHO: &str = "/peer.Far/Echo";
const POUR: &str = "/peer.Far/Pour";

#[derive(Clone, PartialEq, prost::Message)]
struct Number {
    #[prost(int64, tag = "1")]
    x: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: Bytes,
}

struct Tonic;

impl Peer for Tonic {
    const VERSION: &'static str = "0.14.9";
    type Client = Channel;

    async fn connect(socket: UnixStream) -> Result<Channel> {
        let socket = Arc::new(Mutex::new(Some(socket)));
        let connector = service_fn(move |_| {
            let socket = socket.lock().unwrap_or_else(PoisonError::into_inner).take();
            async { socket.map(TokioIo::new).ok_or(std::io::Error::from(std::io::ErrorKind::NotConnected)) }
        });
        Ok(Endpoint::from_static("http://far").connect_with_connector(connector).await?)
    }

    async fn serve(socket: UnixStream) -> Result<()> {
        let incoming = tokio_stream::once(Ok::<_, std::io::Error>(socket)).chain(tokio_stream::pending());
        Ok(Server::builder().add_service(Far).serve_with_incoming(incoming).await?)
    }

    async fn square(client: &Channel, x: i64) -> Result<i64> {
        let mut grpc = tonic::client::Grpc::new(client.clone());
        grpc.ready().await?;
        let codec = ProstCodec::<Number, Number>::default();
        let reply = grpc.unary(Request::new(Number { x }), PathAndQuery::from_static(SQUARE), codec).await?;
        Ok(reply.into_inner().x)
    }

    async fn echo(client: &Channel, bytes: Vec<u8>) -> Result<usize> {
        let mut grpc = tonic::client::Grpc::new(client.clone());
        grpc.ready().await?;
        let codec = ProstCodec::<Blob, Blob>::default();
        let blob = Blob { bytes: bytes.into() };
        let reply = grpc.unary(Request::new(blob), PathAndQuery::from_static(ECHO), codec).await?;
        Ok(reply.into_inner().bytes.len())
    }

    async fn pour(client: &Channel, count: u64) -> Result<Option<u64>> {
        let mut grpc = tonic::client::Grpc::new(client.clone());
        grpc.ready().await?;
        let message = Blob { bytes: vec![7; MESSAGE_BYTES].into() };
        let messages = tokio_stream::iter((0..count).map(move |_| message.clone()));
        let codec = ProstCodec::<Blob, Number>::default();
        let path = PathAndQuery::from_static(POUR);
        let reply = grpc.client_streaming(Request::new(messages), path, codec).await?;
        Ok(Some(u64::try_from(reply.into_inner().x)?))
    }
}

#[derive(Clone)]
struct Far;

impl NamedService for Far {
    const NAME: &'static str = "peer.Far";
}

impl tower::Service<http::Request<Body>> for Far {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                SQUARE => {
                    let square = service_fn(async |request: Request<Number>| {
                        let x = request.into_inner().x;
                        Ok::<_, Status>(Response::new(Number { x: x * x }))
                    });
                    Grpc::new(ProstCodec::default()).unary(square, request).await
                }
                ECHO => {
                    let echo = service_fn(async |request: Request<Blob>| {
                        Ok::<_, Status>(Response::new(request.into_inner()))
                    });
                    Grpc::new(ProstCodec::default()).unary(echo, request).await
                }
                POUR => {
                    let pour = service_fn(async |request: Request<Streaming<Blob>>| {
                        let (mut messages, mut x) = (request.into_inner(), 0);
                        while messages.message().await?.is_some() {
                            x += 1;
                        }
                        Ok::<_, Status>(Response::new(Number { x }))
                    });
                    Grpc::new(ProstCodec::default()).client_streaming(pour, request).await
                }
                _ => Status::unimplemented("").into_http(),
            })
        })
    }
}

fn main() -> ExitCode {
    peer::main::<Tonic>()
}
