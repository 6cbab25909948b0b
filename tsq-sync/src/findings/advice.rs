//! What to do about a server: one piece of advice for each thing that can become of it, and none for two.

use tsq_algo::{NoSelection, Verdict};
use tsq_client::{Failure, TrustRefusal};
use tsq_clock::RtcVerdict;

use crate::advice::Advice;
use crate::standing::Distrust;
use crate::verdict::NoResult;

/// About a server that answered, and is not among those that agree.
pub(super) fn of_verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Used | Verdict::Refines | Verdict::Outlier { .. } | Verdict::Outranked => {
            "nothing: it agrees"
        }
        Verdict::Falseticker { .. } => {
            "the majority has decided: leave this server out, and tell its operator (there: chronyc tracking); if it is the one you trust, {trust} says so"
        }
        Verdict::Unresolved => {
            "compare the offsets: name a third server of another operator, which shows whose is right; or say with {trust} whose it is"
        }
        Verdict::Unauthenticated => {
            "name a server that speaks TSQ or NTS; where you trust the whole way to this one, {allow-ntp} lets it decide"
        }
        Verdict::Unsynchronised => {
            "its operator must have that host's clock kept (chronyd there, or tsq-server {serve-unsynchronised} to vouch for it); until then name another server"
        }
        Verdict::Stale { .. } => {
            "its answers stopped coming early: look for loss on the way to it, or give more {timeout}"
        }
        Verdict::Distant { .. } => {
            "name a server that is nearer, or whose own clock is better kept: what it could be wrong by is half the delay and its own error"
        }
        Verdict::Jittery { .. } => {
            "the way to it is busy, or its host is: ask again with more {queries}, or name a nearer server"
        }
        Verdict::OtherTimescale { .. } => {
            "name servers that all smear leap seconds or all do not: near a leap second the two kinds differ by up to half a second"
        }
    }
}

/// About a server that gave no sample; [`Failure::Silent`] is looked at more closely before.
pub(super) fn of_failure(failure: &Failure) -> Advice {
    match failure {
        Failure::Unresolved { .. } => {
            "check the name and the resolver, or give the server's address and its {pin}".into()
        }
        Failure::Silent {
            unsent: Some(_), ..
        } => {
            "look at this host's own side first: its packet filter, and the queue of its interface (tc -s qdisc)".into()
        }
        Failure::PathTooNarrow { .. } => {
            "let the path carry packets of 1280 bytes (the MTU of a tunnel or an interface), or leave {fallback} away, so that NTS is tried".into()
        }
        Failure::Silent { .. } => {
            "see whether the host is up from another network, and the firewalls on the way".into()
        }
        Failure::Unreachable { .. } => {
            "check this host's network and routes, and whether the address family works here".into()
        }
        Failure::PortClosed { address } => format!(
            "start tsq-server there, or name the right port (HOST:PORT); nothing has UDP {} open",
            address.port()
        )
        .into(),
        Failure::NotTsq { .. } => {
            "it is another service, as a web server or the login page of a hotel's network: name a TSQ server, or another port".into()
        }
        Failure::ClientCertificateRefused { .. } => {
            "have that of {client-cert} made anew by an authority that the server takes (its operator: tsq-certs client); where it is new, see that both clocks are right".into()
        }
        Failure::NoClientCertificate { .. } => {
            "show it a certificate of an authority that it takes: {client-cert} FILE {client-key} FILE (its operator makes one: tsq-certs client)".into()
        }
        Failure::Connection { .. } => {
            "look at the server's log (it may be full, or keep this network out); a network that changes packets does this as well".into()
        }
        Failure::Trust { refusal, .. } => of_refusal(refusal).into(),
        Failure::NoDatagrams => "leave {transport} datagram away: it serves by streams".into(),
        Failure::NoStreams => "leave {transport} stream away: it serves by datagrams".into(),
        Failure::Unanswered { refused: 0, .. } => {
            "the connection stands and answers get lost or are not given: look at the server's log (limits on requests), and try {transport} stream".into()
        }
        Failure::NoSamples | Failure::Unanswered { .. } => {
            "it answers and each answer was refused: tsq-adjtime {dry-run} {verbose} shows why, one by one".into()
        }
    }
}

/// About a certificate that was not accepted.
pub(super) fn of_refusal(refusal: &TrustRefusal) -> &'static str {
    match refusal {
        TrustRefusal::NotYetValid { .. } => {
            "is this host's clock slow? Then name three servers, or one and its {pin}: their dates can wait until they agree on the time"
        }
        TrustRefusal::Expired { .. } => {
            "is this host's clock fast? Then name three servers, or one and its {pin}: their dates can wait until they agree on the time. If it is right, the server's operator must renew the certificate"
        }
        TrustRefusal::BelowFloor { .. } => {
            "do not use this server; if its time is right, the saved clock is not: remove it from the state folder"
        }
        TrustRefusal::UnknownIssuer { missing: Some(_) } => {
            "the server's operator should serve the whole chain (fullchain.pem); where the authority is private, {ca} is to name its root, or {pin} the server's key"
        }
        TrustRefusal::UnknownIssuer { missing: None } => {
            "for a private server name its authority with {ca}, or its key with {pin}; if it is neither, something on the way answers in its place, as the login page of a hotel's network does"
        }
        TrustRefusal::WrongName { .. } => {
            "ask by a name that the certificate carries, or check that one with {server-name}"
        }
        TrustRefusal::WrongPin { .. } => {
            "if the server's operator confirms a new key, pin that one; until then somebody else may be answering"
        }
        TrustRefusal::Other { .. } => {
            "the server's operator must see to its certificate; where you know its key, {pin} needs no authority"
        }
    }
}

/// About there being no offset at all.
pub(super) fn of_no_result(none: &NoResult) -> Advice {
    match none {
        NoResult::NoAnswer { .. } => {
            "no server is left: do what is said of each of them, or name others".into()
        }
        NoResult::TrustRefused { .. } => {
            "do what is said of the certificate: nothing is believed of a server that is not known to be the right one".into()
        }
        NoResult::NoSelection(none) => of_no_selection(none).into(),
        NoResult::Distrusted(Distrust::BelowFloor { .. }) => {
            "ask other servers: these tell a time that is certainly past; if it is right, the saved clock is not: remove it from the state folder".into()
        }
        NoResult::Distrusted(Distrust::TooFewKeys { need, .. }) => format!(
            "name {need} servers with keys of their own, or one and its {{pin}}; or set the clock by hand to about the right date first"
        )
        .into(),
    }
}

fn of_no_selection(none: &NoSelection) -> &'static str {
    match none {
        NoSelection::NoneFit { .. } => {
            "name servers that are fit: each one's line says what it lacks"
        }
        NoSelection::Unauthenticated { .. } => {
            "name a server that speaks TSQ or NTS, or let plain NTP decide with {allow-ntp}"
        }
        NoSelection::NoneTrusted { .. } => {
            "see why those marked {trust} cannot be used, or take the mark away: the others vote then"
        }
        NoSelection::MixedTimescales { .. } => {
            "name servers of one kind: all that smear leap seconds, or all that do not"
        }
        NoSelection::Disagreement(_) => {
            "more than half must agree: name one more server of another operator, or say with {trust} whose offset is right"
        }
        NoSelection::TooFew { .. } => "name more servers, or lower {min-sources}",
    }
}

/// About a hardware clock.
pub fn of_rtc(verdict: RtcVerdict) -> Advice {
    match verdict {
        RtcVerdict::Right => "nothing to do",
        RtcVerdict::LocalTime { .. } => {
            "let the other operating system keep it in UTC, or tell this one (timedatectl set-local-rtc 1); then: tsq-adjtime rtc {write} SERVER..."
        }
        RtcVerdict::Reset => {
            "replace its battery; then: tsq-adjtime rtc {write} SERVER..."
        }
        RtcVerdict::Wrong => "set it: tsq-adjtime rtc {write} SERVER...",
    }
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use tsq_algo::Disagreement;
    use tsq_client::trust::{By, Floor};
    use tsq_proto::Offset;

    use super::*;
    use crate::advice::Spelling;

    const LENGTH: Duration = Duration::from_secs(1);

    /// Every kind of verdict that is not agreement, with a word its advice must have.
    fn verdicts() -> Vec<(Verdict, &'static str)> {
        let (age, distance, jitter, limit) = (LENGTH, LENGTH, LENGTH, LENGTH);
        vec![
            (
                Verdict::Falseticker { by: Offset::ZERO },
                "majority has decided",
            ),
            (Verdict::Unresolved, "third server"),
            (Verdict::Unauthenticated, "allow-ntp"),
            (Verdict::Unsynchronised, "chronyd"),
            (Verdict::Stale { age, limit }, "timeout"),
            (Verdict::Distant { distance, limit }, "nearer"),
            (Verdict::Jittery { jitter, limit }, "queries"),
            (Verdict::OtherTimescale { smear: None }, "smear"),
        ]
    }

    fn refusals() -> Vec<(TrustRefusal, &'static str)> {
        let (now, by) = (1_800_000_000, By::OurClock);
        let pin = "00".repeat(32).parse().unwrap();
        vec![
            (
                TrustRefusal::NotYetValid {
                    not_before: now + 1,
                    now,
                    by,
                },
                "clock slow?",
            ),
            (
                TrustRefusal::Expired {
                    not_after: now - 1,
                    now,
                    by,
                },
                "clock fast?",
            ),
            (
                TrustRefusal::BelowFloor {
                    agreed: 1,
                    floor: 2,
                },
                "state folder",
            ),
            (TrustRefusal::UnknownIssuer { missing: None }, "ca"),
            (
                TrustRefusal::UnknownIssuer {
                    missing: Some("x".into()),
                },
                "fullchain.pem",
            ),
            (
                TrustRefusal::WrongName {
                    expected: "a".into(),
                    presented: Vec::new(),
                },
                "server-name",
            ),
            (TrustRefusal::WrongPin { presented: pin }, "new key"),
            (
                TrustRefusal::Other {
                    problem: "p".into(),
                },
                "operator",
            ),
        ]
    }

    fn failures() -> Vec<(Failure, &'static str)> {
        let (address, problem) = ("192.0.2.1:443".parse().unwrap(), "p".to_string());
        let unanswered = |refused, why| Failure::Unanswered {
            sent: 5,
            refused,
            why,
            unsent: None,
        };
        let mut all = vec![
            (
                Failure::Unresolved {
                    problem: problem.clone(),
                },
                "resolver",
            ),
            (
                Failure::Silent {
                    address,
                    waited_ms: 1,
                    unsent: None,
                },
                "firewalls",
            ),
            (
                Failure::Unreachable {
                    address,
                    problem: problem.clone(),
                },
                "routes",
            ),
            (Failure::PortClosed { address }, "UDP 443"),
            (Failure::PathTooNarrow { address }, "1280 bytes"),
            (Failure::NotTsq { address }, "another service"),
            (Failure::NoClientCertificate { address }, "client-cert FILE"),
            (
                Failure::ClientCertificateRefused { address, alert: 45 },
                "made anew",
            ),
            (Failure::Connection { address, problem }, "server's log"),
            (Failure::NoDatagrams, "streams"),
            (Failure::NoStreams, "datagrams"),
            (unanswered(0, None), "transport stream"),
            (unanswered(3, Some("w".into())), "verbose"),
        ];
        all.extend(
            refusals()
                .into_iter()
                .map(|(refusal, word)| (Failure::Trust { address, refusal }, word)),
        );
        all
    }

    fn no_results() -> Vec<(NoResult, &'static str)> {
        let disagreement = Disagreement {
            agreeing: 1,
            of: 2,
            spread: LENGTH,
        };
        let (agreeing, needed) = (1, 2);
        let none = [
            (NoSelection::NoneFit { of: 1 }, "fit"),
            (NoSelection::Unauthenticated { sources: 1 }, "allow-ntp"),
            (NoSelection::NoneTrusted { sources: 1 }, "trust"),
            (NoSelection::MixedTimescales { of: 2 }, "one kind"),
            (NoSelection::Disagreement(disagreement), "more than half"),
            (NoSelection::TooFew { agreeing, needed }, "min-sources"),
        ];
        let mut all: Vec<_> = none
            .into_iter()
            .map(|(none, word)| (NoResult::NoSelection(none), word))
            .collect();
        let (servers, refused) = (2, 1);
        all.extend([
            (NoResult::NoAnswer { servers }, "name others"),
            (NoResult::TrustRefused { servers, refused }, "certificate"),
            (
                NoResult::Distrusted(Distrust::BelowFloor {
                    agreed: 1,
                    floor: Floor::of_build(),
                }),
                "certainly past",
            ),
            (
                NoResult::Distrusted(Distrust::TooFewKeys { have: 1, need: 3 }),
                "name 3 servers",
            ),
        ]);
        all
    }

    fn plain(advice: &Advice) -> String {
        advice.text(Spelling::PLAIN)
    }

    /// Two findings with one piece of advice: it is beside the point of one of them.
    #[track_caller]
    fn assert_each_its_own(advice: &[(String, &str)]) {
        for (text, word) in advice {
            assert!(text.contains(word), "{word}: {text}");
        }
        let different: BTreeSet<&String> = advice.iter().map(|(text, _)| text).collect();
        assert_eq!(different.len(), advice.len(), "{advice:#?}");
    }

    #[test]
    fn every_verdict_has_advice_of_its_own() {
        let advice: Vec<_> = verdicts()
            .iter()
            .map(|(verdict, word)| (plain(&of_verdict(verdict).into()), *word))
            .collect();
        assert_each_its_own(&advice);
        // A majority has just decided: more servers would not change that.
        for (text, _) in advice
            .iter()
            .filter(|(text, _)| text.contains("majority has"))
        {
            assert!(!text.contains("more servers"), "{text}");
        }
    }

    #[test]
    fn every_failure_has_advice_of_its_own() {
        let advice: Vec<_> = failures()
            .iter()
            .map(|(failure, word)| (plain(&of_failure(failure)), *word))
            .collect();
        assert_each_its_own(&advice);
    }

    #[test]
    fn every_way_to_have_no_result_has_advice_of_its_own() {
        let advice: Vec<_> = no_results()
            .iter()
            .map(|(none, word)| (plain(&of_no_result(none)), *word))
            .collect();
        assert_each_its_own(&advice);
    }
}
