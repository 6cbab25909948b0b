//! The client's run.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use peer_common::options::{Client, Transport};
use peer_common::{Exchange, RESEND, Report, error_code, malformed};
use quiche::Connection;

use crate::link::{Link, words};
use crate::udp::PACKET;

pub(crate) fn run(options: &Client) -> ExitCode {
    let mut report = Report::new(options.count);
    let outcome = ask_all(options, &mut report);
    report.print(outcome)
}

fn ask_all(options: &Client, report: &mut Report) -> Result<(), String> {
    let deadline = Instant::now() + options.limit();
    let session = match options.resume || options.early {
        true => Some(session(options, deadline)?),
        false => None,
    };
    let mut link = Link::open(options, session.as_deref(), deadline)?;
    if options.early {
        link.flush()?;
        if !link.conn.is_in_early_data() {
            return Err("the ticket does not allow 0-RTT".into());
        }
    } else {
        link.run_until("handshake", Connection::is_established)?;
    }
    if options.malformed {
        report.error_code = Some(ask_malformed(&mut link)?);
    } else {
        Asking::new(options).run(&mut link, report)?;
    }
    link.run_until("handshake", Connection::is_established)?;
    let alpn = link.conn.application_proto();
    report.alpn = Some(String::from_utf8_lossy(alpn).into_owned());
    report.resumed = link.conn.is_resumed();
    report.early = link.conn.early_data_reason() == EARLY_DATA_ACCEPTED;
    link.close();
    Ok(())
}

/// `ssl_early_data_accepted` of BoringSSL.
const EARLY_DATA_ACCEPTED: u32 = 2;

/// Connects once for a ticket.
// tsq: C3
fn session(options: &Client, deadline: Instant) -> Result<Vec<u8>, String> {
    let mut link = Link::open(options, None, deadline)?;
    link.run_until("session ticket", |conn| conn.session().is_some())?;
    let session = link.conn.session().unwrap_or_default().to_vec();
    link.close();
    Ok(session)
}

// tsq: M2 T7
fn ask_malformed(link: &mut Link) -> Result<u8, String> {
    link.conn.stream_send(0, malformed(), true).map_err(words)?;
    let mut answer = Vec::new();
    while !read_stream(&mut link.conn, 0, &mut answer) {
        link.step("Error")?;
    }
    error_code(&answer).ok_or_else(|| format!("no Error but {answer:?}"))
}

/// The exchanges of one connection.
struct Asking<'a> {
    options: &'a Client,
    sent: u64,
    /// By stream; in the order sent for datagrams.
    waiting: HashMap<u64, (Exchange, Vec<u8>)>,
    given_up: Vec<Exchange>,
    last_answer: Instant,
    moved: bool,
}

impl<'a> Asking<'a> {
    fn new(options: &'a Client) -> Self {
        Self {
            options,
            sent: 0,
            waiting: HashMap::new(),
            given_up: Vec::new(),
            last_answer: Instant::now(),
            moved: !options.migrate,
        }
    }

    fn run(&mut self, link: &mut Link, report: &mut Report) -> Result<(), String> {
        let start = Instant::now();
        while report.answered < self.options.count {
            while self.may_send(&link.conn, report) {
                self.send(&mut link.conn)?;
            }
            link.step("answer")?;
            self.collect(link, report)?;
            self.give_up_lost();
            if !self.moved && report.answered > 0 {
                link.migrate()?;
                self.moved = true;
                report.addresses += 1;
            }
        }
        report.elapsed_ns = start.elapsed().as_nanos();
        Ok(())
    }

    fn may_send(&self, conn: &Connection, report: &Report) -> bool {
        let credit = match self.options.transport {
            Transport::Datagram => !conn.is_dgram_send_queue_full(),
            Transport::Stream => conn.peer_streams_left_bidi() > 0,
        };
        let wanted = self.options.count - report.answered;
        credit && self.waiting.len() < self.options.window().min(wanted)
    }

    /// QUIC sends again what streams carried, and nothing of datagrams.
    fn give_up_lost(&mut self) {
        if self.options.transport == Transport::Datagram && self.last_answer.elapsed() > RESEND {
            let lost = self.waiting.drain().map(|(_, (exchange, _))| exchange);
            self.given_up.extend(lost);
            self.last_answer = Instant::now();
        }
    }

    // tsq: C4
    fn send(&mut self, conn: &mut Connection) -> Result<(), String> {
        let exchange = Exchange::begin(&self.options.ask);
        let id = self.sent * 4;
        match self.options.transport {
            Transport::Datagram => conn.dgram_send(exchange.request()).map_err(words)?,
            Transport::Stream => conn
                .stream_send(id, exchange.request(), true)
                .map(drop)
                .map_err(words)?,
        }
        self.waiting.insert(id, (exchange, Vec::new()));
        self.sent += 1;
        Ok(())
    }

    fn collect(&mut self, link: &mut Link, report: &mut Report) -> Result<(), String> {
        let received_ns = link.received_ns;
        let mut finished = Vec::new();
        match self.options.transport {
            Transport::Datagram => self.read_datagrams(&mut link.conn, &mut finished)?,
            Transport::Stream => {
                for (id, (_, answer)) in &mut self.waiting {
                    if read_stream(&mut link.conn, *id, answer) {
                        finished.push(*id);
                    }
                }
            }
        }
        for id in finished {
            if let Some((exchange, answer)) = self.waiting.remove(&id) {
                report.add(exchange.finish(&answer, received_ns)?);
                self.last_answer = Instant::now();
            }
        }
        Ok(())
    }

    fn read_datagrams(
        &mut self,
        conn: &mut Connection,
        finished: &mut Vec<u64>,
    ) -> Result<(), String> {
        let mut buffer = [0; PACKET];
        while let Ok(length) = conn.dgram_recv(&mut buffer) {
            let message = &buffer[..length];
            let answered = |exchange: &Exchange| exchange.is_answered_by(message);
            let waiting = self.waiting.iter_mut().find(|(_, (one, _))| answered(one));
            if let Some((id, (_, answer))) = waiting {
                *answer = message.to_vec();
                finished.push(*id);
            } else if !self.given_up.iter().any(answered) {
                return Err("a datagram with a nonce of no request".into());
            }
        }
        Ok(())
    }
}

/// Reads what has come of a stream; true when that was all of it.
fn read_stream(conn: &mut Connection, id: u64, answer: &mut Vec<u8>) -> bool {
    let mut buffer = [0; PACKET];
    while let Ok((length, end)) = conn.stream_recv(id, &mut buffer) {
        answer.extend(&buffer[..length]);
        if end {
            return true;
        }
    }
    false
}
