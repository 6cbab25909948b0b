//! Every client, and its command line.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use tsq_interop::bin;
use tsq_perf::Transport;

use super::answers;
use super::{Answer, End, Finished, OneShot, Protocol, Tools, Trust};
use crate::Error;

/// Every client there is; those that are not installed say so.
#[must_use]
pub fn one_shots(tools: &Tools) -> Vec<OneShot> {
    let five = |transport: Transport| {
        let name = format!("tsq-adjtime, {}", transport.names());
        ours(&name, transport, 5)
    };
    let peers = [
        ("ntpdig, 1 sample", Protocol::Ntp, 400, ntpdig(tools, 1)),
        ("ntpdig, 5 samples", Protocol::Ntp, 400, ntpdig(tools, 5)),
        ("ntpdate -q", Protocol::Ntp, 400, ntpdate(tools)),
        ("chronyd -Q, iburst", Protocol::Ntp, 6000, chronyd("iburst")),
        ("chronyd -Q, fastest", Protocol::Ntp, 400, chronyd(FASTEST)),
        (
            "chronyd -Q, NTS, iburst",
            Protocol::Nts,
            6000,
            chronyd("nts iburst"),
        ),
        (
            "chronyd -Q, NTS, fastest",
            Protocol::Nts,
            400,
            chronyd(FASTEST_NTS),
        ),
        ("ntpd-rs force-sync", Protocol::Ntp, 100, Style::NtpdRs),
        ("ntpd-rs force-sync, NTS", Protocol::Nts, 100, Style::NtpdRs),
        ("busybox ntpd -q", Protocol::Ntp, 1100, Style::Busybox),
        (
            "roughenough-client",
            Protocol::Roughtime,
            100,
            Style::Roughenough,
        ),
    ];
    let peers = peers
        .into_iter()
        .map(|(name, protocol, usual, style)| OneShot {
            name: name.into(),
            ours: false,
            protocol,
            most_servers: if style == Style::Roughenough {
                1
            } else {
                usize::MAX
            },
            usual: Duration::from_millis(usual),
            program: style.program(tools),
            kept: None,
            style,
        });
    [
        five(Transport::Datagram),
        five(Transport::Stream),
        ours("tsq-adjtime, 1 query", Transport::Datagram, 1),
    ]
    .into_iter()
    .chain(peers)
    .collect()
}

fn ours(name: &str, transport: Transport, queries: u8) -> OneShot {
    OneShot {
        name: name.into(),
        ours: true,
        protocol: Protocol::Tsq,
        most_servers: usize::MAX,
        usual: Duration::from_millis(100),
        kept: None,
        program: Ok(bin("tsq-adjtime")),
        style: Style::Tsq(transport, queries),
    }
}

/// Asks every 16 ms, the least there is, and is content with one answer.
const FASTEST: &str = "iburst minpoll -6 maxpoll -6 maxsamples 1";
const FASTEST_NTS: &str = "nts iburst minpoll -6 maxpoll -6 maxsamples 1";

/// How a program is told what to do, and how it says what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// With as many queries to each server.
    Tsq(Transport, u8),
    /// Samples, and where its modules are if they are not the machine's.
    Ntpdig(u8, Option<String>),
    Ntpdate(Option<String>),
    /// The options of each `server`.
    Chronyd(&'static str),
    NtpdRs,
    Busybox,
    Roughenough,
}

fn ntpdig(tools: &Tools, samples: u8) -> Style {
    Style::Ntpdig(samples, modules(tools))
}

fn ntpdate(tools: &Tools) -> Style {
    Style::Ntpdate(modules(tools))
}

fn modules(tools: &Tools) -> Option<String> {
    Some(tools.python()?.to_string_lossy().into_owned())
}

fn chronyd(options: &'static str) -> Style {
    Style::Chronyd(options)
}

impl Style {
    fn program(&self, tools: &Tools) -> Result<std::path::PathBuf, String> {
        tools.find(match self {
            Self::Tsq(..) => "tsq-adjtime",
            Self::Ntpdig(..) => "ntpdig",
            Self::Ntpdate(_) => "ntpdate",
            Self::Chronyd(_) => "chronyd",
            Self::NtpdRs => "ntp-ctl",
            Self::Busybox => "busybox",
            Self::Roughenough => "roughenough-client",
        })
    }

    /// The command that asks these servers; its files go into `folder`, and what later runs find again into `kept`.
    pub(super) fn command(
        &self,
        program: &Path,
        servers: &[End],
        folder: &Path,
        kept: Option<&Path>,
    ) -> Result<Command, Error> {
        let mut command = Command::new(program);
        match self {
            Self::Tsq(transport, queries) => {
                command.args(["--dry-run", "--json", "--queries", &queries.to_string()]);
                command.args(["--transport", transport.name()]);
                for server in servers {
                    match &server.trust {
                        Trust::Pin(pin) => command.args(["--pin", pin]),
                        Trust::Authority { file, .. } => command.args(["--ca", file]),
                        Trust::Nothing | Trust::Key(_) => return Err("no TSQ server".into()),
                    };
                }
                command.args(servers.iter().map(|server| server.address.to_string()));
            }
            // Neither sets the clock without -s or -S; both ask port 123 and no other.
            Self::Ntpdig(samples, modules) => {
                with_modules(&mut command, modules.as_deref());
                command.args(["-j", "-p", &samples.to_string()]);
                command.args(hosts(servers));
            }
            Self::Ntpdate(modules) => {
                with_modules(&mut command, modules.as_deref());
                // A shell script that starts ntpdig by its name.
                if let Some(folder) = program.parent().and_then(Path::parent) {
                    let path = std::env::var_os("PATH").unwrap_or_default();
                    let own = [folder.join("bin")];
                    let folders = own.into_iter().chain(std::env::split_paths(&path));
                    command.env("PATH", std::env::join_paths(folders)?);
                }
                command.arg("-q").args(hosts(servers));
            }
            Self::Chronyd(options) => {
                command.args(["-Q", "-x", "-u", "root"]);
                for server in servers {
                    let (ip, port) = (server.address.ip(), server.address.port());
                    let nts = match &server.trust {
                        Trust::Authority { key_exchange, .. } => format!(" ntsport {key_exchange}"),
                        _ => String::new(),
                    };
                    command.arg(format!("server {ip} port {port} {options}{nts}"));
                }
                if let Some(Trust::Authority { file, .. }) = servers.first().map(|end| &end.trust) {
                    command.arg(format!("ntstrustedcerts {file}"));
                }
                if let Some(kept) = kept {
                    command.arg(format!("ntsdumpdir {}", kept.display()));
                }
                command.args(["cmdport 0", "bindcmdaddress /"]);
                command.arg(format!("pidfile {}", folder.join("pid").display()));
            }
            Self::NtpdRs => {
                let file = folder.join("ntp.toml");
                fs::write(&file, ntpd_rs_configuration(servers)?)?;
                // It asks before it sets a clock, and so runs on a terminal only; the answer is no.
                let words = format!("{} force-sync -c {}", program.display(), file.display());
                command = Command::new("script");
                command.args(["-qec", &words, "/dev/null"]);
            }
            Self::Busybox => {
                // With -w, which never sets, it never ends: after 50 s its own alarm kills it. It believes that it sets.
                command.args(["ntpd", "-n", "-q", "-d"]);
                for host in hosts(servers) {
                    command.args(["-p", &host]);
                }
            }
            Self::Roughenough => {
                let server = servers.first().ok_or("no server")?;
                let (ip, port) = (server.address.ip(), server.address.port());
                let Trust::Key(key) = &server.trust else {
                    return Err("no Roughtime server".into());
                };
                command.args(["-j", "-z", "-f", "%s.%f", "-k", key]);
                command.args([ip.to_string(), port.to_string()]);
            }
        }
        Ok(command)
    }

    /// Whether a run can leave what saves a later one the key exchange.
    pub(super) fn can_keep(&self) -> bool {
        *self == Self::Chronyd(FASTEST_NTS)
    }

    /// What a run that began then said.
    pub(super) fn answer(&self, run: &Finished, begun: SystemTime) -> Option<Answer> {
        match self {
            Self::Tsq(..) => answers::tsq(run),
            Self::Ntpdig(..) => answers::ntpdig_json(run),
            Self::Ntpdate(_) => answers::ntpdig_line(run),
            Self::Chronyd(_) => answers::chronyd(run),
            Self::NtpdRs => answers::ntpd_rs(run),
            Self::Busybox => answers::busybox(run),
            Self::Roughenough => answers::roughenough(run, begun),
        }
    }
}

fn hosts(servers: &[End]) -> impl Iterator<Item = String> {
    servers.iter().map(|server| server.address.ip().to_string())
}

fn with_modules(command: &mut Command, modules: Option<&str>) {
    if let Some(modules) = modules {
        command.env("PYTHONPATH", modules);
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1");
}

fn ntpd_rs_configuration(servers: &[End]) -> Result<String, Error> {
    let mut text = String::from("[observability]\nlog-level = \"warn\"\n");
    for server in servers {
        let address = server.address;
        text += &match &server.trust {
            Trust::Nothing => {
                format!("[[source]]\nmode = \"server\"\naddress = \"{address}\"\n")
            }
            Trust::Authority { file, key_exchange } => format!(
                "[[source]]\nmode = \"nts\"\naddress = \"{}:{key_exchange}\"\n\
                 certificate-authority = \"{file}\"\n",
                address.ip()
            ),
            Trust::Pin(_) | Trust::Key(_) => return Err("no NTP server".into()),
        };
    }
    text += &format!(
        "[synchronization]\nminimum-agreeing-sources = {}\n",
        servers.len() / 2 + 1
    );
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(trust: Trust) -> End {
        End {
            address: "127.0.0.11:123".parse().unwrap(),
            trust,
        }
    }

    fn words(style: &Style, trust: Trust) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let command = style
            .command(Path::new("/x/program"), &[end(trust)], folder.path(), None)
            .unwrap();
        command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn no_program_that_can_be_asked_only_is_told_to_set_the_clock() {
        let sets = |words: &[String]| words.iter().any(|word| word == "-s" || word == "-S");
        assert!(!sets(&words(&Style::Ntpdig(5, None), Trust::Nothing)));
        let ntpdate = words(&Style::Ntpdate(None), Trust::Nothing);
        assert!(ntpdate.iter().any(|word| word == "-q"));
        let chronyd = words(&Style::Chronyd("iburst"), Trust::Nothing);
        let has = |flag: &str| chronyd.iter().any(|word| word == flag);
        assert!(has("-Q") && has("-x") && !has("-q"));
        let ours = words(&Style::Tsq(Transport::Datagram, 5), Trust::Pin("0".into()));
        assert!(ours.iter().any(|word| word == "--dry-run"));
    }

    #[test]
    fn server_of_another_protocol_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for style in [Style::Tsq(Transport::Stream, 1), Style::Roughenough] {
            let command =
                style.command(Path::new("x"), &[end(Trust::Nothing)], folder.path(), None);
            assert!(command.is_err(), "{style:?}");
        }
    }

    #[test]
    fn authenticated_ntp_asks_where_keys_are_exchanged() {
        let trust = Trust::Authority {
            file: "/ca.pem".into(),
            key_exchange: 4461,
        };
        let chronyd = words(&Style::Chronyd("nts iburst"), trust.clone());
        let server = "server 127.0.0.11 port 123 nts iburst ntsport 4461";
        assert!(chronyd.iter().any(|word| word == server), "{chronyd:?}");
        let text = ntpd_rs_configuration(&[end(trust)]).unwrap();
        assert!(text.contains("address = \"127.0.0.11:4461\""), "{text}");
    }
}
