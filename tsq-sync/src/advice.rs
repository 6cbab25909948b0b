//! What to do about something, in words that every program can say its own way.

use std::borrow::Cow;
use std::fmt;

/// A setting of a synchronisation that a sentence can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Setting {
    /// Plain NTP may decide where nothing else answers.
    AllowNtp,
    /// The clock is set although a daemon keeps it.
    BesideDaemon,
    /// The authority of a private server.
    Ca,
    /// The certificate to show a server that asks for one.
    ClientCert,
    /// Its key.
    ClientKey,
    /// Only look.
    DryRun,
    /// The hash that the last receipt is to have.
    ExpectHead,
    /// The protocols to try where TSQ gets no answer.
    Fallback,
    /// The largest offset that is corrected.
    MaxOffset,
    /// The same for the first correction of a boot.
    MaxStartOffset,
    /// The most that the steps of seven days add up to.
    MaxStepTotal,
    /// How many servers must agree.
    MinSources,
    /// A server's public key.
    Pin,
    /// Samples to take from each server.
    Queries,
    /// Every server must agree.
    RequireAll,
    /// A server vouches for a clock that nobody keeps.
    ServeUnsynchronised,
    /// The name that certificates must carry.
    ServerName,
    /// The folder for what is kept from run to run.
    StateDir,
    /// Time for the whole run.
    Timeout,
    /// How queries travel.
    Transport,
    /// A server that is taken to be right.
    Trust,
    /// Every sample is shown.
    Verbose,
    /// The hardware clock is set.
    Write,
}

impl Setting {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::AllowNtp,
        Self::BesideDaemon,
        Self::Ca,
        Self::ClientCert,
        Self::ClientKey,
        Self::DryRun,
        Self::ExpectHead,
        Self::Fallback,
        Self::MaxOffset,
        Self::MaxStartOffset,
        Self::MaxStepTotal,
        Self::MinSources,
        Self::Pin,
        Self::Queries,
        Self::RequireAll,
        Self::ServeUnsynchronised,
        Self::ServerName,
        Self::StateDir,
        Self::Timeout,
        Self::Transport,
        Self::Trust,
        Self::Verbose,
        Self::Write,
    ];

    /// Its name in files and, with dashes before it, on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowNtp => "allow-ntp",
            Self::BesideDaemon => "beside-daemon",
            Self::Ca => "ca",
            Self::ClientCert => "client-cert",
            Self::ClientKey => "client-key",
            Self::DryRun => "dry-run",
            Self::ExpectHead => "expect-head",
            Self::Fallback => "fallback",
            Self::MaxOffset => "max-offset",
            Self::MaxStartOffset => "max-start-offset",
            Self::MaxStepTotal => "max-step-total",
            Self::MinSources => "min-sources",
            Self::Pin => "pin",
            Self::Queries => "queries",
            Self::RequireAll => "require-all",
            Self::ServeUnsynchronised => "serve-unsynchronised",
            Self::ServerName => "server-name",
            Self::StateDir => "state-dir",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Trust => "trust",
            Self::Verbose => "verbose",
            Self::Write => "write",
        }
    }
}

/// How a program writes the name of a setting: what stands before it, such as the dashes of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spelling(pub &'static str);

impl Spelling {
    /// As in a file: the name alone.
    pub const PLAIN: Self = Self("");

    /// `text` with every `{name}` of a [`Setting`] spelled so.
    pub fn fill(self, text: &str) -> String {
        let mut filled = text.to_owned();
        for setting in Setting::ALL {
            let Some(braced) = braced(text, setting) else {
                continue;
            };
            filled = filled.replace(&braced, &format!("{}{}", self.0, setting.name()));
        }
        filled
    }
}

fn braced(text: &str, setting: Setting) -> Option<String> {
    let braced = format!("{{{}}}", setting.name());
    text.contains(&braced).then_some(braced)
}

/// What to do about something: a sentence in which settings stand in braces until a program spells them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice(Cow<'static, str>);

impl Advice {
    /// For people, with the names of settings as this program writes them.
    pub fn text(&self, spelling: Spelling) -> String {
        spelling.fill(&self.0)
    }

    /// The settings it names, for programs.
    pub fn settings(&self) -> Vec<Setting> {
        let named = |setting: &Setting| braced(&self.0, *setting).is_some();
        Setting::ALL.into_iter().filter(named).collect()
    }
}

impl From<&'static str> for Advice {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Advice {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// Why something is as it is: a sentence, and what to do about it where one thing is to be done.
pub trait Reason: fmt::Display {
    /// What to do, in a few words.
    fn hint(&self) -> Option<Advice>;

    /// Both, for a line.
    fn told(&self, spelling: Spelling) -> String {
        match self.hint() {
            Some(hint) => format!("{self}: {}", hint.text(spelling)),
            None => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn settings_are_spelled_as_the_program_does() {
        let advice = Advice::from("name its key with {pin}, or its authority with {ca}");
        let options = advice.text(Spelling("--"));
        assert_eq!(
            options,
            "name its key with --pin, or its authority with --ca"
        );
        let keys = advice.text(Spelling::PLAIN);
        assert_eq!(keys, "name its key with pin, or its authority with ca");
        assert_eq!(advice.settings(), [Setting::Ca, Setting::Pin]);
    }

    #[test]
    fn braces_of_others_stay() {
        assert_eq!(Spelling("--").fill("{} {no-such} {"), "{} {no-such} {");
    }

    #[test]
    fn every_setting_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Setting::ALL.iter().map(|setting| setting.name()).collect();
        assert_eq!(names.len(), Setting::ALL.len());
        assert!(Setting::ALL.is_sorted());
    }
}
