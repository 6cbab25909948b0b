//! Runs every program once: what is here, of which version, and whether it works.

use std::net::Ipv4Addr;
use std::process::Command;

use tsq_interop::{Certs, Server};

use super::{Answer, End, Kind, Nts, OneShot, PeerServer, Protocol, Tools, Trust, one_shots};
use crate::interrupt::Interrupt;
use crate::namespace::Namespace;
use crate::{Error, Table};

/// Starts every server, asks each by every client that speaks its protocol, and prints what came of it.
///
/// # Errors
/// Not root.
pub fn check() -> Result<(), Error> {
    let _interrupt = Interrupt::note()?;
    let tools = Tools::from_env();
    for (name, version) in versions(&tools) {
        println!("{name}: {version}");
    }
    let mut table = Table::new(&["client", "server", "outcome", "wall ms", "CPU ms"]);
    for kind in Kind::ALL {
        // Some serve one address, and that at one port: each has a namespace of its own.
        let namespace = Namespace::new("p")?;
        namespace.run(|| ask_by_all(kind, &tools, &mut table))?;
    }
    ask_ours(&tools, &mut table);
    println!("\n{table}");
    Ok(())
}

/// Programs of others with the first line of what they say of their version; or why they cannot.
#[must_use]
pub fn versions(tools: &Tools) -> Vec<(&'static str, String)> {
    let of = |(name, program, args): (&'static str, &str, &[&str])| {
        (
            name,
            version(tools, program, args).unwrap_or_else(|reason| reason),
        )
    };
    let programs: [(_, _, &[&str]); 5] = [
        ("chrony", "chronyd", &["--version"]),
        ("NTPsec", "ntpd", &["--version"]),
        ("ntpd-rs", "ntp-ctl", &["--version"]),
        ("busybox", "busybox", &[]),
        ("roughenough", "roughenough-client", &["--version"]),
    ];
    programs.map(of).into()
}

fn version(tools: &Tools, program: &str, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(tools.find(program)?);
    let output = crate::no_clock::guarded(move || command.args(args).output());
    let output = output.map_err(|error| error.to_string())?;
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty());
    Ok(line.map_or_else(|| "says no version".into(), |line| line.trim().to_owned()))
}

fn ask_by_all(kind: Kind, tools: &Tools, table: &mut Table) {
    let certs = Certs::new();
    let nts = Nts {
        certificate: certs.server("server", "127.0.0.1", &[]),
        authority: certs.ca(),
        port: 4460,
    };
    match PeerServer::start(kind, (Ipv4Addr::LOCALHOST, 123).into(), Some(&nts), tools) {
        Ok(server) => {
            for client in one_shots(tools) {
                if let Some(end) = server.end(client.protocol) {
                    ask(&client, kind.name(), &end, table);
                }
            }
        }
        Err(reason) => {
            table.row(["-", kind.name(), &reason.to_string(), "-", "-"].map(Into::into));
        }
    }
}

fn ask_ours(tools: &Tools, table: &mut Table) {
    let server = Server::start(&[]);
    let end = End {
        address: server.address(),
        trust: Trust::Pin(server.pin().into()),
    };
    for client in one_shots(tools) {
        if client.protocol == Protocol::Tsq {
            ask(&client, "tsq-server", &end, table);
        }
    }
}

fn ask(client: &OneShot, server: &str, end: &End, table: &mut Table) {
    let row = match client.run(std::slice::from_ref(end), None) {
        Ok(run) => {
            let millis = |time: std::time::Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
            let outcome = match run.answer {
                Some(answer) => described(answer),
                None => format!(
                    "no answer, code {:?}: {}",
                    run.finished.code,
                    last_line(&(run.finished.stdout + &run.finished.stderr))
                ),
            };
            [outcome, millis(run.finished.wall), millis(run.finished.cpu)]
        }
        Err(reason) => [reason.to_string(), "-".into(), "-".into()],
    };
    let [outcome, wall, cpu] = row;
    table.row([client.name.clone(), server.into(), outcome, wall, cpu]);
}

fn described(answer: Answer) -> String {
    let micros = |value: Option<f64>| value.map_or("?".into(), |value| format!("{value:.1}"));
    format!(
        "{} us +/- {}",
        micros(answer.offset_us),
        micros(answer.bound_us)
    )
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or("nothing said")
}
