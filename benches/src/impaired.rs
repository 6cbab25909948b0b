//! One-shot clients over bad paths: how often they get an answer, how wrong it is, and how long it takes.

use std::time::Duration;

use tsq_interop::{Bottleneck, Impairment};

use crate::paths::{self, Limits, Path, Way};
use crate::relay::OwnError;
use crate::section::{Better, Figure, Section};
use crate::spin::Load;
use crate::{Conditions, Error};

/// Lets every client ask over every path, each run through fresh relays with their own seeds.
///
/// # Errors
/// Not root, or our own servers do not start. A run without an answer is a figure, and a client that cannot run is a
/// row that says so.
pub fn measure(limits: &Limits) -> Result<Section, Error> {
    let conditions = Conditions::now();
    let own_error = OwnError::now(CLEAN.delay_each_way)?;
    let paths = CASES.map(|(name, impairment)| Path {
        name,
        way: Way::Relay(impairment),
        load: Load::Idle,
        for_slow_ones: [0.0, 20.0].contains(&impairment.loss_percent_each_way)
            && impairment.reorder_percent == 0.0
            && impairment.more_on_the_way_back.is_zero(),
    });
    Ok(Section {
        id: "impaired".into(),
        title: "Over bad paths".into(),
        question: "Who still gets an answer when packets are lost, late or out of order, and how wrong is it?".into(),
        command: "tsq-bench impaired".into(),
        conditions,
        figures: vec![
            Figure::new("answered", "answered", "%", Better::More).plotted(),
            Figure::new("error_median_us", "error, median", "us", Better::Less).plotted(),
            Figure::new("error_max_us", "max", "us", Better::Less),
            Figure::new("bound_median_us", "claimed bound, median", "us", Better::Neither),
            Figure::new("inside", "truth within the bound", "%", Better::More),
            Figure::new("wall_ms", "wall time, median", "ms", Better::Less),
            Figure::new("wall_max_ms", "max", "ms", Better::Less),
            Figure::new("runs", "runs", "", Better::Neither),
        ],
        rows: paths::run_all(&paths, *limits)?,
        notes: vec![
            "Client and server read one clock: the true offset is 0. Each run asks two servers (Roughtime: one), all anew, each through a relay of its own with 20 ms of round trip; the same seeds for every client. Answered: it named a time, and ended with success within 30 s (4 s in a quick run).".into(),
            "Asymmetry: 30 ms longer on the way back, so 15 ms of error that no exchange of packets can see; only a bound can tell of it, and differences between the clients are chance. The offset of roughenough is counted from the middle of its run, as it names a time and no offset.".into(),
            "Bufferbloat: 5 Mbit/s to the server behind a queue of 100 to 200 ms that a TCP transfer of somebody else keeps filling, as a sawtooth with a period of 8 s; back it is empty, so 50 to 100 ms of unseen error. The transfer is a model: a real one would take the processor that the clients need, and would be another one in each run.".into(),
            "Reordering: a quarter of the packets is held 3 ms longer than those behind them.".into(),
            "The key exchange of NTS goes over TCP with the same delays and without loss, reordering or jitter: what the kernels' retransmissions would add is not in its figures.".into(),
            own_error.note(),
        ],
    })
}

const CASES: [(&str, Impairment); 7] = [
    ("no impairment but 20 ms", CLEAN),
    ("1 % loss each way", lossy(1.0)),
    ("5 % loss each way", lossy(5.0)),
    ("20 % loss each way", lossy(20.0)),
    (
        "reordering",
        Impairment {
            reorder_percent: 25.0,
            ..CLEAN
        },
    ),
    (
        "asymmetry of 30 ms",
        Impairment {
            more_on_the_way_back: Duration::from_millis(30),
            ..CLEAN
        },
    ),
    (
        "bufferbloat",
        Impairment {
            bottleneck: Some(Bottleneck {
                bits_per_second: 5_000_000,
                least_queue: Duration::from_millis(100),
                most_queue: Duration::from_millis(200),
                period: Duration::from_secs(8),
            }),
            ..CLEAN
        },
    ),
];

const CLEAN: Impairment = Impairment {
    delay_each_way: Duration::from_millis(10),
    more_on_the_way_back: Duration::ZERO,
    jitter: Duration::ZERO,
    bottleneck: None,
    loss_percent_each_way: 0.0,
    reorder_percent: 0.0,
    corrupt_percent: 0.0,
    rebind_after: None,
    seed: 0,
};

const fn lossy(percent: f64) -> Impairment {
    Impairment {
        loss_percent_each_way: percent,
        ..CLEAN
    }
}
