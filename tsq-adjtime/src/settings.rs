//! The command line, checked and resolved; nothing is sent before this has passed.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tsq_algo::{Limits as Fitness, Mark, Method, Policy, Rules};
use tsq_client::{
    ClientIdentity, Ladder, Options, Server, Target, TransportChoice, Trust, is_certificate_name,
};
use tsq_keys::VerifyKeys;
use tsq_proto::words::{Count, Foreign};
use tsq_sync::{Bootstrap, Choice, Keeping, Reason, Settings};

use crate::args::{Args, Command, Limits};
use crate::choices::{BootstrapArg, CombineArg, FallbackArg, MinTrustArg, TransportArg};
use crate::ended::Unusable;
use crate::exit::Exit;
use crate::reach::Reach;
use crate::shown::OPTIONS;

/// Checks and resolves the command line.
///
/// # Errors
/// [`Unusable`]: a bad server, an unreadable CA file, no roots, or `--insecure` where a clock
/// would be set by it.
pub fn resolve(args: &Args) -> Result<Settings, Unusable> {
    let usage = |problem: String| Unusable {
        exit: Exit::Usage,
        problem,
    };
    if args.servers.is_empty() {
        return Err(usage(
            "no server is named: give one, or servers = [\"HOST\"] in the file of --config".into(),
        ));
    }
    if args.insecure && !args.dry_run {
        return Err(usage(
            "--insecure lets anyone answer, so it never sets a clock: add --dry-run, or name --ca or --pin".into(),
        ));
    }
    if let Some(word) = args.servers.iter().find(|server| Command::is_name(server)) {
        return Err(usage(format!(
            "{word} is a command: its options go after it, as in tsq-adjtime {word} --json"
        )));
    }
    if let Some((word, command)) = mistyped(&args.servers) {
        return Err(usage(format!(
            "{word} is no command; did you mean {command}? A server that is called so is written with its port ({word}:443)"
        )));
    }
    if args.reach.server_name.is_some() && args.reach.ca.is_none() && !args.reach.pin.is_empty() {
        return Err(usage(
            "--server-name is not looked at where --pin alone decides: add --ca, or leave it out"
                .into(),
        ));
    }
    if let Some(name) = &args.reach.server_name
        && !is_certificate_name(name)
    {
        return Err(usage(format!(
            "--server-name {}: no name that a certificate can carry; write a DNS name, or an address without brackets and port",
            Foreign(name)
        )));
    }
    let targets = args
        .servers
        .iter()
        .map(|given| Target::parse(given, args.reach.port))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| usage(error.to_string()))?;
    let choice = choice(args).map_err(usage)?;
    let ladder = ladder(args).map_err(usage)?;
    let trust = trust(args)?;
    let identity = identity(args)?;
    let servers = targets
        .into_iter()
        .map(|target| {
            let mut server = Server::new(target, trust.clone());
            server.identity.clone_from(&identity);
            if let Some(name) = &args.reach.server_name {
                server.name.clone_from(name);
            }
            server
        })
        .collect();
    let policy = Policy {
        slew_threshold: args.limits.slew_threshold,
        max_offset: args.limits.max_offset,
    };
    Ok(Settings {
        servers,
        options: Options {
            queries: args.reach.queries,
            transport: match args.reach.transport {
                TransportArg::Auto => TransportChoice::Auto,
                TransportArg::Datagram => TransportChoice::Datagram,
                TransportArg::Stream => TransportChoice::Stream,
            },
            // Every answer votes, however far off: were the far ones left out one by one, a single
            // liar could outvote an honest majority. --max-offset is held against the result.
            offset_limit: Duration::MAX,
            metadata: !args.reach.no_metadata,
            follow_up: true,
            precision: args.reach.precision,
            keys: verify_keys(args)?.map(Arc::new),
        },
        choice,
        ladder,
        policy,
        timeout: args.timeout,
        dry_run: args.dry_run,
        require_all: args.reach.require_all,
        verify: !args.no_verify,
        beside_daemon: args.beside_daemon,
        receipt: args.receipt.clone(),
        keeping: Keeping {
            folder: args.reach.state_dir.clone(),
            max_start_offset: args.limits.max_start_offset,
            max_step_total: args.limits.max_step_total,
        },
        bootstrap: match args.reach.bootstrap {
            BootstrapArg::Auto => Bootstrap::Auto,
            BootstrapArg::Never => Bootstrap::Never,
            BootstrapArg::Always => Bootstrap::Always,
        },
        bootstrap_servers: usize::from(args.reach.bootstrap_servers),
    })
}

/// A measurement of these servers that sets nothing; past the limits, the usual ones where none are given, it says so.
///
/// # Errors
/// [`Unusable`]: a bad server, an unreadable CA file, or no roots.
pub fn to_look(
    servers: &[String],
    reach: &Reach,
    timeout: Duration,
    limits: Option<&Limits>,
) -> Result<Settings, Unusable> {
    let plain = ["tsq-adjtime", "--dry-run", "-"];
    let args = Args::try_parse_from(plain).expect("these words are right");
    resolve(&Args {
        servers: servers.to_vec(),
        reach: reach.clone(),
        timeout,
        limits: limits.unwrap_or(&args.limits).clone(),
        ..args
    })
}

/// A first word that is nearly a command's, and what it may have been meant to be: the run that sets the clock must not
/// take the place of one that only looks.
fn mistyped(servers: &[String]) -> Option<(&str, &'static str)> {
    let word = servers.first()?;
    let near = |command: &&str| {
        let most = if command.len() > 4 { 2 } else { 1 };
        strsim::osa_distance(word, command) <= most
    };
    let bare = word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let command = COMMANDS.into_iter().filter(|_| bare).find(near)?;
    Some((word, command))
}

/// The names of all commands.
const COMMANDS: [&str; 6] = [
    "self-test",
    "wait",
    "rtc",
    "explain",
    "check",
    "verify-receipt",
];

/// The rungs below TSQ. On by default is only what is authenticated, and only where TSQ was not asked for in a
/// way that nothing else can serve.
fn ladder(args: &Args) -> Result<Option<Ladder>, String> {
    let wants = |rung| args.reach.fallback.contains(&rung);
    if wants(FallbackArg::None) && (args.reach.fallback.len() > 1 || args.reach.allow_ntp) {
        return Err("--fallback none leaves nothing to fall back to: leave out the others".into());
    }
    let tsq_only = [
        (
            !args.reach.verify_key.is_empty(),
            "--verify-key: NTS and NTP answers carry no signatures",
        ),
        (args.insecure, "--insecure: it looks at TSQ servers only"),
    ];
    let asked = !args.reach.fallback.is_empty() || args.reach.allow_ntp;
    if let Some((_, why)) = tsq_only.iter().find(|(is, _)| *is) {
        if asked && !wants(FallbackArg::None) {
            return Err(format!("--fallback does not go with {why}"));
        }
        return Ok(None);
    }
    let by_default = args.reach.fallback.is_empty() && args.reach.transport == TransportArg::Auto;
    let nts = (wants(FallbackArg::Nts) || by_default).then_some(args.reach.nts_port);
    let ntp = (wants(FallbackArg::Ntp) || args.reach.allow_ntp).then_some(args.reach.ntp_port);
    if ntp.is_none() && args.reach.min_trust == MinTrustArg::None {
        return Err(
            "--min-trust none lets nobody in without plain NTP: add --fallback nts,ntp, or give --allow-ntp in its place".into(),
        );
    }
    let queries = args.reach.queries;
    let ladder = Ladder { nts, ntp, queries };
    Ok((nts.is_some() || ntp.is_some()).then_some(ladder))
}

fn choice(args: &Args) -> Result<Choice, String> {
    let named = [
        ("--prefer", &args.reach.prefer),
        ("--trust", &args.reach.trust),
    ];
    for (option, names) in named {
        if let Some(name) = names.iter().find(|name| !args.servers.contains(name)) {
            return Err(format!(
                "{option} {}: none of the servers is called so; write it as among them",
                Foreign(name)
            ));
        }
    }
    let min_sources = usize::from(args.reach.min_sources);
    if min_sources > args.servers.len() {
        return Err(format!(
            "--min-sources {min_sources} cannot be met by {}",
            Count(args.servers.len(), "server")
        ));
    }
    Ok(Choice {
        rules: Rules {
            min_sources,
            // Without a check of certificates nobody is known; --dry-run goes with it.
            allow_unauthenticated: args.insecure
                || args.reach.allow_ntp
                || args.reach.min_trust == MinTrustArg::None,
            trusted_only: !args.reach.trust.is_empty(),
            method: match args.reach.combine {
                CombineArg::Median => Method::Median,
                CombineArg::Weighted => Method::Weighted,
            },
            limits: Fitness::default(),
        },
        marks: args
            .servers
            .iter()
            .map(|server| Mark {
                prefer: args.reach.prefer.contains(server),
                trust: args.reach.trust.contains(server),
            })
            .collect(),
    })
}

fn trust(args: &Args) -> Result<Trust, Unusable> {
    if args.insecure {
        return Ok(Trust::insecure());
    }
    let chosen = Trust::chosen(args.reach.ca.as_deref(), &args.reach.pin);
    // Nothing was asked yet, so it is no answer that is refused: exit codes from 3 on promise a result.
    chosen.map_err(|error| Unusable {
        exit: Exit::Usage,
        problem: error.told(OPTIONS),
    })
}

fn identity(args: &Args) -> Result<Option<ClientIdentity>, Unusable> {
    let (Some(cert), Some(key)) = (&args.reach.client_cert, &args.reach.client_key) else {
        return Ok(None);
    };
    ClientIdentity::from_files(cert, key)
        .map(Some)
        .map_err(|error| Unusable {
            exit: Exit::Usage,
            problem: error.to_string(),
        })
}

fn verify_keys(args: &Args) -> Result<Option<VerifyKeys>, Unusable> {
    if args.reach.verify_key.is_empty() {
        return Ok(None);
    }
    VerifyKeys::load(&args.reach.verify_key)
        .map(Some)
        .map_err(|error| Unusable {
            exit: Exit::Usage,
            problem: error.to_string(),
        })
}

#[cfg(test)]
mod tests {
    use tsq_client::Dates;
    use tsq_sync::Standing;

    use super::*;

    fn resolve(words: &[&str]) -> Result<Settings, Unusable> {
        let words = ["tsq-adjtime"].iter().chain(words);
        super::resolve(&Args::try_parse_from(words).unwrap())
    }

    const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn insecure_never_sets_a_clock() {
        assert_eq!(resolve(&["a", "--insecure"]).unwrap_err().exit, Exit::Usage);
        assert!(resolve(&["a", "--insecure", "--dry-run"]).unwrap().dry_run);
    }

    #[test]
    fn bad_server_or_ca_file_is_a_usage_error() {
        assert_eq!(
            resolve(&["a:b:c:x", "--pin", PIN]).unwrap_err().exit,
            Exit::Usage
        );
        assert_eq!(
            resolve(&["a", "--ca", "/nonexistent"]).unwrap_err().exit,
            Exit::Usage
        );
    }

    #[test]
    fn only_authenticated_rungs_are_there_by_default() {
        let ladder = |words: &[&str]| {
            let ladder = resolve(&[&["a", "--pin", PIN], words].concat())
                .unwrap()
                .ladder;
            ladder.map(|ladder| (ladder.nts.is_some(), ladder.ntp.is_some()))
        };
        for (words, expected) in [
            (&[][..], Some((true, false))),
            (&["--fallback", "none"], None),
            (&["--fallback", "ntp"], Some((false, true))),
            (&["--fallback", "nts,ntp"], Some((true, true))),
            (&["--allow-ntp"], Some((true, true))),
            (&["--transport", "stream"], None),
            (
                &["--transport", "stream", "--fallback", "nts"],
                Some((true, false)),
            ),
        ] {
            assert_eq!(ladder(words), expected, "{words:?}");
        }
        let decides = |words: &[&str]| {
            let settings = resolve(&[&["a", "--pin", PIN], words].concat()).unwrap();
            settings.choice.rules.allow_unauthenticated
        };
        assert!(!decides(&["--fallback", "nts,ntp"]));
        assert!(decides(&["--allow-ntp"]));
        assert!(decides(&["--min-trust", "none", "--fallback", "ntp"]));
    }

    #[test]
    fn fallback_that_cannot_be_is_a_usage_error() {
        for words in [
            &["a", "--insecure", "--dry-run", "--allow-ntp"][..],
            &["a", "--pin", PIN, "--fallback", "none,nts"],
            &["a", "--pin", PIN, "--fallback", "none", "--allow-ntp"],
            &["a", "--pin", PIN, "--min-trust", "none"],
        ] {
            assert_eq!(resolve(words).unwrap_err().exit, Exit::Usage, "{words:?}");
        }
    }

    #[test]
    fn marks_belong_to_servers_that_are_named() {
        let settings = resolve(&[
            "a", "b:8443", "--pin", PIN, "--prefer", "b:8443", "--trust", "a",
        ])
        .unwrap();
        let marks = settings.choice.marks;
        assert!(marks[1].prefer && !marks[0].prefer && marks[0].trust && !marks[1].trust);
        for words in [["--prefer", "c"], ["--trust", "b"], ["--min-sources", "2"]] {
            let all = [&["a", "--pin", PIN], &words[..]].concat();
            let unusable = resolve(&all).unwrap_err();
            assert_eq!(unusable.exit, Exit::Usage, "{words:?}");
            assert!(unusable.problem.contains(words[0]), "{unusable:?}");
        }
    }

    #[test]
    fn milliseconds_become_exact_durations() {
        let settings = resolve(&[
            "a",
            "--pin",
            PIN,
            "--max-offset",
            "1444.208",
            "--timeout",
            "2.5",
        ])
        .unwrap();
        assert_eq!(settings.policy.max_offset, Duration::from_micros(1_444_208));
        assert_eq!(settings.timeout, Duration::from_micros(2500));
    }

    #[test]
    fn dates_wait_only_while_the_clock_is_in_doubt_and_if_enough_can_vouch() {
        let dates = |words: &[&str], clock| {
            let settings = resolve(&[words, &["--timeout", "1"]].concat()).unwrap();
            let servers = settings.servers_for(clock);
            assert!(servers.windows(2).all(|two| two[0].dates == two[1].dates));
            servers[0].dates
        };
        let in_doubt = [
            Standing::Unsynchronised,
            Standing::BelowFloor,
            Standing::Unreadable,
        ];
        for clock in in_doubt {
            assert_eq!(dates(&["a", "--pin", PIN], clock), Dates::MayWait);
            let never = ["a", "--pin", PIN, "--bootstrap", "never"];
            assert_eq!(dates(&never, clock), Dates::Now);
            for (servers, expected) in [
                (&["a", "b"][..], Dates::Now),
                (&["a", "b", "c"], Dates::MayWait),
            ] {
                // Without --dry-run this would be refused, and nothing is asked here.
                let words = [servers, &["--insecure", "--dry-run"]].concat();
                assert_eq!(dates(&words, clock), expected, "{servers:?}");
            }
        }
        let kept = Standing::Synchronised;
        assert_eq!(dates(&["a", "--pin", PIN], kept), Dates::Now);
        let always = ["a", "--pin", PIN, "--bootstrap", "always"];
        assert_eq!(dates(&always, kept), Dates::MayWait);
    }

    #[test]
    fn mistyped_command_is_no_server() {
        for (word, meant) in [
            ("chek", "check"),
            ("explan", "explain"),
            ("wiat", "wait"),
            ("selftest", "self-test"),
            ("verify-reciept", "verify-receipt"),
        ] {
            let error = resolve(&[word, "b", "--pin", PIN]).unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            let asked = format!("did you mean {meant}?");
            assert!(error.problem.contains(&asked), "{error:?}");
        }
        for server in ["chek.example", "chek:443", "time", "ntp", "a"] {
            resolve(&[server, "--pin", PIN]).unwrap();
        }
        assert!(COMMANDS.iter().all(|name| Command::is_name(name)));
    }

    #[test]
    fn command_after_an_option_is_not_taken_for_a_host() {
        let error = resolve(&["--dry-run", "self-test"]).unwrap_err();
        assert!(error.problem.contains("is a command"), "{error:?}");
    }

    #[test]
    fn server_name_that_no_certificate_carries_is_refused() {
        for name in [
            "[::1]",
            "a b",
            "a:443",
            "fe80::1%eth0",
            "1.2.3",
            "",
            "b\u{fc}cher",
        ] {
            let words = [
                "tsq-adjtime",
                "192.0.2.1",
                "--ca",
                "/nonexistent",
                "--server-name",
                name,
            ];
            let args = Args::try_parse_from(words).unwrap();
            let error = super::resolve(&args).unwrap_err();
            assert_eq!(error.exit, Exit::Usage, "{name}");
            assert!(error.problem.contains("--server-name"), "{name}: {error:?}");
        }
    }

    #[test]
    fn server_name_that_nothing_looks_at_is_refused() {
        let error =
            resolve(&["192.0.2.1", "--pin", PIN, "--server-name", "time.example"]).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
    }

    #[test]
    fn words_of_the_plain_measurement_are_right_and_set_nothing() {
        let pin = "00".repeat(32);
        let words = ["tsq-adjtime", "--port", "444", "--pin", &pin, "-"];
        let reach = Args::try_parse_from(words).unwrap().reach;
        let settings = to_look(&["a".into()], &reach, Duration::from_millis(700), None).unwrap();
        assert!(settings.dry_run);
        assert_eq!(settings.servers[0].target.port, 444);
        assert_eq!(settings.timeout.as_millis(), 700);
    }
}
