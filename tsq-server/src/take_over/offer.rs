//! What one process hands to the next, and how the next asks for it.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tsq_net::{Generation, Group, MAX_SHARDS, ServerSecret};

use super::{DRAINING, PATIENCE, SERVING, SERVING_ON, name, require_own_user};

/// The sockets and keys of the process that serves an address.
#[derive(Debug)]
pub struct Offer {
    /// Its sockets.
    pub group: Group,
    /// Its secret: what it promised clients, they are to find kept.
    pub secret: ServerSecret,
    stream: UnixStream,
}

/// Asks the process that serves `address` for it; None if there is none that would answer.
///
/// # Errors
/// There is one, but it belongs to another user, speaks otherwise, or does not answer in 30 s.
pub fn ask(address: SocketAddr) -> io::Result<Option<Offer>> {
    let stream = match UnixStream::connect_addr(&name(address)?) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error),
    };
    require_own_user(&stream)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if !answers_within(&stream, SOON)? {
        tracing::info!(
            %address,
            "waiting for the process that serves: has it just taken over itself, it hands over when the one \
             before it has ended"
        );
    }
    match receive(stream, address) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let seconds = PATIENCE.as_secs();
            let text = format!("the process there has not answered for {seconds} s");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        outcome => outcome.map(Some),
    }
}

fn answers_within(stream: &UnixStream, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).ok();
    match poll(&mut [PollFd::new(stream, PollFlags::IN)], limit.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        // The read that follows waits as well.
        Err(Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// A process that is not waiting itself answers at once.
const SOON: Duration = Duration::from_millis(500);

impl Offer {
    /// Takes new connections from the process that made the offer; that one drains, if it has not
    /// ended already. The stream ends when it does.
    ///
    /// # Errors
    /// It serves on, for it has waited too long. Nothing has changed then.
    pub fn accept(self) -> io::Result<(Group, UnixStream)> {
        let Self {
            group, mut stream, ..
        } = self;
        // That it has ended shows in what is read.
        let _ = stream.write_all(&[SERVING]);
        let mut answer = [0];
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
        stream.set_read_timeout(None)?;
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
