//! The interface `streams`: messages between the two tasks of a context.
//!
//! Owns: the resource `msg-stream` and its records; how many messages a guest may gather before it
//! hands them over. Must not know: how messages travel. Invariant: nothing here waits but `writable`
//! and `readable`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use greenroom_abi::{RemoteError, payload};
use greenroom_runtime::{Batch, Loan, MsgStream, Overrun, Room, StreamOptions};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource, ResourceType, WasmList};

use super::types::RemoteErrorRecord;
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

#[derive(Clone, Debug, Default, ComponentType, Lower)]
#[component(record)]
struct MessagesRecord {
    bytes: Bytes,
    ends: Vec<u32>,
}

/// As [`MessagesRecord`], while their bytes are still the guest's.
#[derive(ComponentType, Lift)]
#[component(record)]
struct OfferedRecord {
    bytes: WasmList<u8>,
    ends: Vec<u32>,
}

#[derive(Clone, Debug, Default, ComponentType, Lower)]
#[component(record)]
struct BatchRecord {
    lost: u64,
    messages: MessagesRecord,
    tail: Bytes,
    ended: bool,
}

impl From<Batch> for BatchRecord {
    fn from(Batch { lost, messages, ended }: Batch) -> Self {
        let (mut bytes, lent, ends) = messages.into_parts();
        if let Some(loan) = lent {
            let tail = Bytes::from_owner(Borrowed(loan));
            return Self { lost, messages: MessagesRecord { bytes, ends }, tail, ended };
        }
        let last = ends.len().checked_sub(2).map_or(0, |before| ends[before] as usize);
        let tail = payload::split(&bytes[last..]).map_or(Bytes::new(), |at| bytes.split_off(last + at));
        Self { lost, messages: MessagesRecord { bytes, ends }, tail, ended }
    }
}

#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(record)]
struct SentRecord {
    count: u32,
    gather: u32,
    #[component(name = "gather-bytes")]
    gather_bytes: u32,
}

/// Bytes that another process may write to, on their way into a guest.
struct Borrowed(Loan);

impl AsRef<[u8]> for Borrowed {
    #[expect(unsafe_code, reason = "memory that another process may write to is copied as a slice")]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: it is mapped, and so long, for as long as the loan is held. All that is done with the slice is that it
        // is copied into the memory of a guest; should the other process write there meanwhile, the guest gets any
        // bytes, as it might from its peer anyway.
        unsafe { &*self.0.bytes() }
    }
}

/// What a guest holds.
#[derive(Debug)]
pub(super) struct Stream {
    /// The waits hold it too.
    shared: Arc<MsgStream>,
    pace: Pace,
}

/// Has the messages sent for which there is room.
fn send(
    store: &mut StoreContextMut<'_, Host>,
    this: &Resource<Stream>,
    OfferedRecord { bytes, ends }: OfferedRecord,
    tail: &WasmList<u8>,
) -> wasmtime::Result<Result<SentRecord, Box<RemoteError>>> {
    let parts = [bytes.as_le_slice(&*store), tail.as_le_slice(&*store)];
    let sent = store.data().table.get(this)?.shared.try_send_all(parts, ends);
    let Stream { shared, pace } = store.data_mut().table.get_mut(this)?;
    Ok(sent.map(|count| {
        let Room { messages, bytes } = pace.gather(count as u32, Instant::now(), shared.room());
        SentRecord { count: count as u32, gather: messages as u32, gather_bytes: bytes as u32 }
    }))
}

/// For how long messages may be gathered, if they go on to come as fast as they do.
const GATHER: Duration = Duration::from_millis(1);

/// How many messages, and how many bytes, are gathered at most: half of what the least limit on what
/// is copied at once lets through.
const MOST: Room = Room { messages: 512, bytes: 32 * 1024 };

/// How fast a guest sends.
#[derive(Debug)]
struct Pace {
    last: Instant,
    gathered: u64,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { last: now, gathered: 0 }
    }

    /// How much may be gathered after so many messages were sent. It grows only while the guest keeps
    /// to its pace: whoever sends little, or slowly, hands over each message by itself.
    fn gather(&mut self, sent: u32, now: Instant, room: Room) -> Room {
        let took = now.saturating_duration_since(std::mem::replace(&mut self.last, now));
        let most = GATHER.as_nanos() * u128::from(sent) / took.as_nanos().max(1);
        let most = u64::try_from(most).unwrap_or(u64::MAX).min(MOST.messages);
        self.gathered = most.min(2 * self.gathered.max(1));
        Room { messages: self.gathered.min(room.messages), bytes: room.bytes.min(MOST.bytes) }
    }
}

/// What opening a stream gives the guest.
pub(super) type Opened = Result<Resource<Stream>, RemoteErrorRecord>;

/// Hands a stream to the guest.
pub(super) fn lend(
    store: &mut StoreContextMut<'_, Host>,
    opened: Result<MsgStream, Box<RemoteError>>,
) -> wasmtime::Result<(Opened,)> {
    Ok((match opened {
        Ok(stream) => {
            let stream = Stream { shared: Arc::new(stream), pace: Pace::new(Instant::now()) };
            Ok(store.data_mut().table.push(stream)?)
        }
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
        |mut store: Store<'_>, (this, messages, tail): (Resource<Stream>, OfferedRecord, WasmList<u8>)| {
            Ok((record(send(&mut store, &this, messages, &tail)?),))
        },
    )?;
    instance.func_wrap(
        "[method]msg-stream.receive",
        |store: Store<'_>, (this, max): (Resource<Stream>, u32)| {
            let Host { table, weight, .. } = store.data();
            let stream = &table.get(&this)?.shared;
            if stream.next_bytes() >= LARGE_BYTES && !weight.is_aside() {
                // It is copied in a turn that holds up nobody; `readable` ends this one.
                weight.announce();
                return Ok((Ok(BatchRecord::default()),));
            }
            Ok((record(stream.try_receive(max as usize).map(BatchRecord::from)),))
        },
    )?;
    instance.func_wrap("[method]msg-stream.close", |store: Store<'_>, (this,): (Resource<Stream>,)| {
        store.data().table.get(&this)?.shared.close();
        Ok(())
    })?;
    instance.func_wrap_concurrent(
        "[method]msg-stream.writable",
        |accessor, (this,): (Resource<Stream>,)| {
            let stream =
                accessor.with(|mut access| access.get().table.get(&this).map(|stream| stream.shared.clone()));
            Box::pin(async move {
                stream?.writable().await;
                Ok(())
            })
        },
    )?;
    instance.func_wrap_concurrent("[method]msg-stream.readable", |accessor, (this,): (Resource<Stream>,)| {
        let (stream, weight) = accessor.with(|mut access| {
            let host = access.get();
            (host.table.get(&this).map(|stream| stream.shared.clone()), host.weight.clone())
        });
        Box::pin(async move {
            stream?.readable().await;
            // A future that is new is polled more than once in the turn that it begins in.
            while weight.is_announced() {
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use greenroom_runtime::Messages;

    use super::*;

    #[test]
    fn the_content_of_a_large_last_message_lies_apart() {
        let large = [&b"\x59\x4e\x20"[..], &[7; 20_000]].concat();
        // The messages, and how much of them lies apart.
        let cases: [(&[&[u8]], usize); 6] = [
            (&[], 0),
            (&[&large], 20_000),
            (&[b"\x01", b"\x02"], 0),
            (&[b"\x01", &large], 20_000),
            (&[&large, b"\x01"], 0),
            (&[&large, b""], 0),
        ];
        for (messages, apart) in cases {
            let all = Bytes::from(messages.concat());
            let ends = messages.iter().scan(0, |end, message| {
                *end += message.len() as u32;
                Some(*end)
            });
            let messages = Messages::new(all.clone(), ends.collect()).expect("they end there");
            let record = BatchRecord::from(Batch { lost: 0, messages, ended: false });
            assert_eq!([&record.messages.bytes[..], &record.tail].concat(), all);
            assert_eq!(record.tail.len(), apart);
        }
    }

    const AMPLE: Room = Room { messages: 1000, bytes: 1 << 20 };

    /// What may be gathered behind each of these messages, which come so many microseconds apart.
    fn gathered(apart: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let next = |micros| {
            now += Duration::from_micros(micros);
            pace.gather(1, now, AMPLE).messages
        };
        apart.into_iter().map(next).collect()
    }

    #[test]
    fn who_sends_fast_gathers_more_and_more() {
        assert_eq!(gathered([1; 11]), [2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512]);
        assert_eq!(gathered([10; 8]), [2, 4, 8, 16, 32, 64, 100, 100], "for about a millisecond");
    }

    #[test]
    fn who_sends_slowly_gathers_nothing() {
        assert_eq!(gathered([5000; 3]), [0, 0, 0]);
        assert_eq!(gathered([1, 1, 1, 5000, 1]), [2, 4, 8, 0, 2]);
    }

    #[test]
    fn no_more_is_gathered_than_there_is_room_for() {
        let mut pace = Pace { last: Instant::now(), gathered: 512 };
        let room = Room { messages: 3, bytes: 100 };
        assert_eq!(pace.gather(512, Instant::now(), room), room);
    }
}
