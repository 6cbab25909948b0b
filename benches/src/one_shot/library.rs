//! Measurements within one process: the first, and later ones with tickets.

use std::time::{Duration, Instant};

use tsq_client::{Handshake, Options, Server, Session, SourceReport, Target, Trust as Belief};

use crate::Error;
use crate::peers::{End, Trust};

/// `tsq-client` in this process.
pub(super) struct Library {
    pub(super) name: &'static str,
    handshake: Handshake,
    /// With its tickets, from the first run on.
    server: Option<Server>,
}

impl Library {
    /// First and later connections.
    pub(super) fn both() -> [Self; 2] {
        let of = |name, handshake| Self {
            name,
            handshake,
            server: None,
        };
        [
            of("tsq-client, first connection", Handshake::Full),
            of("tsq-client, later connection (0-RTT)", Handshake::Early),
        ]
    }

    /// Gets tickets where it needs them.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn prepare(&mut self, end: &End) -> Result<(), Error> {
        if self.handshake == Handshake::Early && self.server.is_none() {
            let server = server(end)?;
            measure(&server)?;
            self.server = Some(server);
        }
        Ok(())
    }

    /// How long from nothing to five samples.
    ///
    /// # Errors
    /// There are fewer, or it connected in another way: its time would mean nothing.
    pub(super) fn run(&mut self, end: &End) -> Result<Duration, Error> {
        let server = match (&self.server, self.handshake) {
            (Some(server), Handshake::Early) => server.clone(),
            // Without what others left.
            _ => server(end)?,
        };
        let (time, reports) = measure(&server)?;
        let complete = |report: &SourceReport| {
            report.accepted().count() == 5 && report.handshake == Some(self.handshake)
        };
        if reports.iter().all(complete) {
            Ok(time)
        } else {
            Err(format!("not a run to count: {reports:#?}").into())
        }
    }
}

fn server(end: &End) -> Result<Server, Error> {
    let Trust::Pin(pin) = &end.trust else {
        return Err("no TSQ server".into());
    };
    let target = Target::parse(&end.address.to_string(), end.address.port())?;
    Ok(Server::new(target, Belief::pins(vec![pin.parse()?])))
}

fn measure(server: &Server) -> Result<(Duration, Vec<SourceReport>), Error> {
    let start = Instant::now();
    let mut session = Session::new(vec![server.clone()], Options::default())?;
    let reports = session.measure(start + LIMIT, &mut |_| {})?;
    let time = start.elapsed();
    session.close();
    Ok((time, reports))
}

const LIMIT: Duration = Duration::from_secs(10);
