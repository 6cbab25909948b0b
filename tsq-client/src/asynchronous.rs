//! A session for async programs: on a thread of its own, awaited by whatever runtime there is.

mod told;

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::report::SourceReport;
use crate::session::Session;
use told::{Teller, Told};

/// A [`Session`] on a thread of its own, which sends and receives there: stamps are as exact as a session's, however
/// busy the runtime is.
///
/// Dropping it closes the session as [`Self::close`] does, without waiting.
#[derive(Debug)]
pub struct AsyncSession {
    orders: Sender<Order>,
    ended: Told<()>,
}

#[derive(Debug)]
struct Order {
    deadline: Instant,
    reply: Teller<io::Result<Vec<SourceReport>>>,
}

impl AsyncSession {
    /// Moves the session to its thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn new(session: Session) -> io::Result<Self> {
        let (orders, received) = channel();
        let (end, ended) = told::pair();
        std::thread::Builder::new()
            .name("tsq session".into())
            .spawn(move || {
                serve(session, &received);
                end.say(());
            })?;
        Ok(Self { orders, ended })
    }

    /// As [`Session::measure`].
    ///
    /// Cancel-safe: of a measurement that nobody waits for any more nothing is told, and the session goes on. One
    /// that has begun holds up the next until it is over, at its deadline at the latest.
    ///
    /// # Errors
    /// Those of [`Session::measure`]; or the session's thread has panicked.
    pub async fn measure(&self, deadline: Instant) -> io::Result<Vec<SourceReport>> {
        let (reply, replied) = told::pair();
        let gone = || io::Error::other("the session's thread is gone");
        self.orders
            .send(Order { deadline, reply })
            .map_err(|_| gone())?;
        replied.await.ok_or_else(gone)?
    }

    /// As [`Session::close`]; cancel-safe, for the session closes in any case.
    pub async fn close(self) {
        drop(self.orders);
        // A thread that has panicked has ended as well.
        let _: Option<()> = self.ended.await;
    }
}

fn serve(mut session: Session, orders: &Receiver<Order>) {
    while let Ok(Order { deadline, reply }) = orders.recv() {
        if reply.is_awaited() {
            reply.say(session.measure(deadline, &mut |_| {}));
        }
    }
    session.close();
}
