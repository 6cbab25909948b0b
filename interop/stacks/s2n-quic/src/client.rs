//! The client's run.

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use peer_common::options::{Client as Options, Transport};
use peer_common::{Exchange, RESEND, Report, Sample, error_code, malformed, unix_ns};
use s2n_quic::client::Connect;
use s2n_quic::connection::{Connection, Handle};
use s2n_quic::provider::{limits::Limits, tls};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::datagrams::{Arrived, Datagrams, Outbox};
use crate::sessions::Sessions;

pub(crate) async fn run(options: &Options) -> ExitCode {
    let mut report = Report::new(options.count);
    let asking = ask_all(options, &mut report);
    let outcome = match timeout(options.limit(), asking).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err("not done in time".into()),
    };
    report.print(outcome)
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

async fn ask_all(options: &Options, report: &mut Report) -> Outcome<()> {
    if options.migrate || options.early {
        return Err("s2n-quic's client cannot do that".into());
    }
    let sessions = Sessions::default();
    if options.resume {
        let conn = connect(options, Datagrams::none(), &sessions).await?;
        if !sessions.has_ticket().await {
            return Err("no session ticket came".into());
        }
        conn.close(0_u32.into());
    }
    let (datagrams, mut arrivals) = Datagrams::kept();
    let conn = connect(options, datagrams, &sessions).await?;
    let alpn = conn.application_protocol()?;
    report.alpn = Some(String::from_utf8_lossy(&alpn).into_owned());
    let start = Instant::now();
    if options.malformed {
        let (answer, _) = on_stream(conn.handle(), malformed().to_vec()).await?;
        report.error_code = error_code(&answer);
    } else {
        match options.transport {
            Transport::Datagram => by_datagrams(&conn, options, &mut arrivals, report).await?,
            Transport::Stream => by_streams(&conn, options, report).await?,
        }
    }
    if options.resume {
        // s2n-tls says it of a connection only in its callbacks.
        report.resumed = sessions.have_resumed().await;
    }
    report.elapsed_ns = start.elapsed().as_nanos();
    conn.close(0_u32.into());
    Ok(())
}

async fn connect(
    options: &Options,
    datagrams: Datagrams,
    sessions: &Sessions,
) -> Outcome<Connection> {
    let mut tls = tls::default::Client::builder()
        .with_empty_trust_store()?
        .with_certificate(options.ca.as_path())?
        .with_application_protocols(options.alpn.iter())?;
    if options.resume {
        sessions.install(tls.config_mut())?;
    }
    let limits = Limits::new().with_max_open_local_bidirectional_streams(1000)?;
    let client = s2n_quic::Client::builder()
        .with_tls(tls.build()?)?
        .with_io("127.0.0.1:0")?
        .with_limits(limits)?
        .with_datagram(datagrams)?
        .start()?;
    let server = Connect::new(options.server).with_server_name(options.server_name.as_str());
    Ok(client.connect(server).await?)
}

// tsq: C4
async fn by_datagrams(
    conn: &Connection,
    options: &Options,
    arrivals: &mut UnboundedReceiver<Arrived>,
    report: &mut Report,
) -> Outcome<()> {
    let mut waiting: Vec<Exchange> = Vec::new();
    let mut given_up: Vec<Exchange> = Vec::new();
    while report.answered < options.count {
        while waiting.len() < options.window().min(options.count - report.answered) {
            waiting.push(send_datagram(conn, options)?);
        }
        let Ok(arrived) = timeout(RESEND, arrivals.recv()).await else {
            // The loop above asks anew.
            given_up.append(&mut waiting);
            continue;
        };
        let (answer, received_ns) = arrived.ok_or("the connection is over")?;
        let answered = |exchange: &Exchange| exchange.is_answered_by(&answer);
        if let Some(at) = waiting.iter().position(answered) {
            report.add(waiting.remove(at).finish(&answer, received_ns)?);
        } else if !given_up.iter().any(answered) {
            return Err("a datagram with a nonce of no request".into());
        }
    }
    Ok(())
}

fn send_datagram(conn: &Connection, options: &Options) -> Outcome<Exchange> {
    let exchange = Exchange::begin(&options.ask);
    let request = exchange.request().to_vec();
    match conn.datagram_mut(|outbox: &mut Outbox| outbox.send(request))? {
        true => Ok(exchange),
        false => Err("the server takes no datagrams".into()),
    }
}

async fn by_streams(conn: &Connection, options: &Options, report: &mut Report) -> Outcome<()> {
    let mut running = JoinSet::new();
    for _ in 0..options.count {
        if running.len() == options.window() {
            take(running.join_next().await, report)?;
        }
        running.spawn(exchange_on_stream(conn.handle(), options.ask.clone()));
    }
    while let Some(sample) = running.join_next().await {
        take(Some(sample), report)?;
    }
    Ok(())
}

type Joined = Option<Result<Outcome<Sample>, tokio::task::JoinError>>;

fn take(sample: Joined, report: &mut Report) -> Outcome<()> {
    if let Some(sample) = sample {
        report.add(sample??);
    }
    Ok(())
}

async fn exchange_on_stream(mut handle: Handle, ask: peer_common::options::Ask) -> Outcome<Sample> {
    // Only a stream that the server grants can be opened: T1 is after that wait.
    let stream = handle.open_bidirectional_stream().await?;
    let exchange = Exchange::begin(&ask);
    let (answer, received_ns) = converse(stream, exchange.request().to_vec()).await?;
    Ok(exchange.finish(&answer, received_ns)?)
}

async fn on_stream(mut handle: Handle, request: Vec<u8>) -> Outcome<(Vec<u8>, i64)> {
    converse(handle.open_bidirectional_stream().await?, request).await
}

async fn converse(
    mut stream: s2n_quic::stream::BidirectionalStream,
    request: Vec<u8>,
) -> Outcome<(Vec<u8>, i64)> {
    stream.send(request.into()).await?;
    stream.finish()?;
    let (mut answer, mut received_ns) = (Vec::new(), 0);
    while let Some(data) = stream.receive().await? {
        received_ns = unix_ns();
        answer.extend(data);
    }
    Ok((answer, received_ns))
}
