//! What is tried where TSQ does not get through: NTS, and if allowed plain NTP.
//!
//! Blocking a port must not lower anybody's guard unseen: what was used instead, and why, is in the report
//! ([`SourceReport::protocol`], [`SourceReport::attempts`]); NTS is held to the same roots and pins as TSQ, and an NTP
//! source is marked as one that nothing authenticates.

mod rungs;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tsq_net::Waker;

use crate::attempt::{Attempt, Protocol};
use crate::failure::Failure;
use crate::report::SourceReport;
use crate::trust::Server;

/// Which rungs there are below TSQ, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ladder {
    /// Whether to try NTS, and at which TCP port.
    pub nts: Option<u16>,
    /// Whether to try plain NTP, and at which UDP port.
    pub ntp: Option<u16>,
    /// Samples wanted of a server.
    pub queries: u16,
}

/// The ladders of a session's servers.
///
/// Each server's runs on a thread of its own, so that neither a resolver nor a silent host holds up the others.
pub(crate) struct Fallback {
    inner: Arc<Inner>,
    receiver: Receiver<(usize, Outcome)>,
}

struct Inner {
    servers: Vec<Server>,
    ladder: Ladder,
    begun: Mutex<Vec<bool>>,
    answered: Mutex<Vec<bool>>,
    sender: Mutex<Sender<(usize, Outcome)>>,
}

/// What a ladder ended in: the report of the rung that bore, if one did, and the rungs that did not.
struct Outcome {
    report: Option<SourceReport>,
    attempts: Vec<Attempt>,
}

impl Fallback {
    /// Nothing is asked yet.
    pub(crate) fn new(servers: Vec<Server>, ladder: Ladder) -> Self {
        let (sender, receiver) = channel();
        let none = || Mutex::new(vec![false; servers.len()]);
        let (begun, answered) = (none(), none());
        Self {
            inner: Arc::new(Inner {
                servers,
                ladder,
                begun,
                answered,
                sender: Mutex::new(sender),
            }),
            receiver,
        }
    }

    /// What starts the ladder of the server with this number, and tells whether that has brought an answer;
    /// `waker` wakes the session when a ladder has ended.
    pub(crate) fn starter(
        &self,
        deadline: Instant,
        waker: Waker,
    ) -> impl FnMut(usize) -> bool + use<> {
        let inner = Arc::clone(&self.inner);
        move |index| {
            Inner::begin(&inner, index, deadline, Some(&waker));
            inner.answered.lock().is_ok_and(|answered| answered[index])
        }
    }

    /// Puts what the ladders found in place of the reports of servers that TSQ could not reach.
    ///
    /// A server that answered by TSQ after all keeps that.
    pub(crate) fn collect(&self, reports: &mut [SourceReport], deadline: Instant) {
        let mut awaited: Vec<usize> = (0..reports.len())
            .filter(|&index| calls_for_fallback(&reports[index]))
            .collect();
        for &index in &awaited {
            Inner::begin(&self.inner, index, deadline, None);
        }
        while !awaited.is_empty() {
            let left = (deadline + GRACE).saturating_duration_since(Instant::now());
            let Ok((index, outcome)) = self.receiver.recv_timeout(left) else {
                break;
            };
            if awaited.contains(&index) {
                awaited.retain(|one| *one != index);
                replace(&mut reports[index], outcome);
            }
        }
        // The next measurement begins anew; what comes late from this one is for nobody.
        for flags in [&self.inner.begun, &self.inner.answered] {
            if let Ok(mut flags) = flags.lock() {
                flags.fill(false);
            }
        }
        while self.receiver.try_recv().is_ok() {}
    }
}

impl Inner {
    fn begin(this: &Arc<Self>, index: usize, deadline: Instant, waker: Option<&Waker>) {
        let Ok(mut begun) = this.begun.lock() else {
            return;
        };
        if begun.get(index) != Some(&false) || (this.ladder.nts, this.ladder.ntp) == (None, None) {
            return;
        }
        begun[index] = true;
        let Ok(sender) = this.sender.lock().map(|sender| sender.clone()) else {
            return;
        };
        let inner = Arc::clone(this);
        let late = sender.clone();
        let waker = waker.cloned();
        let spawned = std::thread::Builder::new()
            .name(format!("fallback {index}"))
            .spawn(move || {
                let outcome = rungs::climb_down(&inner.servers[index], inner.ladder, deadline);
                if let Ok(mut answered) = inner.answered.lock() {
                    answered[index] = outcome.report.is_some();
                }
                // Nobody listens when the run has ended by its timeout.
                let _ = sender.send((index, outcome));
                waker.inspect(Waker::wake);
            });
        if let Err(error) = spawned {
            let attempts = vec![Attempt {
                protocol: Protocol::Nts,
                problem: format!("no thread to ask with: {error}"),
                failure: None,
            }];
            let _ = late.send((
                index,
                Outcome {
                    report: None,
                    attempts,
                },
            ));
        }
    }
}

/// Whether another protocol could do better: TSQ got nowhere at all.
pub(crate) fn may_be_blocked(failure: &Failure) -> bool {
    match failure {
        Failure::Silent { .. }
        | Failure::Unreachable { .. }
        | Failure::PortClosed { .. }
        | Failure::PathTooNarrow { .. }
        | Failure::NotTsq { .. }
        | Failure::ClientCertificateRefused { .. }
        | Failure::NoClientCertificate { .. }
        | Failure::Connection { .. }
        | Failure::Trust { .. }
        | Failure::Unanswered { refused: 0, .. } => true,
        Failure::Unresolved { .. }
        | Failure::NoDatagrams
        | Failure::NoStreams
        | Failure::NoSamples
        | Failure::Unanswered { .. } => false,
    }
}

fn calls_for_fallback(report: &SourceReport) -> bool {
    report.samples.is_empty() && report.failure.as_ref().is_some_and(may_be_blocked)
}

fn replace(report: &mut SourceReport, outcome: Outcome) {
    let Outcome {
        report: found,
        mut attempts,
    } = outcome;
    let refused = matches!(report.failure, Some(Failure::Trust { .. }));
    let found = found.filter(|found| {
        let unproven = refused && found.protocol == Protocol::Ntp;
        if unproven {
            attempts.push(Attempt::ntp_ruled_out());
        }
        !unproven
    });
    match (found, &report.failure) {
        (Some(found), Some(failure)) => {
            attempts.insert(
                0,
                Attempt {
                    protocol: Protocol::Tsq,
                    problem: failure.to_string(),
                    failure: Some(failure.clone()),
                },
            );
            *report = SourceReport { attempts, ..found };
        }
        _ => report.attempts = attempts,
    }
}

/// A thread that stops at the deadline needs a moment to say so.
const GRACE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::{TrustKind, TrustRefusal};

    fn report(protocol: Protocol, failure: Option<Failure>) -> SourceReport {
        SourceReport {
            server: "s".into(),
            address: None,
            protocol,
            attempts: Vec::new(),
            transport: None,
            trust: TrustKind::None,
            presented: None,
            asked: 5,
            sent: 5,
            superseded: 0,
            round_trips: 1,
            handshake: None,
            store_problem: None,
            follow_ups: Default::default(),
            samples: Vec::new(),
            failure,
        }
    }

    #[test]
    fn ntp_does_not_stand_in_for_a_server_whose_certificate_was_refused() {
        let address = ([192, 0, 2, 1], 443).into();
        let refused = Failure::Trust {
            address,
            refusal: TrustRefusal::UnknownIssuer { missing: None },
        };
        for (failure, by, kept) in [
            (refused.clone(), Protocol::Ntp, false),
            (refused, Protocol::Nts, true),
            (Failure::PortClosed { address }, Protocol::Ntp, true),
        ] {
            let mut source = report(Protocol::Tsq, Some(failure.clone()));
            let outcome = Outcome {
                report: Some(report(by, None)),
                attempts: Vec::new(),
            };
            replace(&mut source, outcome);
            assert_eq!(source.protocol == by, kept, "{failure:?}");
            let told = source.failure.or(source.attempts[0].failure.clone());
            assert_eq!(told, Some(failure));
        }
    }
}
