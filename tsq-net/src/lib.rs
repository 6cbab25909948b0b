//! QUIC over timestamped UDP sockets: a message always comes with its packet's kernel time.
//!
//! The time path of TSQ, for servers and clients alike:
//!
//! ```text
//! Socket::receive -> Packet{bytes, stamp} -> Engine::handle_packet -> Event{message, stamp}
//! Event -> the caller's answer -> Engine::send_datagram -> Engine::poll_transmit -> Socket::send
//!                                                                 Socket::departures -> kernel TX time
//! ```
//!
//! * [`Socket`] owns one UDP socket and the kernel's receive and transmit stamps; the `unsafe` of this
//!   crate is in its `sys` module, and in [`Counted`], an allocator that counts.
//! * [`Engine`] owns the QUIC state of any number of connections and does no input or output:
//!   time and packets come in as arguments, packets and [`Event`]s go out as values.
//! * [`Group`] and [`Shard`] spread one address over several sockets and engines, by connection ID.
//! * [`Trouble`] tells which errors of socket calls pass, and [`Address`] reads addresses with their zones.
//! * [`tls`] builds the QUIC and TLS configurations both sides use.
//!
//! `examples/loopback.rs` is an exchange in one file.
//!
//! What this crate does not do: it knows no TSQ message (that is `tsq-proto`), decides nothing
//! about trust (`tsq-client`) and never sets a clock (`tsq-clock`).

#![deny(unsafe_code)]

mod address;
mod arena;
mod engine;
mod event;
mod memory;
mod shard;
mod socket;
mod stamp;
mod timers;
pub mod tls;
mod transport;

pub use address::{Address, BadAddress, socket_address};
pub use engine::{
    Admission, Attempt, Carries, ConnId, Engine, MemoryLimit, OpenError, Outgoing, SendError,
    Spare, Verdict,
};
pub use event::{CloseReason, EarlyData, Event};
pub use memory::{Counted, held};
pub use quinn_proto::{ClientConfig, ConnectError, Dir, ServerConfig, Side, StreamId};
pub use shard::{Generation, Group, MAX_SHARDS, ServerSecret, Shard};
pub use socket::{
    Batch, Departure, ErrorReport, MAX_PACKET, Packet, SendOptions, Socket, Trouble, Unsent, Wake,
    Waker, wait,
};
pub use stamp::{ClockPair, KernelClock, Stamp, StampSource, kernel_clock, monotonic_now, now};
pub use transport::{Role, transport};
