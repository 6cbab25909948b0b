//! What a service manager is told (sd_notify(3)); nothing where there is none.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;

/// The service answers.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Files are being read again; [`ready`] says when that is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The service ends.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Every serving thread makes progress.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] must be said, if it must: twice in the time after which we would be killed.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}

fn tell(state: &[NotifyState<'_>]) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let words: Vec<String> = state.iter().map(ToString::to_string).collect();
    if let Err(error) = send(&to, &words.join("\n"), PATIENCE) {
        tracing::warn!("cannot tell the service manager: {error}");
    }
}

/// A manager that hangs must not hold the main thread up, which hears the signals.
fn send(to: &OsStr, words: &str, patience: Duration) -> io::Result<()> {
    let to = match to.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(patience))?;
    socket.send_to_addr(words.as_bytes(), &to)?;
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_reaches_a_manager_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("tsq-test-notify/{}", std::process::id());
        let name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_name = format!("@{abstract_name}");
        for (to, manager) in [
            (path.as_os_str(), UnixDatagram::bind(&path).unwrap()),
            (
                OsStr::new(&by_name),
                UnixDatagram::bind_addr(&name).unwrap(),
            ),
        ] {
            send(to, "READY=1", PATIENCE).unwrap();
            let mut word = [0; 16];
            let length = manager.recv(&mut word).unwrap();
            assert_eq!(&word[..length], b"READY=1");
        }
    }

    #[test]
    fn manager_that_hangs_is_not_waited_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _hangs = UnixDatagram::bind(&path).unwrap();
        let brief = Duration::from_millis(1);
        // The queue holds some.
        let full = (0..100_000).find_map(|_| send(path.as_os_str(), "WATCHDOG=1", brief).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
