//! The clock of the last good run: a moment that is certainly past, and the boot it was in.

use tsq_proto::HostTime;

use crate::{StateDir, StateError};

/// What a good run leaves for the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedClock {
    /// A time that was verified: it is past.
    pub at: HostTime,
    /// The kernel's id of the boot in which the clock was last adjusted.
    pub boot: Option<String>,
}

impl SavedClock {
    /// What is saved, if anything is. A file that is none of ours says nothing.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn read(state: &StateDir) -> Result<Option<Self>, StateError> {
        Ok(state.read(FILE)?.as_deref().and_then(Self::parse))
    }

    /// Saves it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn write(&self, state: &StateDir) -> Result<(), StateError> {
        let boot = self.boot.as_deref().unwrap_or_default();
        let text = format!("{HEADER}{}\n{boot}\n", self.at.as_unix_nanos());
        state.write(FILE, &text)
    }

    /// Removes what is saved.
    ///
    /// # Errors
    /// [`StateError`].
    pub(crate) fn remove(state: &StateDir) -> Result<(), StateError> {
        state.remove(FILE)
    }

    /// The kernel's id of this boot; None where it gives none.
    pub fn this_boot() -> Option<String> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(id.trim().to_owned()).filter(|id| !id.is_empty())
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_prefix(HEADER)?.lines();
        let at = HostTime::from_unix_nanos(lines.next()?.parse().ok()?);
        let boot = lines.next().filter(|id| !id.is_empty()).map(str::to_owned);
        Some(Self { at, boot })
    }
}

const FILE: &str = "clock";
const HEADER: &str = "tsq clock 1\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_clock_is_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert_eq!(SavedClock::read(&state).unwrap(), None);
        for boot in [None, Some("1b4e28ba-2fa1".to_owned())] {
            let at = HostTime::from_unix(1_795_000_000, 7);
            let saved = SavedClock { at, boot };
            saved.write(&state).unwrap();
            assert_eq!(SavedClock::read(&state).unwrap(), Some(saved));
        }
    }

    #[test]
    fn strange_file_says_nothing() {
        for text in ["", "tsq clock 1\n", "tsq clock 1\nsoon\n", "1795000000\n"] {
            assert_eq!(SavedClock::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_boot_has_an_id_that_stays() {
        assert_eq!(SavedClock::this_boot(), SavedClock::this_boot());
        assert!(SavedClock::this_boot().is_some());
    }
}
