//! The key exchange over TLS 1.3 (RFC 8915, section 4).

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Stream};

use tsq_net::Trouble;

use super::packet::{KEY, Session};
use super::record::{AES_SIV_CMAC_256, Granted, MAX_ANSWER, NTPV4, is_whole, parse, request};
use crate::Failure;

/// The protocol's name in TLS (RFC 8915, section 4).
pub const ALPN: &[u8] = b"ntske/1";

/// A TLS configuration that asks `verifier` about the server's certificate.
///
/// # Errors
/// Those of rustls for a configuration that cannot work; none is known.
pub fn tls(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(tsq_net::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Exchanges keys with the server at `address`, whose certificate must carry `name`, until `deadline`.
///
/// # Errors
/// [`Failure`]; a certificate that was refused is [`Failure::Tls`], and the verifier knows why.
pub fn exchange_keys(
    address: SocketAddr,
    name: &str,
    tls: Arc<ClientConfig>,
    deadline: Instant,
) -> Result<(Session, Granted), Failure> {
    let of_io = |error: io::Error| Failure::of_tcp(address, &error);
    let name = ServerName::try_from(name.to_string()).map_err(|_| Failure::Tls {
        problem: format!("{name} is not a name that a certificate can carry"),
    })?;
    let mut link = Link {
        tcp: connect(address, deadline).map_err(of_io)?,
        deadline,
    };
    // One small message each way: waiting for more to send would only delay it.
    link.tcp.set_nodelay(true).map_err(of_io)?;
    let mut connection = ClientConnection::new(tls, name).map_err(|error| Failure::Tls {
        problem: error.to_string(),
    })?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut link)
            .map_err(|error| Failure::of_tls(address, &error))?;
    }
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(Failure::NotNts { address });
    }
    let answer =
        ask(&mut connection, &mut link).map_err(|error| Failure::of_tls(address, &error))?;
    let mut granted = parse(&answer).map_err(Failure::KeyExchange)?;
    let key = |direction: u8| export(&connection, direction);
    let (to_server, to_client) = (key(0)?, key(1)?);
    let cookies = std::mem::take(&mut granted.cookies);
    // The server closes; a client that has all it needs need not wait for that.
    connection.send_close_notify();
    let _ = connection.complete_io(&mut link);
    Ok((Session::new(to_server, to_client, cookies), granted))
}

/// Again and again where what is in the way may pass.
fn connect(address: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    loop {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Err(error)
                if Trouble::of(&error) == Trouble::Passing && Instant::now() + PAUSE < deadline =>
            {
                std::thread::sleep(PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// Before the next attempt to connect.
const PAUSE: Duration = Duration::from_millis(100);

fn ask(connection: &mut ClientConnection, link: &mut Link) -> io::Result<Vec<u8>> {
    let mut stream = Stream::new(connection, link);
    stream.write_all(&request())?;
    stream.flush()?;
    let (mut answer, mut part) = (Vec::new(), [0; 2048]);
    while !is_whole(&answer) {
        let count = stream.read(&mut part)?;
        if count == 0 {
            break;
        }
        answer.extend(&part[..count]);
    }
    answer.truncate(MAX_ANSWER + 1);
    Ok(answer)
}

/// RFC 8915, section 5.1: the context is protocol, algorithm, and 0 towards the server or 1 towards the client.
fn export(connection: &ClientConnection, direction: u8) -> Result<[u8; KEY], Failure> {
    let [p0, p1] = NTPV4.to_be_bytes();
    let [a0, a1] = AES_SIV_CMAC_256.to_be_bytes();
    let context = [p0, p1, a0, a1, direction];
    connection
        .export_keying_material([0; KEY], LABEL, Some(&context))
        .map_err(|error| Failure::Tls {
            problem: error.to_string(),
        })
}

const LABEL: &[u8] = b"EXPORTER-network-time-security";

/// A connection whose every wait ends at the deadline, however slowly the peer trickles.
struct Link {
    tcp: TcpStream,
    deadline: Instant,
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(left(self.deadline)?))?;
        self.tcp.read(buffer)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(left(self.deadline)?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}
