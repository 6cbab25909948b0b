//! What the operator is told of the clock that is served.

use std::time::Duration;

use tsq_host::own_clock::{DRIFT_PPM, Lack, OwnClock};

/// Tells at every change of who keeps it.
pub(crate) fn of_looks(holdover: Duration) -> impl FnMut(&OwnClock, bool) + Send + 'static {
    move |clock, changed| {
        #[cfg(debug_assertions)]
        crate::faults::own_clock();
        if changed {
            report(clock, holdover);
        }
    }
}

/// Said at every change, and once at the start.
pub(crate) fn report(picture: &OwnClock, holdover: Duration) {
    if picture.vouched {
        tracing::warn!(
            stratum = picture.stratum,
            "nobody keeps this host's clock; it is served as good time all the same"
        );
    } else if picture.is_held() {
        tracing::warn!(
            holdover_s = holdover.as_secs(),
            drift_ppm = DRIFT_PPM,
            "nobody keeps this host's clock any more: clients are told class 5 and a growing error, and after the \
             holdover stratum 0; see to chronyd"
        );
    } else if picture.synchronised {
        tracing::info!(
            stratum = picture.stratum,
            "this host's clock is synchronised"
        );
    } else {
        let lack = picture.lack.unwrap_or(Lack::Keeper);
        tracing::warn!(
            "this host's clock is not synchronised, clients are told stratum 0: {lack}; --serve-unsynchronised \
             serves it as good all the same"
        );
    }
}
