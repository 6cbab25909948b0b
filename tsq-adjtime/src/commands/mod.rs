//! What can be done: a command in each file, and which one was asked for.

mod check;
mod explain;
mod rtc;
mod self_test;
mod synchronise;
mod verify_receipt;
mod wait;

use std::time::Duration;

use tsq_sync::{Outcome, synchronise as measure_and_set};

use crate::args::{Args, Command, Limits};
use crate::ended::{Ended, Unusable};
use crate::reach::Reach;
use crate::settings::to_look;

/// Runs the command; returns its exit code.
pub fn run(args: &Args) -> u8 {
    let Some(command) = &args.command else {
        return Ended::tell(synchronise::run(args));
    };
    Ended::tell(match command {
        Command::SelfTest {
            json,
            verbose,
            queries,
        } => self_test::run(*queries, *json, *verbose),
        Command::Wait {
            servers,
            max_error,
            timeout,
            json,
            reach,
        } => {
            let wait = wait::Wait {
                max_error: *max_error,
                timeout: *timeout,
                json: *json,
            };
            wait::run(servers, reach, &wait)
        }
        Command::Rtc {
            servers,
            write,
            device,
            timeout,
            json,
            reach,
        } => {
            let wish = rtc::Wish {
                device,
                write: *write,
                timeout: *timeout,
                json: *json,
            };
            rtc::run(servers, reach, &wish)
        }
        Command::Explain {
            servers,
            timeout,
            json,
            reach,
        } => explain::run(servers, reach, *timeout, *json),
        Command::Check {
            servers,
            timeout,
            json,
            limits,
            reach,
        } => check::run(servers, reach, limits, *timeout, *json),
        Command::VerifyReceipt {
            file,
            key,
            expect_head,
            json,
        } => verify_receipt::run(file, key, *expect_head, *json),
    })
}

/// Asks the servers once and sets nothing.
fn measure(
    servers: &[String],
    reach: &Reach,
    timeout: Duration,
    limits: Option<&Limits>,
) -> Result<Outcome, Unusable> {
    let settings = to_look(servers, reach, timeout, limits)?;
    Ok(measure_and_set(&settings, &mut |_| {})?)
}
