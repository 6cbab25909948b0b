//! Follow-ups: what servers tell, in later answers, of when earlier ones really left.

use std::collections::VecDeque;
use std::time::Duration;

use tsq_proto::{FollowUp, FollowUpRefusal, Nonce, Response};

use crate::nonce::nonce_of;
use crate::report::{Answer, FollowUpCounts, SampleReport, Timestamps};

/// The follow-ups of one association.
#[derive(Debug, Default)]
pub(crate) struct FollowUps {
    /// About answers that are still on their way: they were overtaken.
    early: VecDeque<FollowUp>,
    pub(crate) counts: FollowUpCounts,
}

/// What a nonce without a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// A query under way.
    Waiting,
    /// A query that is over: given up, refused, or of an earlier measurement.
    Over,
    /// None of ours.
    No,
}

impl FollowUps {
    /// What came early about the answer with this nonce.
    pub(crate) fn early_for(&mut self, nonce: Nonce) -> Option<FollowUp> {
        let index = self.early.iter().position(|one| one.nonce == nonce)?;
        self.early.remove(index)
    }

    /// Corrects the sample that `follow_up` is about, or keeps it until that comes.
    pub(crate) fn take(
        &mut self,
        follow_up: FollowUp,
        known: Known,
        samples: &mut [SampleReport],
        offset_limit: Duration,
    ) {
        let sample = samples
            .iter_mut()
            .filter_map(|sample| sample.result.as_mut().ok())
            .find(|answer| nonce_of(&answer.request) == Some(follow_up.nonce));
        match (sample, known) {
            (Some(answer), _) => match correct(answer, &follow_up, offset_limit) {
                Ok(corrected) => self.counts.used += u32::from(corrected),
                Err(refusal) => self.refuse(refusal),
            },
            (None, Known::Waiting) => {
                if self.early.len() == MAX_EARLY {
                    self.early.pop_front();
                }
                self.early.push_back(follow_up);
            }
            (None, Known::Over) => {}
            (None, Known::No) => self.refuse(FollowUpRefusal::UnknownNonce),
        }
    }

    fn refuse(&mut self, refusal: FollowUpRefusal) {
        *self.counts.refused.entry(refusal.name()).or_default() += 1;
    }
}

/// What an answer that passed every check tells of earlier ones.
pub(crate) fn told_in(answer: &Answer) -> Vec<FollowUp> {
    Response::decode(&answer.response).map_or_else(
        |_| Vec::new(),
        |response| {
            FollowUp::all(&response.metadata())
                .take(FollowUp::MAX_TOLD)
                .collect()
        },
    )
}

/// Whether a follow-up could still make a sample better.
pub(crate) fn any_missing(samples: &[SampleReport]) -> bool {
    samples
        .iter()
        .filter_map(|sample| sample.result.as_ref().ok())
        .any(|answer| answer.timestamps == Timestamps::Kernel)
}

/// Whether it was corrected: exact stamps on the server's side alone would bias the offset.
// tsq: M10
fn correct(
    answer: &mut Answer,
    follow_up: &FollowUp,
    offset_limit: Duration,
) -> Result<bool, FollowUpRefusal> {
    match answer.timestamps {
        Timestamps::User => Ok(false),
        Timestamps::KernelAndFollowUp => Err(FollowUpRefusal::Repeated),
        Timestamps::Kernel => {
            answer.sample = answer
                .sample
                .with_departure(follow_up.departure, offset_limit)?;
            answer.timestamps = Timestamps::KernelAndFollowUp;
            Ok(true)
        }
    }
}

/// More answers than are ever under way at once.
const MAX_EARLY: usize = 32;
