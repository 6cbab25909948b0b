//! The hot paths: what TSQ does per packet, per exchange and per measurement, each as one repeatable pass.
//!
//! One list, [`PATHS`], measured in two ways: criterion times the passes (`cargo xtask bench`), and callgrind counts
//! their instructions (`cargo xtask bench-check`, by this package's program `tsq-counts`). No pass reads a clock or
//! a socket: time is pretended, and packets are handed over in memory.
//!
//! The step of a clock discipline is not here: there is none in the tree yet.

#![forbid(unsafe_code)]

mod decisions;
mod engines;
mod keys;
mod messages;

/// One hot path.
pub struct Path {
    /// Short and stable: the name its counts are recorded under.
    pub name: &'static str,
    /// How many passes make a count worth recording; a few million instructions.
    pub passes: u32,
    /// Makes everything a pass needs, and returns the pass.
    pub prepare: fn() -> Pass,
}

/// Does the work once.
pub type Pass = Box<dyn FnMut()>;

/// Every hot path, from the wire upward.
pub const PATHS: &[Path] = &[
    Path {
        name: "codec: request",
        passes: 20_000,
        prepare: messages::request,
    },
    Path {
        name: "codec: full response",
        passes: 10_000,
        prepare: messages::response,
    },
    Path {
        name: "exchange",
        passes: 10_000,
        prepare: messages::exchange,
    },
    Path {
        name: "exchange with metadata",
        passes: 5_000,
        prepare: messages::exchange_with_metadata,
    },
    Path {
        name: "exchange signed by HMAC",
        passes: 500,
        prepare: messages::exchange_with_hmac,
    },
    Path {
        name: "write profile",
        passes: 10_000,
        prepare: messages::write_profile,
    },
    Path {
        name: "sign hmac-sha256",
        passes: 500,
        prepare: keys::sign_hmac,
    },
    Path {
        name: "verify hmac-sha256",
        passes: 500,
        prepare: keys::verify_hmac,
    },
    Path {
        name: "sign ed25519",
        passes: 50,
        prepare: keys::sign_ed25519,
    },
    Path {
        name: "verify ed25519",
        passes: 50,
        prepare: keys::verify_ed25519,
    },
    Path {
        name: "filter 5 samples",
        passes: 2_000,
        prepare: decisions::filter_5,
    },
    Path {
        name: "filter 16 samples",
        passes: 1_000,
        prepare: decisions::filter_16,
    },
    Path {
        name: "select of 4",
        passes: 1_000,
        prepare: decisions::select_4,
    },
    Path {
        name: "select of 8",
        passes: 500,
        prepare: decisions::select_8,
    },
    Path {
        name: "select of 32",
        passes: 50,
        prepare: decisions::select_32,
    },
    Path {
        name: "combine of 4",
        passes: 1_000,
        prepare: decisions::combine_4,
    },
    Path {
        name: "combine of 8",
        passes: 500,
        prepare: decisions::combine_8,
    },
    Path {
        name: "combine of 32",
        passes: 50,
        prepare: decisions::combine_32,
    },
    Path {
        name: "engine: datagram exchange",
        passes: 500,
        prepare: engines::datagrams,
    },
    Path {
        name: "engine: stream exchange",
        passes: 500,
        prepare: engines::streams,
    },
    Path {
        name: "server: datagram answered",
        passes: 500,
        prepare: engines::responder,
    },
    Path {
        name: "engine: full handshake",
        passes: 10,
        prepare: engines::handshake,
    },
];

impl Path {
    /// The path called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        PATHS.iter().find(|path| path.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pass checks its own result.
    #[test]
    fn every_path_can_be_gone_many_times() {
        for path in PATHS {
            let mut pass = (path.prepare)();
            for _ in 0..50 {
                pass();
            }
        }
    }

    #[test]
    fn no_two_paths_share_a_name() {
        for path in PATHS {
            let same = PATHS.iter().filter(|other| other.name == path.name);
            assert_eq!(same.count(), 1, "{}", path.name);
        }
    }
}
