//! Samples that wait to be told when their answers really left.

use std::collections::HashMap;
use std::time::Duration;

use tsq_proto::{FollowUp, Nonce, Response, Sample};

/// At most one sample of each connection: a follow-up comes with the next answer on it, or never.
#[derive(Debug, Default)]
pub(crate) struct Held {
    of_client: HashMap<usize, (Nonce, Sample)>,
}

impl Held {
    /// Keeps a sample, in place of the one before; true if that one was still waiting.
    pub(crate) fn hold(&mut self, client: usize, nonce: Nonce, sample: Sample) -> bool {
        self.of_client.insert(client, (nonce, sample)).is_some()
    }

    /// The client's sample, corrected, if its departure is told in this answer, which passed every check.
    // tsq: M10
    pub(crate) fn told(
        &mut self,
        client: usize,
        answer: &[u8],
        offset_limit: Duration,
    ) -> Option<Sample> {
        let (nonce, sample) = self.of_client.get(&client)?;
        let response = Response::decode(answer).ok()?;
        let told = FollowUp::all(&response.metadata()).find(|one| one.nonce == *nonce)?;
        let corrected = sample.with_departure(told.departure, offset_limit).ok()?;
        self.of_client.remove(&client);
        Some(corrected)
    }

    /// Forgets all; gives how many were still waiting.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.of_client.len() as u64;
        self.of_client.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    use tsq_proto::{Contents, HostTime, Offset, Prepared, Query, Request};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(nanos: i64) -> HostTime {
        HostTime::from_unix(1_795_000_000, 0) + Offset::from_nanos(nanos)
    }

    /// The answer of a server that stamps 10 us before the packet leaves; it tells of `earlier`.
    fn answer(nonce: Nonce, earlier: &[FollowUp]) -> Vec<u8> {
        let mut storage = [0; FollowUp::MAX_LEN];
        let contents = Contents {
            follow_ups: FollowUp::to_metadata(earlier, &mut storage).unwrap(),
            ..Contents::default()
        };
        let request = Request::new(nonce).with_follow_up();
        let mut out = [0; 512];
        Prepared::answer_with(&request, at(50_000), &contents, &mut out)
            .unwrap()
            .stamp(at(60_000))
            .to_vec()
    }

    #[test]
    fn sample_is_corrected_by_the_follow_up_about_it_and_by_no_other() {
        let [first, second] = [1, 2].map(|byte| Nonce::new([byte; 16]));
        let sample = Query::new(first, at(0))
            .finish(&answer(first, &[]), at(120_000), DAY)
            .unwrap();
        assert_eq!(sample.offset, Offset::from_nanos(-5_000));
        let about = |nonce| FollowUp {
            nonce,
            departure: at(70_000).to_ntp(),
        };
        let mut held = Held::default();
        assert!(!held.hold(7, first, sample));
        assert_eq!(held.told(7, &answer(second, &[]), DAY), None);
        assert_eq!(held.told(7, &answer(second, &[about(second)]), DAY), None);
        assert_eq!(held.told(8, &answer(second, &[about(first)]), DAY), None);
        let told = answer(second, &[about(second), about(first)]);
        let corrected = held.told(7, &told, DAY).unwrap();
        assert_eq!(corrected.offset, Offset::ZERO);
        assert_eq!(held.told(7, &told, DAY), None);
        assert!(!held.hold(7, first, sample));
        assert!(held.hold(7, second, sample));
        assert_eq!(held.clear(), 1);
    }
}
