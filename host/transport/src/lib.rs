//! Byte pipes between actors and packet channels to the broker.
//!
//! Owns: shared memory, Unix socketpairs, passing descriptors, and their in-memory twins for tests. Must not
//! know: what travels through them. Invariant: whatever works over sockets works over memory.

mod channel;
mod hurry;
mod lending;
mod memory;
mod pipe;
mod ring;
mod shared;
mod socket;
mod turn;

pub use channel::{
    Attachment, Channel, MAX_PACKET_BYTES, Packet, attach, channel_from_fd, memory_channel, send_first,
    socket_channel,
};
pub use lending::{Lending, Loan, MOST_LENT};
pub use pipe::{Looking, Pipe, actor_pipe, memory_pipe, socket_pipe};
pub use shared::{Shared, SharedEnd};
pub use socket::Socket;
pub use turn::{Place, ran};
