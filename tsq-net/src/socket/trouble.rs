//! What an error of a socket call means for the work that made the call.

use std::fmt;
use std::io;

use libc::c_int;

/// What an error of a socket call means: does it cost a packet, or end the work?
///
/// The same for every call of every program: an error that passes is a lost packet, and whoever waits for an answer
/// has its own patience for those. The numbers are in the table of this module's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// This host could not send or receive just now: one packet is lost, and the next may get through.
    Passing,
    /// There is no way to the peer at the moment. It may come back: a link, a route or an address that is not up yet.
    NoPath,
    /// The peer's host says that nobody has the port.
    Refused,
    /// The path, or the interface it begins at, takes no packet of this length.
    TooLong,
    /// The next call would fail alike.
    Final,
}

impl Trouble {
    /// What this error means.
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::of_errno(errno),
            None => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
                | io::ErrorKind::TimedOut => Self::Passing,
                io::ErrorKind::ConnectionRefused => Self::Refused,
                _ => Self::Final,
            },
        }
    }

    /// As [`Self::of`], by the system's number.
    pub fn of_errno(errno: i32) -> Self {
        entry(errno).map_or(Self::Final, |(_, trouble, _)| *trouble)
    }

    /// The system's words and number, and what they mean here where that is not plain.
    pub fn explain(errno: i32) -> String {
        let words = io::Error::from_raw_os_error(errno);
        match entry(errno) {
            Some((_, _, meaning)) if !meaning.is_empty() => format!("{words}: {meaning}"),
            _ => words.to_string(),
        }
    }
}

fn entry(errno: i32) -> Option<&'static (c_int, Trouble, &'static str)> {
    TABLE.iter().find(|(known, _, _)| *known == errno)
}

/// Every error that is not final, from the manual pages of the calls and from what the kernel makes of ICMP messages
/// (RFC 1122, section 3.2.2; RFC 4443, section 3). What is not here will be the same the next time: no such address
/// family (EAFNOSUPPORT), a route or a policy that forbids (EACCES, EINVAL), no socket (EBADF).
const TABLE: [(c_int, Trouble, &str); 19] = [
    // The socket's own buffer is full, or nothing is there.
    (
        libc::EAGAIN,
        Trouble::Passing,
        "the socket's buffer is full",
    ),
    (libc::EINTR, Trouble::Passing, ""),
    (
        libc::ENOBUFS,
        Trouble::Passing,
        "the send queue of this host's interface is full",
    ),
    (libc::ENOMEM, Trouble::Passing, ""),
    (libc::EMFILE, Trouble::Passing, ""),
    (libc::ENFILE, Trouble::Passing, ""),
    // The packet filter tells the sender so. Rules are loaded anew, and limits of rates pass.
    (
        libc::EPERM,
        Trouble::Passing,
        "a packet filter of this host lets it not out",
    ),
    (libc::ETIMEDOUT, Trouble::Passing, ""),
    // A client that is gone before it was accepted.
    (libc::ECONNABORTED, Trouble::Passing, ""),
    (libc::ENETDOWN, Trouble::NoPath, ""),
    (libc::ENETUNREACH, Trouble::NoPath, ""),
    (libc::EHOSTUNREACH, Trouble::NoPath, ""),
    (libc::EHOSTDOWN, Trouble::NoPath, ""),
    (libc::ENONET, Trouble::NoPath, ""),
    // IPv6 while the address to send from is still looked for twice on the link, or was taken away.
    (
        libc::EADDRNOTAVAIL,
        Trouble::NoPath,
        "this host has no address to send from yet",
    ),
    (libc::ENODEV, Trouble::NoPath, "the interface is gone"),
    (libc::ECONNREFUSED, Trouble::Refused, ""),
    (libc::ECONNRESET, Trouble::Refused, ""),
    (libc::EMSGSIZE, Trouble::TooLong, ""),
];

/// Packets that this host did not send, for whoever is told in the end that no answer came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsent {
    count: u32,
    errno: i32,
}

impl Unsent {
    /// One more, for this reason.
    pub fn note(&mut self, error: &io::Error) {
        self.count = self.count.saturating_add(1);
        self.errno = error.raw_os_error().unwrap_or(libc::EAGAIN);
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// A clause for a longer message; None if there were none.
    pub fn clause(&self) -> Option<String> {
        (self.count > 0).then(|| self.to_string())
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packets = match self.count {
            1 => "1 packet".into(),
            count => format!("{count} packets"),
        };
        let why = Trouble::explain(self.errno);
        write!(f, "{packets} did not leave this host: {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_socket_call_has_its_meaning() {
        for (trouble, errors) in [
            (
                Trouble::Passing,
                &[
                    libc::EAGAIN,
                    libc::EWOULDBLOCK,
                    libc::EINTR,
                    libc::ENOBUFS,
                    libc::ENOMEM,
                    libc::EMFILE,
                    libc::ENFILE,
                    libc::EPERM,
                    libc::ETIMEDOUT,
                    libc::ECONNABORTED,
                ][..],
            ),
            (
                Trouble::NoPath,
                &[
                    libc::ENETDOWN,
                    libc::ENETUNREACH,
                    libc::EHOSTUNREACH,
                    libc::EHOSTDOWN,
                    libc::ENONET,
                    libc::EADDRNOTAVAIL,
                    libc::ENODEV,
                ],
            ),
            (Trouble::Refused, &[libc::ECONNREFUSED, libc::ECONNRESET]),
            (Trouble::TooLong, &[libc::EMSGSIZE]),
            (
                Trouble::Final,
                &[
                    libc::EACCES,
                    libc::EAFNOSUPPORT,
                    libc::EBADF,
                    libc::EINVAL,
                    libc::ENOTSOCK,
                    libc::EADDRINUSE,
                    libc::EPROTO,
                    0,
                ],
            ),
        ] {
            for errno in errors {
                let error = io::Error::from_raw_os_error(*errno);
                assert_eq!(Trouble::of(&error), trouble, "{error}");
            }
        }
    }

    #[test]
    fn no_error_stands_twice_in_the_table() {
        for (index, (errno, _, _)) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|(other, _, _)| other == errno);
            assert_eq!(first, Some(index), "{errno}");
        }
    }

    #[test]
    fn errors_that_are_not_the_systems_have_a_meaning_too() {
        for (kind, trouble) in [
            (io::ErrorKind::WouldBlock, Trouble::Passing),
            (io::ErrorKind::Interrupted, Trouble::Passing),
            (io::ErrorKind::TimedOut, Trouble::Passing),
            (io::ErrorKind::ConnectionRefused, Trouble::Refused),
            (io::ErrorKind::UnexpectedEof, Trouble::Final),
        ] {
            assert_eq!(Trouble::of(&kind.into()), trouble, "{kind}");
        }
    }

    #[test]
    fn unsent_packets_are_told_with_their_number_and_the_last_reason() {
        let mut unsent = Unsent::default();
        assert_eq!(unsent.clause(), None);
        unsent.note(&io::ErrorKind::WouldBlock.into());
        assert!(unsent.to_string().starts_with("1 packet did not leave"));
        unsent.note(&io::Error::from_raw_os_error(libc::ENOBUFS));
        let words = unsent.clause().unwrap();
        assert!(words.starts_with("2 packets did not leave this host: No buffer space"));
        assert!(
            words.contains("(os error 105)") && words.ends_with("is full"),
            "{words}"
        );
    }
}
