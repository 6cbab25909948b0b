//! How connections came about, and how they ended.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tsq_proto::words::Count;

/// How connections came about and ended, whatever was counted in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// As many were asked for.
    pub wanted: u64,
    /// Have not ended.
    pub alive: u64,
    /// Ended before their first right answer, by reason: a server over a limit completes some handshakes first.
    pub refused: BTreeMap<String, u64>,
    /// Ended after it, by reason.
    pub closed: BTreeMap<String, u64>,
}

impl Connections {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.wanted += other.wanted;
        self.alive += other.alive;
        for (ours, more) in [
            (&mut self.refused, &other.refused),
            (&mut self.closed, &other.closed),
        ] {
            for (reason, count) in more {
                *ours.entry(reason.clone()).or_default() += count;
            }
        }
    }

    /// Whether as many came about and lived to the end as were asked for.
    pub fn complete(&self) -> bool {
        self.refused.is_empty() && self.closed.is_empty() && self.alive >= self.wanted
    }

    /// Why there is none.
    pub(crate) fn end_words(&self) -> String {
        let (what, reasons) = match self.closed.is_empty() {
            true => ("none of the connections came about", &self.refused),
            false => ("every connection has ended", &self.closed),
        };
        match reasons.keys().next() {
            Some(reason) => format!("{what}: {reason}"),
            None => what.into(),
        }
    }

    /// In a line, with what came of the others.
    pub(crate) fn words(&self) -> String {
        let ends = [(&self.refused, "refused"), (&self.closed, "ended")];
        let ends = ends
            .iter()
            .flat_map(|(reasons, how)| reasons.iter().map(move |it| (it, how)));
        let ends = ends.map(|((reason, count), how)| format!("; {count} {how}: {reason}"));
        format!(
            "{} of {} made{}",
            self.alive,
            Count(self.wanted, "connection"),
            ends.collect::<String>()
        )
    }

    /// All of it.
    pub fn json(&self) -> Value {
        json!({
            "wanted": self.wanted,
            "alive": self.alive,
            "refused": self.refused,
            "closed": self.closed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_are_missing_are_told_with_their_reasons() {
        let reasons = |reason: &str| BTreeMap::from([(reason.to_string(), 2)]);
        let mut all = Connections {
            wanted: 5,
            alive: 1,
            refused: reasons("full"),
            closed: reasons("done"),
        };
        assert!(!all.complete());
        assert_eq!(
            all.words(),
            "1 of 5 connections made; 2 refused: full; 2 ended: done"
        );
        assert_eq!(all.end_words(), "every connection has ended: done");
        all.merge(&all.clone());
        assert_eq!((all.wanted, all.refused["full"]), (10, 4));
        let good = Connections {
            wanted: 5,
            alive: 5,
            ..Connections::default()
        };
        assert!(good.complete());
        assert_eq!(good.words(), "5 of 5 connections made");
    }
}
