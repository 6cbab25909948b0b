//! The server's loop.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use peer_common::options::Server;
use peer_common::{Answers, unix_ns};
use quiche::{Config, Connection, ConnectionId, Header, MAX_CONN_ID_LEN, RecvInfo, Type};

use crate::config::{config, connection_id};
use crate::udp::{PACKET, Udp, flush, wait};

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(options: &Server) -> Result<(), Box<dyn std::error::Error>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let mut serving = Serving::new(options)?;
    println!("listening on {}", serving.sockets[0].local);
    while !stop.load(Ordering::Relaxed) {
        serving.step()?;
    }
    Ok(())
}

struct Serving {
    config: Config,
    sockets: [Udp; 1],
    retry: bool,
    answers: Answers,
    conns: HashMap<u64, Served>,
    next: u64,
    /// Every connection id in use, and whose it is.
    routes: HashMap<Vec<u8>, u64>,
}

struct Served {
    conn: Connection,
    /// Streams whose request has not ended.
    requests: HashMap<u64, Vec<u8>>,
}

impl Serving {
    fn new(options: &Server) -> Result<Self, Box<dyn std::error::Error>> {
        let mut config = config(&options.alpn, !options.no_datagrams, 100)?;
        config.enable_early_data();
        config.load_cert_chain_from_pem_file(&options.cert.to_string_lossy())?;
        config.load_priv_key_from_pem_file(&options.key.to_string_lossy())?;
        Ok(Self {
            config,
            sockets: [Udp::bind(options.listen)?],
            retry: options.retry,
            answers: Answers::new(options.answering.clone()),
            conns: HashMap::new(),
            next: 0,
            routes: HashMap::new(),
        })
    }

    fn step(&mut self) -> io::Result<()> {
        let timer = self
            .conns
            .values()
            .filter_map(|one| one.conn.timeout())
            .min();
        // A signal that comes just before the wait is seen after it.
        wait(
            &self.sockets,
            timer.unwrap_or(SIGNAL_CHECK).min(SIGNAL_CHECK),
        )?;
        let mut buffer = [0; PACKET];
        while let Some((length, info)) = self.sockets[0].receive(&mut buffer)? {
            self.take(&mut buffer[..length], info);
        }
        for served in self.conns.values_mut() {
            if served.conn.timeout().is_some_and(|timer| timer.is_zero()) {
                served.conn.on_timeout();
            }
            // A connection that cannot send is closed, and goes below.
            let _ = flush(&mut served.conn, &self.sockets);
        }
        self.conns.retain(|_, served| !served.conn.is_closed());
        self.routes
            .retain(|_, owner| self.conns.contains_key(owner));
        Ok(())
    }

    fn take(&mut self, packet: &mut [u8], info: RecvInfo) {
        let received_ns = unix_ns();
        let Ok(header) = Header::from_slice(packet, MAX_CONN_ID_LEN) else {
            return;
        };
        let known = self.routes.get(header.dcid.as_ref()).copied();
        let Some(owner) = known.or_else(|| self.accept(&header, info)) else {
            return;
        };
        let Some(served) = self.conns.get_mut(&owner) else {
            return;
        };
        if served.conn.recv(packet, info).is_err() {
            return;
        }
        served.answer(&self.answers, received_ns);
        // T3 is in the answers: they leave at once.
        let _ = flush(&mut served.conn, &self.sockets);
        for id in served.more_ids() {
            self.routes.insert(id, owner);
        }
    }

    /// A connection for a first packet; none when a Retry comes first, or nothing at all.
    fn accept(&mut self, header: &Header<'_>, info: RecvInfo) -> Option<u64> {
        if header.ty != Type::Initial || !quiche::version_is_supported(header.version) {
            return None;
        }
        let token = header.token.as_deref().unwrap_or_default();
        if self.retry && token.is_empty() {
            self.send_retry(header, info.from);
            return None;
        }
        let original = match self.retry {
            true => Some(original_id(token, info.from.ip())?),
            false => None,
        };
        // After a Retry the client uses the id that was in it.
        let id = match original {
            Some(_) => header.dcid.clone().into_owned(),
            None => connection_id(),
        };
        let (to, from) = (info.to, info.from);
        let conn = quiche::accept(&id, original.as_ref(), to, from, &mut self.config).ok()?;
        let owner = self.next;
        self.next += 1;
        // The client's own choice is used until it has seen ours.
        self.routes.insert(header.dcid.to_vec(), owner);
        self.routes.insert(id.to_vec(), owner);
        let requests = HashMap::new();
        self.conns.insert(owner, Served { conn, requests });
        Some(owner)
    }

    fn send_retry(&self, header: &Header<'_>, to: SocketAddr) {
        let (token, id) = (token(&header.dcid, to.ip()), connection_id());
        let mut out = [0; PACKET];
        let written = quiche::retry(
            &header.scid,
            &header.dcid,
            &id,
            &token,
            header.version,
            &mut out,
        );
        if let Ok(length) = written {
            self.sockets[0].send(&out[..length], to);
        }
    }
}

impl Served {
    fn answer(&mut self, answers: &Answers, received_ns: i64) {
        let mut buffer = [0; PACKET];
        while let Ok(length) = self.conn.dgram_recv(&mut buffer) {
            if let Some(answer) = answers.to_datagram(&buffer[..length], received_ns) {
                // One that does not fit is one lost.
                let _ = self.conn.dgram_send(&answer);
            }
        }
        for id in self.conn.readable() {
            let request = self.requests.entry(id).or_default();
            while let Ok((length, end)) = self.conn.stream_recv(id, &mut buffer) {
                request.extend(&buffer[..length]);
                if end {
                    let answer = answers.to_stream(request, received_ns);
                    // Far below the window; a stream the client gave up needs no answer.
                    let _ = self.conn.stream_send(id, &answer, true);
                }
            }
            if self.conn.stream_finished(id) {
                self.requests.remove(&id);
            }
        }
    }

    /// New connection ids for as many as the client keeps: it needs them to change its address.
    // tsq: C6
    fn more_ids(&mut self) -> Vec<Vec<u8>> {
        let mut ids = Vec::new();
        while self.conn.is_established() && self.conn.scids_left() > 0 {
            let id = connection_id();
            if self.conn.new_scid(&id, 0, false).is_err() {
                break;
            }
            ids.push(id.to_vec());
        }
        ids
    }
}

/// Says where a client was; anybody could forge it, which a peer on loopback need not mind.
fn token(original: &ConnectionId<'_>, ip: IpAddr) -> Vec<u8> {
    format!("{ip}|")
        .into_bytes()
        .into_iter()
        .chain(original.iter().copied())
        .collect()
}

fn original_id(token: &[u8], ip: IpAddr) -> Option<ConnectionId<'static>> {
    let original = token.strip_prefix(format!("{ip}|").as_bytes())?;
    Some(ConnectionId::from_vec(original.to_vec()))
}

const SIGNAL_CHECK: Duration = Duration::from_millis(100);
