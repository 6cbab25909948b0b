//! A program that serves its host's time beside its own work, with a certificate of its own, until its input ends.
//!
//! `cargo run -p tsq-server --example embed -- 127.0.0.1:4430`

#![forbid(unsafe_code)]

use std::error::Error;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tsq_certs::{Lifetime, make_self_signed};
use tsq_net::{Role, tls};
use tsq_server::service::Service;
use tsq_server::teller::Teller;

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".into());
    let made = make_self_signed(&["localhost".into()], Lifetime::days(30)?)?;
    let chain = vec![CertificateDer::from_pem_slice(made.cert_pem.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(made.key_pem.as_bytes())?;
    let role = Role::Server {
        streams: 16,
        idle: Duration::from_secs(30),
        buffer: 16 * 1024,
    };
    let config = tls::server(tls::certified_key(chain, key)?, role)?;
    // Says that this host's clock is right: see `Telling` for one that is watched.
    let teller = Teller::vouching(tsq_net::now());
    let service = Service::bind(address.parse()?, config, teller)?;
    println!("serving {}, pin {}", service.address(), made.pin);
    let stopper = service.stopper();
    let thread = std::thread::spawn(move || service.run());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    stopper.stop();
    let counts = thread.join().map_err(|_| "the server panicked")??;
    println!("{} answers", counts.datagrams + counts.streams);
    Ok(())
}
