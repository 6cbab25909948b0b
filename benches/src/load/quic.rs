//! TSQ requests over many QUIC connections.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tsq_perf::{Ask, Crowd, Pace, Transport};

use super::{Load, PATIENCE, Tally};
use crate::{Error, trust};

/// Connections to one server, over one socket.
pub(crate) struct QuicLoad {
    crowd: Crowd,
}

impl QuicLoad {
    /// Makes `count` connections, which ask by a transport and for signed answers or plain ones.
    ///
    /// # Errors
    /// Not all of them came about.
    pub(crate) fn start(
        server: SocketAddr,
        pin: &str,
        count: usize,
        (transport, signed): (Transport, bool),
    ) -> Result<Self, Error> {
        let ask = Ask {
            transport,
            signed,
            follow_up: false,
            patience: PATIENCE,
            // Both ends read one clock: an answer that is off by more than the longest wait is wrong.
            offset_limit: PATIENCE,
        };
        let believed = trust::pinned(pin, server)?;
        let crowd = Crowd::connect(server, &believed, count, ask, &AtomicBool::new(false))?;
        let connections = crowd.connections();
        if !connections.complete() {
            return Err(format!("not all connections came about: {}", connections.json()).into());
        }
        Ok(Self { crowd })
    }
}

impl Load for QuicLoad {
    fn run(&mut self, pace: &mut Pace, end: Instant) -> Result<(), Error> {
        self.crowd.run(pace, end, &AtomicBool::new(false))?;
        let tally = self.crowd.tally();
        if let Some(reason) = tally.refused.keys().next() {
            return Err(format!("a wrong answer: {reason}").into());
        }
        if let Some(reason) = tally.closed.keys().next() {
            return Err(format!("a connection ended: {reason}").into());
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        Ok(self.crowd.finish()?)
    }

    fn tally(&self) -> Tally {
        let tally = self.crowd.tally();
        Tally {
            answered: tally.answered,
            lost: tally.lost,
            late: tally.late,
        }
    }
}
