//! The steady datagram path of a shard allocates nothing of ours: a packet comes, its answer is sent,
//! the client's acknowledgement is handled.
//!
//! What is counted and what not: an allocator looks at the serving thread alone, after a warm-up in
//! which tables reach their size, and at the stack of each allocation. Those made inside quinn-proto
//! (and what it calls) are its own; their number per request is pinned from above, so that it does not
//! grow unseen. All others are ours, and there is none but the arena's: packets and answers are pieces of
//! one whose memory comes back, since one client that waits for each answer holds no piece for long, unless
//! the machine is busy and its acknowledgement late. Many clients at once hold more, and then the arena
//! takes 4 KiB anew for some forty packets; that is not shown here.
#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests too")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use tsq_dev::AnyCertificate;
use tsq_net::{Batch, ConnId, Engine, Event, Role, SendOptions, ServerConfig, Socket, tls, wait};
use tsq_proto::{Nonce, Request};
use tsq_server::service::Service;
use tsq_server::teller::Teller;

#[global_allocator]
static ALLOCATOR: Witness = Witness;

const WARM_UP: u32 = 500;
const COUNTED: u32 = 2000;
/// Far beyond what any machine needs.
const LIMIT: Duration = Duration::from_secs(30);
/// What quinn-proto needs per request, seen at 0 to 0.01: its tables have their size after the warm-up, and
/// new keys now and then are a dozen.
const THEIRS_AT_MOST: f64 = 0.1;
/// Of the arena, whose memory would never come back if there were about four times as many.
const ARENA_AT_MOST: usize = COUNTED as usize / 100;

#[test]
fn answering_a_datagram_allocates_nothing_of_ours() {
    let service = Service::bind(
        (Ipv4Addr::LOCALHOST, 0).into(),
        config(),
        Teller::vouching(tsq_net::now()),
    );
    let service = service.unwrap();
    let (address, stopper) = (service.address(), service.stopper());
    let thread = std::thread::spawn(move || {
        SERVING.set(true);
        service.run()
    });
    let mut client = Client::connect(address);
    client.ask(WARM_UP);
    COUNTING.store(true, Ordering::SeqCst);
    client.ask(COUNTED);
    COUNTING.store(false, Ordering::SeqCst);
    stopper.stop();
    thread.join().unwrap().unwrap();
    let stacks = STACKS.lock().unwrap();
    let (theirs, ours): (Vec<_>, Vec<_>) = stacks.iter().partition(|stack| is_theirs(stack));
    let (arena, ours): (Vec<_>, Vec<_>) = ours.into_iter().partition(|stack| is_arena(stack));
    assert!(ours.is_empty(), "{} of ours: {}", ours.len(), ours[0]);
    assert!(arena.len() <= ARENA_AT_MOST, "{} of the arena", arena.len());
    let each = theirs.len() as f64 / f64::from(COUNTED);
    println!("{each} allocations of quinn-proto per request");
    assert!(
        each <= THEIRS_AT_MOST,
        "{each} per request, such as {}",
        theirs[0]
    );
}

/// That the test above can fail.
#[test]
fn own_and_foreign_allocations_are_told_apart() {
    let stacks = [
        (
            "   3: grow<tsq_net::engine::ConnId>\n   4: quinn_proto::x",
            false,
        ),
        (
            "   3: alloc::y\n   4: tsq_server::service::x\n   5: std::z",
            false,
        ),
        ("   3: alloc::y\n   4: std::z", false),
        (
            "   3: bytes::y\n   4: next\n      at /x/quinn-proto-0.11/src/a.rs\n   5: tsq_net::x",
            true,
        ),
        (
            "   3: bytes::y\n   4: quinn_proto::x\n   5: tsq_net::x",
            true,
        ),
    ];
    for (stack, theirs) in stacks {
        assert_eq!(is_theirs(stack), theirs, "{stack}");
        assert!(!is_arena(stack), "{stack}");
    }
    let arena = "   3: bytes::y\n   4: tsq_net::arena::Arena::copy\n   5: tsq_net::x";
    assert!(is_arena(arena) && !is_theirs(arena));
    SERVING.set(true);
    let before = SEEN.get();
    drop(std::hint::black_box(Box::new(7)));
    let after = SEEN.get();
    SERVING.set(false);
    assert_eq!(after - before, 1);
}

/// Whether quinn-proto made it: a frame of it lies nearer to the allocator than any of ours.
fn is_theirs(stack: &str) -> bool {
    let ours = |line: &str| line.contains("tsq_") || line.contains("/tsq-");
    let theirs = |line: &str| line.contains("quinn_proto::") || line.contains("/quinn-proto-");
    stack
        .lines()
        .find(|line| ours(line) || theirs(line))
        .is_some_and(theirs)
}

/// Whether it is memory for packets: the nearest of our frames is the arena's.
fn is_arena(stack: &str) -> bool {
    let first = stack.lines().find(|line| line.contains("tsq_"));
    first.is_some_and(|line| line.contains("tsq_net::arena::"))
}

fn config() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
    let role = Role::Server {
        streams: 16,
        buffer: 16 * 1024,
        idle: Duration::from_secs(60),
    };
    tls::server(certified, role).unwrap()
}

struct Client {
    engine: Engine,
    socket: Socket,
    server: std::net::SocketAddr,
    conn: ConnId,
    asked: u128,
}

impl Client {
    fn connect(server: std::net::SocketAddr) -> Self {
        let mut engine = Engine::client();
        let config = tls::client(Arc::new(AnyCertificate::default())).unwrap();
        let conn = engine.connect(Instant::now(), config, server, "localhost");
        let mut client = Self {
            conn: conn.unwrap(),
            engine,
            socket: Socket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap(),
            server,
            asked: 0,
        };
        assert!(client.wait_for(LIMIT, |event| matches!(event, Event::Connected { .. })));
        client
    }

    /// Asks one question after the other; each must be answered.
    fn ask(&mut self, questions: u32) {
        for _ in 0..questions {
            self.asked += 1;
            let mut request = [0; 64];
            let nonce = Nonce::new(self.asked.to_be_bytes());
            let length = Request::new(nonce).encode(&mut request).unwrap();
            let request = &request[..length];
            let asked = Instant::now();
            loop {
                // One that is lost is asked again.
                self.engine.send_datagram(self.conn, request).unwrap();
                let answered = self.wait_for(Duration::from_millis(500), |event| match event {
                    Event::Datagram { data, .. } => data.starts_with(&request[..18]),
                    _ => false,
                });
                if answered {
                    break;
                }
                assert!(asked.elapsed() < LIMIT, "no answer in {LIMIT:?}");
            }
        }
    }

    fn wait_for(&mut self, limit: Duration, wanted: impl Fn(&Event) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let (mut batch, mut buffer) = (Batch::new(), Vec::new());
        loop {
            while let Some(event) = self.engine.poll_event() {
                if wanted(&event) {
                    return true;
                }
            }
            let now = Instant::now();
            if now > deadline {
                return false;
            }
            while self.engine.poll_transmit(now, &mut buffer).is_some() {
                let options = SendOptions::default();
                self.socket.send(self.server, &buffer, options).unwrap();
            }
            let timeout = Some(Duration::from_millis(5));
            wait(&[&self.socket], None, timeout).unwrap();
            let count = self.socket.receive(&mut batch).unwrap();
            for packet in (0..count).filter_map(|i| batch.packet(i)) {
                let (from, stamp) = (packet.remote, packet.stamp);
                self.engine
                    .handle_packet(Instant::now(), from, None, packet.bytes, stamp);
            }
            self.engine.handle_timeout(Instant::now());
        }
    }
}

thread_local! {
    /// This thread's allocations are to be looked at; not those of looking.
    static SERVING: Cell<bool> = const { Cell::new(false) };
    static SEEN: Cell<usize> = const { Cell::new(0) };
}
static COUNTING: AtomicBool = AtomicBool::new(false);
static STACKS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Witness;

impl Witness {
    fn testify() {
        if !SERVING.get() {
            return;
        }
        SEEN.set(SEEN.get() + 1);
        if COUNTING.load(Ordering::Relaxed) {
            SERVING.set(false);
            let stack = Backtrace::force_capture().to_string();
            if let Ok(mut stacks) = STACKS.lock() {
                stacks.push(stack);
            }
            SERVING.set(true);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged; looking at the stack allocates only
// with this very observation switched off.
unsafe impl GlobalAlloc for Witness {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::testify();
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout, for `alloc` above got it there.
        unsafe { System.dealloc(pointer, layout) }
    }
}
