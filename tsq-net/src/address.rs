//! Addresses as people write them, with the zone that a link-local one needs (RFC 4007, section 11).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::socket::{interface_exists, interface_number};

/// An IP address, and behind which interface it is, if that has to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    ip: IpAddr,
    /// An interface's number, or 0.
    zone: u32,
}

/// Why words are no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// They are something else.
    NotAnAddress,
    /// An address stands there, and no port number behind it.
    NoPort,
    /// There may be such an address behind every interface.
    ZoneMissing {
        /// The address.
        ip: IpAddr,
    },
    /// The address is one for all interfaces.
    ZoneNotNeeded {
        /// The address.
        ip: IpAddr,
    },
    /// This host has no such interface.
    UnknownZone {
        /// Name or number, as written.
        zone: String,
    },
}

impl Address {
    /// Reads an address without brackets: `192.0.2.1`, `2001:db8::1`, `fe80::1%eth0`, `fe80::1%2`.
    ///
    /// # Errors
    /// [`BadAddress`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| BadAddress::NotAnAddress)?;
        let zone = match (zone, needs_zone(ip)) {
            (Some(zone), true) => number_of(zone)?,
            (Some(_), false) => return Err(BadAddress::ZoneNotNeeded { ip }),
            (None, true) => return Err(BadAddress::ZoneMissing { ip }),
            (None, false) => 0,
        };
        Ok(Self { ip, zone })
    }

    /// The address alone: what a certificate carries.
    pub fn ip(self) -> IpAddr {
        self.ip
    }

    /// With a port.
    pub fn at(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => (ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.zone).into(),
        }
    }
}

/// An address that needs no zone; one that does is as good as unreachable without.
impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        Self { ip, zone: 0 }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.zone {
            0 => self.ip.fmt(f),
            zone => write!(f, "{}%{zone}", self.ip),
        }
    }
}

/// Reads an address with its port: `192.0.2.1:443`, `[2001:db8::1]:443`, `[fe80::1%eth0]:443`.
///
/// # Errors
/// [`BadAddress`] says what is wrong with it.
pub fn socket_address(text: &str) -> Result<SocketAddr, BadAddress> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(BadAddress::NotAnAddress)?;
            let host = host.contains(':').then_some(host);
            (
                host.ok_or(BadAddress::NotAnAddress)?,
                after.strip_prefix(':'),
            )
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let address = Address::parse(host)?;
    let digits = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = digits.and_then(|digits| digits.parse().ok());
    Ok(address.at(port.ok_or(BadAddress::NoPort)?))
}

/// Link-local, also to many (RFC 4291, sections 2.5.6 and 2.7).
fn needs_zone(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local() || is_multicast_link_local(ip),
    }
}

fn is_multicast_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xff0f == 0xff02
}

/// The number of an interface of this host, by its number or name.
fn number_of(zone: &str) -> Result<u32, BadAddress> {
    let unknown = || BadAddress::UnknownZone { zone: zone.into() };
    let all_digits = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_digit());
    let number = if all_digits {
        zone.parse().ok().filter(|number| interface_exists(*number))
    } else {
        interface_number(zone)
    };
    number.ok_or_else(unknown)
}

impl std::error::Error for BadAddress {}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnAddress => f.write_str("not an address"),
            Self::NoPort => f.write_str("no port number from 0 to 65535 behind the address"),
            Self::ZoneMissing { ip } => write!(
                f,
                "{ip} is link-local and needs its interface, by name or number: {ip}%eth0"
            ),
            Self::ZoneNotNeeded { ip } => {
                write!(
                    f,
                    "{ip} is not link-local and has no interface (what follows %)"
                )
            }
            Self::UnknownZone { zone } => {
                write!(f, "this host has no interface \"{}\"", zone.escape_debug())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every host has `lo`, and its number is 1 in every network namespace.
    #[test]
    fn link_local_address_has_its_interface_by_name_or_number() {
        for text in ["fe80::1%lo", "fe80::1%1"] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), "fe80::1%1");
            assert_eq!(address.at(443).to_string(), "[fe80::1%1]:443");
        }
        assert_eq!(
            socket_address("[fe80::1%lo]:443").unwrap().to_string(),
            "[fe80::1%1]:443"
        );
        assert!(Address::parse("ff02::101%lo").is_ok());
    }

    #[test]
    fn zone_is_asked_for_where_it_is_needed_and_only_there() {
        for (text, words) in [
            ("fe80::1", "fe80::1 is link-local and needs its interface"),
            ("ff02::101", "needs its interface"),
            ("2001:db8::1%lo", "is not link-local"),
            ("192.0.2.1%lo", "is not link-local"),
            ("fe80::1%", "no interface \"\""),
            ("fe80::1%no-such-0", "no interface \"no-such-0\""),
            ("fe80::1%0", "no interface \"0\""),
            ("fe80::1%4294967295", "no interface"),
            ("fe80::1%99999999999", "no interface"),
            ("fe80::1%a\0b", "no interface \"a\\0b\""),
            ("", "not an address"),
            ("time.example", "not an address"),
            ("time.example%lo", "not an address"),
        ] {
            let error = Address::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn address_with_a_port_is_read_as_it_is_printed() {
        for text in [
            "192.0.2.7:443",
            "[::]:443",
            "[2001:db8::1]:65535",
            "127.0.0.1:0",
            "[::ffff:192.0.2.7]:1",
            "[fe80::1%1]:9",
        ] {
            assert_eq!(socket_address(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for (text, error) in [
            ("192.0.2.7", BadAddress::NoPort),
            ("192.0.2.7:", BadAddress::NoPort),
            ("192.0.2.7:+1", BadAddress::NoPort),
            ("192.0.2.7:65536", BadAddress::NoPort),
            ("2001:db8::1", BadAddress::NoPort),
            ("[2001:db8::1]", BadAddress::NoPort),
            ("[2001:db8::1]443", BadAddress::NoPort),
            ("[2001:db8::1", BadAddress::NotAnAddress),
            ("[192.0.2.7]:443", BadAddress::NotAnAddress),
            ("time.example:443", BadAddress::NotAnAddress),
            (":443", BadAddress::NotAnAddress),
            ("", BadAddress::NotAnAddress),
        ] {
            assert_eq!(socket_address(text), Err(error), "{text}");
        }
    }
}
