use super::leading_nonce;
use super::order::Order;
use crate::error::{EncodeError, Malformed};
use crate::time::NtpTimestamp;
use crate::tlv::{
    ClockQuality, Element, Elements, HEADER_LEN, Metadata, Nonce, Padding, PrecisionMode,
    ReceiveTimestamp, SendTimestamp, SignatureBlock, TimeSource, Writer, kind,
};

/// A server's response. For what a server sends at all, see [`Answer`](super::Answer).
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    nonce: Nonce,
    receive: ReceiveTimestamp,
    send: SendTimestamp,
    precision: bool,
    time_source: Option<TimeSource<'a>>,
    clock_quality: Option<ClockQuality<'a>>,
    metadata: Metadata<'a>,
    /// What follows `metadata`, in an element of its own; a decoded response has all of it there.
    follow_ups: Metadata<'a>,
    /// Bytes of padding; in a decoded response also what was skipped.
    padding: usize,
    signature: Option<SignatureBlock<'a>>,
    signed_bytes: &'a [u8],
}

impl<'a> Response<'a> {
    /// Length of the mandatory elements, in bytes.
    pub const MIN_LEN: usize = HEADER_LEN + 16 + 2 * (HEADER_LEN + 8);

    /// A response of the mandatory elements alone: the request's nonce, T2 and T3.
    // tsq: M9 F3
    #[must_use]
    pub const fn new(nonce: Nonce, receive: NtpTimestamp, send: NtpTimestamp) -> Self {
        Self {
            nonce,
            receive: ReceiveTimestamp(receive),
            send: SendTimestamp(send),
            precision: false,
            time_source: None,
            clock_quality: None,
            metadata: Metadata::EMPTY,
            follow_ups: Metadata::EMPTY,
            padding: 0,
            signature: None,
            signed_bytes: &[],
        }
    }

    /// Acknowledges precision mode; see [`padded_to`](Self::padded_to).
    // tsq: T8
    #[must_use]
    pub const fn with_precision(mut self) -> Self {
        self.precision = true;
        self
    }

    /// Says where the time comes from.
    // tsq: T9
    #[must_use]
    pub const fn with_time_source(mut self, time_source: TimeSource<'a>) -> Self {
        self.time_source = Some(time_source);
        self
    }

    /// Says how good the clock is.
    // tsq: T6
    #[must_use]
    pub const fn with_clock_quality(mut self, clock_quality: ClockQuality<'a>) -> Self {
        self.clock_quality = Some(clock_quality);
        self
    }

    /// Carries metadata, which the request must have asked for.
    // tsq: T11 M9
    #[must_use]
    pub const fn with_metadata(mut self, metadata: Metadata<'a>) -> Self {
        self.metadata = metadata;
        self
    }

    /// Carries [follow-ups](crate::FollowUp), which the request must have asked for, after its other metadata.
    // tsq: M9 M10 T11
    #[must_use]
    pub const fn with_follow_ups(mut self, follow_ups: Metadata<'a>) -> Self {
        self.follow_ups = follow_ups;
        self
    }

    /// Adds padding up to `len` bytes, counting what has been added before: call it last. A longer response stays
    /// as it is. One that is a single byte short cannot be padded; encoding it fails.
    ///
    /// A Signature Block is not counted, so that signing does not change the bytes to be signed.
    // tsq: T12 M6
    #[must_use]
    pub fn padded_to(mut self, len: usize) -> Self {
        self.padding = len.saturating_sub(self.content_len());
        self
    }

    /// Adds a signature over the bytes that this response encodes to without it.
    // tsq: T13 M4
    #[must_use]
    pub const fn with_signature(mut self, signature: SignatureBlock<'a>) -> Self {
        self.signature = Some(signature);
        self
    }

    /// From a whole message. Elements that belong to a request are skipped like unknown ones; an Error element is
    /// out of order, for it stands alone.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, in the order of the message.
    // tsq: M1 M11 T0 T4
    pub fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut elements = Elements::new(message);
        let mut response = Self::decode_mandatory(&mut elements)?;
        let mandatory = [kind::NONCE, kind::RECEIVE_TIMESTAMP, kind::SEND_TIMESTAMP];
        let mut order = Order::after(&mandatory, is_for_requests);
        let mut metadata_start = None;
        let mut unsigned_len = message.len();
        while let Some(element) = elements.next() {
            let Element { kind, value } = element?;
            order.accept(kind)?;
            let end = elements.position();
            let start = end - HEADER_LEN - value.len();
            match kind {
                kind::PRECISION_MODE => {
                    PrecisionMode::decode(value)?;
                    response.precision = true;
                }
                kind::TIME_SOURCE => response.time_source = Some(TimeSource::decode(value)?),
                kind::CLOCK_QUALITY => response.clock_quality = Some(ClockQuality::decode(value)?),
                kind::METADATA => {
                    Metadata::check(value)?;
                    response.metadata =
                        Metadata::from_checked(&message[*metadata_start.get_or_insert(start)..end]);
                }
                kind::PADDING => Padding::check(value)?,
                kind::SIGNATURE_BLOCK => {
                    response.signature = Some(SignatureBlock::decode(value)?);
                    response.signed_bytes = &message[..start];
                    unsigned_len = start;
                }
                // tsq: T7
                kind::ERROR => {
                    return Err(Malformed::OutOfOrder {
                        kind,
                        after: kind::SEND_TIMESTAMP,
                    });
                }
                _ => {}
            }
        }
        Ok(response.padded_to(unsigned_len))
    }

    // tsq: M11
    fn decode_mandatory(elements: &mut Elements<'a>) -> Result<Self, Malformed> {
        let nonce = leading_nonce(elements)?;
        let receive = mandatory(elements, kind::RECEIVE_TIMESTAMP, kind::NONCE)?;
        let send = mandatory(elements, kind::SEND_TIMESTAMP, kind::RECEIVE_TIMESTAMP)?;
        Ok(Self::new(
            nonce,
            ReceiveTimestamp::decode(receive)?.0,
            SendTimestamp::decode(send)?.0,
        ))
    }

    /// Writes the response; returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NoRoom`]; [`EncodeError::ValueTooLong`] when a text or the signature does not fit its
    /// element; [`EncodeError::PaddingOfOneByte`] after [`padded_to`](Self::padded_to).
    // tsq: M11
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, EncodeError> {
        let mut writer = Writer::new(buffer);
        self.nonce.encode(&mut writer)?;
        self.receive.encode(&mut writer)?;
        self.send.encode(&mut writer)?;
        if self.precision {
            PrecisionMode.encode(&mut writer)?;
        }
        if let Some(time_source) = self.time_source {
            time_source.encode(&mut writer)?;
        }
        if let Some(clock_quality) = self.clock_quality {
            clock_quality.encode(&mut writer)?;
        }
        self.metadata.encode(&mut writer)?;
        self.follow_ups.encode(&mut writer)?;
        Padding {
            total: self.padding,
        }
        .encode(&mut writer)?;
        if let Some(signature) = self.signature {
            signature.encode(&mut writer)?;
        }
        Ok(writer.len())
    }

    /// Length on the wire in bytes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.content_len() + self.padding + self.signature.map_or(0, |block| block.encoded_len())
    }

    /// The echoed nonce.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// T2: when the server received the request.
    #[must_use]
    pub const fn receive_timestamp(&self) -> NtpTimestamp {
        self.receive.0
    }

    /// T3: when the server sent the answer.
    #[must_use]
    pub const fn send_timestamp(&self) -> NtpTimestamp {
        self.send.0
    }

    /// Whether precision mode is acknowledged.
    #[must_use]
    pub const fn precision(&self) -> bool {
        self.precision
    }

    /// Where the time comes from, if told.
    #[must_use]
    pub const fn time_source(&self) -> Option<TimeSource<'a>> {
        self.time_source
    }

    /// How good the clock is, if told.
    #[must_use]
    pub const fn clock_quality(&self) -> Option<ClockQuality<'a>> {
        self.clock_quality
    }

    /// The server's metadata; of a decoded response, follow-ups included.
    #[must_use]
    pub const fn metadata(&self) -> Metadata<'a> {
        self.metadata
    }

    /// The signature, not verified.
    #[must_use]
    pub const fn signature(&self) -> Option<SignatureBlock<'a>> {
        self.signature
    }

    /// The bytes that the signature of a decoded response covers: all before the Signature Block.
    /// Empty when there is no signature, and in a response that was built rather than decoded.
    // tsq: M4
    #[must_use]
    pub const fn signed_bytes(&self) -> &'a [u8] {
        self.signed_bytes
    }

    fn content_len(&self) -> usize {
        Self::MIN_LEN
            + if self.precision { HEADER_LEN } else { 0 }
            + self.time_source.map_or(0, |source| source.encoded_len())
            + self
                .clock_quality
                .map_or(0, |quality| quality.encoded_len())
            + self.metadata.encoded_len()
            + self.follow_ups.encoded_len()
    }

    fn all_metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.metadata.pairs().chain(self.follow_ups.pairs())
    }
}

/// Equal when the meaning is: the exact bytes a signature covers are not compared.
impl PartialEq for Response<'_> {
    fn eq(&self, other: &Self) -> bool {
        (
            self.nonce,
            self.receive,
            self.send,
            self.precision,
            self.padding,
        ) == (
            other.nonce,
            other.receive,
            other.send,
            other.precision,
            other.padding,
        ) && (self.time_source, self.clock_quality, self.signature)
            == (other.time_source, other.clock_quality, other.signature)
            && self.all_metadata().eq(other.all_metadata())
    }
}

impl Eq for Response<'_> {}

/// The value of the element that must come next.
fn mandatory<'a>(
    elements: &mut Elements<'a>,
    wanted: u8,
    after: u8,
) -> Result<&'a [u8], Malformed> {
    for element in elements {
        match element? {
            Element { kind, value } if kind == wanted => return Ok(value),
            Element { kind, .. } if kind::is_reserved(kind) || is_for_requests(kind) => {}
            Element { kind, .. } => return Err(Malformed::OutOfOrder { kind, after }),
        }
    }
    Err(Malformed::MissingElement { kind: wanted })
}

fn is_for_requests(kind: u8) -> bool {
    matches!(kind, kind::METADATA_QUERY | kind::SIGNATURE_REQUEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlv::{ClockClass, SignatureAlgorithm, SourceType};

    const NONCE: Nonce = Nonce::new([7; 16]);
    const T2: NtpTimestamp = NtpTimestamp::from_bits(0x0101_0101_0101_0101);
    const T3: NtpTimestamp = NtpTimestamp::from_bits(0x0202_0202_0202_0202);

    // tsq: M11 F3
    #[test]
    fn shortest_response_is_nonce_receive_send() {
        let mut buffer = [0; 38];
        let response = Response::new(NONCE, T2, T3);
        assert_eq!(response.encode(&mut buffer), Ok(Response::MIN_LEN));
        assert_eq!(
            buffer[18..],
            [2, 8, 1, 1, 1, 1, 1, 1, 1, 1, 3, 8, 2, 2, 2, 2, 2, 2, 2, 2]
        );
        assert_eq!(Response::decode(&buffer), Ok(response));
    }

    // tsq: T6 T8 T9 T11 T12 T13 M4 M11
    #[test]
    fn everything_told_comes_back_from_the_wire() {
        let mut storage = [0; 32];
        let response = Response::new(NONCE, T2, T3)
            .with_precision()
            .with_time_source(TimeSource {
                stratum: 1,
                source: SourceType::Gps,
                info: "roof",
            })
            .with_clock_quality(ClockQuality {
                class: ClockClass::Gnss,
                error_us: 1,
                drift_ppb: 2,
                tag: "",
            })
            .with_metadata(Metadata::new(&[("site", "us-east")], &mut storage).unwrap())
            .padded_to(120);
        let mut unsigned = [0; 120];
        assert_eq!(response.encode(&mut unsigned), Ok(120));
        let block = SignatureBlock {
            algorithm: SignatureAlgorithm::Ed25519,
            key_id: 9,
            signature: &[3; 64],
        };
        let signed = response.with_signature(block);
        let mut buffer = [0; 193];
        assert_eq!(signed.encode(&mut buffer), Ok(193));
        let decoded = Response::decode(&buffer).unwrap();
        assert_eq!(decoded, signed);
        assert_eq!(decoded.signature(), Some(block));
        assert_eq!(decoded.signed_bytes(), unsigned);
        assert_eq!(decoded.encoded_len(), 193);
    }
}
