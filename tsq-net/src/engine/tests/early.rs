//! Resumed connections and messages in the first flight.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};

use super::*;
use crate::engine::{Admission, Attempt, Verdict};
use crate::event::EarlyData;
use crate::tls::{Sessions, Tickets};

// tsq: C3
#[test]
fn early_request_is_answered_after_one_round_trip() {
    let (mut pair, _, config) = resumable(Sessions::Early);
    pair.connect_again(&config);
    assert!(pair.client.may_send_early(pair.conn));
    pair.client.send_datagram(pair.conn, b"ask").unwrap();

    let arrived = pair.flight_to_server();
    let Some(Event::Datagram { conn, data, stamp }) = pair.server.poll_event() else {
        panic!("the server reads it before the handshake is complete");
    };
    assert_eq!(&data[..], b"ask");
    assert!(
        arrived.contains(&stamp.time),
        "it has the stamp of its packet"
    );
    pair.server.send_datagram(conn, b"answer").unwrap();

    pair.flight_to_client();
    assert_eq!(connected(&mut pair.client), EarlyData::Accepted);
    let Some(Event::Datagram { data, .. }) = pair.client.poll_event() else {
        panic!("no answer in the server's first flight");
    };
    assert_eq!(&data[..], b"answer");
    assert!(!pair.client.may_send_early(pair.conn));
    pair.run();
    assert_eq!(connected(&mut pair.server), EarlyData::Accepted);
}

#[test]
fn early_stream_is_answered_after_one_round_trip() {
    let (mut pair, _, config) = resumable(Sessions::Early);
    pair.connect_again(&config);
    let stream = pair.client.open_stream(pair.conn, b"ask", true).unwrap();
    pair.flight_to_server();
    let Some(Event::Stream { conn, data, .. }) = pair.server.poll_event() else {
        panic!("no early stream");
    };
    assert_eq!(&data[..], b"ask");
    pair.server
        .send_stream(conn, stream, b"answer", true)
        .unwrap();
    pair.flight_to_client();
    assert_eq!(connected(&mut pair.client), EarlyData::Accepted);
    assert!(matches!(
        pair.client.poll_event(),
        Some(Event::Stream { finished: true, .. })
    ));
}

#[test]
fn restarted_server_loses_early_messages_and_the_client_is_told() {
    let (mut pair, verifier, config) = resumable(Sessions::Early);
    pair.server = Engine::server(server_config());
    pair.connect_again(&config);
    pair.client.send_datagram(pair.conn, b"lost").unwrap();
    let early = pair.client.open_stream(pair.conn, b"lost", true).unwrap();
    pair.run();

    assert_eq!(connected(&mut pair.server), EarlyData::None);
    assert!(pair.server.poll_event().is_none(), "nothing early was read");
    assert_eq!(connected(&mut pair.client), EarlyData::Lost);
    assert_eq!(verifier.asked(), 2, "the certificate was checked again");
    assert_eq!(
        pair.client.send_stream(pair.conn, early, b"x", true),
        Err(SendError::Closed)
    );

    pair.client.send_datagram(pair.conn, b"again").unwrap();
    let stream = pair.client.open_stream(pair.conn, b"again", true).unwrap();
    assert_eq!(stream, early, "the id is used again");
    pair.run();
    let mut read = 0;
    while let Some(event) = pair.server.poll_event() {
        match event {
            Event::Datagram { data, .. } | Event::Stream { data, .. } => {
                assert_eq!(&data[..], b"again");
                read += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, 2);
}

#[test]
fn server_that_asks_to_come_again_has_not_read_the_early_request() {
    let (mut pair, _, config) = resumable(Sessions::Early);
    pair.connect_again(&config);
    pair.client.send_datagram(pair.conn, b"lost").unwrap();
    pair.collect();
    for packet in std::mem::take(&mut pair.to_server) {
        let stamp = Stamp::kernel(pair.tick());
        let (now, client) = (pair.now, CLIENT.parse().unwrap());
        pair.server
            .handle_packet_asking(now, client, None, &packet, stamp, &mut ComeAgain);
    }
    pair.run();
    assert_eq!(connected(&mut pair.client), EarlyData::Lost);
    let read = |event| matches!(event, Event::Datagram { .. });
    assert!(!std::iter::from_fn(|| pair.server.poll_event()).any(read));
    pair.client.send_datagram(pair.conn, b"again").unwrap();
    pair.run();
    assert!(pair.server.poll_event().is_some_and(read));
}

/// Sends every client a Retry.
struct ComeAgain;

impl Admission for ComeAgain {
    fn admit(&mut self, _: Instant, _: &Attempt) -> Verdict {
        Verdict::Retry
    }

    fn accepted(&mut self, _: Instant, _: ConnId, _: &Attempt) {}
}

#[test]
fn copied_first_flight_is_read_once() {
    let (mut pair, _, config) = resumable(Sessions::Early);
    pair.connect_again(&config);
    pair.client.send_datagram(pair.conn, b"ask").unwrap();
    pair.collect();
    let flight: Vec<_> = pair.to_server.iter().cloned().collect();
    pair.run();
    while pair.server.poll_event().is_some() {}
    pair.client.close(pair.now, pair.conn, 0, "done");
    pair.forget();
    assert_eq!(pair.server.connections(), 0);

    for packet in &flight {
        pair.deliver_to_server(packet);
    }
    assert_eq!(
        pair.server.connections(),
        1,
        "it begins a connection of its own"
    );
    assert!(
        pair.server.poll_event().is_none(),
        "the ticket was used up: the request cannot be read again"
    );
}

#[test]
fn resumed_connection_asks_about_no_certificate_and_sends_nothing_early() {
    let (mut pair, verifier, config) = resumable(Sessions::Resume);
    pair.connect_again(&config);
    assert!(!pair.client.may_send_early(pair.conn));
    assert_eq!(
        pair.client.send_datagram(pair.conn, b"ask"),
        Err(SendError::Unsupported)
    );
    pair.run();
    assert_eq!(connected(&mut pair.client), EarlyData::None);
    assert_eq!(verifier.asked(), 1);
}

#[test]
fn cleared_tickets_bring_the_certificate_check_back() {
    let verifier = Arc::new(AnyCertificate::default());
    let tickets = Tickets::new();
    let config = tls::client_with(verifier.clone(), Sessions::Early(tickets.clone())).unwrap();
    let mut pair = Pair::with(config.clone());
    pair.run();
    assert!(!tickets.is_empty());
    tickets.clear();
    pair.connect_again(&config);
    assert!(!pair.client.may_send_early(pair.conn));
    pair.run();
    assert_eq!(verifier.asked(), 2);
}

#[test]
fn tickets_are_kept_to_their_number_and_the_newest_first() {
    let tickets = Tickets::keeping(3);
    let verifier = Arc::new(AnyCertificate::default());
    let config = tls::client_with(verifier, Sessions::Resume(tickets.clone())).unwrap();
    let mut pair = Pair::with(config.clone());
    pair.run();
    let each = tickets.len();
    assert!(each > 0, "a server gives tickets without being asked");
    tickets.clear();
    for _ in 0..5 {
        tickets.clear();
        pair.connect_again(&config);
        pair.run();
    }
    assert_eq!(tickets.len(), each);
    // Resumed ones take one and bring more.
    for _ in 0..5 {
        pair.connect_again(&config);
        pair.run();
        assert!(tickets.len() <= 3, "{}", tickets.len());
    }
}

#[test]
fn tickets_of_one_name_are_not_offered_under_another() {
    let (mut pair, verifier, config) = resumable(Sessions::Early);
    pair.conn = pair
        .client
        .connect(pair.now, config, SERVER.parse().unwrap(), "elsewhere")
        .unwrap();
    assert!(!pair.client.may_send_early(pair.conn));
    pair.run();
    assert_eq!(verifier.asked(), 2);
}

#[test]
fn resumption_with_a_certificate_can_be_judged_before_anything_is_answered() {
    let tickets = Tickets::new();
    let (identity, chain) = identity();
    let sessions = Sessions::Early(tickets);
    let config = tls::client_as(identity, Arc::new(AnyCertificate::default()), sessions).unwrap();
    let mut pair = Pair::with(config.clone());
    pair.server = Engine::server(server_that_asks_for_certificates());
    pair.run();
    assert_eq!(pair.server.poll_resumption(), None, "a full handshake");
    let first = pair.server.ids().next().unwrap();
    assert_eq!(pair.server.peer_chain(first), Some(chain.clone()));
    pair.client.close(pair.now, pair.conn, 0, "done");
    pair.forget();

    pair.connect_again(&config);
    pair.client.send_datagram(pair.conn, b"ask").unwrap();
    pair.flight_to_server();
    let resumed = pair.server.poll_resumption().expect("a resumed one");
    assert_eq!(pair.server.poll_resumption(), None, "told once");
    assert_eq!(pair.server.peer_chain(resumed), Some(chain));
    pair.server.close(pair.now, resumed, 0, "not any more");
    assert!(
        pair.server.poll_event().is_none(),
        "what it asked early goes with it"
    );
}

/// A certificate of nobody's, and the chain it is.
fn identity() -> (
    Arc<dyn rustls::client::ResolvesClientCert>,
    Vec<CertificateDer<'static>>,
) {
    let made = rcgen::generate_simple_self_signed(["client".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let chain = vec![made.cert.der().clone()];
    let certified = tls::certified_key(chain.clone(), key).unwrap();
    let identity = rustls::sign::SingleCertAndKey::from(certified);
    (Arc::new(identity), chain)
}

fn server_that_asks_for_certificates() -> ServerConfig {
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certified = tls::certified_key(vec![made.cert.der().clone()], key).unwrap();
    let shown = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    tls::server_with(shown, Arc::new(AnyClient), ROLE).unwrap()
}

/// Serves whoever shows a certificate.
#[derive(Debug)]
struct AnyClient;

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        AnyCertificate::default().verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        AnyCertificate::default().verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        AnyCertificate::default().supported_verify_schemes()
    }
}

/// A pair that was connected once and has tickets from it, closed again.
fn resumable(sessions: fn(Tickets) -> Sessions) -> (Pair, Arc<AnyCertificate>, ClientConfig) {
    let verifier = Arc::new(AnyCertificate::default());
    let config = tls::client_with(verifier.clone(), sessions(Tickets::new())).unwrap();
    let mut pair = Pair::with(config.clone());
    pair.run();
    pair.client.close(pair.now, pair.conn, 0, "done");
    pair.forget();
    assert_eq!(verifier.asked(), 1);
    (pair, verifier, config)
}

impl Pair {
    fn connect_again(&mut self, config: &ClientConfig) {
        self.conn = self
            .client
            .connect(
                self.now,
                config.clone(),
                SERVER.parse().unwrap(),
                "localhost",
            )
            .unwrap();
    }

    /// What the client has to send now, all of it; each packet's arrival.
    fn flight_to_server(&mut self) -> Vec<HostTime> {
        self.collect();
        let packets: Vec<_> = self.to_server.drain(..).collect();
        packets.iter().map(|p| self.deliver_to_server(p)).collect()
    }

    fn flight_to_client(&mut self) {
        self.collect();
        let packets: Vec<_> = self.to_client.drain(..).collect();
        for packet in &packets {
            self.deliver_to_client(packet);
        }
    }

    /// Lets the time pass after which closed connections are forgotten, and their events go.
    fn forget(&mut self) {
        for _ in 0..50 {
            self.run();
            self.now += Duration::from_millis(100);
            self.client.handle_timeout(self.now);
            self.server.handle_timeout(self.now);
        }
        while self.client.poll_event().is_some() {}
        while self.server.poll_event().is_some() {}
    }
}

fn connected(engine: &mut Engine) -> EarlyData {
    match engine.poll_event() {
        Some(Event::Connected { early, .. }) => early,
        other => panic!("not connected but {other:?}"),
    }
}
