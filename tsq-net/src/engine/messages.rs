//! What a caller sends on a connection.

use quinn_proto::{Dir, SendDatagramError, StreamId, VarInt};

use super::slot::Slot;
use super::{ConnId, Engine, slot};
use crate::event::Event;

/// Why a message was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The connection is over.
    Closed,
    /// The peer takes no datagrams.
    Unsupported,
    /// The message does not fit a packet, or the window.
    TooLarge,
}

/// Why no stream was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The connection is over.
    Closed,
    /// The peer allows no (further) stream now.
    NotAllowed,
}

impl Engine {
    /// Queues one datagram. Older unsent ones are dropped for it when the buffer is full.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_datagram(&mut self, id: ConnId, message: &[u8]) -> Result<(), SendError> {
        let slot = slot(&mut self.slots, id).ok_or(SendError::Closed)?;
        if slot.conn.is_closed() {
            return Err(SendError::Closed);
        }
        let message = self.arena.copy(message).freeze();
        match slot.conn.datagrams().send(message, true) {
            Ok(()) => {}
            Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                return Err(SendError::Unsupported);
            }
            Err(SendDatagramError::TooLarge | SendDatagramError::Blocked(_)) => {
                return Err(SendError::TooLarge);
            }
        }
        self.mark_ready(id);
        Ok(())
    }

    /// Whether datagrams queued earlier have not left yet: congestion control holds them back.
    pub fn has_unsent_datagrams(&mut self, id: ConnId) -> bool {
        slot(&mut self.slots, id).is_some_and(Slot::has_unsent_datagrams)
    }

    /// Opens a bidirectional stream, writes `message` and, if `finish`, ends our side.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_stream(
        &mut self,
        id: ConnId,
        message: &[u8],
        finish: bool,
    ) -> Result<StreamId, OpenError> {
        let slot = slot(&mut self.slots, id).ok_or(OpenError::Closed)?;
        if slot.conn.is_closed() {
            return Err(OpenError::Closed);
        }
        let stream = slot
            .conn
            .streams()
            .open(Dir::Bi)
            .ok_or(OpenError::NotAllowed)?;
        self.send_stream(id, stream, message, finish)
            .map_err(|_| OpenError::Closed)?;
        Ok(stream)
    }

    /// Writes `message` to a stream whole, or not at all.
    ///
    /// # Errors
    /// `Closed` if the stream or connection is over, `TooLarge` if the peer's window is too small.
    pub fn send_stream(
        &mut self,
        id: ConnId,
        stream: StreamId,
        message: &[u8],
        finish: bool,
    ) -> Result<(), SendError> {
        let slot = slot(&mut self.slots, id).ok_or(SendError::Closed)?;
        let mut sender = slot.conn.send_stream(stream);
        let written = sender.write(message).map_err(|_| SendError::Closed)?;
        if written < message.len() {
            // Ends the stream: half a message is worth nothing.
            let _ = sender.reset(VarInt::from_u32(0));
            return Err(SendError::TooLarge);
        }
        if finish {
            sender.finish().map_err(|_| SendError::Closed)?;
        }
        self.mark_ready(id);
        Ok(())
    }

    /// Tells the peer that we read no more of `stream`: it can be forgotten on both sides.
    pub fn stop_stream(&mut self, id: ConnId, stream: StreamId) {
        if let Some(slot) = slot(&mut self.slots, id) {
            // An error means the stream is gone already.
            let _ = slot.conn.recv_stream(stream).stop(VarInt::from_u32(0));
            // Pieces of it that are waiting to be looked at are not wanted either.
            self.events.retain(|event| {
                !matches!(event, Event::Stream { conn, stream: other, .. } if *conn == id && *other == stream)
            });
            self.mark_ready(id);
        }
    }

    /// Gives up our side of `stream`.
    pub fn reset_stream(&mut self, id: ConnId, stream: StreamId) {
        if let Some(slot) = slot(&mut self.slots, id) {
            // An error means the stream is gone already.
            let _ = slot.conn.send_stream(stream).reset(VarInt::from_u32(0));
            self.mark_ready(id);
        }
    }

    /// The longest datagram the peer takes; None when it takes none (C5).
    pub fn max_datagram(&mut self, id: ConnId) -> Option<usize> {
        slot(&mut self.slots, id)?.conn.datagrams().max_size()
    }
}
