//! What the command line means.

use std::net::{SocketAddr, ToSocketAddrs};

use tsq_client::{ClientIdentity, Host, Target, Trust, is_certificate_name};
use tsq_proto::words::{Count, Foreign};
use tsq_sync::Reason;

use crate::args::Args;
use crate::ask::Ask;
use crate::trust::Believed;
use crate::watch::Watched;
use crate::{Error, OPTIONS, Transport};

/// A run, ready to begin.
pub(crate) struct Settings {
    pub(crate) server: SocketAddr,
    pub(crate) believed: Believed,
    pub(crate) ask: Ask,
    pub(crate) watched: Option<Watched>,
}

impl Settings {
    /// Resolves names, reads files.
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        let target = Target::parse(&args.server, args.port)
            .map_err(|error| Error::Usage(error.to_string()))?;
        let server = resolve(&target)?;
        let name = match &args.server_name {
            Some(name) if !is_certificate_name(name) => {
                return Err(Error::Usage(format!(
                    "--server-name {}: no name that a certificate can carry",
                    Foreign(name)
                )));
            }
            Some(name) => name.clone(),
            None => target.certificate_name(),
        };
        if args.threads > args.connections {
            return Err(Error::Usage(format!(
                "{} cannot share {}",
                Count(args.threads, "thread"),
                Count(args.connections, "connection")
            )));
        }
        Ok(Self {
            server,
            believed: Believed::new(&trust(args)?, &name)?.showing(shown(args)?),
            ask: Ask {
                transport: args.transport,
                signed: args.signed,
                follow_up: args.follow_up,
                patience: args.timeout,
                ..Ask::default()
            },
            watched: watched(args, server)?,
        })
    }

    /// What is loaded and how, in a line.
    pub(crate) fn title(&self, args: &Args) -> String {
        let how = match (args.handshakes, self.ask.transport) {
            (true, _) => format!("handshakes {} (full:resumed:0rtt)", args.mix),
            (false, Transport::Datagram) => "datagrams".into(),
            (false, Transport::Stream) => "streams".into(),
        };
        let signed = if args.signed { ", signed" } else { "" };
        let followed = if args.follow_up { ", follow-up" } else { "" };
        let pace = match args.rate {
            None => "closed loop".to_string(),
            Some(_) if args.even => "open loop, even".into(),
            Some(_) => "open loop, Poisson".into(),
        };
        format!(
            "{}: {}, {how}{signed}{followed}, {pace}, {}",
            self.server,
            Count(args.connections, "connection"),
            Count(args.threads, "thread")
        )
    }
}

fn resolve(target: &Target) -> Result<SocketAddr, Error> {
    match &target.host {
        Host::Address(address) => Ok(address.at(target.port)),
        Host::Name(name) => (name.as_str(), target.port)
            .to_socket_addrs()
            .map_err(|error| error.to_string())
            .and_then(|mut found| found.next().ok_or_else(|| "it has no address".into()))
            .map_err(|why| Error::NoConnection(format!("{name} cannot be resolved: {why}"))),
    }
}

fn trust(args: &Args) -> Result<Trust, Error> {
    if args.insecure {
        return Ok(Trust::insecure());
    }
    Trust::chosen(args.ca.as_deref(), &args.pin).map_err(|error| Error::Usage(error.told(OPTIONS)))
}

fn shown(args: &Args) -> Result<Option<ClientIdentity>, Error> {
    let (Some(cert), Some(key)) = (&args.client_cert, &args.client_key) else {
        return Ok(None);
    };
    ClientIdentity::from_files(cert, key)
        .map(Some)
        .map_err(|error| Error::Usage(error.to_string()))
}

fn watched(args: &Args, server: SocketAddr) -> Result<Option<Watched>, Error> {
    match args.server_pid {
        None => Ok(Watched::of_socket(server)),
        Some(pid) => Watched::process(pid)
            .map(Some)
            .map_err(|error| Error::Usage(format!("--server-pid {pid}: {error}"))),
    }
}
