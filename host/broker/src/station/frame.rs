//! Frames of the station: a length, 4 bytes, big-endian, and that many of one CBOR item.
//!
//! Owns: writing and reading them, bounded. Must not know: what they say. Invariant: not a byte
//! behind a frame is read, since it may belong to somebody else.

use std::io;

use greenroom_abi::payload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest request: two texts of the protocol, and a path.
pub(super) const MAX_REQUEST: usize = 16 * 1024;

/// The longest answer: the status of the largest tree, the functions of the largest module.
pub(super) const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// The bytes of a frame.
///
/// # Errors
/// When it would be longer than anybody reads.
pub(super) fn encode(item: &impl Serialize) -> io::Result<Vec<u8>> {
    let item = payload::encode(item).map_err(io::Error::other)?;
    let length = u32::try_from(item.len()).ok().filter(|_| item.len() <= MAX_ANSWER);
    let length = length.ok_or_else(|| io::Error::other(format!("{} bytes are too long", item.len())))?;
    Ok([&length.to_be_bytes()[..], &item].concat())
}

/// Reads one frame of at most `limit` bytes.
///
/// # Errors
/// `UnexpectedEof` when there is none, `InvalidData` when it is too long or says something else.
pub(super) async fn read<T: DeserializeOwned>(
    pipe: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<T> {
    let length = pipe.read_u32().await? as usize;
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if length > limit {
        return Err(wrong(format!("a frame of {length} bytes, where {limit} are allowed")));
    }
    let mut item = vec![0; length];
    pipe.read_exact(&mut item).await?;
    payload::decode(&item).map_err(|error| wrong(error.reason))
}
