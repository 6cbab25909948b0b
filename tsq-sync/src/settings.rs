//! What a run is to do.

use std::path::PathBuf;
use std::time::Duration;

use tsq_algo::Policy;
use tsq_client::{Dates, Ladder, Options, Server};

use crate::judged::Choice;
use crate::memory::Keeping;
use crate::standing::Standing;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whom to ask.
    pub servers: Vec<Server>,
    /// How.
    pub options: Options,
    /// How to choose among them.
    pub choice: Choice,
    /// What to try where TSQ does not get through; None: nothing.
    pub ladder: Option<Ladder>,
    /// What to do about the offset.
    pub policy: Policy,
    /// Time for everything.
    pub timeout: Duration,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Do nothing unless every server agrees.
    pub require_all: bool,
    /// Measure again after adjusting.
    pub verify: bool,
    /// Set the clock although a daemon keeps it.
    pub beside_daemon: bool,
    /// Where to keep receipts.
    pub receipt: Option<PathBuf>,
    /// What to keep from run to run.
    pub keeping: Keeping,
    /// When the dates of certificates may wait.
    pub bootstrap: Bootstrap,
    /// How many servers with different keys must agree then.
    pub bootstrap_servers: usize,
}

/// When the dates of certificates may wait until enough servers agree on the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bootstrap {
    /// While the clock is not known to be right, and enough servers could vouch for each other.
    #[default]
    Auto,
    /// Never: this host's clock decides.
    Never,
    /// Whatever the kernel says of the clock, if enough servers could vouch for each other.
    Always,
}

impl Settings {
    /// To look at these servers and set nothing: by datagrams or streams, and NTS where TSQ gets no answer; the median
    /// of those that agree; up to 1 s of offset, past which the outcome says so.
    pub fn to_look(servers: Vec<Server>, timeout: Duration) -> Self {
        let options = Options {
            // Every answer votes, however far off: the limit is held against the result.
            offset_limit: Duration::MAX,
            ..Options::default()
        };
        Self {
            ladder: Some(Ladder {
                nts: Some(4460),
                ntp: None,
                queries: options.queries,
            }),
            servers,
            options,
            choice: Choice::default(),
            policy: Policy {
                slew_threshold: Duration::from_millis(128),
                max_offset: Duration::from_secs(1),
            },
            timeout,
            dry_run: true,
            require_all: false,
            verify: false,
            beside_daemon: false,
            receipt: None,
            keeping: Keeping::default(),
            bootstrap: Bootstrap::Auto,
            bootstrap_servers: 3,
        }
    }

    /// The servers, with the dates of their certificates allowed to wait where that may be and can
    /// come to something: while the clock is in doubt, and enough servers could vouch for each other.
    pub fn servers_for(&self, clock: Standing) -> Vec<Server> {
        let in_doubt = match self.bootstrap {
            Bootstrap::Auto => clock != Standing::Synchronised,
            Bootstrap::Never => false,
            Bootstrap::Always => true,
        };
        let pinned = self.servers.iter().any(|server| server.trust.is_pinned());
        let could_vouch = pinned || self.servers.len() >= self.bootstrap_servers;
        let dates = if in_doubt && could_vouch {
            Dates::MayWait
        } else {
            Dates::Now
        };
        let with_dates = |server: &Server| Server {
            dates,
            ..server.clone()
        };
        self.servers.iter().map(with_dates).collect()
    }
}
