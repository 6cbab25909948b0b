//! What the engine tells its caller.

use bytes::Bytes;
use quinn_proto::{ConnectionError, StreamId, TransportErrorCode};
use tsq_proto::words::Foreign;

use crate::engine::ConnId;
use crate::stamp::Stamp;

/// Something that happened on a connection.
#[derive(Debug)]
pub enum Event {
    /// The handshake is complete and messages may be sent.
    Connected {
        /// The connection.
        conn: ConnId,
        /// The application protocol both sides agreed on (ALPN).
        protocol: Bytes,
        /// What became of messages sent before this.
        early: EarlyData,
    },
    /// A whole datagram arrived.
    Datagram {
        /// The connection.
        conn: ConnId,
        /// The message.
        data: Bytes,
        /// When the UDP packet that carried it arrived.
        stamp: Stamp,
    },
    /// Bytes arrived on a bidirectional stream, in order; or the peer opened one.
    Stream {
        /// The connection.
        conn: ConnId,
        /// The stream.
        stream: StreamId,
        /// The next bytes; empty if only the end arrived, or nothing but the stream's number.
        data: Bytes,
        /// Whether the peer has finished its side.
        finished: bool,
        /// When the UDP packet that made these bytes readable arrived.
        stamp: Stamp,
    },
    /// The peer gave up its side of a stream, or wants nothing more on ours.
    StreamAborted {
        /// The connection.
        conn: ConnId,
        /// The stream.
        stream: StreamId,
        /// The peer's application error code.
        code: u64,
    },
    /// The connection is over; its id will not appear again. Told once of every connection that was
    /// accepted, of one closed by this side when it is forgotten; of one that this side made and closed, never.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Nothing is left of a connection that was accepted. Told once of each, after [`Self::Closed`]:
    /// until then what it holds is held.
    Forgotten {
        /// The connection.
        conn: ConnId,
    },
}

impl Event {
    /// The connection it happened on.
    pub fn conn(&self) -> ConnId {
        match self {
            Self::Connected { conn, .. }
            | Self::Datagram { conn, .. }
            | Self::Stream { conn, .. }
            | Self::StreamAborted { conn, .. }
            | Self::Closed { conn, .. }
            | Self::Forgotten { conn } => *conn,
        }
    }
}

/// What became of 0-RTT, known at the end of the handshake only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyData {
    /// None could be sent: there was no ticket, or no leave to send early.
    None,
    /// The server took it (on a server: we did). Single packets may be lost as any others.
    Accepted,
    /// Every early message is gone without a trace: send each again, as a new request.
    ///
    /// The server did not know the ticket any more (restarted, or it was used), one of the clocks was
    /// set since, or the server asked for a new start (Retry). Streams opened early are gone as well,
    /// and their ids name the next streams opened; only after a Retry the old ones may still be answered.
    Lost,
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    Local,
    /// The peer closed it on purpose.
    ByPeer {
        /// The peer's application error code.
        code: u64,
        /// The peer's words, at most 100 characters, safe to show: escaped as [`Foreign`] does it.
        reason: String,
    },
    /// The peer (or we, `local`) ended the handshake with a TLS alert.
    Tls {
        /// The alert's number (RFC 8446, section 6).
        alert: u8,
        /// Whether this side raised it.
        local: bool,
        /// What the TLS library or the peer said, at most 100 characters, escaped.
        reason: String,
    },
    /// A QUIC error, ours or the peer's.
    Transport {
        /// The error, in words, at most 100 characters, escaped.
        reason: String,
    },
    /// Nothing was heard for the idle time.
    TimedOut,
    /// The peer has no such connection: it was restarted.
    Reset,
    /// The peer speaks no QUIC version we know.
    Version,
    /// The peer made this side hold more memory for it than may be.
    Memory,
}

impl CloseReason {
    /// TLS alert 120: the peers share no application protocol.
    pub const NO_APPLICATION_PROTOCOL: u8 = 120;
}

impl From<&ConnectionError> for CloseReason {
    fn from(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::LocallyClosed => Self::Local,
            ConnectionError::TimedOut => Self::TimedOut,
            ConnectionError::Reset => Self::Reset,
            ConnectionError::VersionMismatch => Self::Version,
            ConnectionError::CidsExhausted => Self::Transport {
                reason: "no connection IDs left".into(),
            },
            ConnectionError::ApplicationClosed(close) => Self::ByPeer {
                code: close.error_code.into_inner(),
                reason: readable(&String::from_utf8_lossy(&close.reason)),
            },
            ConnectionError::ConnectionClosed(close) => {
                let reason = readable(&String::from_utf8_lossy(&close.reason));
                closed(
                    close.error_code,
                    false,
                    reason,
                    &close.error_code.to_string(),
                )
            }
            ConnectionError::TransportError(error) => closed(
                error.code,
                true,
                readable(&error.reason),
                &error.to_string(),
            ),
        }
    }
}

fn closed(code: TransportErrorCode, local: bool, reason: String, words: &str) -> CloseReason {
    // RFC 9001, section 4.8: a TLS alert travels as 0x0100 plus its number.
    let number = u64::from(code);
    match u8::try_from(number.wrapping_sub(0x100)) {
        Ok(alert) => CloseReason::Tls {
            alert,
            local,
            reason,
        },
        Err(_) if code == TransportErrorCode::CONNECTION_REFUSED && !local => {
            CloseReason::Transport {
                reason: "the server takes no more connections, in all or of your network".into(),
            }
        }
        Err(_) => CloseReason::Transport {
            reason: readable(words),
        },
    }
}

/// A peer's words made safe for one line of a log or terminal.
fn readable(words: &str) -> String {
    let end = words
        .char_indices()
        .nth(100)
        .map_or(words.len(), |(at, _)| at);
    Foreign(&words[..end]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_peer_cannot_write_to_the_terminal() {
        assert_eq!(readable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(readable("\u{202e}\u{9b}31m"), "\\u{202e}\\u{9b}31m");
        assert_eq!(readable(&"x".repeat(500)).len(), 100);
    }
}
