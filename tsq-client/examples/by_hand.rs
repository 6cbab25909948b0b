//! Drives the core with sockets of one's own: any UDP will do, at the cost of exactness where nobody else stamps packets.
//!
//! `cargo run -p tsq-client --example by_hand -- PIN HOST[:PORT]`

#![forbid(unsafe_code)]

use std::net::{ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use tsq_client::{Client, Event, Now, Options, Said, Server, Target, Trust};
use tsq_net::{ClockPair, ConnId, Departure, Stamp, tls};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [pin, host] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "usage: by_hand PIN HOST[:PORT]")?;
    let server = Server::new(Target::parse(&host, 443)?, Trust::pins(vec![pin.parse()?]));
    let begun = read_clocks();
    let mut client = Client::new(vec![server], Options::default(), tls::provider(), &begun);
    let mut sockets: Vec<(ConnId, UdpSocket)> = Vec::new();
    let (mut buffer, mut closed) = (Vec::new(), false);

    client.begin(&begun, begun.instant + Duration::from_secs(3));
    loop {
        while let Some(event) = client.poll_event() {
            match event {
                Event::Resolve { server, target } => {
                    let name = target.certificate_name();
                    let found = (name.as_str(), target.port).to_socket_addrs();
                    let result = found
                        .map(Iterator::collect)
                        .map_err(|error| error.to_string());
                    client.resolved(&read_clocks(), server, result);
                }
                Event::Open { link, remote } => match connected(remote) {
                    Ok(socket) => sockets.push((link, socket)),
                    Err(error) => client.unopened(&read_clocks(), link, &error),
                },
                Event::Close { link } => sockets.retain(|(id, _)| *id != link),
                Event::Measured(reports) => {
                    for answer in reports[0].accepted() {
                        let sample = &answer.sample;
                        println!("{} ± {:?}", sample.offset, sample.delay / 2);
                    }
                    reports[0]
                        .failure
                        .iter()
                        .for_each(|failure| println!("{failure}"));
                    client.close(&read_clocks());
                }
                Event::Closed => closed = true,
                _ => {}
            }
        }
        while let Some(packet) = client.poll_transmit(&read_clocks(), &mut buffer) {
            let Some((_, socket)) = sockets.iter().find(|(link, _)| *link == packet.link) else {
                continue;
            };
            let (id, before) = (None, tsq_net::now());
            match socket.send(&buffer) {
                Ok(_) => client.sent(&read_clocks(), &packet, Departure { id, before }),
                Err(error) => client.unsent(&read_clocks(), &packet, &error),
            }
        }
        if closed {
            return Ok(());
        }
        for (link, socket) in &sockets {
            let mut packet = [0; 2048];
            match socket.recv(&mut packet) {
                Ok(length) => {
                    let stamp = Stamp::user(tsq_net::now());
                    client.handle_packet(&read_clocks(), *link, &packet[..length], stamp);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => client.handle_error(&read_clocks(), *link, &error, Said::ByNetwork),
            }
        }
        client.handle_timeout(&read_clocks());
        // A program with more to do waits for its sockets instead, until `Client::poll_timeout` at the latest.
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn connected(remote: std::net::SocketAddr) -> std::io::Result<UdpSocket> {
    let any = if remote.is_ipv6() {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn read_clocks() -> Now {
    Now {
        clocks: ClockPair::read(),
        instant: Instant::now(),
    }
}
