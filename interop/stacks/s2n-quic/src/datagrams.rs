//! The datagram providers: s2n-quic has queues of its own for clients, but they lose the time of arrival.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use peer_common::{Answers, unix_ns};
use s2n_quic::connection::Error;
use s2n_quic::provider::datagram::{
    ConnectionInfo, Endpoint, Packet, PreConnectionInfo, ReceiveContext, Receiver, Sender,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What is done with a datagram that has come: the server answers, the client hands it on.
#[derive(Clone, Debug)]
pub(crate) enum Use {
    /// Answer it.
    Answer(Box<Answers>),
    /// Hand it on with its time.
    Keep(UnboundedSender<Arrived>),
}

/// A datagram and when it came.
pub(crate) type Arrived = (Vec<u8>, i64);

/// The datagrams of all connections; `None` takes none.
#[derive(Clone, Debug)]
pub(crate) struct Datagrams(Option<Use>);

impl Datagrams {
    /// None are taken.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Each is answered.
    pub(crate) fn answering(answers: Answers) -> Self {
        Self(Some(Use::Answer(Box::new(answers))))
    }

    /// Each is handed on.
    pub(crate) fn kept() -> (Self, UnboundedReceiver<Arrived>) {
        let (sender, receiver) = unbounded_channel();
        (Self(Some(Use::Keep(sender))), receiver)
    }
}

impl Endpoint for Datagrams {
    type Sender = Outbox;
    type Receiver = Inbox;

    fn create_connection(&mut self, info: &ConnectionInfo) -> (Outbox, Inbox) {
        let outbox = Outbox {
            waiting: Arc::default(),
            waker: info.waker.clone(),
            limit: info.max_datagram_payload,
        };
        let purpose = self.0.clone();
        (outbox.clone(), Inbox { purpose, outbox })
    }

    fn max_datagram_frame_size(&self, _: &PreConnectionInfo) -> u64 {
        if self.0.is_some() { 1350 } else { 0 }
    }
}

/// What one connection has to send.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    waiting: Arc<Mutex<VecDeque<Vec<u8>>>>,
    waker: Waker,
    limit: u64,
}

impl Outbox {
    /// Sends it with the next packet; false when the other side takes none of this length.
    pub(crate) fn send(&self, message: Vec<u8>) -> bool {
        let fits = message.len() as u64 <= self.limit;
        if fits {
            self.lock().push_back(message);
            self.waker.wake_by_ref();
        }
        fits
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sender for Outbox {
    fn on_transmit<P: Packet>(&mut self, packet: &mut P) {
        let mut waiting = self.lock();
        while let Some(message) = waiting.front() {
            if packet.write_datagram(message).is_err() {
                // No room left in this packet; there is in an empty one.
                return;
            }
            waiting.pop_front();
        }
    }

    fn has_transmission_interest(&self) -> bool {
        !self.lock().is_empty()
    }

    fn on_connection_error(&mut self, _: Error) {
        self.lock().clear();
    }
}

/// Where one connection's datagrams arrive.
#[derive(Debug)]
pub(crate) struct Inbox {
    purpose: Option<Use>,
    outbox: Outbox,
}

impl Receiver for Inbox {
    fn on_datagram(&mut self, _: &ReceiveContext<'_>, datagram: &[u8]) {
        let received_ns = unix_ns();
        match &self.purpose {
            Some(Use::Answer(answers)) => {
                if let Some(answer) = answers.to_datagram(datagram, received_ns) {
                    self.outbox.send(answer);
                }
            }
            // Nobody listens once the client has all it wants.
            Some(Use::Keep(sender)) => drop(sender.send((datagram.to_vec(), received_ns))),
            None => {}
        }
    }

    fn on_connection_error(&mut self, _: Error) {
        self.purpose = None;
    }
}
