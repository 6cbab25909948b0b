//! What the waits of packets look like: learnt from a window of exchanges, robustly, for real delays have heavy tails.

use super::window::Residual;

/// One direction's noise, as a model has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    /// Variance of the Gaussian share, in s^2: stamps, and an edge that is not sharp.
    pub(crate) soft: f64,
    /// Mean of the exponential wait, in s; None: there is none, the noise is Gaussian.
    pub(crate) wait: Option<f64>,
    pub(crate) tail: Option<Tail>,
}

/// Some packets wait much longer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tail {
    /// Which share of them.
    pub(crate) share: f64,
    /// Their mean wait, in s.
    pub(crate) wait: f64,
}

/// How the exchanges of a window scatter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scatter {
    /// The least round trip, in s.
    pub(crate) least: f64,
    /// One direction's wait from the middle half of the round trips, in s: what a tail cannot move.
    pub(crate) core: f64,
    /// The same from their standard deviation: right if there is no tail.
    pub(crate) spread: f64,
    pub(crate) up: Direction,
    pub(crate) down: Direction,
}

/// One direction's part in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction {
    /// Its wait over the mean of both directions' waits: 0 to 2.
    pub(crate) part: f64,
    pub(crate) tail: Tail,
}

/// An exponential wait in both directions has round trips with this interquartile range, in waits.
const CORE_QUARTILES: f64 = 1.8;

/// No wait is taken for less, in s: that of a stamp.
const LEAST_WAIT: f64 = 1e-9;

/// With fewer exchanges nobody knows how they scatter, and a tenth of the round trip is a guess that fits LANs and long paths.
const FEW: usize = 8;
const GUESSED_WAIT: f64 = 0.1;

/// Who waits longer than the third quartile and three times the interquartile range is the tail's.
const TAIL_FENCE: f64 = 3.0;
const TAIL_SHARE: (f64, f64) = (0.01, 0.3);
/// A tail waits at least so many times longer than the core; else it is none.
const TAIL_LEAST: f64 = 4.0;

impl Scatter {
    /// Of at least one observation, whose trend has been taken out.
    pub(crate) fn of(window: &[Residual]) -> Self {
        let trips = Sorted::new(window.iter().map(Residual::round_trip));
        let least = trips.quantile(0.0);
        let guess = if window.len() < FEW {
            GUESSED_WAIT * least.max(0.0) * (FEW - window.len()) as f64 / FEW as f64
        } else {
            0.0
        };
        let at_least = LEAST_WAIT.max(guess);
        let spread = (trips.variance() / 2.0).sqrt().max(at_least);
        let core = (trips.range() / CORE_QUARTILES).max(at_least);
        let core = if window.len() < FEW {
            core.max(spread)
        } else {
            core
        };
        let up = Sorted::new(window.iter().map(|o| o.up));
        let down = Sorted::new(window.iter().map(|o| o.down));
        let changes = [changes(window, |o| o.up), changes(window, |o| o.down)];
        let sum = changes[0] + changes[1];
        let sure = ((window.len() as f64 - ALIKE) / (APART - ALIKE)).clamp(0.0, 1.0);
        let part = |change: f64| {
            let part = if sum > 0.0 { 2.0 * change / sum } else { 1.0 };
            1.0 + sure * (part.max(LEAST_PART) - 1.0)
        };
        Self {
            least,
            core,
            spread,
            up: Direction::of(&up, part(changes[0]), core),
            down: Direction::of(&down, part(changes[1]), core),
        }
    }
}

/// A direction without any wait is not believed in.
const LEAST_PART: f64 = 0.02;
/// Directions count as alike up to so many exchanges, and are told apart fully from so many on.
const ALIKE: f64 = 24.0;
const APART: f64 = 48.0;

impl Scatter {
    /// A wait that says how exact an exchange is: the geometric mean of both directions' ones, since the quick one counts for more.
    pub(crate) fn telling(&self) -> f64 {
        self.core * (self.up.part * self.down.part).sqrt()
    }
}

impl Direction {
    fn of(delays: &Sorted, part: f64, core: f64) -> Self {
        let fence = delays.quantile(0.75) + TAIL_FENCE * delays.range();
        let late = delays.0.iter().filter(|&&delay| delay > fence);
        let (count, sum) = late.fold((0.0, 0.0), |(n, sum), delay| (n + 1.0, sum + delay));
        let excess = if count > 0.0 {
            sum / count - delays.quantile(0.5)
        } else {
            0.0
        };
        let share = (count / delays.0.len() as f64).clamp(TAIL_SHARE.0, TAIL_SHARE.1);
        Self {
            part,
            tail: Tail {
                share,
                wait: excess.max(TAIL_LEAST * part * core),
            },
        }
    }

    /// The noise of this direction if a wait is `wait` in the mean of both, of which the share `soft` of its variance is Gaussian.
    pub(crate) fn noise(&self, wait: f64, soft: f64, with_tail: bool) -> Noise {
        let wait = wait * self.part;
        Noise {
            soft: soft * wait * wait + LEAST_WAIT * LEAST_WAIT,
            wait: (soft < 1.0).then(|| (1.0 - soft).sqrt() * wait),
            tail: with_tail.then(|| Tail {
                share: self.tail.share,
                wait: self.tail.wait.max(TAIL_LEAST * wait),
            }),
        }
    }
}

/// The median change of one direction's delay from an exchange to the next: what is left where the clock's own drift is taken out.
fn changes(window: &[Residual], of: impl Fn(&Residual) -> f64) -> f64 {
    let pairs = window
        .windows(2)
        .map(|pair| (of(&pair[1]) - of(&pair[0])).abs());
    Sorted::new(pairs).quantile(0.5)
}

/// Numbers in order.
struct Sorted(Vec<f64>);

impl Sorted {
    fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        Self(values)
    }

    /// Between the values on both sides, in proportion; zero of none.
    fn quantile(&self, part: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else {
            return 0.0;
        };
        let place = part * last as f64;
        let below = (place as usize).min(last);
        let above = (below + 1).min(last);
        let share = place - below as f64;
        self.0[below] * (1.0 - share) + self.0[above] * share
    }

    /// Between the quartiles.
    fn range(&self) -> f64 {
        self.quantile(0.75) - self.quantile(0.25)
    }

    /// Of these very numbers (over n); zero of none.
    fn variance(&self) -> f64 {
        let count = self.0.len().max(1) as f64;
        let mean = self.0.iter().sum::<f64>() / count;
        self.0.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count
    }
}
