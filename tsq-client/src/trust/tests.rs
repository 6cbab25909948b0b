//! Real chains, some with certificates that were never valid together.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::{Duration, OffsetDateTime};

use super::*;

const START: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

/// Days after [`START`].
type Days = std::ops::Range<i64>;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

fn dated(days: &Days) -> CertificateParams {
    let at = |day| OffsetDateTime::from_unix_timestamp(START).unwrap() + Duration::days(day);
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (at(days.start), at(days.end));
    params
}

fn authority(name: &str, days: &Days, by: Option<&Authority>) -> Authority {
    let mut params = dated(days);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let certificate = match by {
        Some(by) => params.signed_by(&key, &by.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    Authority {
        certificate: certificate.der().clone(),
        issuer: Issuer::new(params, key),
    }
}

fn leaf(name: &str, days: &Days, by: &Authority) -> CertificateDer<'static> {
    let mut params = dated(days);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, &by.issuer).unwrap().der().clone()
}

fn trusting(root: &Authority) -> Trust {
    let mut roots = RootCertStore::empty();
    roots.add(root.certificate.clone()).unwrap();
    Trust {
        roots: Some(Arc::new(roots)),
        pins: Vec::new(),
        kind: TrustKind::Ca,
    }
}

/// What becomes of `chain` on a host whose clock shows `day`.
fn show(
    trust: &Trust,
    dates: Dates,
    chain: &[CertificateDer<'static>],
    day: i64,
) -> Result<Presented, TrustRefusal> {
    let slot = FoundSlot::default();
    let verifier = Verifier::new(trust, dates, Arc::clone(&slot)).unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let accepted = verifier
        .verify_server_cert(&chain[0], &chain[1..], &name, &[], at(day))
        .is_ok();
    let found = slot.lock().unwrap().take().unwrap();
    assert_eq!(found.is_ok(), accepted);
    found
}

fn at(day: i64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(second(day)))
}

fn second(day: i64) -> u64 {
    u64::try_from(START + day * DAY).unwrap()
}

fn name_of(refusal: Result<Presented, TrustRefusal>) -> &'static str {
    refusal.expect_err("it must be refused").name()
}

#[test]
fn dates_wait_only_where_that_is_allowed_and_are_named_the_right_way_round() {
    let root = authority("root", &(0..1000), None);
    let trust = trusting(&root);
    let chain = [leaf("a.example", &(10..20), &root)];
    for (day, name) in [
        (9, "certificate_not_yet_valid"),
        (21, "certificate_expired"),
    ] {
        assert_eq!(name_of(show(&trust, Dates::Now, &chain, day)), name);
        let presented = show(&trust, Dates::MayWait, &chain, day).unwrap();
        assert_eq!(presented.deferred().map(TrustRefusal::name), Some(name));
    }
    let presented = show(&trust, Dates::MayWait, &chain, 15).unwrap();
    assert_eq!(presented.deferred(), None);
}

#[test]
fn later_check_holds_at_both_ends_of_the_time_or_not_at_all() {
    let root = authority("root", &(0..1000), None);
    let chain = [leaf("a.example", &(10..20), &root)];
    let presented = show(&trusting(&root), Dates::MayWait, &chain, 900).unwrap();
    let (first, last) = (second(10), second(20));
    let validity = presented.validity().unwrap();
    assert_eq!((validity.not_before, validity.not_after), (first, last));
    assert_eq!(presented.check_between(first, last), Ok(()));
    let early = presented.check_between(first - 1, first).unwrap_err();
    assert_eq!(early.name(), "certificate_not_yet_valid");
    let late = presented.check_between(last, last + 1).unwrap_err();
    assert_eq!(late.name(), "certificate_expired");
}

#[test]
fn intermediate_counts_as_the_leaf_does() {
    let root = authority("root", &(0..1000), None);
    let middle = authority("middle", &(15..18), Some(&root));
    let chain = [
        leaf("a.example", &(10..20), &middle),
        middle.certificate.clone(),
    ];
    let trust = trusting(&root);
    // The leaf's first moment is not the intermediate's.
    let presented = show(&trust, Dates::MayWait, &chain, 500).unwrap();
    let validity = presented.validity().unwrap();
    let expected = (second(15), second(18));
    assert_eq!((validity.not_before, validity.not_after), expected);
    assert!(presented.check_between(second(14), second(14)).is_err());
    assert!(presented.check_between(second(16), second(16)).is_ok());
}

#[test]
fn chain_that_was_never_valid_as_a_whole_is_refused() {
    let root = authority("root", &(0..1000), None);
    let middle = authority("middle", &(30..40), Some(&root));
    let chain = [
        leaf("a.example", &(10..20), &middle),
        middle.certificate.clone(),
    ];
    for day in [5, 15, 25, 35, 45] {
        let refused = show(&trusting(&root), Dates::MayWait, &chain, day);
        assert!(refused.is_err(), "day {day}");
    }
}

/// As after an authority's old cross-signed certificate has ended.
#[test]
fn certificate_that_the_chain_does_not_need_may_be_outside_its_dates() {
    let root = authority("root", &(0..1000), None);
    let other = authority("other", &(0..1000), None);
    let stale = authority("stale", &(600..700), Some(&other));
    let chain = [
        leaf("a.example", &(10..20), &root),
        stale.certificate.clone(),
    ];
    let presented = show(&trusting(&root), Dates::MayWait, &chain, 900).unwrap();
    assert!(presented.check_between(second(15), second(15)).is_ok());
}

#[test]
fn nothing_but_dates_ever_waits() {
    let (root, stranger) = (
        authority("root", &(0..1000), None),
        authority("stranger", &(0..1000), None),
    );
    let trust = trusting(&root);
    for day in [5, 15, 25] {
        let foreign = [leaf("a.example", &(10..20), &stranger)];
        let refused = name_of(show(&trust, Dates::MayWait, &foreign, day));
        assert_eq!(refused, "certificate_unknown_issuer", "day {day}");
        let misnamed = [leaf("b.example", &(10..20), &root)];
        let refused = name_of(show(&trust, Dates::MayWait, &misnamed, day));
        assert_eq!(refused, "certificate_wrong_name", "day {day}");
        let wrong_pin = trust.clone().and_pins(vec![Pin::of_public_key(b"x")]);
        let right = [leaf("a.example", &(10..20), &root)];
        let refused = name_of(show(&wrong_pin, Dates::MayWait, &right, day));
        assert_eq!(refused, "certificate_wrong_pin", "day {day}");
    }
}

#[test]
fn pinned_key_is_known_as_pinned_and_its_dates_wait_alike() {
    let root = authority("root", &(0..1000), None);
    let chain = [leaf("whatever.example", &(10..20), &root)];
    let pin = tsq_x509::pin_of_der(&chain[0]).unwrap();
    let trust = Trust::pins(vec![pin]);
    assert_eq!(
        name_of(show(&trust, Dates::Now, &chain, 5)),
        "certificate_not_yet_valid"
    );
    let presented = show(&trust, Dates::MayWait, &chain, 5).unwrap();
    assert!(presented.is_pinned() && presented.deferred().is_some());
    assert_eq!(presented.key(), Some(pin));
    assert!(presented.check_between(second(15), second(15)).is_ok());
    assert!(presented.check_between(second(25), second(25)).is_err());
}

#[test]
fn issuer_that_is_missing_is_named_and_a_forged_one_is_not() {
    let (root, other) = (
        authority("root", &(0..1000), None),
        authority("other", &(0..1000), None),
    );
    let forged = authority("root", &(0..1000), None);
    let middle = authority("middle", &(0..1000), Some(&root));
    let leaf = |by: &Authority| leaf("a.example", &(10..20), by);
    for (trusted, chain, missing) in [
        // The server has cert.pem where fullchain.pem is meant.
        (&root, vec![leaf(&middle)], Some("middle")),
        (
            &other,
            vec![leaf(&middle), middle.certificate.clone()],
            Some("root"),
        ),
        (&other, vec![leaf(&root)], Some("root")),
        (&other, vec![leaf(&root), root.certificate.clone()], None),
        (&root, vec![leaf(&forged)], None),
    ] {
        let refused = show(&trusting(trusted), Dates::Now, &chain, 15).unwrap_err();
        let TrustRefusal::UnknownIssuer { missing: found } = &refused else {
            panic!("{refused:?}");
        };
        let found = found.as_deref();
        assert_eq!(found.is_some(), missing.is_some(), "{found:?}");
        if let Some(name) = missing {
            assert!(found.is_some_and(|found| found.contains(name)), "{found:?}");
            let words = refused.to_string();
            assert!(
                words.contains(name) && words.contains("fullchain.pem"),
                "{words}"
            );
        }
    }
}
