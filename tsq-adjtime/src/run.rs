//! The command: what was asked for, done and printed.

use std::io::{self, Write};

use crate::args::{Args, Command};
use crate::outcome::{Action, Exit, Outcome};
use crate::progress::Line;
use crate::settings::{Settings, Unusable};
use crate::sync::synchronise;
use crate::wait::Wait;
use crate::{explain, json, receipt, rtc, self_test, table, uncounted, wait};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// One JSON object instead of a table.
    pub json: bool,
    /// Every sample.
    pub verbose: bool,
}

/// Runs the command; returns its exit code.
pub fn run(args: &Args) -> u8 {
    let (view, result) = match &args.command {
        Some(Command::SelfTest {
            json,
            verbose,
            queries,
        }) => {
            let view = View {
                json: *json,
                verbose: *verbose,
            };
            (view, self_test::run(*queries, &mut Line::new(!json)))
        }
        Some(Command::VerifyReceipt {
            file,
            key,
            expect_head,
            json,
        }) => {
            return receipt::check::run(file, key, *expect_head, *json);
        }
        Some(Command::Wait {
            servers,
            max_error,
            timeout,
            json,
            reach,
        }) => {
            let wait = Wait {
                max_error_ms: *max_error,
                timeout_ms: *timeout,
                json: *json,
            };
            return ended(wait::run(servers, reach, &wait));
        }
        Some(Command::Rtc {
            servers,
            write,
            device,
            timeout,
            json,
            reach,
        }) => {
            let wish = rtc::Wish {
                device,
                write: *write,
                timeout_ms: *timeout,
                json: *json,
            };
            return ended(rtc::run(servers, reach, &wish));
        }
        Some(Command::Explain {
            servers,
            timeout,
            json,
            reach,
        }) => return ended(explain::explain(servers, reach, *timeout, *json)),
        Some(Command::Check {
            servers,
            timeout,
            json,
            reach,
        }) => return ended(explain::check(servers, reach, *timeout, *json)),
        None => {
            let view = View {
                json: args.json,
                verbose: args.verbose,
            };
            (
                view,
                Settings::resolve(args).and_then(|settings| synchronise(&settings, view)),
            )
        }
    };
    let result = result.and_then(|outcome| {
        let quiet = args.command.is_none() && args.quiet && is_nothing_new(&outcome);
        match quiet {
            true => Ok(outcome),
            false => print(&outcome, view).map(|()| outcome),
        }
    });
    match result {
        Ok(outcome) => {
            let done = matches!(outcome.exit, Exit::Done | Exit::Unauthenticated);
            if done
                && outcome.self_test.is_none()
                && let Some(missing) = uncounted::line(&outcome.sources, &outcome.analysis)
            {
                let _ = writeln!(io::stderr(), "tsq-adjtime: {missing}");
            }
            for line in outcome.warnings.iter().chain(&outcome.problem) {
                let _ = writeln!(io::stderr(), "tsq-adjtime: {line}");
            }
            outcome.exit.code()
        }
        Err(unusable) => ended(Err(unusable)),
    }
}

/// Whether a run is what every run should be: the clock was right, or a little off.
fn is_nothing_new(outcome: &Outcome) -> bool {
    let stepped = matches!(outcome.action, Action::Step { .. });
    matches!(outcome.exit, Exit::Done | Exit::Unauthenticated) && !stepped
}

/// The exit code; a reason for there being no result goes to standard error.
fn ended(result: Result<u8, Unusable>) -> u8 {
    result.unwrap_or_else(|unusable| {
        // Only the failure to write this very line could follow, and there is nobody to tell.
        let _ = writeln!(io::stderr(), "tsq-adjtime: {}", unusable.problem);
        unusable.exit.code()
    })
}

fn print(outcome: &Outcome, view: View) -> Result<(), Unusable> {
    let stdout = io::stdout();
    let printed = if view.json {
        json::print(outcome, &mut stdout.lock())
    } else {
        table::print(outcome, view.verbose, &mut stdout.lock())
    };
    finished(printed)
}

/// The end of printing: a reader that has gone has seen enough.
pub(crate) fn finished(printed: io::Result<()>) -> Result<(), Unusable> {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(internal(error)),
        _ => Ok(()),
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what map_err hands over"
)]
pub(crate) fn internal(error: io::Error) -> Unusable {
    Unusable {
        exit: Exit::Internal,
        problem: error.to_string(),
    }
}
