//! What one-shot clients say of this machine's clock, and whether the truth lay within the error they claim.

use crate::accuracy::RELAYED;
use crate::paths::{self, Limits, Path, Way};
use crate::relay::OwnError;
use crate::section::{Better, Figure, Section};
use crate::spin::Load;
use crate::{Conditions, Error};

/// Lets every client ask over loopback, a veth pair and the relay, idle and with all cores busy.
///
/// # Errors
/// Not root, or our own servers do not start. A client that cannot run is a row that says so.
pub fn measure(limits: &Limits) -> Result<Section, Error> {
    let conditions = Conditions::now();
    let own_error = OwnError::now(RELAYED.delay_each_way)?;
    let path = |name, way, load| Path {
        name,
        way,
        load,
        for_slow_ones: load == Load::Idle && way != Way::Veth,
    };
    let relay = Way::Relay(RELAYED);
    let paths = [
        path("loopback, idle", Way::Loopback, Load::Idle),
        path("loopback, all cores busy", Way::Loopback, Load::Busy),
        path("veth, idle", Way::Veth, Load::Idle),
        path("veth, all cores busy", Way::Veth, Load::Busy),
        path("relay, 20 ms with jitter and loss, idle", relay, Load::Idle),
        path(
            "relay, 20 ms with jitter and loss, all cores busy",
            relay,
            Load::Busy,
        ),
    ];
    Ok(Section {
        id: "bounds".into(),
        title: "What one-shot clients claim".into(),
        question: "How wrong is the offset a program prints, and how often does the truth lie within the bound it claims?".into(),
        command: "tsq-bench bounds".into(),
        conditions,
        figures: vec![
            Figure::new("error_median_us", "error, median", "us", Better::Less).plotted(),
            Figure::new("error_p95_us", "p95", "us", Better::Less),
            Figure::new("error_p99_us", "p99", "us", Better::Less),
            Figure::new("error_max_us", "max", "us", Better::Less),
            Figure::new("bound_median_us", "claimed bound, median", "us", Better::Neither),
            Figure::new("inside", "truth within the bound", "%", Better::More).plotted(),
            Figure::new("answered", "answered", "%", Better::More),
            Figure::new("runs", "runs", "", Better::Neither),
        ],
        rows: paths::run_all(&paths, *limits)?,
        notes: vec![
            "Client and server read one clock: the true offset is 0. Each run asks two servers (Roughtime: one), all anew.".into(),
            "A bound is no better for being small: it must hold. Bounds as the programs print them. tsq-adjtime: a hard bound, half of the round trip and what the server says of itself. ntpdig, ntpdate: what stands behind +/-, an estimate. ntpd-rs force-sync: within 1 s. roughenough: its radius, and half of the run, from whose middle the offset is counted here, as the program names a time and no offset. chronyd -Q and busybox print no bound; the daemons have one. chronyd prints whole microseconds, as ntpdig does.".into(),
            "On loopback and veth the kernel stamps a packet's departure and its arrival within one call: errors far below a microsecond say that all four stamps are the kernel's, and nothing of how good a clock behind a network would be.".into(),
            "p95 from 20 runs on, p99 from 100 on: with fewer they are the greatest, or close to it.".into(),
            relayed_note(),
            own_error.note(),
        ],
    })
}

fn relayed_note() -> String {
    format!(
        "Relay: {} ms each way and up to {} ms more by chance, {} % of the packets lost each way; the same seeds for every client.",
        RELAYED.delay_each_way.as_millis(),
        RELAYED.jitter.as_millis(),
        RELAYED.loss_percent_each_way
    )
}
