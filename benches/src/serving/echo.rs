//! A UDP server that does nothing: what is left of the cost when protocol and cryptography are gone.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use clap::ValueEnum;
use tsq_net::{Batch, SendOptions, Socket, wait};

use crate::Error;

/// Options of `echo-server`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Which loop
    #[arg(long)]
    pub kind: Kind,
    /// Bytes of each answer
    #[arg(long, value_name = "BYTES")]
    pub answer: usize,
}

/// How the echo server receives and sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// One packet a system call, no timestamps.
    Plain,
    /// The socket of tsq-net: batches, kernel receive timestamps, answers sent at once.
    Stamped,
}

/// Serves until killed; the first line printed says where.
///
/// # Errors
/// Those of the socket calls.
pub fn serve(options: &Options) -> Result<(), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    match options.kind {
        Kind::Plain => plain(address, options.answer),
        Kind::Stamped => stamped(address, options.answer),
    }
}

fn plain(address: SocketAddr, answer: usize) -> Result<(), Error> {
    let socket = UdpSocket::bind(address)?;
    println!("listening on {}", socket.local_addr()?);
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let (_, remote) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..answer], remote)?;
    }
}

fn stamped(address: SocketAddr, answer: usize) -> Result<(), Error> {
    let mut socket = Socket::bind(address)?;
    println!("listening on {}", socket.local_addr());
    let mut batch = Batch::new();
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        wait(&[&socket], None, None)?;
        let count = socket.receive(&mut batch)?;
        for i in 0..count {
            let Some(packet) = batch.packet(i) else {
                continue;
            };
            let length = packet.bytes.len();
            buffer[..length].copy_from_slice(packet.bytes);
            socket.send(packet.remote, &buffer[..answer], SendOptions::default())?;
        }
    }
}

const MAX_PACKET: usize = 2048;
