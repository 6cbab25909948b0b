//! A user-space UDP relay that delays, loses and reorders packets, the same way for the same seed.
//!
//! It stands where a network would, without privileges: clients talk to [`Relay::address`], the
//! upstream server sees one source address per client. One thread moves all packets; it sleeps in
//! `ppoll` until just before a packet is due and spins for the rest, so that packets leave within
//! about 100 us of their time on a machine that is not overloaded, and on one that is after
//! [`Relay::take_precedence`]. `tsq-bench relay` measures by how much they miss it.

mod queue;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{Pid, gettid};

use tsq_netem::{Dice, Impairment, Link, Way, is_retry};

use queue::{DelayQueue, Packet};

/// A running relay; it stops on drop.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    thread_id: Pid,
    totals: Arc<Totals>,
    /// Closed to end the thread.
    stop: Option<UnixStream>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Relay {
    /// Starts a relay on an unused port of 127.0.0.1.
    ///
    /// # Errors
    /// Any that binding a socket gives.
    pub fn start(upstream: SocketAddr, impairment: Impairment) -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into(), upstream, impairment)
    }

    /// Starts a relay on this address.
    ///
    /// # Errors
    /// Any that binding a socket gives.
    pub fn start_on(
        listen: SocketAddr,
        upstream: SocketAddr,
        impairment: Impairment,
    ) -> io::Result<Self> {
        let listener = UdpSocket::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let totals = Arc::new(Totals::default());
        let shared = Arc::clone(&totals);
        let (tell, told) = mpsc::channel();
        // Built inside the thread: the sockets are shared by reference counts that do not cross threads.
        let thread = thread::Builder::new()
            .name("tsq-relay".into())
            .spawn(move || {
                // Nobody listens only when the start was given up.
                let _ = tell.send(gettid());
                Worker::new(listener, upstream, impairment, shared).run(&stopped);
            })?;
        Ok(Self {
            address,
            thread_id: told.recv().expect("the thread tells its number first"),
            totals,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where clients send to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs the relay's thread before every ordinary one, so that a busy machine does not become a delay of the
    /// path: `SCHED_FIFO`, by `chrt` of util-linux.
    ///
    /// # Errors
    /// No privilege for it, or no such program; the relay goes on as it was.
    pub fn take_precedence(&self) -> io::Result<()> {
        let mut chrt = Command::new("chrt");
        chrt.args(["--fifo", "--pid", "50"])
            .arg(self.thread_id.to_string());
        let output = chrt.output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(
                String::from_utf8_lossy(&output.stderr).trim(),
            )),
        }
    }

    /// What happened to the packets so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        Counters {
            forwarded: read(&self.totals.forwarded),
            dropped: read(&self.totals.dropped),
            overflowed: read(&self.totals.overflowed),
            corrupted: read(&self.totals.corrupted),
            retries: read(&self.totals.retries),
            from_second_port: read(&self.totals.from_second_port),
            to_second_port: read(&self.totals.to_second_port),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the relay's thread was printed already, and the traffic will have missed it.
            let _ = thread.join();
        }
    }
}

/// How many packets met which end, both ways together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Sent on.
    pub forwarded: u64,
    /// Lost on purpose.
    pub dropped: u64,
    /// Lost because the relay's own limits (packets waiting, clients) were reached.
    pub overflowed: u64,
    /// Not as they were sent, whatever became of them then.
    pub corrupted: u64,
    /// Retry packets that came from the upstream server.
    pub retries: u64,
    /// What left from another port after [`Impairment::rebind_after`].
    pub from_second_port: u64,
    /// What the upstream server sent there.
    pub to_second_port: u64,
}

#[derive(Debug, Default)]
struct Totals {
    forwarded: AtomicU64,
    dropped: AtomicU64,
    overflowed: AtomicU64,
    corrupted: AtomicU64,
    retries: AtomicU64,
    from_second_port: AtomicU64,
    to_second_port: AtomicU64,
}

/// Clients known at a time; packets of further ones are lost.
const MAX_CLIENTS: usize = 1024;
/// Packets taken from one socket before the others have their turn.
const BURST: usize = 64;
const MAX_PACKET: usize = 65_535;
/// `ppoll` may return this much late: the kernel's default timer slack of 50 us, and a wake-up. Spinning
/// for as long took the median lateness at the receiver from 125 us (with 50 us) to 75 us, of which 28 us
/// are the receiver's own wake-up.
const SPIN: Duration = Duration::from_micros(100);

/// What the relay's thread owns.
struct Worker {
    listener: Rc<UdpSocket>,
    upstream: SocketAddr,
    impairment: Impairment,
    clients: Vec<Client>,
    index: HashMap<SocketAddr, usize>,
    queue: DelayQueue,
    /// The bottleneck, where there is one.
    link: Option<Link>,
    totals: Arc<Totals>,
    buffer: Vec<u8>,
}

/// One client, with the socket that speaks for it and what its packets meet each way.
struct Client {
    address: SocketAddr,
    socket: Rc<UdpSocket>,
    /// Packets that came from it.
    sent: u64,
    /// Whether `socket` is its second one.
    rebound: bool,
    up: Way,
    down: Way,
    /// Its own, so that spoiling packets leaves their other fates as they were.
    spoiler: Dice,
}

impl Worker {
    fn new(
        listener: UdpSocket,
        upstream: SocketAddr,
        impairment: Impairment,
        totals: Arc<Totals>,
    ) -> Self {
        Self {
            listener: Rc::new(listener),
            upstream,
            impairment,
            clients: Vec::new(),
            index: HashMap::new(),
            queue: DelayQueue::default(),
            link: impairment
                .bottleneck
                .map(|bottleneck| Link::new(bottleneck, impairment.seed, Instant::now())),
            totals,
            buffer: vec![0; MAX_PACKET],
        }
    }

    fn run(mut self, stopped: &UnixStream) {
        loop {
            self.send_due();
            match self.wait(stopped) {
                Some(ready) => self.receive(&ready),
                None => return,
            }
        }
    }

    fn send_due(&mut self) {
        while let Some(packet) = self.queue.pop_due(Instant::now()) {
            // A server that is not there refuses packets; a network would lose them as silently.
            if packet.via.send_to(&packet.bytes, packet.to).is_ok() {
                self.totals.forwarded.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits for packets or until one is due. Tells which sockets are ready: the listener, then the
    /// clients' in their order; `None` when the relay is to stop.
    fn wait(&self, stopped: &UnixStream) -> Option<Vec<bool>> {
        let timeout = self.queue.next_deadline().map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec::try_from(left.saturating_sub(SPIN)).expect("a delay fits a timespec")
        });
        let clients = self
            .clients
            .iter()
            .map(|client| PollFd::new(&client.socket, PollFlags::IN));
        let mut fds = vec![
            PollFd::new(stopped, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        fds.extend(clients);
        // Interrupted is as good as a time-out: nothing is ready, and the caller comes again.
        let _ = poll(&mut fds, timeout.as_ref());
        let (stop, sockets) = fds.split_first()?;
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        (!ready(stop)).then(|| sockets.iter().map(ready).collect())
    }

    fn receive(&mut self, ready: &[bool]) {
        let sockets = ready.iter().enumerate().filter(|(_, ready)| **ready);
        for (position, _) in sockets {
            match position.checked_sub(1) {
                None => self.receive_from_clients(),
                Some(client) => self.receive_from_upstream(client),
            }
        }
    }

    fn receive_from_clients(&mut self) {
        for _ in 0..BURST {
            let Ok((length, from)) = self.listener.recv_from(&mut self.buffer) else {
                return;
            };
            let Some(client_index) = self.client_at(from) else {
                self.totals.overflowed.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let now = Instant::now();
            let through = match &mut self.link {
                Some(link) => link.pass(now, length),
                None => now,
            };
            self.rebind_when_due(client_index);
            let client = &mut self.clients[client_index];
            if client.rebound {
                self.totals.from_second_port.fetch_add(1, Ordering::Relaxed);
            }
            let departure = client.up.departure(&self.impairment, through);
            let via = Rc::clone(&client.socket);
            let length = self.spoil(client_index, length);
            self.schedule(departure, via, self.upstream, length);
        }
    }

    fn receive_from_upstream(&mut self, client_index: usize) {
        for _ in 0..BURST {
            let client = &mut self.clients[client_index];
            let Ok(length) = client.socket.recv(&mut self.buffer) else {
                return;
            };
            if is_retry(&self.buffer[..length]) {
                self.totals.retries.fetch_add(1, Ordering::Relaxed);
            }
            if client.rebound {
                self.totals.to_second_port.fetch_add(1, Ordering::Relaxed);
            }
            let departure = client.down.departure(&self.impairment, Instant::now());
            let to = client.address;
            let length = self.spoil(client_index, length);
            self.schedule(departure, Rc::clone(&self.listener), to, length);
        }
    }

    /// Counts a packet of this client, and gives it another port if this is the time for it.
    fn rebind_when_due(&mut self, client_index: usize) {
        let client = &mut self.clients[client_index];
        client.sent += 1;
        let due = self
            .impairment
            .rebind_after
            .is_some_and(|after| client.sent > after);
        if client_index == 0
            && due
            && !client.rebound
            && let Ok(socket) = upstream_socket(self.upstream)
        {
            client.socket = Rc::new(socket);
            client.rebound = true;
        }
    }

    /// How much is left of the packet in the buffer.
    fn spoil(&mut self, client: usize, length: usize) -> usize {
        let spoiler = &mut self.clients[client].spoiler;
        match spoiler.spoil(&self.impairment, &mut self.buffer[..length]) {
            None => length,
            Some(left) => {
                self.totals.corrupted.fetch_add(1, Ordering::Relaxed);
                left
            }
        }
    }

    fn schedule(
        &mut self,
        departure: Option<Instant>,
        via: Rc<UdpSocket>,
        to: SocketAddr,
        length: usize,
    ) {
        let Some(departure) = departure else {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let bytes = self.buffer[..length].into();
        let packet = Packet { via, to, bytes };
        if !self.queue.push(departure, packet) {
            self.totals.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The client with this address, newly met or not; `None` when there is no room or no socket.
    fn client_at(&mut self, address: SocketAddr) -> Option<usize> {
        if let Some(known) = self.index.get(&address) {
            return Some(*known);
        }
        if self.clients.len() == MAX_CLIENTS {
            return None;
        }
        let socket = Rc::new(upstream_socket(self.upstream).ok()?);
        let position = self.clients.len();
        self.clients.push(Client {
            address,
            socket,
            sent: 0,
            rebound: false,
            up: Way::up(&self.impairment, position as u64),
            down: Way::down(&self.impairment, position as u64),
            spoiler: Dice::new(!self.impairment.seed, position as u64),
        });
        self.index.insert(address, position);
        Some(position)
    }
}

/// Connected, so that only the upstream's packets come in.
fn upstream_socket(upstream: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(upstream)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
