//! What is asked, how it travels, and when.

use std::time::Duration;

use tsq_net::{ConnId, OpenError, SendError};

use crate::Error;
use crate::driver::Port;
use crate::pace::Schedule;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Transport {
    /// In a QUIC datagram.
    Datagram,
    /// On a stream of its own.
    Stream,
}

impl Transport {
    /// The word for it, on command lines and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Stream => "stream",
        }
    }

    /// The words for several of them.
    pub fn names(self) -> &'static str {
        match self {
            Self::Datagram => "datagrams",
            Self::Stream => "streams",
        }
    }
}

/// What is asked, and how its answer is judged.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// How requests travel.
    pub transport: Transport,
    /// Whether a signature is asked for; it is not verified.
    pub signed: bool,
    /// Whether the server is asked to tell, in its next answer, when an answer really left.
    pub follow_up: bool,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// The greatest offset a right answer can have.
    pub offset_limit: Duration,
}

impl Default for Ask {
    /// Datagrams, half a second, a day.
    fn default() -> Self {
        Self {
            transport: Transport::Datagram,
            signed: false,
            follow_up: false,
            patience: Duration::from_millis(500),
            offset_limit: Duration::from_secs(86_400),
        }
    }
}

/// When requests are made.
#[derive(Clone, Debug)]
pub enum Pace {
    /// Each answer brings forth the next request; at most so many are under way.
    ///
    /// A socket buffer of Linux's default size holds some 270 small packets: with more requests than
    /// that, the losses of a full buffer would be measured and not the server.
    Closed(usize),
    /// By the clock, whatever the answers do.
    Open(Schedule),
}

pub(crate) enum Sent {
    Yes,
    NotNow,
}

pub(crate) fn send(
    port: &mut Port,
    transport: Transport,
    conn: ConnId,
    request: &[u8],
) -> Result<Sent, Error> {
    match transport {
        Transport::Datagram => match port.engine.send_datagram(conn, request) {
            Ok(()) => Ok(Sent::Yes),
            Err(SendError::Closed | SendError::TooLarge) => Ok(Sent::NotNow),
            Err(SendError::Unsupported) => Err(Error::NoConnection(
                "the server takes no datagrams (try --transport stream)".into(),
            )),
        },
        Transport::Stream => match port.engine.open_stream(conn, request, true) {
            Ok(_) => Ok(Sent::Yes),
            Err(OpenError::Closed | OpenError::NotAllowed) => Ok(Sent::NotNow),
        },
    }
}
