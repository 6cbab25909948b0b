//! The command: what was asked for, done and printed.

use std::io::{self, Write};

use crate::args::{Args, Command};
use crate::ended::{self, Ended};
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
                max_error: *max_error,
                timeout: *timeout,
                json: *json,
            };
            return Ended::tell(wait::run(servers, reach, &wait));
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
                timeout: *timeout,
                json: *json,
            };
            return Ended::tell(rtc::run(servers, reach, &wish));
        }
        Some(Command::Explain {
            servers,
            timeout,
            json,
            reach,
        }) => return Ended::tell(explain::explain(servers, reach, *timeout, *json)),
        Some(Command::Check {
            servers,
            timeout,
            json,
            reach,
        }) => return Ended::tell(explain::check(servers, reach, *timeout, *json)),
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
    let printed = result.and_then(|outcome| {
        let quiet = args.command.is_none() && args.quiet && is_nothing_new(&outcome);
        if !quiet {
            print(&outcome, view)?;
        }
        let done = matches!(outcome.exit, Exit::Done | Exit::Unauthenticated);
        let missing = if done && outcome.self_test.is_none() {
            uncounted::line(&outcome.sources, &outcome.analysis)
        } else {
            None
        };
        for line in missing.iter().chain(&outcome.warnings) {
            let _ = writeln!(io::stderr(), "tsq-adjtime: {line}");
        }
        Ok(Ended::of(&outcome))
    });
    Ended::tell(printed)
}

/// Whether a run is what every run should be: the clock was right, or a little off.
fn is_nothing_new(outcome: &Outcome) -> bool {
    let stepped = matches!(outcome.action, Action::Step { .. });
    matches!(outcome.exit, Exit::Done | Exit::Unauthenticated) && !stepped
}

fn print(outcome: &Outcome, view: View) -> Result<(), Unusable> {
    ended::print(|out| match view.json {
        true => json::print(outcome, out),
        false => table::print(outcome, view.verbose, out),
    })
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
