//! The thread that answers scrapers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, sockopt};

use tsq_net::Trouble;

use super::{Metrics, http};

/// Answers at an address until dropped. Ends with its thread, not with the service: should it fail,
/// the time is served on, and that nothing answers here tells whoever looks.
#[derive(Debug)]
pub struct Responder {
    address: SocketAddr,
    /// Ends the thread when dropped.
    end: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Listens at `address`. With `take_over`, another process may still do so, and gets some of
    /// the requests until it ends.
    ///
    /// # Errors
    /// The address is taken, not permitted, or none of ours; no thread could be made.
    pub fn start(address: SocketAddr, take_over: bool, metrics: Arc<Metrics>) -> io::Result<Self> {
        Self::start_with(PATIENCE, address, take_over, metrics)
    }

    fn start_with(
        patience: Duration,
        address: SocketAddr,
        take_over: bool,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        if !take_over {
            // That one listens already would not be seen below.
            drop(TcpListener::bind(address)?);
        }
        let listener = bind(address)?;
        let address = listener.local_addr()?;
        let (end, ended) = UnixStream::pair()?;
        let server = Server {
            listener,
            ended,
            metrics,
            patience,
            clients: VecDeque::new(),
            rest_until: None,
        };
        let thread = std::thread::Builder::new()
            .name("metrics".into())
            .spawn(move || server.run())?;
        Ok(Self {
            address,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// The address, with its real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been logged already.
            let _ = thread.join();
        }
    }
}

/// A listener whose address the next process can have before this one ends.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

struct Server {
    listener: TcpListener,
    ended: UnixStream,
    metrics: Arc<Metrics>,
    /// How long a scraper may take from its connection to the last byte.
    patience: Duration,
    /// In the order they came.
    clients: VecDeque<Client>,
    /// Takes nobody in until then: the system had no descriptors left.
    rest_until: Option<Instant>,
}

struct Client {
    stream: TcpStream,
    deadline: Instant,
    head: Vec<u8>,
    /// What is left to send.
    answer: Option<Vec<u8>>,
    sent: usize,
}

impl Server {
    fn run(mut self) {
        while self.wait() {
            let now = Instant::now();
            self.accept(now);
            let metrics = &self.metrics;
            self.clients
                .retain_mut(|client| client.deadline > now && client.go_on(metrics));
        }
    }

    /// Waits until there is something to do; false when this is the end.
    fn wait(&self) -> bool {
        let now = Instant::now();
        let open = self.rest_until.is_none_or(|end| end <= now);
        let until = self.clients.iter().map(|client| client.deadline);
        let until = until.chain(self.rest_until.filter(|end| *end > now)).min();
        let timeout = until
            .map(|until| until.saturating_duration_since(now) + Duration::from_millis(1))
            .and_then(|wait| Timespec::try_from(wait).ok());
        let mut fds = vec![PollFd::new(&self.ended, PollFlags::IN)];
        fds.extend(self.clients.iter().map(|client| {
            let flags = match client.answer {
                Some(_) => PollFlags::OUT,
                None => PollFlags::IN,
            };
            PollFd::new(&client.stream, flags)
        }));
        if open {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => fds[0].revents().is_empty(),
            Err(error) => {
                let passes = Trouble::of(&error.into()) == Trouble::Passing;
                if passes && error != rustix::io::Errno::INTR {
                    std::thread::sleep(REST);
                }
                passes
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        if self.rest_until.is_some_and(|end| end > now) {
            return;
        }
        self.rest_until = None;
        // No more than the system's queue holds, so that those who ask meanwhile get their turn.
        for _ in 0..BACKLOG {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_ok() {
                        if self.clients.len() == MAX_CLIENTS {
                            self.clients.pop_front();
                        }
                        let deadline = now + self.patience;
                        self.clients.push_back(Client::new(stream, deadline));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // A client that has gone, or whose network has (accept(2)).
                Err(error) if is_of_one_client(&error) => {}
                Err(_) => {
                    self.rest_until = Some(now + REST);
                    break;
                }
            }
        }
    }
}

impl Client {
    fn new(stream: TcpStream, deadline: Instant) -> Self {
        Self {
            stream,
            deadline,
            head: Vec::new(),
            answer: None,
            sent: 0,
        }
    }

    /// Reads and writes what can be; false when it is done with.
    fn go_on(&mut self, metrics: &Metrics) -> bool {
        let outcome = if self.answer.is_none() {
            self.read(metrics).and_then(|()| self.write())
        } else {
            self.write()
        };
        matches!(outcome, Err(error) if is_not_yet(&error))
    }

    /// Ok when there is an answer.
    fn read(&mut self, metrics: &Metrics) -> io::Result<()> {
        while self.answer.is_none() {
            let mut bytes = [0; 1024];
            let room = (http::MAX_HEAD - self.head.len()).min(bytes.len());
            match self.stream.read(&mut bytes[..room])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.head.extend_from_slice(&bytes[..count]),
            }
            self.answer = http::answer(&self.head, metrics);
        }
        Ok(())
    }

    /// Ok when all is sent.
    fn write(&mut self) -> io::Result<()> {
        let answer = self.answer.as_deref().unwrap_or_default();
        while self.sent < answer.len() {
            match self.stream.write(&answer[self.sent..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        Ok(())
    }
}

fn is_of_one_client(error: &io::Error) -> bool {
    let gone = [io::ErrorKind::ConnectionAborted, io::ErrorKind::Interrupted];
    gone.contains(&error.kind()) || Trouble::of(error) == Trouble::NoPath
}

fn is_not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Scrapers served at once. One more takes the place of who has been there for longest: with places for the
/// first only, a few that are silent would keep out all others.
const MAX_CLIENTS: usize = 32;
const BACKLOG: i32 = 16;

const PATIENCE: Duration = Duration::from_secs(2);

/// After the system refused a descriptor.
const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::families::tests::metrics;
    use super::*;

    fn start() -> Responder {
        Responder::start("127.0.0.1:0".parse().unwrap(), false, metrics(true).into()).unwrap()
    }

    fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn scraper_gets_all_in_one_answer() {
        let responder = start();
        let text = ask(
            responder.address(),
            b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n\r\n",
        );
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn silent_clients_keep_nobody_out() {
        let forever = Duration::from_secs(3600);
        let address = "127.0.0.1:0".parse().unwrap();
        let responder =
            Responder::start_with(forever, address, false, metrics(true).into()).unwrap();
        let mut silent: Vec<_> = (0..2 * MAX_CLIENTS)
            .map(|_| TcpStream::connect(responder.address()).unwrap())
            .collect();
        let text = ask(responder.address(), b"GET /healthz HTTP/1.1\r\n\r\n");
        assert!(text.ends_with("\r\n\r\nok\n"), "{text}");
        // Those who came first made room; who came last may still speak.
        assert_eq!(silent[0].read(&mut [0; 1]).unwrap(), 0);
        let last = silent.last_mut().unwrap();
        last.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        last.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("ok\n"), "{text}");
    }

    #[test]
    fn slow_client_is_not_waited_for() {
        let brief = Duration::from_millis(50);
        let address = "127.0.0.1:0".parse().unwrap();
        let responder = Responder::start_with(brief, address, false, metrics(true).into()).unwrap();
        let mut slow = TcpStream::connect(responder.address()).unwrap();
        slow.write_all(b"GET ").unwrap();
        assert_eq!(slow.read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn address_in_use_is_refused_unless_it_is_to_be_taken_over() {
        let first = start();
        let address = first.address();
        let error = Responder::start(address, false, metrics(true).into()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let second = Responder::start(address, true, metrics(true).into()).unwrap();
        drop(first);
        let text = ask(second.address(), b"GET /healthz HTTP/1.1\r\n\r\n");
        assert!(text.ends_with("ok\n"), "{text}");
    }

    #[test]
    fn page_for_operators_has_these_numbers() {
        crate::documented::in_words(&format!(
            "At most {MAX_CLIENTS} scrapers are served at once, {} s and {} bytes for each",
            PATIENCE.as_secs(),
            http::MAX_HEAD
        ));
    }
}
