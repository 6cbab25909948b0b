//! What to do about what the client and the clock say, in a few words.

use std::net::IpAddr;

use tsq_client::{Failure, TrustError, TrustRefusal};
use tsq_clock::ClockError;

use crate::advice::{Advice, Reason};

impl Reason for Failure {
    fn hint(&self) -> Option<Advice> {
        Some(match self {
            Self::NoClientCertificate { .. } => "show it one with {client-cert}".into(),
            Self::NoDatagrams => "try {transport} stream".into(),
            Self::NoStreams => "try {transport} datagram".into(),
            Self::Trust { refusal, .. } => return refusal.hint(),
            _ => return None,
        })
    }
}

impl Reason for TrustRefusal {
    fn hint(&self) -> Option<Advice> {
        Some(match self {
            Self::UnknownIssuer { missing: None } => {
                "for a private server {ca} FILE names its authority, or {pin} SHA256 its key".into()
            }
            Self::UnknownIssuer { missing: Some(_) } => {
                "{ca} FILE can name that issuer, or its root".into()
            }
            // An address that is none in the certificate would be none under another name.
            Self::WrongName { expected, .. } if expected.parse::<IpAddr>().is_err() => {
                "{server-name} NAME checks another name".into()
            }
            _ => return None,
        })
    }
}

impl Reason for TrustError {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::NoSystemRoots { .. } => {
                Some("install ca-certificates, or name {ca} or {pin}".into())
            }
            Self::CaFile { .. } => None,
        }
    }
}

impl Reason for ClockError {
    fn hint(&self) -> Option<Advice> {
        match self {
            Self::NoPermission => Some("{dry-run} only looks".into()),
            Self::PastLimit { .. } => Some("if that is right, raise {max-offset}".into()),
            Self::PastBudget { .. } => Some("if that is right, raise {max-step-total}".into()),
            _ => None,
        }
    }
}
