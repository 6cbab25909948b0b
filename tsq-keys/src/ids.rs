use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, Problem};

/// Which file brought which key id, so that a second one is refused with both names.
#[derive(Default)]
pub(crate) struct Ids(BTreeMap<u32, PathBuf>);

impl Ids {
    pub(crate) fn claim(&mut self, id: u32, path: &Path) -> Result<(), Error> {
        match self.0.insert(id, path.into()) {
            None => Ok(()),
            Some(first) => Err(Error {
                path: path.into(),
                problem: Problem::DuplicateId { id, first },
            }),
        }
    }
}
