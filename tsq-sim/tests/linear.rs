//! The estimator beside linear filters that are told what it has to find out, on one path after the other.
//!
//! Each is handed the same exchanges; what it says is held against the truth in every second until the next exchange.

use tsq_algo::discipline::{Observation, Track};
use tsq_sim::expression::{Expression, Instance, Kind, Names};

const POLL: usize = 64;
const SECONDS: usize = 24_000;
const MEASURED_FROM: usize = 8_000;
const SEEDS: u64 = 4;
/// Frequency's random walk per sqrt(s), as in the scenarios.
const WANDER: f64 = 1e-9;

/// Offset and frequency at a moment.
#[derive(Clone, Copy)]
struct Said {
    at: f64,
    offset: f64,
    frequency: f64,
}

trait Filter {
    fn take(&mut self, exchange: Observation) -> Said;
}

impl Filter for Track {
    fn take(&mut self, exchange: Observation) -> Said {
        self.push(exchange);
        let estimate = self.get().expect("an exchange was taken in");
        Said {
            at: estimate.at,
            offset: estimate.offset,
            frequency: estimate.frequency,
        }
    }
}

/// A Kalman filter of offset and frequency, which knows the wander and each sample's variance.
struct Kalman {
    weigh: fn(f64, f64) -> f64,
    /// The variance of a sample's offset, and the least round trip: told, not learnt.
    variance: f64,
    least: f64,
    at: f64,
    state: [f64; 2],
    covariance: [f64; 3],
}

impl Kalman {
    fn new(path: &Path, weigh: fn(f64, f64) -> f64) -> Self {
        Self {
            weigh,
            variance: path.variance,
            least: path.least,
            at: 0.0,
            state: [0.0; 2],
            covariance: [1.0, 0.0, 1e-8],
        }
    }
}

impl Filter for Kalman {
    fn take(&mut self, exchange: Observation) -> Said {
        let t = exchange.at - self.at;
        self.at = exchange.at;
        let [offset, frequency] = self.state;
        let [p, c, q] = self.covariance;
        let walk = WANDER * WANDER * t;
        let p = p + t * (2.0 * c + t * q) + walk * t * t / 3.0;
        let c = c + t * q + walk * t / 2.0;
        let q = q + walk;
        let offset = offset + t * frequency;
        let noise = (self.weigh)(self.variance, exchange.up + exchange.down - self.least);
        let surprise = (exchange.up - exchange.down) / 2.0 - offset;
        let gain = [p / (p + noise), c / (p + noise)];
        self.state = [offset + gain[0] * surprise, frequency + gain[1] * surprise];
        self.covariance = [p - gain[0] * p, c - gain[0] * c, q - gain[1] * c];
        Said {
            at: self.at,
            offset: self.state[0],
            frequency: self.state[1],
        }
    }
}

/// A straight line through the last sixteen samples.
#[derive(Default)]
struct Line(Vec<(f64, f64)>);

impl Filter for Line {
    fn take(&mut self, exchange: Observation) -> Said {
        self.0
            .push((exchange.at, (exchange.up - exchange.down) / 2.0));
        let last = &self.0[self.0.len().saturating_sub(16)..];
        let count = last.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| last.iter().map(of).sum::<f64>() / count;
        let (time, offset) = (mean(|s| s.0), mean(|s| s.1));
        let product: f64 = last.iter().map(|s| (s.0 - time) * (s.1 - offset)).sum();
        let square: f64 = last.iter().map(|s| (s.0 - time) * (s.0 - time)).sum();
        let frequency = if square > 0.0 { product / square } else { 0.0 };
        Said {
            at: exchange.at,
            offset: offset + frequency * (exchange.at - time),
            frequency,
        }
    }
}

/// Delays of both directions, and what the linear filters are told of them.
struct Path {
    up: Expression,
    down: Expression,
    variance: f64,
    least: f64,
}

impl Path {
    fn new(up: &str, down: &str) -> Self {
        let parse = |text| Expression::parse(text, Kind::Delay).expect("an expression");
        let (up, down) = (parse(up), parse(down));
        let mut ways = [Instance::new(&up, 99, 1), Instance::new(&down, 99, 2)];
        let trips: Vec<[f64; 2]> = (0..20_000)
            .map(|_| [0, 1].map(|way| ways[way].evaluate(&Names::default())))
            .collect();
        let offsets = || trips.iter().map(|[up, down]| (up - down) / 2.0);
        let mean = offsets().sum::<f64>() / trips.len() as f64;
        let variance = offsets().map(|o| (o - mean) * (o - mean)).sum::<f64>() / trips.len() as f64;
        let least = trips
            .iter()
            .map(|[up, down]| up + down)
            .fold(f64::INFINITY, f64::min);
        Self {
            up,
            down,
            variance,
            least,
        }
    }

    /// The root mean square of what a filter is wrong by.
    fn error(&self, seed: u64, filter: &mut dyn Filter) -> f64 {
        let walk =
            Expression::parse("(sum (* 1e-9 (normal)))", Kind::Frequency).expect("an expression");
        let mut frequency = Instance::new(&walk, seed, 0);
        let mut ways = [
            Instance::new(&self.up, seed, 1),
            Instance::new(&self.down, seed, 2),
        ];
        let (mut offset, mut said) = (-0.1, None::<Said>);
        let (mut count, mut sum) = (0.0, 0.0);
        for second in 0..SECONDS {
            let at = second as f64;
            if second % POLL == 0 {
                let [up, down] = [0, 1].map(|way| ways[way].evaluate(&Names::default()));
                let exchange = Observation {
                    at,
                    up: up + offset,
                    down: down - offset,
                    change: None,
                };
                said = Some(filter.take(exchange));
            }
            if let Some(said) = said.filter(|_| second >= MEASURED_FROM) {
                let error = said.offset + said.frequency * (at - said.at) - offset;
                sum += error * error;
                count += 1.0;
            }
            offset += -1e-5 + frequency.evaluate(&Names::default());
        }
        f64::sqrt(sum / count)
    }

    /// The median over the seeds.
    fn median(&self, filter: impl Fn() -> Box<dyn Filter>) -> f64 {
        let mut errors: Vec<f64> = (1..=SEEDS)
            .map(|seed| self.error(seed, &mut *filter()))
            .collect();
        errors.sort_unstable_by(f64::total_cmp);
        f64::midpoint(errors[errors.len() / 2], errors[(errors.len() - 1) / 2])
    }
}

/// How many times as wrong as the best linear filter the estimator may be, and is at most, by path.
#[test]
fn estimator_is_at_most_a_little_worse_than_the_best_linear_filter_and_mostly_far_better() {
    let exponential = "(+ 1e-2 (* 1e-3 (exponential)))";
    for (name, up, down, most) in [
        ("exponential", exponential, exponential, 0.9),
        ("gamma", GAMMA, GAMMA, 1.3),
        ("normal", NORMAL, NORMAL, 1.25),
        ("heavy tail", TAIL, TAIL, 0.6),
        ("soft edge, heavy tail", SOFT, SOFT, 1.0),
        (
            "three to one",
            "(+ 1e-2 (* 1.5e-3 (exponential)))",
            "(+ 1e-2 (* 5e-4 (exponential)))",
            0.6,
        ),
        (
            "one way",
            "(+ 1e-2 (* 2e-3 (exponential)))",
            "(+ 1e-2 (* 2e-5 (exponential)))",
            0.2,
        ),
    ] {
        let path = Path::new(up, down);
        let ours = path.median(|| Box::new(Track::default()));
        let linear = [
            path.median(|| Box::new(Kalman::new(&path, |variance, _| variance))),
            path.median(|| Box::new(Kalman::new(&path, by_delay))),
            path.median(|| Box::<Line>::default()),
        ];
        let best = linear.iter().copied().fold(f64::INFINITY, f64::min);
        println!(
            "{name}: {:.1} us, linear {linear:?}, {:.2} of the best",
            ours * 1e6,
            ours / best
        );
        assert!(
            ours <= most * best,
            "{name}: {ours} s, the best linear filter {best} s"
        );
    }
}

/// What a round trip has beyond the least was waited on either side: a uniform error, and a fiftieth of the usual variance for what is no wait.
fn by_delay(variance: f64, excess: f64) -> f64 {
    excess * excess / 12.0 + 0.02 * variance
}

const GAMMA: &str = "(+ 1e-2 (* 7e-4 (exponential)) (* 7e-4 (exponential)))";
const NORMAL: &str = "(+ 2e-2 (* 1e-3 (normal)))";
const TAIL: &str = "(+ 1e-2 (* 1e-4 (exponential)) (* 5e-3 (exponential) (equal 0.1 (uniform) 0)))";
const SOFT: &str = "(+ 1e-3 (* 1e-4 (normal)) (* 5e-3 (exponential) (equal 0.1 (uniform) 0)))";
