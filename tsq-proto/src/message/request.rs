use super::leading_nonce;
use super::order::Order;
use crate::error::{EncodeError, Malformed};
use crate::follow_up::FollowUp;
use crate::tlv::{
    Element, Elements, HEADER_LEN, Metadata, MetadataQuery, Nonce, Padding, PrecisionMode,
    SignatureRequest, Writer, kind,
};

/// A client's request.
///
/// ```
/// use tsq_proto::{Nonce, Request};
///
/// let mut buffer = [0; 64];
/// let len = Request::new(Nonce::new([1; 16])).with_precision().padded_to(40).encode(&mut buffer)?;
/// assert_eq!(len, 40);
/// assert!(Request::decode(&buffer[..len])?.asks_precision());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    nonce: Nonce,
    metadata_query: bool,
    precision: bool,
    signature: bool,
    metadata: Metadata<'a>,
    /// Bytes of padding. What a decoded request held beyond its known elements counts as padding, so that it keeps
    /// its length.
    padding: usize,
}

impl<'a> Request<'a> {
    /// Length of the shortest request, the nonce alone, in bytes.
    // tsq: F1
    pub const MIN_LEN: usize = HEADER_LEN + 16;

    /// A request for the mandatory elements alone.
    #[must_use]
    pub const fn new(nonce: Nonce) -> Self {
        Self {
            nonce,
            metadata_query: false,
            precision: false,
            signature: false,
            metadata: Metadata::EMPTY,
            padding: 0,
        }
    }

    /// Asks for metadata.
    // tsq: T5
    #[must_use]
    pub const fn with_metadata_query(mut self) -> Self {
        self.metadata_query = true;
        self
    }

    /// Asks for an answer of the request's length; see [`padded_to`](Self::padded_to).
    // tsq: T8
    #[must_use]
    pub const fn with_precision(mut self) -> Self {
        self.precision = true;
        self
    }

    /// Asks for a signed answer, or none.
    // tsq: T10
    #[must_use]
    pub const fn with_signature(mut self) -> Self {
        self.signature = true;
        self
    }

    /// Carries metadata of the client's.
    // tsq: T11
    #[must_use]
    pub const fn with_metadata(mut self, metadata: Metadata<'a>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Asks for metadata, and in it when earlier answers on this connection left; in place of other metadata.
    // tsq: M9 M10 T5 T11
    #[must_use]
    pub const fn with_follow_up(self) -> Self {
        self.with_metadata_query().with_metadata(FollowUp::QUESTION)
    }

    /// Adds padding up to `len` bytes, counting what has been added before: call it last. A longer request stays
    /// as it is. One that is a single byte short cannot be padded; encoding it fails.
    // tsq: T12 M6
    #[must_use]
    pub fn padded_to(mut self, len: usize) -> Self {
        self.padding = len.saturating_sub(self.content_len());
        self
    }

    /// From a whole message. Elements that belong to a response are skipped like unknown ones.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the message.
    // tsq: M1 M11 T0 T4
    pub fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut elements = Elements::new(message);
        let mut request = Self::new(leading_nonce(&mut elements)?);
        let mut order = Order::after(&[kind::NONCE], is_for_responses);
        let mut metadata_start = None;
        while let Some(element) = elements.next() {
            let Element { kind, value } = element?;
            order.accept(kind)?;
            match kind {
                kind::METADATA_QUERY => {
                    MetadataQuery::decode(value)?;
                    request.metadata_query = true;
                }
                kind::PRECISION_MODE => {
                    PrecisionMode::decode(value)?;
                    request.precision = true;
                }
                kind::SIGNATURE_REQUEST => {
                    SignatureRequest::decode(value)?;
                    request.signature = true;
                }
                kind::METADATA => {
                    Metadata::check(value)?;
                    let end = elements.position();
                    let start = *metadata_start.get_or_insert(end - HEADER_LEN - value.len());
                    request.metadata = Metadata::from_checked(&message[start..end]);
                }
                kind::PADDING => Padding::check(value)?,
                _ => {}
            }
        }
        Ok(request.padded_to(message.len()))
    }

    /// Writes the request; returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`], or [`EncodeError::PaddingOfOneByte`] after [`padded_to`](Self::padded_to).
    // tsq: M11
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let mut writer = Writer::new(buffer);
        self.nonce.encode(&mut writer)?;
        if self.metadata_query {
            MetadataQuery.encode(&mut writer)?;
        }
        if self.precision {
            PrecisionMode.encode(&mut writer)?;
        }
        if self.signature {
            SignatureRequest.encode(&mut writer)?;
        }
        self.metadata.encode(&mut writer)?;
        Padding {
            total: self.padding,
        }
        .encode(&mut writer)?;
        Ok(writer.len())
    }

    /// Length on the wire in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.content_len() + self.padding
    }

    /// What the answer must echo.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Whether the answer should carry metadata.
    #[must_use]
    pub const fn asks_metadata(&self) -> bool {
        self.metadata_query
    }

    /// Whether the answer should tell when earlier ones left.
    // tsq: M9 M10
    #[must_use]
    pub fn asks_follow_up(&self) -> bool {
        self.metadata_query && self.metadata.get(FollowUp::KEY) == Some("")
    }

    /// Whether the answer should be as long as the request.
    #[must_use]
    pub const fn asks_precision(&self) -> bool {
        self.precision
    }

    /// Whether the answer must be signed.
    #[must_use]
    pub const fn asks_signature(&self) -> bool {
        self.signature
    }

    /// The client's metadata.
    #[must_use]
    pub const fn metadata(&self) -> Metadata<'a> {
        self.metadata
    }

    fn content_len(&self) -> usize {
        let flags = [self.metadata_query, self.precision, self.signature];
        let empty_elements = flags.iter().filter(|&&asked| asked).count();
        Self::MIN_LEN + empty_elements * HEADER_LEN + self.metadata.encoded_len()
    }
}

/// The Signature Block belongs to responses too, but what follows it is out of order in any message.
fn is_for_responses(kind: u8) -> bool {
    matches!(
        kind,
        kind::RECEIVE_TIMESTAMP
            | kind::SEND_TIMESTAMP
            | kind::CLOCK_QUALITY
            | kind::ERROR
            | kind::TIME_SOURCE
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce::new([7; 16]);

    // tsq: F1
    #[test]
    fn shortest_request_is_the_nonce_alone() {
        let mut buffer = [0; 18];
        assert_eq!(
            Request::new(NONCE).encode(&mut buffer),
            Ok(Request::MIN_LEN)
        );
        assert_eq!(
            (buffer[..2].as_ref(), buffer[2..].as_ref()),
            ([1, 16].as_ref(), [7; 16].as_ref())
        );
        assert_eq!(Request::decode(&buffer), Ok(Request::new(NONCE)));
    }

    // tsq: T5 T8 T10 T12 M11
    #[test]
    fn everything_asked_for_comes_back_from_the_wire() {
        let mut storage = [0; 32];
        let metadata = Metadata::new(&[("site", "us-east")], &mut storage).unwrap();
        let plain = Request::new(NONCE)
            .with_metadata_query()
            .with_precision()
            .with_signature();
        let request = plain.with_metadata(metadata).padded_to(300);
        let mut buffer = [0; 300];
        assert_eq!(request.encode(&mut buffer), Ok(300));
        let decoded = Request::decode(&buffer).unwrap();
        assert_eq!(decoded, request);
        assert!(decoded.asks_metadata() && decoded.asks_precision() && decoded.asks_signature());
        assert_eq!(decoded.metadata().get("site"), Some("us-east"));
        assert_eq!(decoded.encoded_len(), 300);
    }

    #[test]
    fn buffer_one_byte_short_is_no_room() {
        let refused = Request::new(NONCE).encode(&mut [0; 17]);
        assert_eq!(
            refused,
            Err(EncodeError::NoRoom {
                needed: 18,
                have: 17
            })
        );
    }

    // tsq: M6
    #[test]
    fn request_with_unknown_elements_keeps_its_length() {
        let mut message = [0; 22];
        message[..2].copy_from_slice(&[1, 16]);
        message[18..].copy_from_slice(&[99, 2, 1, 2]);
        assert_eq!(Request::decode(&message).unwrap().encoded_len(), 22);
    }
}
