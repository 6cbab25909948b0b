//! The addresses served: bound, or taken over from another process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Instant;

use tsq_net::{Engine, Group, ServerConfig, ServerSecret, Socket};

use crate::certificate::Clients;
use crate::limits::{Limits, Shared};
use crate::responder::Responder;
use crate::rules::Rules;
use crate::service::Service;
use crate::take_over::{HandedOver, Keeper, Offer};
use crate::telling::Telling;
use crate::wall_clock::HostClock;
use tsq_host::signals::Signals;

/// What is the same for every shard of every address.
pub struct Served {
    /// TLS and QUIC.
    pub config: Arc<ServerConfig>,
    /// Keys of ours.
    pub secret: ServerSecret,
    /// What answers say.
    pub telling: Telling,
    /// Whom to serve.
    pub rules: Arc<Rules>,
    /// Whose certificates count; None where none is asked for.
    pub clients: Option<Arc<Clients>>,
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
    /// One of the addresses to `listen` on, with its shards, ready to be started.
    ///
    /// # Errors
    /// The address is taken or not permitted; no file descriptors are left.
    pub fn bind(
        &self,
        address: SocketAddr,
        listen: &[SocketAddr],
    ) -> io::Result<(Listener, Vec<Service>)> {
        let beside = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
        let (group, sockets) = Group::bind(address, self.threads, listen.contains(&beside))?;
        if group.awaits_address() {
            tracing::warn!(%address, "no interface has this address: it is served as soon as one does");
        }
        if sockets.len() < self.threads {
            tracing::warn!(
                %address,
                threads = sockets.len(),
                "this system spreads no packets over several threads (SO_REUSEPORT): --threads 1 asks for no more"
            );
        }
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
        let socket = Socket::passed(socket)?;
        let secret = self.secret.at(socket.local_addr());
        let engine = Engine::server((*self.config_of(&secret)).clone());
        self.service(socket, engine, 1)
    }

    /// The configuration with an address's own key for the tokens that it gives out.
    fn config_of(&self, secret: &ServerSecret) -> Arc<ServerConfig> {
        let mut config = (*self.config).clone();
        config.token_key(secret.token_key());
        Arc::new(config)
    }

    fn services(&self, group: &Group, sockets: Vec<Socket>) -> io::Result<Vec<Service>> {
        let shards = group.shards();
        // Rates are shared out at each address: what one does not use is nothing to the others.
        let count = sockets.len();
        let secret = self.secret.at(group.local_addr());
        let config = self.config_of(&secret);
        sockets
            .into_iter()
            .zip(shards)
            .map(|(socket, shard)| {
                let engine = Engine::shard(Arc::clone(&config), &secret, shard);
                self.service(socket, engine, count)
            })
            .collect()
    }

    /// One of `count` shards of an address.
    fn service(&self, socket: Socket, engine: Engine, count: usize) -> io::Result<Service> {
        let (now, shared) = (Instant::now(), Arc::clone(&self.shared));
        let responder = Responder::new(now, engine, self.telling.teller(), HostClock)
            .with_rules(Arc::clone(&self.rules))
            .judging(self.clients.clone())
            .limited(now, &self.limits, count, shared);
        Ok(Service::new(socket, responder)?.following(self.telling.clone()))
    }

    fn listener(&self, source: Source) -> Listener {
        Listener {
            source,
            secret: self.secret.clone(),
        }
    }
}

/// The addresses to `listen` on as this host can have them: without IPv6, `[::]` is `0.0.0.0`.
pub fn on_this_host(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    use rustix::net::{AddressFamily, SocketType, socket};
    match socket(AddressFamily::INET6, SocketType::DGRAM, None) {
        Err(rustix::io::Errno::AFNOSUPPORT) => without_ipv6(listen),
        _ => listen.to_vec(),
    }
}

fn without_ipv6(listen: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut here: Vec<SocketAddr> = Vec::new();
    for &address in listen {
        let mut instead = address;
        if address.is_ipv6() && address.ip().is_unspecified() {
            instead.set_ip(Ipv4Addr::UNSPECIFIED.into());
            tracing::warn!("this host has no IPv6: --listen {address} serves {instead} alone");
        }
        if !here.contains(&instead) {
            here.push(instead);
        }
    }
    here
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_without_ipv6_serves_what_is_left_of_each_address() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        for (listen, here) in [
            (&["[::]:443"][..], &["0.0.0.0:443"][..]),
            (&["[::]:443", "0.0.0.0:443"], &["0.0.0.0:443"]),
            (
                &["0.0.0.0:443", "[::]:444"],
                &["0.0.0.0:443", "0.0.0.0:444"],
            ),
            // Binding it says what is wrong.
            (
                &["192.0.2.1:443", "[::1]:443"],
                &["192.0.2.1:443", "[::1]:443"],
            ),
        ] {
            assert_eq!(without_ipv6(&addresses(listen)), addresses(here));
        }
    }
}
