//! A client's cryptography that sends other frames than its QUIC library wrote.
//!
//! The library makes the handshake and the packets; a datagram that begins with [`MARK`] is taken out of its
//! packet just before this is encrypted, with all before it, and what stands behind the mark are the frames.

use std::any::Any;
use std::sync::Arc;

use bytes::BytesMut;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::crypto::{
    self, CryptoError, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, Session,
};
use quinn_proto::transport_parameters::TransportParameters;
use quinn_proto::{ConnectError, ConnectionId, Side, TransportError};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use tsq_dev::AnyCertificate;
use tsq_net::{ClientConfig, Role, tls, transport};

/// A datagram that is replaced by what it says.
pub(crate) fn instead_of_a_datagram(frames: &[u8]) -> Vec<u8> {
    [&MARK, frames].concat()
}

/// The configuration of such a client; `mute`: it acknowledges nothing after the handshake.
pub(crate) fn config(mute: bool) -> ClientConfig {
    let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate::default()))
        .with_no_client_auth();
    tls.alpn_protocols = vec![tls::ALPN_DRAFT.to_vec()];
    let suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(rustls::Tls13CipherSuite::quic_suite);
    let inner = QuicClientConfig::with_initial(Arc::new(tls), suite.unwrap()).unwrap();
    let mut config = ClientConfig::new(Arc::new(Hostile {
        inner: Arc::new(inner),
        mute,
    }));
    config.transport_config(transport(Role::Client));
    config
}

const MARK: [u8; 8] = *b"\xffinstead";

struct Hostile {
    inner: Arc<QuicClientConfig>,
    mute: bool,
}

impl crypto::ClientConfig for Hostile {
    fn start_session(
        self: Arc<Self>,
        version: u32,
        server_name: &str,
        params: &TransportParameters,
    ) -> Result<Box<dyn Session>, ConnectError> {
        let params = claiming_to_be_slow(params);
        let inner = Arc::clone(&self.inner).start_session(version, server_name, &params)?;
        Ok(Box::new(Hooked {
            inner,
            mute: self.mute,
            phases: 0,
        }))
    }
}

/// The client takes 16 s for an acknowledgement, it says: the most that there is (RFC 9000, section 18.2).
fn claiming_to_be_slow(params: &TransportParameters) -> TransportParameters {
    let mut bytes = Vec::new();
    params.write(&mut bytes);
    bytes.extend_from_slice(&[0x0b, 2, 0x7f, 0xff]);
    TransportParameters::read(Side::Server, &mut &bytes[..]).unwrap()
}

struct Hooked {
    inner: Box<dyn Session>,
    mute: bool,
    phases: u8,
}

impl Session for Hooked {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.inner.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, buf: &[u8]) -> Result<bool, TransportError> {
        self.inner.read_handshake(buf)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, buf: &mut Vec<u8>) -> Option<Keys> {
        let mut keys = self.inner.write_handshake(buf)?;
        self.phases += 1;
        // First the keys of the handshake, then those of what follows it.
        if self.phases == 2 {
            keys.packet.local = hooked(keys.packet.local, self.mute);
        }
        Some(keys)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        let mut keys = self.inner.next_1rtt_keys()?;
        keys.local = hooked(keys.local, self.mute);
        Some(keys)
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
    }
}

struct Replacing {
    inner: Box<dyn PacketKey>,
    mute: bool,
}

fn hooked(inner: Box<dyn PacketKey>, mute: bool) -> Box<dyn PacketKey> {
    Box::new(Replacing { inner, mute })
}

impl PacketKey for Replacing {
    fn encrypt(&self, packet: u64, buf: &mut [u8], header_len: usize) {
        let end = buf.len() - self.inner.tag_len();
        let payload = &mut buf[header_len..end];
        let mark = payload.windows(MARK.len()).position(|part| part == MARK);
        if let Some(at) = mark {
            // PADDING frames.
            payload[..at + MARK.len()].fill(0);
        } else if self.mute && matches!(payload, [ACK | ACK_WITH_ECN, ..]) {
            payload.fill(0);
        }
        self.inner.encrypt(packet, buf, header_len);
    }

    fn decrypt(
        &self,
        packet: u64,
        header: &[u8],
        payload: &mut BytesMut,
    ) -> Result<(), CryptoError> {
        self.inner.decrypt(packet, header, payload)
    }

    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn confidentiality_limit(&self) -> u64 {
        self.inner.confidentiality_limit()
    }

    fn integrity_limit(&self) -> u64 {
        self.inner.integrity_limit()
    }
}

const ACK: u8 = 2;
const ACK_WITH_ECN: u8 = 3;
