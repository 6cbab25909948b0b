//! The addresses served: bound, or taken over from another process.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tsq_net::{Engine, Group, ServerConfig, ServerSecret, Socket};

use crate::limits::{Limits, Shared};
use crate::rules::Rules;
use crate::service::Service;
use crate::signals::Signals;
use crate::take_over::{HandedOver, Keeper, Offer};
use crate::teller::Teller;

/// What is the same for every shard of every address.
pub struct Served {
    /// TLS and QUIC.
    pub config: Arc<ServerConfig>,
    /// Keys of ours.
    pub secret: ServerSecret,
    /// What answers say.
    pub teller: Teller,
    /// Whom to serve.
    pub rules: Arc<Rules>,
    /// Shards of an address that is not taken over.
    pub threads: usize,
    /// What strangers may use.
    pub limits: Limits,
    /// What all shards of all addresses have together.
    pub shared: Arc<Shared>,
}

/// An address that is ours, or about to be.
pub struct Listener {
    source: Source,
    secret: ServerSecret,
}

enum Source {
    Bound(Group),
    Offered(Offer),
}

impl Served {
    /// One address with its shards, ready to be started.
    ///
    /// # Errors
    /// The address is taken, not permitted, or none of ours; no file descriptors are left.
    pub fn bind(&self, address: SocketAddr) -> io::Result<(Listener, Vec<Service>)> {
        let (group, sockets) = Group::bind(address, self.threads)?;
        let services = self.services(&group, sockets)?;
        Ok((self.listener(Source::Bound(group)), services))
    }

    /// As [`Self::bind`], for an address another process has offered. It still serves it.
    ///
    /// # Errors
    /// As for [`Self::bind`].
    pub fn take_over(&self, mut offer: Offer) -> io::Result<(Listener, Vec<Service>)> {
        let sockets = offer.group.take_over()?;
        if sockets.len() != self.threads {
            tracing::warn!(
                address = %offer.group.local_addr(),
                threads = sockets.len(),
                "the number of threads stays what it was; it changes with a restart only"
            );
        }
        let services = self.services(&offer.group, sockets)?;
        Ok((self.listener(Source::Offered(offer)), services))
    }

    /// A socket that the service manager has bound, with one shard alone: only who bound a socket may
    /// bind further ones to its address.
    ///
    /// # Errors
    /// It is no UDP socket of the Internet; no file descriptors are left.
    pub fn adopt(&self, socket: UdpSocket) -> io::Result<Service> {
        let engine = Engine::server((*self.config).clone());
        self.service(Socket::passed(socket)?, engine, 1)
    }

    fn services(&self, group: &Group, sockets: Vec<Socket>) -> io::Result<Vec<Service>> {
        let shards = group.shards();
        // Rates are shared out at each address: what one does not use is nothing to the others.
        let count = sockets.len();
        sockets
            .into_iter()
            .zip(shards)
            .map(|(socket, shard)| {
                let engine = Engine::shard(Arc::clone(&self.config), &self.secret, shard);
                self.service(socket, engine, count)
            })
            .collect()
    }

    /// One of `count` shards of an address.
    fn service(&self, socket: Socket, engine: Engine, count: usize) -> io::Result<Service> {
        let service = Service::new(socket, engine, self.teller.clone())?;
        Ok(service.with_rules(Arc::clone(&self.rules)).limited(
            &self.limits,
            count,
            Arc::clone(&self.shared),
        ))
    }

    fn listener(&self, source: Source) -> Listener {
        Listener {
            source,
            secret: self.secret.clone(),
        }
    }
}

impl Listener {
    /// Makes the address ours: its shards are at work. Later, another process may take it over.
    ///
    /// # Errors
    /// The process that offered it has ended meanwhile; or the system gives no more threads.
    pub fn open(self, handed_over: &HandedOver, signals: &Signals) -> io::Result<()> {
        let keeper = match self.source {
            Source::Bound(group) => Keeper::first(group, self.secret),
            Source::Offered(offer) => {
                let (group, before) = offer.accept(signals)?;
                Keeper::next(group, self.secret, before)
            }
        };
        let (address, threads) = (keeper.address(), keeper.threads());
        keeper.start(handed_over.clone(), signals)?;
        tracing::info!(%address, threads, "listening");
        Ok(())
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        match &self.source {
            Source::Bound(group) => group.local_addr(),
            Source::Offered(offer) => offer.group.local_addr(),
        }
    }
}
