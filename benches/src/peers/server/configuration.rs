//! What each server is told: serve this machine's clock here, and nothing else.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::Nts;

/// Of the seed in [`roughenough`]'s configuration.
pub(super) const ROUGHTIME_KEY: &str =
    "d0756ee69ff5fe96cbcf9273208fec53124b1dd3a24d3910e07c7c54e2473012";
/// No secret: it serves a measurement.
const ROUGHTIME_SEED: &str = "a32049da0ffde0ded92ce10a0230d35fe615ec8461c14986baa63fe3b3bac3db";

pub(super) fn chronyd(address: SocketAddr, nts: Option<&Nts>, folder: &Path) -> String {
    let (ip, port, folder) = (address.ip(), address.port(), folder.display());
    let mut text = format!(
        "port {port}\nbindaddress {ip}\nallow all\nlocal stratum 8\ncmdport 0\nbindcmdaddress /\n\
         pidfile {folder}/pid\n"
    );
    if let Some(nts) = nts {
        let (cert, key) = (&nts.certificate.cert, &nts.certificate.key);
        // It forks helpers otherwise, whose processor time would not be counted.
        let _ = writeln!(
            text,
            "ntsport {}\nntsserverkey {key}\nntsservercert {cert}\nntsdumpdir {folder}\nntsprocesses 0",
            nts.port
        );
    }
    text
}

pub(super) fn ntpd_rs(address: SocketAddr, nts: Option<&Nts>, folder: &Path) -> String {
    let keys = folder.join("keys");
    let mut text = format!(
        "[observability]\nlog-level = \"warn\"\n[[server]]\nlisten = \"{address}\"\n\
         [synchronization]\nlocal-stratum = 8\n"
    );
    if let Some(nts) = nts {
        let (cert, key) = (&nts.certificate.cert, &nts.certificate.key);
        let _ = writeln!(
            text,
            "[[nts-ke-server]]\nlisten = \"{}:{}\"\ncertificate-chain-path = \"{cert}\"\n\
             private-key-path = \"{key}\"\nntp-port = {}\n[keyset]\nkey-storage-path = \"{}\"",
            address.ip(),
            nts.port,
            address.port(),
            keys.display()
        );
    }
    text
}

/// Out of the box it answers one host only so often.
pub(super) fn ntpsec(address: SocketAddr) -> String {
    format!(
        "interface ignore wildcard\ninterface listen {ip}\nrestrict default nomodify noquery\n\
         restrict {ip}\ntos orphan 8 orphanwait 1\n",
        ip = address.ip()
    )
}

pub(super) fn roughenough(address: SocketAddr) -> String {
    format!(
        // One thread, as all the others but ntpd-rs have.
        "interface: {}\nport: {}\nseed: {ROUGHTIME_SEED}\nnum_workers: 1\n",
        address.ip(),
        address.port()
    )
}

#[cfg(test)]
mod tests {
    use tsq_interop::ServerCert;

    use super::*;

    #[test]
    fn authenticated_servers_name_certificate_and_port() {
        let address = "127.0.0.11:123".parse().unwrap();
        let nts = Nts {
            certificate: ServerCert {
                cert: "/c.pem".into(),
                key: "/k.pem".into(),
            },
            authority: "/ca.pem".into(),
            port: 4461,
        };
        let folder = Path::new("/tmp/x");
        let text = chronyd(address, Some(&nts), folder);
        assert!(
            text.contains("\nntsport 4461\n") && text.contains("/k.pem"),
            "{text}"
        );
        assert!(!chronyd(address, None, folder).contains("nts"));
        let text = ntpd_rs(address, Some(&nts), folder);
        assert!(text.contains("listen = \"127.0.0.11:4461\""), "{text}");
        assert!(!ntpd_rs(address, None, folder).contains("nts"));
    }
}
