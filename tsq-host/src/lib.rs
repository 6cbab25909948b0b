//! What the host of a TSQ program is, for any program that runs on it.
//!
//! * [`own_clock`]: what this host's clock is worth, asked of the kernel and of chronyd, and for how long a clock that
//!   nobody keeps any more may still be told as good.
//! * [`daemons`]: other programs that steer it.
//! * [`activation`] and [`notify`]: the service manager, which binds sockets and wants to be told.
//! * [`signals`]: what a main thread waits for.
//! * [`newest`]: a value that one thread replaces and others look at.
//!
//! What is not here: options, metrics, and what a program does about any of it.

#![forbid(unsafe_code)]

pub mod activation;
pub mod daemons;
pub mod newest;
pub mod notify;
pub mod own_clock;
pub mod signals;
