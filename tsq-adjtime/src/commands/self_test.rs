//! Two servers inside this process: does everything work here, and how exact is it?

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use statrs::statistics::{Data, OrderStatistics};
use tsq_certs::{Lifetime, Pin, make_self_signed};
use tsq_client::{Options, Server, Session, SourceReport, Target, TransportChoice, Trust};
use tsq_net::{Role, kernel_clock, tls};
use tsq_server::service::{Service, Stopper};
use tsq_server::teller::Teller;

use tsq_sync::{Choice, Idle, Judged, Outcome, Refusal, SelfTest};

use super::synchronise::print;
use crate::ended::{Ended, Unusable, internal};
use crate::exit::Exit;
use crate::progress::Line;

/// Serves, measures by both transports, and prints; returns how that ended.
///
/// # Errors
/// [`Unusable`] if not even loopback sockets can be had here.
pub(super) fn run(queries: u16, json: bool, verbose: bool) -> Result<Ended, Unusable> {
    let outcome = measure(queries, &mut Line::new(!json))?;
    print(&outcome, json, verbose)?;
    Ok(Ended::of(&outcome))
}

fn measure(queries: u16, line: &mut Line) -> Result<Outcome, Unusable> {
    let start = Instant::now();
    let servers = [LocalServer::start()?, LocalServer::start()?];
    let mut sources = Vec::new();
    for transport in [TransportChoice::Datagram, TransportChoice::Stream] {
        let options = Options {
            queries,
            transport,
            ..Options::default()
        };
        let targets = servers
            .iter()
            .map(LocalServer::target)
            .collect::<Result<Vec<_>, _>>()?;
        let mut session = Session::new(targets, options).map_err(internal)?;
        let deadline = Instant::now() + PATIENCE;
        sources.extend(
            session
                .measure(deadline, &mut |progress| line.show(progress))
                .map_err(internal)?,
        );
        session.close();
    }
    for server in servers {
        server.stop()?;
    }
    Ok(report(sources, start.elapsed()))
}

fn report(sources: Vec<SourceReport>, elapsed: Duration) -> Outcome {
    let errors: Vec<f64> = sources
        .iter()
        .flat_map(SourceReport::accepted)
        .map(|answer| answer.sample.offset.abs().as_secs_f64())
        .collect();
    let complete = sources
        .iter()
        .all(|source| source.accepted().count() == source.asked as usize);
    let worst = errors
        .iter()
        .copied()
        .reduce(f64::max)
        .map(Duration::from_secs_f64);
    let median = (!errors.is_empty()).then(|| Duration::from_secs_f64(Data::new(errors).median()));
    let judged = Judged::of_all(&sources, &Choice::default());
    let action = if complete {
        Idle::SelfTest.into()
    } else {
        Refusal::Unanswered.into()
    };
    Outcome {
        sources,
        judged,
        action,
        remaining: None,
        dry_run: true,
        elapsed,
        warnings: Vec::new(),
        problems: Vec::new(),
        self_test: Some(SelfTest {
            kernel: kernel_clock(),
            median,
            worst,
        }),
    }
}

/// A server on a thread of this process, with a certificate of its own.
struct LocalServer {
    address: SocketAddr,
    pin: Pin,
    stopper: Stopper,
    thread: std::thread::JoinHandle<std::io::Result<tsq_server::counts::Counts>>,
}

impl LocalServer {
    fn start() -> Result<Self, Unusable> {
        let made = Lifetime::days(1)
            .and_then(|lifetime| make_self_signed(&["localhost".to_string()], lifetime))
            .map_err(|error| failed(&error))?;
        let chain = CertificateDer::pem_slice_iter(made.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(&error))?;
        let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes())
            .map_err(|error| failed(&error))?;
        let certificate = tls::certified_key(chain, key).map_err(|error| failed(&error))?;
        let role = Role::Server {
            streams: 16,
            idle: Duration::from_secs(30),
            buffer: 16 * 1024,
        };
        let config = tls::server(certificate, role).map_err(|error| failed(&error))?;
        let service = Service::bind(
            (Ipv4Addr::LOCALHOST, 0).into(),
            config,
            Teller::vouching(tsq_net::now()),
        )
        .map_err(internal)?;
        let (address, stopper) = (service.address(), service.stopper());
        let thread = std::thread::Builder::new()
            .name("self-test server".into())
            .spawn(move || service.run())
            .map_err(internal)?;
        Ok(Self {
            address,
            pin: made.pin,
            stopper,
            thread,
        })
    }

    fn target(&self) -> Result<Server, Unusable> {
        let target = Target::parse(&self.address.to_string(), self.address.port())
            .map_err(|error| failed(&error))?;
        Ok(Server::new(target, Trust::pins(vec![self.pin])))
    }

    fn stop(self) -> Result<(), Unusable> {
        self.stopper.stop();
        let ended = self
            .thread
            .join()
            .map_err(|_| failed(&"the server thread panicked"))?;
        ended.map(drop).map_err(internal)
    }
}

fn failed(error: &dyn std::fmt::Display) -> Unusable {
    Unusable {
        exit: Exit::Internal,
        problem: format!("self-test: {error}"),
    }
}

/// Time for each transport.
const PATIENCE: Duration = Duration::from_secs(5);
