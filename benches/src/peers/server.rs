//! A server that runs until it is dropped.

mod configuration;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tsq_interop::{Process, ServerCert, faketime};

use super::{End, Protocol, Tools, Trust};
use crate::load::plain::{Ntp, Protocol as _};
use crate::{Error, no_clock};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// chrony: NTP, and NTS when it is given a certificate.
    Chronyd,
    /// ntpd-rs: the same; with no source of its own it says that it is not synchronised.
    NtpdRs,
    /// NTPsec's ntpd: NTP, at port 123 of an address that an interface has, such as 127.0.0.1, only.
    Ntpsec,
    /// busybox ntpd: NTP, at port 123 of every address only.
    Busybox,
    /// roughenough: Roughtime.
    Roughenough,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Chronyd,
        Self::NtpdRs,
        Self::Ntpsec,
        Self::Busybox,
        Self::Roughenough,
    ];

    /// What the tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Chronyd => "chronyd",
            Self::NtpdRs => "ntpd-rs",
            Self::Ntpsec => "ntpsec ntpd",
            Self::Busybox => "busybox ntpd",
            Self::Roughenough => "roughenough",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Chronyd => "chronyd",
            Self::NtpdRs => "ntp-daemon",
            Self::Ntpsec => "ntpd",
            Self::Busybox => "busybox",
            Self::Roughenough => "roughenough-server",
        }
    }

    /// Whether it serves at the port of NTP and no other: then it needs a network namespace.
    #[must_use]
    pub fn has_fixed_port(self) -> bool {
        matches!(self, Self::Ntpsec | Self::Busybox)
    }

    fn exchanges_keys(self) -> bool {
        matches!(self, Self::Chronyd | Self::NtpdRs)
    }

    fn protocol(self) -> Protocol {
        match self {
            Self::Roughenough => Protocol::Roughtime,
            _ => Protocol::Ntp,
        }
    }
}

/// How a server shows who it is by NTS.
#[derive(Clone, Debug)]
pub struct Nts {
    /// Its certificate, which names its address and that of a relay before it.
    pub certificate: ServerCert,
    /// The authority its clients believe, PEM.
    pub authority: String,
    /// The TCP port at which keys are exchanged; 0 takes an unused one.
    pub port: u16,
}

/// A running server; killed on drop. It serves this machine's clock, and cannot set it.
#[derive(Debug)]
pub struct PeerServer {
    kind: Kind,
    process: Process,
    address: SocketAddr,
    nts: Option<Trust>,
    _folder: TempDir,
}

impl PeerServer {
    /// Starts it at this address (port 0 takes an unused one), and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, or does not serve within 15 s; says why in one line.
    pub fn start(
        kind: Kind,
        address: SocketAddr,
        nts: Option<&Nts>,
        tools: &Tools,
    ) -> Result<Self, Error> {
        Self::start_shifted(kind, address, nts, tools, None)
    }

    /// The same with a clock that is off by a shift, such as `+10s`: a server that lies.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_shifted(
        kind: Kind,
        address: SocketAddr,
        nts: Option<&Nts>,
        tools: &Tools,
        shift: Option<&str>,
    ) -> Result<Self, Error> {
        let program = tools.find(kind.program())?;
        let address = unused_udp(address)?;
        if kind.has_fixed_port() && address != NTP_HERE {
            return Err(format!("{} serves at {NTP_HERE} only", kind.name()).into());
        }
        let nts = match nts {
            Some(nts) if kind.exchanges_keys() => Some(Nts {
                port: unused_tcp(SocketAddr::new(address.ip(), nts.port))?.port(),
                ..nts.clone()
            }),
            _ => None,
        };
        let folder = tempfile::tempdir()?;
        let mut command = command(kind, &program, address, nts.as_ref(), folder.path())?;
        if let Some(shift) = shift {
            command = faketime(command, shift);
        }
        let process = no_clock::guarded(move || Process::start(command))?;
        let server = Self {
            kind,
            process,
            address,
            nts: nts.map(|nts| Trust::Authority {
                file: nts.authority,
                key_exchange: nts.port,
            }),
            _folder: folder,
        };
        server.wait_until_it_serves()?;
        Ok(server)
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whose processor time and memory to look at.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// How a client of this protocol finds it; None when it does not speak it.
    #[must_use]
    pub fn end(&self, protocol: Protocol) -> Option<End> {
        let trust = match protocol {
            Protocol::Nts => self.nts.clone()?,
            Protocol::Ntp if self.kind != Kind::Roughenough => Trust::Nothing,
            Protocol::Roughtime if self.kind == Kind::Roughenough => {
                Trust::Key(configuration::ROUGHTIME_KEY.into())
            }
            _ => return None,
        };
        Some(End {
            address: self.address,
            trust,
        })
    }

    fn wait_until_it_serves(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if self.serves()? && self.takes_key_exchanges() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
        let lines = self.process.lines();
        let last = lines.last().map_or("nothing", String::as_str);
        let name = self.kind.name();
        Err(format!(
            "{name} does not serve at {}; its last word: {last}",
            self.address
        )
        .into())
    }

    fn serves(&self) -> Result<bool, Error> {
        if self.kind.protocol() == Protocol::Roughtime {
            let lines = self.process.lines();
            return Ok(lines
                .iter()
                .any(|line| line.contains("Server listening on")));
        }
        let mut here = self.address;
        here.set_port(0);
        let socket = UdpSocket::bind(here)?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (mut request, mut answer) = (Vec::new(), [0; 512]);
        Ntp.request(1, &mut request);
        // Nobody listens yet: the kernel may say so, and no more.
        let _ = socket.send_to(&request, self.address);
        let Ok(length) = socket.recv(&mut answer) else {
            return Ok(false);
        };
        Ok(Ntp.check(&answer[..length]).is_some())
    }

    fn takes_key_exchanges(&self) -> bool {
        let Some(Trust::Authority { key_exchange, .. }) = self.nts else {
            return true;
        };
        TcpStream::connect((self.address.ip(), key_exchange)).is_ok()
    }
}

/// Where those with a fixed port are.
const NTP_HERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 123));
const START_LIMIT: Duration = Duration::from_secs(15);

fn command(
    kind: Kind,
    program: &Path,
    address: SocketAddr,
    nts: Option<&Nts>,
    folder: &Path,
) -> Result<Command, Error> {
    let file = folder.join("conf");
    let text = match kind {
        Kind::Chronyd => configuration::chronyd(address, nts, folder),
        Kind::NtpdRs => configuration::ntpd_rs(address, nts, folder),
        Kind::Ntpsec => configuration::ntpsec(address),
        Kind::Busybox => String::new(),
        Kind::Roughenough => configuration::roughenough(address),
    };
    fs::write(&file, text)?;
    let mut command = Command::new(program);
    match kind {
        // -x: the clock is not touched, whatever the configuration says.
        Kind::Chronyd => command.args(["-x", "-d", "-u", "root", "-f"]).arg(file),
        Kind::NtpdRs => command.arg("-c").arg(file),
        Kind::Ntpsec => command.args(["-n", "-N", "-c"]).arg(file),
        Kind::Busybox => command.args(["ntpd", "-n", "-l"]),
        Kind::Roughenough => command.arg(file),
    };
    Ok(command)
}

/// The address with a port nobody has: most of them cannot be asked which they took.
fn unused_udp(address: SocketAddr) -> Result<SocketAddr, Error> {
    match address.port() {
        0 => Ok(UdpSocket::bind(address)?.local_addr()?),
        _ => Ok(address),
    }
}

fn unused_tcp(address: SocketAddr) -> Result<SocketAddr, Error> {
    match address.port() {
        0 => Ok(TcpListener::bind(address)?.local_addr()?),
        _ => Ok(address),
    }
}
