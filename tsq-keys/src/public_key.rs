use data_encoding::HEXLOWER;

use crate::Algorithm;

/// What a public key file holds: an Ed25519 key that verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What answers name the key by.
    pub id: u32,
    pub(crate) public: [u8; 32],
}

impl PublicKey {
    /// The key as in RFC 8032. Bytes that are no point of the curve verify nothing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.public
    }

    /// The text of the public file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        format!(
            "# TSQ verification key: public.\nid = {}\nalgorithm = \"{}\"\npublic = \"{}\"\n",
            self.id,
            Algorithm::Ed25519.name(),
            HEXLOWER.encode_display(&self.public),
        )
    }
}
