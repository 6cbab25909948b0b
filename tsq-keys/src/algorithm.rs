use tsq_proto::SignatureAlgorithm;

/// How a key signs: the algorithms a key file can name.
// tsq: T13
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `ed25519` (RFC 8032): a public half verifies.
    Ed25519,
    /// `hmac-sha256` (RFC 2104): who can verify can sign.
    HmacSha256,
}

impl Algorithm {
    /// The name in key files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Ed25519, Self::HmacSha256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// Length of a signature in bytes.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Ed25519 => 64,
            Self::HmacSha256 => 32,
        }
    }
}

impl From<Algorithm> for SignatureAlgorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Ed25519 => Self::Ed25519,
            Algorithm::HmacSha256 => Self::HmacSha256,
        }
    }
}
