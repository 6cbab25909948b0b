//! Measurements within one process: the first, and later ones with tickets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tsq_client::{Handshake, Options, Server, Session, SourceReport, Target, Trust};

use crate::{Error, Quantiles};

/// `tsq-client` in this process, with a server at each of these addresses.
pub(super) struct Library {
    pub(super) name: &'static str,
    servers: Vec<Server>,
    handshake: Handshake,
}

impl Library {
    /// First and later connections.
    pub(super) fn both(ends: [SocketAddr; 2], pins: [&str; 2]) -> Result<[Self; 2], Error> {
        let server = |index: usize| -> Result<Server, Error> {
            let target = Target::parse(&ends[index].to_string(), ends[index].port())?;
            Ok(Server::new(target, Trust::pins(vec![pins[index].parse()?])))
        };
        let servers = vec![server(0)?, server(1)?];
        let of = |name, handshake| Self {
            name,
            servers: servers.clone(),
            handshake,
        };
        Ok([
            of("tsq-client, first connection", Handshake::Full),
            of("tsq-client, later connection (0-RTT)", Handshake::Early),
        ])
    }

    /// Milliseconds from nothing to five samples of each server, in each of `runs` runs.
    ///
    /// # Errors
    /// A run gave less, or connected in another way: its time would mean nothing.
    pub(super) fn times(&self, runs: usize) -> Result<Quantiles, Error> {
        if self.handshake == Handshake::Early {
            self.measure()?;
        }
        let mut times = Vec::new();
        for _ in 0..runs {
            let (time, reports) = self.measure()?;
            let complete = |report: &SourceReport| {
                report.accepted().count() == 5 && report.handshake == Some(self.handshake)
            };
            if !reports.iter().all(complete) {
                return Err(format!("{}: not a run to count: {reports:#?}", self.name).into());
            }
            times.push(time.as_secs_f64() * 1000.0);
        }
        Quantiles::of(times).ok_or_else(|| "no runs".into())
    }

    fn measure(&self) -> Result<(Duration, Vec<SourceReport>), Error> {
        let servers = match self.handshake {
            // Without what others left.
            Handshake::Full => self
                .servers
                .iter()
                .map(|server| Server::new(server.target.clone(), server.trust.clone()))
                .collect(),
            _ => self.servers.clone(),
        };
        let start = Instant::now();
        let mut session = Session::new(servers, Options::default())?;
        let reports = session.measure(start + LIMIT, &mut |_| {})?;
        let time = start.elapsed();
        session.close();
        Ok((time, reports))
    }
}

const LIMIT: Duration = Duration::from_secs(10);
