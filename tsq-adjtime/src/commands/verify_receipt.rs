//! The `verify-receipt` command.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use tsq_command::output;
use tsq_keys::VerifyKeys;
use tsq_sync::receipt::{Checked, Flaw, Hash, Problem, Proof, verify};
use tsq_view::receipts::{object, refusal, summary, valid, words};

use crate::ended::{Ended, Unusable, internal};
use crate::exit::Exit;
use crate::shown::view;

/// Checks a file and prints what it proves; returns how that ended.
///
/// # Errors
/// [`Unusable`]: a key that is none, or a result that cannot be written.
pub(super) fn run(
    file: &Path,
    keys: &[PathBuf],
    expected_head: Option<Hash>,
    json: bool,
) -> Result<Ended, Unusable> {
    let keys = VerifyKeys::load(keys).map_err(|error| Unusable {
        exit: Exit::Usage,
        problem: error.to_string(),
    })?;
    let mut found = None;
    let printed = output::print(|out| {
        let mut unwritten = Ok(());
        let mut each = |proof: &Proof| {
            if unwritten.is_ok() {
                unwritten = match json {
                    true => writeln!(out, "{}", object(proof)),
                    false => writeln!(out, "{}", words(proof)),
                };
            }
        };
        let result = found.insert(read(file, &keys, expected_head, &mut each));
        unwritten?;
        match result {
            Ok(checked) if json => writeln!(out, "{}", valid(checked)),
            Ok(checked) => writeln!(out, "{}", summary(checked, view(false))),
            Err(flaw) if json => writeln!(out, "{}", refusal(flaw)),
            Err(_) => Ok(()),
        }
    });
    if let Some(Err(flaw)) = found {
        let exit = match flaw.problem {
            Problem::File(_) => Exit::Usage,
            _ => Exit::Internal,
        };
        return Ok(Ended::with(exit, format!("{}: {flaw}", file.display())));
    }
    printed.map_err(internal)?;
    Ok(Ended::well())
}

fn read(
    file: &Path,
    keys: &VerifyKeys,
    expected_head: Option<Hash>,
    each: &mut dyn FnMut(&Proof),
) -> Result<Checked, Flaw> {
    let file = File::open(file).map_err(|error| Flaw {
        line: 0,
        problem: Problem::File(error),
    })?;
    verify(&mut BufReader::new(file), keys, expected_head, each)
}
