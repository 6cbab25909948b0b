//! The sections of a whole run, in the order they are measured and shown.
//!
//! To add one: a line in [`SECTIONS`], with a function that turns an [`Effort`] into its own options.

use crate::effort::Effort;
use crate::paths::Limits;
use crate::section::Section;
use crate::{
    Error, accuracy, attacks, bounds, handshakes, impaired, memory, one_shot, relay, serving, start,
};

/// What `tsq-bench all` measures.
pub const SECTIONS: &[Entry] = &[
    Entry {
        id: "one-shot",
        title: "One-shot client",
        share: 12,
        measure: |effort| one_shot::measure(&one_shot::Options::of(effort)),
    },
    Entry {
        id: "accuracy",
        title: "Error of the measured offset",
        share: 12,
        measure: |effort| accuracy::measure(&accuracy::Options::of(effort)),
    },
    Entry {
        id: "bounds",
        title: "What one-shot clients claim",
        share: 15,
        measure: |effort| bounds::measure(&Limits::of(effort)),
    },
    Entry {
        id: "impaired",
        title: "Over bad paths",
        share: 22,
        measure: |effort| impaired::measure(&Limits::of(effort)),
    },
    Entry {
        id: "server",
        title: "Server under load",
        share: 22,
        measure: |effort| serving::measure(&serving::Options::of(effort)),
    },
    Entry {
        id: "attacks",
        title: "Under attack",
        share: 7,
        measure: |effort| attacks::measure(&attacks::Options::of(effort)),
    },
    Entry {
        id: "handshakes",
        title: "Handshakes",
        share: 4,
        measure: |effort| handshakes::measure(&handshakes::Options::of(effort)),
    },
    Entry {
        id: "memory",
        title: "Memory of a server",
        share: 4,
        measure: |effort| memory::measure(&memory::Options::of(effort)),
    },
    Entry {
        id: "start",
        title: "Start of a server",
        share: 1,
        measure: |effort| start::measure(&start::Options::of(effort)),
    },
    Entry {
        id: "relay",
        title: "The relay's own error",
        share: 2,
        measure: |effort| relay::measure(&relay::Options::of(effort)),
    },
];

/// One section of a whole run.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// As in [`Section::id`].
    pub id: &'static str,
    /// Shown where the measurement itself gave no section.
    pub title: &'static str,
    /// Its part of the whole time, relative to the others'.
    pub share: u32,
    /// Measures it. What it cannot measure is a word in a cell; an error or a panic means that it measured nothing.
    pub measure: fn(&Effort) -> Result<Section, Error>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_tell_the_sections_apart_and_can_name_files() {
        let ids: BTreeSet<&str> = SECTIONS.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), SECTIONS.len());
        for id in ids {
            assert!(
                id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{id}"
            );
        }
    }
}
