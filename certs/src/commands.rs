use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tsq_certs::{Authority, Error, Lifetime, Made, Pin, When};
use tsq_command::json::ascii;
use tsq_command::output;
use tsq_keys::PrivateKey;

use crate::args::{Args, Command};

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    match &args.command {
        Command::Ca { out, name, days } => {
            let made = tsq_certs::make_ca(name, Lifetime::days(*days)?)?;
            save(&made, out, CA_CERT, CA_KEY)
        }
        Command::Server {
            ca,
            target,
            key,
            validity,
        } => {
            let lifetime = validity.lifetime()?;
            let ca = read_ca(ca)?;
            warn_if_outlived(&ca, lifetime);
            let made = tsq_certs::make_server(&ca, &target.names, (*key).into(), lifetime)?;
            save(&made, &target.out, "cert.pem", "key.pem")
        }
        Command::Client {
            ca,
            out,
            name,
            validity,
        } => {
            let lifetime = validity.lifetime()?;
            let ca = read_ca(ca)?;
            warn_if_outlived(&ca, lifetime);
            let made = tsq_certs::make_client(&ca, name, lifetime)?;
            save(&made, out, "cert.pem", "key.pem")
        }
        Command::SelfSigned { target, validity } => {
            let made = tsq_certs::make_self_signed(&target.names, validity.lifetime()?)?;
            save(&made, &target.out, "cert.pem", "key.pem")
        }
        Command::SigningKey {
            out,
            id,
            algorithm,
            valid_from,
        } => {
            let valid_from = valid_from.map(When::host_time).transpose()?;
            make_signing_key(
                out,
                &PrivateKey::generate(*id, (*algorithm).into(), valid_from)?,
            )
        }
        Command::Pin { files, json } => print_pins(files, *json),
    }
}

const CA_CERT: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";

fn read_ca(dir: &Path) -> Result<Authority, Error> {
    let (cert, key) = (dir.join(CA_CERT), dir.join(CA_KEY));
    Authority::from_pem(read(&cert)?, read(&key)?).map_err(|error| match error {
        Error::BadKey(reason) => Error::BadKey(format!("{}: {reason}", key.display())),
        other => in_file(&cert, other),
    })
}

fn in_file(file: &Path, error: Error) -> Error {
    match error {
        Error::BadCertificate(reason) => {
            Error::BadCertificate(format!("{}: {reason}", file.display()))
        }
        other => other,
    }
}

/// Legal, but nobody accepts the certificate once its authority has expired.
fn warn_if_outlived(ca: &Authority, lifetime: Lifetime) {
    if let Some(end) = ca.ends_before(lifetime) {
        // Nobody may be there to read it.
        let _ = writeln!(
            io::stderr(),
            "tsq-certs: warning: the certificate outlives its authority, which expires on {end}; \
             it is refused from then on"
        );
    }
}

fn save(made: &Made, dir: &Path, cert_name: &str, key_name: &str) -> Result<(), Error> {
    let (cert, key) = tsq_certs::save(made, dir, cert_name, key_name)?;
    print(&format!(
        "certificate {}\nprivate key {}\npin         {}\n",
        cert.display(),
        key.display(),
        made.pin
    ))
}

fn make_signing_key(path: &Path, key: &PrivateKey) -> Result<(), Error> {
    let public = match tsq_certs::save_signing_key(key, path)? {
        Some(public) => public.display().to_string(),
        None => "none: who verifies needs the signing key itself".into(),
    };
    print(&format!(
        "signing key {}\npublic key  {public}\nkey id      {}\n",
        path.display(),
        key.id
    ))
}

fn print_pins(files: &[PathBuf], json: bool) -> Result<(), Error> {
    let pins = files
        .iter()
        .map(|file| Ok((file, pin_of_file(file)?)))
        .collect::<Result<Vec<_>, Error>>()?;
    let text = match pins.as_slice() {
        _ if json => {
            let pins: Vec<_> = pins
                .iter()
                .map(
                    |(file, pin)| json!({ "file": file.to_string_lossy(), "pin": pin.to_string() }),
                )
                .collect();
            format!("{}\n", ascii(&json!({ "pins": pins }).to_string()))
        }
        // Alone on the line, so that `--pin $(tsq-certs pin cert.pem)` works.
        [(_, pin)] => format!("{pin}\n"),
        _ => pins
            .iter()
            .map(|(file, pin)| format!("{pin}  {}\n", file.display()))
            .collect(),
    };
    print(&text)
}

fn pin_of_file(file: &Path) -> Result<Pin, Error> {
    tsq_certs::pin_of_pem(&read(file)?).map_err(|error| in_file(file, error.into()))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    tsq_certs::read_small_file(path).map_err(|source| Error::Io {
        action: "read",
        path: path.into(),
        source,
    })
}

fn print(text: &str) -> Result<(), Error> {
    output::print(|out| out.write_all(text.as_bytes())).map_err(Error::Output)
}
