//! Keeping a clock: exchanges in, corrections out, hour after hour.
//!
//! ```text
//! exchanges ─▶ Track (one source: window, bank of models, changes) ─▶ Estimate ─┐
//!                                                       select: who is believed ├─▶ blend ─▶ Keeper: ask, slew, step, hold
//! exchanges ─▶ Track ─▶ Estimate ───────────────────────────────────────────────┘
//! ```
//!
//! Waits in queues are never negative, so an exchange cuts off what can be true rather than pulling at a mean: with n
//! exchanges the offset is known to 1/n of a wait, where an average reaches 1/sqrt(n). `docs/design/discipline.md` has the model,
//! its sources and what it reaches beside others.
//!
//! Nothing here reads a clock, or has chance of its own: [`Keeper`] is handed [`Now`] and [`Stamps`], and says when it wants to be called
//! again. Every computation uses IEEE operations and `libm` only, so that the same exchanges give the same decisions on any machine.

mod bank;
mod blend;
mod change;
mod estimate;
mod hypotheses;
mod keeper;
mod model;
mod noise;
mod normal;
mod poll;
mod settings;
mod source;
mod state;
mod steer;
mod timeline;
mod track;
mod window;

pub use change::Change;
pub use estimate::Estimate;
pub use keeper::{Action, Hold, Keeper, Kept, Rate, Reason};
pub use settings::{PollRange, Settings, StepRule};
pub use source::{ServerClock, SourceSettings};
pub use timeline::{Now, Stamps};
pub use track::Track;
pub use window::Observation;
