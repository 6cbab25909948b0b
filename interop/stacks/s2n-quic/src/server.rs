//! The server.

use std::error::Error;

use peer_common::options::Server as Options;
use peer_common::{Answers, unix_ns};
use s2n_quic::connection::Connection;
use s2n_quic::provider::endpoint_limits::{ConnectionAttempt, Limiter, Outcome};
use s2n_quic::provider::tls;
use s2n_quic::stream::BidirectionalStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::datagrams::Datagrams;

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let answers = Answers::new(options.answering.clone());
    let mut server = start(options, &answers)?;
    println!("listening on {}", server.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            conn = server.accept() => match conn {
                Some(conn) => drop(tokio::spawn(serve(conn, answers.clone()))),
                None => return Err("the endpoint has closed".into()),
            },
        }
    }
}

fn start(options: &Options, answers: &Answers) -> Result<s2n_quic::Server, Box<dyn Error>> {
    let tls = tls::default::Server::builder()
        .with_application_protocols(options.alpn.iter())?
        .with_certificate(options.cert.as_path(), options.key.as_path())?
        .build()?;
    let datagrams = match options.no_datagrams {
        true => Datagrams::none(),
        false => Datagrams::answering(answers.clone()),
    };
    Ok(s2n_quic::Server::builder()
        .with_tls(tls)?
        .with_io(options.listen)?
        .with_datagram(datagrams)?
        .with_endpoint_limits(Doorman {
            retry: options.retry,
        })?
        .start()?)
}

/// Lets everybody in, after a Retry if told so; it is not asked again about who comes with a token.
#[derive(Debug)]
struct Doorman {
    retry: bool,
}

impl Limiter for Doorman {
    fn on_connection_attempt(&mut self, _: &ConnectionAttempt<'_>) -> Outcome {
        if self.retry {
            Outcome::retry()
        } else {
            Outcome::allow()
        }
    }
}

async fn serve(mut conn: Connection, answers: Answers) {
    // An error ends the connection; its client will say so.
    while let Ok(Some(stream)) = conn.accept_bidirectional_stream().await {
        tokio::spawn(answer(stream, answers.clone()));
    }
}

async fn answer(mut stream: BidirectionalStream, answers: Answers) -> s2n_quic::stream::Result<()> {
    let mut request = Vec::new();
    let mut received_ns = 0;
    while let Some(data) = stream.receive().await? {
        received_ns = unix_ns();
        request.extend(data);
    }
    let answer = answers.to_stream(&request, received_ns);
    stream.send(answer.into()).await?;
    stream.close().await
}
