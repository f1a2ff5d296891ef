//! The interface `streams`: messages between the two tasks of a context.
//!
//! Owns: the resource `msg-stream` and its records. Must not know: how messages travel.
//! Invariant: nothing here waits but `writable` and `readable`.

use std::sync::Arc;

use greenroom_runtime::{Batch, MsgStream, Overrun, StreamOptions};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType};

use super::types::{Payload, RemoteErrorRecord};
use super::{Host, record};
use crate::resident::LARGE_BYTES;

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "values of it are made by lifting only")]
pub(super) enum OverrunEnum {
    #[component(name = "wait")]
    Wait,
    #[component(name = "error")]
    Error,
    #[component(name = "drop-oldest")]
    DropOldest,
}

/// How one side of a stream receives.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct StreamOptionsRecord {
    capacity: u32,
    overrun: OverrunEnum,
}

impl From<StreamOptionsRecord> for StreamOptions {
    fn from(record: StreamOptionsRecord) -> Self {
        let overrun = match record.overrun {
            OverrunEnum::Wait => Overrun::Wait,
            OverrunEnum::Error => Overrun::Error,
            OverrunEnum::DropOldest => Overrun::DropOldest,
        };
        Self { capacity: record.capacity, overrun }
    }
}

#[derive(Clone, Debug, Default, ComponentType, Lift, Lower)]
#[component(record)]
struct BatchRecord {
    lost: u64,
    messages: Vec<Payload>,
    ended: bool,
}

impl From<Batch> for BatchRecord {
    fn from(Batch { lost, messages, ended }: Batch) -> Self {
        Self { lost, messages, ended }
    }
}

/// What a guest holds; the waits hold it too.
pub(super) type Stream = Arc<MsgStream>;

/// What opening a stream gives the guest.
pub(super) type Opened = Result<Resource<Stream>, RemoteErrorRecord>;

/// Hands a stream to the guest.
pub(super) fn lend(
    store: &mut StoreContextMut<'_, Host>,
    opened: Result<MsgStream, Box<greenroom_abi::RemoteError>>,
) -> wasmtime::Result<(Opened,)> {
    Ok((match opened {
        Ok(stream) => Ok(store.data_mut().table.push(Arc::new(stream))?),
        Err(error) => Err((*error).into()),
    },))
}

pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("greenroom:portal/streams@0.1.0")?;
    instance.resource("msg-stream", ResourceType::host::<Stream>(), |mut store, rep| {
        store.data_mut().table.delete(Resource::<Stream>::new_own(rep))?;
        Ok(())
    })?;
    type Store<'a> = StoreContextMut<'a, Host>;
    instance.func_wrap(
        "[method]msg-stream.send",
        |store: Store<'_>, (this, message): (Resource<Stream>, Payload)| {
            Ok((record(store.data().table.get(&this)?.try_send(message)),))
        },
    )?;
    instance.func_wrap(
        "[method]msg-stream.receive",
        |store: Store<'_>, (this, max): (Resource<Stream>, u32)| {
            let Host { table, weight, .. } = store.data();
            let stream = table.get(&this)?;
            if stream.next_bytes() >= LARGE_BYTES && !weight.is_aside() {
                // It is copied in a turn that holds up nobody; `readable` ends this one.
                weight.announce();
                return Ok((Ok(BatchRecord::default()),));
            }
            Ok((record(stream.try_receive(max as usize).map(BatchRecord::from)),))
        },
    )?;
    instance.func_wrap("[method]msg-stream.close", |store: Store<'_>, (this,): (Resource<Stream>,)| {
        store.data().table.get(&this)?.close();
        Ok(())
    })?;
    instance.func_wrap_concurrent(
        "[method]msg-stream.writable",
        |accessor, (this,): (Resource<Stream>,)| {
            let stream = accessor.with(|mut access| access.get().table.get(&this).cloned());
            Box::pin(async move {
                stream?.writable().await;
                Ok(())
            })
        },
    )?;
    instance.func_wrap_concurrent("[method]msg-stream.readable", |accessor, (this,): (Resource<Stream>,)| {
        let (stream, weight) = accessor.with(|mut access| {
            let host = access.get();
            (host.table.get(&this).cloned(), host.weight.clone())
        });
        Box::pin(async move {
            stream?.readable().await;
            if weight.is_announced() {
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    })
}
