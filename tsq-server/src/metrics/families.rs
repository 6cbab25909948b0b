//! The names under which numbers are told; docs/operate/serve.md lists them.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::Sources;
use crate::counts::{Counters, Counts};
use tsq_host::own_clock::OwnClock;

impl Collector for Sources {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = Page(encoder);
        let counts = self.counts();
        page.requests(&counts)?;
        page.lag(&self.shards)?;
        self.connections(&mut page, &counts)?;
        page.limits(&counts)?;
        self.files(&mut page)?;
        self.process(&mut page)?;
        if let Some(bytes) = self.memory.resident() {
            let help = "Memory this process holds";
            page.gauge("process_resident_memory", help, Some(&Unit::Bytes), &bytes)?;
        }
        let help = "Log lines that standard error did not take in time";
        page.counter("tsq_log_lines_lost", help, self.log.count())?;
        page.clock(&self.clock.newest())
    }
}

impl Sources {
    fn files(&self, page: &mut Page<'_>) -> fmt::Result {
        let certificates = self.identities.newest();
        let mut encoder = page.0.encode_descriptor(
            "tsq_certificate_expiry_timestamp",
            "When each certificate that is shown expires, counted from 1970",
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for one in certificates.iter() {
            let file = one.path.to_string_lossy();
            encoder
                .encode_family(&[("file", file.as_ref())])?
                .encode_gauge(&one.validity.end())?;
        }
        let help = "Attempts to read files again that failed; what was read before stays in force";
        let failures = [
            ("certificates", self.failures.certificates.get()),
            ("client-ca", self.failures.client_ca.get()),
            ("signing-keys", self.failures.signing_keys.get()),
        ];
        page.counters("tsq_reload_failures", help, "files", &failures)
    }

    fn process(&self, page: &mut Page<'_>) -> fmt::Result {
        let help = "1; the version of this server";
        page.0
            .encode_descriptor("tsq_build_info", help, None, MetricType::Gauge)?
            .encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?
            .encode_gauge(&1_u32)?;
        let help = "When this process began, counted from 1970";
        page.gauge(
            "process_start_time",
            help,
            Some(&Unit::Seconds),
            &self.started.unix(),
        )
    }

    fn connections(&self, page: &mut Page<'_>, counts: &Counts) -> fmt::Result {
        let shared = &self.shared;
        page.gauge(
            "tsq_connections",
            "Connections now",
            None,
            &shared.connections(),
        )?;
        let help = "Of these, handshakes under way";
        page.gauge("tsq_half_open_connections", help, None, &shared.half_open())?;
        page.counter("tsq_handshakes", "Handshakes completed", counts.handshakes)?;
        let help = "Sessions taken up again instead of a full handshake";
        page.counter("tsq_resumptions", help, self.issued.resumed())?;
        let help = "Connections ended, by whom or what";
        let ends = [
            ("client", counts.closed_by_client),
            ("idle", counts.closed_idle),
            ("error", counts.closed_by_error),
            ("server", counts.closed_by_server),
        ];
        page.counters("tsq_connections_closed", help, "reason", &ends)?;
        let help = "Connections closed because the client's certificate counts no more";
        page.counter("tsq_client_certificates_withdrawn", help, counts.withdrawn)?;
        let help = "Attempts asked to come again with a token (Retry)";
        page.counter("tsq_retries", help, counts.retried)
    }
}

/// What is being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn requests(&mut self, counts: &Counts) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(
            "tsq_requests",
            "Requests by transport and outcome: answered with the time, refused as unusable, dropped over a limit, reset unfinished",
            None,
            MetricType::Counter,
        )?;
        for (transport, outcome, count) in [
            ("datagram", "answered", counts.datagrams),
            ("datagram", "refused", counts.refused_datagrams),
            ("datagram", "dropped", counts.dropped_datagrams),
            ("stream", "answered", counts.streams),
            ("stream", "refused", counts.refused_streams),
            ("stream", "dropped", counts.dropped_streams),
            ("stream", "unfinished", counts.unfinished_streams),
        ] {
            let labels = [("transport", transport), ("outcome", outcome)];
            encoder
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let sources = [
            ("kernel", counts.kernel_stamps),
            ("user", counts.user_stamps),
        ];
        self.counters(
            "tsq_timestamps",
            "Answers by who took T2, the time of arrival",
            "source",
            &sources,
        )?;
        let help = "Real departures told in later answers";
        self.counter("tsq_follow_ups", help, counts.follow_ups)?;
        self.counter(
            "tsq_packets_denied",
            "Packets of addresses that may not ask",
            counts.denied,
        )?;
        self.counter(
            "tsq_packets_unsent",
            "Packets the socket did not take",
            counts.unsent,
        )
    }

    fn lag(&mut self, shards: &[std::sync::Arc<Counters>]) -> fmt::Result {
        let (mut nanos, mut total, mut buckets) = (0, 0, Vec::new());
        for shard in shards {
            nanos += shard.lag.sum();
            for (index, (limit, count)) in shard.lag.buckets().enumerate() {
                let bound = limit.map_or(f64::INFINITY, seconds_of_nanos);
                if buckets.len() == index {
                    buckets.push((bound, 0));
                }
                buckets[index].1 += count;
                total += count;
            }
        }
        self.0
            .encode_descriptor(
                "tsq_answer_lag",
                "From T2 to T3 of each answer",
                Some(&Unit::Seconds),
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(seconds_of_nanos(nanos), total, &buckets, None)
    }

    fn limits(&mut self, counts: &Counts) -> fmt::Result {
        let help = "What was turned away, by the limit that was reached (the option's name)";
        self.counters("tsq_over_limit", help, "limit", &counts.by_limit())?;
        let help = "Attempts let through by chance although a limit was reached";
        self.counter("tsq_leaked", help, counts.leaked)
    }

    fn clock(&mut self, clock: &OwnClock) -> fmt::Result {
        let flag = |value: bool| u32::from(value);
        let help = "1: clients are told this is good time";
        self.gauge(
            "tsq_clock_synchronised",
            help,
            None,
            &flag(clock.synchronised),
        )?;
        let help = "1: good only by the operator's word (--serve-unsynchronised)";
        self.gauge("tsq_clock_vouched", help, None, &flag(clock.vouched))?;
        let help = "1: lost, and served for a while with a growing error";
        self.gauge("tsq_clock_held", help, None, &flag(clock.is_held()))?;
        let help = "Stratum told; 0: not synchronised";
        self.gauge("tsq_clock_stratum", help, None, &u32::from(clock.stratum))?;
        let help = "To the reference and back; missing when unknown";
        self.seconds("tsq_clock_root_delay", help, clock.root_delay)?;
        let help = "Error gathered on the way from the reference; missing when unknown";
        self.seconds("tsq_clock_root_dispersion", help, clock.root_dispersion)?;
        let estimated = Some(clock.estimated_error).filter(|error| *error < Duration::MAX);
        let help = "Error the clock's keeper expects; missing when unknown";
        self.seconds("tsq_clock_estimated_error", help, estimated)?;
        let help = "The oscillator's correction in parts per thousand million";
        self.gauge("tsq_clock_frequency_ppb", help, None, &clock.frequency_ppb)
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)
    }

    fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: &[(&str, u64)],
    ) -> fmt::Result {
        let kind = MetricType::Counter;
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (value, count) in counts {
            encoder
                .encode_family(&[(label, *value)])?
                .encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
        Ok(())
    }

    fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?
            .encode_gauge(value)
    }

    fn seconds(&mut self, name: &str, help: &str, time: Option<Duration>) -> fmt::Result {
        match time {
            Some(time) => self.gauge(name, help, Some(&Unit::Seconds), &time.as_secs_f64()),
            None => Ok(()),
        }
    }
}

fn seconds_of_nanos(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use tsq_net::tls::Issued;

    use super::super::{Memory, Metrics, Started};
    use super::*;
    use crate::certificate::{self, Certificate, Identities};
    use crate::limits::{Limits, Seed, Shared};
    use crate::log::Lost;
    use crate::settings::CertificateSource;
    use tsq_host::newest::Newest;
    use tsq_host::own_clock::Overrides;

    /// Those of two shards: one has answered 5 datagrams and dropped 7, the other has answered one.
    pub(in crate::metrics) fn metrics(good: bool) -> Metrics {
        let (one, other) = (Counters::default(), Counters::default());
        one.datagrams.add(5);
        one.dropped_datagrams.add(7);
        one.over_v4.add(2);
        one.lag.observe(1_500);
        other.datagrams.add(1);
        other.lag.observe(2_000_000_000);
        let overrides = Overrides {
            vouched: good,
            ..Overrides::default()
        };
        Metrics::new(Sources {
            shards: vec![Arc::new(one), Arc::new(other)],
            shared: Arc::new(Shared::new(&Limits::NONE, Seed::new(0))),
            issued: Issued::default(),
            clock: Newest::new(OwnClock::picture(None, None, &overrides)),
            memory: Memory::own(),
            log: Lost::default(),
            identities: Identities::new(vec![certificate()]),
            failures: Arc::default(),
            started: Started::now(),
        })
    }

    fn certificate() -> Certificate {
        let dir = tempfile::tempdir().unwrap();
        let source = CertificateSource::SelfMade {
            dir: dir.path().into(),
            names: vec!["localhost".into()],
            asked: true,
        };
        certificate::obtain(&source).unwrap().remove(0)
    }

    #[test]
    fn numbers_of_all_shards_are_summed() {
        let text = metrics(true).text();
        for line in [
            r#"tsq_requests_total{transport="datagram",outcome="answered"} 6"#,
            r#"tsq_requests_total{transport="datagram",outcome="dropped"} 7"#,
            r#"tsq_over_limit_total{limit="max-connections-per-ipv4"} 2"#,
            r#"tsq_answer_lag_seconds_bucket{le="0.000001"} 0"#,
            r#"tsq_answer_lag_seconds_bucket{le="0.000002"} 1"#,
            r#"tsq_answer_lag_seconds_bucket{le="1.0"} 1"#,
            r#"tsq_answer_lag_seconds_bucket{le="+Inf"} 2"#,
            "tsq_answer_lag_seconds_count 2",
            "tsq_clock_vouched 1",
            "tsq_clock_stratum 10",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let text = metrics(false).text();
        assert!(text.contains("tsq_clock_stratum 0\n"), "{text}");
        assert!(!text.contains("tsq_clock_root_delay"), "{text}");
        assert!(!text.contains("tsq_clock_estimated_error"), "{text}");
    }

    /// The list is what operators write alerts by.
    #[test]
    fn every_metric_is_in_the_documentation_and_the_other_way_round() {
        let documented: BTreeSet<&str> = include_str!("../../../docs/operate/serve.md")
            .split('`')
            .filter(|word| word.starts_with("tsq_") || word.starts_with("process_"))
            .map(|word| word.split(['{', ' ']).next().unwrap_or(word))
            .collect();
        let clock = OwnClock {
            root_delay: Some(Duration::ZERO),
            root_dispersion: Some(Duration::ZERO),
            estimated_error: Duration::ZERO,
            ..OwnClock::picture(None, None, &Overrides::default())
        };
        let all = metrics(true);
        all.sources.clock.replace(clock);
        let text = all.text();
        let told: BTreeSet<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .map(|name| {
                let parts = ["_bucket", "_sum", "_count"];
                let end = parts.iter().find_map(|part| name.strip_suffix(part));
                end.unwrap_or(name)
            })
            .collect();
        assert_eq!(told, documented);
    }
}
