//! What a caller sends on a connection.

use bytes::Bytes;
use quinn_proto::{Dir, SendDatagramError, StreamId, VarInt};

use super::slot::Slot;
use super::{ConnId, Engine, entry, slot};
use crate::event::Event;
use crate::memory;

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
        self.settle_kept_message();
        let mut slot = slot(&mut self.slots, id).ok_or(SendError::Closed)?;
        if slot.conn.is_closed() {
            return Err(SendError::Closed);
        }
        let message = if slot.has_unsent_datagrams() {
            // It waits, maybe for long: in memory of its own.
            Bytes::copy_from_slice(message)
        } else {
            let message = memory::uncounted(|| self.messages.copy(message)).freeze();
            self.messages.used_by(id);
            message
        };
        match slot.conn.datagrams().send(message, true) {
            Ok(()) => {}
            Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                return Err(SendError::Unsupported);
            }
            Err(SendDatagramError::TooLarge | SendDatagramError::Blocked(_)) => {
                return Err(SendError::TooLarge);
            }
        }
        drop(slot);
        self.mark_ready(id);
        Ok(())
    }

    /// Who has not sent the last message yet keeps its memory.
    fn settle_kept_message(&mut self) {
        if let Some(kept) = self.messages.kept()
            && let Some(slot) = entry(&mut self.slots, kept.by)
        {
            slot.memory += kept.bytes;
        }
    }

    /// Whether datagrams queued earlier have not left yet: congestion control holds them back.
    pub fn has_unsent_datagrams(&mut self, id: ConnId) -> bool {
        entry(&mut self.slots, id).is_some_and(Slot::has_unsent_datagrams)
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
        let mut slot = slot(&mut self.slots, id).ok_or(OpenError::Closed)?;
        if slot.conn.is_closed() {
            return Err(OpenError::Closed);
        }
        let stream = slot
            .conn
            .streams()
            .open(Dir::Bi)
            .ok_or(OpenError::NotAllowed)?;
        drop(slot);
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
        let mut slot = slot(&mut self.slots, id).ok_or(SendError::Closed)?;
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
        drop(slot);
        self.mark_ready(id);
        Ok(())
    }

    /// Tells the peer that we read no more of `stream`: it can be forgotten on both sides.
    pub fn stop_stream(&mut self, id: ConnId, stream: StreamId) {
        // An error means the stream is gone already.
        let stop = |slot: &mut Slot| slot.conn.recv_stream(stream).stop(VarInt::from_u32(0)).ok();
        if self.with(id, stop).is_some() {
            // Pieces of it that are waiting to be looked at are not wanted either.
            self.events.retain(|event| {
                !matches!(event, Event::Stream { conn, stream: other, .. } if *conn == id && *other == stream)
            });
            self.mark_ready(id);
        }
    }

    /// Gives up our side of `stream`.
    pub fn reset_stream(&mut self, id: ConnId, stream: StreamId) {
        // An error means the stream is gone already.
        let reset = |slot: &mut Slot| {
            slot.conn
                .send_stream(stream)
                .reset(VarInt::from_u32(0))
                .ok()
        };
        if self.with(id, reset).is_some() {
            self.mark_ready(id);
        }
    }

    /// The longest datagram the peer takes; None when it takes none (C5).
    pub fn max_datagram(&mut self, id: ConnId) -> Option<usize> {
        entry(&mut self.slots, id)?.conn.datagrams().max_size()
    }
}
