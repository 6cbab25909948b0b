//! A way to end another thread's wait.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The waiting end: pass it to [`super::wait`].
#[derive(Debug)]
pub struct Wake {
    receiver: UnixStream,
    sender: Arc<UnixStream>,
}

/// The end other threads hold.
#[derive(Clone, Debug)]
pub struct Waker(Arc<UnixStream>);

impl Wake {
    /// A connected pair of a waiting end and its wakers.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn new() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        sender.set_nonblocking(true)?;
        Ok(Self {
            receiver,
            sender: Arc::new(sender),
        })
    }

    /// A handle for another thread.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.sender))
    }

    /// Forgets the wake-ups that have come.
    pub(super) fn take(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.receiver).read(&mut bytes), Ok(n) if n > 0) {}
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}

impl Waker {
    /// Ends the wait, now or the next time it begins.
    pub fn wake(&self) {
        // A full pipe already wakes; a closed one has nobody to wake.
        let _ = (&*self.0).write(&[1]);
    }
}
