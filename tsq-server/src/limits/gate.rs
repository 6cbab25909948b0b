//! One shard's decisions about attempts, connections and requests.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tsq_net::{Admission, Attempt, ConnId, Verdict};

use super::{Bucket, Leak, Limits, Network, Rate, Retry, Shared};
use crate::counts::{Counter, Counters};

/// Keeps a shard within its limits. Time comes in as an argument.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    /// The moment that times are counted from.
    start: Instant,
    handshakes: (Rate, Bucket),
    refusals: (Rate, Bucket),
    connection_rate: Option<Rate>,
    requests: Option<(Rate, Bucket)>,
    leak: Leak,
    accounts: Vec<Option<Account>>,
    /// Handshakes, by the time they must be done.
    deadlines: VecDeque<(Instant, ConnId)>,
    /// Whether the attempt just let in was let in by the leak.
    leaked: bool,
}

/// What a shard knows of one connection.
#[derive(Debug)]
struct Account {
    conn: ConnId,
    ip: IpAddr,
    /// Its handshake is under way.
    half_open: bool,
    /// It is over, but not forgotten yet: it counts as before.
    over: bool,
    /// It counts for its network.
    counted: bool,
    leaked: bool,
    requests: Bucket,
}

/// What is reached.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Connections,
    Network(Network),
    HalfOpen,
    HandshakeRate,
}

impl Gate {
    /// The gate of one of `shards` shards, all of which have the same `limits` and `shared`.
    pub fn new(
        limits: &Limits,
        shards: usize,
        shared: Arc<Shared>,
        counters: Arc<Counters>,
        now: Instant,
    ) -> Self {
        let shards = u32::try_from(shards.max(1)).unwrap_or(u32::MAX);
        let share = |rate: u32| {
            let rate = rate.div_ceil(shards);
            (Rate::new(rate, rate), Bucket::default())
        };
        let one = limits.connection_rate;
        Self {
            limits: *limits,
            counters,
            start: now,
            handshakes: share(limits.handshake_rate),
            refusals: (Rate::new(REFUSALS, REFUSALS), Bucket::default()),
            connection_rate: (one > 0).then(|| Rate::new(one, one)),
            requests: (limits.request_rate > 0).then(|| share(limits.request_rate)),
            leak: Leak::seeded(shared.seeds.draw()),
            shared,
            accounts: Vec::new(),
            deadlines: VecDeque::new(),
            leaked: false,
        }
    }

    /// A connection's handshake is complete. False: its network has too many, and it is to be closed.
    #[must_use]
    pub fn connected(&mut self, conn: ConnId) -> bool {
        let Some(account) = account(&mut self.accounts, conn) else {
            return true;
        };
        if std::mem::take(&mut account.half_open) {
            self.shared.half_open.fetch_sub(1, Ordering::Relaxed);
        }
        if account.counted {
            return true;
        }
        let full = self.shared.prefixes.full(account.ip);
        account.counted = true;
        self.shared.prefixes.add(account.ip);
        match full.filter(|_| !account.leaked) {
            Some(network) => {
                self.counter(Limit::Network(network)).count();
                false
            }
            None => true,
        }
    }

    /// A connection is over. It counts until it is [forgotten](Self::forgotten): so long it holds what it held.
    pub fn closed(&mut self, conn: ConnId) {
        if let Some(account) = account(&mut self.accounts, conn) {
            account.over = true;
        }
    }

    /// Nothing is left of a connection.
    pub fn forgotten(&mut self, conn: ConnId) {
        let Some(account) = self
            .accounts
            .get_mut(conn.index())
            .and_then(|slot| slot.take_if(|account| account.conn == conn))
        else {
            return;
        };
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        if account.half_open {
            self.shared.half_open.fetch_sub(1, Ordering::Relaxed);
        }
        if account.counted {
            self.shared.prefixes.remove(account.ip);
        }
    }

    /// Whether a request on `conn` is to be answered.
    #[must_use]
    pub fn request(&mut self, now: Instant, conn: ConnId) -> bool {
        if self.connection_rate.is_none() && self.requests.is_none() {
            return true;
        }
        let now = self.nanos(now);
        if let Some(rate) = &self.connection_rate
            && let Some(account) = account(&mut self.accounts, conn)
            && !account.requests.take(rate, now)
        {
            self.counters.over_connection_rate.count();
            return false;
        }
        if let Some((rate, bucket)) = &mut self.requests
            && !bucket.take(rate, now)
        {
            self.counters.over_request_rate.count();
            return false;
        }
        true
    }

    /// The next connection whose handshake takes too long; it is to be closed.
    pub fn expire(&mut self, now: Instant) -> Option<ConnId> {
        while let Some(&(deadline, conn)) = self.deadlines.front() {
            let under_way = account(&mut self.accounts, conn)
                .filter(|account| account.half_open && !account.over);
            match under_way {
                Some(_) if deadline > now => return None,
                Some(account) => {
                    account.over = true;
                    self.counters.over_handshake_time.count();
                    self.deadlines.pop_front();
                    return Some(conn);
                }
                None => drop(self.deadlines.pop_front()),
            }
        }
        None
    }

    /// When to call [`Self::expire`] next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    fn reached(&mut self, now: u64, ip: IpAddr) -> Option<Limit> {
        let (rate, bucket) = &mut self.handshakes;
        if self.shared.connections() >= self.limits.connections {
            Some(Limit::Connections)
        } else if let Some(network) = self.shared.prefixes.full(ip) {
            Some(Limit::Network(network))
        } else if self.shared.half_open() >= self.limits.half_open {
            Some(Limit::HalfOpen)
        } else if !bucket.take(rate, now) {
            Some(Limit::HandshakeRate)
        } else {
            None
        }
    }

    fn over(&mut self, limit: Limit, now: u64) -> Verdict {
        // The number of connections is what bounds memory: it has no hole.
        if !matches!(limit, Limit::Connections) && self.leak.passes() {
            self.leaked = true;
            self.counters.leaked.count();
            return Verdict::Accept;
        }
        self.counter(limit).count();
        let (rate, bucket) = &mut self.refusals;
        // A rate is kept again in a moment: silence makes the client's QUIC repeat its packet.
        if matches!(limit, Limit::HandshakeRate) || !bucket.take(rate, now) {
            Verdict::Ignore
        } else {
            Verdict::Refuse
        }
    }

    /// Whether spoofed packets could be what keeps us busy.
    fn is_piling_up(&self, now: u64) -> bool {
        // Half of the rate is kept for those who have a token.
        let (rate, bucket) = &self.handshakes;
        self.shared.half_open() >= self.limits.retry_above || bucket.is_low(rate, now)
    }

    fn counter(&self, limit: Limit) -> &Counter {
        let counters = &self.counters;
        match limit {
            Limit::Connections => &counters.over_connections,
            Limit::Network(Network::V4) => &counters.over_v4,
            Limit::Network(Network::V6Link) => &counters.over_v6_64,
            Limit::Network(Network::V6Home) => &counters.over_v6_56,
            Limit::Network(Network::V6Site) => &counters.over_v6_48,
            Limit::HalfOpen => &counters.over_half_open,
            Limit::HandshakeRate => &counters.over_handshake_rate,
        }
    }

    fn nanos(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start).as_nanos();
        // It is 584 years until it does not fit.
        u64::try_from(elapsed).unwrap_or(u64::MAX)
    }
}

impl Admission for Gate {
    fn admit(&mut self, now: Instant, attempt: &Attempt) -> Verdict {
        self.leaked = false;
        let nanos = self.nanos(now);
        let unproven = !attempt.validated && attempt.may_retry;
        let ask_first = match self.limits.retry {
            Retry::Always => unproven,
            Retry::Auto => unproven && self.is_piling_up(nanos),
            Retry::Never => false,
        };
        if ask_first {
            self.counters.retried.count();
            return Verdict::Retry;
        }
        match self.reached(nanos, attempt.remote.ip()) {
            None => Verdict::Accept,
            Some(_) if unproven && self.limits.retry != Retry::Never => {
                self.counters.retried.count();
                Verdict::Retry
            }
            Some(limit) => self.over(limit, nanos),
        }
    }

    fn accepted(&mut self, now: Instant, conn: ConnId, attempt: &Attempt) {
        let account = Account {
            conn,
            ip: attempt.remote.ip(),
            half_open: true,
            over: false,
            counted: attempt.validated,
            leaked: self.leaked,
            requests: Bucket::default(),
        };
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.shared.half_open.fetch_add(1, Ordering::Relaxed);
        if account.counted {
            self.shared.prefixes.add(account.ip);
        }
        let index = conn.index();
        if self.accounts.len() <= index {
            self.accounts.resize_with(index + 1, || None);
        }
        self.accounts[index] = Some(account);
        // Those done in the meantime need no deadline: the queue is as long as handshakes are slow.
        self.deadlines
            .push_back((now + self.limits.handshake_time, conn));
    }
}

fn account(accounts: &mut [Option<Account>], conn: ConnId) -> Option<&mut Account> {
    accounts
        .get_mut(conn.index())?
        .as_mut()
        .filter(|account| account.conn == conn)
}

/// Refusals a second that are worth a packet of ours; who comes more often hears nothing.
const REFUSALS: u32 = 1000;

#[cfg(test)]
mod tests;
