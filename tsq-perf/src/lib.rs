//! Load generator for TSQ servers: closed and open loop, handshake storms, rate steps.
//!
//! The command is a few lines over this library, which the project's benchmarks use as well:
//!
//! * [`Crowd`] asks over many kept connections, at a [`Pace`]; [`Storm`] makes, uses and closes them;
//! * [`driver`] moves QUIC's packets: a batch leaves in one system call, for a generator that needs as much
//!   time per request as the server measures wake-ups and not work. A thousand requests a second are sent by
//!   themselves with a kernel timestamp: from those come the [`Tally::offsets`];
//! * [`Watched`] is the server's process: what it used for that, when it runs on this host.
//!
//! What it does not do: it sets no clock, verifies no signature, and judges no server beyond "was each answer
//! right". It loads whatever it is pointed at: point it at what is yours.

#![forbid(unsafe_code)]

pub mod args;
mod ask;
mod connections;
mod cpu;
mod crowd;
pub mod driver;
mod failure;
mod held;
mod histogram;
mod mix;
mod outbox;
mod pace;
mod pending;
mod report;
pub mod run;
mod settings;
mod storm;
mod table;
mod tally;
mod trust;
mod watch;

pub use ask::{Ask, Pace, Transport};
pub use connections::Connections;
pub use cpu::CpuTime;
pub use crowd::Crowd;
pub use failure::Error;
pub use histogram::{Offsets, Times};
pub use mix::{Kind, Mix};
pub use outbox::Outbox;
pub use pace::Schedule;
pub use storm::{Handshakes, Storm};
pub use table::Table;
pub use tally::Tally;
pub use trust::Believed;
pub use watch::{Usage, Used, Watched};

use tsq_net::CloseReason;
use tsq_sync::Spelling;

/// Why a connection ended, as few words.
pub(crate) fn words(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Local | CloseReason::Memory => "closed by us".into(),
        CloseReason::ByPeer { reason, code } => {
            format!("closed by the server: {reason} (code {code})")
        }
        CloseReason::Tls {
            alert: CloseReason::NO_APPLICATION_PROTOCOL,
            ..
        } => "it speaks QUIC but not TSQ".into(),
        CloseReason::Tls { alert, reason, .. } => format!("TLS alert {alert}: {reason}"),
        CloseReason::Transport { reason } => format!("QUIC error: {reason}"),
        CloseReason::TimedOut => "timed out".into(),
        CloseReason::Reset => "the server has lost the connection (restarted?)".into(),
        CloseReason::Version => "the server speaks no QUIC version 1".into(),
    }
}

/// Settings are options here.
const OPTIONS: Spelling = Spelling("--");
