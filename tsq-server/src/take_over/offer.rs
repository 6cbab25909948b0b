//! What one process hands to the next, and how the next asks for it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg,
    sendmsg, socket_with,
};
use rustix::process::Uid;
use tsq_net::{Generation, Group, MAX_SHARDS, ServerSecret};

use super::{DRAINING, PATIENCE, SERVING, SERVING_ON, stranger, words};
use tsq_host::signals::{Heard, Signals};

/// The sockets and keys of the process that serves an address.
#[derive(Debug)]
pub struct Offer {
    /// Its sockets.
    pub group: Group,
    /// Its secret: what it promised clients, they are to find kept.
    pub secret: ServerSecret,
    stream: UnixStream,
}

/// Asks the process that serves `address` for it; None if there is none of ours that would answer.
///
/// # Errors
/// There is one, but it speaks otherwise or does not answer in 30 s; `Interrupted`: `signals` say that all is to end.
pub fn ask(address: SocketAddr, signals: &Signals) -> io::Result<Option<Offer>> {
    Asker::default().ask(address, signals)
}

/// Who asks, and how patiently.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// Whose processes are ours.
    pub(super) user: Uid,
    /// For a place in the queue of those who ask.
    pub(super) queueing: Duration,
    /// For the answer.
    pub(super) answer: Duration,
}

impl Default for Asker {
    fn default() -> Self {
        Self {
            user: rustix::process::geteuid(),
            queueing: QUEUEING,
            answer: PATIENCE,
        }
    }
}

impl Asker {
    pub(super) fn ask(&self, address: SocketAddr, signals: &Signals) -> io::Result<Option<Offer>> {
        let Some(stream) = self.connect(address, signals)? else {
            return Ok(None);
        };
        if let Some(user) = stranger(&stream, self.user)? {
            tracing::warn!(
                %address,
                user = user.as_raw(),
                "a process of another user has the name by which this address would be taken over; starting without"
            );
            return Ok(None);
        }
        let soon = SOON.min(self.answer);
        if hear(&stream, soon, signals)? == Heard::Nothing {
            tracing::info!(
                %address,
                "waiting for the process that serves: has it just taken over itself, it hands over when the one \
                 before it has ended"
            );
            if hear(&stream, self.answer - soon, signals)? == Heard::Nothing {
                return Err(silent(self.answer));
            }
        }
        receive(stream, address).map(Some)
    }

    /// To whoever has the name; None if nobody has it, or does not let us in.
    fn connect(&self, address: SocketAddr, signals: &Signals) -> io::Result<Option<UnixStream>> {
        let name = SocketAddrUnix::new_abstract_name(words(address).as_bytes())?;
        let deadline = Instant::now() + self.queueing;
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
            match connect(&socket, &name) {
                Ok(()) => {
                    let stream = UnixStream::from(socket);
                    stream.set_nonblocking(false)?;
                    stream.set_write_timeout(Some(self.answer))?;
                    return Ok(Some(stream));
                }
                Err(Errno::CONNREFUSED) => return Ok(None),
                // Its queue is full.
                Err(Errno::AGAIN) if Instant::now() < deadline => {
                    if signals.hear(None, RETRY)? == Heard::End {
                        return Err(to_end());
                    }
                }
                Err(Errno::AGAIN) => {
                    tracing::warn!(
                        %address,
                        "whoever has the name by which this address would be taken over lets nobody in; starting without"
                    );
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits for the other's next word or its end.
fn hear(stream: &UnixStream, limit: Duration, signals: &Signals) -> io::Result<Heard> {
    match signals.hear(Some(stream.as_fd()), limit)? {
        Heard::End => Err(to_end()),
        heard => Ok(heard),
    }
}

fn to_end() -> io::Error {
    io::Error::new(io::ErrorKind::Interrupted, "asked to end meanwhile")
}

fn silent(limit: Duration) -> io::Error {
    let text = format!(
        "the process there has not answered for {} s",
        limit.as_secs()
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// A process that is not waiting itself answers at once.
const SOON: Duration = Duration::from_millis(500);

/// A process of ours empties its queue in no time; only strangers keep it full.
const QUEUEING: Duration = Duration::from_secs(5);

const RETRY: Duration = Duration::from_millis(20);

impl Offer {
    #[cfg(test)]
    pub(super) fn of(group: Group, secret: ServerSecret, stream: UnixStream) -> Self {
        Self {
            group,
            secret,
            stream,
        }
    }

    /// Takes new connections from the process that made the offer; that one drains, if it has not
    /// ended already. The stream ends when it does.
    ///
    /// # Errors
    /// It serves on, for it has waited too long. Nothing has changed then. Or as [`ask`].
    pub fn accept(self, signals: &Signals) -> io::Result<(Group, UnixStream)> {
        let Self {
            group, mut stream, ..
        } = self;
        // That it has ended shows in what is read.
        let _ = stream.write_all(&[SERVING]);
        let mut answer = [0];
        if hear(&stream, PATIENCE, signals)? == Heard::Nothing {
            return Err(silent(PATIENCE));
        }
        match stream.read(&mut answer) {
            Ok(1) if answer == [DRAINING] => {}
            Ok(1) if answer == [SERVING_ON] => {
                return Err(io::Error::other(
                    "the process there no longer waited for us",
                ));
            }
            Ok(1) => return Err(misunderstood()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error),
        }
        // It takes new connections for as long as they come to it, which is until now.
        group.begin()?;
        Ok((group, stream))
    }
}

/// Sends what [`ask`] receives.
pub(super) fn send(stream: &UnixStream, group: &Group, secret: &ServerSecret) -> io::Result<()> {
    let sockets: Vec<BorrowedFd<'_>> = group.sockets().collect();
    let mut header = [0; HEADER];
    header[..MAGIC.len()].copy_from_slice(MAGIC);
    // Both fit: an address has at most 64 shards.
    header[MAGIC.len()] = u8::try_from(group.shards().count()).unwrap_or(0);
    header[MAGIC.len() + 1] = u8::from(group.generation() == Generation::Odd);
    header[HEADER - ServerSecret::LENGTH..].copy_from_slice(secret.as_bytes());
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("more sockets than one message can carry"));
    }
    let data = [IoSlice::new(&header)];
    sendmsg(stream, &data, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(stream: UnixStream, address: SocketAddr) -> io::Result<Offer> {
    let mut header = [0; HEADER];
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut data = [IoSliceMut::new(&mut header)];
    let received = recvmsg(&stream, &mut data, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let sockets: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received.bytes != HEADER || !header.starts_with(MAGIC) {
        return Err(misunderstood());
    }
    let [shards, generation] = [header[MAGIC.len()], header[MAGIC.len() + 1]];
    let generation = match generation {
        0 => Generation::Even,
        _ => Generation::Odd,
    };
    let (_, secret) = header
        .split_last_chunk()
        .expect("the header is longer than the secret");
    Ok(Offer {
        group: Group::handed_over(address, shards.into(), generation, sockets)?,
        secret: ServerSecret::from_bytes(*secret),
        stream,
    })
}

pub(super) fn misunderstood() -> io::Error {
    io::Error::other("the other process is of a version that hands over in another way")
}

/// Changes when what follows does.
const MAGIC: &[u8] = b"tsq-1\n";

/// Magic, number of shards, generation, secret.
const HEADER: usize = MAGIC.len() + 2 + ServerSecret::LENGTH;

const SPACE: usize = rustix::cmsg_space!(ScmRights(2 * MAX_SHARDS));
